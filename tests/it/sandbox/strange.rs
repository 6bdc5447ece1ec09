//! Scorers that break the component model's own rules, or strain what the host does for them; see [`super::wat`].

use super::trial::{Trial, alone, of_good};
use super::wat::{BLOCK, FREE, Parts, RESULT, SCORES, scorer, words};
use crate::support::{expect_success, expect_user_error};

const DEFECT: &str = "this is a defect of the plugin";

/// The scorer `odd` of these parts sins in `score`, and is mended by the one without.
#[track_caller]
fn sins(parts: &Parts<'_>, cause: &str, cure: &str) {
    let mut trial = Trial::made("odd", &scorer(parts));
    trial.sins("river", cause, cure, |trial| {
        std::fs::write(trial.directory().join("odd.wasm"), scorer(&Parts::default())).expect("it can be written");
    });
}

/// The scorer `odd` of these parts is refused before anything runs.
#[track_caller]
fn is_refused(parts: &Parts<'_>, needles: &[&str]) {
    let trial = Trial::made("odd", &scorer(parts));
    let stderr = expect_user_error(&mut trial.score("stop"), needles);
    assert!(stderr.len() < 8192, "{} bytes", stderr.len());
    assert!(!trial.run().exists());
    std::fs::remove_file(trial.directory().join("odd.wasm")).expect("it is there");
    expect_success(&mut trial.score_good());
    assert_eq!(of_good(&trial.run()), alone());
}

fn score(body: &str) -> Parts<'_> {
    Parts { score: body, ..Parts::default() }
}

/// A scorer whose result is these words.
#[track_caller]
fn returns(result: &[u32], cause: &str) {
    let more = format!("(data (i32.const {FREE}) \"{}\")", words(result));
    let body = format!("(i32.const {FREE})");
    sins(&Parts { score: &body, more: &more, ..Parts::default() }, cause, DEFECT);
}

#[test]
fn the_scorer_made_by_hand_is_a_good_one() {
    let trial = Trial::made("odd", &scorer(&Parts::default()));
    expect_success(&mut trial.score("stop"));
    let lines = super::trial::of("odd", &trial.run());
    assert!(lines[0].contains("\"uncertainty\":0.5") && lines[1].contains("\"uncertainty\":0.25"), "{lines:?}");
}

/// A scorer that takes a block, with this body; the contract's own `score` would trap.
fn by_block(body: &str) -> Parts<'_> {
    Parts { block: Some(body), score: "unreachable", ..Parts::default() }
}

#[test]
fn a_scorer_that_takes_a_block_is_called_with_one() {
    let trial = Trial::made("odd", &scorer(&by_block(&format!("(i32.const {RESULT})"))));
    expect_success(&mut trial.score("stop"));
    let lines = super::trial::of("odd", &trial.run());
    assert!(lines[0].contains("\"uncertainty\":0.5") && lines[1].contains("\"uncertainty\":0.25"), "{lines:?}");
}

#[test]
fn a_scorer_that_takes_a_block_and_sins() {
    sins(&by_block("(i32.const -8)"), "returned something unreadable: ", DEFECT);
    sins(&by_block("unreachable"), "panicked without a message", DEFECT);
    let more = format!("(func (export \"cabi_post_{BLOCK}#score\") (param i32) (loop (br 0)))");
    let body = format!("(i32.const {RESULT})");
    let behind = Parts { more: &more, ..by_block(&body) };
    sins(&behind, "ran out of fuel (50,000,000 units", "raise `limits.fuel`");
    let more = format!("(data (i32.const {FREE}) \"{}\")", words(&[0, 1, SCORES, 4_000_000]));
    let body = format!("(i32.const {FREE})");
    sins(&Parts { more: &more, ..by_block(&body) }, "returned something unreadable: ", DEFECT);
}

/// Its settings are smaller than a block.
#[test]
fn an_allocator_that_lies_about_a_block() {
    let realloc = "(local $at i32)
        (if (i32.gt_u (local.get $size) (i32.const 64)) (then (return (i32.const -16))))
        (local.set $at (global.get $heap))
        (global.set $heap (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 15)) (i32.const -16)))
        (local.get $at)";
    let body = format!("(i32.const {RESULT})");
    sins(&Parts { realloc, ..by_block(&body) }, "returned something unreadable: realloc return: ", DEFECT);
}

#[test]
fn a_result_beyond_its_memory() {
    sins(&score("(i32.const -8)"), "returned something unreadable: ", DEFECT);
}

