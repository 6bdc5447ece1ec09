//! One stage against TRL's trajectory, and the traps of training: what is scored, what is divided by what, what the split of a batch changes.

use tch::Tensor;

use super::*;
use crate::config::{Lora, LossChoice, LossTerm, NewModel, NllMean, Recompute, Schedule};
use crate::data::test_folder::TestFolder;
use crate::model::golden_tests::{oracles, section};
use crate::model::{Spec, Text};
use crate::records::{EvalPoint, PastStage, PromptText, Resampled, Stage};
use crate::train::between::{Between, Resampling};
use crate::train::logps::{log_probabilities, mismatches};
use crate::train::room::room;
use crate::train::trained::Training;

/// TRL's trajectory: AdamW (0.9, 0.999), no decay, constant rate, clip 1, batch 8, rows in order, β 0.1.
fn trl() -> Train {
    Train {
        loss: Loss::Dpo.into(),
        beta: 0.1,
        schedule: Schedule::Constant,
        warmup: 0.0,
        adam_betas: [0.9, 0.999],
        max_grad_norm: 1.0,
        batch: 8,
        epochs: 1,
        ..Train::default()
    }
}

/// A pair of token ids; its texts do not matter.
pub fn pair(n: usize, prompt: Vec<u32>, chosen: Vec<u32>, rejected: Vec<u32>) -> Pair {
    Pair {
        id: n.to_string(),
        prompt_id: n.to_string(),
        group: None,
        prompt: PromptText::Text(String::new()),
        chosen: PromptText::Text(String::new()),
        rejected: PromptText::Text(String::new()),
        chosen_rating: 1.0,
        rejected_rating: 0.0,
        gap: 1.0,
        dimensions: Default::default(),
        chosen_index: 0,
        rejected_index: 1,
        prompt_token_ids: prompt,
        chosen_token_ids: chosen,
        rejected_token_ids: rejected,
    }
}

/// A stage that keeps no checkpoints and knows no limits.
fn stage<'a>(
    pairs: &'a [&'a Pair],
    reference: Option<&'a ReferenceLogps>,
    config: &'a Train,
    settings: &'a StageSettings,
) -> StageRun<'a> {
    StageRun {
        name: "test",
        pairs,
        reference,
        at_reference: false,
        config,
        settings,
        seed: (0, 0),
        limits: None,
        checkpoints: None,
    }
}

#[test]
fn twenty_steps_equal_trls_trajectory_in_full_and_with_lora() {
    let Some(dir) = oracles().map(|o| o.join("dpo")) else { return };
    let rows: Vec<serde_json::Value> = std::fs::read_to_string(dir.join("data.jsonl"))
        .expect("data")
        .lines()
        .map(|l| serde_json::from_str(l).expect("json"))
        .collect();
    let ids = |row: &serde_json::Value, key: &str| -> Vec<u32> {
        row[key].as_array().expect("ids").iter().map(|v| v.as_u64().expect("id") as u32).collect()
    };
    let pairs: Vec<Pair> = rows
        .iter()
        .enumerate()
        .map(|(i, row)| pair(i, ids(row, "prompt_ids"), ids(row, "chosen_ids"), ids(row, "rejected_ids")))
        .collect();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    for (name, adapter) in [("full", false), ("lora", true), ("lora_lr2e-3", true)] {
        let golden: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(dir.join(name).join("trajectory.json")).expect("trajectory"))
                .expect("json");
        let steps = golden["steps"].as_array().expect("steps");
        // TRL read the rows in order, again from the first when they were through.
        let used: Vec<&Pair> = pairs.iter().copied().cycle().take(steps.len() * 8).collect();
        let used = &used[..];
        let mut model = Model::load(&dir.join("initial"), &section()).expect("model");
        let reference = log_probabilities(&model, used, false).expect("reference");
        let reference = ReferenceLogps { pairs: reference, ..ReferenceLogps::default() };
        for (ours, row) in reference.pairs.iter().zip(&rows) {
            let golden = row["ref_chosen_logps"].as_f64().expect("number");
            // Sums of tens of f32 log-probabilities near 150 nats.
            assert!((ours[0] - golden).abs() < 2e-4, "{} {golden}", ours[0]);
        }
        if adapter {
            model.attach_saved(&dir.join(name).join("adapter_initial")).expect("adapter");
        }
        let config = trl();
        let settings = StageSettings {
            learning_rate: golden["lr"].as_f64().expect("rate"),
            ..StageSettings::new(&config, &Overrides::default()).expect("settings")
        };
        let mut ours = Vec::new();
        let stage = StageRun { name, at_reference: true, ..stage(used, Some(&reference), &config, &settings) };
        train(&model, &stage, None, |m| {
            ours.push(m.clone());
            Ok(())
        })
        .expect("training");
        assert_eq!(ours.len(), steps.len());
        for (ours, golden) in ours.iter().zip(steps) {
            let close = |value: f64, key: &str, tolerance: f64| {
                let golden = golden[key].as_f64().expect("number");
                assert!((value - golden).abs() <= tolerance, "{name} step {} {key}: {value} {golden}", ours.step);
            };
            // Rewards are β times differences of sums near 150 nats in f32, whose unit in the last place is 1.5e-5.
            close(ours.loss, "loss", 1e-5);
            close(ours.rewards_chosen, "rewards/chosen", 1e-5);
            close(ours.rewards_rejected, "rewards/rejected", 1e-5);
            close(ours.grad_norm, "grad_norm", 1e-4);
        }
    }
}

