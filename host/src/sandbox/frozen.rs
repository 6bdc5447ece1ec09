//! The released contract may not change: plugins built against it are in strangers' hands.

use std::fs;
use std::path::Path;

use crate::data::sha256_hex;

/// Every released folder, and every file of it.
const RELEASED: [(&str, &[(&str, &str)]); 2] = [
    ("block-v0.1", &[("udasa-block.wit", "0cddd74d587604573b0b4cf027b1b25f652a9037836c9e8cf9e532ec801c8405")]),
    ("v0.1", &[("udasa-plugin.wit", "2c506d010757d58b3fde7c36552ff8324e29dff6ee34fc707ca23ff8a4c27525")]),
];

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("the folder can be read").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_frozen_contract_has_not_changed() {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk/wit");
    assert_eq!(
        names(&contract),
        RELEASED.map(|(folder, _)| folder),
        "a released folder goes into this list, and stays"
    );
    for (folder, files) in RELEASED {
        let folder = contract.join(folder);
        let expected: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        assert_eq!(names(&folder), expected, "{}: a change needs a folder of its own", folder.display());
        for (name, digest) in files {
            let content = fs::read(folder.join(name)).expect("it can be read");
            let change = "a change of the contract needs a folder of its own, such as plugin-sdk/wit/v0.2/";
            assert_eq!(sha256_hex(&content), *digest, "{name}: {change}");
        }
    }
}
