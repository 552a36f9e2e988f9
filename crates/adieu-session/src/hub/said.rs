//! What clients say.

use adieu_proto::Message;

use super::super::inbox::Judged;
use super::super::machine::Input;
use super::super::outbox::Unknown;
use super::super::wire::{Fault, FromClient, Payload, ToClient};
use super::super::{SessionId, Timestamp};
use super::{Data, Effect, EventType, Handle, Hub, Step};
use crate::Change;

impl Hub {
    /// A client said something. What it says wrong closes its connection, and no other.
    pub fn hear(
        &mut self,
        now: Timestamp,
        handle: Handle,
        said: Result<FromClient, Fault>,
    ) -> Step {
        let mut step = Step::default();
        // What an older connection still says counts for nothing: its client has said it again.
        if self.newest(handle).is_none() {
            return step;
        }
        match said.and_then(|said| self.said(&mut step, now, handle, said)) {
            Ok(()) => self.alive(&mut step, now, handle.session),
            Err(fault) => step.effects.push(Effect::Close(handle, fault.close())),
        }
        step
    }

    /// A client that does not speak adieu.v1 said something.
    pub fn hear_plain(
        &mut self,
        now: Timestamp,
        handle: Handle,
        said: Result<Payload, Fault>,
    ) -> Step {
        let mut step = Step::default();
        let Some(entry) = self.newest(handle) else { return step };
        match said {
            Err(fault) => step.effects.push(Effect::Close(handle, fault.close())),
            Ok(payload) => {
                // They have no numbers of their own; they are counted all the same.
                entry.row.inbox.judge(entry.row.inbox.received() + 1);
                self.message(&mut step, now, handle.session, &payload);
                self.save(&mut step, handle.session);
            }
        }
        step
    }

    fn said(
        &mut self,
        step: &mut Step,
        now: Timestamp,
        handle: Handle,
        said: FromClient,
    ) -> Result<(), Fault> {
        let id = handle.session;
        let confirm = Input::Confirm { generation: handle.generation };
        match said {
            FromClient::Message { sequence_id, payload } => {
                let Some(entry) = self.sessions.get_mut(&id) else { return Ok(()) };
                let judged = entry.row.inbox.judge(sequence_id);
                let received = entry.row.inbox.received();
                match judged {
                    Judged::Gap { expected } => {
                        return Err(Fault::Gap { expected, came: sequence_id });
                    }
                    Judged::Duplicate => {}
                    Judged::New => self.message(step, now, id, &payload),
                }
                self.input(step, now, id, confirm);
                step.effects.push(send(handle, &ToClient::SequenceAck { sequence_id: received }));
                self.save(step, id);
            }
            FromClient::SequenceAck { sequence_id } => {
                self.acknowledge_checked(step, id, sequence_id)?;
                self.input(step, now, id, confirm);
                self.save(step, id);
            }
            FromClient::Goodbye => {
                let generation = handle.generation;
                self.input(step, now, id, Input::Goodbye { generation });
            }
            FromClient::Heartbeat => {
                self.input(step, now, id, confirm);
                step.effects.push(send(handle, &ToClient::Heartbeat));
            }
            FromClient::Unknown => {}
        }
        Ok(())
    }

    fn message(&mut self, step: &mut Step, now: Timestamp, id: SessionId, payload: &Payload) {
        self.tell(step, now, id, EventType::Message, Data::from(payload));
    }

    /// Any word shows that the page lives: what was held back for it follows.
    fn alive(&mut self, step: &mut Step, now: Timestamp, id: SessionId) {
        if let Some(entry) = self.sessions.get_mut(&id) {
            let owes = entry.outbox.settled() < entry.live.wired;
            entry.live.owes_since = owes.then_some(now);
            self.flush(step, now, id);
        }
    }

    /// The client has all up to `n`.
    pub(super) fn acknowledge(&mut self, step: &mut Step, id: SessionId, n: u64) {
        let _ = self.acknowledge_checked(step, id, n);
    }

    fn acknowledge_checked(&mut self, step: &mut Step, id: SessionId, n: u64) -> Result<(), Fault> {
        let Some(entry) = self.sessions.get_mut(&id) else { return Ok(()) };
        let before = entry.outbox.settled();
        match entry.outbox.acknowledge(n) {
            Err(Unknown::Future { sent }) => return Err(Fault::Future { sent, came: n }),
            Err(Unknown::LetGo) | Ok(()) => {}
        }
        let up_to = entry.outbox.settled();
        if up_to > before {
            step.changes.push(Change::TrimMessages { id, up_to });
        }
        Ok(())
    }
}

pub(super) fn send(handle: Handle, said: &ToClient<'_>) -> Effect {
    Effect::Send(handle, Message::from(said.to_json()))
}
