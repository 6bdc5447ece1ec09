//! What kind of response is this? Classified by regular expressions, compiled once.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;

use super::lines::GenerationItem;

/// What a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict<'i> {
    /// It matches a good pattern.
    Good,
    /// It matches this label's patterns.
    Label(&'i str),
    /// Neither, but it is still language (or the item does not say what language is).
    Other,
    /// It matches nothing at all.
    Garbled,
}

/// The compiled patterns of one item.
pub struct Patterns {
    good: Vec<Regex>,
    labels: BTreeMap<String, Vec<Regex>>,
    well_formed: Option<Vec<Regex>>,
}

/// Compiles each pattern once, however many items share it.
#[derive(Default)]
pub struct Compiler(HashMap<String, Regex>);

impl Compiler {
    /// Compiles an item's patterns.
    pub fn compile(&mut self, item: &GenerationItem) -> Result<Patterns, regex::Error> {
        Ok(Patterns {
            good: self.all(&item.good)?,
            labels: item
                .labels
                .iter()
                .map(|(name, patterns)| Ok((name.clone(), self.all(patterns)?)))
                .collect::<Result<_, regex::Error>>()?,
            well_formed: item.well_formed.as_ref().map(|patterns| self.all(patterns)).transpose()?,
        })
    }

    fn all(&mut self, patterns: &[String]) -> Result<Vec<Regex>, regex::Error> {
        patterns.iter().map(|pattern| self.one(pattern)).collect()
    }

    fn one(&mut self, pattern: &str) -> Result<Regex, regex::Error> {
        if let Some(known) = self.0.get(pattern) {
            return Ok(known.clone());
        }
        let compiled = Regex::new(pattern)?;
        self.0.insert(pattern.to_owned(), compiled.clone());
        Ok(compiled)
    }
}

impl Patterns {
    /// Classifies a response. White space at its ends does not count.
    pub fn classify(&self, text: &str) -> Verdict<'_> {
        let text = text.trim();
        let any = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(text));
        if any(&self.good) {
            return Verdict::Good;
        }
        if let Some((name, _)) = self.labels.iter().find(|(_, patterns)| any(patterns)) {
            return Verdict::Label(name);
        }
        match &self.well_formed {
            Some(patterns) if !any(patterns) => Verdict::Garbled,
            _ => Verdict::Other,
        }
    }

    /// The labels, in order.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(String::as_str)
    }

    /// Whether the item can tell garbled text.
    pub fn knows_garbled(&self) -> bool {
        self.well_formed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::PromptText;

    fn item(well_formed: Option<Vec<String>>) -> GenerationItem {
        GenerationItem {
            prompt: PromptText::Text("q".into()),
            measures: vec!["m".into()],
            good: vec!["^yes$".into()],
            labels: [("refused".to_owned(), vec!["^sorry".to_owned()])].into(),
            well_formed,
        }
    }

    #[test]
    fn good_goes_before_labels_before_well_formed_before_garbled() {
        let patterns = Compiler::default().compile(&item(Some(vec!["^[a-z]+$".into()]))).expect("patterns");
        assert_eq!(patterns.classify(" yes "), Verdict::Good);
        assert_eq!(patterns.classify("sorry no"), Verdict::Label("refused"));
        assert_eq!(patterns.classify("maybe"), Verdict::Other);
        assert_eq!(patterns.classify("may be ??"), Verdict::Garbled);
        assert_eq!(patterns.classify(""), Verdict::Garbled);
    }

    #[test]
    fn without_well_formed_patterns_nothing_is_garbled() {
        let patterns = Compiler::default().compile(&item(None)).expect("patterns");
        assert_eq!(patterns.classify("?? ??"), Verdict::Other);
    }
}
