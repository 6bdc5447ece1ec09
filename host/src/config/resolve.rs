//! From the file as typed to the config as meant. The only way to a [`Config`].

use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::cross;
use super::document::{Document, parent};
use super::overrides;
use super::problem::{Origin, Problem};
use super::schema::Schema;
use super::sections::{ConfigFile, Data};

/// Which rooms are about to run, as far as it decides what a config must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// `sft`, asked for by name.
    pub sft: bool,
    /// `generate`.
    pub responses: bool,
    /// `score`.
    pub scores: bool,
    /// `stage`.
    pub stages: bool,
    /// `train` or `evaluate`.
    pub training: bool,
}

/// A checked config: paths absolute, `world.seed`, `train.learning_rate` and every `scorer.name` filled in.
///
/// Reads like the file (`cfg.train.beta`).
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    file: ConfigFile,
}

impl Deref for Config {
    type Target = ConfigFile;

    fn deref(&self) -> &ConfigFile {
        &self.file
    }
}

/// Learning rates where the config names none (docs/method.md).
const RATE_FULL: f64 = 5e-7;
const RATE_LORA: f64 = 1e-5;

impl Config {
    /// The peak learning rate of preference training.
    pub fn learning_rate(&self) -> f64 {
        let default = match self.train.lora {
            Some(_) => RATE_LORA,
            None => RATE_FULL,
        };
        self.train.learning_rate.unwrap_or(default)
    }

    /// The seed the world is drawn from.
    pub fn world_seed(&self) -> u64 {
        let own = self.world.as_ref().and_then(|world| world.seed);
        own.unwrap_or(self.seed)
    }

    /// The config as TOML, every default written out.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&self.file)
    }
}

/// Reads and checks a config for no room in particular.
pub fn resolve(file: &Path, overrides: &[String], base: &Path) -> Result<Config, Vec<Problem>> {
    resolve_for(file, overrides, base, Needs::default())
}

/// Reads a config, applies `--set`s, checks everything, and fills in what follows from other keys. Relative paths in the
/// config start from `base`.
pub fn resolve_for(file: &Path, overrides: &[String], base: &Path, needs: Needs) -> Result<Config, Vec<Problem>> {
    let text = std::fs::read_to_string(base.join(file)).map_err(|error| {
        let problem = Problem::new("", format!("cannot be read: {error}"));
        vec![problem.hint("give the path of a config, such as configs/mini.toml")]
    })?;
    resolve_text(&text, overrides, base, needs)
}

/// The same from a config's text.
pub fn resolve_text(text: &str, overrides: &[String], base: &Path, needs: Needs) -> Result<Config, Vec<Problem>> {
    let mut document = Document::parse(text)?;
    let mut problems = overrides::apply(&mut document, overrides);
    problems.extend(Schema::of_config().check(&document));

    // The sound part of a faulty document is checked across keys too, so that one round of corrections is enough.
    let mut sound = document.clone();
    for problem in &problems {
        sound.remove(&problem.path);
    }
    let typed = serde_json::from_value::<ConfigFile>(sound.root.clone());
    match &typed {
        Ok(file) => {
            let more = cross::check(file, base, needs);
            let faulty: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
            let more: Vec<Problem> = more.into_iter().filter(|problem| !follows(problem, &faulty, &sound)).collect();
            problems.extend(more);
        }
        // The schema is made from the types, so this is a rule that it cannot express.
        Err(error) if problems.is_empty() => problems.push(Problem::new("", error.to_string())),
        Err(_) => {}
    }
    match typed {
        Ok(file) if problems.is_empty() => Ok(Config { file: filled_in(file, base) }),
        _ => {
            for problem in &mut problems {
                if problem.origin.is_none() {
                    problem.origin = document.origin(&problem.path).cloned();
                }
            }
            problems.sort_by_key(|problem| match problem.origin {
                Some(Origin::Line(line)) => line,
                None => usize::MAX - 1,
                Some(Origin::Set(_)) => usize::MAX,
            });
            Err(problems)
        }
    }
}

/// Whether a problem across keys may only be the echo of a faulty key beside it: `model.pth` makes `model.path` missing.
fn follows(problem: &Problem, faulty: &[&str], sound: &Document) -> bool {
    sound.get(&problem.path).is_none()
        && faulty.iter().any(|path| parent(path) == parent(&problem.path) && !path.is_empty())
}

