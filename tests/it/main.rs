//! Everything that is tested through the real binary. One file per topic; [`support`], [`small`], [`compare`] and
//! [`tensors`] are what they share.

mod compare;
mod small;
mod support;
mod tensors;

mod cli;
mod data;
mod interrupted;
mod pipeline;
mod rerun;
mod smoke;
