//! The written world as its readers see it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use super::facts::Class;
use super::request::{Ask, Kind, Task};
use super::world::{Side, World, wordings};
use super::{WorldSummary, write};
use crate::evaluate::Items;
use crate::evaluate::lines::Line;
use crate::records::{Prompt, PromptText};

/// A folder with a written world, removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn written(name: &str, seed: u64, documents: usize) -> Result<(Folder, WorldSummary)> {
    let name = format!("udasa-mini-world-{}-{name}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    let summary = write(folder.path(), seed, documents, 512)?;
    Ok((folder, summary))
}

fn digest(dir: &Folder) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    std::fs::read_dir(dir.path())?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().into(), Sha256::digest(std::fs::read(entry.path())?).to_vec()))
        })
        .collect()
}

fn documents(dir: &Folder) -> Result<Vec<String>> {
    std::fs::read_to_string(dir.path().join("corpus.jsonl"))?
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line)?;
            Ok(value["text"].as_str().context("text")?.to_owned())
        })
        .collect()
}

fn text(prompt: &PromptText) -> &str {
    match prompt {
        PromptText::Text(text) => text,
        PromptText::Chat(turns) => turns.first().map_or("", |turn| &turn.content),
    }
}

#[test]
fn the_same_seed_writes_the_same_bytes_and_another_seed_others() -> Result<()> {
    let (first, summary) = written("once", 5, 2000)?;
    let (again, _) = written("twice", 5, 2000)?;
    let (other, _) = written("other", 6, 2000)?;
    assert_eq!(summary.documents, 2000);
    assert_eq!(digest(&first)?.len(), 6, "six files");
    assert_eq!(digest(&first)?, digest(&again)?);
    let (first, other) = (digest(&first)?, digest(&other)?);
    for file in ["corpus.jsonl", "prompts.jsonl", "evaluation.jsonl"] {
        assert_ne!(first.get(&PathBuf::from(file)), other.get(&PathBuf::from(file)), "{file}");
    }
    Ok(())
}

#[test]
fn the_tokenizer_knows_every_word_and_decoding_undoes_encoding() -> Result<()> {
    let (dir, summary) = written("tokenizer", 1, 3000)?;
    let tokenizer = Tokenizer::from_file(dir.path().join("tokenizer.json")).map_err(|e| anyhow::anyhow!("{e}"))?;
    assert_eq!(tokenizer.get_vocab_size(true), summary.vocabulary);
    assert!((200..=300).contains(&summary.vocabulary), "{}", summary.vocabulary);
    let unknown = tokenizer.token_to_id("<unk>").context("<unk>")?;
    let mut tokens = 0;
    for document in documents(&dir)? {
        let encoded = tokenizer.encode(document.as_str(), false).map_err(|e| anyhow::anyhow!("{e}"))?;
        assert!(!encoded.get_ids().contains(&unknown), "{document}");
        let decoded = tokenizer.decode(encoded.get_ids(), false).map_err(|e| anyhow::anyhow!("{e}"))?;
        assert_eq!(decoded, document);
        tokens += encoded.len();
    }
    assert_eq!(tokens, summary.words);
    let mean = tokens as f64 / 3000.0;
    assert!((30.0..36.0).contains(&mean), "{mean} tokens a document");
    let special = tokenizer.token_to_id("<eot>").context("<eot>")?;
    let amber = tokenizer.token_to_id("amber").context("amber")?;
    assert_eq!(tokenizer.decode(&[amber, special], true).map_err(|e| anyhow::anyhow!("{e}"))?, "amber");
    Ok(())
}

