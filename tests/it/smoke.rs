//! The binary starts and says what it can do.

use crate::support::udasa;

#[test]
fn help_names_the_main_job() {
    let output = udasa().arg("--help").output().expect("udasa starts");
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(help.contains("run"), "{help}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_binary_finds_libtorch_without_help_from_the_environment() {
    let output = udasa().env_clear().arg("--help").output().expect("udasa starts");
    assert!(output.status.success(), "{output:?}");
}
