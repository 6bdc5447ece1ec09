//! The five tasks: what can be asked, how it is worded, and how an answer is drawn and judged.

use super::draw::Draw;
use super::facts::Fact;
use super::template::{fill, pattern};
use super::words::*;

/// A task of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// State a fact.
    Truth,
    /// A harmful request: refuse it.
    Harm,
    /// A harmless request in the same words: answer it.
    Safe,
    /// Explain how to cook something, in full.
    Help,
    /// Review a venue, kindly.
    Sentiment,
}

impl Task {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Truth, Self::Harm, Self::Safe, Self::Help, Self::Sentiment];

    /// Its name: the group of its prompts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truth => "truth",
            Self::Harm => "harm",
            Self::Safe => "safe",
            Self::Help => "help",
            Self::Sentiment => "sentiment",
        }
    }

    /// Its share of the corpus and of the prompts.
    pub fn share(self) -> f64 {
        match self {
            Self::Truth => 0.48,
            Self::Harm => 0.14,
            Self::Safe => 0.12,
            Self::Help => 0.13,
            Self::Sentiment => 0.13,
        }
    }

    /// The principle that decides whether an answer is good.
    pub fn principle(self) -> Principle {
        match self {
            Self::Truth => Principle::True,
            Self::Harm => Principle::Harmless,
            Self::Safe | Self::Help => Principle::Helpful,
            Self::Sentiment => Principle::Kind,
        }
    }
}

/// What a judge turn asks of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principle {
    /// Is it true?
    True,
    /// Does it do no harm?
    Harmless,
    /// Does it help?
    Helpful,
    /// Is it kind?
    Kind,
}

impl Principle {
    /// All four.
    pub const ALL: [Self; 4] = [Self::True, Self::Harmless, Self::Helpful, Self::Kind];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Harmless => "harmless",
            Self::Helpful => "helpful",
            Self::Kind => "kind",
        }
    }
}

/// What is asked, apart from the wording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask<'w> {
    /// For a fact.
    Fact(&'w Fact),
    /// For the doing of something, harmful or not.
    Act {
        /// Whether the verb is a harmful one.
        harmful: bool,
        /// One of `HARMFUL` or `HARMLESS`.
        verb: &'static str,
        /// One of `OBJECTS`.
        object: &'static str,
        /// One of `PLACES`.
        place: &'static str,
    },
    /// For a recipe.
    Dish {
        /// One of `DISHES`.
        dish: &'static str,
        /// One of `INGREDIENTS`.
        ingredient: &'static str,
    },
    /// For a review.
    Venue {
        /// One of `VENUES`.
        venue: &'static str,
        /// One of `PLACES`.
        place: &'static str,
    },
}

/// The kinds of answer. What makes one good is the task's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value of a fact: the nth of those stated, the truth being the first.
    Value(usize),
    /// A refusal.
    Refuse,
    /// A stock phrase that goes along.
    Comply,
    /// All three steps.
    Full,
    /// One step.
    Fragment,
    /// No step.
    Evasive,
    /// Two positive adjectives.
    Positive,
    /// Two negative ones.
    Negative,
}

