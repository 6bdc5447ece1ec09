//! The component side: generated bindings of both worlds, and the glue between them and the plain types.
//!
//! Compiled for wasm32 only. Its `unsafe` is in the generated code, and in `scorer_glue` where a block is read.
#![allow(missing_docs, clippy::all, clippy::pedantic, unsafe_op_in_unsafe_fn)]

use std::marker::PhantomData;
use std::sync::Once;

use crate::log::Level;

mod scorer_glue;
mod staging_glue;

/// Bindings of the contract's world `scorer` with the block interface beside it.
pub mod scorer {
    wit_bindgen::generate!({
        path: ["wit/v0.1", "wit/block-v0.1"],
        world: "udasa:block/scorer",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "udasa_plugin_sdk::bindings::scorer",
        runtime_path: "wit_bindgen::rt",
    });
}

/// Bindings of the world `staging-policy`.
pub mod staging_policy {
    wit_bindgen::generate!({
        path: "wit/v0.1",
        world: "staging-policy",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "udasa_plugin_sdk::bindings::staging_policy",
        runtime_path: "wit_bindgen::rt",
    });
}

/// A [`crate::Scorer`] as the component model sees it.
pub struct ScorerComponent<S>(PhantomData<S>);

/// A [`crate::StagingPolicy`] as the component model sees it.
pub struct PolicyComponent<P>(PhantomData<P>);

pub(crate) fn sink(level: Level, message: &str) {
    use scorer::udasa::plugin::log;
    let level = match level {
        Level::Debug => log::Level::Debug,
        Level::Info => log::Level::Info,
        Level::Warn => log::Level::Warn,
        Level::Error => log::Level::Error,
    };
    log::write(level, message);
}

/// A panic ends in a trap, which carries no text: send the text out first.
pub(crate) fn hook_panics() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        std::panic::set_hook(Box::new(|info| sink(Level::Error, &crate::panic::words(info))));
    });
}

/// The schema of settings as JSON text.
pub(crate) fn schema_text<T: crate::settings::Settings>() -> String {
    crate::settings::schema::<T>().to_string()
}
