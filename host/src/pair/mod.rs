//! The pair room.
