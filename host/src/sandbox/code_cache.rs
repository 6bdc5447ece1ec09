//! Compiled code, kept between processes: compiling a plugin takes 10–40 ms, loading it again far less than one.
//!
//! One file per plugin and engine: `<cache>/compiled/<BLAKE3 of the wasm>-<engine hash>.cwasm`, wasmtime's serialised component,
//! then a trailer (wasmtime maps the file and reads by offsets from its beginning, so that what stands behind is nothing to
//! it). Written to a temporary file and renamed. A file that is missing, cut off or altered is made anew. The cache is an aid:
//! where it cannot be written, plugins are compiled each time.
//!
//! The trailer names the plugin's SHA-256, which is what people see, pin and record. A warm start takes it from there and
//! computes none: without a processor's help SHA-256 would be most of it, and BLAKE3 takes a twentieth of the time. A file found
//! by a BLAKE3 digest is the plugin's as surely as one found by SHA-256. Whoever writes another SHA-256, or other code, into
//! the trailer must be able to write to the user's cache, and to run code as that user takes no more.
//!
//! The checksum is a CRC because it guards against accidents only, and a cryptographic digest of the code, which is larger than
//! the plugin, would be most of a warm start again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crc32fast::Hasher as Crc;
use wasmtime::{Engine, component::Component};

use crate::data::sha256_hex;

const MAGIC: &[u8; 16] = b"udasa compiled 3";
/// More files than this, or more bytes, and the oldest go: an author who rebuilds all day must not fill the disk, and a
/// plugin with an interpreter in it is 40 MB of code, new at every build.
const MOST_FILES: usize = 256;
const MOST_BYTES: u64 = 1 << 30;
/// Hex digits.
const SHA256: usize = 64;
/// What stands behind the code: the magic, the plugin's SHA-256, and the CRC-32 of all before it, little-endian.
const TRAILER: usize = MAGIC.len() + SHA256 + 4;

