//! The set-up on machines that lack something. Each test is a made-up machine: a PATH with stand-ins for the programs
//! it has, an empty cache, an empty build folder. The real program runs; nothing is fetched or compiled.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// Answers the questions for version and modules, and makes environments whose pip does what is appended.
const PYTHON: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
if [ "$1" = -c ]; then echo 3 11; echo venv; exit; fi
mkdir -p "$3/bin"
cat >"$3/bin/python" <<END
#!/bin/sh
PATH=/usr/bin:/bin
venv=$3
"#;

const PIP_REFUSED: &str = r#"
echo "WARNING: Retrying" >&2
echo "ERROR: No matching distribution found for torch==2.11.0" >&2
exit 1
END
chmod +x "$3/bin/python"
"#;

const PIP_WORKS: &str = r#"
torch=\$venv/lib/python3.11/site-packages/torch
mkdir -p \$torch/lib
: >\$torch/lib/libtorch_cpu.so
echo "__version__ = '2.11.0+cu130'" >\$torch/version.py
END
chmod +x "$3/bin/python"
"#;

/// A program that another thread is just writing cannot be started (ETXTBSY), not even when the writer's descriptor
/// lives on only in a process between its fork and its exec. So nobody writes while somebody starts.
static WRITING_OR_STARTING: Mutex<()> = Mutex::new(());

struct Machine {
    dir: TempDir,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Machine {
    /// A machine with a C++ compiler and nothing else.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("bin")).expect("created");
        let machine = Self { dir, variables: Vec::new() };
        machine.with("c++", "#!/bin/sh\n")
    }

    /// A program on PATH.
    fn with(self, name: &str, script: &str) -> Self {
        let file = self.path("bin").join(name);
        let _alone = WRITING_OR_STARTING.lock().expect("no test panics here");
        fs::write(&file, script).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("made executable");
        self
    }

    fn without(self, name: &str) -> Self {
        fs::remove_file(self.path("bin").join(name)).expect("removed");
        self
    }

    fn set(mut self, variable: &'static str, value: impl Into<PathBuf>) -> Self {
        self.variables.push((variable, value.into()));
        self
    }