/// A model of a few thousand random weights, with a tokenizer that names an end of sequence.
fn tiny() -> Model {
    let folder = TestFolder::new().expect("a folder");
    crate::mini_world::write(folder.path(), 1, 20, 2).expect("a world");
    let vocabulary = Text::load(folder.path()).expect("a tokenizer").vocabulary();
    let shape = NewModel { hidden: 16, layers: 2, heads: 2, feed_forward: 32, positions: 64, scale_embedding: true };
    let spec = Spec::new_model(&shape, vocabulary).expect("a sound shape");
    let mut state = 1_u32;
    // Sums of uniform numbers stand in for normal ones.
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1_u32 << 24) as f32 - 0.5
    };
    Model::random(spec, folder.path(), &section(), || 2.0 * (uniform() + uniform() + uniform())).expect("a model")
}

const EOS: u32 = 1;

/// Seven pairs of unequal lengths: prompts of 2 to 4 tokens, responses of 1 to 12.
fn uneven() -> Vec<Pair> {
    let ids = |from: u32, n: u32| (0..n).map(|i| 3 + (from + 5 * i) % 30).chain([EOS]).collect::<Vec<u32>>();
    (0..7_u32).map(|n| pair(n as usize, ids(n, 1 + n % 3), ids(2 * n, n % 4), ids(3 * n + 1, (5 * n) % 12))).collect()
}

fn reference(model: &Model, pairs: &[&Pair], config: &Train, settings: &StageSettings) -> ReferenceLogps {
    let wanted = mismatches(model, pairs, config, settings, (0, 0)).expect("partners");
    let logps = mismatched_logps(model, pairs, &wanted, true).expect("log-probabilities");
    ReferenceLogps {
        pairs: log_probabilities(model, pairs, true).expect("log-probabilities"),
        mismatched: wanted.into_iter().zip(logps).collect(),
    }
}

/// Away from the reference, where every loss bends: each number moved by up to half a nat.
fn moved(mut reference: ReferenceLogps) -> ReferenceLogps {
    for (i, logps) in reference.pairs.iter_mut().enumerate() {
        *logps = [logps[0] - 0.1 * (i % 5) as f64, logps[1] + 0.15 * (i % 4) as f64];
    }
    for logps in reference.mismatched.values_mut() {
        *logps = [logps[0] - 0.3, logps[1] - 0.5];
    }
    reference
}

fn with_loss(loss: impl Into<LossChoice>) -> Train {
    Train { loss: loss.into(), learning_rate: Some(1e-2), ..trl() }
}

fn settings(config: &Train) -> StageSettings {
    StageSettings::new(config, &Overrides::default()).expect("settings")
}

fn run(model: &Model, pairs: &[&Pair], config: &Train, reference: Option<&ReferenceLogps>) -> Result<Vec<StepMetrics>> {
    let mut steps = Vec::new();
    let settings = settings(config);
    train(model, &stage(pairs, reference, config, &settings), None, |m| {
        steps.push(m.clone());
        Ok(())
    })?;
    Ok(steps)
}

