//! What clients say.

use adieu_proto::Message;

use super::super::inbox::Verdict;
use super::super::machine::Input;
use super::super::outbox::Unknown;
use super::super::transaction::{Effect, Handle, Transaction};
use super::super::wire::{Fault, FromClient, Payload, ToClient};
use super::super::{Change, event};
use super::{Aggregate, Context, Dirty};
use event::{Data, EventType};

impl Aggregate {
    /// The client said something on a connection. What it says wrong closes that connection alone.
    pub(crate) fn hear(
        &mut self,
        context: &Context<'_>,
        generation: u32,
        said: Result<FromClient, Fault>,
        tx: &mut Transaction,
    ) {
        // What an older connection still says counts for nothing: its client has said it again.
        if !self.is_newest(generation) {
            return;
        }
        let handle = self.newest();
        match said.and_then(|said| self.said(context, said, tx)) {
            Ok(()) => self.alive(context, tx),
            Err(fault) => tx.effects.push(Effect::Close(handle, fault.close())),
        }
    }

    /// A client that does not speak adieu.v1 said something.
    pub(crate) fn hear_plain(
        &mut self,
        context: &Context<'_>,
        generation: u32,
        said: Result<Payload, Fault>,
        tx: &mut Transaction,
    ) {
        if !self.is_newest(generation) {
            return;
        }
        match said {
            Err(fault) => tx.effects.push(Effect::Close(self.newest(), fault.close())),
            Ok(payload) => {
                // They have no numbers of their own; they are counted all the same.
                self.inbox.judge(self.inbox.received() + 1);
                self.message(context, payload, tx);
                self.counted();
            }
        }
    }

    fn said(
        &mut self,
        context: &Context<'_>,
        said: FromClient,
        tx: &mut Transaction,
    ) -> Result<(), Fault> {
        let handle = self.newest();
        match said {
            FromClient::Message { sequence_id, payload } => {
                match self.inbox.judge(sequence_id) {
                    Verdict::Gap { expected } => {
                        return Err(Fault::Gap { expected, came: sequence_id });
                    }
                    Verdict::Duplicate => {}
                    Verdict::New => {
                        self.message(context, payload, tx);
                        self.counted();
                    }
                }
                self.confirm(context, tx);
                let sequence_id = self.inbox.received();
                tx.effects.push(send(handle, &ToClient::SequenceAck { sequence_id }));
            }
            FromClient::SequenceAck { sequence_id } => {
                self.acknowledge_checked(sequence_id, tx)?;
                self.confirm(context, tx);
            }
            FromClient::Goodbye => {
                let generation = handle.generation;
                self.input(context, Input::Goodbye { generation }, tx);
            }
            FromClient::Heartbeat => {
                self.confirm(context, tx);
                tx.effects.push(send(handle, &ToClient::Heartbeat));
            }
            FromClient::Loaded { ms } => {
                self.live.load_ms = u32::try_from(ms).unwrap_or(u32::MAX);
                self.confirm(context, tx);
            }
            FromClient::Unknown => {}
        }
        Ok(())
    }

    fn message(&mut self, context: &Context<'_>, payload: Payload, tx: &mut Transaction) {
        self.tell(context, EventType::Message, Data::from(payload), tx);
    }

    /// The client has heard of its session, and holds the token of this connection.
    fn confirm(&mut self, context: &Context<'_>, tx: &mut Transaction) {
        if self.row.first.take().is_some() {
            self.dirty = Dirty::Row;
        }
        let generation = self.row.session.generation();
        self.input(context, Input::Confirm { generation }, tx);
    }

    /// Any word shows that the page lives: what was held back for it follows.
    fn alive(&mut self, context: &Context<'_>, tx: &mut Transaction) {
        let owes = self.outbox.settled() < self.live.wired;
        self.live.owes_since = owes.then_some(context.now);
        self.flush(context, tx);
    }

    /// The client has all up to `n`.
    pub(super) fn acknowledge(&mut self, n: u64, tx: &mut Transaction) {
        let _ = self.acknowledge_checked(n, tx);
    }

    fn acknowledge_checked(&mut self, n: u64, tx: &mut Transaction) -> Result<(), Fault> {
        let before = self.outbox.settled();
        match self.outbox.acknowledge(n) {
            Err(Unknown::Future { sent }) => return Err(Fault::Future { sent, came: n }),
            Err(Unknown::LetGo) | Ok(()) => {}
        }
        // What the client has it says again.
        self.trimmed(before, tx);
        Ok(())
    }

    /// Lets go of messages that its client has not acknowledged in time.
    pub(crate) fn let_go_of_old(&mut self, context: &Context<'_>, tx: &mut Transaction) {
        let before = self.outbox.settled();
        self.outbox.let_go_of_old(context.now, context.settings.outbox.age);
        self.trimmed(before, tx);
    }

    /// Nothing waits for it: a message that is there again after a crash goes once more.
    fn trimmed(&mut self, before: u64, tx: &mut Transaction) {
        let (id, up_to) = (self.id, self.outbox.settled());
        if up_to > before {
            let tag = self.outbox.settled_tag();
            tx.put_later(Change::TrimMessages { id, up_to, tag });
            self.counted_later();
        }
    }
}

pub(super) fn send(handle: Handle, said: &ToClient<'_>) -> Effect {
    Effect::Send(handle, Message::from(said.to_json()))
}
