//! `prefix_words`: prompts that are the first words of longer texts.

use super::hash::unit_draw;
use crate::error::UserError;

/// The range must hold a number and begin at one word.
pub(super) fn check([low, high]: [usize; 2]) -> Result<(), UserError> {
    if low >= 1 && low <= high {
        return Ok(());
    }
    Err(UserError::new(format!("`data.prefix_words` is [{low}, {high}]"))
        .hint("give [least, most] with 1 ≤ least ≤ most, such as [2, 8]"))
}

/// The first n words, n drawn uniformly from the closed range as far as it leaves at least one word out. None where
/// even the least n takes all words. Spacing between the kept words stays as it is.
pub(super) fn cut<'a>(text: &'a str, [low, high]: [usize; 2], seed: u64, id: &str) -> Option<&'a str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let high = high.min(words.len().checked_sub(1)?);
    if high < low {
        return None;
    }
    let choices = high - low + 1;
    let n = low + (unit_draw(seed, "prefix-words", id) * choices as f64) as usize;
    let text = text.trim_start();
    let last = words.get(n.min(high).checked_sub(1)?)?;
    // `last` is a slice of `text`, so its end in `text` is a difference of addresses.
    let end = last.as_ptr() as usize + last.len() - text.as_ptr() as usize;
    text.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_of_the_range_is_drawn_about_equally_often() {
        let mut counts = [0; 10];
        for n in 0..4000 {
            let prefix = cut("a b c d e f g h i", [2, 5], 7, &n.to_string());
            counts[prefix.map_or(0, |text| text.split(' ').count())] += 1;
        }
        assert_eq!([counts[0], counts[1], counts[6]], [0, 0, 0]);
        assert!(counts[2..=5].iter().all(|n| (900..1100).contains(n)), "{counts:?}");
    }

    #[test]
    fn a_prefix_is_never_the_whole_text() {
        for n in 0..50 {
            assert_eq!(cut("a b c", [2, 8], 0, &n.to_string()), Some("a b"));
        }
        assert_eq!(cut("a b", [2, 8], 0, "x"), None);
        assert_eq!(cut("", [1, 8], 0, "x"), None);
    }

    #[test]
    fn spacing_inside_stays_and_around_goes() {
        assert_eq!(cut("  a \t b c ", [2, 2], 0, "x"), Some("a \t b"));
    }

    #[test]
    fn the_draw_follows_seed_and_id_alone() {
        let text = "a b c d e f g h i";
        let by_seed: Vec<_> = (0..20).map(|seed| cut(text, [1, 8], seed, "x")).collect();
        assert_eq!(by_seed[3], cut(text, [1, 8], 3, "x"));
        assert!(by_seed.iter().any(|prefix| *prefix != by_seed[0]));
    }

    #[test]
    fn an_empty_or_reversed_range_is_refused() {
        assert!(check([0, 3]).is_err() && check([3, 2]).is_err() && check([2, 2]).is_ok());
    }
}
