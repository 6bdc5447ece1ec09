//! The mini_world room.
