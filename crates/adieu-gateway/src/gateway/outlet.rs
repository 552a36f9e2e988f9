//! The way to one client. What its connection does not take at once waits here, within a limit.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use adieu::{Close, CloseCode, Message, Sender};
use tokio::task::coop;

/// What may wait for a connection that takes nothing: a replay of all that a session keeps, twice.
/// Beyond it the client is too slow, and has to come back for what is still kept.
const MAX_MESSAGES: usize = 2_000;
const MAX_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Outlet {
    sender: Sender,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
    /// A task sends what waits.
    pumped: bool,
    /// Said behind what waits.
    close: Option<Close>,
}

impl Outlet {
    pub(super) fn new(sender: Sender) -> Self {
        Outlet { sender, waiting: Arc::default() }
    }

    /// Sends a message behind those before it, without waiting.
    pub(super) fn send(&self, message: Message) {
        let mut waiting = lock(&self.waiting);
        if !waiting.pumped {
            let mut cx = Context::from_waker(Waker::noop());
            // However much the engine has sent in this turn: a budget that is used up says nothing
            // of this connection.
            let sent = coop::unconstrained(self.sender.send(message.clone()));
            // Taken, or the connection is closing: both settle it.
            if pin!(sent).poll(&mut cx) != Poll::Pending {
                return;
            }
            waiting.pumped = true;
            tokio::spawn(pump(self.sender.clone(), self.waiting.clone()));
        }
        waiting.bytes += message.len();
        waiting.messages.push_back(message);
        if waiting.messages.len() > MAX_MESSAGES || waiting.bytes > MAX_BYTES {
            let code = CloseCode::POLICY_VIOLATION;
            let close = Close::new(code, "too much waits for this client");
            self.sender.close(close.unwrap_or_else(|_| code.into()));
            (waiting.messages, waiting.bytes) = Default::default();
        }
    }

    /// Closes the connection, behind what waits: that was taken before.
    pub(super) fn close(&self, close: Close) {
        let mut waiting = lock(&self.waiting);
        if waiting.pumped {
            waiting.close.get_or_insert(close);
        } else {
            self.sender.close(close);
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends what waits, one after the other, as the connection takes it.
async fn pump(sender: Sender, waiting: Arc<Mutex<Waiting>>) {
    loop {
        let next = {
            let mut waiting = lock(&waiting);
            let next = waiting.messages.pop_front();
            waiting.bytes -= next.as_ref().map_or(0, Message::len);
            waiting.pumped = next.is_some();
            next
        };
        let Some(message) = next else {
            if let Some(close) = lock(&waiting).close.take() {
                sender.close(close);
            }
            return;
        };
        if sender.send(message).await.is_err() {
            let mut waiting = lock(&waiting);
            *waiting = Waiting::default();
            return;
        }
    }
}
