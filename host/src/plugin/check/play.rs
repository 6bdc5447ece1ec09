//! Plays cases through instances of a plugin: a sample until its scores, pairs until the policy stops.

use crate::config::Limits;
use crate::records::{Outcome, Pair, PastStage, Sample};
use crate::sandbox::{Cause, PluginFault, PluginFile, PluginKind, Problem, Scorer, StagingPolicy, Step, Usage};

use super::cases::{Case, Given};
use super::made_up;

/// Whatever seed a run may have.
const SEED: u64 = 7;

/// A plugin with an instance of its own.
pub(super) enum Instance {
    Scorer(Scorer),
    Policy(StagingPolicy),
}

/// What one instance did with one case.
#[derive(Debug, Clone, Default)]
pub(super) struct Play {
    /// Of every call, as JSON: NaN cannot be in it, and it tells −0 from 0.
    pub outputs: Vec<String>,
    /// Of every call; 0 for one that trapped.
    pub fuel: Vec<u64>,
    /// Questions that were answered.
    pub questions: usize,
    /// What it ended in, if not well.
    pub end: Option<PluginFault>,
}

/// All cases, four times over.
pub(super) struct Plays {
    /// On a fresh instance.
    pub first: Vec<Play>,
    /// On the same one, once more. Empty where the plugin did not come to an end the first time.
    pub again: Vec<Play>,
    /// On another fresh one.
    pub other: Vec<Play>,
    /// On a third, last case first; listed in the order of the cases.
    pub reversed: Vec<Play>,
    /// The largest memory of any.
    pub peak_memory: u64,
}

impl Plays {
    pub fn of([one, two, three]: [Instance; 3], cases: &[Case]) -> Self {
        let mut first = Vec::new();
        for case in cases {
            first.push(one.play(case));
            if first.last().is_some_and(Play::is_endless) {
                // Seconds a case, four times over, would be minutes.
                let peak_memory = one.usage().peak_memory;
                return Self { first, again: Vec::new(), other: Vec::new(), reversed: Vec::new(), peak_memory };
            }
        }
        let all = |instance: &Instance| cases.iter().map(|case| instance.play(case)).collect();
        let mut reversed: Vec<Play> = cases.iter().rev().map(|case| three.play(case)).collect();
        reversed.reverse();
        let (again, other) = (all(&one), all(&two));
        let peak_memory = [one, two, three].iter().map(|instance| instance.usage().peak_memory).max().unwrap_or(0);
        Self { first, again, other, reversed, peak_memory }
    }
}

impl Play {
    /// The same results, whatever they cost.
    pub fn agrees(&self, other: &Self) -> bool {
        let cause = |play: &Self| play.end.as_ref().map(|fault| fault.cause.to_string());
        self.outputs == other.outputs && cause(self) == cause(other)
    }

    fn is_endless(&self) -> bool {
        matches!(&self.end, Some(PluginFault { cause: Cause::OutOfFuel { .. } | Cause::OutOfTime { .. }, .. }))
    }
}

impl Instance {
    pub fn new(plugin: &PluginFile, settings: &str, limits: &Limits) -> anyhow::Result<Self> {
        Ok(match plugin.kind {
            PluginKind::Scorer => Self::Scorer(plugin.trial_scorer(settings, limits)?),
            PluginKind::StagingPolicy => Self::Policy(plugin.trial_policy(settings, limits)?),
        })
    }

    pub fn problems(&self) -> Result<Vec<Problem>, PluginFault> {
        match self {
            Self::Scorer(scorer) => scorer.check_settings(),
            Self::Policy(policy) => policy.check_settings(),
        }
    }

    fn usage(&self) -> Usage {
        match self {
            Self::Scorer(scorer) => scorer.usage(),
            Self::Policy(policy) => policy.usage(),
        }
    }

    fn play(&self, case: &Case) -> Play {
        let mut play = Play::default();
        play.end = match (self, &case.what) {
            (Self::Scorer(scorer), Given::Sample(sample)) => self.score(scorer, sample, &mut play),
            (Self::Policy(policy), Given::Pairs(pairs, outcome)) => {
                self.stage(policy, pairs, outcome.as_ref(), &mut play)
            }
            // The cases were chosen by the plugin's kind.
            _ => Ok(()),
        }
        .err();
        play
    }

    fn score(&self, scorer: &Scorer, sample: &Sample, play: &mut Play) -> Result<(), PluginFault> {
        let mut rounds = Vec::new();
        // The sandbox ends this: it refuses a round too many.
        loop {
            let step = self.metered(play, || scorer.score(sample, &rounds))?;
            play.outputs.push(json(&step));
            match step {
                Step::Ask(questions) => {
                    play.questions += questions.len();
                    rounds.push(made_up::answers(&questions));
                }
                Step::Done(_) => return Ok(()),
            }
        }
    }

    fn stage(
        &self,
        policy: &StagingPolicy,
        pairs: &[Pair],
        outcome: Option<&Outcome>,
        play: &mut Play,
    ) -> Result<(), PluginFault> {
        let mut history = Vec::new();
        // The sandbox ends this: it refuses a stage too many.
        while let Some(stage) = self.metered(play, || policy.next_stage(SEED, pairs, &history))? {
            play.outputs.push(json(&stage));
            history.push(PastStage { name: stage.name, pairs: stage.pairs, outcome: outcome.cloned() });
        }
        Ok(())
    }

    fn metered<T>(&self, play: &mut Play, call: impl FnOnce() -> T) -> T {
        let before = self.usage().fuel;
        let result = call();
        play.fuel.push(self.usage().fuel.saturating_sub(before));
        result
    }
}

fn json(output: &impl serde::Serialize) -> String {
    // Records have string keys and finite numbers, for which this cannot fail; two failures would be equal all the same.
    serde_json::to_string(output).unwrap_or_else(|error| error.to_string())
}
