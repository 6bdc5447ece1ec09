//! The released contract may not change: plugins built against it are in strangers' hands.

use crate::data::sha256_hex;

#[test]
fn the_frozen_contract_has_not_changed() {
    let wit = include_bytes!("../../../plugin-sdk/wit/v0.1/udasa-plugin.wit");
    assert_eq!(
        sha256_hex(wit),
        "2c506d010757d58b3fde7c36552ff8324e29dff6ee34fc707ca23ff8a4c27525",
        "a change of the contract needs a folder of its own, such as plugin-sdk/wit/v0.2/"
    );
}