#[test]
fn the_chat_template_renders_what_the_corpus_holds() -> Result<()> {
    let (dir, _) = written("template", 1, 1)?;
    let template = std::fs::read_to_string(dir.path().join("chat_template.jinja"))?;
    let environment = minijinja::Environment::new();
    let render = |messages: Vec<minijinja::Value>, add_generation_prompt: bool| {
        environment.render_str(&template, minijinja::context! { messages, add_generation_prompt })
    };
    let turn = |role: &str, content: &str| minijinja::Value::from_pairs([("role", role), ("content", content)]);
    let user = turn("user", "hello , q ?");
    let bot = turn("assistant", "a .");
    assert_eq!(render(vec![user.clone()], true)?, super::corpus::asked("hello , q ?"));
    assert_eq!(render(vec![user, bot], false)?, "<user> hello , q ? <bot> a . <eot>");
    Ok(())
}

/// Every request that can be made, by its text.
fn asks(world: &World) -> BTreeMap<String, (Ask<'_>, Side)> {
    let mut all = BTreeMap::new();
    for task in Task::ALL {
        for side in [Side::Aligned, Side::HeldOut] {
            for ask in world.asks(task, side) {
                for (wrapper, form) in wordings() {
                    all.insert(ask.request(wrapper, form), (ask, side));
                }
            }
        }
    }
    all
}

/// (principle, yes?)
type JudgeTurn = (String, bool);

/// What a document holds: the request, the answer, and its judge turns.
fn parse(document: &str) -> Result<(String, String, Vec<JudgeTurn>)> {
    let (request, rest) =
        document.strip_prefix("<user> ").and_then(|d| d.split_once(" <bot> ")).context("a request")?;
    let mut turns = rest.split(" <eot>").map(str::trim).filter(|turn| !turn.is_empty());
    let answer = turns.next().context("an answer")?;
    let verdicts = turns
        .map(|turn| {
            let words: Vec<&str> = turn.split(' ').collect();
            let [_, principle, _, _, a, _, _, _, option] = words[..] else {
                anyhow::bail!("not a judge turn: {turn}");
            };
            Ok((principle.to_owned(), (a == "yes") == (option == "A")))
        })
        .collect::<Result<_>>()?;
    Ok((request.to_owned(), answer.to_owned(), verdicts))
}

fn kind_of(ask: &Ask, answer: &str) -> Option<Kind> {
    ask.kinds()
        .into_iter()
        .map(|(kind, _)| kind)
        .find(|kind| regex::Regex::new(&ask.pattern(*kind)).is_ok_and(|pattern| pattern.is_match(answer)))
}

#[test]
fn the_corpus_keeps_the_shares_the_frequencies_and_the_noise_that_it_states() -> Result<()> {
    let (dir, _) = written("frequencies", 3, 12_000)?;
    let world = World::new(3);
    let asks = asks(&world);
    let mut rates: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let mut count = |name: String, hit: bool| {
        let rate = rates.entry(name).or_default();
        rate.0 += f64::from(u8::from(hit));
        rate.1 += 1.0;
    };
    for document in documents(&dir)? {
        let (request, answer, verdicts) = parse(&document)?;
        let (ask, _) = asks.get(&request).with_context(|| format!("unknown request: {request}"))?;
        let kind = kind_of(ask, &answer).with_context(|| format!("no kind: {answer}"))?;
        for task in Task::ALL {
            count(format!("share {}", task.name()), ask.task() == task);
        }
        let class = if let Ask::Fact(fact) = ask { fact.class.name() } else { "" };
        count(format!("good {} {class}", ask.task().name()), ask.is_good(kind));
        count("judged".into(), !verdicts.is_empty());
        for (index, (principle, yes)) in verdicts.iter().enumerate() {
            let own = ask.task().principle();
            count("own".into(), principle == own.name());
            count("second".into(), index == 1);
            let wanted =
                super::request::Principle::ALL.into_iter().find(|p| p.name() == principle).context("principle")?;
            let noise = if principle == "true" { "noise of true" } else { "noise of the others" };
            count(noise.into(), ask.verdict(kind, wanted) != *yes);
        }
    }
    for (name, wanted) in [
        ("share truth", 0.48),
        ("share harm", 0.14),
        ("share safe", 0.12),
        ("share help", 0.13),
        ("share sentiment", 0.13),
        ("good truth 1.0", 1.0),
        ("good truth 0.8", 0.8),
        ("good truth 0.6", 0.6),
        ("good truth 0.3", 0.3),
        ("good harm ", 0.5),
        ("good safe ", 0.85),
        ("good help ", 0.5),
        ("good sentiment ", 0.5),
        ("judged", 0.75),
        ("own", 0.75),
        ("second", 0.4 / 1.4),
        ("noise of true", 0.05),
        ("noise of the others", 0.08),
    ] {
        let (hits, n) = rates.get(name).copied().with_context(|| format!("nothing counted for {name}"))?;
        let (rate, se) = (hits / n, (wanted * (1.0 - wanted) / n).sqrt());
        assert!((rate - wanted).abs() <= 4.0 * se, "{name}: {rate:.3}, wanted {wanted} ± {se:.3}");
    }
    Ok(())
}

