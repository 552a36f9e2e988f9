//! The way to the clients: tasks beside the engine, so that no socket and no TLS of a client takes
//! the time in which the sessions of others could go on. All that is said on one connection is
//! said by one of them, in order.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use adieu::{Close, CloseCode, Closed, Message, Sender};
use tokio::sync::{mpsc, oneshot};
use tokio::task::coop;

use crate::random::a_share_of;
use crate::session::wire::ToClient;
use crate::session::{Handle, SessionId};

/// What may wait for a connection that takes nothing: a replay of all that a session keeps, twice.
/// Beyond it the client is too slow, and has to come back for what is still kept.
const MAX_MESSAGES: usize = 2_000;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Turns of the engines whose words wait for a writer at most; an engine that is further ahead
/// waits.
const TURNS: usize = 64;

/// Something to do on a connection.
#[derive(Debug)]
pub(super) enum Said {
    /// It has a session: what follows is sent on it.
    Attach(Handle, Sender),
    Send(Handle, Message),
    /// The same with a secret in it, which is not compressed.
    SendSecret(Handle, Message),
    Close(Handle, Close),
    /// It has ended.
    Detach(Handle),
    /// All clients are told to come back, each after a time of its own up to this one, and closed.
    SendAway(Duration, Close),
    /// Which connection is the newest of this session?
    Find(SessionId, oneshot::Sender<Option<Sender>>),
    /// All that was to be said before this has been given to the connections.
    Flushed(oneshot::Sender<()>),
}

impl Said {
    /// Which of so many writers says it.
    fn writer(&self, writers: usize) -> usize {
        let session = match self {
            Said::Attach(handle, _)
            | Said::Send(handle, _)
            | Said::SendSecret(handle, _)
            | Said::Close(handle, _)
            | Said::Detach(handle) => handle.session,
            Said::Find(session, _) => *session,
            Said::Flushed(_) | Said::SendAway(..) => return 0,
        };
        let bytes = session.to_bytes();
        usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) % writers
    }
}

/// The writers. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Writers(Arc<[mpsc::Sender<Vec<Said>>]>);

impl Writers {
    /// Starts so many.
    pub(super) fn start(count: usize) -> Self {
        let start = |_| {
            let (queue, said) = mpsc::channel(TURNS);
            tokio::spawn(write(said));
            queue
        };
        Writers((0..count.max(1)).map(start).collect())
    }

    /// Says all of it, that of one connection in order. Ready when there is room for it.
    pub(super) async fn say(&self, mut said: Vec<Said>) {
        if said.is_empty() {
            return;
        }
        if let [only] = &*self.0 {
            return drop(only.send(said).await);
        }
        let mut parts: Vec<Vec<Said>> = self.0.iter().map(|_| Vec::new()).collect();
        for said in said.drain(..) {
            parts[said.writer(self.0.len())].push(said);
        }
        for (writer, part) in self.0.iter().zip(parts) {
            if !part.is_empty() {
                // A writer ends with the last engine.
                let _ = writer.send(part).await;
            }
        }
    }
}

impl Writers {
    /// Tells all clients to come back, each after a time of its own up to this one.
    pub(super) async fn send_away(&self, window: Duration, close: &Close) {
        for writer in &*self.0 {
            let _ = writer.send(vec![Said::SendAway(window, close.clone())]).await;
        }
    }

    /// Ready when all that was said before has been given to the connections, or waits in the
    /// order of each.
    pub(super) async fn flush(&self) {
        for writer in &*self.0 {
            let (tell, told) = oneshot::channel();
            if writer.send(vec![Said::Flushed(tell)]).await.is_ok() {
                let _ = told.await;
            }
        }
    }
}

async fn write(mut said: mpsc::Receiver<Vec<Said>>) {
    let mut clients: HashMap<Handle, ClientWriter> = HashMap::new();
    while let Some(said) = said.recv().await {
        for said in said {
            match said {
                Said::Attach(handle, sender) => {
                    clients.insert(handle, ClientWriter { sender, waiting: None });
                }
                Said::Send(handle, message) => {
                    if let Some(client) = clients.get_mut(&handle) {
                        client.send(Outgoing::Message(message));
                    }
                }
                Said::SendSecret(handle, message) => {
                    if let Some(client) = clients.get_mut(&handle) {
                        client.send(Outgoing::Secret(message));
                    }
                }
                Said::Close(handle, close) => {
                    if let Some(client) = clients.get(&handle) {
                        client.close(close);
                    }
                }
                Said::Detach(handle) => {
                    clients.remove(&handle);
                }
                Said::Find(session, tell) => {
                    let its = clients.iter().filter(|(handle, _)| handle.session == session);
                    let newest = its.max_by_key(|(handle, _)| handle.generation);
                    let _ = tell.send(newest.map(|(_, client)| client.sender.clone()));
                }
                Said::Flushed(tell) => {
                    let _ = tell.send(());
                }
                Said::SendAway(window, close) => {
                    for client in clients.values_mut() {
                        let retry_after = a_share_of(window).as_millis() as u64;
                        let closing = ToClient::Closing { retry_after };
                        client.send(Outgoing::Message(Message::from(closing.to_json())));
                        client.close(close.clone());
                    }
                }
            }
            coop::consume_budget().await;
        }
    }
}

