//! One test per sin: the fault names everything it should, its cure fits, and the next good call works.

use rayon::prelude::*;

use crate::config::Limits;
use crate::records::{Answer, Sample};
use crate::sandbox::{Cause, PluginFault, Scorer, Step};

use super::{config, directory, limits, refusal, sample, scorer};

fn fault_of(scorer: &Scorer, sample: &Sample, rounds: &[Vec<Answer>]) -> PluginFault {
    scorer.score(sample, rounds).expect_err("it sins")
}

/// Commits `sin` on prompt `p1`; checks the fault's frame, that its cause is `cause` and its hint holds `cure`; then that a
/// good scorer of the same plugin still works.
fn survives(sin: &str, cause: &str, cure: &str) -> PluginFault {
    let good = scorer("");
    let bad = scorer(sin);
    let two = sample("p1", &["a", "bc"]);
    let fault = fault_of(&bad, &two, &[]);
    let text = fault.to_string();
    let frame = format!("plugin `bad` 0.1.0 ({}): `score` failed on prompt `p1`: ", &bad.sha256()[..12]);
    let Some(rest) = text.strip_prefix(&frame) else {
        panic!("{text}\n does not begin with\n{frame}");
    };
    assert_eq!(rest, cause);
    assert!(fault.hint().contains(cure), "{}", fault.hint());
    assert_scores_well(&good, &two);
    // The sinner too is as before: its instance was replaced or unharmed.
    assert_eq!(fault_of(&bad, &two, &[]), fault);
    fault
}

fn assert_scores_well(good: &Scorer, sample: &Sample) {
    let Ok(Step::Done(scores)) = good.score(sample, &[]) else {
        panic!("the good scorer fails");
    };
    let given: Vec<f64> = scores.iter().map(|s| s.uncertainty).collect();
    assert_eq!(given, [0.5, 1.0 - 1.0 / 3.0]);
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let cause = "ran out of fuel (200,000,000 units, about as many instructions)";
    survives("loop", cause, "limits.fuel");
}

#[test]
fn without_enough_fuel_the_clock_stops_a_loop() {
    let limits = Limits { fuel: u64::MAX, seconds: 1, ..limits() };
    let bad = directory().scorer(&config("loop"), &limits).expect("loads");
    let fault = fault_of(&bad, &sample("p1", &["a"]), &[]);
    assert_eq!(fault.cause, Cause::OutOfTime { limit: 1 });
    assert!(fault.hint().contains("limits.seconds"));
}

#[test]
fn a_slow_call_within_its_limits_is_none_of_our_business() {
    assert_scores_well(&scorer("slow"), &sample("p1", &["a", "bc"]));
}

#[test]
fn a_panic_is_told_in_its_own_words() {
    let cause = "panicked: no such token (src/lib.rs:7:5)";
    survives("panic", cause, "natively under `cargo test`");
}

#[test]
fn a_panic_without_a_hook_is_still_a_panic() {
    survives("panic-silently", "panicked without a message", "defect of the plugin");
}

#[test]
fn a_wild_call_is_a_trap() {
    let cause = "trapped: undefined element: out of bounds table access";
    survives("wild-call", cause, "on_fault");
}

#[test]
fn one_big_allocation_runs_out_of_memory() {
    let fault = survives("memory", "ran out of memory: wanted 1026 MiB of at most 64", "limits.memory_mib");
    assert!(matches!(fault.cause, Cause::OutOfMemory { limit: 64, .. }));
}

#[test]
fn many_small_allocations_run_out_of_memory() {
    let bad = scorer("many-allocations");
    let fault = fault_of(&bad, &sample("p1", &["a"]), &[]);
    assert!(matches!(fault.cause, Cause::OutOfMemory { limit: 64, .. }), "{fault}");
}

#[test]
fn deep_recursion_overflows_the_stack_in_linear_memory() {
    let cause =
        "touched memory out of bounds; in a Rust plugin this is a stack overflow, in others perhaps a stray pointer";
    survives("recursion", cause, "on_fault");
}

#[test]
fn deep_recursion_overflows_the_native_stack() {
    survives("native-recursion", "overflowed its stack of 1024 KiB", "limits.stack_kib");
}

#[test]
fn a_larger_stack_than_a_thread_has_is_given_on_a_thread_of_its_own() {
    let limits = Limits { stack_kib: 16 * 1024, fuel: 2_000_000_000, ..limits() };
    let bad = directory().scorer(&config("native-recursion"), &limits).expect("loads");
    let fault = fault_of(&bad, &sample("p1", &["a"]), &[]);
    assert_eq!(fault.cause, Cause::StackOverflow { limit: 16 * 1024 });
    let good = directory().scorer(&config(""), &limits).expect("loads");
    assert_scores_well(&good, &sample("p1", &["a", "bc"]));
}

#[test]
fn scores_that_are_no_uncertainties_are_refused() {
    let range = |u: &str| format!("gave response 0 the uncertainty {u}, which is not a number in [0, 1]");
    survives("nan", &range("NaN"), "defect of the plugin");
    survives("infinite", &range("inf"), "defect of the plugin");
    survives("out-of-range", &range("1.5"), "defect of the plugin");
    survives("negative", &range("-0.1"), "defect of the plugin");
}

#[test]
fn a_wrong_number_of_scores_is_refused() {
    survives("wrong-count", "returned 3 scores for 2 responses", "defect");
    survives("no-scores", "returned 0 scores for 2 responses", "defect");
}

#[test]
fn notes_that_a_record_cannot_hold_are_refused() {
    let cause = "gave response 0 the note `similarity` = NaN, which is not a finite number";
    survives("bad-note", cause, "defect");
    survives("twice-noted", "gave response 0 the note `similarity` twice", "defect");
}

