//! What must hold for every family alike: packed rows, the sampler's cache, training, adapters, and folders written and read again.

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor, no_grad};

use super::decoder::Input;
use super::golden_tests::{ARCHITECTURES, device, json, oracles};
use super::*;
use crate::config::Recompute;

/// The ten families; the tiny tokenizer of the chat oracles has as many ids as they have entries.
pub fn families() -> Option<(PathBuf, impl Iterator<Item = (&'static str, Model)>)> {
    let oracles = oracles()?;
    let dir = oracles.join("archs");
    let models = ARCHITECTURES.into_iter().take(10).map(move |name| (name, model(&oracles, name)));
    Some((dir, models))
}

/// Room for a whole batch.
fn roomy() -> Budget {
    Budget { bytes: 1 << 30, recompute: Recompute::Auto, trees: 0 }
}

fn model(oracles: &Path, name: &str) -> Model {
    model_in(oracles, name, Kind::Float)
}

fn model_in(oracles: &Path, name: &str, kind: Kind) -> Model {
    model_of(oracles, name, &oracles.join("archs").join(name), kind)
}

/// With the weights of another folder.
fn model_of(oracles: &Path, name: &str, weights: &Path, kind: Kind) -> Model {
    let dir = oracles.join("archs").join(name);
    let spec = Spec::read(&dir).expect("a supported config");
    let mut weights = Weights::open(weights, device(), kind).expect("weights");
    let decoder = Decoder::load(spec, &mut weights, device()).expect("a whole model");
    let text = Text::load(&oracles.join("chat/tokenizer")).expect("a tokenizer");
    let config = json(&dir.join("config.json"));
    Model { decoder, text, eos: vec![2], device: device(), kind, config }
}

/// Ids from 17 on, the same for the same seed; longer than the windows of 8.
pub fn ids(n: usize, seed: u32) -> Vec<u32> {
    (0..n as u32).map(|i| 17 + (i * 97 + seed * 131 + i * i * 13) % 367).collect()
}

/// log p of `ids[from..]`, by one plain pass over the whole.
fn plain(model: &Model, ids: &[u32], from: usize) -> Vec<f32> {
    let n = ids.len() as i64;
    let all: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    let positions = Tensor::arange(n, (Kind::Int64, device())).view([1, n]);
    let input = Tensor::from_slice(&all).view([1, n]).to_device(device());
    let input = Input { ids: &input, positions: &positions, mask: None, adapter: true };
    let logprobs = no_grad(|| model.decoder.logits(&model.decoder.hidden(&input)).log_softmax(-1, Kind::Float));
    (from..ids.len()).map(|j| logprobs.double_value(&[0, j as i64 - 1, all[j]]) as f32).collect()
}

#[test]
fn a_packed_row_gives_the_log_probabilities_of_separate_passes() {
    let Some((_, models)) = families() else { return };
    let trunk = ids(14, 1);
    let with = |tail: Vec<u32>, cut: usize| [trunk[..cut].to_vec(), tail].concat();
    let all = [with(ids(12, 2), 14), with(ids(5, 3), 14), with(ids(20, 4), 9), ids(11, 5), with(ids(3, 6), 3)];
    let groups: Vec<Vec<tree::Sequence>> = all
        .chunks(3)
        .map(|group| group.iter().map(|ids| tree::Sequence { ids: ids.clone(), from: 2 }).collect())
        .collect();
    let sequences: Vec<tree::Sequence> = groups.concat();
    // Long enough to be attended to chain by chain, with a branch within a branch.
    let trunk = ids(50, 1);
    let long =
        [vec![trunk.clone(), ids(45, 2)], vec![trunk.clone(), ids(40, 3)], vec![trunk.clone(), ids(20, 3), ids(40, 4)]];
    let long: Vec<tree::Sequence> = long.iter().map(|parts| tree::Sequence { ids: parts.concat(), from: 50 }).collect();
    for (name, model) in models {
        assert_packed_as_alone(name, &model, &tree::pack(&sequences, 96), &sequences);
        assert_packed_as_alone(name, &model, &tree::pack_groups(&groups), &sequences);
        let row = tree::pack(&long, 1000);
        assert!(row.len() == 1 && row[0].chains().len() == 3, "{:?}", row[0].chains());
        assert_packed_as_alone(name, &model, &row, &long);
    }
}

fn assert_packed_as_alone(name: &str, model: &Model, rows: &[tree::Row], sequences: &[tree::Sequence]) {
    assert!(rows.iter().any(|row| !row.is_chain()), "something is shared");
    let scored = no_grad(|| model.score_rows(rows, sequences, true)).expect("scores");
    let packed = Vec::<f32>::try_from(&scored.logprobs).expect("numbers");
    for (s, sequence) in sequences.iter().enumerate() {
        let own: Vec<f32> =
            packed.iter().zip(&scored.owner).filter(|(_, o)| **o == s as i64).map(|(p, _)| *p).collect();
        let alone = plain(model, &sequence.ids, sequence.from);
        assert_eq!(own.len(), alone.len());
        for (j, (a, b)) in own.iter().zip(&alone).enumerate() {
            assert!((a - b).abs() < 5e-5, "{name}, sequence {s}, token {j}: {a} {b}");
        }
    }
}

#[test]
fn the_samplers_cache_gives_the_log_probabilities_of_a_plain_pass() {
    let Some((_, models)) = families() else { return };
    let sampling = Sampling { temperature: 0.8, max_tokens: 14, ..Sampling::default() };
    let request = |n: usize, seeds: std::ops::Range<u8>| Request {
        prompt: ids(n, seeds.start.into()),
        seeds: seeds.map(|seed| [seed; 32]).collect(),
    };
    // So many that matrices are prepacked.
    let requests = [request(3, 1..3), request(21, 3..5), request(9, 5..85)];
    for (name, model) in models {
        let sampled = model.sample(&requests, &sampling).expect("samples");
        for (request, responses) in requests.iter().zip(&sampled) {
            for response in responses {
                assert!(!response.ids.is_empty());
                let whole = [request.prompt.clone(), response.ids.clone()].concat();
                for (a, b) in plain(&model, &whole, request.prompt.len()).iter().zip(&response.logprobs) {
                    assert!((a - b).abs() < 5e-5, "{name}: {a} {b}");
                }
            }
        }
    }
}

#[test]
fn a_response_ends_at_any_of_the_end_tokens_and_keeps_the_one_it_met() {
    let Some((_, mut models)) = families() else { return };
    let (_, mut model) = models.next().expect("a model");
    let sampling = Sampling { temperature: 0.0, max_tokens: 8, ..Sampling::default() };
    let request = || Request { prompt: ids(9, 1), seeds: vec![[0; 32]] };
    let greedy = model.sample(&[request()], &sampling).expect("samples")[0][0].ids.clone();
    assert_ne!(greedy[1], greedy[3]);
    for at in [1, 3] {
        model.eos = vec![2, greedy[at], 5];
        let ended = &model.sample(&[request()], &sampling).expect("samples")[0][0];
        assert_eq!(ended.ids, greedy[..=greedy.iter().position(|id| *id == greedy[at]).expect("it is there")]);
        assert_eq!(ended.finish, crate::records::Finish::Eos);
    }
}

#[test]
fn one_step_moves_every_parameter_and_makes_the_text_likelier() {
    let Some((_, models)) = families() else { return };
    for (name, model) in models {
        let before: Vec<(String, Tensor)> =
            model.decoder.parameters().into_iter().map(|(name, p)| (name, p.copy())).collect();
        let group = vec![
            tree::Sequence { ids: ids(24, 7), from: 1 },
            tree::Sequence { ids: ids(24, 7)[..12].to_vec(), from: 1 },
        ];
        let mut trainer = Trainer::new(&model, [0.9, 0.999], 0.0, roomy()).expect("a trainer");
        let first = trainer
            .accumulate(&model, std::slice::from_ref(&group), |_, logps| vec![-1.0; logps.len()])
            .expect("gradients");
        let norm = trainer.step(1e-3, 1.0).expect("a step");
        assert!(norm.is_finite() && norm > 0.0, "{name}: {norm}");
        trainer.finish(&model);
        for ((parameter, old), (_, new)) in before.iter().zip(model.decoder.parameters()) {
            let moved = (new.detach() - old).abs().max().double_value(&[]);
            assert!(moved > 1e-4, "{name}: {parameter} moved by {moved}");
        }
        let after = model.log_probabilities(&group, true, |_| {}).expect("scores");
        assert!(after[0] > first[0] + 0.1, "{name}: {} {}", first[0], after[0]);
    }
}

/// Eight bits of every weight are kept: the tiny models' logits of up to 5 move by some hundredths.
#[test]
fn in_bf16_every_family_stays_near_its_numbers_in_f32_and_trains() {
    let Some((archs, models)) = families() else { return };
    let oracles = archs.parent().expect("it lies in the oracles");
    let sampling = Sampling { temperature: 0.8, max_tokens: 6, ..Sampling::default() };
    for (name, exact) in models {
        let model = model_in(oracles, name, Kind::BFloat16);
        let request = Request { prompt: ids(18, 3), seeds: vec![[1; 32], [2; 32]] };
        for response in &model.sample(&[request], &sampling).expect("samples")[0] {
            let whole = [ids(18, 3), response.ids.clone()].concat();
            let of_f32 = plain(&exact, &whole, 18);
            let distance: f32 = of_f32.iter().zip(&response.logprobs).map(|(a, b)| (a - b).abs()).sum();
            assert!(distance / (of_f32.len() as f32) < 0.1, "{name}: {of_f32:?} {:?}", response.logprobs);
        }
        let group = vec![tree::Sequence { ids: ids(24, 7), from: 1 }];
        let mut trainer = Trainer::new(&model, [0.9, 0.999], 0.0, roomy()).expect("a trainer");
        let first = trainer
            .accumulate(&model, std::slice::from_ref(&group), |_, logps| vec![-1.0; logps.len()])
            .expect("gradients");
        trainer.step(1e-3, 1.0).expect("a step");
        trainer.finish(&model);
        let after = model.log_probabilities(&group, true, |_| {}).expect("scores");
        assert!(after[0] > first[0], "{name}: {} {}", first[0], after[0]);
    }
}

#[test]
fn where_bf16_matrices_are_multiplied_by_in_f32_a_model_is_that_of_f32_with_rounded_weights() {
    let Some((archs, models)) = families() else { return };
    if device() != tch::Device::Cpu || !device::multiplies_in_f32(Kind::BFloat16) {
        eprintln!("skipped: bf16 matrices are multiplied by in bf16 here");
        return;
    }
    let oracles = archs.parent().expect("it lies in the oracles");
    let sampling = Sampling { max_tokens: 32, ..Sampling::default() };
    for (name, _) in models {
        let rounded = spoiled(&archs.join(name), |tensors| {
            tensors.iter_mut().for_each(|(_, x)| *x = x.to_kind(Kind::BFloat16).to_kind(Kind::Float));
        });
        let wide = model_of(oracles, name, rounded.path(), Kind::Float);
        let narrow = model_in(oracles, name, Kind::BFloat16);
        assert_eq!(narrow.activation_kind(), Kind::Float);
        let near = |ours: &[f32], theirs: &[f32]| {
            let off = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(ours.len() == theirs.len() && off < 5e-5, "{name}: {off}");
        };
        near(&plain(&narrow, &ids(40, 1), 1), &plain(&wide, &ids(40, 1), 1));
        // Enough to be prepacked, in f32 both.
        let request = |r: u32| Request { prompt: ids(18, r), seeds: (0..8).map(|i| [8 * r as u8 + i; 32]).collect() };
        let requests = [0, 1, 2, 3].map(request);
        let [ours, theirs] = [&narrow, &wide].map(|model| model.sample(&requests, &sampling).expect("samples"));
        for (ours, theirs) in ours.iter().flatten().zip(theirs.iter().flatten()) {
            assert_eq!(ours.ids, theirs.ids, "{name}");
            near(&ours.logprobs, &theirs.logprobs);
            near(&ours.entropies, &theirs.entropies);
        }
    }
}

/// A new adapter, the same every time.
fn attach(model: &mut Model, lora: &Lora) {
    let mut n = 0_u32;
    let draw = || {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        n as f32 / 4_294_967_296.0_f32
    };
    model.attach_new(lora, draw).expect("an adapter");
}

/// Two steps that make the group likelier.
fn learn(model: &Model, group: &Vec<tree::Sequence>, budget: Budget) {
    let mut trainer = Trainer::new(model, [0.9, 0.999], 0.0, budget).expect("a trainer");
    for _ in 0..2 {
        trainer.accumulate(model, std::slice::from_ref(group), |_, logps| vec![-1.0; logps.len()]).expect("gradients");
        trainer.step(1e-2, 1.0).expect("a step");
    }
    trainer.finish(model);
}

#[test]
fn an_adapter_over_bf16_weights_learns_the_same_with_its_passes_computed_twice_and_leaves_them() {
    let Some((archs, models)) = families() else { return };
    let oracles = archs.parent().expect("it lies in the oracles");
    let group = vec![tree::Sequence { ids: ids(24, 7), from: 1 }];
    for (name, model) in models {
        let targets: Vec<String> = model.decoder.spec.family.names.linears().into_iter().map(str::to_owned).collect();
        let lora = Lora { rank: 4, targets, ..Lora::default() };
        let tuned = [Recompute::Off, Recompute::On].map(|recompute| {
            let mut model = model_in(oracles, name, Kind::BFloat16);
            attach(&mut model, &lora);
            let before: Vec<Tensor> = model.decoder.leaves().iter().map(Tensor::copy).collect();
            let idle = model.log_probabilities(&group, true, |_| {}).expect("scores");
            let budget = Budget { recompute, ..roomy() };
            learn(&model, &group, budget);
            let same = before.iter().zip(model.decoder.leaves()).all(|(old, new)| *old == new);
            assert!(same && before.iter().any(|x| x.kind() == Kind::BFloat16), "{name}: what lies under it stays");
            let tuned = model.log_probabilities(&group, true, |_| {}).expect("scores")[0];
            assert!(tuned > idle[0] + 0.1, "{name}: {} {tuned}", idle[0]);
            tuned
        });
        assert!((tuned[0] - tuned[1]).abs() < 1e-3 * tuned[0].abs(), "{name}: {tuned:?}");
    }
}

#[test]
fn an_adapter_on_every_layer_learns_and_reads_back_in_pefts_layout() {
    let Some((_, models)) = families() else { return };
    for (name, mut model) in models {
        let targets: Vec<String> = model.decoder.spec.family.names.linears().into_iter().map(str::to_owned).collect();
        let lora = Lora { rank: 4, targets: targets.clone(), ..Lora::default() };
        attach(&mut model, &lora);
        let group = vec![tree::Sequence { ids: ids(20, 8), from: 1 }];
        let idle = model.log_probabilities(&group, true, |_| {}).expect("scores");
        let base: Vec<(String, Tensor)> = model.decoder.parameters().into_iter().map(|(n, p)| (n, p.copy())).collect();
        learn(&model, &group, roomy());
        let tuned = model.log_probabilities(&group, true, |_| {}).expect("scores");
        assert!(tuned[0] > idle[0] + 0.1, "{name}: {} {}", idle[0], tuned[0]);
        // What is computed in one pass without an adapter is several with it: the last bits differ.
        let under = model.log_probabilities(&group, false, |_| {}).expect("scores");
        assert!((under[0] - idle[0]).abs() < 1e-4, "{name}: under it nothing changed: {under:?} {idle:?}");
        for ((parameter, old), (_, new)) in base.iter().zip(model.decoder.parameters()) {
            assert!(new == *old, "{name}: {parameter} moved under the adapter");
        }

        let saved = tempfile::tempdir().expect("a temporary folder");
        lora::save(saved.path(), &lora, "base", &model.decoder.adapter()).expect("saving");
        let root = model.decoder.spec.family.names.root;
        let layers = model.decoder.adapter();
        assert!(layers.len() >= targets.len() * 3 && layers.iter().all(|(layer, _)| layer.starts_with(root)), "{name}");
        model.decoder.attach(&mut lora::New { lora: &lora, device: device(), draw: || 0.5 }).expect("another");
        model.attach_saved(saved.path()).expect("ours");
        assert_eq!(model.log_probabilities(&group, true, |_| {}).expect("scores"), tuned, "{name}");
    }
}

#[test]
fn a_target_that_no_layer_is_called_is_named_with_the_layers_there_are() {
    let Some((_, models)) = families() else { return };
    for (name, mut model) in models.filter(|(name, _)| ["phi3", "gpt2"].contains(name)) {
        let lora = Lora { rank: 4, targets: vec!["q_proj".into()], ..Lora::default() };
        let error = model.attach_new(&lora, || 0.5).expect_err("no such layer");
        let error = error.downcast_ref::<UserError>().expect("the user's").clone();
        let layers = if name == "phi3" { "qkv_proj, o_proj, gate_up_proj, down_proj" } else { "c_attn, c_proj, c_fc" };
        assert!(error.message.contains("q_proj"), "{error:?}");
        assert!(error.hint.as_ref().expect("a hint").contains(layers), "{error:?}");
    }
    // As in PEFT, a target may be more than the last part of a name.
    assert!(lora::is_called("transformer.h.0.attn.c_proj", "attn.c_proj"));
    assert!(!lora::is_called("transformer.h.0.mlp.c_proj", "attn.c_proj"));
    assert!(!lora::is_called("transformer.h.0.mlp.xc_proj", "c_proj"));
}

#[test]
fn a_saved_model_has_the_tensors_and_the_config_it_was_read_with() {
    let Some((archs, models)) = families() else { return };
    for (name, model) in models {
        let saved = tempfile::tempdir().expect("a temporary folder");
        model.save(saved.path(), &archs.join(name)).expect("saving");
        assert_eq!(json(&saved.path().join("config.json")), json(&archs.join(name).join("config.json")), "{name}");
        let read = |dir: &Path| {
            let bytes = std::fs::read(dir.join("model.safetensors")).expect("weights");
            let file = safetensors::SafeTensors::deserialize(&bytes).expect("a whole file");
            let mut all: Vec<(String, Vec<usize>, Vec<u8>)> = file
                .iter()
                .map(|(name, view)| (name.to_owned(), view.shape().to_vec(), view.data().to_vec()))
                .collect();
            all.sort();
            all
        };
        assert!(read(saved.path()) == read(&archs.join(name)), "{name}: names, shapes and bytes");
        let again = Spec::read(saved.path()).expect("our config");
        assert_eq!(again, model.decoder.spec);
    }
}

/// Tensors of a folder, to be spoiled and written elsewhere.
fn spoiled(dir: &Path, change: impl FnOnce(&mut Vec<(String, Tensor)>)) -> tempfile::TempDir {
    let bytes = std::fs::read(dir.join("model.safetensors")).expect("weights");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a whole file");
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        tensors.push((name.to_owned(), Tensor::from_data_size(view.data(), &shape, Kind::Float)));
    }
    change(&mut tensors);
    let folder = tempfile::tempdir().expect("a temporary folder");
    weights::save(&folder.path().join("model.safetensors"), &tensors).expect("saving");
    folder
}

