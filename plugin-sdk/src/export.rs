//! The two macros that make a component of a crate. On any target but wasm32 they only check the type, so that the
//! same crate builds, tests and debugs natively.

/// Exports a [`Scorer`](crate::Scorer) (or [`SimpleScorer`](crate::SimpleScorer)) as this crate's component.
#[macro_export]
macro_rules! export_scorer {
    ($scorer:ty) => {
        const _: () = $crate::__assert_scorer::<$scorer>();
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::bindings::ScorerComponent<$scorer>;
    $crate::bindings::scorer::export_component!(Component with_types_in $crate::bindings::scorer);
        };
    };
}

/// Exports a [`StagingPolicy`](crate::StagingPolicy) as this crate's component.
#[macro_export]
macro_rules! export_staging_policy {
    ($policy:ty) => {
        const _: () = $crate::__assert_staging_policy::<$policy>();
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::bindings::PolicyComponent<$policy>;
            $crate::bindings::staging_policy::export_component!(Component with_types_in $crate::bindings::staging_policy);
        };
    };
}

#[doc(hidden)]
pub const fn __assert_scorer<S: crate::Scorer>() {}

#[doc(hidden)]
pub const fn __assert_staging_policy<P: crate::StagingPolicy>() {}
