//! The words of a panic. The sandbox ends a panic in a trap, and the native border in an error: neither carries text by
//! itself, so a hook takes the text down first. A panic whose payload is not text still has a place.

use std::panic::PanicHookInfo;

const WITHOUT: &str = "no message";

/// As Rust itself prints it, place first, which is what the host reads out of the log.
#[cfg(target_arch = "wasm32")]
pub(crate) fn words(info: &PanicHookInfo<'_>) -> String {
    // Rust's own text, because its machinery is in the component anyway.
    let mut text = info.to_string();
    if !info.payload().is::<&str>() && !info.payload().is::<String>() {
        text.push_str(":\n");
        text.push_str(WITHOUT);
    }
    text
}

/// Message first, for an error that already says that it is a panic.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn words(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.filter(|text| !text.trim().is_empty()).unwrap_or(WITHOUT);
    info.location().map_or_else(|| message.to_owned(), |place| format!("{message} ({place})"))
}
