//! `docs/other-languages.md`, word for word: each language's commands in an empty folder outside the repository, and its
//! scores against the Rust plugin's, byte by byte.
//!
//! A language's first block installs its tools; that happens once, into the per-user cache. Where it fails (no network, no
//! Node.js, a platform without the package) the test ends early and says so. Whatever fails after that is a failure.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::json;
use wit_component::metadata::{self, Bindgen};
use wit_component::{StringEncoding, WitPrinter, embed_component_metadata};
use wit_parser::Resolve;

use crate::support::{expect_user_error, repository, scratch, skip, udasa, write};

/// Texts that trip what counts words: no word, other scripts, letters whose lower case is ASCII (the Kelvin sign, the
/// dotted I), apostrophes, control characters, a zero, a word at either end.
const TEXTS: [&str; 12] = [
    "",
    "Perhaps",
    "PERHAPS maybe MaYbE, perhaps; perhaps!",
    "perhapsmaybe perhaps-maybe per haps",
    "l'\u{ea}tre et le peut-\u{ea}tre: perhaps\u{e9} \u{e9}maybe",
    "\u{6771}\u{4eac}maybe\u{6771}\u{4eac} \u{1f914}perhaps\u{1f914}",
    "m\u{131}ght M\u{130}GHT might gue\u{17f}\u{17f} thin\u{212a} guess",
    "'maybe' maybe' isn't isn\u{2019}t",
    "maybe\tperhaps\nmight\u{0}guess\u{7f}possibly",
    "e\u{301} maybe\u{301} \u{202e}perhaps",
    "probably probably probably probably probably probably probably",
    "I guess so",
];

/// The blocks of commands under a heading, in order.
fn blocks(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(repository().join("docs/other-languages.md")).expect("the page is there");
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the page has the heading");
    let fenced = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    fenced.map(str::to_owned).collect()
}

/// Runs a block of the page in `folder`, as a reader's shell would, with the page's variables set for this machine.
fn shell(block: &str, folder: &Path, tools: &Path) -> Output {
    let program = udasa().get_program().to_owned();
    let program = Path::new(&program).parent().expect("the program lies in a folder").to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([program].into_iter().chain(env::split_paths(&path))).expect("the PATH can be made");
    let mut shell = Command::new("bash");
    // Cargo's own variables are this test's, not the reader's.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        shell.env_remove(name);
    }
    shell
        .args(["-euo", "pipefail", "-c", block])
        .current_dir(folder)
        .env("PATH", path)
        .env("UDASA", repository())
        .env("TOOLS", tools)
        .env("OMP_NUM_THREADS", "1")
        // The Rust scorer's dependencies are compiled once, not once a run.
        .env("CARGO_TARGET_DIR", repository().join("target/test-authors"))
        .output()
        .expect("bash starts")
}

#[track_caller]
fn run(block: &str, folder: &Path, tools: &Path) -> String {
    let output = shell(block, folder, tools);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{block}\n{}\n{stderr}", output.status);
    String::from_utf8(output.stdout).expect("the page's commands print UTF-8")
}

/// The folder with what `block` installs, or nothing, and the reason on the test's output.
fn tools(language: &str, block: &str) -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("UDASA_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("udasa")))
        .or_else(|| Some(set("HOME")?.join(".cache/udasa")))
        .expect("UDASA_CACHE, XDG_CACHE_HOME or HOME is set");
    let mut hasher = DefaultHasher::new();
    block.hash(&mut hasher);
    let tools = cache.join(format!("tools-{language}-{:016x}", hasher.finish()));
    let done = tools.join("done");
    if !done.exists() {
        fs::create_dir_all(&tools).expect("the cache can be written");
        let output = shell(block, &tools, &tools);
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let last = stderr.lines().last().unwrap_or("no word why");
            skip(&format!("the tools for {language} cannot be installed: {last}"));
            return None;
        }
        fs::write(&done, "").expect("the cache can be written");
    }
    Some(tools)
}

/// An empty folder with the responses and configs of the page's beginning.
fn start() -> tempfile::TempDir {
    let folder = scratch();
    let opening = blocks("# Plugins in other languages");
    run(&opening[1], folder.path(), folder.path());
    folder
}

/// The Rust plugin's scores of [`TEXTS`], and of the page's own responses; built once.
fn of_rust() -> &'static (String, String) {
    static SCORES: OnceLock<(String, String)> = OnceLock::new();
    SCORES.get_or_init(|| {
        let folder = start();
        for block in blocks("Rust") {
            run(&block, folder.path(), folder.path());
        }
        (scores_of_texts(folder.path(), "rust"), scores(folder.path(), "rust"))
    })
}

/// What `scores.jsonl` of a run holds, without the plugin's name.
fn scores(folder: &Path, language: &str) -> String {
    let file = folder.join("runs").join(language).join("scores.jsonl");
    fs::read_to_string(file).expect("the run has scores").replace(&format!("hedging-{language}"), "hedging")
}

