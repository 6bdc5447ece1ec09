//! The allocator of a plugin: lists of free blocks, one list a size.
//!
//! A call is many small blocks that live as long as the call: what the scorer makes, and through the contract's own `score` a
//! string or list of the sample each. The standard library's allocator for WebAssembly (dlmalloc) joins and splits blocks and takes a sizeable
//! share of such a call. This one takes the first block of the list, and puts it back.
//!
//! Blocks of up to [`MOST`] bytes are cut from chunks of the standard allocator and never joined again, so a plugin holds at
//! most what it needed at once, size by size; calling it again and again takes no more. Larger ones, and those with strange
//! alignments, go straight to the standard allocator.
//!
//! A crate that brings an allocator of its own turns off the SDK's default feature `allocator`.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;

/// Blocks are multiples of this, and aligned to it.
const GRAIN: usize = 16;
/// Up to here there is a list for each multiple of the grain; above, four for each doubling.
const FINE: usize = 512;
/// The largest block that has a list.
const MOST: usize = 4096;
const LISTS: usize = FINE / GRAIN + 12;
const CHUNK: usize = 64 * 1024;

/// Free blocks by size. The first word of a free block is the address of the next.
pub struct Blocks {
    free: [Cell<*mut u8>; LISTS],
    /// The part of the newest chunk that has never been handed out.
    rest: Cell<*mut u8>,
    left: Cell<usize>,
}

// SAFETY: a component has one thread; the `allocator` feature makes a global of it on wasm32 without atomics only.
#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
unsafe impl Sync for Blocks {}

impl Blocks {
    /// None yet.
    pub const fn new() -> Self {
        Self { free: [const { Cell::new(null_mut()) }; LISTS], rest: Cell::new(null_mut()), left: Cell::new(0) }
    }

    /// A block of list `list` that was never handed out.
    #[cold]
    fn cut(&self, list: usize) -> *mut u8 {
        let size = size_of(list);
        if self.left.get() < size {
            // What is left of the old chunk, less than one block, is given up.
            let Ok(layout) = Layout::from_size_align(CHUNK, GRAIN) else { return null_mut() };
            // SAFETY: the layout is not empty.
            let chunk = unsafe { System.alloc(layout) };
            if chunk.is_null() {
                return chunk;
            }
            self.rest.set(chunk);
            self.left.set(CHUNK);
        }
        let block = self.rest.get();
        // SAFETY: `left` bytes from `rest` on are in the chunk, and `size` is not more.
        self.rest.set(unsafe { block.add(size) });
        self.left.set(self.left.get() - size);
        block
    }
}

// SAFETY: a block comes from `System`, or is a part of a chunk from it that is at least as large as the layout asks (its
// list's size), aligned to `GRAIN`, and in the hands of one caller at a time: it is taken off its list when it is handed out
// and put back when it is freed. The list follows from the layout, which is the same at both times.
unsafe impl GlobalAlloc for Blocks {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(list) = list_of(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        };
        let first = self.free[list].get();
        if first.is_null() {
            return self.cut(list);
        }
        // SAFETY: a free block's first word is the next one's address; blocks are aligned to more than a word.
        self.free[list].set(unsafe { first.cast::<*mut u8>().read() });
        first
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(list) = list_of(layout) else {
            // SAFETY: the caller's promise; `alloc` took this layout's blocks from `System`.
            return unsafe { System.dealloc(block, layout) };
        };
        // SAFETY: the block is the caller's no more, and holds at least a word.
        unsafe { block.cast::<*mut u8>().write(self.free[list].get()) };
        self.free[list].set(block);
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size fits the layout's alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (list_of(layout), list_of(wanted)) {
            (Some(old), Some(new)) if old == new => block,
            // SAFETY: the caller's promise; both sizes are the standard allocator's.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            _ => {
                // SAFETY: as the caller promises for the old block; the new one has room for what is copied.
                unsafe {
                    let new = self.alloc(wanted);
                    if !new.is_null() {
                        new.copy_from_nonoverlapping(block, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    new
                }
            }
        }
    }
}

/// The list for a layout; none for the standard allocator's.
#[inline]
fn list_of(layout: Layout) -> Option<usize> {
    let size = layout.size();
    if layout.align() > GRAIN || size > MOST {
        return None;
    }
    if size <= FINE {
        return Some(size.saturating_sub(1) / GRAIN);
    }
    // The two bits below the highest of size − 1 choose a quarter of its doubling.
    let shift = (size - 1).ilog2() - 2;
    let quarter = (size - 1) >> shift;
    Some(FINE / GRAIN + 4 * (shift as usize - 7) + quarter - 4)
}

/// The size of a list's blocks.
fn size_of(list: usize) -> usize {
    match list.checked_sub(FINE / GRAIN) {
        None => (list + 1) * GRAIN,
        Some(quarters) => (quarters % 4 + 5) << (quarters / 4 + 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a small layout")
    }

    #[test]
    fn every_size_has_the_list_of_the_smallest_blocks_that_hold_it() {
        for size in 1..=MOST {
            let list = list_of(layout(size, 1)).expect("has a list");
            assert!(size_of(list) >= size, "{size}");
            assert!(list == 0 || size_of(list - 1) < size, "{size}");
            assert_eq!(size_of(list) % GRAIN, 0);
        }
        assert_eq!(list_of(layout(MOST, 16)), Some(LISTS - 1));
        assert_eq!(list_of(layout(MOST + 1, 1)), None);
        assert_eq!(list_of(layout(64, 32)), None);
    }

    /// Random work: what a block holds is what was written to it, and the same work again needs no new chunk.
    #[test]
    fn blocks_keep_their_contents_and_the_same_work_again_takes_no_more_memory() {
        let blocks = Blocks::new();
        let mut chunks = Vec::new();
        for _ in 0..3 {
            let mut rng = Rng::new(1);
            let mut held: Vec<(*mut u8, Layout, u8)> = Vec::new();
            for step in 0..20_000_usize {
                let mark = step as u8;
                if held.len() < 200 || rng.below(2) == 0 {
                    let most = [40, 600, 6000][rng.below(3)];
                    let size = 1 + rng.below(most);
                    let layout = layout(size, 1 << rng.below(6));
                    // SAFETY: the layout is not empty, and `size` bytes are written.
                    let block = unsafe {
                        let block = blocks.alloc(layout);
                        block.write_bytes(mark, size);
                        block
                    };
                    assert_eq!(block.align_offset(layout.align()), 0);
                    held.push((block, layout, mark));
                } else {
                    let (block, layout, mark) = held.swap_remove(rng.below(held.len()));
                    let size = 1 + rng.below(6000);
                    // SAFETY: the block came from `blocks` with this layout; it is read where it was written.
                    unsafe {
                        let block = blocks.realloc(block, layout, size);
                        let kept = std::slice::from_raw_parts(block, size.min(layout.size()));
                        assert!(kept.iter().all(|byte| *byte == mark));
                        blocks.dealloc(block, self::layout(size, layout.align()));
                    }
                }
            }
            for (block, layout, _) in held {
                // SAFETY: as above.
                unsafe { blocks.dealloc(block, layout) };
            }
            chunks.push((blocks.rest.get(), blocks.left.get()));
        }
        assert_eq!(chunks[0], chunks[1]);
        assert_eq!(chunks[0], chunks[2]);
    }
}
