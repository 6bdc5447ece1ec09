//! `udasa plugin new NAME`: a crate with a plugin that builds, a test that runs, and a page with the next commands.
//!
//! The files are those of `plugin-sdk/template`; a plugin calls itself what its package is called, so that nothing but the
//! manifest and the page depends on the name.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::print;
use crate::error::UserError;
use crate::sandbox::PluginKind;

const SDK: &str = "udasa-plugin-sdk";

const MANIFEST: &str = include_str!("../../../plugin-sdk/template/Cargo.toml.template");
const IGNORED: &str = include_str!("../../../plugin-sdk/template/gitignore");
const SCORER: [&str; 2] = [
    include_str!("../../../plugin-sdk/template/scorer/src/lib.rs"),
    include_str!("../../../plugin-sdk/template/scorer/README.md"),
];
const POLICY: [&str; 2] = [
    include_str!("../../../plugin-sdk/template/staging-policy/src/lib.rs"),
    include_str!("../../../plugin-sdk/template/staging-policy/README.md"),
];

/// Names that a package cannot have, or that would hide what the template uses.
const TAKEN: [&str; 14] = [
    "alloc",
    "core",
    "proc-macro",
    "std",
    "test", // Rust's own crates
    "schemars",
    "serde",
    "serde-json",
    SDK,
    "wit-bindgen", // the template's
    "deps",
    "build",
    "examples",
    "incremental", // folders that cargo makes
];
const KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "unsafe", "use", "virtual", "while", "yield",
];

/// Makes the crate in `folder`, else in a folder of its own name, and says on stdout how to go on. `sdk` is the SDK's folder,
/// where it is not found by itself.
pub fn new(name: &str, kind: PluginKind, folder: Option<&Path>, sdk: Option<&Path>) -> anyhow::Result<()> {
    check_name(name)?;
    let sdk = find_sdk(sdk)?;
    let folder = folder.map_or_else(|| PathBuf::from(name), Path::to_owned);
    let [code, page] = match kind {
        PluginKind::Scorer => SCORER,
        PluginKind::StagingPolicy => POLICY,
    };
    let sdk = sdk.to_str().ok_or_else(|| {
        UserError::new(format!("the SDK's folder {} has a name that is not UTF-8", sdk.display()))
            .hint("a Cargo.toml cannot name it; move the checkout")
    })?;
    make_folder(&folder)?;
    let mut manifest = MANIFEST.replace("{name}", name).replace("{sdk}", &toml::Value::from(sdk).to_string());
    if is_member(&folder, Path::new(sdk)) {
        manifest.truncate(manifest.find("\n# A workspace of its own").unwrap_or(manifest.len()));
    }
    let page = page.replace("{name}", name);
    let files =
        [("Cargo.toml", manifest.as_str()), (".gitignore", IGNORED), ("src/lib.rs", code), ("README.md", &page)];
    for (file, content) in files {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, content))
            .map_err(|e| UserError::new(format!("cannot write {}: {e}", path.display())).hint("is the disk full?"))?;
    }
    let shown = folder.display();
    let kind = kind.name();
    print(&format!(
        "{kind} `{name}` is in {shown}; to try it:\n  cd {shown}\n  cargo test\n  udasa plugin build\n  udasa plugin check plugins\n"
    ))
}

/// The plugin's rules (those of its description) and cargo's, because the package has the same name.
fn check_name(name: &str) -> Result<(), UserError> {
    const RULE: &str =
        "a name has 1 to 64 of a-z, 0-9 and -, and begins with a letter, such as `hedging` or `short-answers`";
    let refused =
        |why: String| Err(UserError::new(format!("`{}` cannot be a plugin's name: {why}", name.escape_debug())));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let problem = match name.chars().find(|&c| !plain(c)) {
        _ if name.is_empty() => Some("it is empty".to_owned()),
        _ if name.len() > 64 => Some(format!("it has {} bytes", name.len())),
        Some(c) => Some(format!("it holds `{}`", c.escape_debug())),
        None if !name.starts_with(|c: char| c.is_ascii_lowercase()) => {
            Some("it does not begin with a letter".to_owned())
        }
        None => None,
    };
    if let Some(problem) = problem {
        let near = nearest_allowed(name).map_or(String::new(), |near| format!("; `{near}` would do"));
        return refused(problem).map_err(|error| error.hint(format!("{RULE}{near}")));
    }
    if TAKEN.contains(&name) || KEYWORDS.contains(&name) {
        return refused("its crate could not be built, because Rust, cargo or the SDK use that name".to_owned())
            .map_err(|error| error.hint(format!("choose another, such as `my-{name}`")));
    }
    Ok(())
}