fn filled_in(mut file: ConfigFile, base: &Path) -> ConfigFile {
    let absolute = |path: &mut PathBuf| {
        let full = base.join(&*path);
        *path = std::path::absolute(&full).unwrap_or(full);
    };
    let data = |data: &mut Data| data.paths.iter_mut().for_each(absolute);
    if let Some(section) = &mut file.data {
        data(section);
    }
    file.model.path.iter_mut().for_each(absolute);
    file.models.embed.iter_mut().chain(&mut file.models.entail).for_each(absolute);
    if let Some(sft) = &mut file.sft {
        sft.paths.iter_mut().for_each(absolute);
    }
    file.generate.from.iter_mut().for_each(absolute);
    file.score.scaler.iter_mut().for_each(absolute);
    file.pairs.iter_mut().for_each(|pairs| absolute(&mut pairs.from));
    if let Some(evaluate) = &mut file.evaluate {
        evaluate.patterns.iter_mut().for_each(absolute);
        if let Some(classifier) = &mut evaluate.classifier {
            classifier.texts.iter_mut().for_each(absolute);
            classifier.other_texts.iter_mut().for_each(absolute);
            classifier.check.iter_mut().flatten().for_each(absolute);
            data(&mut classifier.prompts);
        }
    }
    for scorer in &mut file.scorer {
        scorer.name.get_or_insert_with(|| scorer.plugin.clone());
    }
    let mut config = Config { file };
    let (rate, seed) = (config.learning_rate(), config.world_seed());
    config.file.train.learning_rate = Some(rate);
    if let Some(world) = &mut config.file.world {
        world.seed = Some(seed);
    }
    config.file
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Needs = Needs { sft: false, responses: true, scores: true, stages: true, training: true };

    fn problems(text: &str, overrides: &[&str], needs: Needs) -> Vec<String> {
        let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        match resolve_text(text, &overrides, Path::new("/nowhere"), needs) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    const SMALL: &str = r#"
name = "x"
[world]
kind = "mini"
[sft]
steps = 1
learning_rate = 1e-3
max_tokens = 8
[sft.model]
hidden = 8
heads = 2
layers = 1
feed_forward = 8
[[scorer]]
plugin = "semantic"
[stage]
policy = "terciles"
"#;

    #[test]
    fn what_follows_from_other_keys_is_filled_in() {
        let config = resolve_text(SMALL, &["seed=7".into()], Path::new("/base"), ALL).expect("a sound config");
        assert_eq!(config.world_seed(), 7);
        assert_eq!(config.world.as_ref().and_then(|w| w.seed), Some(7));
        assert_eq!(config.train.learning_rate, Some(RATE_FULL));
        assert_eq!(config.scorer[0].name.as_deref(), Some("semantic"));
        let lora = ["train.lora.rank=2".into(), "train.lora.alpha=4".into()];
        let config = resolve_text(SMALL, &lora, Path::new("/base"), ALL).expect("a sound config");
        assert_eq!(config.learning_rate(), RATE_LORA);
    }

    #[test]
    fn the_resolved_form_can_be_read_again_and_says_the_same() {
        let config = resolve_text(SMALL, &[], Path::new("/base"), ALL).expect("a sound config");
        let text = config.to_toml().expect("TOML");
        let again = resolve_text(&text, &[], Path::new("/elsewhere"), ALL).expect("still sound");
        assert_eq!(again, config);
    }

    #[test]
    fn a_mix_of_losses_is_read_written_and_set_term_by_term() {
        let mix = "[[train.loss]]\nname = \"dpo\"\n[[train.loss]]\nname = \"simpo\"\nweight = 0.5\nbeta = 2.0\n";
        let text = format!("{SMALL}{mix}");
        let config =
            resolve_text(&text, &["train.loss.simpo.weight=2".into()], Path::new("/base"), ALL).expect("sound");
        let terms: Vec<_> = config.train.loss.terms().into_iter().map(|t| (t.name.name(), t.weight, t.beta)).collect();
        assert_eq!(terms, [("dpo", 1.0, None), ("simpo", 2.0, Some(2.0))]);
        let written = config.to_toml().expect("TOML");
        let again = resolve_text(&written, &[], Path::new("/elsewhere"), ALL).expect("still sound");
        assert_eq!(again, config);
    }

    #[test]
    fn problems_of_every_kind_come_at_once_in_the_order_of_the_file() {
        let text = SMALL.replace("heads = 2", "heads = 3").replace("steps = 1", "steps = 0");
        let all = problems(&text, &["train.beta=-1", "trian.beta=1"], ALL);
        assert_eq!(
            all,
            [
                "line 6: sft.steps = 0: must be at least 1",
                "--set train.beta=-1: train.beta = -1: must be between 0 and 100",
                "--set trian.beta=1: trian is not a key of the config",
            ],
            "`sft.steps` has no default, so the rest of `sft` waits"
        );
        let text = SMALL.replace("heads = 2", "heads = 3");
        let all = problems(&text, &["train.beta=-1"], ALL);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0].starts_with("line 11: sft.model.heads = 3: must divide"), "{all:?}");
    }

    #[test]
    fn a_mistyped_key_is_not_reported_as_missing_too() {
        let text = "name = \"x\"\n[data]\npaths = [\"/\"]\n[model]\npth = \"m\"\n";
        let all = problems(text, &[], Needs { training: true, ..Needs::default() });
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0].contains("data.paths.0 = \"/\": / is a folder"), "{all:?}");
        assert!(all[1].contains("model.pth is not a key"), "{all:?}");
    }

    #[test]
    fn sections_that_need_or_exclude_each_other_are_checked() {
        for (text, overrides, expected) in [
            ("name = \"x\"", &[] as &[&str], "data is missing"),
            ("name = \"x\"", &[], "model.path is missing"),
            ("name = \"x\"", &[], "scorer is missing"),
            ("name = \"x\"", &[], "stage is missing"),
            (SMALL, &["data.paths=[\"a\"]"], "data and [world] are both there"),
            (SMALL, &["data.paths=[\"a\"]"], "data.paths.0 = \"a\": /nowhere/a does not exist"),
            (SMALL, &["sft.paths=[\"a\"]"], "sft.paths and [world] are both there"),
            (SMALL, &["sft.tokenizer={kind=\"bpe\", vocabulary=99}"], "writes its own tokenizer"),
            (SMALL, &["sft.max_tokens=9999"], "must be at most sft.model.positions"),
            (SMALL, &["sft.part={from=0.5, to=0.5}"], "`from` must be below `to`"),
            (SMALL, &["data={paths=[\"a\"], prefix_words=[0, 2]}"], "data.prefix_words = [0, 2]"),
            (SMALL, &["score.weights.truth=1"], "score.weights.truth is not a dimension"),
            (SMALL, &["score.weights={semantic=0, factual=0.0, value=0}"], "score.weights are all 0"),
            (SMALL, &["scorer=[{plugin=\"a\"}, {plugin=\"a\"}]"], "scorer.1.name = \"a\""),
            (SMALL, &["pairs.from=\"a\""], "pairs.from = \"a\": /nowhere/a does not exist"),
            (SMALL, &["pairs.from=\"a\""], "scorer and [pairs] are both there"),
            (SMALL, &["pairs.from=\"a\"", "pair.min_gap=0.5"], "pair and [pairs] are both there"),
            (SMALL, &["pairs={from=\"a\", rating_range=[1, 1]}"], "pairs.rating_range = [1, 1]"),
            (SMALL, &["train.beta=0"], "train.beta = 0: must be above 0"),
            (SMALL, &["train.loss=[{name=\"nca\"}, {name=\"nca\"}]"], "train.loss.1.name = \"nca\": is there already"),
            (SMALL, &["train.loss=[{name=\"nca\", weight=0}]"], "train.loss has only weights of 0"),
            (SMALL, &["train.loss=[{name=\"nca\", beta=0}]"], "train.loss.0.beta = 0: must be above 0"),
            (
                SMALL,
                &["train.loss=robust", "train.label_smoothing=0.5"],
                "train.label_smoothing = 0.5: must be below 0.5",
            ),
            (SMALL, &["train.adam_betas=[0.9, 1.0]"], "train.adam_betas"),
            (
                "name = \"x\"\n[generate]\nfrom = \"r\"\n[[scorer]]\nplugin = \"p\"\ngrant = [\"choose\"]",
                &[],
                "model.path is missing",
            ),
            (SMALL, &["model.path=\"m\""], "/nowhere/m does not exist"),
        ] {
            let all = problems(text, overrides, ALL);
            assert!(all.iter().any(|p| p.contains(expected)), "{expected}: {all:?}");
        }
    }

    #[test]
    fn what_no_room_needs_may_be_missing() {
        assert!(problems("name = \"x\"", &[], Needs::default()).is_empty());
    }
}