#[test]
fn a_question_that_was_not_granted_is_not_asked() {
    let cause = "asked a question of kind `complete`, which the config does not grant it";
    survives("ungranted", cause, "add \"complete\" to the scorer's `grant`");
}

#[test]
fn a_question_that_was_not_declared_is_not_asked_even_if_granted() {
    let cause = "asked a question of kind `embed`, which its description does not declare";
    survives("undeclared", cause, "defect");
}

#[test]
fn endless_rounds_come_to_an_end() {
    let bad = scorer("endless-rounds");
    let one = sample("p1", &["a"]);
    let mut rounds = Vec::new();
    let fault = loop {
        match bad.score(&one, &rounds) {
            Ok(Step::Ask(questions)) => {
                rounds.push(vec![Answer::Choose(vec![0.5, 0.5]); questions.len()]);
            }
            Ok(Step::Done(_)) => panic!("it never answers"),
            Err(fault) => break fault,
        }
    };
    assert_eq!(rounds.len(), 8);
    assert_eq!(fault.cause, Cause::TooManyRounds { limit: 8 });
    assert!(fault.hint().contains("limits.rounds"));
}

#[test]
fn ill_formed_questions_are_not_asked() {
    survives("no-questions", "asked a round without questions", "defect");
    let too_many = "asked 20000 questions in one round; at most 10000 are allowed";
    survives("many-questions", too_many, "limits.questions");
    let one_option = "asked `choose` as question 0 with 1 options; it takes at least two";
    survives("one-option", one_option, "defect");
    let no_prompt = "asked `choose` as question 0 with an empty prompt";
    survives("empty-prompt", no_prompt, "defect");
}

#[test]
fn a_hundred_megabytes_are_not_taken() {
    let limits = Limits { memory_mib: 256, ..limits() };
    let bad = directory().scorer(&config("huge-output"), &limits).expect("loads");
    let fault = fault_of(&bad, &sample("p1", &["a"]), &[]);
    assert_eq!(fault.cause, Cause::OutputTooLarge { limit: 16 }, "{fault}");
    assert!(fault.hint().contains("limits.output_mib"));
}

#[test]
fn a_flood_of_log_lines_runs_out_of_fuel_and_is_capped() {
    let bad = scorer("log-flood");
    let fault = fault_of(&bad, &sample("p1", &["a"]), &[]);
    assert!(matches!(fault.cause, Cause::OutOfFuel { .. }), "{fault}");
    let (lines, dropped) = bad.log();
    assert_eq!(lines.len(), 100);
    assert!(dropped > 0);
}

#[test]
fn a_huge_log_line_is_cut() {
    let talker = scorer("log-huge");
    assert_scores_well(&talker, &sample("p1", &["a", "bc"]));
    assert!(talker.log().0[0].text.len() < 5000);
}

#[test]
fn a_fault_is_no_trap_and_keeps_its_own_hint() {
    survives("fault", "this prompt has no words", "on_fault");
    survives("fault-hint", "this prompt has no words", "give it some");
    let bad = scorer("fault");
    for _ in 0..3 {
        fault_of(&bad, &sample("p1", &["a"]), &[]);
    }
    assert_eq!(bad.usage().traps, 0);
}

#[test]
fn all_problems_of_the_settings_come_at_once() {
    let error = refusal(directory().scorer(&config("two-problems"), &limits()));
    let expected = "2 problems in the settings of scorer `bad` (plugin `bad` 0.1.0, ";
    assert!(error.message.starts_with(expected), "{}", error.message);
    assert!(error.message.ends_with("\n  settings.sin: is a sin\n  settings: are beyond repair"));
}

#[test]
fn a_loop_while_the_settings_are_checked_is_stopped_too() {
    let error = refusal(directory().scorer(&config("loop-in-check-settings"), &limits()));
    assert!(error.message.contains("`check-settings` failed: ran out of fuel"));
}

#[test]
fn results_do_not_depend_on_threads_or_on_faults_beside_them() {
    let good = scorer("");
    let bad = scorer("panic");
    let samples: Vec<Sample> = (0..200)
        .map(|i| sample(&format!("p{i}"), &["x", "y y"].map(|t| t.repeat(i + 1)).each_ref().map(String::as_str)))
        .collect();
    let before = (good.usage().calls, bad.usage().calls);
    let alone: Vec<_> = samples.iter().map(|s| good.score(s, &[])).collect();
    let together: Vec<_> = samples
        .par_iter()
        .map(|s| {
            fault_of(&bad, s, &[]);
            good.score(s, &[])
        })
        .collect();
    assert_eq!(alone, together);
    assert_eq!((bad.usage().traps, bad.usage().calls - before.1), (200, 200));
    assert_eq!(good.usage().calls - before.0, 400);
}

#[test]
fn a_slow_call_with_just_enough_fuel_is_done_and_with_a_hundredth_less_is_not() {
    let slow = scorer("slow");
    let before = slow.usage().fuel;
    let two = sample("p1", &["a", "bc"]);
    assert_scores_well(&slow, &two);
    let needed = slow.usage().fuel - before;
    let with = |fuel| directory().scorer(&config("slow"), &Limits { fuel, ..limits() }).expect("loads");
    assert_scores_well(&with(needed), &two);
    // Fuel is looked at where a loop begins anew, not at every instruction.
    let less = needed / 100 * 99;
    assert_eq!(fault_of(&with(less), &two, &[]).cause, Cause::OutOfFuel { limit: less });
}

#[test]
fn the_same_call_takes_the_same_fuel() {
    let fuel = || {
        let good = scorer("slow");
        let before = good.usage().fuel;
        assert!(good.score(&sample("p1", &["a", "bc"]), &[]).is_ok());
        good.usage().fuel - before
    };
    assert_eq!(fuel(), fuel());
}
