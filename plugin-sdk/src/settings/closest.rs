//! Which known name a misspelt one was meant to be.

/// The name within a third of its length in edits.
pub(super) fn closest<'a>(text: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = names.iter().map(|name| (edits(text, name), *name)).min()?;
    (near.0 * 3 <= text.chars().count().max(3)).then_some(near.1)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let names = ["similarity", "words"];
        assert_eq!(closest("similarty", &names), Some("similarity"));
        assert_eq!(closest("word", &names), Some("words"));
        assert_eq!(closest("temperature", &names), None);
        assert_eq!(closest("x", &[]), None);
    }

    #[test]
    fn edits_at_their_edges() {
        assert_eq!((edits("", ""), edits("", "ab"), edits("ab", ""), edits("kitten", "sitting")), (0, 2, 2, 3));
    }
}