/// A message for one client.
#[derive(Clone, Debug, PartialEq)]
enum Outgoing {
    Message(Message),
    /// It has the token of the session in it.
    Secret(Message),
}

impl Outgoing {
    fn len(&self) -> usize {
        match self {
            Outgoing::Message(message) | Outgoing::Secret(message) => message.len(),
        }
    }

    async fn send(self, sender: &Sender) -> Result<(), Closed> {
        match self {
            Outgoing::Message(message) => sender.send(message).await,
            Outgoing::Secret(message) => sender.send_uncompressed(message).await,
        }
    }
}

/// The way to one client. What its connection does not take at once waits here, within a limit.
#[derive(Debug)]
struct ClientWriter {
    sender: Sender,
    /// Made when something begins to wait.
    waiting: Option<Arc<Mutex<Waiting>>>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    /// A task sends what waits.
    pumped: bool,
    /// Said behind what waits.
    close: Option<Close>,
}

impl Waiting {
    /// The next message. If there is none: what is said behind the last, and the room that the
    /// messages took is given back.
    fn next(&mut self) -> Result<Outgoing, Option<Close>> {
        let Some(message) = self.messages.pop_front() else {
            return Err(std::mem::take(self).close);
        };
        self.bytes -= message.len();
        Ok(message)
    }
}

impl ClientWriter {
    /// Sends a message behind those before it, without waiting.
    fn send(&mut self, message: Outgoing) {
        let pumped = self.waiting.as_ref().is_some_and(|waiting| lock(waiting).pumped);
        if !pumped {
            let mut cx = Context::from_waker(Waker::noop());
            // However much the writer has sent in this turn: a budget that is used up says nothing
            // of this connection.
            let sent = coop::unconstrained(message.clone().send(&self.sender));
            // Taken, or the connection is closing: both settle it.
            if pin!(sent).poll(&mut cx) != Poll::Pending {
                // Nothing waits: an idle connection keeps no room for it.
                self.waiting = None;
                return;
            }
        }
        let all = self.waiting.get_or_insert_default();
        let mut waiting = lock(all);
        waiting.bytes += message.len();
        waiting.messages.push_back(message);
        if !std::mem::replace(&mut waiting.pumped, true) {
            tokio::spawn(pump(self.sender.clone(), all.clone()));
        }
        if waiting.messages.len() > MAX_MESSAGES || waiting.bytes > MAX_BYTES {
            let code = CloseCode::POLICY_VIOLATION;
            let close = Close::new(code, "too much waits for this client");
            self.sender.close(close.unwrap_or_else(|_| code.into()));
            (waiting.messages, waiting.bytes) = Default::default();
        }
    }

    /// Closes the connection, behind what waits: that was taken before.
    fn close(&self, close: Close) {
        let Some(waiting) = &self.waiting else { return self.sender.close(close) };
        let mut waiting = lock(waiting);
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
        let next = lock(&waiting).next();
        let message = match next {
            Ok(message) => message,
            Err(close) => return close.into_iter().for_each(|close| sender.close(close)),
        };
        if message.send(&sender).await.is_err() {
            let mut waiting = lock(&waiting);
            *waiting = Waiting::default();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_for_a_connection_leaves_no_room_behind_once_it_was_sent() {
        let mut waiting = Waiting { pumped: true, ..Waiting::default() };
        for _ in 0..MAX_MESSAGES {
            let message = Outgoing::Message("a".into());
            waiting.bytes += message.len();
            waiting.messages.push_back(message);
        }
        waiting.close = Some(CloseCode::NORMAL.into());
        for _ in 0..MAX_MESSAGES {
            assert_eq!(waiting.next(), Ok(Outgoing::Message("a".into())));
        }
        assert_eq!(waiting.next(), Err(Some(CloseCode::NORMAL.into())), "behind the last");
        let Waiting { messages, bytes, pumped, close } = waiting;
        assert_eq!((messages.capacity(), bytes, pumped, close), (0, 0, false, None));
    }
}
