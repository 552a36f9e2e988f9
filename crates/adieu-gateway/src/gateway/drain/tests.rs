//! A drain over a store that commits when the test says so, in time that the test moves on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use super::*;
use crate::gateway::Options;
use crate::session::shard::IN_ONE_TURN;
use crate::session::{Batch, Change, Contents, Slot};
use crate::store::{Backend, Refusals, StoreError};

/// Commits once for each step that it is given, and as it likes when nobody gives any more.
struct Stepping {
    asked: Arc<AtomicUsize>,
    steps: Receiver<()>,
    written: Arc<Mutex<Vec<SessionId>>>,
}

impl Backend for Stepping {
    fn load(&self) -> Result<Contents, StoreError> {
        Ok(Contents::default())
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<Vec<Refusals>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _ = self.steps.recv();
        let changes = batches.iter().flatten();
        self.written.lock().unwrap().extend(changes.filter_map(|change| match change {
            Change::PutSession { id, .. } => Some(*id),
            _ => None,
        }));
        Ok(Vec::new())
    }
}

/// A gateway of two shards, with time that stands still but for the test.
struct Stepped {
    gateway: Gateway,
    asked: Arc<AtomicUsize>,
    step: SyncSender<()>,
    written: Arc<Mutex<Vec<SessionId>>>,
    answered: usize,
    /// While a thread is waited for, time does not go on by itself.
    _still: std::sync::mpsc::Sender<()>,
}

impl Stepped {
    /// With so many sessions in each shard that clients have.
    async fn start(sessions: usize) -> Self {
        let (still, held) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        let (step, steps) = sync_channel(0);
        let (asked, written) = <(Arc<AtomicUsize>, Arc<Mutex<_>>)>::default();
        let store = Stepping { asked: asked.clone(), steps, written: written.clone() };
        let options = Options { shards: 2, ..Options::default() };
        let starting = tokio::spawn(Gateway::start(store, options));
        let mut answered = 0;
        let gateway = step_until(starting, &asked, &step, &mut answered, Duration::ZERO).await;
        let gateway = gateway.unwrap();
        let mut this = Stepped { gateway, asked, step, written, answered, _still: still };
        let of_slot = |slot| (0..sessions as u128).map(move |n| (Slot::new(slot), n));
        let all = of_slot(0).chain(of_slot(1023));
        let start = |(slot, n): (_, u128)| {
            Command::Start(SessionId::in_slot(slot, n.to_be_bytes()), Box::default())
        };
        let (all, gateway) = (all.map(start).collect(), this.gateway.clone());
        let started = tokio::spawn(async move { gateway.commands(all).await });
        this.step_until(started, Duration::ZERO).await.unwrap();
        this.written.lock().unwrap().clear();
        this
    }

    fn drain(&self) -> JoinHandle<Result<usize, GatewayError>> {
        let gateway = self.gateway.clone();
        tokio::spawn(async move { gateway.tell_closing().await })
    }

    async fn step_until<T>(&mut self, done: JoinHandle<T>, each: Duration) -> T {
        step_until(done, &self.asked, &self.step, &mut self.answered, each).await
    }
}

/// Lets the store commit until this is done, each time after so long.
async fn step_until<T>(
    done: JoinHandle<T>,
    asked: &AtomicUsize,
    step: &SyncSender<()>,
    answered: &mut usize,
    each: Duration,
) -> T {
    while !done.is_finished() {
        if asked.load(Ordering::SeqCst) > *answered {
            tokio::time::advance(each).await;
            step.send(()).unwrap();
            *answered += 1;
        }
        tokio::task::yield_now().await;
    }
    done.await.unwrap()
}

/// A slow store, which goes on.
const SLOW: Duration = PROMISES_STALLED.checked_div(2).unwrap();

#[tokio::test(start_paused = true)]
async fn a_drain_of_many_sessions_on_a_slow_store_tells_all_shards_from_the_first_commit_on() {
    let parts = 6;
    let many = parts * IN_ONE_TURN;
    let mut stepped = Stepped::start(many).await;
    let began = Instant::now();
    let drain = stepped.drain();
    let told = stepped.step_until(drain, SLOW).await;
    assert_eq!(told, Ok(2 * many));
    assert!(began.elapsed() > 2 * PROMISES_STALLED, "{:?}", began.elapsed());
    let written = stepped.written.lock().unwrap();
    let is_of = |shard| move |id: &SessionId| id.slot().shard(2) == shard;
    let last_of_the_first = written.iter().rposition(is_of(0));
    assert!(written.iter().position(is_of(1)) < last_of_the_first, "not one after the other");
}

#[tokio::test(start_paused = true)]
async fn a_drain_over_a_store_that_hangs_is_given_up() {
    let stepped = Stepped::start(1).await;
    let drain = stepped.drain();
    while stepped.asked.load(Ordering::SeqCst) == stepped.answered {
        tokio::task::yield_now().await;
    }
    while !drain.is_finished() {
        tokio::time::advance(SLOW).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(drain.await.unwrap(), Err(GatewayError::Stuck));
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_would_outlast_the_patience_of_an_orchestrator_is_given_up() {
    let parts = 2 * PROMISES_IN_ALL.as_secs() as usize;
    let mut stepped = Stepped::start(parts * IN_ONE_TURN).await;
    let drain = stepped.drain();
    let told = stepped.step_until(drain, SLOW).await;
    assert_eq!(told, Err(GatewayError::TooSlow));
}
