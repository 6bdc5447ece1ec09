//! What the sampler owes whatever the batch: the same tokens in any number of places, limits, ends.

use super::super::family_tests::{families, ids};
use super::*;

fn requests(n: usize, seeds: usize) -> Vec<Request> {
    let request = |r: usize| Request {
        prompt: ids(3 + 5 * r % 23, r as u32),
        seeds: (0..seeds).map(|i| [(r * seeds + i) as u8; 32]).collect(),
    };
    (0..n).map(request).collect()
}

fn tokens(sampled: &[Vec<Sampled>]) -> Vec<Vec<&[u32]>> {
    sampled.iter().map(|all| all.iter().map(|s| &s.ids[..]).collect()).collect()
}

/// End tokens are frequent here, so that places fall free and are filled at different times. In f32 two tokens would have to tie.
#[test]
fn the_number_of_places_changes_no_token() {
    let Some((_, models)) = families() else { return };
    let sampling = Sampling { max_tokens: 20, ..Sampling::default() };
    for (name, mut model) in models {
        model.eos = (0..384).filter(|id| id % 12 == 0).collect();
        let requests = requests(7, 3);
        let all = model.sample(&requests, &sampling).expect("samples");
        let lengths: Vec<usize> = all.iter().flatten().map(|s| s.ids.len()).collect();
        assert!(lengths.iter().any(|n| *n < 5) && lengths.iter().any(|n| *n > 12), "{name}: {lengths:?}");
        for places in [1, 2, 3] {
            let sizes = Sizes { places, slots: 3, prompt: 25, response: 20 };
            let few = model.sample_in(&requests, &sampling, sizes).expect("samples");
            assert_eq!(tokens(&few), tokens(&all), "{name}, {places} places");
        }
    }
}

/// What a GPU computes, here on the CPU: every slot, as far as the longest, and masked. Sums of up to 45 terms of up to 2 in f32.
#[test]
fn masked_rounds_and_exact_ones_give_the_same() {
    use tch::{Device, Kind, Tensor};

    use super::cache::Cache;
    use super::round::{Growing, Round};

    let numbers = |size: [i64; 4], seed: i64| {
        let n = size.iter().product::<i64>();
        ((Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.7310585 + seed).sin() * 2.0).view(size)
    };
    let Some((_, models)) = families() else { return };
    for (name, model) in models {
        let spec = &model.decoder.spec;
        let (h, g, d) = (spec.heads, spec.kv_heads, spec.head_size);
        let sizes = Sizes { places: 3, slots: 3, prompt: 40, response: 12 };
        let cache = |masked| Cache::new(spec, sizes, Kind::Float, Device::Cpu, masked).expect("buffers");
        let mut caches = [cache(false), cache(true)];
        for cache in &mut caches {
            cache.make_room(0, 2, 33);
            for block in 0..spec.blocks.len() {
                let seed = 2 * block as i64;
                cache.write_prompts(block, 0, &numbers([2, g, 33, d], seed), &numbers([2, g, 33, d], seed + 1));
            }
        }
        for tokens in 1..=12 {
            let rows: Vec<Growing> = (0..6).map(|slot| Growing { slot, tokens }).collect();
            let rounds =
                caches.each_mut().map(|cache| Round::new(cache, spec, &[33, 7], &rows, Device::Cpu).expect("a round"));
            for block in 0..spec.blocks.len() {
                let of = |heads: i64, seed: i64| numbers([6, heads, 1, d], 5 * tokens as i64 + seed);
                let (q, k, v) = (of(h, 1), of(g, 2), of(g, 3));
                let [exact, masked] = [0, 1].map(|i: usize| caches[i].attend(&rounds[i], spec, block, &q, &k, &v));
                let off = (exact - masked).abs().max().double_value(&[]);
                assert!(off < 5e-6, "{name}, block {block}, {tokens} tokens: {off}");
            }
        }
    }
}

/// The buffers asked for are larger than any machine's memory: the error is libtorch's own.
#[test]
fn without_memory_for_its_buffers_it_halves_them_until_there_is() {
    let Some((_, mut models)) = families() else { return };
    let (_, model) = models.next().expect("a model");
    let sampling = Sampling { max_tokens: 4, ..Sampling::default() };
    let requests = requests(2, 2);
    let sizes = Sizes { places: 1 << 40, slots: 2, prompt: 25, response: 4 };
    let buffers = attempt(|| Batch::new(&model, &requests, &sampling, sizes).map(|_| ()));
    assert!(matches!(buffers, Ok(None)), "no such memory");
    let endless = Sizes { places: 1, response: 1 << 40, ..sizes };
    let error = model.sample_in(&requests, &sampling, endless).expect_err("nothing to halve");
    assert!(error.to_string().contains("not even one prompt"), "{error:#}");
    let halved = model.sample_in(&requests, &sampling, sizes).expect("samples");
    assert_eq!(tokens(&halved), tokens(&model.sample(&requests, &sampling).expect("samples")));
}

#[test]
fn a_stop_string_ends_a_response_where_its_text_first_holds_it() {
    let Some((_, mut models)) = families() else { return };
    let (_, mut model) = models.next().expect("a model");
    model.eos = vec![2];
    let free = Sampling { max_tokens: 30, ..Sampling::default() };
    let requests = requests(4, 2);
    let texts = |sampled: &[Vec<Sampled>]| -> Vec<String> {
        sampled.iter().flatten().map(|s| model.text.decode(&s.ids).expect("text")).collect()
    };
    let unstopped = model.sample(&requests, &free).expect("samples");
    // Two characters from the middle of a text: a stop string that may begin and end within tokens.
    let whole = texts(&unstopped);
    let middle: String = whole[0].chars().skip(whole[0].chars().count() / 2).take(2).collect();
    let stopping = Sampling { stop: vec!["no such text".into(), middle.clone()], ..free.clone() };
    let stopped = model.sample(&requests, &stopping).expect("samples");
    assert_eq!(stopped[0][0].finish, Finish::Stop);
    for (free, stopped) in unstopped.iter().flatten().zip(stopped.iter().flatten()) {
        let held = |n: usize| model.text.decode(&free.ids[..n]).expect("text").contains(&middle);
        let expected = (1..=free.ids.len()).find(|&n| held(n)).unwrap_or(free.ids.len());
        assert_eq!(stopped.ids, free.ids[..expected]);
        let ended_so = stopped.finish == Finish::Stop;
        assert_eq!(ended_so, held(expected) && !model.eos.contains(&free.ids[expected - 1]));
    }
}

#[test]
fn a_penalty_on_repetition_knows_the_prompt_and_what_was_drawn() {
    let Some((_, mut models)) = families() else { return };
    let (_, mut model) = models.next().expect("a model");
    model.eos = Vec::new();
    let greedy = Sampling { temperature: 0.0, max_tokens: 24, repetition_penalty: 1e3, ..Sampling::default() };
    for (request, sampled) in requests(3, 1).iter().zip(model.sample(&requests(3, 1), &greedy).expect("samples")) {
        let mut all = [&request.prompt[..], &sampled[0].ids].concat();
        let drawn = all.len();
        all.sort_unstable();
        all.dedup();
        let mut prompt = request.prompt.clone();
        prompt.sort_unstable();
        prompt.dedup();
        assert_eq!(all.len() - prompt.len(), drawn - request.prompt.len(), "no token twice, and none of the prompt's");
    }
}
