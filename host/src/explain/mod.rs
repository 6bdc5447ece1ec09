//! The explain room.