/// The same of a run over [`TEXTS`], with settings of its own.
fn scores_of_texts(folder: &Path, language: &str) -> String {
    let samples = TEXTS.chunks(4).enumerate().map(|(i, texts)| json!({"prompt": format!("q{i}"), "responses": texts}));
    write(folder, "texts.jsonl", samples.map(|sample| format!("{sample}\n")).collect::<String>());
    let config = format!(
        "name = \"texts\"\n[generate]\nfrom = 'texts.jsonl'\n[[scorer]]\nplugin = \"hedging-{language}\"\n\
         settings = {{ limit = 7, hedges = [\"perhaps\", \"maybe\", \"might\", \"guess\", \"isn't\", \"'maybe'\", \
         \"say \\\"\\\\u\\n\", \"\u{e9}\", \"think\", \"probably\"] }}\n"
    );
    write(folder, "texts.toml", config);
    run("udasa score texts.toml --plugins plugins", folder, folder);
    let file = folder.join("runs/texts/scores.jsonl");
    fs::read_to_string(file).expect("the run has scores").replace(&format!("hedging-{language}"), "hedging")
}

/// Runs a section of the page and holds its plugin to the Rust one. Returns the folder and the tools.
fn same_as_rust(heading: &str, language: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let section = blocks(heading);
    let tools = tools(language, &section[0])?;
    let folder = start();
    let said = run(&section[1], folder.path(), &tools);
    assert!(said.contains("purity    ok") && said.contains("fuel      ok"), "{said}");
    let (texts, opening) = of_rust();
    assert!(opening.contains(r#"{"uncertainty":0.5,"notes":{"hedges":2.0}}"#), "{opening}");
    assert!(texts.contains(r#""hedges":7.0"#), "{texts}");
    assert_eq!(&scores(folder.path(), language), opening);
    assert_eq!(&scores_of_texts(folder.path(), language), texts);

    // All problems at once, each with its path.
    let mut wrong = udasa();
    wrong.current_dir(folder.path()).args(["score", &format!("{language}.toml"), "--plugins", "plugins"]);
    for set in ["limit=0", "hedges=[1]", "hegdes=['a']"] {
        wrong.arg("--set").arg(format!("scorer.0.settings.{set}"));
    }
    expect_user_error(&mut wrong, &["3 problems", "settings.hedges:", "settings.hegdes:", "settings.limit:"]);
    Some((folder, tools))
}

#[test]
fn the_scorer_in_c_is_made_as_the_page_says_and_gives_the_rust_ones_scores() {
    same_as_rust("C\n", "c");
}

/// What the custom section `component-type` of a module has of the contract, without comments.
fn contract_in(module: &[u8]) -> String {
    let (_, Bindgen { resolve, .. }) = metadata::decode(module).expect("the section can be read");
    let ours = resolve.package_names.iter().find(|(name, _)| name.namespace == "udasa");
    let (_, package) = ours.expect("the section holds the contract");
    let mut printer = WitPrinter::default();
    printer.emit_docs(false).print(&resolve, *package, &[]).expect("it can be printed");
    printer.output.to_string()
}

#[test]
fn the_glue_for_c_was_made_from_the_contract() {
    let sdk = repository().join("plugin-sdk");
    let glue = fs::read(sdk.join("c/scorer_component_type.o")).expect("it is there");
    let wit = fs::read_to_string(sdk.join("wit/v0.1/udasa-plugin.wit")).expect("it is there");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("udasa-plugin.wit", &wit).expect("it is WIT");
    let world = resolve.select_world(&[package], Some("scorer")).expect("it has the world");
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("the section fits");
    assert_eq!(contract_in(&glue), contract_in(&module));
}

#[test]
fn the_scorer_in_python_is_made_as_the_page_says_and_gives_the_rust_ones_scores() {
    let Some((folder, tools)) = same_as_rust("Python\n", "py") else { return };
    // A staging policy, with the same tool.
    run(&blocks("Python\n")[2], folder.path(), &tools);
    let stages = fs::read_to_string(folder.path().join("runs/py/stages.jsonl")).expect("the run has stages");
    assert_eq!(stages.lines().count(), 1, "{stages}");
}

#[test]
fn an_exception_in_python_is_told_with_its_text_and_place() {
    let section = blocks("Python\n");
    let Some(tools) = tools("py", &section[0]) else { return };
    let folder = start();
    let source = fs::read_to_string(repository().join("docs/other-languages/hedging.py")).expect("it is there");
    let raising = source
        .replace("        def score(text", "        raise ValueError(\"no boom today\")\n\n        def score(text");
    assert_ne!(raising, source, "the scorer's text has changed");
    let own = folder.path().join("own");
    write(&own, "docs/other-languages/hedging.py", raising);
    // The check would find it first.
    let block = section[1].replace("$UDASA/docs", &format!("{}/docs", own.display())).replace("check", "inspect");
    let output = shell(&block, folder.path(), &tools);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let wanted = "panicked: ValueError: no boom today (/0/hedging.py:";
    assert!(stderr.contains("plugin `hedging-py` 0.1.0") && stderr.contains(wanted), "{stderr}");
}

#[test]
fn the_scorer_in_javascript_is_made_as_the_page_says_and_gives_the_rust_ones_scores() {
    same_as_rust("JavaScript\n", "js");
}

#[test]
fn a_module_of_another_compiler_that_is_no_plugin_is_refused_by_name() {
    let folder = scratch();
    let core = write(folder.path(), "empty.wasm", b"\0asm\x01\0\0\0");
    let mut build = udasa();
    build.args(["plugin", "build"]).arg(core).arg("--out").arg(folder.path().join("plugins"));
    expect_user_error(&mut build, &["empty.wasm"]);
    let mut build = udasa();
    build
        .args(["plugin", "build"])
        .arg(folder.path().join("none.wasm"))
        .arg("--out")
        .arg(folder.path().join("plugins"));
    expect_user_error(&mut build, &["cannot read", "none.wasm"]);
}
