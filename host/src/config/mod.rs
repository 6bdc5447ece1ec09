//! The config room.

mod sections;

pub use sections::*;
