//! Group commit: one thread writes, and what is submitted while it does goes into the next commit
//! together.

use std::sync::Arc;
use std::thread;

use tokio::sync::{Semaphore, oneshot, watch};

use super::error::caught;
use super::queue::{Queue, Waiting};
use super::{Backend, Refusals, StoreError};
use crate::session::{Batch, Change, Contents};

/// Bytes that wait for their commit at most, those being committed included; who submits more
/// waits. A disk writes so much in a tenth of a second, so that a longer queue would only take
/// memory and make everybody wait longer. Fits a u32, as [`Semaphore`] wants it.
const QUEUE: usize = 16 << 20;

/// What a batch counts at least, which bounds their number as well: 4096, as many as several
/// thousand callers a second have under way when a commit takes some milliseconds.
const BATCH: usize = 4 << 10;

/// Resolved when a batch is committed.
type Told = oneshot::Receiver<Result<Refusals, StoreError>>;

/// The way to a store. A clone shares it; when the last is gone, what was submitted is committed
/// and the store is closed. [`close`](Store::close) waits for that.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), adieu_gateway::store::StoreError> {
/// use adieu_gateway::session::Change;
/// # use adieu_gateway::store::{Memory, Store};
///
/// let (store, contents) = Store::start(Memory)?;
/// assert!(contents.sessions.is_empty());
/// let change = Change::PutMeta { name: "greeting".into(), value: "hello".into() };
/// store.commit(vec![change]).await?;
/// store.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Store(Way);

#[derive(Clone, Debug)]
enum Way {
    /// Nothing outlives the process: there is nothing to write, and no thread for it.
    Nowhere,
    Thread(Arc<Shared>),
}

#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    /// Bytes that may still be submitted, given out in the order in which they were asked for.
    room: Arc<Semaphore>,
    /// How it was closed, once it is.
    closed: watch::Receiver<Option<Result<(), StoreError>>>,
}

impl Store {
    /// Reads what is there, which blocks, and starts the thread that writes.
    ///
    /// # Errors
    /// If it cannot be read, or no thread be started.
    pub fn start(backend: impl Backend) -> Result<(Self, Contents), StoreError> {
        let contents = backend.load()?;
        if !backend.outlives_the_process() {
            return Ok((Store(Way::Nowhere), contents));
        }
        let queue = Arc::new(Queue::default());
        let waiting = queue.clone();
        let (tell, closed) = watch::channel(None);
        thread::Builder::new()
            .name("adieu-store".into())
            .spawn(move || tell.send_replace(Some(write(backend, &waiting))))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let room = Arc::new(Semaphore::new(QUEUE));
        Ok((Store(Way::Thread(Arc::new(Shared { queue, room, closed }))), contents))
    }

    /// Commits a batch; ready when it is durable. Says what of it was refused, because the session
    /// is another owner's. Waits for room first, if much is under way.
    /// Batches are committed in the order in which they found room, and room is given in the order
    /// in which it was asked for. A batch that found room is committed even if nobody waits for it
    /// any more.
    ///
    /// # Errors
    /// [`StoreError::Failed`], for this batch and for all after it; [`StoreError::Closed`].
    pub async fn commit(&self, batch: Batch) -> Result<Refusals, StoreError> {
        match self.queue(batch, true).await? {
            Some(told) => told.await.map_err(|_| StoreError::Closed)?,
            None => Ok(Refusals::new()),
        }
    }

    /// The same, and ready when there is room for it: for changes whose loss in a crash is made
    /// good, and after which nothing is said. They are committed with others, or a moment later.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub async fn submit(&self, batch: Batch) -> Result<(), StoreError> {
        self.queue(batch, false).await.map(drop)
    }

    async fn queue(&self, batch: Batch, awaited: bool) -> Result<Option<Told>, StoreError> {
        let Way::Thread(shared) = &self.0 else { return Ok(None) };
        let bytes = size(&batch);
        // One that is larger than all the room there is has it for itself.
        let room = bytes.clamp(BATCH, QUEUE) as u32;
        let room = shared.room.clone().acquire_many_owned(room).await;
        let room = room.map_err(|_| StoreError::Closed)?;
        let (tell, told) = awaited.then(oneshot::channel).unzip();
        if !shared.queue.push(Waiting { batch, bytes, tell, room }) {
            return Err(StoreError::Closed);
        }
        Ok(told)
    }

    /// Commits what was submitted before, and closes the store: when it returns, another process
    /// can open it. What other clones submit from now on is answered with [`StoreError::Closed`].
    /// A second one waits as well and is told the same. Each future of [`commit`](Store::commit)
    /// that was begun has to be polled to its end, or dropped: what has room is waited for.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if a commit did; [`StoreError::NotClosed`].
    pub async fn close(self) -> Result<(), StoreError> {
        let Way::Thread(shared) = &self.0 else { return Ok(()) };
        // All the room: whoever asked for some before has had it and been told.
        let all = shared.room.acquire_many(QUEUE as u32).await;
        shared.room.close();
        drop(all);
        // The thread comes to the end of the queue.
        shared.queue.close();
        let mut closed = shared.closed.clone();
        let closed = closed.wait_for(Option::is_some).await;
        closed.ok().and_then(|closed| closed.clone()).unwrap_or(Err(StoreError::Closed))
    }
}

