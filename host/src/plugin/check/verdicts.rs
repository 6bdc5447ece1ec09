//! Judges what the plays show, a line per check.

use crate::config::Limits;
use crate::plugin::size;
use crate::sandbox::{Cause, PluginFault, grouped};

use super::cases::{Case, Given};
use super::play::{Play, Plays};
use super::report::Report;

pub(super) fn judge(report: &mut Report, plays: &Plays, cases: &[Case], limits: &Limits) {
    let ended: Vec<(&str, &PluginFault)> = cases
        .iter()
        .zip(&plays.first)
        .filter_map(|(case, play)| Some((case.name.as_str(), play.end.as_ref()?)))
        .collect();
    outputs(report, plays, cases, &ended);
    limits_kept(report, plays, limits, &ended);
    if plays.again.is_empty() {
        for check in ["purity", "order", "fuel"] {
            report.skipped(check, "it did not come to an end".to_owned());
        }
        return;
    }
    same(report, cases, plays);
}

fn outputs(report: &mut Report, plays: &Plays, cases: &[Case], ended: &[(&str, &PluginFault)]) {
    let of = |wanted: fn(&Cause) -> bool| -> Vec<_> {
        ended.iter().filter(|(_, fault)| wanted(&fault.cause)).copied().collect()
    };
    let broken = of(|cause| !is_refusal(cause) && !is_limit(cause));
    let refused = of(is_refusal);
    if !broken.is_empty() {
        return report.failed("outputs", named(&broken));
    }
    if refused.len() == cases.len() {
        let what =
            if is_samples(cases) { "sample; give some that it takes with --sample FILE" } else { "set of pairs" };
        return report.failed("outputs", format!("refused every {what}: {}", named(&refused)));
    }
    if ended.len() > refused.len() {
        return report.skipped("outputs", "it broke a limit before there were any".to_owned());
    }
    let done = cases.len() - refused.len();
    let mut detail = if is_samples(cases) {
        let questions: usize = plays.first.iter().map(|play| play.questions).sum();
        let asked =
            if questions > 0 { format!(", {questions} questions given made-up answers") } else { String::new() };
        format!("{done} samples scored{asked}")
    } else {
        let stages: usize = plays.first.iter().map(|play| play.outputs.len()).sum();
        format!("{done} sets of pairs divided into {stages} stages in all")
    };
    if !refused.is_empty() {
        detail.push_str(&format!("; refused {}: {}", refused.len(), named(&refused)));
    }
    report.ok("outputs", detail);
}

fn limits_kept(report: &mut Report, plays: &Plays, limits: &Limits, ended: &[(&str, &PluginFault)]) {
    let over: Vec<_> = ended.iter().filter(|(_, fault)| is_limit(&fault.cause)).copied().collect();
    if !over.is_empty() {
        return report.failed("limits", named(&over));
    }
    let all = [&plays.first, &plays.again, &plays.other, &plays.reversed];
    let fuel = all.into_iter().flatten().flat_map(|play| &play.fuel).max().copied().unwrap_or(0);
    report.ok(
        "limits",
        format!(
            "at most {} of {} fuel a call, {} of {} MiB of memory",
            grouped(fuel),
            grouped(limits.fuel),
            size(plays.peak_memory),
            limits.memory_mib
        ),
    );
}

fn same(report: &mut Report, cases: &[Case], plays: &Plays) {
    let differ = |others: &[Play], equal: fn(&Play, &Play) -> bool| {
        let pairs = plays.first.iter().zip(others);
        cases.iter().zip(pairs).find(|(_, (one, other))| !equal(one, other)).map(|(case, _)| case.name.clone())
    };
    let not_pure = "; a plugin is a pure function, and state that changes an answer is not allowed";
    match (differ(&plays.again, Play::agrees), differ(&plays.other, Play::agrees)) {
        (Some(case), _) => {
            report.failed("purity", format!("`{case}` gave another result the second time on one instance{not_pure}"));
        }
        (None, Some(case)) => {
            report.failed("purity", format!("`{case}` gave another result on another instance{not_pure}"));
        }
        (None, None) => report.ok("purity", "the same twice on one instance, and on another".to_owned()),
    }
    match differ(&plays.reversed, Play::agrees) {
        Some(case) => report.failed("order", format!("`{case}` gave another result after other calls{not_pure}")),
        None => report.ok("order", "the same last to first".to_owned()),
    }
    match differ(&plays.other, |one, other| one.fuel == other.fuel) {
        Some(case) => report.failed("fuel", format!("`{case}` cost another amount on another instance")),
        None => {
            let calls: usize = plays.first.iter().map(|play| play.fuel.len()).sum();
            report.ok("fuel", format!("the same on two instances in all {calls} calls"));
        }
    }
}

/// The plugin's own word that it does not take this.
fn is_refusal(cause: &Cause) -> bool {
    matches!(cause, Cause::Fault { .. })
}

fn is_limit(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::OutOfFuel { .. }
            | Cause::OutOfTime { .. }
            | Cause::OutOfMemory { .. }
            | Cause::StackOverflow { .. }
            | Cause::OutputTooLarge { .. }
            | Cause::TooManyRounds { .. }
            | Cause::TooManyQuestions { .. }
            | Cause::TooManyTokens { .. }
    )
}

fn is_samples(cases: &[Case]) -> bool {
    cases.iter().any(|case| matches!(case.what, Given::Sample(_)))
}

/// The first with its cause, and how many more.
fn named(faults: &[(&str, &PluginFault)]) -> String {
    let Some((case, fault)) = faults.first() else {
        return String::new();
    };
    let more = match faults.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    format!("`{case}`: {}{more}", fault.cause)
}
