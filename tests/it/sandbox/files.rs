//! Files that are no plugins for this host, each refused in words of its own before anything of it runs; with it out of the
//! directory, the run that was there is complete.

use std::fs;

use super::bad_plugins;
use super::trial::{Trial, alone, of_good};
use super::wat::{BLOCK, Parts, component, contract, module, scorer};
use crate::support::{expect_success, expect_user_error, plugins, udasa};

/// A file `odd.wasm` with this content stops the run that was there, which is complete again without it.
#[track_caller]
fn is_refused(content: &[u8], needles: &[&str]) -> String {
    let trial = Trial::made("odd", content);
    let file = trial.directory().join("odd.wasm");
    fs::rename(&file, trial.directory().join("odd.aside")).expect("it is there");
    expect_success(&mut trial.score_good());
    fs::rename(trial.directory().join("odd.aside"), &file).expect("it is there");
    let stderr = expect_user_error(&mut trial.score_good(), needles);
    assert!(stderr.contains("odd.wasm"), "{stderr}");
    assert!(stderr.len() < 8192 && !stderr.contains('\u{1b}'), "{} bytes: {stderr:.4000}", stderr.len());
    assert_eq!(of_good(&trial.run()), alone());
    fs::remove_file(&file).expect("it is there");
    let stderr = expect_success(&mut trial.score_good());
    assert!(stderr.contains("unchanged, kept"), "{stderr}");
    stderr
}

fn good() -> Vec<u8> {
    fs::read(plugins().join("semantic.wasm")).expect("was built")
}

/// An unsigned LEB128.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

#[test]
fn an_empty_file() {
    is_refused(b"", &["odd.wasm is not WebAssembly", "remove it from the plugin directory"]);
}

#[test]
fn a_program_of_this_machine() {
    let program = fs::read(std::env::current_exe().expect("a path")).expect("it can be read");
    is_refused(&program[..1 << 20], &["odd.wasm is not WebAssembly", "udasa plugin build"]);
}

#[test]
fn a_core_module() {
    let bytes = wat::parse_str("(module (func (export \"score\")))").expect("a module");
    is_refused(
        &bytes,
        &["odd.wasm is a core WebAssembly module, not a component", "run `udasa plugin build` on its crate"],
    );
}

#[test]
fn a_precompiled_component() {
    let folder = crate::support::scratch();
    let mut command = udasa();
    command.args(["plugin", "inspect"]).arg(plugins().join("semantic.wasm")).env("UDASA_CACHE", folder.path());
    expect_success(&mut command);
    let cached =
        fs::read_dir(folder.path().join("compiled")).expect("a cache").next().expect("a file").expect("it can be read");
    let compiled = fs::read(cached.path()).expect("it can be read");
    // As wasmtime writes it, and as the cache keeps it.
    is_refused(&compiled[48..], &["odd.wasm is not WebAssembly"]);
    is_refused(&compiled, &["odd.wasm is not WebAssembly"]);
}

#[test]
fn a_component_that_is_no_plugin() {
    let bytes =
        wat::parse_str("(component (instance $i) (export \"wasi:cli/run@0.2.0\" (instance $i)))").expect("a component");
    let needles = [
        "odd.wasm is a WebAssembly component, but not a udasa plugin: it exports `wasi:cli/run@0.2.0`",
        "docs/write-a-plugin.md",
    ];
    is_refused(&bytes, &needles);
    is_refused(COMPONENT, &["but not a udasa plugin: it exports nothing"]);
}

#[test]
fn a_component_whose_exports_command_the_terminal() {
    let name = format!("a:b/\u{1b}[2J{}", "x".repeat(90_000));
    let export = [&[1, 0][..], &leb(name.len()), name.as_bytes(), &[0x05, 0x00, 0x00]].concat();
    let bytes = [COMPONENT, &section(5, &[1, 1, 0]), &section(11, &export)].concat();
    is_refused(&bytes, &["not a udasa plugin: it exports `a:b/�[2Jxxx"]);
}

#[test]
fn a_plugin_for_a_newer_host() {
    for version in ["0.2.0", "1.0.0"] {
        let bytes = component(&module(&Parts::default(), version), &contract(version), "scorer");
        let sentence = format!(
            "odd.wasm was built for version {version} of the plugin contract, which is newer than this host's 0.1.0"
        );
        is_refused(&bytes, &[&sentence, "use a newer udasa"]);
    }
}

#[test]
fn a_plugin_for_an_older_host() {
    let bytes = component(&module(&Parts::default(), "0.0.9"), &contract("0.0.9"), "scorer");
    let needles = [
        "odd.wasm was built for version 0.0.9 of the plugin contract, which this host (0.1.0) no longer supports",
        "build the plugin anew with the current udasa-plugin-sdk",
    ];
    is_refused(&bytes, &needles);
}