/// The component in `wasm`, from the cache or compiled, and the hex SHA-256 of `wasm`.
pub(super) fn component(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<(Component, String)> {
    match directory() {
        Some(directory) => component_in(&directory, engine, wasm),
        None => Ok((Component::new(engine, wasm)?, sha256_hex(wasm))),
    }
}

fn component_in(directory: &Path, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<(Component, String)> {
    let path = directory.join(file_name(engine, wasm));
    if let Some(cached) = load(engine, &path) {
        return Ok(cached);
    }
    let component = Component::new(engine, wasm)?;
    let sha256 = sha256_hex(wasm);
    if let Ok(code) = component.serialize() {
        // A full disk or a read-only home must not stop a run that needs neither.
        let _ = store(directory, &path, &code, &sha256).and_then(|()| prune(directory));
    }
    Ok((component, sha256))
}

fn directory() -> Option<PathBuf> {
    Some(crate::cache::root()?.join("compiled"))
}

fn file_name(engine: &Engine, wasm: &[u8]) -> String {
    format!("{}-{:016x}.cwasm", blake3::hash(wasm), compiler(engine))
}

/// A digest of how code is compiled. It takes a while, and is the same for all engines of this program: they differ in the
/// stack that a call may use, of which code knows nothing. (Were it not so, wasmtime would refuse what another one compiled.)
fn compiler(engine: &Engine) -> u64 {
    static DIGEST: OnceLock<u64> = OnceLock::new();
    *DIGEST.get_or_init(|| {
        // DefaultHasher::new() has fixed keys. Should its algorithm ever change, the cache is merely made anew.
        let mut hasher = DefaultHasher::new();
        MAGIC.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    })
}

fn load(engine: &Engine, path: &Path) -> Option<(Component, String)> {
    let sha256 = plugin_of(path).ok()??;
    // SAFETY: `deserialize_file` trusts the file to be wasmtime's own output, unaltered now and for as long as the component
    // lives. It is a file that `store` wrote into the user's own cache (mode 0700 where we made it), under the digest of the
    // plugin and the hash of this engine, and its checksum is the one written with it: no torn write or flipped bit gets
    // here. Nothing of ours ever writes into such a file: a new one is renamed over it, which leaves the mapped one as it
    // is. It does not guard against someone who can write to the user's cache; such a person can replace `udasa` as well. A
    // precompiled file that a user puts into a plugin directory never gets here: `contract::read` refuses it.
    let component = unsafe { Component::deserialize_file(engine, path) }.ok()?;
    Some((component, sha256))
}

/// The SHA-256 in the trailer, where the file has one and all that stands before has the checksum that it names.
fn plugin_of(path: &Path) -> std::io::Result<Option<String>> {
    let mut file = std::fs::File::open(path)?;
    let Some(mut left) = file.metadata()?.len().checked_sub(TRAILER as u64) else { return Ok(None) };
    // In pieces that stay in the processor's cache; the code itself is mapped, not read.
    let mut piece = [0; 1 << 16];
    let mut crc = Crc::new();
    while left > 0 {
        let wanted = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut piece[..wanted])?;
        crc.update(&piece[..wanted]);
        left -= wanted as u64;
    }
    let mut trailer = [0; TRAILER];
    file.read_exact(&mut trailer)?;
    let (named, checksum) = trailer.split_at(MAGIC.len() + SHA256);
    crc.update(named);
    if crc.finalize().to_le_bytes() != checksum {
        return Ok(None);
    }
    Ok(named.strip_prefix(MAGIC).and_then(|sha256| String::from_utf8(sha256.to_vec()).ok()))
}

fn store(directory: &Path, path: &Path, code: &[u8], sha256: &str) -> std::io::Result<()> {
    create_private(directory)?;
    // Two processes may compile the same plugin; each writes its own temporary file and the last rename wins.
    let thread = std::thread::current().id();
    let temporary = path.with_extension(format!("{}-{thread:?}.tmp", std::process::id()));
    let written = std::fs::File::create(&temporary).and_then(|mut file| {
        let mut crc = Crc::new();
        for part in [code, MAGIC, sha256.as_bytes()] {
            crc.update(part);
            file.write_all(part)?;
        }
        file.write_all(&crc.finalize().to_le_bytes())?;
        std::fs::rename(&temporary, path)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Removing a file that another process is about to read is harmless: it compiles again.
fn prune(directory: &Path) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let about = entry.metadata()?;
        files.push((about.modified()?, entry.path(), about.len()));
    }
    files.sort();
    let sizes: Vec<u64> = files.iter().rev().map(|(_, _, bytes)| *bytes).collect();
    for (_, path, _) in files.iter().rev().skip(kept(&sizes)) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// How many of the newest files stay, given their sizes: always the one just written.
fn kept(sizes: &[u64]) -> usize {
    let mut bytes = 0_u64;
    let fits = |size: &&u64| {
        bytes = bytes.saturating_add(**size);
        bytes <= MOST_BYTES
    };
    sizes.iter().take(MOST_FILES).take_while(fits).count().max(1)
}

fn create_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn the_newest_files_stay_up_to_a_number_and_a_size() {
        assert_eq!(kept(&[0; MOST_FILES + 5]), MOST_FILES);
        assert_eq!(kept(&[MOST_BYTES / 2; 3]), 2);
        assert_eq!(kept(&[MOST_BYTES + 1, 1]), 1);
        assert_eq!(kept(&[1]), 1);
    }

    #[test]
    fn an_altered_or_torn_file_is_made_anew() {
        let directory = tempfile::tempdir().expect("a folder");
        let directory = directory.path();
        let engine = super::super::engine::engine(1024).expect("engine");
        let path = directory.join(file_name(&engine, EMPTY));
        component_in(directory, &engine, EMPTY).expect("compiles");
        let good = std::fs::read(&path).expect("was cached");
        assert!(load(&engine, &path).is_some());

        let flipped = |at: usize| {
            let mut copy = good.clone();
            copy[at] ^= 1;
            copy
        };
        let (code, sha256, checksum) =
            (flipped(good.len() / 2), flipped(good.len() - TRAILER / 2), flipped(good.len() - 1));
        for bad in [&code[..], &sha256, &checksum, &good[..good.len() / 2], &good[..good.len() - 1], b"", b"junk"] {
            std::fs::write(&path, bad).expect("write");
            assert!(load(&engine, &path).is_none());
            component_in(directory, &engine, EMPTY).expect("compiles again");
            assert_eq!(std::fs::read(&path).expect("cached again"), good);
        }
    }

    #[test]
    fn a_warm_start_knows_the_sha256_that_a_cold_one_computed() {
        let directory = tempfile::tempdir().expect("a folder");
        let engine = super::super::engine::engine(1024).expect("engine");
        // With a custom section that has no name.
        let [one, other] = [b"\0\x02\0a", b"\0\x02\0b"].map(|section| [EMPTY, section].concat());
        for wasm in [EMPTY, &one, &other] {
            let (_, cold) = component_in(directory.path(), &engine, wasm).expect("compiles");
            let path = directory.path().join(file_name(&engine, wasm));
            let (_, warm) = load(&engine, &path).expect("was cached");
            assert_eq!((&cold, &warm), (&sha256_hex(wasm), &sha256_hex(wasm)));
        }
    }
}
