//! What is exported is read back as it was.

use super::*;
use crate::config::Pairs;
use crate::data::read_preferences;
use crate::data::test_folder::TestFolder;
use crate::records::{Dimension, Message};

fn pair(n: usize, chat: bool) -> Pair {
    let said = |role: &str, text: &str| match chat {
        false => PromptText::Text(text.into()),
        true => PromptText::Chat(vec![Message { role: role.into(), content: text.into() }]),
    };
    let dimensions = if n == 1 { [].into() } else { [(Dimension::Value, [0.1, 0.7 + n as f64 / 100.0])].into() };
    Pair {
        id: format!("p-{n}"),
        prompt_id: "p".into(),
        group: (n != 0).then(|| "g".into()),
        prompt: said("user", "Why \"so\"?\n"),
        chosen: said("assistant", "é"),
        rejected: said("assistant", &"no ".repeat(n)),
        chosen_rating: 0.9,
        rejected_rating: 0.9 - 0.1 * (n + 1) as f64,
        gap: 0.1 * (n + 1) as f64,
        dimensions,
        chosen_index: n,
        rejected_index: 7,
        prompt_token_ids: vec![1; n + 1],
        chosen_token_ids: vec![70_000, 2],
        rejected_token_ids: vec![3],
    }
}

fn member(stage: usize, name: &str, pair: &Pair) -> StageMember {
    StageMember {
        stage,
        name: name.into(),
        pair_id: pair.id.clone(),
        group: None,
        gap: pair.gap,
        reason: String::new(),
    }
}

#[test]
fn both_formats_say_of_every_pair_what_the_run_says() -> Result<()> {
    let folder = TestFolder::new()?;
    for chat in [false, true] {
        let pairs: Vec<Pair> = (0..3).map(|n| pair(n, chat)).collect();
        let rows = whole_run(&pairs, &[]);
        for format in [ExportFormat::Jsonl, ExportFormat::Parquet] {
            let name = format!("rows-{chat}.{}", format.ending());
            let path = folder.write(&name, &written(&rows, format)?)?;
            let read = read_preferences(&Pairs::of(path))?;
            assert_eq!(read.len(), pairs.len());
            for (row, pair) in read.into_iter().zip(&pairs) {
                assert_eq!((row.id.as_ref(), row.prompt_id.as_ref()), (Some(&pair.id), Some(&pair.prompt_id)));
                assert_eq!((&row.group, &row.dimensions), (&pair.group, &pair.dimensions), "{format:?}");
                assert_eq!(row.texts, Some([&pair.prompt, &pair.chosen, &pair.rejected].map(PromptText::clone)));
                let ids = [&pair.prompt_token_ids, &pair.chosen_token_ids, &pair.rejected_token_ids].map(Vec::clone);
                assert_eq!(row.token_ids, Some(ids));
                assert_eq!(row.ratings, Some([pair.chosen_rating, pair.rejected_rating]));
                assert_eq!((row.gap, row.indices), (Some(pair.gap), Some([pair.chosen_index, pair.rejected_index])));
            }
        }
    }
    Ok(())
}

#[test]
fn a_row_names_its_first_stage_and_a_stages_file_keeps_its_order() {
    let pairs: Vec<Pair> = (0..3).map(|n| pair(n, false)).collect();
    let members = [member(0, "x", &pairs[1]), member(0, "x", &pairs[0]), member(1, "y", &pairs[1])];
    let of = |rows: Vec<Row<'_>>| rows.iter().map(|row| format!("{} {:?}", row.id, row.stage)).collect::<Vec<_>>();
    assert_eq!(of(whole_run(&pairs, &members)), ["p-0 Some(\"x\")", "p-1 Some(\"x\")", "p-2 None"]);
    assert_eq!(of(of_stage(&pairs, &members, 0)), ["p-1 Some(\"x\")", "p-0 Some(\"x\")"]);
    assert_eq!(of(of_stage(&pairs, &members, 1)), ["p-1 Some(\"y\")"]);
    assert_eq!(stages(&members).into_iter().collect::<Vec<_>>(), [(0, "x"), (1, "y")]);
}

#[test]
fn damaged_parquet_is_the_users_error() -> Result<()> {
    let folder = TestFolder::new()?;
    let pairs: Vec<Pair> = (0..3).map(|n| pair(n, true)).collect();
    let bytes = written(&whole_run(&pairs, &[]), ExportFormat::Parquet)?;
    for at in (0..bytes.len()).step_by(29).chain([bytes.len() - 9]) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        let path = folder.write("damaged.parquet", &damaged)?;
        // A changed letter of a text is no damage that can be seen.
        if let Err(error) = read_preferences(&Pairs::of(path)) {
            assert!(error.downcast_ref::<UserError>().is_some(), "byte {at}: {error:#}");
        }
    }
    let error =
        read_preferences(&Pairs::of(folder.write("cut.parquet", &bytes[..bytes.len() / 2])?)).expect_err("half a file");
    assert!(error.to_string().contains("cannot be read as Parquet"), "{error}");
    Ok(())
}
