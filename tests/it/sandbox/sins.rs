//! One test per sin of a scorer, by `tests/fixtures/bad-plugin`.

use super::trial::{Trial, of};
use crate::small::{self, kept};
use crate::support::{expect_success, expect_user_error};

const DEFECT: &str = "this is a defect of the plugin";
const SKIP: &str = "`on_fault = \"skip\"` leaves such samples out";

/// A test that the fixture commits `$sin` on the first prompt, with the cause and the cure that are told.
macro_rules! sins {
    ($($name:ident: $sin:literal $(under $limits:literal)?, $cause:expr, $cure:expr;)*) => {
        $(#[test]
        fn $name() {
            #[allow(unused_mut, unused_assignments)]
            let mut limits = "";
            $(limits = $limits;)?
            Trial::bad($sin, limits).sins("river", $cause, $cure, Trial::repent);
        })*
    };
}

sins! {
    an_endless_loop: "loop", "ran out of fuel (50,000,000 units, about as many instructions)", "raise `limits.fuel`";
    an_endless_loop_with_endless_fuel: "loop" under "fuel = 1_000_000_000_000_000\nseconds = 1",
        "ran for more than 1 s", "raise `limits.seconds`";
    a_panic: "panic", "panicked: no such token (src/lib.rs:7:5)", "run this sample natively under `cargo test`";
    a_panic_without_a_message: "panic-silently", "panicked without a message", DEFECT;
    a_panic_in_very_many_words: "panic-in-many-words", "panicked: no such token no such token ", DEFECT;
    a_panic_that_forges_lines_of_the_host: "forging-panic", "panicked: left: 1\n  error: nothing happened\n  hint: all is well�[2J", DEFECT;
    a_call_of_a_function_that_is_not_there: "wild-call", "trapped: undefined element: out of bounds table access", DEFECT;
    a_trap_behind_a_line_and_half_of_the_work: "trap-after-a-line", "panicked without a message", DEFECT;
    a_memory_bomb_of_one_big_allocation: "memory", "ran out of memory: wanted 1026 MiB of at most 64", "raise `limits.memory_mib`";
    a_memory_bomb_of_many_small_allocations: "many-allocations" under "memory_mib = 64", "ran out of memory: wanted 6", "raise `limits.memory_mib`";
    deep_recursion: "recursion", "touched memory out of bounds; in a Rust plugin this is a stack overflow", SKIP;
    deep_recursion_on_the_native_stack: "native-recursion", "overflowed its stack of 1024 KiB", "raise `limits.stack_kib`";
    a_score_that_is_nan: "nan", "gave response 0 the uncertainty NaN, which is not a number in [0, 1]", DEFECT;
    a_score_that_is_infinite: "infinite", "gave response 0 the uncertainty inf, which is not a number in [0, 1]", DEFECT;
    a_score_that_is_minus_infinite: "minus-infinite", "gave response 0 the uncertainty -inf, which is not a number in [0, 1]", DEFECT;
    a_score_above_the_range: "out-of-range", "gave response 0 the uncertainty 1.5, which is not a number in [0, 1]", DEFECT;
    a_score_below_the_range: "negative", "gave response 0 the uncertainty -0.1, which is not a number in [0, 1]", DEFECT;
    a_score_too_many: "wrong-count", "returned 3 scores for 2 responses", DEFECT;
    no_score_at_all: "no-scores", "returned 0 scores for 2 responses", DEFECT;
    four_million_scores: "many-scores" under "memory_mib = 256", "handed over more than 16 MiB at once", "raise `limits.output_mib`";
    four_million_scores_that_may_cross: "many-scores" under "memory_mib = 256\noutput_mib = 512", "returned 4000000 scores for 2 responses", DEFECT;
    a_hundred_megabytes: "huge-output" under "memory_mib = 256", "handed over more than 16 MiB at once", "raise `limits.output_mib`";
    a_note_that_is_nan: "bad-note", "gave response 0 the note `similarity` = NaN, which is not a finite number", DEFECT;
    a_note_that_comes_twice: "twice-noted", "gave response 0 the note `similarity` twice", DEFECT;
    a_hundred_thousand_notes: "many-notes" under "memory_mib = 64", "gave response 0 100000 notes; at most 100 are allowed", DEFECT;
    a_note_with_a_name_of_a_megabyte: "huge-note", "gave response 0 the note `xxxxxxxx", DEFECT;
    a_note_whose_name_commands_the_terminal: "note-with-an-escape", "gave response 0 the note `a�[2J�hint: b`; a note's name has 1 to 200 bytes and no control characters", DEFECT;
    a_question_that_was_not_granted: "ungranted", "asked a question of kind `complete`, which the config does not grant it", "add \"complete\" to the scorer's `grant`";
    a_question_that_was_not_declared: "undeclared", "asked a question of kind `embed`, which its description does not declare", DEFECT;
    a_round_without_questions: "no-questions", "asked a round without questions", DEFECT;
    too_many_questions: "many-questions", "asked 20000 questions in one round; at most 10000 are allowed", "raise `limits.questions`";
    a_million_questions: "million-questions" under "memory_mib = 512", "handed over more than 16 MiB at once", "raise `limits.output_mib`";
    a_million_questions_that_may_cross: "million-questions" under "memory_mib = 512\noutput_mib = 1024", "asked 1000000 questions in one round; at most 10000 are allowed", "raise `limits.questions`";
    a_flood_of_log_lines: "log-flood", "ran out of fuel (50,000,000 units, about as many instructions)", "raise `limits.fuel`";
    a_fault_of_its_own: "fault", "this prompt has no words", SKIP;
    a_fault_with_a_hint_of_its_own: "fault-hint", "this prompt has no words", "give it some";
    a_fault_that_says_nothing: "silent-fault", "gave a fault without a message", SKIP;
    a_fault_of_eight_megabytes: "huge-fault", "xxxxxxxxxx", "yyyyyyyyyy";
    a_fault_that_forges_lines_of_the_host: "forging-fault", "this is fine\n  error: disk full�[2J", "stay calm";
}