/// What a trainer gathered, which it takes along when it ends.
fn gradients(model: &Model, trainer: Trainer) -> Vec<f32> {
    let flat: Vec<Tensor> = model.trainable().iter().map(|p| p.grad().view(-1)).collect();
    let numbers = Vec::try_from(Tensor::cat(&flat, 0)).expect("numbers");
    trainer.finish(model);
    numbers
}

#[test]
fn micro_batches_do_not_change_the_gradient_of_any_loss() {
    let model = tiny();
    let pairs = uneven();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let batch: Vec<usize> = (0..pairs.len()).collect();
    let mix = [Loss::Kto, Loss::Simpo, Loss::Nll].map(|name| LossTerm { name, weight: 0.5, beta: None });
    let mut configs: Vec<Train> = Loss::ALL.map(|loss| Train { label_smoothing: 0.1, ..with_loss(loss) }).into();
    configs.push(Train { nll_weight: 1.0, nll_mean: NllMean::Token, ..with_loss(Loss::Dpo) });
    configs.push(Train { nll_mean: NllMean::Token, ..with_loss(LossChoice::Mix(mix.into())) });
    for config in configs {
        let settings = settings(&config);
        let reference = moved(reference(&model, &pairs, &config, &settings));
        let facts = facts(&model, &pairs, &batch, Some(&reference), &settings.loss).expect("facts");
        let stage = stage(&pairs, Some(&reference), &config, &settings);
        let gradient = |micro_batch| {
            let budget = budget(&Train { micro_batch, ..config.clone() }, &model);
            let mut trainer = Trainer::new(&model, [0.9, 0.999], 0.0, budget).expect("a trainer");
            accumulate(&mut trainer, &model, &stage, &batch, &facts).expect("a batch");
            gradients(&model, trainer)
        };
        let whole = gradient(0);
        let norm = |g: &[f32]| g.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        assert!(norm(&whole) > 1e-3, "{:?}: {}", config.loss, norm(&whole));
        for micro in [1, 2, 3, 5] {
            let difference: Vec<f32> = whole.iter().zip(gradient(micro)).map(|(a, b)| a - b).collect();
            let worst = difference.iter().fold(0.0_f32, |m, d| m.max(d.abs()));
            // f32 rounds by a share of the number: IPO's derivatives are the largest.
            let largest = whole.iter().fold(1.0_f32, |m, g| m.max(g.abs()));
            assert!(worst <= 1e-6 * largest, "{:?} by {micro}: {worst} of {largest}", config.loss);
            // Rounding of f32 sums, and of differences between nearly equal responses.
            let relative = norm(&difference) / norm(&whole);
            assert!(relative <= 1e-5, "{:?} by {micro}: {relative}", config.loss);
        }
    }
}

