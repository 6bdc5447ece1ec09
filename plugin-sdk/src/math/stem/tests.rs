use super::*;

#[test]
fn the_irregular_words_are_sorted_so_that_the_search_finds_them() {
    assert!(IRREGULAR.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn every_word_has_the_stem_that_nltk_gives_it() {
    // golden.py made it; exact.
    let golden = include_str!("golden.txt");
    let mut changed = 0;
    for line in golden.lines() {
        let (word, expected) = line.split_once(' ').unwrap_or((line, line));
        assert_eq!(stem(word), expected, "{word}");
        changed += usize::from(word != expected);
    }
    assert!(changed > 1000, "{changed} words that the rules change");
}

#[test]
fn what_is_no_lower_case_ascii_word_is_left_as_it_is() {
    for word in ["", "a", "is", "Running", "naïvely", "東京", "it's"] {
        assert_eq!(stem(word), word);
    }
}

#[test]
fn a_long_run_of_one_letter_takes_time_in_proportion() {
    assert_eq!(stem(&"y".repeat(100_000)).len(), 100_000);
}
