//! The stage room.
