//! What waits of one session, or of one user: two lines, of which each sends one event at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::agenda::Entry;
use super::budget::Share;
use super::event::{Kind, Lane};
use super::pending::{Pending, Trouble};
use super::spell::Spell;

/// How long a lifecycle event waits behind a message that is refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) wait: Duration,
    /// Since when the gateway stops: from then on it waits for one more try of the message.
    pub(super) stops: Option<Instant>,
}

impl Patience {
    /// When this event may overtake that message, once it was refused after this time.
    fn overtakes_at(self, event: &Pending, message: &Trouble) -> Instant {
        let (came, until) = (event.came, event.came + self.wait);
        let until = self.stops.map_or(until, |stops| until.min(stops.max(came)));
        message.overtaken_at(event.not_before().max(until), self.stops.is_some())
    }
}

/// The events of one lane, in order.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) events: VecDeque<Pending>,
    /// The first is on its way.
    pub(super) in_flight: bool,
    pub(super) entry: Option<Entry>,
    /// Since when it is its turn again. A line that had one is behind those that wait for theirs,
    /// however long its next event has waited: a session that says much keeps nobody waiting.
    pub(super) turn: Option<Instant>,
}

impl Line {
    /// When its first event, this one, may be sent, for its own part.
    fn not_before(&self, first: &Pending) -> Instant {
        self.turn.map_or(first.not_before(), |turn| first.not_before().max(turn))
    }
}

/// The events that are ordered among each other.
#[derive(Debug, Default)]
pub(super) struct Stream {
    lifecycle: Line,
    messages: Line,
    /// Of how many `connection.*` among them.
    pub(super) connection_events: usize,
    pub(super) share: Share,
    pub(super) user: Option<Arc<str>>,
    /// Who waits for room.
    pub(super) room: Option<Arc<Notify>>,
}

impl Stream {
    pub(super) fn line(&self, lane: Lane) -> &Line {
        match lane {
            Lane::Lifecycle => &self.lifecycle,
            Lane::Messages => &self.messages,
        }
    }

    pub(super) fn line_mut(&mut self, lane: Lane) -> &mut Line {
        match lane {
            Lane::Lifecycle => &mut self.lifecycle,
            Lane::Messages => &mut self.messages,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let empty = self.lifecycle.events.is_empty() && self.messages.events.is_empty();
        empty && self.share.is_empty()
    }

    /// When the first event of a lane may be sent; `None`: not before something else has happened.
    ///
    /// Events go in the order of their numbers, one at a time, with one exception. A lifecycle
    /// event behind a message that was refused waits for its patience; then the message is sent
    /// once more, and if it is refused again, the lifecycle event overtakes it. So it does not wait
    /// for a message that the backend never takes, and a backend that has refused everything and
    /// is well again (after this spell) hears all in order. It does not overtake within a minute
    /// while the backend answers nothing at all: it could be the first that the backend takes.
    pub(super) fn due(
        &self,
        lane: Lane,
        patience: Patience,
        spell: Option<Spell>,
    ) -> Option<Instant> {
        let line = self.line(lane);
        let first = line.events.front().filter(|_| !line.in_flight)?;
        let other = match lane {
            Lane::Lifecycle => self.messages.events.front(),
            Lane::Messages => self.lifecycle.events.front(),
        };
        let earlier = other.filter(|other| other.sequence < first.sequence);
        match (lane, earlier) {
            (Lane::Lifecycle, None) => Some(line.not_before(first)),
            (Lane::Lifecycle, Some(message)) => {
                let trouble = message.trouble.as_ref()?;
                let at = patience.overtakes_at(first, trouble);
                trouble.is_of(at, spell).then_some(at)
            }
            (Lane::Messages, Some(_)) => None,
            (Lane::Messages, None) => {
                let behind = other.filter(|_| !self.lifecycle.in_flight);
                let again = first.trouble.as_ref().zip(behind).and_then(|(trouble, behind)| {
                    let at = patience.overtakes_at(behind, trouble);
                    (!trouble.is_of(at, spell)).then_some(at)
                });
                Some(again.map_or(line.not_before(first), |at| first.not_before().min(at)))
            }
        }
    }

    /// Takes out the oldest `connection.*` that is not on its way.
    pub(super) fn drop_connection_event(&mut self) -> Option<Pending> {
        let Line { events, in_flight, .. } = &mut self.lifecycle;
        let waiting = events.iter().enumerate().skip(usize::from(*in_flight));
        let oldest = waiting.filter(|(_, event)| event.kind == Kind::Connection).map(|(at, _)| at);
        let oldest = oldest.min()?;
        self.connection_events -= 1;
        events.remove(oldest)
    }
}