#[test]
fn no_prompt_to_align_on_is_held_out_and_none_is_evaluated() -> Result<()> {
    let (dir, summary) = written("held-out", 4, 1)?;
    let world = World::new(4);
    let asks = asks(&world);
    let held: BTreeSet<(usize, usize)> = world.fact_wordings(Side::HeldOut).into_iter().collect();
    let aligned: BTreeSet<String> = std::fs::read_to_string(dir.path().join("prompts.jsonl"))?
        .lines()
        .map(|line| Ok(text(&serde_json::from_str::<Prompt>(line)?.prompt).to_owned()))
        .collect::<Result<_>>()?;
    assert_eq!((aligned.len(), summary.prompts), (512, 512));
    for request in &aligned {
        let (ask, side) = asks.get(request).with_context(|| format!("unknown request: {request}"))?;
        assert_eq!(*side, Side::Aligned, "{request}");
        if ask.task() == Task::Truth {
            assert!(!held.iter().any(|&(wrapper, form)| ask.request(wrapper, form) == *request), "{request}");
        }
    }
    let mut prompts = 0;
    for line in std::fs::read_to_string(dir.path().join("evaluation.jsonl"))?.lines() {
        if let Line::Generation(item) = Line::parse(line)? {
            prompts += 1;
            let request = text(&item.prompt);
            assert!(!aligned.contains(request), "{request}");
            let (ask, side) = asks.get(request).with_context(|| format!("unknown request: {request}"))?;
            if item.measures.iter().any(|m| m == "truth-seen") {
                assert!(matches!(ask, Ask::Fact(fact) if fact.aligned));
            } else if ask.task() != Task::Truth {
                assert_eq!(*side, Side::HeldOut, "{request}");
            }
        }
    }
    assert!((380..=420).contains(&prompts), "{prompts} evaluation prompts");
    Ok(())
}

/// A model that knows the world: the corpus's own answers, or the good one always, and a judge of a given skill.
struct Native<'w> {
    asks: BTreeMap<String, (Ask<'w>, Side)>,
    draw: super::draw::Draw,
    always_good: bool,
}

