//! Group commit: one thread writes, and what is submitted while it does goes into the next commit
//! together.

use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::{Backend, Batch, Contents, StoreError};

/// Batches that wait for their commit at most; who submits one more waits. A commit takes some
/// milliseconds, so this is what several thousand callers a second have under way.
const QUEUE: usize = 4096;

/// Batches in one commit at most: what waits behind it should not wait for long.
const GROUP: usize = 1024;

type Waiting = (Batch, oneshot::Sender<Result<(), StoreError>>);

/// The way to a store. A clone shares it; when the last is gone, what was submitted is committed
/// and the store is closed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), adieu_gateway::store::StoreError> {
/// use adieu_gateway::store::{Change, Memory, Store};
///
/// let (store, contents) = Store::start(Memory::default())?;
/// assert!(contents.sessions.is_empty());
/// let change = Change::PutMeta { name: "greeting".into(), value: "hello".into() };
/// store.commit(vec![change]).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Store(mpsc::Sender<Waiting>);

impl Store {
    /// Reads what is there, and starts the thread that writes.
    ///
    /// # Errors
    /// If it cannot be read, or no thread be started.
    pub fn start(backend: impl Backend) -> Result<(Self, Contents), StoreError> {
        let contents = backend.load()?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name("adieu-store".into())
            .spawn(move || write(backend, receiver))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok((Store(sender), contents))
    }

    /// Commits a batch; ready when it is durable. Batches of one caller that are submitted in order
    /// are committed in order. A batch is committed even if nobody waits for it any more.
    ///
    /// # Errors
    /// [`StoreError::Failed`], for this batch and for all after it.
    pub async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let (tell, told) = oneshot::channel();
        self.0.send((batch, tell)).await.map_err(|_| StoreError::Closed)?;
        told.await.map_err(|_| StoreError::Closed)?
    }
}

fn write(mut backend: impl Backend, mut receiver: mpsc::Receiver<Waiting>) {
    let mut failed = Ok(());
    while let Some(first) = receiver.blocking_recv() {
        let mut waiting = vec![first];
        while waiting.len() < GROUP
            && let Ok(next) = receiver.try_recv()
        {
            waiting.push(next);
        }
        let (batches, tell): (Vec<Batch>, Vec<_>) = waiting.into_iter().unzip();
        // After one that failed the disk holds nobody knows what: nothing is said to be safe.
        if failed.is_ok() {
            failed = backend.commit(&batches);
        }
        for tell in tell {
            // Who has gone away does not want to know.
            let _ = tell.send(failed.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard};

    use super::super::{Change, Memory};
    use super::*;

    fn note(value: usize) -> Batch {
        vec![Change::PutMeta { name: "note".into(), value: value.to_string().into() }]
    }

    /// Commits while nobody holds the gate, and fails from one of its commits on.
    struct Gated {
        memory: Memory,
        gate: Arc<Mutex<()>>,
        commits: Arc<AtomicUsize>,
        fails_from: usize,
    }

    impl Gated {
        fn new(fails_from: usize) -> Self {
            let (memory, gate, commits) = Default::default();
            Gated { memory, gate, commits, fails_from }
        }
    }

    impl Backend for Gated {
        fn load(&self) -> Result<Contents, StoreError> {
            self.memory.load()
        }

        fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
            let _open: MutexGuard<'_, ()> = self.gate.lock().unwrap();
            if self.commits.fetch_add(1, Ordering::SeqCst) >= self.fails_from {
                return Err(StoreError::Failed("no space left on device".into()));
            }
            self.memory.commit(batches)
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
        // Each of them runs until it waits for its commit.
        runtime.block_on(tokio::task::yield_now());
        drop(closed);
        runtime.block_on(async {
            for one in all {
                one.await.unwrap().unwrap();
            }
        });
        // The first alone, or with some that had come by then; the rest together.
        assert!((1..=2).contains(&commits.load(Ordering::SeqCst)), "{commits:?}");
        assert_eq!(memory.load().unwrap().meta["note"], "100", "in order");
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
        assert_eq!(memory.load().unwrap().meta["note"], "1");
    }

    #[tokio::test]
    async fn what_was_submitted_is_committed_though_nobody_waits() {
        let memory = Memory::default();
        let (store, _) = Store::start(memory.clone()).unwrap();
        let mut commit = Box::pin(store.commit(note(1)));
        let _ = std::future::poll_fn(|cx| std::task::Poll::Ready(commit.as_mut().poll(cx))).await;
        drop(commit);
        store.commit(vec![]).await.unwrap();
        assert_eq!(memory.load().unwrap().meta["note"], "1");
    }
}