    /// A folder that looks like libtorch, chosen by the user.
    fn with_libtorch(self, version: &str) -> Self {
        let dir = self.path("libtorch");
        fs::create_dir_all(dir.join("lib")).expect("created");
        fs::write(dir.join("lib/libtorch_cpu.so"), "").expect("written");
        fs::write(dir.join("build-version"), version).expect("written");
        self.set("LIBTORCH", dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the set-up, which must fail with this exit code; returns what it wrote to stderr.
    fn fails(&self, code: i32) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .arg("setup")
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("UDASA_CACHE", self.path("cache"))
            .env("CARGO_TARGET_DIR", self.path("target"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = {
            let _alone = WRITING_OR_STARTING.lock().expect("no test panics here");
            command.spawn().expect("xtask starts")
        };
        let output = child.wait_with_output().expect("xtask ends");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(output.stdout.is_empty(), "stdout is for results");
        let errors = stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!(errors, 1, "one error: {stderr}");
        stderr
    }

    /// Runs the set-up, which must fail by the user's fault, naming all of these.
    #[track_caller]
    fn refuses(&self, needles: &[&str]) -> String {
        let stderr = self.fails(1);
        assert!(stderr.contains("\nhint: "), "{stderr}");
        for needle in needles {
            assert!(stderr.contains(needle), "`{needle}` is missing: {stderr}");
        }
        stderr
    }

    fn fetched(&self) -> PathBuf {
        self.path("cache/libtorch-2.11.0/complete")
    }
}

#[test]
fn a_missing_python_names_the_package_and_the_way_round() {
    Machine::new().refuses(&["python3 is not on PATH", "apt-get install python3", "LIBTORCH"]);
}

#[test]
fn a_python_without_a_wheel_of_torch_is_refused_before_the_download() {
    let old = "#!/bin/sh\necho 3 8; echo venv\n";
    Machine::new().with("python3", old).refuses(&["is Python 3.8", "between 3.10 and 3.14"]);
}

#[test]
fn a_python_without_venv_names_the_package() {
    let bare = "#!/bin/sh\necho 3 11\n";
    Machine::new().with("python3", bare).refuses(&["venv", "apt-get install python3-venv"]);
}

#[test]
fn a_refused_download_gives_the_reason_once_and_leaves_nothing_that_looks_complete() {
    let machine = Machine::new().with("python3", &format!("{PYTHON}{PIP_REFUSED}"));
    for _ in 0..2 {
        let stderr = machine.refuses(&["No matching distribution", "HTTPS_PROXY", "LIBTORCH"]);
        assert!(!stderr.contains("Retrying"), "{stderr}");
        assert!(!machine.fetched().exists());
    }
}

#[test]
fn a_failed_environment_is_the_users_to_mend() {
    let broken = "#!/bin/sh\nif [ \"$1\" = -c ]; then echo 3 11; echo venv; exit; fi\necho broken >&2; exit 1\n";
    Machine::new().with("python3", broken).refuses(&["could not make a virtual environment: broken"]);
}

#[test]
fn a_small_disk_is_refused_before_the_download() {
    let df = "#!/bin/sh\necho head\necho /dev/sda 9 9 2000000 99% /\n";
    let stderr = Machine::new().with("python3", &format!("{PYTHON}{PIP_WORKS}")).with("df", df).refuses(&[
        "1.9 GB free",
        "libtorch with the build needs 8.5 GB",
        "CARGO_TARGET_DIR",
    ]);
    assert!(!stderr.contains("fetching"), "{stderr}");
}

#[test]
fn a_disk_that_runs_full_during_the_download_is_named_instead_of_pips_error() {
    let machine = Machine::new().with("python3", &format!("{PYTHON}{PIP_REFUSED}"));
    // Room at first, none once the environment exists.
    let df = format!(
        "#!/bin/sh\necho head\nif [ -e {}/libtorch-2.11.0/bin ]; then echo /dev/sda 9 9 9 99% /; \
         else echo /dev/sda 9 9 90000000 9% /; fi\n",
        machine.path("cache").display()
    );
    machine.with("df", &df).refuses(&["is full: 0 MB are free", "UDASA_CACHE"]);
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let machine = Machine::new();
    fs::write(machine.path("cache"), "a file").expect("written");
    machine.refuses(&["cannot write", "UDASA_CACHE"]);
}

#[test]
fn a_missing_cxx_compiler_is_noticed_before_the_download() {
    let stderr = Machine::new()
        .without("c++")
        .with("python3", &format!("{PYTHON}{PIP_WORKS}"))
        .refuses(&["no C++ compiler", "apt-get install g++"]);
    assert!(!stderr.contains("fetching"), "{stderr}");
}

#[test]
fn a_wrong_cxx_variable_is_named() {
    Machine::new()
        .with_libtorch("2.11.0")
        .set("CXX", "no-such-compiler -m64")
        .refuses(&["no program `no-such-compiler`", "unset it"]);
}

#[test]
fn the_users_libtorch_must_be_one_of_the_right_version() {
    let wrong = Machine::new().with_libtorch("2.10.0+cpu");
    wrong.refuses(&["is libtorch 2.10.0", "built against 2.11.0", "unset it"]);

    let unnamed = Machine::new().with_libtorch("nonsense");
    unnamed.refuses(&["its version cannot be told"]);

    let empty = Machine::new().with_libtorch("2.11.0");
    fs::remove_file(empty.path("libtorch/lib/libtorch_cpu.so")).expect("removed");
    empty.refuses(&["lib/libtorch_cpu.so does not exist"]);

    Machine::new().set("LIBTORCH", "/no/such/folder").refuses(&["LIBTORCH is /no/such/folder, which is not a folder"]);
}

/// A cargo that says with what it was called, and fails.
const CARGO: &str =
    "#!/bin/sh\necho \"cargo $* with $LIBTORCH, python ${LIBTORCH_USE_PYTORCH:-unset}\" >&2\nexit 101\n";

#[test]
fn a_completed_download_is_not_repeated_and_one_without_its_stamp_is() {
    let machine = Machine::new().with("python3", &format!("{PYTHON}{PIP_WORKS}")).with("cargo", CARGO);
    assert!(machine.fails(2).contains("fetching libtorch"));
    assert!(machine.fetched().exists());
    let second = machine.fails(2);
    assert!(!second.contains("fetching libtorch"), "{second}");
    fs::remove_file(machine.fetched()).expect("removed");
    assert!(machine.fails(2).contains("fetching libtorch"));
}

#[test]
fn the_host_is_built_with_the_libtorch_that_was_found() {
    let stderr = Machine::new().with_libtorch("2.11.0").with("cargo", CARGO).fails(2);
    assert!(stderr.contains("about 8 minutes"), "{stderr}");
    assert!(stderr.contains("cargo build --release --package udasa with /"), "{stderr}");
    assert!(stderr.contains("building the host failed"), "{stderr}");
}

#[test]
fn other_variables_that_would_choose_a_libtorch_are_ignored_aloud() {
    let machine = Machine::new().with_libtorch("2.11.0").with("cargo", CARGO);
    let stderr = machine.set("LIBTORCH_USE_PYTORCH", "1").fails(2);
    assert!(stderr.contains("LIBTORCH_USE_PYTORCH is ignored"), "{stderr}");
    assert!(stderr.contains("python unset"), "{stderr}");
}

#[test]
fn an_unknown_command_sets_nothing_up() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("tets").env_clear().output().expect("xtask starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(
        stderr,
        "error: unknown command `tets`\nhint: did you mean `test`? The commands are: demo, test, bench, setup, help\n"
    );
}