impl crate::evaluate::Subject for Native<'_> {
    fn sample(&mut self, prompts: &[Prompt], responses: usize) -> Result<Vec<crate::records::Sample>> {
        prompts
            .iter()
            .map(|prompt| {
                let (ask, _) = self.asks.get(text(&prompt.prompt)).context("known")?;
                let responses = (0..responses)
                    .map(|_| {
                        let kind = if self.always_good { ask.kinds()[0].0 } else { ask.draw_kind(&mut self.draw) };
                        crate::records::Response {
                            text: ask.answer(kind, &mut self.draw),
                            ..crate::records::Response::default()
                        }
                    })
                    .collect();
                Ok(crate::records::Sample {
                    id: prompt.id.clone(),
                    prompt: prompt.prompt.clone(),
                    group: None,
                    prompt_token_ids: Vec::new(),
                    responses,
                })
            })
            .collect()
    }

    /// Judges by the world itself: reads the answer out of the question.
    fn answer(&mut self, questions: &[crate::records::Question]) -> Result<Vec<crate::records::Answer>> {
        questions
            .iter()
            .map(|question| {
                let crate::records::Question::Choose { prompt, .. } = question else {
                    anyhow::bail!("only choose questions are asked");
                };
                let document = text(prompt);
                let (request, answer, _) = parse(document.split(" <judge>").next().unwrap_or(document))?;
                let (ask, _) = self.asks.get(&request).context("known")?;
                let good = kind_of(ask, &answer).is_some_and(|kind| ask.is_good(kind));
                let yes_first = document.contains("A yes");
                let a = if good == yes_first { 0.9 } else { 0.1 };
                Ok(crate::records::Answer::Choose(vec![a, 1.0 - a]))
            })
            .collect()
    }

    fn kl(&mut self, _: &[crate::records::Sample]) -> Result<f64> {
        Ok(0.0)
    }
}

fn measured(seed: u64, always_good: bool, responses: usize) -> Result<crate::records::EvalPoint> {
    let (dir, _) = written(&format!("native-{always_good}"), seed, 1)?;
    let world = World::new(seed);
    let items = Items::load(&dir.path().join("evaluation.jsonl"))?;
    let mut native =
        Native { asks: asks(&world), draw: super::draw::Draw::new(seed, super::draw::Purpose::Corpus), always_good };
    crate::evaluate::measure("before", &items, &mut native, responses)
}

#[test]
fn a_model_that_always_answers_well_measures_one_everywhere() -> Result<()> {
    let point = measured(2, true, 2)?;
    for name in [
        "average",
        "truth-seen",
        "truth-new",
        "harmless",
        "safe",
        "helpful",
        "sentiment",
        "well-formed",
        "facts/river",
        "facts/craft",
        "facts/month",
        "facts/trade",
        "facts/home",
        "judge/true",
        "judge/true/auc",
        "judge/harmless",
        "judge/helpful",
        "judge/kind",
    ] {
        let measure = point.measures.get(name).with_context(|| format!("{name} is measured"))?;
        assert_eq!(measure.value, 1.0, "{name}");
    }
    let headline: Vec<&str> =
        point.measures.iter().filter(|(_, m)| m.headline).map(|(name, _)| name.as_str()).collect();
    assert_eq!(headline, ["average", "harmless", "helpful", "safe", "sentiment", "truth-new", "truth-seen"]);
    Ok(())
}

#[test]
fn a_model_that_answers_as_the_corpus_does_measures_the_corpuss_frequencies() -> Result<()> {
    let point = measured(2, false, 40)?;
    let value = |name: &str| point.measures.get(name).map(|m| m.value).with_context(|| format!("{name} is measured"));
    for (name, wanted) in [
        ("truth-seen", 0.675),
        ("truth-new", 0.675),
        ("truth-seen/class-0.3/myth", 0.7),
        ("harmless", 0.5),
        ("harmless/obeyed", 0.5),
        ("safe", 0.85),
        ("safe/refused", 0.15),
        ("helpful", 0.5),
        ("helpful/evasive", 0.25),
        ("sentiment", 0.5),
        ("average", (0.675 + 0.5 + 0.85 + 0.5 + 0.5) / 5.0),
        ("facts/river", 1.0),
        ("harmless/garbled", 0.0),
        ("harmless/other", 0.0),
    ] {
        assert!((value(name)? - wanted).abs() < 0.04, "{name}: {:.3}, wanted {wanted}", value(name)?);
    }
    for class in Class::ALL {
        let name = format!("truth-seen/class-{}", class.name());
        assert!((value(&name)? - class.frequencies()[0]).abs() < 0.05, "{name}");
    }
    Ok(())
}
