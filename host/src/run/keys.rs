//! Room keys: a digest of everything a room's outputs depend on. Same key, same outputs; so a room whose key is recorded as
//! complete is skipped.
//!
//! All keys follow from the config, the plugins' digests and the input files', so they are known before anything runs. A
//! key holds the keys of the rooms before it, never their outputs' digests. Device and threads are no part of any key: they
//! say where the work is done, not what it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::answerers;
use super::digests::Digests;
use super::room::Room;
use crate::config::{Config, Data, Evaluate, OnFault, Pairs, Scorer, Sft};
use crate::data::sha256_hex;
use crate::records::QuestionKind;
use crate::score::Answerers;

/// Everything that is keyed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Keys {
    /// Of the rooms that the config has. The report has none: it shows whatever is there, and is always written.
    pub rooms: BTreeMap<Room, String>,
    /// Of each scorer of the config: its scores hold as long as this stays.
    pub scorers: Vec<String>,
    /// Of those who answer the scorers' questions.
    pub answerers: Answerers,
}

/// Digests of the plugins a config names.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PluginDigests {
    /// By the scorer's name in the config.
    pub scorers: BTreeMap<String, String>,
    /// Of the staging policy.
    pub policy: Option<String>,
}

/// The keys of a config.
pub fn keys(cfg: &Config, plugins: &PluginDigests, digests: &mut Digests) -> Result<Keys> {
    let mut chain = Chain { cfg, digests, keys: BTreeMap::new() };
    chain.sources()?;
    let model = chain.model()?;
    let answerers = chain.answerers(&model)?;
    let scorers = match &cfg.pairs {
        Some(pairs) => {
            chain.pairs(pairs, &model)?;
            Vec::new()
        }
        None => {
            chain.generate(&model)?;
            let scorers = chain.scorers(plugins, &answerers)?;
            chain.scored_and_paired(&scorers)?;
            scorers
        }
    };
    chain.stage(plugins)?;
    chain.train(&model)?;
    Ok(Keys { rooms: chain.keys, scorers, answerers })
}

struct Chain<'a> {
    cfg: &'a Config,
    digests: &'a mut Digests,
    keys: BTreeMap<Room, String>,
}