#[test]
fn a_run_in_micro_batches_takes_the_steps_of_one_in_whole_batches() {
    let pairs = uneven();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let losses = |micro_batch: usize| -> Vec<f64> {
        let model = tiny();
        let config = Train { micro_batch, batch: 4, epochs: 3, learning_rate: Some(1e-3), ..with_loss(Loss::Dpo) };
        let reference = reference(&model, &pairs, &config, &settings(&config));
        run(&model, &pairs, &config, Some(&reference)).expect("training").iter().map(|m| m.loss).collect()
    };
    let (whole, split) = (losses(0), losses(1));
    assert_eq!(whole.len(), 6);
    for (a, b) in whole.iter().zip(split) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn the_end_of_sequence_is_kept_and_scored_and_the_prompt_is_not() {
    let pair = pair(0, vec![5, 6, EOS, 7], vec![8, EOS], vec![9, 10, EOS]);
    let both = sequences(&pair);
    assert_eq!(both[0], Sequence { ids: vec![5, 6, EOS, 7, 8, EOS], from: 4 });
    assert_eq!(both[1], Sequence { ids: vec![5, 6, EOS, 7, 9, 10, EOS], from: 4 });
    let lengths = pair_logps(&pair, &[0.0, 0.0], None);
    assert_eq!((lengths.chosen_tokens, lengths.rejected_tokens), (2, 3));
    // Its probability counts: without it the response is likelier.
    let model = tiny();
    let logps = |chosen: &[u32]| {
        let pair = Pair { chosen_token_ids: chosen.into(), ..pair.clone() };
        log_probabilities(&model, &[&pair], true).expect("log-probabilities")[0][0]
    };
    assert!(logps(&[8, EOS]) < logps(&[8]) - 0.1);
}

#[test]
fn a_label_is_predicted_from_the_token_before_it() {
    let model = tiny();
    let vocabulary = u32::try_from(model.decoder.spec.vocabulary).expect("a small one");
    let after = |prompt: &[u32]| -> Vec<f64> {
        let pairs: Vec<Pair> =
            (0..vocabulary).map(|v| pair(v as usize, prompt.into(), vec![v], vec![v, EOS])).collect();
        let pairs: Vec<&Pair> = pairs.iter().collect();
        log_probabilities(&model, &pairs, true).expect("log-probabilities").iter().map(|two| two[0]).collect()
    };
    // Predicted from itself or a later one, the probabilities of all first tokens would not add up to 1.
    let one = after(&[5, 6, 7]);
    assert!((one.iter().map(|p| p.exp()).sum::<f64>() - 1.0).abs() < 1e-5);
    // Predicted from one before, the prompt's last token would make no difference.
    let other = after(&[5, 6, 8]);
    assert!(one.iter().zip(&other).any(|(a, b)| (a - b).abs() > 0.1));
}

#[test]
fn each_response_is_scored_alone_whatever_stands_beside_it() {
    let model = tiny();
    let [short, long] = [vec![8, EOS], (3..30).chain([EOS]).collect::<Vec<u32>>()];
    let of = |chosen: &Vec<u32>, rejected: &Vec<u32>| {
        let pair = pair(0, vec![5, 6, 7], chosen.clone(), rejected.clone());
        log_probabilities(&model, &[&pair], true).expect("log-probabilities")[0]
    };
    let (pair, crossed) = (of(&short, &long), of(&long, &short));
    let alone = [of(&short, &short)[0], of(&long, &long)[1]];
    for i in 0..2 {
        assert!((pair[i] - alone[i]).abs() < 1e-4 && (crossed[1 - i] - alone[i]).abs() < 1e-4, "{pair:?} {alone:?}");
    }
}

#[test]
fn identical_responses_move_no_weight() {
    let model = tiny();
    let same = pair(0, vec![5, 6], vec![8, 9, EOS], vec![8, 9, EOS]);
    for loss in [Loss::Dpo, Loss::Ipo, Loss::Hinge, Loss::Simpo] {
        let config = with_loss(loss);
        let reference = reference(&model, &[&same], &config, &settings(&config));
        let steps = run(&model, &[&same], &config, Some(&reference)).expect("training");
        assert!(steps[0].grad_norm < 1e-6, "{loss:?}: {}", steps[0].grad_norm);
        assert_eq!(steps[0].rewards_accuracies, 0.0, "an equal reward is not a higher one");
    }
}

/// No stage, no new responses, no measures.
struct Nothing;

impl Between for Nothing {
    fn next_stage(&mut self, _: &[PastStage]) -> Result<Option<Stage>> {
        Ok(None)
    }

    fn resample(&mut self, _: &Resampling) -> Result<(Vec<Pair>, Resampled)> {
        bail!("nothing is sampled here")
    }

    fn measure(&mut self, _: &str, _: &Model) -> Result<Option<EvalPoint>> {
        Ok(None)
    }
}

#[test]
fn an_all_masked_response_is_refused_before_the_model_is_loaded() {
    let nowhere = std::path::Path::new("/nowhere");
    let training = Training {
        run: nowhere,
        initial: nowhere,
        section: &section(),
        train: &Train::default(),
        seed: 0,
        model_key: "",
    };
    let masked = Pair { rejected_token_ids: Vec::new(), ..pair(3, vec![5], vec![6], vec![7]) };
    let error = room(&training, &[masked], &mut Nothing).expect_err("nothing to score").to_string();
    assert_eq!(error, "the pair 3 has no token ids to train on");
}

#[test]
fn a_log_probability_that_is_not_finite_stops_and_names_the_pair() {
    let model = tiny();
    let pairs = uneven();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    for loss in Loss::ALL.into_iter().filter(|loss| loss.needs_reference()) {
        let config = with_loss(loss);
        let mut reference = reference(&model, &pairs, &config, &settings(&config));
        reference.pairs[4][1] = f64::NEG_INFINITY;
        let error = run(&model, &pairs, &config, Some(&reference)).expect_err("an impossible reference").to_string();
        assert_eq!(error, "training test: the loss is not finite at pair 4, step 1", "{loss:?}");
    }
    // The policy's own, where the loss itself may be 0.
    let settings = settings(&with_loss(Loss::Hinge)).loss;
    let logp = [-1.0, f64::NEG_INFINITY];
    let facts = BatchFacts { kl: 0.0, mean_chosen_tokens: 1.0 };
    let value = pair_loss(&pair_logps(pairs[2], &logp, Some(&[-1.0, -1.0])), &settings, &facts);
    assert_eq!(value.loss, 0.0);
    let mut sums = Sums::default();
    sums.add(pairs[2], &value, &logp, Some(&[-1.0, -1.0]), 0.0);
    assert_eq!(sums.not_finite.as_deref(), Some("2"));
}

#[test]
fn every_loss_falls_when_it_is_trained_on_and_reports_what_belongs_to_it() {
    let pairs = uneven();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    for loss in Loss::ALL {
        let model = tiny();
        let config = Train { epochs: 12, learning_rate: Some(3e-3), ..with_loss(loss) };
        let reference = reference(&model, &pairs, &config, &settings(&config));
        // A loss without a reference is given none.
        let reference = loss.needs_reference().then_some(&reference);
        let steps = run(&model, &pairs, &config, reference).expect("training");
        let (first, last) = (&steps[0], &steps[steps.len() - 1]);
        assert!(last.loss < first.loss, "{loss:?}: {} {}", first.loss, last.loss);
        assert_eq!(steps.iter().all(|m| m.nll_loss.is_some()), matches!(loss, Loss::Orpo | Loss::Nll), "{loss:?}");
        assert_eq!(steps.iter().all(|m| m.kl.is_some_and(|kl| kl >= 0.0)), loss == Loss::Kto, "{loss:?}");
        let once: usize = pairs
            .iter()
            .map(|p| 2 * p.prompt_token_ids.len() + p.chosen_token_ids.len() + p.rejected_token_ids.len())
            .sum();
        assert_eq!(last.num_tokens, 12 * once as u64);
    }
}

#[test]
fn kto_starts_from_a_kl_of_nothing_and_the_loss_of_ignorance() {
    let model = tiny();
    let pairs = uneven();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let config = Train { batch: 3, epochs: 4, ..with_loss(Loss::Kto) };
    let known = reference(&model, &pairs, &config, &settings(&config));
    let steps = run(&model, &pairs, &config, Some(&known)).expect("every mismatch of every epoch is known");
    assert_eq!(steps.len(), 12);
    assert!((steps[0].loss - 0.5).abs() < 1e-5 && steps[0].kl.is_some_and(|kl| kl < 1e-4), "{:?}", steps[0]);
    assert!(steps.iter().any(|m| m.kl.is_some_and(|kl| kl > 1e-3)), "the policy moves away from its reference");
}

#[test]
fn ktos_kl_is_the_mean_over_the_batchs_mismatched_pairs_and_not_below_0() {
    let model = tiny();
    let pairs = uneven();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let config = with_loss(Loss::Kto);
    let known = reference(&model, &pairs, &config, &settings(&config));
    let kl = |by: f64| {
        let mut known = known.clone();
        for logps in known.mismatched.values_mut() {
            *logps = logps.map(|p| p + by);
        }
        facts(&model, &pairs, &[5, 1, 2], Some(&known), &settings(&config).loss).map(|facts| facts.kl)
    };
    let missing = kl(0.0).expect_err("this batch was not foreseen").to_string();
    assert!(missing.contains("does not know a mismatched pair"), "{missing}");
    let batch: Vec<usize> = (0..7).collect();
    let kl = |by: f64| {
        let mut known = known.clone();
        for logps in known.mismatched.values_mut() {
            *logps = logps.map(|p| p + by);
        }
        facts(&model, &pairs, &batch, Some(&known), &settings(&config).loss).expect("facts").kl
    };
    assert!((kl(-0.25) - 0.25).abs() < 1e-5, "{}", kl(-0.25));
    assert_eq!(kl(0.25), 0.0);
}

/// The gradient of one batch under a budget, and what a trainer that runs out of memory above so many tokens makes of it.
fn gradient_under(model: &Model, config: &Train, room_for: Option<usize>) -> Vec<f32> {
    let pairs = uneven();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let batch: Vec<usize> = (0..pairs.len()).collect();
    let settings = settings(config);
    let reference = moved(reference(model, &pairs, config, &settings));
    let facts = facts(model, &pairs, &batch, Some(&reference), &settings.loss).expect("facts");
    let mut trainer = Trainer::new(model, [0.9, 0.999], 0.0, budget(config, model)).expect("a trainer");
    trainer.room_for = room_for;
    let stage = stage(&pairs, Some(&reference), config, &settings);
    accumulate(&mut trainer, model, &stage, &batch, &facts).expect("a batch");
    gradients(model, trainer)
}

fn assert_close(one: &[f32], other: &[f32]) {
    let largest = one.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    let worst = one.iter().zip(other).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    // Rounding of f32 sums in another order.
    assert!(largest > 1e-3 && worst <= 1e-6_f32.max(largest * 1e-5), "{worst} of {largest}");
}

#[test]
fn blocks_computed_twice_give_the_gradient_of_blocks_kept() {
    let model = tiny();
    let kept = Train { gradient_checkpointing: Recompute::Off, ..with_loss(Loss::Dpo) };
    let twice = Train { gradient_checkpointing: Recompute::On, ..kept.clone() };
    assert_close(&gradient_under(&model, &kept, None), &gradient_under(&model, &twice, None));
}

#[test]
fn a_step_that_runs_out_of_memory_is_divided_and_has_the_same_gradient() {
    let model = tiny();
    let config = with_loss(Loss::Dpo);
    let whole = gradient_under(&model, &config, None);
    // Two pairs have at most 31 tokens, all seven 94: what had been gathered before the shortage must not count.
    assert_close(&whole, &gradient_under(&model, &config, Some(40)));
}

#[test]
fn a_pair_that_does_not_fit_alone_is_an_error() {
    let model = tiny();
    let pairs = uneven();
    let config = with_loss(Loss::Simpo);
    let mut trainer = Trainer::new(&model, [0.9, 0.999], 0.0, budget(&config, &model)).expect("a trainer");
    trainer.room_for = Some(3);
    let error = trainer.accumulate(&model, &[sequences(&pairs[3])], |_, logps| vec![0.0; logps.len()]);
    assert!(error.expect_err("no room").to_string().contains("a single pair does not fit"));
    trainer.finish(&model);
}

#[test]
fn a_dropping_adapter_draws_the_same_again_with_blocks_computed_twice_and_other_things_at_other_steps() {
    let mut model = tiny();
    let lora = Lora { dropout: 0.5, ..Lora::default() };
    let mut state = 0.1_f32;
    model
        .attach_new(&lora, || {
            state = (state * 37.0 + 0.31).fract();
            state
        })
        .expect("an adapter");
    tch::no_grad(|| model.trainable().iter_mut().for_each(|p| *p += 0.05));
    let gradient = |recompute, seed| {
        let config = Train { gradient_checkpointing: recompute, lora: Some(lora.clone()), ..with_loss(Loss::Simpo) };
        let mut trainer = Trainer::new(&model, [0.9, 0.999], 0.0, budget(&config, &model)).expect("a trainer");
        trainer = trainer.with_dropout(&model, 0.5, seed);
        let groups: Vec<_> = uneven().iter().map(sequences).collect();
        trainer.accumulate(&model, &groups, |_, logps| vec![1.0; logps.len()]).expect("a batch");
        gradients(&model, trainer)
    };
    let one = gradient(Recompute::Off, 1);
    assert_close(&one, &gradient(Recompute::On, 1));
    let other = gradient(Recompute::Off, 2);
    assert!(one.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-3), "another seed drops other things");
}

