//! A session that an engine has, which many nodes share.

use super::super::change::Message as Stored;
use super::super::command::{Adoption, Purpose};
use super::super::event::{Data, EventType};
use super::super::fence::Fence;
use super::super::inbox::Inbox;
use super::super::outbox::{Kept, Outbox};
use super::super::transaction::{Effect, Handle, Transaction};
use super::super::transition::TransitionKind;
use super::super::wait::Departure;
use super::super::{SessionId, Timestamp};
use super::row::Live;
use super::{Aggregate, Context, Counters, Dirty};

/// What became of messages that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The session has all of them.
    Done,
    /// Those from this number on have to come first.
    Behind(u64),
}

impl Aggregate {
    /// As the engine has it, for the node that has claimed it.
    pub(crate) fn adopted(id: SessionId, adoption: Adoption, now: Timestamp) -> (Self, Purpose) {
        let Adoption { row, counters, fence, messages, purpose } = adoption;
        let Counters { received, sent, events, settled } = counters;
        let kept = messages.into_iter().map(|kept| Kept { at: now, ..kept });
        let outbox = Outbox::restore(sent, settled, kept);
        let (inbox, live) = (Inbox::restore(received), Live::default());
        let (keys, dirty, epoch) = (Default::default(), Dirty::Nothing, fence.epoch);
        let new = Aggregate { id, row, inbox, events, outbox, keys, live, dirty, fence, epoch };
        (new, purpose)
    }

    /// The claim has attached it to a new connection: all that the client lacks follows.
    pub(crate) fn attached_elsewhere(
        &mut self,
        context: &Context<'_>,
        received: u64,
        after: Option<Departure>,
        tx: &mut Transaction,
    ) -> Handle {
        self.live = Live { wired: received, ..Live::default() };
        let handle = self.newest();
        tx.effects.push(self.connected(context, true, None));
        let replayed = self.flush(context, tx);
        if context.settings.tell_connections && after.is_some() {
            self.tell(context, EventType::ConnectionResumed, Data::Resumed, tx);
        }
        let kind = TransitionKind::Resumed { generation: handle.generation, after, replayed };
        self.transition(context, kind, tx);
        handle
    }

    /// Messages that the engine keeps, from this number on.
    pub(crate) fn arrived(
        &mut self,
        context: &Context<'_>,
        first: u64,
        messages: Vec<Stored>,
        tx: &mut Transaction,
    ) -> Arrival {
        if first > self.outbox.sent() + 1 {
            return Arrival::Behind(self.outbox.sent() + 1);
        }
        for (number, message) in (first..).zip(messages) {
            if number <= self.outbox.sent() {
                continue;
            }
            let Stored { tag, key, tail } = message;
            if self.row.plain {
                // It gets the message once or not at all.
                self.outbox.count();
                if let Some(plain) = tail.plain() {
                    tx.effects.push(Effect::Send(self.newest(), plain));
                }
                continue;
            }
            let kept = Kept { at: context.now, tag, key, tail };
            self.outbox.push(kept, &context.settings.outbox);
        }
        self.flush(context, tx);
        Arrival::Done
    }

    /// Which write of it was the last, and the number of the last message that it knows.
    pub(crate) fn claim(&self) -> (SessionId, Fence, u64) {
        (self.id, self.fence, self.outbox.sent())
    }

    /// By what an event is told from another of the same number, which an engine may give out
    /// twice that has lost writes: no two histories have the same last write.
    pub(crate) fn salt(&self, context: &Context<'_>) -> Option<u64> {
        context.settings.shared.then_some(self.fence.nonce)
    }
}