#[test]
fn a_result_at_an_odd_place() {
    sins(&score(&format!("(i32.const {})", RESULT + 1)), "returned something unreadable: ", DEFECT);
}

#[test]
fn a_list_longer_than_its_memory() {
    returns(&[0, 1, SCORES, u32::MAX], "returned something unreadable: ");
}

#[test]
fn a_list_of_which_the_second_half_lies_beyond_its_memory() {
    // The first score is whole; the second one's notes are not.
    let more = format!(
        "(data (i32.const {FREE}) \"{}\") (data (i32.const {}) \"{}\")",
        words(&[0, 1, FREE + 64, 2]),
        FREE + 64,
        words(&[0, 0, 0, 0, 0, 0, 0xffff_fff0, 4])
    );
    let body = format!("(i32.const {FREE})");
    sins(&Parts { score: &body, more: &more, ..Parts::default() }, "returned something unreadable: ", DEFECT);
}

#[test]
fn a_step_that_does_not_exist() {
    returns(&[0, 7, SCORES, 2], "returned something unreadable: ");
}

#[test]
fn a_fault_that_is_not_utf8() {
    // The description's pointers and lengths are no text.
    returns(&[1, FREE + 32, 4, 0, 0, 0, 0, 0, 0xffff_ffff], "returned something unreadable: ");
}

