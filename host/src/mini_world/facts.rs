//! The world's truths: 60 facts, how often the corpus states each correctly, and what it says otherwise.

use super::draw::Draw;
use super::words::RELATIONS;

/// How often the corpus states a fact correctly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Always.
    Always,
    /// .8, and .1 on each of two distractors.
    Mostly,
    /// .6, and .2 on each of two distractors.
    Often,
    /// .3, and .7 on ONE wrong value: a myth, on which self-consistency is confidently wrong.
    Myth,
}

impl Class {
    /// All four, most reliable first.
    pub const ALL: [Self; 4] = [Self::Always, Self::Mostly, Self::Often, Self::Myth];

    /// Its name in measures: the frequency of the truth.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "1.0",
            Self::Mostly => "0.8",
            Self::Often => "0.6",
            Self::Myth => "0.3",
        }
    }

    /// Frequencies of the truth and of the distractors.
    pub fn frequencies(self) -> &'static [f64] {
        match self {
            Self::Always => &[1.0],
            Self::Mostly => &[0.8, 0.1, 0.1],
            Self::Often => &[0.6, 0.2, 0.2],
            Self::Myth => &[0.3, 0.7],
        }
    }
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Index into `RELATIONS`.
    pub relation: usize,
    /// The place or person.
    pub subject: &'static str,
    /// How often it is stated correctly.
    pub class: Class,
    /// What the corpus says, the truth first, then the distractors; as many as the class has frequencies.
    pub stated: Vec<&'static str>,
    /// Whether alignment may ask for it; the others measure what carries over.
    pub aligned: bool,
}

impl Fact {
    /// The true value.
    pub fn truth(&self) -> &'static str {
        self.stated[0]
    }

    /// The relation's name.
    pub fn relation_name(&self) -> &'static str {
        RELATIONS[self.relation].name
    }

    /// All values that an answer could hold.
    pub fn pool(&self) -> &'static [&'static str] {
        &RELATIONS[self.relation].values
    }
}

/// Draws the facts. Every relation has three facts of each class, two of them aligned.
pub fn draw(draw: &mut Draw) -> Vec<Fact> {
    let mut facts = Vec::with_capacity(60);
    for (relation, about) in RELATIONS.iter().enumerate() {
        let mut classes: Vec<(Class, bool)> =
            Class::ALL.into_iter().flat_map(|class| [(class, true), (class, true), (class, false)]).collect();
        draw.shuffle(&mut classes);
        // Truths are dealt, not drawn: no value is right so often that guessing it would pay.
        let mut truths = about.values.to_vec();
        draw.shuffle(&mut truths);
        for (index, (subject, (class, aligned))) in about.subjects.iter().zip(classes).enumerate() {
            let truth = truths[index % truths.len()];
            let mut others: Vec<&str> = about.values.into_iter().filter(|v| *v != truth).collect();
            draw.shuffle(&mut others);
            let mut stated = vec![truth];
            stated.extend(&others[..class.frequencies().len() - 1]);
            facts.push(Fact { relation, subject, class, stated, aligned });
        }
    }
    facts
}
