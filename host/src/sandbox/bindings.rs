//! The contract's two worlds as Rust types, generated from the frozen WIT.
//!
//! Arguments borrow from the caller (`Borrowing`), so that a sample crosses into a plugin without being copied first (but as a
//! block, where the plugin takes one).
//! The staging world owns its arguments: bindgen's borrowed form does not compile for types that a world never uses,
//! and a policy is called once a stage.

/// The world of scorers.
pub mod scorer {
    wasmtime::component::bindgen!({
        world: "udasa:plugin/scorer",
        path: "../plugin-sdk/wit/v0.1",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// The world of staging policies.
pub mod staging {
    wasmtime::component::bindgen!({
        world: "udasa:plugin/staging-policy",
        path: "../plugin-sdk/wit/v0.1",
    });
}