/// `My Plugin_2` → `my-plugin-2`, where anything is left.
fn nearest_allowed(name: &str) -> Option<String> {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let near = words.join("-");
    let near = near.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    (!near.is_empty() && near.len() <= 64).then(|| near.to_owned())
}

/// Whether the crate lies among the checkout's own plugins, which its workspace takes in: it must not be another workspace.
fn is_member(folder: &Path, sdk: &Path) -> bool {
    let parent = folder.canonicalize().ok().and_then(|folder| folder.parent().map(Path::to_owned));
    parent.is_some_and(|parent| parent == sdk.with_file_name("plugins"))
}

/// A new folder, or one that is empty.
fn make_folder(folder: &Path) -> Result<(), UserError> {
    let shown = folder.display();
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(UserError::new(format!("the folder {shown} exists already and is not empty"))
                .hint("nothing was touched; choose another name, or another folder with --path DIR")),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => std::fs::create_dir_all(folder).map_err(|e| {
            UserError::new(format!("cannot make the folder {shown}: {e}")).hint("give another one with --path DIR")
        }),
        Err(e) if e.kind() == ErrorKind::NotADirectory => {
            Err(UserError::new(format!("{shown} exists already and is a file"))
                .hint("nothing was touched; choose another name, or a folder with --path DIR"))
        }
        Err(e) => Err(UserError::new(format!("cannot read {shown}: {e}")).hint("give another folder with --path DIR")),
    }
}

/// The folder of the SDK: the one given, else that of the checkout in which this program lies or was built.
fn find_sdk(given: Option<&Path>) -> Result<PathBuf, UserError> {
    const CURE: &str = "--sdk PATH names the folder `plugin-sdk` of a checkout of udasa";
    if let Some(given) = given {
        return [given.to_owned(), given.join("plugin-sdk")].iter().find_map(|folder| sdk_in(folder)).ok_or_else(
            || {
                UserError::new(format!("{} is not the plugin SDK: it holds no package `{SDK}`", given.display()))
                    .hint(CURE)
            },
        );
    }
    let program = std::env::current_exe().and_then(std::fs::canonicalize).unwrap_or_default();
    let beside_the_program = program.ancestors().skip(1).find_map(|folder| sdk_in(&folder.join("plugin-sdk")));
    beside_the_program
        .or_else(|| sdk_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk")))
        .ok_or_else(|| {
            UserError::new("the plugin SDK was not found: this program lies in no checkout of udasa, and the one it was built in is gone")
                .hint(CURE)
        })
}

/// The folder with its links resolved, if its package is the SDK.
fn sdk_in(folder: &Path) -> Option<PathBuf> {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let manifest: toml::Table = manifest.parse().ok()?;
    let is_sdk = manifest.get("package")?.get("name")?.as_str()? == SDK;
    if is_sdk { folder.canonicalize().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_none_get_the_reason_and_a_near_one() {
        let refusal = |name: &str| check_name(name).expect_err("refused");
        let hint = |name: &str| refusal(name).hint.expect("a cure");
        assert!(check_name("short-answers-2").is_ok());
        assert_eq!(refusal("My Plugin").message, "`My Plugin` cannot be a plugin's name: it holds `M`");
        assert!(hint("My_Plugin 2").ends_with("`my-plugin-2` would do"));
        assert!(hint("../evil").ends_with("`evil` would do"));
        assert!(hint("2nd").ends_with("`nd` would do"));
        assert!(!hint("é").contains("would do"));
        assert!(refusal("").message.contains("empty"));
        assert!(refusal(&"a".repeat(65)).message.contains("65 bytes"));
        assert!(refusal("-a").message.contains("begin with a letter"));
        for taken in ["serde", "fn", "test", SDK] {
            assert_eq!(hint(taken), format!("choose another, such as `my-{taken}`"));
        }
    }

    #[test]
    fn the_sdk_of_this_checkout_is_found_and_another_folder_is_refused() {
        assert!(find_sdk(None).expect("found").ends_with("plugin-sdk"));
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(find_sdk(Some(&checkout)).expect("found"), find_sdk(None).expect("found"));
        let error = find_sdk(Some(Path::new(env!("CARGO_MANIFEST_DIR")))).expect_err("refused");
        assert!(error.message.contains("holds no package `udasa-plugin-sdk`"));
    }

    #[test]
    fn every_place_in_the_templates_is_filled() {
        let filled = MANIFEST.replace("{name}", "a").replace("{sdk}", &toml::Value::from("/x\"y").to_string());
        let table: toml::Table = filled.parse().expect("TOML");
        assert_eq!(table["dependencies"][SDK]["path"].as_str(), Some("/x\"y"));
        assert!(table.contains_key("workspace"), "an outer workspace would capture it");
        assert_eq!(table["lib"]["crate-type"].as_array().map(Vec::len), Some(2));
    }
}