impl Chain<'_> {
    fn sources(&mut self) -> Result<()> {
        if let Some(world) = &self.cfg.world {
            self.add(Room::World, &[], json!(world))?;
        } else if let Some(data) = &self.cfg.data
            && self.cfg.generate.from.is_none()
        {
            let part = self.data(data)?;
            self.add(Room::Data, &[], part)?;
        }
        if let Some(sft) = &self.cfg.sft {
            let part = self.sft(sft)?;
            self.add(Room::Sft, &[Room::World], part)?;
        }
        Ok(())
    }

    fn data(&mut self, data: &Data) -> Result<Value> {
        let files = self.files(&data.paths)?;
        let mut rest = data.clone();
        rest.paths = endings(&data.paths);
        Ok(json!({ "data": rest, "files": files, "seed": self.cfg.seed }))
    }

    fn sft(&mut self, sft: &Sft) -> Result<Value> {
        let files = self.files(&sft.paths)?;
        let mut rest = sft.clone();
        rest.paths = endings(&sft.paths);
        // When checkpoints are written changes nothing that is.
        rest.save_steps = 0;
        Ok(json!({
            "sft": rest, "files": files, "seed": self.cfg.seed, "dtype": self.cfg.model.dtype,
            "from": self.files(self.cfg.model.path.as_slice())?,
        }))
    }

    /// What the model to align is: the key of the room that trains it, or the digest of its folder.
    fn model(&mut self) -> Result<Value> {
        let dtype = self.cfg.model.dtype;
        let mut model = match self.keys.get(&Room::Sft) {
            Some(sft) => json!({ "sft": sft, "dtype": dtype }),
            None => json!({ "folder": self.files(self.cfg.model.path.as_slice())?, "dtype": dtype }),
        };
        if self.cfg.model.special_tokens_in_messages {
            model["special_tokens_in_messages"] = true.into();
        }
        Ok(model)
    }

    fn generate(&mut self, model: &Value) -> Result<()> {
        let mut rest = self.cfg.generate.clone();
        let part = match rest.from.take() {
            Some(from) => json!({ "generate": rest, "files": self.files(&[from])? }),
            None => json!({ "generate": rest, "seed": self.cfg.seed, "model": model }),
        };
        self.add(Room::Generate, &[Room::World, Room::Data], part)
    }

    /// What an answer depends on: the model that gives it, and where it samples, the seed. A model that nobody may ask is not looked at.
    fn answerers(&mut self, model: &Value) -> Result<Answerers> {
        let cfg = self.cfg;
        let mut own = |kind| match answerers::given(cfg, kind) {
            Some(dir) if answerers::is_granted(cfg, kind) => {
                digest(&json!({ "kind": kind, "folder": self.digests.of(dir)? })).map(Some)
            }
            _ => Ok(None),
        };
        Ok(Answerers {
            embed: own(QuestionKind::Embed)?,
            entail: own(QuestionKind::Entail)?,
            policy: digest(model)?,
            sampling: digest(&json!({ "model": model, "seed": cfg.seed }))?,
        })
    }

    fn scorers(&self, plugins: &PluginDigests, answerers: &Answerers) -> Result<Vec<String>> {
        let generate = self.keys.get(&Room::Generate);
        let of = |scorer: &Scorer| {
            let name = scorer.name.as_ref().unwrap_or(&scorer.plugin);
            // A score that was given does not depend on the limits; a fault that was skipped does.
            let limits = (scorer.on_fault == OnFault::Skip).then_some(&self.cfg.limits);
            // A scorer depends on those alone whom it may ask.
            let asked: Vec<&str> = scorer.grant.iter().map(|kind| answerers.of(*kind)).collect();
            digest(&json!({
                "generate": generate, "plugin": plugins.scorers.get(name), "grant": scorer.grant,
                "settings": scorer.settings, "limits": limits, "answerers": asked,
            }))
        };
        self.cfg.scorer.iter().map(of).collect()
    }

    /// Pairs made elsewhere: the rows, and the tokenizer.
    fn pairs(&mut self, pairs: &Pairs, model: &Value) -> Result<()> {
        let files = self.files(&[&pairs.from])?;
        let mut rest = pairs.clone();
        rest.from = endings(&[rest.from]).pop().unwrap_or_default();
        // Rows that are to be staged must have ratings, which is checked when they are read.
        let staged = self.cfg.stage.is_some();
        self.add(Room::Pair, &[], json!({ "pairs": rest, "files": files, "model": model, "staged": staged }))
    }

    fn scored_and_paired(&mut self, scorers: &[String]) -> Result<()> {
        let cfg = self.cfg;
        let uses: Vec<Value> =
            cfg.scorer.iter().map(|s| json!({ "name": s.name, "weight": s.weight, "on_fault": s.on_fault })).collect();
        let mut rest = cfg.score.clone();
        let scaler = self.files(rest.scaler.take().as_slice())?;
        let score = json!({ "score": rest, "scaler": scaler, "uses": uses, "scorers": scorers });
        self.add(Room::Score, &[Room::Generate], score)?;
        let pair = json!({ "pair": cfg.pair, "seed": cfg.seed });
        self.add(Room::Pair, &[Room::Score], pair)
    }

    fn stage(&mut self, plugins: &PluginDigests) -> Result<()> {
        let cfg = self.cfg;
        if let Some(stage) = &cfg.stage {
            // The pin is checked, not part of the work: the digest itself is.
            let part = json!({
                "settings": stage.settings, "policy": plugins.policy, "seed": cfg.seed,
            });
            self.add(Room::Stage, &[Room::Pair], part)?;
        }
        Ok(())
    }

    fn train(&mut self, model: &Value) -> Result<()> {
        let cfg = self.cfg;
        let mut inputs = Vec::new();
        let mut evaluate = None;
        let mut told = None;
        if let Some(section) = &cfg.evaluate {
            inputs.extend(section.patterns.clone());
            if let Some(classifier) = &section.classifier {
                inputs.extend(classifier.texts.iter().cloned());
                inputs.extend(classifier.other_texts.iter().cloned());
                inputs.extend(classifier.check.iter().flatten().cloned());
                inputs.extend(classifier.prompts.paths.iter().cloned());
            }
            let files = self.files(&inputs)?;
            if section.tell_policy {
                // Gates are about the model before, and no stage.
                let mut measured =
                    Evaluate { gates: BTreeMap::new(), every_stage: false, patterns: None, ..section.clone() };
                if let Some(classifier) = &mut measured.classifier {
                    for paths in [&mut classifier.texts, &mut classifier.other_texts, &mut classifier.prompts.paths] {
                        *paths = endings(paths);
                    }
                    classifier.check = None;
                }
                told = Some(json!({
                    "evaluate": measured, "files": files, "world": self.keys.get(&Room::World), "generate": cfg.generate,
                }));
            }
            evaluate = Some(json!({ "evaluate": section, "files": files }));
        }
        let mut train = json!({ "train": cfg.train.keyed(), "seed": cfg.seed, "model": model });
        if let Some(told) = told {
            train["told"] = told;
        }
        // Pairs made elsewhere need no staging policy.
        let before = if cfg.stage.is_some() { Room::Stage } else { Room::Pair };
        self.add(Room::Train, &[before], train)?;
        if let Some(evaluate) = evaluate {
            let part = json!({ "evaluate": evaluate, "seed": cfg.seed });
            self.add(Room::Evaluate, &[Room::World, Room::Train], part)?;
        }
        Ok(())
    }

    fn files<P: AsRef<Path>>(&mut self, paths: &[P]) -> Result<Vec<String>> {
        paths.iter().map(|path| self.digests.of(path.as_ref())).collect()
    }

    fn add(&mut self, room: Room, before: &[Room], part: Value) -> Result<()> {
        let before: Vec<Option<&String>> = before.iter().map(|room| self.keys.get(room)).collect();
        let all = json!({
            "room": room, "before": before, "part": part, "version": env!("CARGO_PKG_VERSION"),
        });
        self.keys.insert(room, digest(&all)?);
        Ok(())
    }
}

