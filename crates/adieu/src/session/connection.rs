//! The one WebSocket that a session has at a time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use adieu_session::client::{ASK_LIMIT, Input, auth};
use adieu_session::wire::{SUBPROTOCOL, close};
use tokio::time::timeout;

use super::driver::Shared;
use crate::{Client, Ending, Message, Sender, Socket};

/// What is said last on a connection that is let go may wait for room so long.
const LAST_WORD: Duration = Duration::from_secs(2);

type Asked = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// How connections are made.
#[derive(Clone, Default)]
pub(super) struct Dial {
    pub(super) url: Arc<str>,
    pub(super) client: Client,
    auth: Option<Arc<dyn Fn() -> Asked + Send + Sync>>,
}

impl Dial {
    pub(super) fn ask<F, T, E>(&mut self, auth: F)
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.auth = Some(Arc::new(move || {
            let asked = auth();
            Box::pin(async move { asked.await.map_err(|error| error.to_string()) })
        }));
    }

    /// Makes a connection; the error is for people.
    async fn connect(self, shared: Arc<Shared>, offers: Vec<String>) -> Result<Socket, String> {
        let mut client = self.client;
        for offer in offers {
            client = client.subprotocol(offer);
        }
        if let Some(ask) = self.auth {
            let asked = timeout(ASK_LIMIT, ask()).await;
            let asked = asked.unwrap_or_else(|_| Err(format!("no answer within {ASK_LIMIT:?}")));
            let credential = asked.map_err(|error| format!("auth: {error}"))?;
            if !credential.is_empty() {
                client = client.subprotocol(auth(&credential));
            }
        }
        shared.on(Input::Dialing);
        client.connect(&self.url).await.map_err(|error| error.to_string())
    }
}

/// Where the connection is.
pub(super) enum Connection {
    None,
    Dialing(Pin<Box<dyn Future<Output = Result<Socket, String>> + Send>>),
    Open(Socket, Sender),
    /// Nothing comes any more; how it ended is awaited.
    Ending(Pin<Box<dyn Future<Output = Ending> + Send>>),
}

/// What happened to it.
pub(super) enum Happened {
    Unsupported,
    Heard(Message),
    Lost { code: u16, reason: String },
}

impl Connection {
    pub(super) fn dial(dial: &Dial, shared: &Arc<Shared>, offers: Vec<String>) -> Self {
        Connection::Dialing(Box::pin(dial.clone().connect(shared.clone(), offers)))
    }

    pub(super) fn sender(&self) -> Option<&Sender> {
        match self {
            Connection::Open(_, sender) => Some(sender),
            _ => None,
        }
    }

    /// What happens next. A wait that is given up loses nothing. `reads`: whether messages are.
    pub(super) async fn next(&mut self, reads: bool) -> Happened {
        loop {
            match self {
                Connection::None => return std::future::pending().await,
                Connection::Dialing(dialing) => match dialing.await {
                    Ok(socket) if socket.subprotocol() == Some(SUBPROTOCOL) => {
                        let sender = socket.sender();
                        *self = Connection::Open(socket, sender);
                    }
                    Ok(_) => {
                        *self = Connection::None;
                        return Happened::Unsupported;
                    }
                    Err(reason) => {
                        *self = Connection::None;
                        return Happened::Lost { code: 1006, reason };
                    }
                },
                Connection::Open(..) if !reads => return std::future::pending().await,
                Connection::Open(socket, sender) => match socket.recv().await {
                    Some(message) => return Happened::Heard(message),
                    None => {
                        let sender = sender.clone();
                        *self = Connection::Ending(Box::pin(async move { sender.ended().await }));
                    }
                },
                Connection::Ending(ending) => {
                    let ending = ending.await;
                    *self = Connection::None;
                    return lost(&ending);
                }
            }
        }
    }

    /// Says Close behind what was said, and goes on.
    pub(super) fn close(&self, code: u16, reason: &str) {
        if let Some(sender) = self.sender() {
            sender.close(close(code, reason));
        }
    }

    /// Lets go of it; it is over when this is.
    pub(super) fn abandon(
        &mut self,
        last: Option<String>,
        code: u16,
        reason: &str,
    ) -> impl Future<Output = ()> + Send + use<> {
        let open = match std::mem::replace(self, Connection::None) {
            Connection::Open(socket, sender) => Some((socket, sender)),
            _ => None,
        };
        let close = close(code, reason);
        async move {
            let Some((socket, sender)) = open else { return };
            if let Some(last) = last {
                // What cannot be said in this time is said again by whoever goes on.
                let _ = timeout(LAST_WORD, sender.send(last)).await;
            }
            let _ = socket.close(close).await;
        }
    }
}

/// 1005: an empty Close, 1006: none.
fn lost(ending: &Ending) -> Happened {
    match ending.closing_handshake.received() {
        Some(close) => Happened::Lost {
            code: close.code().map_or(1005, |code| code.get()),
            reason: close.reason().to_owned(),
        },
        None => Happened::Lost { code: 1006, reason: ending.to_string() },
    }
}
