//! Many clients at once, and what several checks let them do.

use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::frame::Frame;
use super::peer::{Ended, OpenError, Peer};
use super::probe;
use super::target::Target;

/// Handshakes under way at once: a burst, and no flood that a short accept queue would drop.
const AT_ONCE: usize = 50;

/// How fast a slow reader reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) bytes_per_second: u32,
    /// Bytes of one read.
    pub(crate) read: usize,
}

impl Rate {
    /// How long so many bytes take.
    pub(crate) fn needs(self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / f64::from(self.bytes_per_second))
    }
}

/// Opens so many WebSockets; an error says what came instead.
pub(crate) async fn open(
    target: &Target,
    clients: usize,
    receive_buffer: Option<u32>,
) -> Result<Vec<Peer>, String> {
    let mut opening: JoinSet<Result<Peer, OpenError>> = JoinSet::new();
    let mut peers = Vec::with_capacity(clients);
    let mut begun = 0;
    while peers.len() < clients {
        while begun < clients && opening.len() < AT_ONCE {
            let target = target.clone();
            opening.spawn(async move { Peer::open_with(&target, receive_buffer).await });
            begun += 1;
        }
        match opening.join_next().await {
            Some(Ok(Ok(peer))) => peers.push(peer),
            Some(Ok(Err(error))) => {
                let why = probe::explain(target, error);
                return Err(format!("client {} of {clients} did not get in: {why}", peers.len()));
            }
            Some(Err(_)) | None => return Err("a client could not be run".to_owned()),
        }
    }
    Ok(peers)
}

/// What all tasks gave.
pub(crate) async fn join<T>(tasks: impl Iterator<Item = JoinHandle<T>>) -> Vec<T> {
    let tasks: Vec<_> = tasks.collect();
    let mut all = Vec::with_capacity(tasks.len());
    for task in tasks {
        match task.await {
            Ok(done) => all.push(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
    all
}

/// Reads at this rate up to the Close, and hears the end out. Gives the bytes of data with it.
pub(crate) async fn slow_reader(mut peer: Peer, rate: Rate, deadline: Instant) -> (usize, Ended) {
    let mut bytes = 0;
    let mut tick = interval(rate.needs(rate.read));
    // A reader that was held up catches up: its rate is kept on average.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let close = timeout_at(deadline, async {
        loop {
            while let Some(frame) = peer.frame_here() {
                match frame.opcode {
                    0x8 => return Some(frame),
                    0x0 | 0x2 => bytes += frame.payload.len(),
                    0x9 => peer.say(&Frame::pong(&frame.payload)),
                    _ => {}
                }
            }
            peer.end().is_none().then_some(())?;
            if peer.unwritten() > 0 {
                peer.flush().await;
            }
            tick.tick().await;
            peer.sip(rate.read).await;
        }
    });
    let close = close.await.unwrap_or(None);
    (bytes, peer.farewell(close.as_ref(), Instant::now(), deadline).await)
}
