//! Everything that is tested through the real binary. One file per topic; [`support`] is what they share.

mod support;

mod cli;
mod data;
mod sandbox;
mod smoke;
