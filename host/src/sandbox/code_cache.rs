//! Compiled code, kept between processes: compiling a plugin takes 10–40 ms, loading it again far less than one.
//!
//! One file per plugin digest and engine: `<cache>/compiled/<sha256 of the wasm>-<engine hash>.cwasm`, wasmtime's serialised
//! component, then a trailer with a checksum (wasmtime maps the file and reads by offsets from its beginning, so that what
//! stands behind is nothing to it). Written to a temporary file and renamed. A file that is missing, cut off or altered is made
//! anew. The cache is an aid: where it cannot be written, plugins are compiled each time.
//!
//! The checksum is a CRC because it guards against accidents only, and a cryptographic digest of the code would be most of
//! a warm start.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crc32fast::Hasher as Crc;
use wasmtime::{Engine, component::Component};

const MAGIC: &[u8; 16] = b"udasa compiled 2";
/// More files than this, or more bytes, and the oldest go: an author who rebuilds all day must not fill the disk, and a
/// plugin with an interpreter in it is 40 MB of code, new at every build.
const MOST_FILES: usize = 256;
const MOST_BYTES: u64 = 1 << 30;
/// What stands behind the code: the magic, then the CRC-32 of the code, little-endian.
const TRAILER: usize = MAGIC.len() + 4;

/// The component in `wasm`, from the cache or compiled. `sha256` is the hex digest of `wasm`.
pub(super) fn component(engine: &Engine, wasm: &[u8], sha256: &str) -> wasmtime::Result<Component> {
    match directory() {
        Some(directory) => component_in(&directory, engine, wasm, sha256),
        None => Component::new(engine, wasm),
    }
}

fn component_in(directory: &Path, engine: &Engine, wasm: &[u8], sha256: &str) -> wasmtime::Result<Component> {
    let path = directory.join(file_name(engine, sha256));
    if let Some(component) = load(engine, &path) {
        return Ok(component);
    }
    let component = Component::new(engine, wasm)?;
    if let Ok(code) = component.serialize() {
        // A full disk or a read-only home must not stop a run that needs neither.
        let _ = store(directory, &path, &code).and_then(|()| prune(directory));
    }
    Ok(component)
}

fn directory() -> Option<PathBuf> {
    Some(crate::cache::root()?.join("compiled"))
}

fn file_name(engine: &Engine, sha256: &str) -> String {
    // DefaultHasher::new() has fixed keys. Should its algorithm ever change, the cache is merely made anew.
    let mut hasher = DefaultHasher::new();
    MAGIC.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{sha256}-{:016x}.cwasm", hasher.finish())
}

fn load(engine: &Engine, path: &Path) -> Option<Component> {
    if !is_whole(path).ok()? {
        return None;
    }
    // SAFETY: `deserialize_file` trusts the file to be wasmtime's own output, unaltered now and for as long as the component
    // lives. It is a file that `store` wrote into the user's own cache (mode 0700 where we made it), under the digest of the
    // plugin and the hash of this engine, and its checksum is the one written with it: no torn write or flipped bit gets
    // here. Nothing of ours ever writes into such a file: a new one is renamed over it, which leaves the mapped one as it
    // is. It does not guard against someone who can write to the user's cache; such a person can replace `udasa` as well. A
    // precompiled file that a user puts into a plugin directory never gets here: `contract::read` refuses it.
    unsafe { Component::deserialize_file(engine, path) }.ok()
}

/// Whether a file ends in our trailer, and the code before it has the checksum that the trailer names.
fn is_whole(path: &Path) -> std::io::Result<bool> {
    let mut file = std::fs::File::open(path)?;
    let Some(mut left) = file.metadata()?.len().checked_sub(TRAILER as u64) else { return Ok(false) };
    // In pieces that stay in the processor's cache; the code itself is mapped, not read.
    let mut piece = [0; 1 << 16];
    let mut crc = Crc::new();
    while left > 0 {
        let wanted = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut piece[..wanted])?;
        crc.update(&piece[..wanted]);
        left -= wanted as u64;
    }
    let mut found = [0; TRAILER];
    file.read_exact(&mut found)?;
    Ok(found == trailer(crc.finalize()))
}

fn trailer(crc: u32) -> [u8; TRAILER] {
    let mut trailer = [0; TRAILER];
    let (magic, checksum) = trailer.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    checksum.copy_from_slice(&crc.to_le_bytes());
    trailer
}

fn store(directory: &Path, path: &Path, code: &[u8]) -> std::io::Result<()> {
    create_private(directory)?;
    // Two processes may compile the same plugin; each writes its own temporary file and the last rename wins.
    let thread = std::thread::current().id();
    let temporary = path.with_extension(format!("{}-{thread:?}.tmp", std::process::id()));
    let written = std::fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(code)?;
        file.write_all(&trailer(crc32fast::hash(code)))?;
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
        let directory = std::env::temp_dir().join(format!("udasa-cache-{}", std::process::id()));
        let engine = super::super::engine::engine(1024).expect("engine");
        let path = directory.join(file_name(&engine, "00"));
        component_in(&directory, &engine, EMPTY, "00").expect("compiles");
        let good = std::fs::read(&path).expect("was cached");
        assert!(load(&engine, &path).is_some());

        let flipped = |at: usize| {
            let mut copy = good.clone();
            copy[at] ^= 1;
            copy
        };
        let (code, checksum) = (flipped(good.len() / 2), flipped(good.len() - 1));
        for bad in [&code[..], &checksum, &good[..good.len() / 2], &good[..good.len() - 1], b"", b"junk"] {
            std::fs::write(&path, bad).expect("write");
            assert!(load(&engine, &path).is_none());
            component_in(&directory, &engine, EMPTY, "00").expect("compiles again");
            assert_eq!(std::fs::read(&path).expect("cached again"), good);
        }
        std::fs::remove_dir_all(&directory).expect("clean up");
    }
}
