//! The evaluation set: loaded from JSONL and checked, so that measuring cannot fail on it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::classifier::ClassifierTask;
use super::lines::{ChooseItem, GenerationItem, Header, Line};
use super::patterns::{Compiler, Patterns};
use crate::data::prompt_id;
use crate::error::UserError;
use crate::records::Prompt;

/// What is measured.
#[derive(Default)]
pub struct Items {
    pub(super) header: Header,
    pub(super) generation: Vec<Generation>,
    pub(super) choose: Vec<Question>,
    pub(super) classifier: Option<ClassifierTask>,
}

/// A prompt to sample and what its responses are.
pub(super) struct Generation {
    pub(super) prompt: Prompt,
    pub(super) measures: Vec<String>,
    pub(super) patterns: Patterns,
}

/// One question in one or several option orders.
pub(super) struct Question {
    pub(super) measures: Vec<String>,
    pub(super) positive: Option<bool>,
    pub(super) orders: Vec<ChooseItem>,
}

impl Items {
    /// Reads an evaluation file.
    ///
    /// # Errors
    /// A file that cannot be read, and every line that is wrong, all at once.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            UserError::new(format!("cannot read the evaluation file {}: {cause}", path.display()))
                .hint("evaluate.patterns names a JSONL file, see docs/evaluate.md")
        })?;
        Self::parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Reads the text of an evaluation file.
    ///
    /// # Errors
    /// As `load`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut items = Self::default();
        let mut compiler = Compiler::default();
        let mut by_id: BTreeMap<String, usize> = BTreeMap::new();
        let mut problems = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            if let Err(problem) = items.add(line, &mut compiler, &mut by_id) {
                problems.push(format!("line {}: {problem:#}", index + 1));
            }
        }
        if !problems.is_empty() {
            return Err(UserError::new(format!(
                "the evaluation set has {} bad line(s)\n{}",
                problems.len(),
                problems.join("\n")
            ))
            .hint("docs/evaluate.md shows the three kinds of line")
            .into());
        }
        if items.generation.is_empty() && items.choose.is_empty() {
            return Err(UserError::new("the evaluation set has no items")
                .hint("docs/evaluate.md shows what a line holds")
                .into());
        }
        Ok(items)
    }

    /// Measures the sampled continuations of prompts by a classifier, too.
    #[must_use]
    pub fn with_classifier(mut self, task: ClassifierTask) -> Self {
        self.classifier = Some(task);
        self
    }

    fn add(&mut self, line: &str, compiler: &mut Compiler, by_id: &mut BTreeMap<String, usize>) -> Result<()> {
        match Line::parse(line)? {
            Line::Header(header) => {
                anyhow::ensure!(self.header == Header::default(), "a second header");
                self.header = header;
            }
            Line::Generation(item) => self.generation.push(Generation::new(&item, compiler)?),
            Line::Choose(item) => {
                check_choose(&item)?;
                match item.id.as_ref().and_then(|id| by_id.get(id)).and_then(|&at| self.choose.get_mut(at)) {
                    Some(question) => {
                        anyhow::ensure!(
                            question.measures == item.measures && question.positive == item.positive,
                            "another line of the same id has other `measures` or `positive`"
                        );
                        question.orders.push(item);
                    }
                    None => {
                        if let Some(id) = &item.id {
                            by_id.insert(id.clone(), self.choose.len());
                        }
                        self.choose.push(Question {
                            measures: item.measures.clone(),
                            positive: item.positive,
                            orders: vec![item],
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

impl Generation {
    fn new(item: &GenerationItem, compiler: &mut Compiler) -> Result<Self> {
        check_measures(&item.measures)?;
        anyhow::ensure!(!item.good.is_empty(), "`good` is empty: no response could be good");
        Ok(Self {
            prompt: Prompt { id: prompt_id(&item.prompt), prompt: item.prompt.clone(), group: None },
            measures: item.measures.clone(),
            patterns: compiler.compile(item)?,
        })
    }
}

fn check_measures(measures: &[String]) -> Result<()> {
    anyhow::ensure!(!measures.is_empty(), "`measures` is empty: the item would count towards nothing");
    anyhow::ensure!(measures.iter().all(|name| !name.is_empty()), "a measure without a name");
    Ok(())
}

fn check_choose(item: &ChooseItem) -> Result<()> {
    check_measures(&item.measures)?;
    let options = item.choose.options.len();
    anyhow::ensure!(options >= 2, "`options` has {options}, at least 2 are needed");
    anyhow::ensure!(
        item.correct < options,
        "`correct` is {}, but there are {options} options (counted from 0)",
        item.correct
    );
    anyhow::ensure!(item.positive.is_none() || options == 2, "`positive` needs exactly 2 options, there are {options}");
    Ok(())
}
