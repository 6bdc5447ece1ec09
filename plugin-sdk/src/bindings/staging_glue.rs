//! Generated staging types to plain ones and back. Lists and strings are moved, not copied.

use super::PolicyComponent;
use super::staging_policy::exports::udasa::plugin::staging_api as api;
use super::staging_policy::udasa::plugin::types as wit;
use crate::{Measure, Outcome, Pair, PastStage, Stage, StagingPolicy, adapter};

impl<P: StagingPolicy + 'static> api::Guest for PolicyComponent<P> {
    fn describe() -> api::Description {
        super::hook_panics();
        api::Description {
            name: P::NAME.to_owned(),
            version: P::VERSION.to_owned(),
            summary: P::SUMMARY.to_owned(),
            settings_schema: super::schema_text::<P::Settings>(),
        }
    }

    fn check_settings(settings: String) -> Vec<wit::Problem> {
        super::hook_panics();
        adapter::check_policy::<P>(&settings)
            .into_iter()
            .map(|problem| wit::Problem { path: problem.path, message: problem.message })
            .collect()
    }

    fn next_stage(
        settings: String,
        seed: u64,
        pairs: Vec<api::Pair>,
        history: Vec<api::PastStage>,
    ) -> Result<Option<api::Stage>, wit::Fault> {
        super::hook_panics();
        let pairs: Vec<Pair> = pairs.into_iter().map(pair_in).collect();
        let history: Vec<PastStage> = history.into_iter().map(past_in).collect();
        adapter::next_stage::<P>(&settings, seed, &pairs, &history)
            .map(|stage| stage.map(stage_out))
            .map_err(|fault| wit::Fault { message: fault.message, hint: fault.hint })
    }
}

fn pair_in(pair: api::Pair) -> Pair {
    Pair {
        id: pair.id,
        group: pair.group,
        gap: pair.gap,
        chosen_uncertainty: pair.chosen_uncertainty,
        rejected_uncertainty: pair.rejected_uncertainty,
        gap_semantic: pair.gap_semantic,
        gap_factual: pair.gap_factual,
        gap_value: pair.gap_value,
        chosen_tokens: pair.chosen_tokens,
        rejected_tokens: pair.rejected_tokens,
    }
}

fn past_in(past: api::PastStage) -> PastStage {
    PastStage { name: past.name, pairs: past.pairs, outcome: past.outcome.map(outcome_in) }
}

fn outcome_in(outcome: api::Outcome) -> Outcome {
    Outcome {
        loss: outcome.loss,
        reward_accuracy: outcome.reward_accuracy,
        margin: outcome.margin,
        kl_to_initial: outcome.kl_to_initial,
        chosen_logprob_change: outcome.chosen_logprob_change,
        evaluation: outcome
            .evaluation
            .into_iter()
            .map(|measure| Measure { name: measure.name, value: measure.value })
            .collect(),
    }
}

fn stage_out(stage: Stage) -> api::Stage {
    api::Stage {
        name: stage.name,
        pairs: stage.pairs,
        overrides: api::Overrides {
            epochs: stage.overrides.epochs,
            beta: stage.overrides.beta,
            learning_rate_scale: stage.overrides.learning_rate_scale,
            label_smoothing: stage.overrides.label_smoothing,
            nll_weight: stage.overrides.nll_weight,
            loss: stage.overrides.loss,
        },
        refresh_reference: stage.refresh_reference,
        resample: stage.resample,
        reason: stage.reason,
    }
}
