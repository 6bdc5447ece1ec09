//! The semantic scorer against itself: in the sandbox and as native code, on two threads and on one.

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::{Bench, Row, least_of_two, native};
use crate::error::UserError;
use crate::records::Sample;
use crate::sandbox::{Scorer, Step};

/// Few enough that a batch is over before something else wants the processor.
const SAMPLES: usize = 50;
const BATCHES: usize = 300;
/// Of all questions.
const LONG_BATCHES: usize = 60;

pub(super) fn rows(bench: &Bench, questions: &[Sample]) -> Result<Vec<Row>> {
    let some = &questions[..SAMPLES.min(questions.len())];
    let wasm = bench.scorer("semantic", &[])?;
    // Within a few milliseconds a second thread has hardly woken up: it gets all questions.
    Ok(vec![beside_native(bench, &wasm, some)?, threads(&wasm, questions)?])
}

fn beside_native(bench: &Bench, wasm: &Scorer, samples: &[Sample]) -> Result<Row> {
    let native = native::scorer(bench, "semantic")?;
    for sample in samples {
        let (ours, theirs) = (score(wasm, sample)?, score(&native, sample)?);
        anyhow::ensure!(ours == theirs, "the two builds of `semantic` differ on question {}", sample.id);
    }
    let batch = |scorer: &Scorer| samples.iter().try_for_each(|sample| score(scorer, sample).map(drop));
    let (sandboxed, native) = least_of_two(BATCHES, || batch(wasm), || batch(&native))?;
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / samples.len() as f64;
    Ok(Row {
        name: "wasm / native".into(),
        value: sandboxed.as_secs_f64() / native.as_secs_f64(),
        unit: "×",
        note: format!(
            "`semantic` on 20 answers: {:.1} µs a sample beside {:.1}, equal scores; target: at most 1.35",
            each(sandboxed),
            each(native)
        ),
    })
}

fn threads(scorer: &Scorer, samples: &[Sample]) -> Result<Row> {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().context("starting threads");
    let (one, two) = (pool(1)?, pool(2)?);
    let batch = |threads: &rayon::ThreadPool| {
        threads.install(|| samples.par_iter().try_for_each(|sample| score(scorer, sample).map(drop)))
    };
    let (alone, together) = least_of_two(LONG_BATCHES, || batch(&one), || batch(&two))?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Row {
        name: "threads: 2 / 1".into(),
        value: alone.as_secs_f64() / together.as_secs_f64(),
        unit: "×",
        note: format!(
            "{} samples in {:.2} ms and {:.2} ms, {processors} processors; target: at least 1.8",
            samples.len(),
            alone.as_secs_f64() * 1e3,
            together.as_secs_f64() * 1e3
        ),
    })
}

fn score(scorer: &Scorer, sample: &Sample) -> Result<Step> {
    Ok(scorer.score(sample, &[]).map_err(UserError::from)?)
}
