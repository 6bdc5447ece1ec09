//! The written world as its readers see it.