/// A tiny model with an adapter that says something, as PEFT's layout holds it.
fn adapted(lora: &Lora, folder: &std::path::Path) -> Model {
    let mut model = tiny();
    model.attach_new(lora, || 0.5).expect("an adapter");
    for (i, mut matrix) in model.trainable().into_iter().enumerate() {
        let numbers = (0..matrix.numel()).map(|n| 0.6 * ((7 * i + 3 * n + 1) as f32).sin()).collect::<Vec<f32>>();
        tch::no_grad(|| matrix.copy_(&Tensor::from_slice(&numbers).view_as(&matrix)));
    }
    crate::model::lora::save(folder, lora, "base", &model.decoder.adapter()).expect("it is written");
    let mut read = tiny();
    read.attach_saved(folder).expect("it is read");
    read
}

#[test]
fn rslora_divides_by_the_root_of_the_rank_and_a_merged_model_says_what_its_adapter_said() {
    let pairs = uneven();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let logps = |model: &Model| log_probabilities(model, &pairs, true).expect("log-probabilities").concat();
    let plain = logps(&tiny());
    let farthest = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let folder = TestFolder::new().expect("a folder");
    let of = |alpha: f64, rslora: bool| {
        let lora = Lora { rank: 16, alpha, rslora, ..Lora::default() };
        let name = format!("{alpha}-{rslora}");
        let mut model = adapted(&lora, &folder.path().join(name));
        let with_adapter = logps(&model);
        let said = farthest(&with_adapter, &plain);
        assert!(said > 0.05, "the adapter says something: {said}");
        model.merge();
        assert!(model.decoder.adapter().is_empty());
        let merged = logps(&model);
        // Two orders of summation in f32, over up to 13 tokens.
        assert!(farthest(&merged, &with_adapter) < 1e-3, "{merged:?} {with_adapter:?}");
        with_adapter
    };
    // 8 / √16 = 32 / 16.
    assert_eq!(of(8.0, true), of(32.0, false));
    assert!(farthest(&of(8.0, false), &of(8.0, true)) > 0.05);
}

