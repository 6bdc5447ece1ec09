//! The two macros that make a plugin of a crate: on wasm32 a component, on every other target a shared library's table
//! of functions. The same crate builds, tests and debugs natively.

/// Exports a [`Scorer`](crate::Scorer) (or [`SimpleScorer`](crate::SimpleScorer)) as this crate's plugin.
#[macro_export]
macro_rules! export_scorer {
    ($scorer:ty) => {
        const _: () = $crate::__assert_scorer::<$scorer>();
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::bindings::ScorerComponent<$scorer>;
    $crate::bindings::scorer::export_component!(Component with_types_in $crate::bindings::scorer);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            #[unsafe(export_name = concat!("udasa_native_plugin_", env!("CARGO_PKG_NAME"), "_", line!()))]
            pub static TABLE: $crate::native::Table = $crate::native::Table::of_scorer::<$scorer>();
        };
    };
}

/// Exports a [`StagingPolicy`](crate::StagingPolicy) as this crate's plugin.
#[macro_export]
macro_rules! export_staging_policy {
    ($policy:ty) => {
        const _: () = $crate::__assert_staging_policy::<$policy>();
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::bindings::PolicyComponent<$policy>;
            $crate::bindings::staging_policy::export_component!(Component with_types_in $crate::bindings::staging_policy);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            #[unsafe(export_name = concat!("udasa_native_plugin_", env!("CARGO_PKG_NAME"), "_", line!()))]
            pub static TABLE: $crate::native::Table = $crate::native::Table::of_policy::<$policy>();
        };
    };
}

#[doc(hidden)]
pub const fn __assert_scorer<S: crate::Scorer>() {}

#[doc(hidden)]
pub const fn __assert_staging_policy<P: crate::StagingPolicy>() {}
