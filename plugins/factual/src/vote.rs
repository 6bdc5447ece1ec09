//! Self-consistency: what the other responses say about a response's answer.

use udasa_plugin_sdk::Sample;
use udasa_plugin_sdk::math::mean;
use udasa_plugin_sdk::math::similarity::intersection;
use udasa_plugin_sdk::math::words::{Split, Vocabulary, content_words, set, words};

use crate::{Extract, Settings};

/// The doubt of each response, in [0, 1].
pub fn doubts(settings: &Settings, sample: &Sample) -> Vec<f64> {
    match settings.answer {
        Extract::ContentWords => unconfirmed_words(sample),
        extract => minorities(&sample.texts().iter().map(|text| answer(text, extract)).collect::<Vec<_>>()),
    }
}

/// 1 − share of the responses (itself included) with the same answer. No answer agrees with nothing, itself included.
fn minorities(answers: &[Option<String>]) -> Vec<f64> {
    let n = answers.len() as f64;
    answers
        .iter()
        .map(|answer| match answer {
            Some(answer) => 1.0 - answers.iter().flatten().filter(|other| *other == answer).count() as f64 / n,
            None => 1.0,
        })
        .collect()
}

/// The answer in a response: its words in lower case, so that case, punctuation and spacing do not split a vote.
fn answer(text: &str, extract: Extract) -> Option<String> {
    let part = match extract {
        Extract::LastLine => text.lines().rfind(|line| !line.trim().is_empty())?,
        _ => text,
    };
    if extract == Extract::LastNumber {
        return last_number(part);
    }
    let words = words(part, Split::Words);
    match extract {
        Extract::LastWord => words.into_iter().next_back(),
        _ if words.is_empty() => None,
        _ => Some(words.join(" ")),
    }
}

/// The last number, without thousands separators and trailing zeros: `1,200.50` and `1200.5` are one vote.
fn last_number(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '-');
    let run = text
        .split(|c: char| !is_part(c))
        .rfind(|run| run.contains(|c: char| c.is_ascii_digit()))?
        .trim_end_matches(['.', ',', '-']);
    let start = run.rfind('-').unwrap_or(0);
    let digits: String = run[start..].trim_start_matches(['.', ',']).chars().filter(|c| *c != ',').collect();
    Some(match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits,
    })
}

/// Mean over the other responses of the share of this one's content words that they lack. A response without content
/// words claims nothing that others could confirm: 1. A response without others: 0.
fn unconfirmed_words(sample: &Sample) -> Vec<f64> {
    let split = Split::Words;
    let known = set(words(sample.prompt.question(), split));
    let mut vocabulary = Vocabulary::default();
    let sets: Vec<Vec<u32>> = sample
        .responses
        .iter()
        .map(|response| set(vocabulary.ids(content_words(&response.text, split, &known))))
        .collect();
    let doubt = |i: usize, own: &Vec<u32>| {
        let missing = |other: &Vec<u32>| 1.0 - intersection(own, other) as f64 / own.len() as f64;
        let others: Vec<f64> =
            sets.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, other)| missing(other)).collect();
        if own.is_empty() { 1.0 } else { mean(&others) }
    };
    sets.iter().enumerate().map(|(i, own)| doubt(i, own)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use udasa_plugin_sdk::test_kit;

    #[test]
    fn answers_are_extracted_and_normalised() {
        let get = |text, extract| answer(text, extract).unwrap_or_default();
        assert_eq!(get(" The  Nile. ", Extract::Text), "the nile");
        assert_eq!(get("First.\nSo: 42!\n\n", Extract::LastLine), "so 42");
        assert_eq!(get("It is the NILE.", Extract::LastWord), "nile");
        for (text, number) in [
            ("1 + 1 = 2.", "2"),
            ("costs 1,200.50 now", "1200.5"),
            ("from 3-5 to -7.0", "-7"),
            ("a.b. 10, then", "10"),
            ("100", "100"),
        ] {
            assert_eq!(get(text, Extract::LastNumber), number);
        }
        assert_eq!(answer("none here - . ,", Extract::LastNumber), None);
        assert_eq!(answer(" ?! ", Extract::Text), None);
        assert_eq!(answer("", Extract::LastLine), None);
    }

    #[test]
    fn the_minority_is_doubted_and_no_answer_is_doubted_fully() {
        let sample = test_kit::sample("Which river?", &["Nile", "nile.", "Amazon", "??"]);
        let settings = Settings { answer: Extract::Text, ..Settings::default() };
        assert_eq!(doubts(&settings, &sample), [0.5, 0.5, 0.75, 1.0]);
    }

    #[test]
    fn words_that_no_other_response_has_are_doubted() {
        let sample = test_kit::sample(
            "Which river runs through Alda?",
            &["The Mirn runs through Alda", "Alda lies on the Mirn", "It is the Sorne", "the river"],
        );
        // {mirn}, {lies, mirn}, {sorne}, {}: shares missing (0,1,1), (½,1,1), (1,1,1), nothing to confirm.
        let doubts = doubts(&Settings::default(), &sample);
        assert_eq!(doubts, [2.0 / 3.0, 2.5 / 3.0, 1.0, 1.0]);
        assert_eq!(unconfirmed_words(&test_kit::sample("q", &["alone"])), [0.0]);
    }
}