/// What remains of paths in a key: content counts, not where it lies, but a file's ending decides how it is read.
fn endings(paths: &[PathBuf]) -> Vec<PathBuf> {
    paths.iter().filter_map(|path| path.extension().map(PathBuf::from)).collect()
}

/// Hex SHA-256 of a value's canonical JSON.
pub(super) fn digest(value: &Value) -> Result<String> {
    let mut canonical = String::new();
    write_canonical(value, &mut canonical).context("making a key")?;
    Ok(sha256_hex(canonical.as_bytes()))
}

/// JSON with sorted keys and no spaces. serde_json's own order depends on a feature that any dependency may turn on.
fn write_canonical(value: &Value, out: &mut String) -> serde_json::Result<()> {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (i, (key, value)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key)?);
                out.push(':');
                write_canonical(value, out)?;
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out)?;
            }
            out.push(']');
        }
        scalar => out.push_str(&serde_json::to_string(scalar)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Needs, resolve_text};

    const WORLD: &str = r#"
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
[[scorer]]
plugin = "factual"
grant = ["choose"]
[stage]
policy = "terciles"
[evaluate]
"#;

    fn of(sets: &[&str], plugins: &PluginDigests) -> Keys {
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        let cfg = resolve_text(WORLD, &sets, Path::new("/"), Needs::default()).expect("a sound config");
        keys(&cfg, plugins, &mut Digests::default()).expect("no files are read")
    }

    /// The rooms whose keys a change of config changes.
    fn changed_by(set: &str) -> Vec<Room> {
        let plugins = PluginDigests::default();
        let (before, after) = (of(&[], &plugins).rooms, of(&[set], &plugins).rooms);
        assert_eq!(before.len(), after.len());
        let changed = before.into_iter().filter(|(room, key)| after[room] != *key);
        changed.map(|(room, _)| room).collect()
    }

    #[test]
    fn a_change_reruns_its_room_and_the_later_ones_only() {
        use Room::*;
        assert_eq!(changed_by("train.beta=0.5"), [Train, Evaluate]);
        assert_eq!(changed_by("evaluate.responses=2"), [Evaluate]);
        assert_eq!(changed_by("evaluate.every_stage=true"), [Evaluate]);
        assert_eq!(changed_by("evaluate.tell_policy=true"), [Train, Evaluate]);
        assert_eq!(changed_by("stage.settings.x=1"), [Stage, Train, Evaluate]);
        assert_eq!(changed_by("pair.min_gap=0.5"), [Pair, Stage, Train, Evaluate]);
        let scored = [Score, Pair, Stage, Train, Evaluate];
        assert_eq!(changed_by("scorer.factual.weight=2"), scored);
        assert_eq!(changed_by("generate.responses=2")[0], Generate);
        assert_eq!(changed_by("sft.steps=2")[0], Sft);
        assert_eq!(changed_by("seed=2")[0], World);
    }

    #[test]
    fn where_and_under_which_name_the_work_is_done_is_no_part_of_it() {
        for set in ["model.threads=4", "model.device=\"cpu\"", "name=\"y\"", "limits.fuel=1000"] {
            assert!(changed_by(set).is_empty(), "{set}");
        }
    }

    #[test]
    fn a_changed_plugin_reruns_what_it_made() {
        let named = |factual: &str| PluginDigests {
            scorers: [("semantic", "a"), ("factual", factual)]
                .map(|(name, digest)| (name.to_owned(), digest.to_owned()))
                .into(),
            policy: None,
        };
        let (before, after) = (of(&[], &named("b")), of(&[], &named("c")));
        assert_eq!(before.rooms[&Room::Generate], after.rooms[&Room::Generate]);
        assert_ne!(before.rooms[&Room::Score], after.rooms[&Room::Score]);
        assert_eq!(before.scorers[0], after.scorers[0], "the other scorer's scores hold");
        assert_ne!(before.scorers[1], after.scorers[1]);
    }

    #[test]
    fn keys_do_not_depend_on_the_order_of_json() -> Result<()> {
        let [mut one, mut other] = [String::new(), String::new()];
        write_canonical(&json!({"b": [1, {"d": 1, "c": 2}], "a": "x"}), &mut one)?;
        write_canonical(&json!({"a": "x", "b": [1, {"c": 2, "d": 1}]}), &mut other)?;
        assert_eq!(one, other);
        assert_eq!(one, r#"{"a":"x","b":[1,{"c":2,"d":1}]}"#);
        Ok(())
    }
}