#[test]
fn a_good_plugin_with_another_version_written_over_its_own() {
    let patched = |from: &str, to: &str| {
        let mut bytes = good();
        let (from, to) = (from.as_bytes(), to.as_bytes());
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from) {
                bytes[at..at + to.len()].copy_from_slice(to);
            }
        }
        bytes
    };
    is_refused(&patched("scorer-api@0.1.0", "scorer-api@0.9.0"), &["for version 0.9.0", "which is newer"]);
    is_refused(&patched("scorer-api@0.1.0", "scorer-api@0.0.1"), &["for version 0.0.1", "no longer supports"]);
    is_refused(&patched("udasa:plugin/scorer-api", "nobody:plugin/scorerapi"), &["not a udasa plugin"]);
}

/// The contract, with `more` in its world `scorer` and `packages` behind it.
fn contract_with(more: &str, packages: &str) -> String {
    let text = contract("0.1.0");
    assert!(text.contains("world scorer {"));
    text.replace("world scorer {", &format!("world scorer {{ {more}")) + packages
}

#[test]
fn a_plugin_that_imports_the_clock() {
    let wit = contract_with(
        "import wasi:clocks/wall-clock@0.2.0;",
        "package wasi:clocks@0.2.0 { interface wall-clock { now: func() -> u64; } }",
    );
    let more = "(import \"wasi:clocks/wall-clock@0.2.0\" \"now\" (func (result i64)))";
    let text = module(&Parts::default(), "0.1.0").replacen("(module", &format!("(module {more}"), 1);
    let needles = [
        "odd.wasm imports `wasi:clocks/wall-clock@0.2.0`; a plugin may import nothing but `udasa:plugin/log`",
        "wasm32-unknown-unknown",
    ];
    is_refused(&component(&text, &wit, "scorer"), &needles);
}

#[test]
fn a_plugin_that_hides_a_function_among_the_types() {
    let wit = contract("0.1.0").replace("interface types {", "interface types { now: func() -> u64;");
    let more = "(import \"udasa:plugin/types@0.1.0\" \"now\" (func (result i64)))";
    let text = module(&Parts::default(), "0.1.0").replacen("(module", &format!("(module {more}"), 1);
    is_refused(&component(&text, &wit, "scorer"), &["odd.wasm imports `udasa:plugin/types@0.1.0#now`"]);
}

#[test]
fn a_plugin_that_wants_more_of_the_log_than_to_write() {
    let wit = contract("0.1.0").replace("write: func(", "read: func() -> u64; write: func(");
    let more = "(import \"udasa:plugin/log@0.1.0\" \"read\" (func (result i64)))";
    let text = module(&Parts::default(), "0.1.0").replacen("(module", &format!("(module {more}"), 1);
    is_refused(&component(&text, &wit, "scorer"), &["odd.wasm imports `udasa:plugin/log@0.1.0#read`"]);
}

#[test]
fn a_plugin_of_the_contracts_name_and_other_types() {
    let wit = contract("0.1.0").replace("uncertainty: f64,", "certainty: f64,");
    let sentence =
        "`describe` failed: does not keep to the plugin contract 0.1.0: expected record field named uncertainty";
    let needles = [sentence, "get or build another version"];
    is_refused(&component(&module(&Parts::default(), "0.1.0"), &wit, "scorer"), &needles);
}

#[test]
fn a_scorer_that_takes_a_block_of_other_types_or_says_so_and_takes_none() {
    let exports = format!("  export scorer-api;\n  export {BLOCK};");
    let wit = contract("0.1.0").replacen("  export scorer-api;", &exports, 1);
    let refused = |function: &str, needles: &[&str]| {
        let block = format!("package udasa:block@0.1.0 {{ interface scorer-block {{ {function}: func() -> u32; }} }}");
        let more = format!("(func (export \"{BLOCK}#{function}\") (result i32) (i32.const 0))");
        let odd = module(&Parts { more: &more, ..Parts::default() }, "0.1.0");
        is_refused(&component(&odd, &format!("{wit}\n{block}"), "scorer"), needles);
    };
    let of_contract = "does not keep to the plugin contract 0.1.0: ";
    refused("score", &[&format!("`describe` failed: {of_contract}"), "get or build another version"]);
    refused("scores", &[&format!("odd.wasm {of_contract}`{BLOCK}` has no `score`"), "build it anew"]);
}

#[test]
fn a_plugin_that_was_cut_off_anywhere() {
    let whole = good();
    for part in 1..8 {
        let cut = &whole[..whole.len() * part / 8];
        is_refused(cut, &["odd.wasm is damaged or cut off: ", "copy or build it anew"]);
    }
    is_refused(&whole[..6], &["odd.wasm is "]);
}

#[test]
fn a_plugin_with_a_flipped_bit_works_or_is_refused() {
    let whole = good();
    let trial = Trial::made("odd", b"");
    let file = trial.directory().join("odd.wasm");
    let mut refused = 0;
    // Sections' heads are where a bit matters most: the first kilobyte, and then all over the file.
    let places = (8..1024).step_by(67).chain((1024..whole.len()).step_by(whole.len() / 16));
    for (n, at) in places.enumerate() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (n % 8);
        fs::write(&file, &bytes).expect("it can be written");
        let output = udasa().args(["plugin", "inspect"]).arg(&file).output().expect("udasa starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "byte {at}: {:?}\n{stderr}", output.status);
        refused += usize::from(!output.status.success());
    }
    assert!(refused > 0, "some bits matter");
}