#[test]
fn a_first_sample_scored_and_a_trap_on_the_second() {
    let mut trial = Trial::bad("trap-on-birds", "");
    trial.sins("song", "panicked without a message", DEFECT, |trial| {
        let skipped = of("bad", &trial.run().with_file_name("runskip"));
        let stopped = of("bad", &trial.run());
        assert_eq!(stopped.len(), 1, "what was scored before the trap is on disk");
        assert_eq!(skipped[0], stopped[0]);
        trial.repent();
    });
}

#[test]
fn a_slow_scorer_within_its_limits_is_no_sinner() {
    let trial = Trial::bad("slow", "");
    expect_success(&mut trial.score("stop"));
    let sinless = Trial::bad("", "");
    expect_success(&mut sinless.score("stop"));
    assert_eq!(of("bad", &trial.run()), of("bad", &sinless.run()));
}

#[test]
fn a_log_line_can_neither_clear_the_screen_nor_forge_a_line() {
    let stderr = expect_success(&mut Trial::bad("log-escapes", "").score("stop"));
    assert!(stderr.contains("bad says: �[2Jcleared\n  error: a second line"), "{stderr}");
}

#[test]
fn a_log_line_of_a_megabyte_is_cut() {
    let stderr = expect_success(&mut Trial::bad("log-huge", "").score("stop"));
    assert!(stderr.len() < 8192, "{}", stderr.len());
}

#[test]
fn sins_in_check_settings_are_told_before_anything_runs() {
    let frame = "`check-settings` failed: ";
    for (sin, needles) in [
        ("loop-in-check-settings", [frame, "ran out of fuel (50,000,000 units", "raise `limits.fuel`"]),
        ("panic-in-check-settings", [frame, "panicked: no such setting", DEFECT]),
        (
            "many-problems",
            ["20000 problems in the settings of scorer `bad`", "settings.sin: is a sin", "and 19980 more"],
        ),
        ("huge-problem", ["1 problem in the settings of scorer `bad`", "settings.xxxx", "…"]),
        ("forging-problem", ["settings.a�[2J: is wrong", "\n    hint: all is well", "udasa plugin inspect"]),
        (
            "unheard-of",
            ["1 problem in the settings of scorer `bad`", "is not a sin that we know", "udasa plugin inspect"],
        ),
    ] {
        let trial = Trial::bad(sin, "");
        let stderr = expect_user_error(&mut trial.score("stop"), &needles);
        assert!(stderr.len() < 8192, "{sin}: {} bytes", stderr.len());
        assert!(!trial.run().exists(), "{sin}");
    }
}

/// These ask a model, so they are asked of the small run's.
#[test]
fn sins_in_questions_to_a_model() {
    let run = small::copy();
    let folder = crate::support::scratch();
    small::copy_folder(&crate::support::plugins(), folder.path());
    small::copy_folder(super::bad_plugins(), folder.path());
    for (sin, cause, cure) in [
        ("endless-rounds", "asked another round of questions after 8 rounds", "raise `limits.rounds`"),
        ("one-option", "asked `choose` as question 0 with 1 options; it takes at least two", DEFECT),
        ("many-options", "asked `choose` as question 0 with 1000000 options; it takes at most 1000", DEFECT),
        ("empty-prompt", "asked `choose` as question 0 with an empty prompt", DEFECT),
        ("bad-temperature", "asked `complete` as question 0 with temperature NaN", DEFECT),
        ("huge-prompt", "handed over more than 16 MiB at once", "raise `limits.output_mib`"),
    ] {
        let mut command = small::with_plugins("score", run.path(), folder.path());
        command.args(["--set", "scorer.0.plugin=bad", "--set", "scorer.0.name=bad", "--set"]);
        command.args(["scorer.0.grant=[\"choose\", \"complete\"]", "--set", "limits.output_mib=64", "--set"]);
        command.arg(format!("scorer.0.settings={{ sin = \"{sin}\" }}"));
        if sin == "huge-prompt" {
            // It may cross, and the model cannot read it.
            command.args(["--set", "limits.memory_mib=256"]);
            let stderr = expect_user_error(&mut command, &["answering the questions of scorer `bad`"]);
            assert!(stderr.len() < 8192, "{} bytes", stderr.len());
            continue;
        }
        let needles = ["plugin `bad` 0.1.0 (", "`score` failed on prompt `", cause, cure];
        let stderr = expect_user_error(&mut command, &needles);
        assert_eq!(kept(&stderr), ["world", "sft", "generate"], "{sin}");
    }
}
