//! The clients of one shutdown: what each does before the signal, and what it sees after it.

use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::clients::{self, Rate};
use crate::frame::Frame;
use crate::peer::{Ended, Peer};
use crate::probe;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Idle,
    /// Sends, waits for the answer, sends again.
    PingPong,
    /// Sends its messages right before the signal.
    Batch,
    /// Has much queued for it and reads slowly.
    Slow,
    /// Reads nothing and answers nothing, like a stopped process.
    Frozen,
}

/// What a client saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    pub(super) ended: Ended,
    /// Messages that had left before the signal and were never answered.
    pub(super) unanswered: usize,
    /// Bytes of data that were read.
    pub(super) bytes: usize,
}

/// How far the shutdown is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The clients do what they do all day.
    Load,
    /// The batch is sent now.
    Batch,
    /// The signal is on its way.
    Signalled,
    /// The result is in: the frozen ones may go.
    Over,
}

/// What all clients share.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) phase: watch::Receiver<Phase>,
    /// Each client says once that it has done what it does before the signal.
    pub(super) ready: mpsc::UnboundedSender<()>,
    pub(super) signalled: Arc<OnceLock<Instant>>,
    pub(super) deadline: Instant,
    pub(super) batch: usize,
    pub(super) queued: usize,
    pub(super) rate: Rate,
}

impl Scene {
    async fn reached(&mut self, phase: Phase) {
        // If the director is gone, nothing is waited for.
        let _ = self.phase.wait_for(|now| *now >= phase).await;
    }

    fn is_ready(&self) {
        let _ = self.ready.send(());
    }

    /// Whether something that left at this instant did so before the signal.
    fn before_the_signal(&self, left: Instant) -> bool {
        self.signalled.get().is_some_and(|signalled| left < *signalled)
    }
}

/// Starts a client on an open connection. `number` tells those of a kind apart.
pub(super) fn spawn(kind: Kind, number: usize, peer: Peer, scene: Scene) -> JoinHandle<Seen> {
    tokio::spawn(async move {
        match kind {
            Kind::Idle => idle(peer, scene).await,
            Kind::PingPong => ping_pong(peer, scene).await,
            Kind::Batch => batch(peer, scene).await,
            Kind::Slow => slow(peer, scene).await,
            Kind::Frozen => frozen(peer, scene, number % 2 == 0).await,
        }
    })
}

async fn idle(peer: Peer, scene: Scene) -> Seen {
    scene.is_ready();
    let ended = peer.hear_out(scene.deadline).await;
    Seen { kind: Kind::Idle, ended, unanswered: 0, bytes: 0 }
}

async fn ping_pong(mut peer: Peer, scene: Scene) -> Seen {
    let ping = Frame::text("ping");
    let mut waiting = None;
    let mut rounds = 0_u64;
    let close = timeout_at(scene.deadline, async {
        loop {
            peer.say(&ping);
            peer.flush().await;
            waiting = Some(Instant::now());
            let frame = peer.frame().await?;
            if frame.opcode == 0x8 {
                return Some(frame);
            }
            waiting = None;
            rounds += 1;
            if rounds == 1 {
                scene.is_ready();
            }
        }
    });
    let close = close.await.unwrap_or(None);
    let unanswered = usize::from(waiting.is_some_and(|left| scene.before_the_signal(left)));
    let ended = peer.farewell(close.as_ref(), Instant::now(), scene.deadline).await;
    Seen { kind: Kind::PingPong, ended, unanswered, bytes: 0 }
}

async fn batch(mut peer: Peer, mut scene: Scene) -> Seen {
    scene.reached(Phase::Batch).await;
    for n in 0..scene.batch {
        peer.say(&Frame::text(format!("batch {n}")));
    }
    peer.flush().await;
    scene.is_ready();
    let mut answered = 0;
    let close = timeout_at(scene.deadline, async {
        loop {
            let frame = peer.frame().await?;
            match frame.opcode {
                0x8 => return Some(frame),
                _ => answered += 1,
            }
        }
    });
    let close = close.await.unwrap_or(None);
    let unanswered = scene.batch - scene.batch.min(answered);
    let ended = peer.farewell(close.as_ref(), Instant::now(), scene.deadline).await;
    Seen { kind: Kind::Batch, ended, unanswered, bytes: 0 }
}

async fn slow(mut peer: Peer, mut scene: Scene) -> Seen {
    queue(&mut peer, &scene).await;
    scene.reached(Phase::Signalled).await;
    let (bytes, ended) = clients::slow_reader(peer, scene.rate, scene.deadline).await;
    Seen { kind: Kind::Slow, ended, unanswered: 0, bytes }
}

/// Has the server queue for it, and waits until it does.
async fn queue(peer: &mut Peer, scene: &Scene) {
    peer.say(&probe::send(scene.queued));
    peer.flush().await;
    let _ = timeout_at(scene.deadline, peer.readable()).await;
    scene.is_ready();
}

/// Half of the frozen ones stopped in the middle of a download, the others while idle.
async fn frozen(mut peer: Peer, mut scene: Scene, loaded: bool) -> Seen {
    if loaded && scene.queued > 0 {
        queue(&mut peer, &scene).await;
    } else {
        scene.is_ready();
    }
    scene.reached(Phase::Over).await;
    Seen { kind: Kind::Frozen, ended: Ended::default(), unanswered: 0, bytes: 0 }
}
