//! What keys mean to each other: which section needs which, which exclude each other, which files must exist. The shape of
//! each value is `schema`'s business and already checked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::document::join;
use super::losses;
use super::problem::Problem;
use super::resolve::Needs;
use super::sections::{ConfigFile, Data, NewModel, PairSection, Pairs, Part, Score, Sft};
use crate::records::{Dimension, QuestionKind};

/// Every problem between keys. `base` is the folder that relative paths start from.
pub fn check(file: &ConfigFile, base: &Path, needs: Needs) -> Vec<Problem> {
    let mut check = Check { base, problems: Vec::new() };
    check.sources(file, needs);
    check.model(file, needs);
    match &file.sft {
        Some(sft) => check.sft(sft, file),
        None if needs.sft => {
            check.add("sft", "is missing: nothing says what to train", "add [sft] with steps and learning_rate")
        }
        None => {}
    }
    check.scorers(file, needs);
    if let Some(pairs) = &file.pairs {
        check.pairs(pairs, file);
    }
    check.training(file, needs);
    check.evaluation(file);
    check.problems
}

struct Check<'a> {
    base: &'a Path,
    problems: Vec<Problem>,
}

/// What a path must lead to.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    File,
    Folder,
    Either,
}

impl Check<'_> {
    fn add(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::new(path, message).hint(hint));
    }

    fn sources(&mut self, file: &ConfigFile, needs: Needs) {
        let made_elsewhere = file.generate.from.is_some() || file.pairs.is_some();
        match (&file.world, &file.data) {
            (Some(_), Some(_)) => self.add(
                "data",
                "and [world] are both there: the world makes its own prompts",
                "remove one of the two sections",
            ),
            (None, None) if needs.responses && !made_elsewhere => self.add(
                "data",
                "is missing: there are no prompts",
                "add [data] with paths = [\"prompts.jsonl\"], or generate.from with responses made elsewhere",
            ),
            _ => {}
        }
        if let Some(data) = &file.data {
            self.data(data, "data");
        }
        if let Some(from) = &file.generate.from {
            self.exists(from, "generate.from", Wanted::File);
        }
    }

    fn data(&mut self, data: &Data, path: &str) {
        self.all_exist(&data.paths, &join(path, "paths"), Wanted::File);
        if let Some(part) = data.part {
            self.part(part, &join(path, "part"));
        }
        if let Some([least, most]) = data.prefix_words
            && (least < 1 || least > most)
        {
            self.add(
                &join(path, "prefix_words"),
                format!("= [{least}, {most}]: must be two ordered numbers, the first at least 1"),
                "such as [2, 8]",
            );
        }
    }

    fn part(&mut self, part: Part, path: &str) {
        let Part { from, to } = part;
        if from >= to {
            self.add(
                path,
                format!("= {{ from = {from}, to = {to} }}: `from` must be below `to`"),
                "such as { from = 0.0, to = 0.8 }",
            );
        }
    }

    fn model(&mut self, file: &ConfigFile, needs: Needs) {
        let new = file.sft.as_ref().is_some_and(|sft| sft.model.is_some());
        let samples = needs.responses && file.generate.from.is_none() && file.pairs.is_none();
        let answers = needs.scores
            && file.scorer.iter().flat_map(|scorer| &scorer.grant).any(|kind| match kind {
                QuestionKind::Embed => file.models.embed.is_none(),
                QuestionKind::Entail => file.models.entail.is_none(),
                QuestionKind::Choose | QuestionKind::Likelihood | QuestionKind::Complete => true,
            });
        let tokenizes = needs.scores && file.pairs.is_some();
        let needed = needs.training || samples || answers || tokenizes;
        match &file.model.path {
            Some(path) => self.model_folder(path),
            None if file.sft.is_some() && !new => self.add(
                "sft.model",
                "and model.path are both missing: there is nothing to train",
                "describe a new model in [sft.model], or give model.path to train a model further",
            ),
            None if needed && !new => self.add(
                "model.path",
                "is missing: the model has no default",
                "give a Hugging Face model folder, or describe a new model in [sft.model]",
            ),
            None => {}
        }
        for (key, folder) in [("models.embed", &file.models.embed), ("models.entail", &file.models.entail)] {
            if let Some(folder) = folder {
                self.exists(folder, key, Wanted::Folder);
            }
        }
    }

    fn model_folder(&mut self, path: &Path) {
        if !self.exists(path, "model.path", Wanted::Folder) {
            return;
        }
        let config = self.base.join(path).join("config.json");
        if !config.is_file() {
            self.add(
                "model.path",
                format!("= {path:?}: {} does not exist", config.display()),
                "give a Hugging Face model folder: config.json, tokenizer.json and *.safetensors",
            );
        }
    }

    fn sft(&mut self, sft: &Sft, file: &ConfigFile) {
        let world = file.world.is_some();
        if sft.paths.is_empty() && !world {
            self.add("sft.paths", "is missing: there is no text to train on", "give text files, one document a line");
        }
        if !sft.paths.is_empty() && world {
            self.add(
                "sft.paths",
                "and [world] are both there: the world writes its own corpus",
                "remove one of the two",
            );
        }
        self.all_exist(&sft.paths, "sft.paths", Wanted::File);
        if let Some(part) = sft.part {
            self.part(part, "sft.part");
        }
        let Some(model) = &sft.model else { return };
        self.shape(model, sft);
        match &sft.tokenizer {
            Some(_) if world => self.add(
                "sft.tokenizer",
                "and [world] are both there: the world writes its own tokenizer",
                "remove [sft.tokenizer]",
            ),
            None if !world && file.model.path.is_none() => self.add(
                "sft.tokenizer",
                "is missing: a new model needs one",
                "add [sft.tokenizer] with kind = \"bpe\" and vocabulary = 4096",
            ),
            _ => {}
        }
    }

    fn shape(&mut self, model: &NewModel, sft: &Sft) {
        let NewModel { hidden, heads, .. } = *model;
        if hidden % heads != 0 || (hidden / heads) % 2 != 0 {
            self.add(
                "sft.model.heads",
                format!("= {heads}: must divide sft.model.hidden = {hidden} into even head sizes"),
                "rotary positions turn pairs of numbers, so a head needs an even size",
            );
        }
        if sft.max_tokens > model.positions {
            self.add(
                "sft.max_tokens",
                format!("= {}: must be at most sft.model.positions = {}", sft.max_tokens, model.positions),
                "set sft.max_tokens, or raise sft.model.positions",
            );
        }
    }

    fn scorers(&mut self, file: &ConfigFile, needs: Needs) {
        if needs.scores && file.scorer.is_empty() && file.pairs.is_none() {
            self.add("scorer", "is missing: nothing would be scored", "add [[scorer]] with plugin = \"semantic\"");
        }
        let mut names = BTreeSet::new();
        for (i, scorer) in file.scorer.iter().enumerate() {
            let name = scorer.name.as_deref().unwrap_or(&scorer.plugin);
            if !names.insert(name) {
                self.add(
                    &format!("scorer.{i}.name"),
                    format!("= {name:?}: an earlier scorer has the same name"),
                    "give each use of a plugin a `name` of its own",
                );
            }
        }
        let known: BTreeSet<&str> = Dimension::ALL.iter().map(|d| d.name()).collect();
        for (name, weight) in &file.score.weights {
            let path = join("score.weights", name);
            if !known.contains(name.as_str()) {
                self.add(&path, "is not a dimension", "the dimensions are semantic, factual and value");
            } else if *weight < 0.0 {
                self.problems.push(Problem::new(path, format!("= {weight}: must be at least 0")));
            }
        }
        let weights = &file.score.weights;
        if known.iter().all(|name| weights.get(*name) == Some(&0.0)) {
            self.add("score.weights", "are all 0", "leave out the ones that should weigh 1");
        }
        if let Some(scaler) = &file.score.scaler {
            self.exists(scaler, "score.scaler", Wanted::File);
        }
    }

    /// Pairs that are read leave nothing to do for what would make them.
    fn pairs(&mut self, pairs: &Pairs, file: &ConfigFile) {
        self.exists(&pairs.from, "pairs.from", Wanted::File);
        let unused = [
            ("data", file.data.is_some()),
            ("generate.from", file.generate.from.is_some()),
            ("scorer", !file.scorer.is_empty()),
            ("score", file.score != Score::default()),
            ("pair", file.pair != PairSection::default()),
        ];
        for (path, _) in unused.iter().filter(|(_, there)| *there) {
            self.add(
                path,
                "and [pairs] are both there: rows that are read are neither generated, scored nor paired",
                "remove one of the two",
            );
        }
        let [low, high] = pairs.rating_range;
        if low >= high {
            self.add(
                "pairs.rating_range",
                format!("= [{low}, {high}]: must be two ordered numbers"),
                "such as [1, 10]",
            );
        }
    }

    fn training(&mut self, file: &ConfigFile, needs: Needs) {
        if needs.stages && file.stage.is_none() && file.pairs.is_none() {
            self.add(
                "stage",
                "is missing: the staging policy has no default",
                "add [stage] with policy = \"terciles\"",
            );
        }
        let train = &file.train;
        self.problems.extend(losses::problems(train));
        if train.adam_betas.iter().any(|b| !(0.0..1.0).contains(b)) {
            let [first, second] = train.adam_betas;
            self.problems.push(Problem::new(
                "train.adam_betas",
                format!("= [{first}, {second}]: both must be at least 0 and below 1"),
            ));
        }
        if file.generate.top_p <= 0.0 {
            self.add("generate.top_p", format!("= {}: must be above 0", file.generate.top_p), "1 keeps every token");
        }
    }

    fn evaluation(&mut self, file: &ConfigFile) {
        let Some(evaluate) = &file.evaluate else {
            return;
        };
        if evaluate.patterns.is_none() && evaluate.classifier.is_none() && file.world.is_none() {
            self.add(
                "evaluate",
                "measures nothing",
                "give evaluate.patterns or [evaluate.classifier], or remove the section",
            );
        }
        if evaluate.tell_policy && file.stage.is_none() {
            self.add(
                "evaluate.tell_policy",
                "= true: there is no staging policy to tell",
                "add [stage] with a policy, or set evaluate.every_stage to measure after every stage",
            );
        }
        if let Some(patterns) = &evaluate.patterns {
            self.exists(patterns, "evaluate.patterns", Wanted::File);
        }
        if let Some(classifier) = &evaluate.classifier {
            let path = "evaluate.classifier";
            self.all_exist(&classifier.texts, &join(path, "texts"), Wanted::Either);
            self.all_exist(&classifier.other_texts, &join(path, "other_texts"), Wanted::Either);
            if let Some(check) = &classifier.check {
                self.all_exist(check, &join(path, "check"), Wanted::Either);
            }
            self.data(&classifier.prompts, &join(path, "prompts"));
        }
    }

    fn all_exist(&mut self, paths: &[PathBuf], key: &str, wanted: Wanted) {
        for (i, path) in paths.iter().enumerate() {
            self.exists(path, &join(key, &i.to_string()), wanted);
        }
    }

    fn exists(&mut self, path: &Path, key: &str, wanted: Wanted) -> bool {
        let full = self.base.join(path);
        let reason = match std::fs::metadata(&full) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                format!("{} does not exist", full.display())
            }
            Err(error) => format!("{} cannot be read: {error}", full.display()),
            Ok(found) => match wanted {
                Wanted::File if found.is_dir() => format!("{} is a folder", full.display()),
                Wanted::Folder if !found.is_dir() => format!("{} is not a folder", full.display()),
                _ => return true,
            },
        };
        let hint = match wanted {
            _ if path.is_absolute() => "check the path",
            _ => "relative paths start from the folder in which udasa is started",
        };
        self.add(key, format!("= {path:?}: {reason}"), hint);
        false
    }
}
