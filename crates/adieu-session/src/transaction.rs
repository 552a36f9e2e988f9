//! What comes of a command: what to commit, and what to do once that is committed.

use std::sync::Arc;

use adieu_proto::{Close, Message};
use bytes::Bytes;

use super::event::Event;
use super::transition::Transition;
use super::{Batch, Change, SessionId};

/// One connection of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Whose it is.
    pub session: SessionId,
    /// Which of its connections.
    pub generation: u32,
}

/// What to do once the changes are committed, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this on the connection, if it is still there.
    Send(Handle, Message),
    /// The same with a message that has a secret of the session in it, its token: it is never
    /// compressed, for beside text of strangers its length would tell of it (CRIME).
    SendSecret(Handle, Message),
    /// Close the connection.
    Close(Handle, Close),
    /// An event waits for the backend, behind the others of its stream.
    Deliver {
        /// What it is ordered by.
        stream: Bytes,
        /// Its number there.
        sequence: u64,
        /// The event.
        event: Arc<Event>,
    },
    /// For people to see.
    Transition(Transition),
    /// Nothing: what stood here was of a session that is not this node's any more. The places of
    /// the others stay as they are.
    LeftOut(SessionId),
}

impl Effect {
    /// Which session it is of.
    #[must_use]
    pub fn session(&self) -> SessionId {
        match self {
            Effect::Send(handle, _) | Effect::SendSecret(handle, _) | Effect::Close(handle, _) => {
                handle.session
            }
            Effect::Deliver { event, .. } => event.session_id,
            Effect::Transition(transition) => transition.session_id,
            Effect::LeftOut(session) => *session,
        }
    }
}

/// What comes of commands: all of its changes are committed, or none, and its effects after that.
/// So nothing is acknowledged, announced or answered that a crash could undo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    /// To be committed, whole.
    pub changes: Batch,
    /// To be done after that.
    pub effects: Vec<Effect>,
    /// The effects have to wait for the commit. If not, a crash that takes the changes away does no
    /// harm: they are found out anew.
    pub awaited: bool,
}

impl Transaction {
    /// The effects wait for this change.
    pub(crate) fn put(&mut self, change: Change) {
        self.awaited = true;
        self.changes.push(change);
    }

    /// What was to be done of a session is not done, and nothing of it is changed: it is not this
    /// node's any more.
    pub fn leave_out(&mut self, id: SessionId) {
        self.changes.retain(|change| change.session() != Some(id));
        let of_it = self.effects.iter_mut().filter(|effect| effect.session() == id);
        of_it.for_each(|effect| *effect = Effect::LeftOut(id));
    }

    /// The same of all sessions.
    pub fn leave_out_all(&mut self) {
        self.changes.clear();
        self.effects.iter_mut().for_each(|effect| *effect = Effect::LeftOut(effect.session()));
    }

    /// Nothing waits for this change: it is committed with others, or a moment later.
    pub(crate) fn put_later(&mut self, change: Change) {
        self.changes.push(change);
    }
}