#[test]
fn components_nested_five_thousand_deep() {
    let mut bytes = COMPONENT.to_vec();
    for _ in 0..5000 {
        bytes = [COMPONENT, &section(4, &bytes)].concat();
    }
    is_refused(&bytes, &["odd.wasm is "]);
}

#[test]
fn a_list_of_lists_a_hundred_thousand_deep() {
    // A plugin by its exports, so that it is read to the end. Type 0 is u8; type n is a list of type n - 1.
    let mut types = [&leb(1)[..], &[0x7d]].concat();
    types = section(7, &types);
    let lists: Vec<u8> = (0..9000).flat_map(|n| [&[0x70][..], &leb(n)].concat()).collect();
    types.extend(section(7, &[&leb(9000)[..], &lists].concat()));
    let name = "udasa:plugin/scorer-api@0.1.0";
    let export = [&[1, 0][..], &leb(name.len()), name.as_bytes(), &[0x05, 0x00, 0x00]].concat();
    let bytes = [COMPONENT, &types, &section(5, &[1, 1, 0]), &section(11, &export)].concat();
    is_refused(&bytes, &["odd.wasm "]);
}

#[test]
fn a_section_that_claims_to_be_as_large_as_the_memory_of_the_machine() {
    for id in 0..13 {
        let claim = [&[id][..], &leb(u32::MAX as usize), b"x"].concat();
        is_refused(&[COMPONENT, &claim].concat(), &["odd.wasm is "]);
        // A list of four thousand million in a section of six bytes.
        let claim = section(id, &leb(u32::MAX as usize));
        is_refused(&[COMPONENT, &claim].concat(), &["odd.wasm is "]);
    }
}

#[test]
fn a_million_exports() {
    let one = [&[0][..], &leb(1), b"x", &[0x05, 0x00, 0x00]].concat();
    let exports = [&leb(1_000_000)[..], &one.repeat(1_000_000)].concat();
    let bytes = [COMPONENT, &section(5, &[1, 1, 0]), &section(11, &exports)].concat();
    is_refused(&bytes, &["odd.wasm is damaged or cut off: it has more than 10000 types, imports or exports"]);
}

#[test]
fn handles_without_end() {
    // A component inside, whose start takes handles of a resource of its own for ever: memory of the host, not its own.
    let flood = r#"(component
        (type $r (resource (rep i32)))
        (core func $new (canon resource.new $r))
        (core module $m
          (import "" "new" (func $new (param i32) (result i32)))
          (func $forever (loop (drop (call $new (i32.const 0))) (br 0)))
          (start $forever))
        (core instance (instantiate $m (with "" (instance (export "new" (func $new)))))))"#;
    let flood = wat::parse_str(flood).expect("a component");
    // The encoder puts one component inside, around the exports; this is the second one.
    let bytes = [&scorer(&Parts::default())[..], &section(4, &flood), &section(5, &[1, 0, 1, 0])].concat();
    let needles = ["`describe` failed: trapped: cannot allocate another handle", "this is a defect of the plugin"];
    is_refused(&bytes, &needles);
}

#[test]
fn a_directory_and_a_pipe_named_like_plugins() {
    let trial = Trial::made("odd", b"");
    let file = trial.directory().join("odd.wasm");
    fs::remove_file(&file).expect("it is there");
    fs::create_dir(&file).expect("it can be made");
    let needles = ["odd.wasm is not a file", "take whatever else is called so out of the plugin directory"];
    expect_user_error(&mut trial.score_good(), &needles);
    fs::remove_dir(&file).expect("it is there");
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    if !made.is_ok_and(|status| status.success()) {
        return crate::support::skip("there is no mkfifo");
    }
    expect_user_error(&mut trial.score_good(), &needles);
}

#[test]
fn a_file_as_large_as_the_memory() {
    let trial = Trial::made("odd", b"");
    let file = fs::File::create(trial.directory().join("odd.wasm")).expect("it can be made");
    // Sparse: it takes no room on the disk.
    file.set_len(1 << 40).expect("it can be stretched");
    let needles = ["odd.wasm has 1048576 MiB; a plugin has at most 256", "without debug information"];
    expect_user_error(&mut trial.score_good(), &needles);
}

#[test]
fn a_file_whose_name_commands_the_terminal() {
    let trial = Trial::made("odd", b"hello");
    let directory = trial.directory();
    fs::rename(directory.join("odd.wasm"), directory.join("a\u{1b}[2J\nhint: b.wasm")).expect("it can be renamed");
    let stderr = expect_user_error(&mut trial.score_good(), &["a�[2J�hint: b.wasm is not WebAssembly"]);
    assert!(!stderr.contains('\u{1b}'), "{stderr}");
}

#[test]
fn the_fixtures_of_both_kinds_are_sound_themselves() {
    let output = udasa().args(["plugin", "list", "--plugins"]).arg(bad_plugins()).output().expect("udasa starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("bad-policy  0.1.0") && text.contains("bad         0.1.0    scorer"), "{text}");
}
