//! Scorers written by hand in the WebAssembly text format, for sins that no compiler would commit: a component of the real
//! contract around a core module whose every byte a test chooses.

use std::fs;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve};

use crate::support::repository;

/// Parts of a scorer's core module. What is left as it is makes a scorer that gives two responses 0.5 and 0.25.
pub struct Parts<'a> {
    /// The body of `cabi_realloc`; $align and $size are its last two parameters.
    pub realloc: &'a str,
    /// The body of `describe`.
    pub describe: &'a str,
    /// The body of `check-settings`.
    pub check_settings: &'a str,
    /// The body of `score`.
    pub score: &'a str,
    /// The body of `score` of a call in one block, for a scorer that takes one.
    pub block: Option<&'a str>,
    /// Anything besides.
    pub more: &'a str,
    /// Pages of memory.
    pub pages: u32,
}

/// Where the scores of the good scorer lie: two of 16 bytes.
pub const SCORES: u32 = 256;
/// A `step` that is `done`.
pub const RESULT: u32 = 192;
/// Where a test may write a result of its own.
pub const FREE: u32 = 4096;
const DESCRIPTION: u32 = 64;
const EMPTY: u32 = 128;
const HEAP: u32 = 65536;

impl Default for Parts<'_> {
    fn default() -> Self {
        Self {
            realloc: "(local $at i32)
                (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
                (global.set $heap (i32.add (local.get $at) (local.get $size)))
                (local.get $at)",
            describe: "(i32.const 64)",
            check_settings: "(i32.const 128)",
            score: "(i32.const 192)",
            block: None,
            more: "",
            pages: 16,
        }
    }
}

/// The contract's text, with another version where a test wants one.
pub fn contract(version: &str) -> String {
    let text = fs::read_to_string(repository().join("plugin-sdk/wit/v0.1/udasa-plugin.wit")).expect("it is there");
    assert!(text.contains("package udasa:plugin@0.1.0;"));
    text.replace("package udasa:plugin@0.1.0;", &format!("package udasa:plugin@{version};"))
}

/// The name of the interface of calls in one block.
pub const BLOCK: &str = "udasa:block/scorer-block@0.1.0";

/// A scorer named `odd` of these parts.
pub fn scorer(parts: &Parts<'_>) -> Vec<u8> {
    let (module, contract) = (module(parts, "0.1.0"), contract("0.1.0"));
    if parts.block.is_none() {
        return component(&module, &contract, "scorer");
    }
    let text = fs::read_to_string(repository().join("plugin-sdk/wit/block-v0.1/udasa-block.wit")).expect("it is there");
    let nested = text.replace("package udasa:block@0.1.0;", "package udasa:block@0.1.0 {");
    component(&module, &format!("{contract}\n{nested}}}"), "udasa:block/scorer")
}

/// The component that `wit` makes of a core module.
pub fn component(module: &str, wit: &str, world: &str) -> Vec<u8> {
    let mut core = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    let mut resolve = Resolve::default();
    let package: PackageId = resolve.push_str("test.wit", wit).unwrap_or_else(|error| panic!("{error:#}\n{wit}"));
    let world = resolve.select_world(&[package], Some(world)).expect("the world is there");
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).expect("metadata fit");
    let encoder = ComponentEncoder::default().module(&core).expect("it is a module of the world");
    encoder.validate(false).encode().unwrap_or_else(|error| panic!("{error:#}"))
}

/// The core module of these parts, for a version of the contract.
pub fn module(parts: &Parts<'_>, version: &str) -> String {
    let Parts { realloc, describe, check_settings, score, block, more, pages } = parts;
    let api = format!("udasa:plugin/scorer-api@{version}");
    let description = words(&[1024, 3, 1032, 5, 1040, 3, 0, 0, 0, 1048, 2]);
    let (done, scores) =
        (words(&[0, 1, SCORES, 2]), [two_words(0.5), two_words(0.25)].map(|u| u + &words(&[0, 0])).concat());
    let empty = words(&[0, 0]);
    let block = block
        .map_or(String::new(), |body| format!("(func (export \"{BLOCK}#score\") (param i32 i32) (result i32) {body})"));
    format!(
        r#"(module
          (import "udasa:plugin/log@{version}" "write" (func $log (param i32 i32 i32)))
          (memory (export "memory") {pages})
          (global $heap (mut i32) (i32.const {HEAP}))
          (data (i32.const {DESCRIPTION}) "{description}")
          (data (i32.const {EMPTY}) "{empty}")
          (data (i32.const {RESULT}) "{done}")
          (data (i32.const {SCORES}) "{scores}")
          (data (i32.const 1024) "odd") (data (i32.const 1032) "0.1.0") (data (i32.const 1040) "odd") (data (i32.const 1048) "{{}}")
          (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
            {realloc})
          (func (export "{api}#describe") (result i32) {describe})
          (func (export "{api}#check-settings") (param i32 i32) (result i32) {check_settings})
          (func (export "{api}#score")
            (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {score})
          {block}
          {more})"#
    )
}

/// Little-endian words as the text format writes bytes.
pub fn words(values: &[u32]) -> String {
    values.iter().flat_map(|value| value.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect()
}

fn two_words(value: f64) -> String {
    value.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect()
}
