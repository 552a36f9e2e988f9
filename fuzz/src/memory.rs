//! Counts the bytes of memory that are in use, so that a target can say what a value keeps.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator, with a count of what is in use.
#[derive(Debug)]
pub struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

/// Bytes that are in use now.
#[must_use]
pub fn in_use() -> isize {
    IN_USE.load(Ordering::Relaxed)
}

/// The most that was in use since [`forget_peak`].
#[must_use]
pub fn peak() -> isize {
    PEAK.load(Ordering::Relaxed)
}

/// What was in use before does not count any more.
pub fn forget_peak() {
    PEAK.store(in_use(), Ordering::Relaxed);
}

fn more(bytes: usize) {
    let before = IN_USE.fetch_add(bytes.cast_signed(), Ordering::Relaxed);
    PEAK.fetch_max(before + bytes.cast_signed(), Ordering::Relaxed);
}

fn less(bytes: usize) {
    IN_USE.fetch_sub(bytes.cast_signed(), Ordering::Relaxed);
}

// SAFETY: each call goes to the system's allocator as it came; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: what the caller has promised is promised on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        less(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size);
        less(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}
