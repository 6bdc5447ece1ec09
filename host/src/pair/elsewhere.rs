//! Pairs from preference rows that others made: tokenized as TRL does, measured against the longest sequence. Pure but for the tokenizer.

use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;

use crate::config::{Pairs, TooLong};
use crate::data::{Preference, prompt_id};
use crate::model::{PairIds, Text};
use crate::records::{Drop, Pair, PromptText};

/// What became of the rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Elsewhere {
    /// In the order of the rows.
    pub pairs: Vec<Pair>,
    /// Why every other row is not trained on.
    pub drops: Vec<Drop>,
    /// Rows without ratings, dropped ones included.
    pub unrated: usize,
    /// Pairs of which a response was truncated.
    pub truncated: usize,
    /// Pairs whose prompt's last tokens are not trained behind: see [`PairIds::left_out`].
    pub left_out: usize,
}

/// Where there is no rating: as good as not known. Both get it, so that the gap is 0.
const UNRATED: [f64; 2] = [0.5, 0.5];

/// Makes the pairs. A sequence has at most `longest` tokens.
///
/// Dropped, the first reason that holds: `identical`, `empty` (a response), `negative-gap`, `no-prompt` (no tokens of it), `too-long`.
pub fn from_rows(rows: Vec<Preference>, text: &Text, section: &Pairs, longest: usize) -> Result<Elsewhere> {
    let longest = section.max_tokens.unwrap_or(longest).min(longest);
    let unrated = rows.iter().filter(|row| row.ratings.is_none()).count();
    let made: Vec<_> = rows
        .into_par_iter()
        .map(|row| {
            let line = row.line;
            one(row, text, section.too_long, longest).with_context(|| place(&section.from, line))
        })
        .collect::<Result<_>>()?;
    let mut all = Elsewhere { unrated, ..Elsewhere::default() };
    for made in made {
        match made {
            Err(drop) => all.drops.push(drop),
            Ok(Made { pair, truncated, left_out }) => {
                all.pairs.push(pair);
                all.truncated += usize::from(truncated);
                all.left_out += usize::from(left_out);
            }
        }
    }
    Ok(all)
}

struct Made {
    pair: Pair,
    truncated: bool,
    left_out: bool,
}

fn place(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.display())
}

fn one(row: Preference, text: &Text, too_long: TooLong, longest: usize) -> Result<Result<Made, Drop>> {
    let [prompt, chosen, rejected] = match row.texts {
        Some(texts) => texts,
        None => texts_of(row.token_ids.as_ref().context("a row has neither texts nor token ids")?, text)?,
    };
    let mut ids = match row.token_ids {
        Some([prompt, chosen, rejected]) => PairIds { prompt, chosen, rejected, left_out: 0 },
        None => text.pair_ids(&prompt, &chosen, &rejected)?,
    };
    let prompt_id = row.prompt_id.unwrap_or_else(|| prompt_id(&prompt));
    let ratings = row.ratings.unwrap_or(UNRATED);
    let gap = row.gap.unwrap_or(ratings[0] - ratings[1]);
    let room = longest.saturating_sub(ids.prompt.len());
    let most = ids.chosen.len().max(ids.rejected.len());
    let drop = |reason: &str, detail: String| {
        let detail = format!("line {}: {detail}", row.line);
        Ok(Err(Drop { prompt_id: prompt_id.clone(), reason: reason.into(), detail }))
    };
    if ids.chosen == ids.rejected {
        return drop("identical", "chosen and rejected are the same".into());
    }
    if [&chosen, &rejected].iter().any(|side| matches!(side, PromptText::Text(text) if text.trim().is_empty()))
        || ids.chosen.is_empty()
        || ids.rejected.is_empty()
    {
        return drop("empty", "a response is empty".into());
    }
    if gap < 0.0 {
        return drop("negative-gap", format!("chosen is rated {} and rejected {}", ratings[0], ratings[1]));
    }
    if ids.prompt.is_empty() {
        return drop("no-prompt", "the prompt has no tokens of its own".into());
    }
    let truncated = most > room;
    if room == 0 || (truncated && too_long == TooLong::Drop) {
        let tokens = ids.prompt.len();
        return drop("too-long", format!("{tokens} tokens of prompt and {most} of response exceed {longest}"));
    }
    ids.chosen.truncate(room);
    ids.rejected.truncate(room);
    let [chosen_index, rejected_index] = row.indices.unwrap_or([0, 1]);
    let left_out = ids.left_out > 0;
    let pair = Pair {
        id: row.id.unwrap_or_else(|| format!("{prompt_id}-{}", row.line)),
        prompt_id,
        group: row.group,
        prompt,
        chosen,
        rejected,
        chosen_rating: ratings[0],
        rejected_rating: ratings[1],
        gap,
        dimensions: row.dimensions,
        chosen_index,
        rejected_index,
        prompt_token_ids: ids.prompt,
        chosen_token_ids: ids.chosen,
        rejected_token_ids: ids.rejected,
    };
    Ok(Ok(Made { pair, truncated, left_out }))
}

