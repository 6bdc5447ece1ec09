//! Which libtorch a folder holds. Nothing else checks it: the wheel has no file that the bindings would read.

use std::fs;
use std::path::Path;

const HEADERS: [&str; 3] =
    ["include/torch/headeronly/version.h", "include/torch/version.h", "include/torch/csrc/api/include/torch/version.h"];

/// The version without its build tag, `2.11.0`. The headers come first: they are what is compiled against.
pub fn of(libtorch: &Path) -> Option<String> {
    let read = |name: &str| fs::read_to_string(libtorch.join(name)).ok();
    HEADERS
        .iter()
        .find_map(|name| from_macros(&read(name)?))
        .or_else(|| from_python(&read("version.py")?))
        .or_else(|| from_build_version(&read("build-version")?))
}

pub fn same_minor(a: &str, b: &str) -> bool {
    let minor = |version: &str| -> Vec<String> { version.split('.').take(2).map(str::to_owned).collect() };
    minor(a) == minor(b)
}

/// `#define TORCH_VERSION_MAJOR 2` and so on.
fn from_macros(header: &str) -> Option<String> {
    let number = |part: &str| {
        header.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("#define") && words.next() == Some(part))
                .then(|| words.next().and_then(|value| value.parse::<u32>().ok()))
                .flatten()
        })
    };
    let major = number("TORCH_VERSION_MAJOR")?;
    let minor = number("TORCH_VERSION_MINOR")?;
    let patch = number("TORCH_VERSION_PATCH")?;
    Some(format!("{major}.{minor}.{patch}"))
}

/// `__version__ = '2.11.0+cu130'`.
fn from_python(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("__version__"))?;
    let quoted = value.split(['\'', '"']).nth(1)?;
    from_build_version(quoted)
}

/// `2.11.0+cpu`.
fn from_build_version(text: &str) -> Option<String> {
    let version = text.trim().split('+').next()?;
    let numeric = version.split('.').take(2).all(|part| part.parse::<u32>().is_ok());
    (numeric && version.contains('.')).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_read_from_the_header() {
        let header = "// a comment\n#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n\
                      #define TORCH_VERSION_PATCH 0\n#define TORCH_VERSION \\\n  \"2.11.0\"\n";
        assert_eq!(from_macros(header).as_deref(), Some("2.11.0"));
        assert_eq!(from_macros("#define TORCH_VERSION_MAJOR 2\n"), None);
    }

    #[test]
    fn the_build_tag_is_dropped() {
        let python = "from typing import Optional\n\n__all__ = ['__version__']\n__version__ = '2.11.0+cu130'\n";
        assert_eq!(from_python(python).as_deref(), Some("2.11.0"));
        assert_eq!(from_build_version("2.10.0+cpu\n").as_deref(), Some("2.10.0"));
        assert_eq!(from_build_version("nonsense"), None);
        assert_eq!(from_build_version(""), None);
    }

    #[test]
    fn a_patch_release_is_the_same_minor_and_nothing_else_is() {
        assert!(same_minor("2.11.1", "2.11.0"));
        assert!(!same_minor("2.1.0", "2.11.0"));
        assert!(!same_minor("2.12.0", "2.11.0"));
        assert!(!same_minor("3.11.0", "2.11.0"));
    }

    #[test]
    fn the_header_wins_over_the_other_files() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(of(dir.path()), None);
        fs::write(dir.path().join("build-version"), "2.9.0").expect("written");
        assert_eq!(of(dir.path()).as_deref(), Some("2.9.0"));
        fs::write(dir.path().join("version.py"), "__version__ = '2.10.0'").expect("written");
        assert_eq!(of(dir.path()).as_deref(), Some("2.10.0"));
        fs::create_dir_all(dir.path().join("include/torch")).expect("created");
        let header = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n";
        fs::write(dir.path().join("include/torch/version.h"), header).expect("written");
        assert_eq!(of(dir.path()).as_deref(), Some("2.11.0"));
    }
}
