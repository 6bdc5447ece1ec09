//! The sft room.