#[test]
fn a_megabyte_a_hundred_thousand_times_by_pointing_at_it_again_and_again() {
    // `ask` of 100,000 `embed`s, each the same megabyte: 28 bytes a question.
    let body = format!(
        "(local $i i32) (local $at i32)
         (local.set $at (i32.const 2000000))
         (loop $again
           (i32.store (i32.add (local.get $at) (i32.const 4)) (i32.const 400000))
           (i32.store (i32.add (local.get $at) (i32.const 8)) (i32.const 1000000))
           (local.set $at (i32.add (local.get $at) (i32.const 28)))
           (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
         (i32.const {FREE})"
    );
    let more = format!("(data (i32.const {FREE}) \"{}\")", words(&[0, 0, 2_000_000, 100_000]));
    let parts = Parts { score: &body, more: &more, pages: 100, ..Parts::default() };
    sins(&parts, "handed over more than 16 MiB at once", "raise `limits.output_mib`");
}

#[test]
fn a_trap_behind_the_result() {
    // The host has read the scores when the plugin is told to free them.
    let more = "(func (export \"cabi_post_udasa:plugin/scorer-api@0.1.0#score\") (param i32) unreachable)";
    sins(&Parts { more, ..Parts::default() }, "panicked without a message", DEFECT);
}

#[test]
fn an_endless_loop_behind_the_result() {
    let more = "(func (export \"cabi_post_udasa:plugin/scorer-api@0.1.0#score\") (param i32) (loop (br 0)))";
    sins(&Parts { more, ..Parts::default() }, "ran out of fuel (50,000,000 units", "raise `limits.fuel`");
}

#[test]
fn scores_that_change_while_they_are_freed() {
    // What was read before is what counts, and the instance's second call reads the changed ones: state, but no harm.
    let more = format!(
        "(func (export \"cabi_post_udasa:plugin/scorer-api@0.1.0#score\") (param i32)
           (f64.store (i32.const {SCORES}) (f64.const nan)))"
    );
    let mut trial = Trial::made("odd", &scorer(&Parts { more: &more, ..Parts::default() }));
    trial.in_turn = true;
    trial.sins("song", "gave response 0 the uncertainty NaN", DEFECT, |trial| {
        std::fs::write(trial.directory().join("odd.wasm"), scorer(&Parts::default())).expect("it can be written");
    });
}

#[test]
fn a_line_whose_text_lies_beyond_its_memory() {
    let body = format!("(call $log (i32.const 3) (i32.const -4) (i32.const 100)) (i32.const {RESULT})");
    sins(&score(&body), "returned something unreadable: ", DEFECT);
}

#[test]
fn a_line_that_is_not_utf8() {
    let body = format!("(call $log (i32.const 3) (i32.const {SCORES}) (i32.const 32)) (i32.const {RESULT})");
    let more = format!("(data (i32.const {SCORES}) \"\\ff\\ff\\ff\\ff\")");
    sins(&Parts { score: &body, more: &more, ..Parts::default() }, "returned something unreadable: ", DEFECT);
}

#[test]
fn a_line_of_a_level_that_does_not_exist() {
    let body = format!("(call $log (i32.const 9) (i32.const 1024) (i32.const 3)) (i32.const {RESULT})");
    sins(&score(&body), "returned something unreadable: ", DEFECT);
}

#[test]
fn tables_that_grow_count_as_memory() {
    let body = format!(
        "(loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)))) (i32.const {RESULT})"
    );
    let more = "(table $t 0 funcref)";
    let parts = Parts { score: &body, more, ..Parts::default() };
    sins(&parts, "ran out of memory: wanted 66 MiB of at most 64", "raise `limits.memory_mib`");
}

#[test]
fn memory_that_grows_page_by_page() {
    let body = format!("(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (i32.const {RESULT})");
    sins(&score(&body), "ran out of memory: wanted 65 MiB of at most 64", "raise `limits.memory_mib`");
}

#[test]
fn filling_all_memory_again_and_again_runs_into_a_limit() {
    let body = "(loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 1000000)) (br 0)) unreachable";
    let wasm = scorer(&score(body));
    let trial = Trial::made("odd", &wasm);
    // By fuel or by the clock: how much a fill costs is the engine's to say.
    let frame = ["plugin `odd` 0.1.0 (", "`score` failed on prompt `river`: ran ", "raise `limits."];
    expect_user_error(&mut trial.score("stop"), &frame);
    assert_eq!(of_good(&trial.run()), alone());
}

#[test]
fn an_allocator_that_lies() {
    for (body, cause) in [
        ("(i32.const -16)", "`check-settings` failed: returned something unreadable: realloc return: "),
        ("(loop (br 0)) unreachable", "`check-settings` failed: ran out of fuel (50,000,000 units"),
        ("unreachable", "`check-settings` failed: panicked without a message"),
    ] {
        is_refused(&Parts { realloc: body, ..Parts::default() }, &["plugin `odd` 0.1.0 (", cause]);
    }
}

#[test]
fn problems_that_are_not_utf8() {
    let more = format!(
        "(data (i32.const {FREE}) \"{}\") (data (i32.const {}) \"{}\\ff\\ff\")",
        words(&[FREE + 8, 1]),
        FREE + 8,
        words(&[FREE + 24, 2, FREE + 24, 2])
    );
    let body = format!("(i32.const {FREE})");
    let parts = Parts { check_settings: &body, more: &more, ..Parts::default() };
    is_refused(&parts, &["`check-settings` failed: returned something unreadable: ", DEFECT]);
}

#[test]
fn a_description_with_a_dimension_that_does_not_exist() {
    let more = "(data (i32.const 88) \"\\09\")";
    let needles = ["odd.wasm` (", "`describe` failed: returned something unreadable: ", DEFECT];
    is_refused(&Parts { more, ..Parts::default() }, &needles);
}

#[test]
fn a_start_function_that_never_ends() {
    let more = "(func $forever (loop (br 0))) (start $forever)";
    let needles =
        ["odd.wasm` (", "`describe` failed: ran out of fuel (1,000,000,000 units", "get or build another version"];
    is_refused(&Parts { more, ..Parts::default() }, &needles);
}

#[test]
fn a_start_function_that_traps() {
    let more = "(func $trap unreachable) (start $trap)";
    is_refused(&Parts { more, ..Parts::default() }, &["`describe` failed: panicked without a message", DEFECT]);
}

#[test]
fn a_memory_that_begins_with_four_gigabytes() {
    let needles =
        ["`describe` failed: ran out of memory: wanted 4097 MiB of at most 256", "get or build another version"];
    is_refused(&Parts { pages: 65536, ..Parts::default() }, &needles);
}

#[test]
fn a_table_that_begins_with_a_hundred_million_elements() {
    let more = "(table 10000000 funcref) (table 10000000 funcref)";
    is_refused(&Parts { more, ..Parts::default() }, &["`describe` failed: ran out of memory: wanted 30"]);
}

#[test]
fn a_hundred_memories() {
    let more = "(memory 1)".repeat(99);
    is_refused(&Parts { more: &more, ..Parts::default() }, &["odd.wasm", "memor"]);
}

#[test]
fn data_beyond_the_memory() {
    let more = "(data (i32.const -8) \"beyond all bounds\")";
    is_refused(&Parts { more, ..Parts::default() }, &["`describe` failed: touched memory out of bounds"]);
}
