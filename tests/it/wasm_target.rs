//! The three ways to a compiler for wasm, each on a made-up machine: a PATH with stand-ins for the programs it has, and an
//! empty cache. The real binary runs; nothing is fetched or compiled.
#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{scratch, udasa, write};

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// A machine with a crate, and a cargo that knows it but fails to build it, saying with which compiler it tried. Its
    /// rustc has no wasm target until there is a folder `libraries`.
    fn new() -> Self {
        let machine = Self { dir: scratch() };
        let dir = machine.dir.path().canonicalize().expect("it is there");
        let manifest = write(&dir, "crate/Cargo.toml", "[package]\n");
        let metadata = serde_json::json!({
            "packages": [{"name": "p", "manifest_path": manifest, "targets": [{"crate_types": ["cdylib"]}]}],
            "workspace_root": dir.join("crate"),
            "target_directory": dir.join("target"),
        });
        write(&dir, "metadata.json", metadata.to_string());
        let dir = dir.display();
        machine
            .with("cargo", &format!("if [ \"$1\" = metadata ]; then /bin/cat {dir}/metadata.json; exit; fi\necho \"with ${{RUSTC:-its own}}\" >&2\nexit 101"))
            .with("rustc", &format!("echo {dir}/libraries"))
    }

    /// A program on PATH. Another process writes it: while we hold a file open for writing, a child that another test
    /// starts may hold it too, and then it cannot be run (ETXTBSY).
    fn with(self, name: &str, script: &str) -> Self {
        let text = write(self.dir.path(), "text", format!("#!/bin/sh\n{script}\n"));
        fs::create_dir_all(self.path("bin")).expect("made");
        let copied = Command::new("install").args(["-m", "755"]).arg(text).arg(self.path("bin").join(name)).status();
        assert!(copied.expect("install starts").success());
        self
    }

    /// Debian's programs, with this for the shell that runs the script.
    fn with_debian(mut self, sh: &str) -> Self {
        for name in ["apt-get", "apt-cache", "dpkg", "tar"] {
            self = self.with(name, "exit 0");
        }
        self.with("sh", sh)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().expect("it is there").join(name)
    }

    /// What `udasa plugin build` says. It fails in any case: at the latest when cargo does.
    fn build(&self, variables: &[(&str, &str)]) -> String {
        let output = udasa()
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("UDASA_CACHE", self.path("cache"))
            .envs(variables.iter().copied())
            .args(["plugin", "build"])
            .arg(self.path("crate"))
            .arg("--out")
            .arg(self.path("out"))
            .output()
            .expect("udasa starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("\nhint: ") && stderr.matches("error: ").count() == 1, "{stderr}");
        stderr
    }
}

/// Puts the target where the rustc above says it is.
fn rustup(machine: &Machine) -> String {
    let libraries = machine.path("libraries");
    format!("echo rustup >>{0}.log; /bin/mkdir -p {0}; : >{0}/libcore-1.rlib", libraries.display())
}

/// Leaves what the script leaves: a compiler, and the linker that it borrows.
const UNPACKS: &str = "/bin/mkdir bin; : >bin/rustc; echo /bin/sh >linker";

#[test]
fn a_compiler_that_has_the_target_is_used_as_it_is() {
    let machine = Machine::new().with("rustup", "echo called >&2; exit 1");
    write(machine.dir.path(), "libraries/libcore-1.rlib", "");
    let said = machine.build(&[]);
    assert!(said.starts_with("with its own\n"), "{said}");
    assert!(said.contains("cargo could not build `p` for wasm32-unknown-unknown"), "{said}");
}

#[test]
fn rustup_adds_the_target_once() {
    let machine = Machine::new();
    let script = rustup(&machine);
    let machine = machine.with("rustup", &script);
    let first = machine.build(&[]);
    assert!(first.contains("adding the wasm target through rustup"), "{first}");
    assert!(first.contains("\nwith its own\n"), "{first}");
    assert!(!machine.build(&[]).contains("rustup"));
    assert_eq!(fs::read_to_string(machine.path("libraries.log")).expect("it was called"), "rustup\n");
}

#[test]
fn where_rustup_cannot_debians_compiler_is_unpacked_once_and_found_again_without_asking_rustup() {
    let machine = Machine::new().with("rustup", "exit 1").with_debian(UNPACKS);
    let rustc = machine.path("cache/wasm-tc/bin/rustc");
    let first = machine.build(&[]);
    assert!(first.contains("adding the wasm target through rustup"), "{first}");
    assert!(first.contains("unpacking Debian's Rust compiler") && first.contains("2 minutes"), "{first}");
    assert!(first.contains(&format!("\nwith {}\n", rustc.display())), "{first}");
    let second = machine.build(&[]);
    assert!(second.starts_with(&format!("with {}\n", rustc.display())), "{second}");
    // One that was interrupted, or whose linker has gone, is unpacked anew.
    fs::remove_file(machine.path("cache/wasm-tc/complete")).expect("removed");
    assert!(machine.build(&[]).contains("unpacking"));
    write(&machine.path("cache"), "wasm-tc/linker", "/no/such/linker\n");
    assert!(machine.build(&[]).contains("unpacking"));
}

#[test]
fn the_fallback_can_be_forced() {
    let machine = Machine::new().with("rustup", "echo called >&2; exit 1").with_debian(UNPACKS);
    write(machine.dir.path(), "libraries/libcore-1.rlib", "");
    let said = machine.build(&[("UDASA_WASM_FALLBACK", "1")]);
    assert!(said.contains("unpacking Debian's") && !said.contains("called"), "{said}");
}

#[test]
fn the_compiler_that_the_user_names_is_the_one_that_is_asked() {
    let machine = Machine::new().with("other", "exit 1").with_debian(UNPACKS);
    write(machine.dir.path(), "libraries/libcore-1.rlib", "");
    let other = machine.path("bin/other");
    let said = machine.build(&[("RUSTC", other.to_str().expect("UTF-8"))]);
    assert!(said.contains("unpacking Debian's"), "{said}");
}

#[test]
fn without_any_way_the_reason_and_the_cure_are_named() {
    let machine = Machine::new();
    let said = machine.build(&[]);
    assert!(
        said.contains("`apt-get` is not here") && said.contains("rustup target add wasm32-unknown-unknown"),
        "{said}"
    );
    let reasons = [
        (3, "package lists of this system could not be fetched"),
        (4, "do not include rustc-web"),
        (5, "linker (rust-lld) nor lld"),
        (1, "building the standard library failed"),
    ];
    let mut machine = machine;
    for (code, reason) in reasons {
        machine = machine.with_debian(&format!("exit {code}"));
        let said = machine.build(&[]);
        assert!(said.contains(reason) && said.contains("rustup target add"), "{said}");
        assert!(!machine.path("cache/wasm-tc/complete").exists());
    }
    let small = machine.with("df", "echo head; echo /dev/sda 9 9 1000000 99% /");
    let said = small.build(&[]);
    assert!(said.contains("has 0.9 GB free, but the wasm compiler needs 1.5 GB"), "{said}");
    let file = write(small.dir.path(), "cache-file", "");
    let said = small.build(&[("UDASA_CACHE", file.to_str().expect("UTF-8"))]);
    assert!(said.contains("cannot write") && said.contains("UDASA_CACHE"), "{said}");
}
