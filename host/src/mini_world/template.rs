//! Templates with `{slots}`: filled in to make text, or turned into a regular expression that recognises it.

/// The template with every slot replaced by its word.
pub fn fill(template: &str, slots: &[(&str, &str)]) -> String {
    words(template)
        .map(|word| match slot(word) {
            Some(name) => look_up(slots, name).copied().unwrap_or(word),
            None => word,
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// A regular expression that matches exactly the texts that these templates make, where a slot may hold any of its words.
pub fn pattern(templates: &[&str], slots: &[(&str, &[&str])]) -> String {
    let one = |template: &&str| {
        words(template)
            .map(|word| match slot(word).and_then(|name| look_up(slots, name)) {
                Some([only]) => regex::escape(only),
                Some(many) => format!("(?:{})", many.join("|")),
                None => regex::escape(word),
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    let alternatives: Vec<String> = templates.iter().map(one).collect();
    format!("^(?:{})$", alternatives.join("|"))
}

/// The words of a template or text: everything in the world is separated by single spaces.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ')
}

/// The name of a slot, where the word is one.
pub fn slot(word: &str) -> Option<&str> {
    word.strip_prefix('{')?.strip_suffix('}')
}

fn look_up<'a, T>(slots: &'a [(&str, T)], name: &str) -> Option<&'a T> {
    slots.iter().find(|(slot, _)| *slot == name).map(|(_, to)| to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_template_matches_its_own_pattern_and_no_other_word() {
        let text = fill("it is {value} .", &[("value", "amber")]);
        assert_eq!(text, "it is amber .");
        let pattern = pattern(&["it is {value} ."], &[("value", &["amber", "silver"])]);
        let regex = regex::Regex::new(&pattern).expect("a pattern of words");
        assert!(regex.is_match("it is amber ."));
        assert!(!regex.is_match("it is umber ."));
        assert!(!regex.is_match("it is amber x"), "the full stop is literal");
        assert!(!regex.is_match("it is amber . it is amber ."));
    }
}
