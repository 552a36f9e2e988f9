//! The scratch of a thread: the buffers of the connection that is at work on it.

use std::cell::Cell;
use std::sync::Arc;

use adieu_proto::Scratch;

use crate::link::pool::Buffers;

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Lends the thread's scratch. It is taken, not borrowed: a stream of the application's own may
/// drive or drop another connection when it is read, and that gets another one. Payloads that have
/// left are dropped at the end, where no lock is held: let go of the connection's lock in `work`.
#[inline]
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_else(first_of_thread);
    let result = work(&mut scratch);
    scratch.drop_payloads();
    // A thread that is on its way out keeps nothing.
    let _ = SCRATCH.try_with(|kept| kept.set(Some(scratch)));
    result
}

#[cold]
fn first_of_thread() -> Box<Scratch> {
    Box::new(Scratch::with_pool(Arc::<Buffers>::default()))
}