fn load(dir: &Path, spec: &Spec) -> Result<Decoder> {
    Decoder::load(spec.clone(), &mut Weights::open(dir, device(), Kind::Float)?, device())
}

#[test]
fn every_tensor_of_every_family_is_missed_by_its_name_and_checked_by_its_shape() {
    let Some((archs, models)) = families() else { return };
    for (name, model) in models {
        let (dir, spec) = (archs.join(name), model.decoder.spec.clone());
        let names: Vec<String> = model.decoder.parameters().into_iter().map(|(name, _)| name).collect();
        for (i, parameter) in names.iter().enumerate().filter(|(_, p)| !p.contains(".1.")) {
            let without = spoiled(&dir, |tensors| tensors.retain(|(name, _)| name != parameter));
            let error = load(without.path(), &spec).err().expect("it is missing").to_string();
            assert!(error.contains(&format!("`{parameter}`")), "{name}: {error}");
            if i % 3 == 0 {
                let wider = spoiled(&dir, |tensors| {
                    for (name, tensor) in tensors.iter_mut().filter(|(name, _)| name == parameter) {
                        *tensor = Tensor::cat(&[&*tensor, &*tensor], 0);
                        assert_eq!(name, parameter);
                    }
                });
                let error = load(wider.path(), &spec).err().expect("it has another shape").to_string();
                assert!(error.contains(&format!("`{parameter}` has shape")), "{name}: {error}");
            }
        }
        let more = spoiled(&dir, |tensors| {
            tensors.push(("model.layers.0.mlp.extra.weight".into(), Tensor::zeros([2], (Kind::Float, device()))))
        });
        let error = load(more.path(), &spec).err().expect("one too many").to_string();
        assert!(error.contains("`model.layers.0.mlp.extra.weight`"), "{name}: {error}");
    }
}

#[test]
fn a_folder_of_gpt2_without_its_head_and_with_its_old_tables_is_read_and_kept_so() {
    let Some((archs, models)) = families() else { return };
    let (_, model) = models.into_iter().find(|(name, _)| *name == "gpt2").expect("it is there");
    let dir = spoiled(&archs.join("gpt2"), |tensors| {
        for (name, _) in tensors.iter_mut() {
            *name = name.trim_start_matches("transformer.").to_owned();
        }
        tensors.push(("h.0.attn.bias".into(), Tensor::ones([1, 1, 8, 8], (Kind::Float, device()))));
    });
    let bare = load(dir.path(), &model.decoder.spec).expect("the same model");
    let (old, new) = (model.decoder.parameters(), bare.parameters());
    assert!(old.iter().zip(&new).all(|((_, a), (_, b))| a == b));
    assert_eq!(new[0].0, "wte.weight");
}
