//! Counts what the process holds, to show that nothing piles up.
#![allow(dead_code, reason = "each test file uses its part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    /// What this thread takes and gives does not count.
    static APART: Cell<bool> = const { Cell::new(false) };
}

fn count(bytes: isize) {
    if !APART.get() {
        let held = HELD.fetch_add(bytes, SeqCst) + bytes;
        PEAK.fetch_max(held, SeqCst);
    }
}

#[allow(unsafe_code, reason = "an allocator is unsafe; this one passes everything on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Keeps the other tests of the process waiting: they share the count.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `run` left behind, and what it gave.
pub(crate) fn left_by<T>(run: impl FnOnce() -> T) -> (isize, T) {
    let before = HELD.load(SeqCst);
    let given = run();
    (HELD.load(SeqCst) - before, given)
}

/// What the process held at most while `run` ran, beyond what it held before.
pub(crate) fn peak_of(run: impl FnOnce()) -> usize {
    let before = HELD.load(SeqCst);
    PEAK.store(before, SeqCst);
    run();
    usize::try_from(PEAK.load(SeqCst) - before).unwrap_or_default()
}

/// The same without what this thread takes: the test's own part.
pub(crate) fn peak_of_others(run: impl FnOnce()) -> usize {
    peak_of(|| {
        APART.set(true);
        run();
        APART.set(false);
    })
}
