//! What would run, as text. Touches nothing.

use std::fmt::Write;

use anyhow::Result;

use super::answerers;
use super::folder::{Begin, Records};
use super::prepare::{Options, Prepared, shown};
use super::room::Room;
use crate::config::{Config, Data, Generate};
use crate::data;
use crate::model::{SamplingMemory, Spec};
use crate::progress::size;
use crate::records::PluginUsage;
use crate::report::sections::plugins::share;
use crate::usage;

/// Larger prompt files are not read for the sake of a count.
const CHEAP_BYTES: u64 = 64 << 20;

/// The plan of a run.
pub fn plan(options: &Options) -> Result<String> {
    let prepared = Prepared::new(options)?;
    let records = Records::read(&prepared.path)?;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_plan(&mut out, &prepared, &records, options);
    Ok(out)
}

fn write_plan(out: &mut String, prepared: &Prepared, records: &Records, options: &Options) -> std::fmt::Result {
    let cfg = &prepared.cfg;
    writeln!(out, "run folder  {}", shown(&prepared.path))?;
    writeln!(out, "seed        {}", cfg.seed)?;
    let count = count(cfg);
    writeln!(out, "prompts     {}", prompts(cfg, count.as_ref()))?;

    if let Some(memory) = memory(cfg, count.and_then(Result::ok)) {
        let [weights, cache, prepacked, activations, program] =
            [memory.weights, memory.cache, memory.prepacked, memory.activations, memory.program]
                .map(|bytes| size(bytes as u64));
        writeln!(
            out,
            "memory      sampling at most {}: weights {weights}, keys and values {cache}, prepacked matrices {prepacked}, activations {activations}, program {program}",
            size(memory.total() as u64)
        )?;
    }

    writeln!(out, "\nrooms")?;
    let mut rerun = false;
    for room in &prepared.rooms {
        let state = state(*room, prepared, records, options);
        rerun |= state != "unchanged, kept";
        writeln!(out, "  {room:<10}{state}")?;
    }
    if !rerun {
        writeln!(out, "  (nothing to do)")?;
    }

    if !prepared.plugins.lines.is_empty() {
        writeln!(out, "\nplugins")?;
        for line in &prepared.plugins.lines {
            writeln!(out, "  {line}")?;
        }
        let limits = &cfg.limits;
        writeln!(
            out,
            "  limits of a call: {} fuel, {} memory, {} stack, {} output, {} s, {} rounds of {} questions, {} tokens of texts",
            limits.fuel,
            size(limits.memory_mib << 20),
            size(limits.stack_kib << 10),
            size(limits.output_mib << 20),
            limits.seconds,
            limits.rounds,
            limits.questions,
            limits.complete_tokens
        )?;
        write_usage(out, prepared)?;
    }

    let answerers = answerers::lines(cfg);
    if !prepared.plugins.scorers.is_empty() && !answerers.is_empty() {
        writeln!(out, "\nquestions are answered by")?;
        for line in answerers {
            writeln!(out, "  {line}")?;
        }
    }

    if !prepared.digests.asked().is_empty() {
        writeln!(out, "\ninputs")?;
        for (path, digest) in prepared.digests.asked() {
            writeln!(out, "  {}  sha256 {}", shown(path), &digest[..12])?;
        }
    }
    Ok(())
}

/// How close the plugins came to the limits, as far as the run folder knows it of these very files.
fn write_usage(out: &mut String, prepared: &Prepared) -> std::fmt::Result {
    let digests = prepared.plugins.digests();
    let ours = |entry: &PluginUsage| {
        digests.scorers.get(&entry.name) == Some(&entry.sha256) || digests.policy.as_ref() == Some(&entry.sha256)
    };
    let limits = &prepared.cfg.limits;
    for (room, file) in usage::FILES {
        let entries = usage::read(&prepared.path.join(file)).into_iter();
        for entry in entries.filter(|entry| ours(entry) && !entry.native && entry.used.calls > 0) {
            writeln!(
                out,
                "  {} so far: {} calls in {room}, at most {} of the fuel and {} of the memory",
                entry.name,
                entry.used.calls,
                share(entry.used.most_fuel, limits.fuel).replace('\u{a0}', " "),
                share(entry.used.peak_memory, limits.memory_mib << 20).replace('\u{a0}', " ")
            )?;
        }
    }
    Ok(())
}

fn state(room: Room, prepared: &Prepared, records: &Records, options: &Options) -> &'static str {
    if options.from.is_some_and(|from| room >= from) {
        return "runs, as --from says";
    }
    let Some(key) = prepared.keys.rooms.get(&room) else {
        return "is written anew";
    };
    match records.state(&prepared.path, room, key) {
        Begin::Skip => "unchanged, kept",
        Begin::Resume => "goes on where it stopped",
        Begin::Fresh if records.get(room).is_some() => "runs again: its inputs or its config changed",
        Begin::Fresh => "runs",
    }
}

/// Of sampling, where a model is there whose shape can be read.
fn memory(cfg: &Config, prompts: Option<usize>) -> Option<SamplingMemory> {
    let spec = Spec::read(cfg.model.path.as_ref().filter(|_| cfg.generate.from.is_none())?).ok()?;
    let at_once = prompts.map_or(cfg.generate.unit, |n| n.min(cfg.generate.unit));
    Some(SamplingMemory::plan(&spec, &cfg.model, &Generate { unit: at_once, ..cfg.generate.clone() }))
}

/// How many prompts there are to sample; none where it is not cheap to know.
fn count(cfg: &Config) -> Option<Result<usize>> {
    if cfg.pairs.is_some() || cfg.generate.from.is_some() {
        return None;
    }
    if let Some(world) = &cfg.world {
        return Some(Ok(world.prompts));
    }
    let data = cfg.data.as_ref()?;
    let cheap = bytes(data) <= CHEAP_BYTES;
    cheap.then(|| data::read(data, cfg.seed).map(|read| read.prompts.len()))
}

fn bytes(data: &Data) -> u64 {
    data.paths.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|found| found.len()).sum()
}

fn prompts(cfg: &Config, count: Option<&Result<usize>>) -> String {
    let responses = cfg.generate.responses;
    match (count, &cfg.pairs, &cfg.generate.from, &cfg.data) {
        (Some(Ok(n)), ..) => format!("{n}, {responses} responses each"),
        (Some(Err(error)), ..) => format!("cannot be read: {error}"),
        (_, Some(pairs), ..) => format!("in the preference rows of {}", shown(&pairs.from)),
        (_, _, Some(from), _) => format!("with the responses of {}", shown(from)),
        (.., Some(data)) => format!("{} of files, {responses} responses each", size(bytes(data))),
        _ => "none".into(),
    }
}