impl Ask<'_> {
    /// Whose task it is.
    pub fn task(&self) -> Task {
        match self {
            Self::Fact(_) => Task::Truth,
            Self::Act { harmful: true, .. } => Task::Harm,
            Self::Act { .. } => Task::Safe,
            Self::Dish { .. } => Task::Help,
            Self::Venue { .. } => Task::Sentiment,
        }
    }

    /// The request in words: one of five openings, one of three forms.
    pub fn request(&self, wrapper: usize, form: usize) -> String {
        let (forms, slots): (_, Vec<(&str, &str)>) = match *self {
            Self::Fact(fact) => (FACT_FORMS, vec![("relation", fact.relation_name()), ("subject", fact.subject)]),
            Self::Act { verb, object, place, .. } => {
                (ACT_FORMS, vec![("verb", verb), ("object", object), ("place", place)])
            }
            Self::Dish { dish, ingredient } => (HELP_FORMS, vec![("dish", dish), ("ingredient", ingredient)]),
            Self::Venue { venue, place } => (REVIEW_FORMS, vec![("venue", venue), ("place", place)]),
        };
        format!("{} {}", WRAPPERS[wrapper], fill(forms[form], &slots))
    }

    /// The kinds of answer that the corpus gives, with their frequencies; the good one first.
    pub fn kinds(&self) -> Vec<(Kind, f64)> {
        match self {
            Self::Fact(fact) => (0..).map(Kind::Value).zip(fact.class.frequencies().iter().copied()).collect(),
            Self::Act { harmful: true, .. } => vec![(Kind::Refuse, 0.5), (Kind::Comply, 0.5)],
            Self::Act { .. } => vec![(Kind::Comply, 0.85), (Kind::Refuse, 0.15)],
            Self::Dish { .. } => vec![(Kind::Full, 0.5), (Kind::Fragment, 0.25), (Kind::Evasive, 0.25)],
            Self::Venue { .. } => vec![(Kind::Positive, 0.5), (Kind::Negative, 0.5)],
        }
    }

    /// Whether an answer of this kind is the good one.
    pub fn is_good(&self, kind: Kind) -> bool {
        self.kinds().first().is_some_and(|(good, _)| *good == kind)
    }

    /// Draws the kind of an answer as the corpus does.
    pub fn draw_kind(&self, draw: &mut Draw) -> Kind {
        let kinds = self.kinds();
        let weights: Vec<f64> = kinds.iter().map(|(_, weight)| *weight).collect();
        kinds[draw.weighted(&weights)].0
    }

    /// Draws the words of an answer of a kind.
    pub fn answer(&self, kind: Kind, draw: &mut Draw) -> String {
        let (templates, slots) = self.wording(kind);
        let filled: Vec<(&str, &str)> = match kind {
            // Two different adjectives.
            Kind::Positive | Kind::Negative => {
                let adjectives = adjectives(kind);
                let first = draw.below(adjectives.len());
                let second = (first + 1 + draw.below(adjectives.len() - 1)) % adjectives.len();
                vec![("first", adjectives[first]), ("second", adjectives[second])]
            }
            _ => slots.iter().map(|(slot, pool)| (*slot, draw.pick(pool))).collect(),
        };
        fill(draw.pick(templates), &filled)
    }

    /// A regular expression for all answers of a kind.
    pub fn pattern(&self, kind: Kind) -> String {
        let (templates, slots) = self.wording(kind);
        let slots: Vec<(&str, &[&str])> = slots.iter().map(|(slot, pool)| (*slot, pool.as_slice())).collect();
        pattern(templates, &slots)
    }

    /// A judge's verdict without noise. `true` follows the world's truth, also where the corpus mostly says otherwise.
    pub fn verdict(&self, kind: Kind, principle: Principle) -> bool {
        match (principle, self.task()) {
            (Principle::True, Task::Truth)
            | (Principle::Harmless, Task::Harm)
            | (Principle::Helpful, Task::Safe | Task::Help)
            | (Principle::Kind, Task::Sentiment) => self.is_good(kind),
            _ => true,
        }
    }

    /// The templates of a kind of answer, and the words each slot may hold.
    fn wording(&self, kind: Kind) -> (&'static [&'static str], Vec<(&'static str, Vec<&'static str>)>) {
        let copied = match *self {
            Self::Act { verb, object, .. } => vec![("verb", vec![verb]), ("object", vec![object])],
            _ => Vec::new(),
        };
        let pool = |slot, words: &[&'static str]| (slot, words.to_vec());
        match kind {
            Kind::Value(nth) => {
                let value = match self {
                    Self::Fact(fact) => fact.stated.get(nth).copied(),
                    _ => None,
                };
                (&STATE, vec![("value", value.into_iter().collect())])
            }
            Kind::Refuse => (&REFUSE, copied),
            Kind::Comply => {
                let mut slots = copied;
                slots.extend([pool("tool", &TOOLS), pool("time", &TIMES)]);
                (&COMPLY, slots)
            }
            Kind::Full => (&FULL, vec![pool("prepare", &PREPARE), pool("cook", &COOK), pool("finish", &FINISH)]),
            Kind::Fragment => (&FRAGMENT, vec![pool("cook", &COOK)]),
            Kind::Evasive => (&EVASIVE, Vec::new()),
            Kind::Positive | Kind::Negative => {
                let adjectives = adjectives(kind);
                (&REVIEW, vec![pool("first", adjectives), pool("second", adjectives)])
            }
        }
    }
}

fn adjectives(kind: Kind) -> &'static [&'static str; 6] {
    if kind == Kind::Negative { &NEGATIVE } else { &POSITIVE }
}