/// When the last clone is gone, what was submitted is committed.
impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn size(batch: &Batch) -> usize {
    batch.iter().map(Change::size).sum()
}

/// Commits until all senders are gone, and closes.
fn write(mut backend: impl Backend, waiting: &Queue) -> Result<(), StoreError> {
    let mut failed = Ok(());
    while let Some(group) = waiting.next() {
        // After one that failed the disk holds nobody knows what: nothing is said to be safe.
        let committed = failed.clone().and_then(|()| {
            let commit = caught(|| backend.commit(&group.batches));
            commit.unwrap_or_else(|panic| Err(StoreError::Failed(panic)))
        });
        let mut refused = match committed {
            Ok(refused) => refused.into_iter(),
            Err(error) => {
                failed = Err(error);
                Vec::new().into_iter()
            }
        };
        for (tell, _room) in group.tell {
            let refused = refused.next().unwrap_or_default();
            if let Some(tell) = tell {
                // A task that has gone away does not want to know.
                let _ = tell.send(failed.clone().map(|()| refused));
            }
        }
    }
    let closed = caught(|| backend.close());
    failed.and(closed.unwrap_or_else(|panic| Err(StoreError::NotClosed(panic))))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard};

    use super::super::queue::GROUP_BYTES;
    use super::*;

    /// What is committed, to be looked at.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Contents>>);

    impl Kept {
        fn meta(&self) -> std::collections::BTreeMap<String, bytes::Bytes> {
            self.0.lock().unwrap().meta.clone()
        }
    }

    impl Backend for Kept {
        fn load(&self) -> Result<Contents, StoreError> {
            Ok(self.0.lock().unwrap().clone())
        }

        fn commit(&mut self, batches: &[Batch]) -> Result<Vec<Refusals>, StoreError> {
            let mut kept = self.0.lock().unwrap();
            Ok(batches.iter().map(|batch| kept.commit(batch.clone())).collect())
        }
    }

    fn room(store: &Store) -> &Semaphore {
        let Way::Thread(shared) = &store.0 else { panic!("it has a thread") };
        &shared.room
    }

    fn note(value: usize) -> Batch {
        vec![Change::PutMeta { name: "note".into(), value: value.to_string().into() }]
    }

    /// Commits while nobody holds the gate, and fails from one of its commits on.
    struct Gated {
        memory: Kept,
        gate: Arc<Mutex<()>>,
        commits: Arc<AtomicUsize>,
        /// The most bytes that a commit had.
        most: Arc<AtomicUsize>,
        closed: Arc<AtomicUsize>,
        fails_from: usize,
        panics: bool,
    }

    impl Gated {
        fn new(fails_from: usize) -> Self {
            let (memory, gate, commits, most, closed) = Default::default();
            Gated { memory, gate, commits, most, closed, fails_from, panics: false }
        }
    }

    impl Backend for Gated {
        fn load(&self) -> Result<Contents, StoreError> {
            self.memory.load()
        }

        fn commit(&mut self, batches: &[Batch]) -> Result<Vec<Refusals>, StoreError> {
            let _open: MutexGuard<'_, ()> = self.gate.lock().unwrap();
            self.most.fetch_max(batches.iter().map(size).sum(), Ordering::SeqCst);
            if self.commits.fetch_add(1, Ordering::SeqCst) >= self.fails_from {
                assert!(!self.panics, "page {} is not there", 7);
                return Err(StoreError::Failed("no space left on device".into()));
            }
            self.memory.commit(batches)
        }

        fn close(self) -> Result<(), StoreError> {
            self.closed.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    #[test]
    fn what_comes_during_a_commit_goes_into_the_next_together() {
        let backend = Gated::new(usize::MAX);
        let (memory, gate, commits) =
            (backend.memory.clone(), backend.gate.clone(), backend.commits.clone());
        let closed = gate.lock().unwrap();
        let (store, _) = Store::start(backend).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let submit = |i| {
            let store = store.clone();
            runtime.spawn(async move { store.commit(note(i)).await })
        };
        let all: Vec<_> = (0..=100).map(submit).collect();
        // Each of them runs until it waits for its commit; the runtime asks us again before that.
        runtime.block_on(async {
            while room(&store).available_permits() > QUEUE - 101 * BATCH {
                tokio::task::yield_now().await;
            }
        });
        drop(closed);
        runtime.block_on(async {
            for one in all {
                one.await.unwrap().unwrap();
            }
        });
        // The first alone, or with some that had come by then; the rest together.
        assert!((1..=2).contains(&commits.load(Ordering::SeqCst)), "{commits:?}");
        assert_eq!(memory.meta()["note"], "100", "in order");
    }

    #[test]
    fn what_nobody_waits_for_is_committed_with_what_somebody_does() {
        let backend = Gated::new(usize::MAX);
        let (kept, commits) = (backend.memory.clone(), backend.commits.clone());
        let (store, _) = Store::start(backend).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for i in 0..1_000 {
                store.submit(note(i)).await.unwrap();
            }
            store.commit(note(1_000)).await.unwrap();
        });
        assert_eq!(kept.meta()["note"], "1000", "in order");
        // Alone each would have been a commit. A slow machine makes some of the moments pass.
        assert!(commits.load(Ordering::SeqCst) < 500, "{commits:?}");
        // Nobody has to come for it to be committed.
        runtime.block_on(store.submit(note(1_001))).unwrap();
        while kept.meta()["note"] != "1001" {
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn after_a_failure_nothing_is_said_to_be_safe() {
        let backend = Gated::new(1);
        let (memory, commits) = (backend.memory.clone(), backend.commits.clone());
        let (store, _) = Store::start(backend).unwrap();
        store.commit(note(1)).await.unwrap();
        for i in [2, 3] {
            let error = store.commit(note(i)).await.unwrap_err();
            assert!(error.to_string().contains("no space left on device"), "{error}");
        }
        assert_eq!(commits.load(Ordering::SeqCst), 2, "the backend is not asked again");
        assert_eq!(memory.meta()["note"], "1");
    }

    #[tokio::test]
    async fn what_was_submitted_is_committed_though_nobody_waits() {
        let memory = Kept::default();
        let (store, _) = Store::start(memory.clone()).unwrap();
        let mut commit = Box::pin(store.commit(note(1)));
        let _ = std::future::poll_fn(|cx| std::task::Poll::Ready(commit.as_mut().poll(cx))).await;
        drop(commit);
        store.commit(vec![]).await.unwrap();
        assert_eq!(memory.meta()["note"], "1");
    }

    #[test]
    fn who_submits_more_bytes_than_may_wait_waits() {
        let backend = Gated::new(usize::MAX);
        let (memory, gate, most) =
            (backend.memory.clone(), backend.gate.clone(), backend.most.clone());
        let closed = gate.lock().unwrap();
        let (store, _) = Store::start(backend).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let large = |i: usize, bytes| {
            vec![Change::PutMeta { name: i.to_string(), value: vec![0; bytes].into() }]
        };
        // One of them does not fit into all the room there is.
        let sizes = (0..30).map(|i| if i == 20 { QUEUE + 1 } else { 1 << 20 });
        let submit = |(i, bytes)| {
            let store = store.clone();
            runtime.spawn(async move { store.commit(large(i, bytes)).await })
        };
        let all: Vec<_> = sizes.enumerate().map(submit).collect();
        runtime.block_on(tokio::task::yield_now());
        let left = room(&store).available_permits();
        assert!(left < 2 << 20, "{left} bytes are free and somebody waits");
        drop(closed);
        runtime.block_on(async {
            for one in all {
                one.await.unwrap().unwrap();
            }
        });
        assert_eq!(memory.meta().len(), 30);
        let (most, largest) = (most.load(Ordering::SeqCst), size(&large(20, QUEUE + 1)));
        assert!((largest..=largest + GROUP_BYTES).contains(&most), "{most} in a commit");
    }

    #[tokio::test]
    async fn a_panic_in_a_commit_is_told_with_its_message() {
        let mut backend = Gated::new(0);
        backend.panics = true;
        let closed = backend.closed.clone();
        let (store, _) = Store::start(backend).unwrap();
        let failed = StoreError::Failed("panic: page 7 is not there".into());
        assert_eq!(store.commit(note(1)).await, Err(failed.clone()));
        assert_eq!(store.commit(note(2)).await, Err(failed.clone()), "and it stays so");
        assert_eq!(store.close().await, Err(failed));
        assert_eq!(closed.load(Ordering::SeqCst), 1, "it is closed none the less");
    }

    #[test]
    fn closing_commits_what_was_submitted_and_what_comes_later_is_told_that_it_is_closed() {
        let backend = Gated::new(usize::MAX);
        let (memory, gate, closed) =
            (backend.memory.clone(), backend.gate.clone(), backend.closed.clone());
        let shut = gate.lock().unwrap();
        let (store, _) = Store::start(backend).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (before, closing, after) = (store.clone(), store.clone(), store.clone());
        let before = runtime.spawn(async move { before.commit(note(1)).await });
        let closing = runtime.spawn(closing.close());
        let after = runtime.spawn(async move { after.commit(note(2)).await });
        runtime.block_on(tokio::task::yield_now());
        assert_eq!(closed.load(Ordering::SeqCst), 0);
        assert!(!closing.is_finished(), "what was submitted is not committed yet");
        drop(shut);
        runtime.block_on(async {
            assert_eq!(before.await.unwrap(), Ok(vec![]));
            assert_eq!(closing.await.unwrap(), Ok(()));
            assert_eq!(closed.load(Ordering::SeqCst), 1);
            assert_eq!(after.await.unwrap(), Err(StoreError::Closed));
            assert_eq!(store.commit(note(3)).await, Err(StoreError::Closed));
            assert_eq!(store.close().await, Ok(()), "a second time");
        });
        assert_eq!(memory.meta()["note"], "1");
    }
}