/// For people to read; what is trained on are the ids.
fn texts_of(ids: &[Vec<u32>; 3], text: &Text) -> Result<[PromptText; 3]> {
    let [prompt, chosen, rejected] = ids;
    Ok([text.decode(prompt)?, text.decode(chosen)?, text.decode(rejected)?].map(PromptText::Text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;

    /// The mini world's tokenizer: a token a word.
    fn text() -> Text {
        let folder = TestFolder::new().expect("a folder");
        crate::mini_world::write(folder.path(), 1, 20, 2).expect("a world");
        Text::load(folder.path()).expect("a tokenizer")
    }

    fn row(line: usize, prompt: &str, chosen: &str, rejected: &str) -> Preference {
        let texts = [prompt, chosen, rejected].map(|text| PromptText::Text(text.into()));
        Preference { line, texts: Some(texts), ..Preference::default() }
    }

    fn section(too_long: TooLong, max_tokens: Option<usize>) -> Pairs {
        Pairs { too_long, max_tokens, ..Pairs::of("rows.jsonl".into()) }
    }

    #[test]
    fn a_response_ends_with_one_end_of_sequence_and_the_prompt_is_shared() -> Result<()> {
        let text = text();
        let eos = text.eos_id().context("an end of sequence")?;
        let made = from_rows(vec![row(1, "true kind", " yes", " no A")], &text, &section(TooLong::Drop, None), 99)?;
        let pair = &made.pairs[0];
        for (ids, words) in [(&pair.chosen_token_ids, 1), (&pair.rejected_token_ids, 2)] {
            assert_eq!((ids.len(), ids.last()), (words + 1, Some(&eos)), "{ids:?}");
        }
        assert_eq!((made.unrated, pair.gap, pair.id.ends_with("-1")), (1, 0.0, true));
        Ok(())
    }

    #[test]
    fn too_long_pairs_are_dropped_or_truncated_as_the_config_says_and_never_in_silence() -> Result<()> {
        let text = text();
        let rows = || vec![row(1, "true kind", " yes", " no A B"), row(2, "true kind A B A B", " yes", " no")];
        let dropped = from_rows(rows(), &text, &section(TooLong::Drop, Some(5)), 99)?;
        assert_eq!((dropped.pairs.len(), dropped.drops.len(), dropped.truncated), (0, 2, 0));
        assert!(dropped.drops.iter().all(|drop| drop.reason == "too-long"));
        assert_eq!(dropped.drops[0].detail, "line 1: 2 tokens of prompt and 4 of response exceed 5");
        // The model's longest sequence holds whatever the config says.
        let cut = from_rows(rows(), &text, &section(TooLong::Truncate, Some(99)), 5)?;
        assert_eq!((cut.pairs.len(), cut.drops.len(), cut.truncated), (1, 1, 1));
        assert_eq!((cut.pairs[0].chosen_token_ids.len(), cut.pairs[0].rejected_token_ids.len()), (2, 3));
        Ok(())
    }

    #[test]
    fn what_teaches_nothing_is_dropped_with_its_reason() -> Result<()> {
        let rated = |ratings| Preference { ratings: Some(ratings), ..row(3, "true", " yes", " no") };
        let rows =
            vec![row(1, "true", " yes", " yes"), row(2, "true", "", " no"), rated([0.25, 0.5]), rated([0.5, 0.25])];
        let made = from_rows(rows, &text(), &section(TooLong::Drop, None), 99)?;
        let reasons: Vec<&str> = made.drops.iter().map(|drop| drop.reason.as_str()).collect();
        assert_eq!(reasons, ["identical", "empty", "negative-gap"]);
        assert_eq!((made.pairs.len(), made.pairs[0].gap), (1, 0.25));
        Ok(())
    }

    #[test]
    fn token_ids_are_taken_as_they_are_and_read_back_for_people() -> Result<()> {
        let text = text();
        let ids = [vec![5], vec![6, 7], vec![8]];
        let row = Preference { line: 1, token_ids: Some(ids.clone()), ..Preference::default() };
        let made = from_rows(vec![row], &text, &section(TooLong::Drop, None), 99)?;
        let pair = &made.pairs[0];
        assert_eq!(
            [&pair.prompt_token_ids, &pair.chosen_token_ids, &pair.rejected_token_ids],
            [&ids[0], &ids[1], &ids[2]]
        );
        assert_eq!(pair.prompt, PromptText::Text(text.decode(&[5])?));
        Ok(())
    }
}
