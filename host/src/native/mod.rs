//! Native plugins: shared libraries that speak the contract over the SDK's C border. Beside `model/device`, the only module
//! that uses libloading.
//!
//! In: the path of a library and the digest that the config pins. Out: a [`Library`] that can be called with records. It
//! compares the digest of the very bytes that it then opens: they are copied to a private file first, so that nothing can
//! change them in between. Nothing of a library runs before that, and a file is found by its name, never by asking it.
//!
//! What it does not do: keep limits (nothing can, around native code), check outputs (`sandbox`).

mod convert;
mod library;

#[cfg(test)]
pub(crate) use convert::{answer as sdk_answer, sample as sdk_sample};
pub use convert::{questions, score};
pub use library::{Library, open, open_built};
pub use udasa_plugin_sdk::native::{Description, Failure, Kind, Returned};
