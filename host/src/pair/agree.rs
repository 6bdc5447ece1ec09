//! Do all responses to a prompt say the same? Then the prompt has one semantic cluster, and nothing to prefer. Pure.

/// Whether the texts are equal up to case, punctuation and spacing. Fewer than two texts agree.
pub(super) fn all_agree<'a>(texts: impl IntoIterator<Item = &'a str>) -> bool {
    let mut texts = texts.into_iter().map(normalised);
    let Some(first) = texts.next() else {
        return true;
    };
    texts.all(|text| text == first)
}

/// Lower-case words without punctuation; a text of nothing else keeps it, so that `!` and `?` differ.
fn normalised(text: &str) -> String {
    let words: Vec<String> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    if words.is_empty() {
        return text.trim().to_owned();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_punctuation_and_spacing_do_not_matter() {
        assert!(all_agree([" Paris.", "paris", "PARIS !\n"]));
        assert!(!all_agree(["Paris", "Paris, France"]));
    }

    #[test]
    fn word_borders_order_and_bare_punctuation_matter() {
        assert!(!all_agree(["a b", "ab"]));
        assert!(!all_agree(["a b", "b a"]));
        assert!(!all_agree(["!", "?"]));
        assert!(!all_agree(["", "?"]));
    }

    #[test]
    fn fewer_than_two_texts_agree() {
        assert!(all_agree([]) && all_agree(["a"]));
    }
}