#[test]
fn a_stage_that_goes_too_far_is_taken_back_to_the_checkpoint_before() {
    let pairs = uneven();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let folder = TestFolder::new().expect("a folder");
    let config = Train {
        epochs: 60,
        batch: 7,
        save_steps: 3,
        max_kl: Some(0.3),
        learning_rate: Some(1e-3),
        ..with_loss(Loss::Nll)
    };
    let settings = settings(&config);
    let checkpoints = Checkpoints::new(folder.path().join("checkpoints"), 2);
    let model = tiny();
    let before = log_probabilities(&model, &pairs, true).expect("log-probabilities");
    let stage = StageRun {
        limits: Some(Limits::new(&config, &before, &before)),
        checkpoints: Some((&checkpoints, 0)),
        ..stage(&pairs, None, &config, &settings)
    };
    let mut taken = 0;
    let end = train(&model, &stage, None, |_| {
        taken += 1;
        Ok(())
    })
    .expect("training");
    let why = end.stopped.expect("likelihood rises by more than 0.3 nats a token");
    assert!(why.contains("train.max_kl is 0.3") && why.ends_with(&format!("went back to step {}", end.steps)), "{why}");
    assert!(end.steps > 0 && end.steps < taken + 1 && end.steps % 3 == 0, "{} of {taken}", end.steps);
    // The weights are those of that step: a run that never went further has them too.
    let after = log_probabilities(&model, &pairs, true).expect("log-probabilities");
    let shorter = tiny();
    let unlimited = StageRun { limits: None, checkpoints: None, ..stage };
    let mut steps = 0;
    let stopped = train(&shorter, &unlimited, None, |_| {
        steps += 1;
        if steps == end.steps { Err(UserError::new("enough").into()) } else { Ok(()) }
    });
    assert!(stopped.is_err());
    assert_eq!(after, log_probabilities(&shorter, &pairs, true).expect("log-probabilities"));
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let folder = TestFolder::new().expect("a folder");
    let model = tiny();
    let mut trainer = Trainer::new(&model, [0.9, 0.999], 0.0, budget(&trl(), &model)).expect("a trainer");
    let checkpoints = Checkpoints::new(folder.path().into(), 3);
    for step in 1..=4_u64 {
        checkpoints.save(step, &mut trainer, &step).expect("saved");
    }
    let file = |step: u64| {
        let entries = std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let start = format!("step-{step:08}-");
        entries.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start)))
    };
    assert!(file(1).is_none(), "three are kept");
    let (bitten, torn) = (file(3).expect("it is there"), file(4).expect("it is there"));
    let mut bytes = std::fs::read(&bitten).expect("bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&bitten, &bytes).expect("written");
    std::fs::write(&torn, &bytes[..middle]).expect("written");
    assert_eq!(checkpoints.latest(|_: &u64| true).expect("read").map(|saved| saved.position), Some(2));
    assert!(file(4).is_none() && file(3).is_none(), "what is later than the one that is taken is of no use");
    trainer.finish(&model);
}
