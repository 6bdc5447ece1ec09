//! The words of a panic. The sandbox ends a panic in a trap, and the native border in an error: neither carries text by
//! itself, so a hook takes the text down first.

use std::panic::PanicHookInfo;

/// What was said, and where.
pub(crate) struct Words {
    pub message: String,
    /// `FILE:LINE:COLUMN`; empty where it is not known.
    pub place: String,
}

/// The words of a panic, from inside a hook. A panic whose payload is not text still has a place.
pub(crate) fn words(info: &PanicHookInfo<'_>) -> Words {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    Words {
        message: text.filter(|text| !text.trim().is_empty()).unwrap_or("no message").to_owned(),
        place: info.location().map(ToString::to_string).unwrap_or_default(),
    }
}

impl Words {
    /// As Rust itself prints it, which is what the host reads.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn logged(self) -> String {
        let Self { message, place } = self;
        ["panicked at ", &place, ":\n", &message].concat()
    }

    /// Message first, for a line that has already said that it is a panic.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn told(self) -> String {
        let Self { message, place } = self;
        if place.is_empty() { message } else { format!("{message} ({place})") }
    }
}
