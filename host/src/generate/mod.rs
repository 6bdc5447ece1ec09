//! The generate room.
