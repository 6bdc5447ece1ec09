//! What the tests share: the binary, the plugins, data from outside the repository, and what a user's error looks like.
//!
//! `cargo xtask test` builds the binary and the plugins and says where they are; a plain `cargo test` finds them where
//! it left them.
// A topic file need not use all of it.
#![allow(dead_code)]

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A call of the host's binary, as from a user's shell, with one thread for libtorch.
pub fn udasa() -> Command {
    let binary = env::var_os("UDASA_BIN").map_or_else(|| repository().join("target/release/udasa"), PathBuf::from);
    assert!(binary.is_file(), "{} does not exist: run `cargo xtask test`", binary.display());
    let mut command = Command::new(binary);
    command.env("OMP_NUM_THREADS", "1").env_remove("LD_LIBRARY_PATH");
    command
}

/// The directory of the shipped plugins, built.
pub fn plugins() -> PathBuf {
    let dir = env::var_os("UDASA_PLUGINS").map_or_else(|| repository().join("plugins-built"), PathBuf::from);
    assert!(dir.is_dir(), "{} does not exist: run `cargo xtask test`", dir.display());
    dir
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests package lies in the repository")
}

/// A file or folder of real data kept outside the repository, beside it in `shared/data` or where `UDASA_SHARED`
/// says. Where it is absent the test has to end early, and this says so, past the harness's capture.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    shared(&format!("data/{name}"))
}

/// The same of anything kept there, such as other programs' numbers.
pub fn shared(name: &str) -> Option<PathBuf> {
    let shared = env::var_os("UDASA_SHARED").map_or_else(|| repository().join("../shared"), PathBuf::from);
    let path = shared.join(name);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("{} is not on this machine", path.display()));
    None
}

/// Says on a line that `cargo xtask test` counts that the calling test ends without having tested.
pub fn skip(reason: &str) {
    let test = std::thread::current();
    let line = format!("skipped: {}: {reason}\n", test.name().unwrap_or("a test"));
    // The harness swallows what the print macros write in a test that passes; this is not swallowed.
    std::io::stdout().write_all(line.as_bytes()).expect("stdout is open");
}

/// A folder that is removed when the value is dropped.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("udasa-").tempdir().expect("a temporary directory can be made")
}

/// Writes a file below a folder, making the folders between, and returns its path.
pub fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    let parent = path.parent().expect("a file has a folder");
    std::fs::create_dir_all(parent).expect("the folder can be made");
    std::fs::write(&path, content).expect("the file can be written");
    path
}

/// Runs the command, which must fail as the user's fault does: exit code 1, one `error:` line, a `hint:` line, nothing
/// on stdout, and every needle somewhere in stderr, which is returned.
#[track_caller]
pub fn expect_user_error(command: &mut Command, needles: &[&str]) -> String {
    let output = command.output().expect("udasa starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "exit code; stderr:\n{stderr}");
    let lines_with = |start: &str| stderr.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(lines_with("error:"), 1, "error lines; stderr:\n{stderr}");
    assert!(lines_with("hint:") >= 1, "hint lines; stderr:\n{stderr}");
    assert!(!stderr.contains("panicked at"), "a panic; stderr:\n{stderr}");
    for needle in needles {
        assert!(stderr.contains(needle), "`{needle}` is missing; stderr:\n{stderr}");
    }
    stderr
}

/// Runs the command, which must succeed, and returns what it said on stderr.
#[track_caller]
pub fn expect_success(command: &mut Command) -> String {
    let output = command.output().expect("udasa starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?}; stderr:\n{stderr}", output.status);
    stderr
}
