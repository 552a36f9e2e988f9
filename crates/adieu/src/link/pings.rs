//! Pings that wait for their Pong, and the tasks that wait for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use adieu_proto::{Scratch, UsageError};
use tokio::sync::oneshot;

use crate::link::state::State;
use crate::link::wakes::Wakes;
use crate::now;
use crate::socket::RoundTrip;
use crate::transport::Transport;

/// The Pings of the application under way: no more than the protocol sends
/// ([`MAX_PINGS`](crate::defaults::MAX_PINGS)).
#[derive(Default)]
pub(super) struct Pings {
    waiting: VecDeque<Waiting>,
    /// How long the latest took that was answered.
    pub(super) took: Option<Duration>,
}

struct Waiting {
    number: u64,
    asked: Instant,
    tell: oneshot::Sender<Duration>,
}

/// What is to be told to those who wait, where no lock is held: their wakers are code of others.
#[must_use = "tasks wait for it"]
pub(super) struct Answers {
    done: Vec<Waiting>,
    /// When the Pong came; `None` if none will.
    at: Option<Instant>,
}

impl Answers {
    /// Tells them.
    pub(super) fn tell(self) {
        for Waiting { asked, tell, .. } in self.done {
            // Without a Pong `tell` is dropped: that says that none will come.
            if let Some(at) = self.at {
                let _ = tell.send(at.saturating_duration_since(asked));
            }
        }
    }
}

impl Pings {
    /// A Ping is on its way.
    pub(super) fn asked(&mut self, number: u64, asked: Instant) -> oneshot::Receiver<Duration> {
        let (tell, answer) = oneshot::channel();
        self.waiting.push_back(Waiting { number, asked, tell });
        answer
    }

    /// Those up to this number are answered.
    pub(super) fn answered(&mut self, number: u64, at: Instant) -> Answers {
        let n = self.waiting.partition_point(|waiting| waiting.number <= number);
        let done: Vec<_> = self.waiting.drain(..n).collect();
        if let Some(latest) = done.last() {
            self.took = Some(at.saturating_duration_since(latest.asked));
        }
        Answers { done, at: Some(at) }
    }

    /// Whether a task waits for a Pong.
    pub(super) fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// No Pong will come any more.
    pub(super) fn given_up(&mut self) -> Answers {
        Answers { done: self.waiting.drain(..).collect(), at: None }
    }
}

impl State {
    /// Sends a Ping. Gives what will hear how long its Pong took, and how long to wait for that.
    pub(super) fn ping(
        &mut self,
        scratch: &mut Scratch,
        wakes: &mut Wakes,
    ) -> Result<(oneshot::Receiver<Duration>, Duration), UsageError> {
        let next_look = self.connection.status().timeout();
        let number = self.connection.ping(scratch)?;
        let answer = self.rare.get_or_insert_default().pings.asked(number, now());
        if !self.polling {
            self.write_now(next_look, scratch, wakes);
        }
        Ok((answer, self.connection.status().config().pong_timeout))
    }

    /// How long it takes to the peer and back.
    pub(super) fn round_trip(&self) -> RoundTrip {
        let transport = match &self.ending {
            Some(ending) => ending.round_trip,
            None => self.transport.evidence().map(|evidence| evidence.round_trip),
        };
        let pong = self.rare.as_ref().and_then(|rare| rare.pings.took);
        RoundTrip { pong, transport: transport.filter(|time| !time.is_zero()) }
    }
}
