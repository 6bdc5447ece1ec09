//! Words that a plugin or a file wrote and a person will read, in errors, records and the log: cut to a length, unable to
//! command a terminal, and unable to pass for a line of ours.

use std::fmt::Write;
use std::path::Path;

/// Bytes kept of a sentence: a fault, a problem, a reason.
pub(super) const SENTENCE: usize = 1000;
/// Bytes kept of a path: no system has longer ones.
const PATH: usize = 4096;
/// Bytes kept of a name.
pub(super) const NAME: usize = 100;

/// At most `most` bytes of `text`, with `…` where it was cut. Lines after the first are indented: a line that begins with
/// `error:` or `hint:` is the host's own.
pub(super) fn shown(text: &str, most: usize) -> String {
    printable(text.trim_end(), most).replace('\n', "\n  ")
}

/// The same on one line, as names are shown.
pub(super) fn on_one_line(text: &str, most: usize) -> String {
    printable(text, most).replace('\n', "�")
}

/// A file or folder, whatever it is named.
pub(super) fn file_name(path: &Path) -> String {
    on_one_line(&path.display().to_string(), PATH)
}

/// The same with its lines as they are.
pub(super) fn printable(text: &str, most: usize) -> String {
    let cut = text.floor_char_boundary(most);
    let mut line: String =
        text[..cut].chars().map(|c| if is_plain(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
    if cut < text.len() {
        line.push('…');
    }
    line
}

/// Neither a control character, but for tabs and line ends, nor one that turns the direction of writing.
pub(super) fn is_plain(c: char) -> bool {
    match c {
        '\t' | '\n' => true,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    }
}

/// Whether `name` can stand in a table, a record and a sentence: 1 to `most` bytes, nothing in it that is not plain.
pub(super) fn is_name(name: &str, most: usize) -> bool {
    !name.trim().is_empty() && name.len() <= most && name.chars().all(|c| c != '\n' && c != '\t' && is_plain(c))
}

/// The first `most` of `lines`, one below the other, and how many more there are.
pub(super) fn listed(lines: impl ExactSizeIterator<Item = String>, most: usize) -> String {
    let more = lines.len().saturating_sub(most);
    let mut text = String::new();
    for line in lines.take(most) {
        let _ = write!(text, "\n  {line}");
    }
    if more > 0 {
        let _ = write!(text, "\n  and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_and_cannot_command_a_terminal() {
        assert_eq!(shown("a\u{1b}[31mb\rc", SENTENCE), "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(shown("a\u{202e}b", SENTENCE), "a\u{fffd}b");
        let long = shown(&"é".repeat(SENTENCE), SENTENCE + 1);
        assert_eq!(long.len(), SENTENCE + '…'.len_utf8());
        assert!(long.ends_with('…'));
    }

    #[test]
    fn no_line_of_a_plugin_can_pass_for_one_of_ours() {
        assert_eq!(shown("left: 1\nhint: trust me\n", SENTENCE), "left: 1\n  hint: trust me");
        assert_eq!(on_one_line("a\nhint: b", NAME), "a\u{fffd}hint: b");
    }

    #[test]
    fn a_name_is_short_and_plain() {
        assert!(is_name("mean similarity é", 20));
        for wrong in ["", " ", "a\nb", "a\tb", "\u{1b}[2J", "a\u{202e}b"] {
            assert!(!is_name(wrong, 20), "{wrong:?}");
        }
        assert!(!is_name("aaa", 2));
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let lines = || (0..5).map(|n| n.to_string());
        assert_eq!(listed(lines(), 2), "\n  0\n  1\n  and 3 more");
        assert_eq!(listed(lines(), 5), "\n  0\n  1\n  2\n  3\n  4");
    }
}
