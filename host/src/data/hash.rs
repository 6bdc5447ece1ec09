//! Everything that is decided by content: ids, parts, draws and digests. SHA-256 throughout, so that the same content
//! gives the same decision in every file, order, run and machine.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::text;
use crate::config::Part;
use crate::records::PromptText;

/// Hex SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A prompt's id: the first 16 hex digits of the SHA-256 of its canonical form. The group is no part of it.
pub fn prompt_id(prompt: &PromptText) -> String {
    let mut id = sha256_hex(canonical(prompt).as_bytes());
    id.truncate(16);
    id
}

/// A JSON string, or a JSON list of `{"role", "content"}` in this order, without spaces.
fn canonical(prompt: &PromptText) -> String {
    match prompt {
        PromptText::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        PromptText::Chat(messages) => {
            let messages: Vec<String> = messages
                .iter()
                .map(|message| {
                    format!(
                        r#"{{"role":{},"content":{}}}"#,
                        serde_json::Value::from(message.role.as_str()),
                        serde_json::Value::from(message.content.as_str())
                    )
                })
                .collect();
            format!("[{}]", messages.join(","))
        }
    }
}

/// What `part` hashes: a text as it is, a dialogue in its canonical form. The same text falls into the same part
/// whether it stood in JSONL, CSV or a text file.
pub(super) fn content(prompt: &PromptText) -> String {
    match prompt {
        PromptText::Text(text) => text.clone(),
        PromptText::Chat(_) => canonical(prompt),
    }
}

/// Whether this content belongs to the part.
pub fn in_part(content: &str, part: &Part) -> bool {
    let place = unit_interval(Sha256::digest(content.as_bytes()).as_slice());
    part.from <= place && place < part.to
}

/// A number in [0, 1) that depends on nothing but the seed, what it is drawn for, and the id.
pub fn unit_draw(seed: u64, purpose: &str, id: &str) -> f64 {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update([0]);
    hasher.update(id.as_bytes());
    unit_interval(hasher.finalize().as_slice())
}

/// Another seed, which depends on nothing but this one, what it is for, and a number.
pub fn seed_for(seed: u64, purpose: &str, number: u64) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update([0]);
    hasher.update(number.to_le_bytes());
    leading_bits(hasher.finalize().as_slice())
}

/// The first 53 bits as a fraction: what an f64 holds exactly.
fn unit_interval(digest: &[u8]) -> f64 {
    (leading_bits(digest) >> 11) as f64 / (1_u64 << 53) as f64
}

fn leading_bits(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |bits, &byte| bits << 8 | u64::from(byte))
}

/// Hex SHA-256 over the contents of files, and of every file in folders, in order. For run keys.
pub fn digest<P: AsRef<Path>>(paths: &[P]) -> Result<String> {
    let mut all = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    for path in paths {
        for file in text::files(path.as_ref())? {
            let mut one = Sha256::new();
            let mut reader = File::open(&file).map_err(|error| text::cannot_read(&file, &error))?;
            loop {
                let n = reader.read(&mut buffer).with_context(|| format!("reading {}", file.display()))?;
                if n == 0 {
                    break;
                }
                one.update(&buffer[..n]);
            }
            // Digest of digests: moving a line from the end of one file to the start of the next shows.
            all.update(one.finalize());
        }
    }
    Ok(hex(&all.finalize()))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::test_folder::TestFolder;
    use crate::records::Message;

    fn part(from: f64, to: f64) -> Part {
        Part { from, to }
    }

    #[test]
    fn an_id_is_the_start_of_the_sha_256_of_the_canonical_form() {
        // printf '"hello"' | sha256sum
        assert_eq!(prompt_id(&PromptText::Text("hello".into())), "5aa762ae383fbb72");
        let chat = PromptText::Chat(vec![Message { role: "user".into(), content: "hi".into() }]);
        assert_eq!(canonical(&chat), r#"[{"role":"user","content":"hi"}]"#);
    }

    #[test]
    fn a_text_and_a_dialogue_of_the_same_words_differ() {
        let chat = PromptText::Chat(vec![]);
        assert_ne!(prompt_id(&chat), prompt_id(&PromptText::Text("[]".into())));
    }

    #[test]
    fn a_seed_for_something_differs_by_seed_purpose_and_number_alone() {
        let all = [seed_for(1, "a", 0), seed_for(1, "a", 1), seed_for(2, "a", 0), seed_for(1, "b", 0)];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{all:?}");
        assert_eq!(seed_for(1, "a", 1), all[1]);
    }

    #[test]
    fn parts_divide_without_gap_or_overlap() {
        let mut first = 0;
        for n in 0..2000 {
            let line = format!("line {n}");
            let a = in_part(&line, &part(0.0, 0.3));
            let b = in_part(&line, &part(0.3, 1.0));
            assert!(a != b, "{line}");
            first += usize::from(a);
        }
        assert!((500..700).contains(&first), "{first}");
    }

    #[test]
    fn the_whole_interval_holds_everything_and_an_empty_one_nothing() {
        assert!(in_part("", &part(0.0, 1.0)));
        assert!(!in_part("", &part(0.5, 0.5)));
        assert!(!in_part("", &part(f64::NAN, 1.0)));
    }

    #[test]
    fn a_draw_depends_on_seed_purpose_and_id() {
        let draw = unit_draw(1, "a", "b");
        assert!((0.0..1.0).contains(&draw));
        assert_eq!(draw, unit_draw(1, "a", "b"));
        assert_ne!(draw, unit_draw(2, "a", "b"));
        assert_ne!(draw, unit_draw(1, "ab", ""));
    }

    #[test]
    fn a_digest_sees_content_and_file_borders() -> Result<()> {
        let folder = TestFolder::new()?;
        let [a, b] = [folder.write("a", b"1\n2\n")?, folder.write("b", b"3\n")?];
        let whole = digest(&[&a, &b])?;
        folder.write("a", b"1\n")?;
        folder.write("b", b"2\n3\n")?;
        assert_ne!(whole, digest(&[&a, &b])?);
        assert_ne!(digest(&[&a, &b])?, digest(&[&b, &a])?);
        assert!(digest(&[folder.path().join("none")]).is_err());
        Ok(())
    }
}
