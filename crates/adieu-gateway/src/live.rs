//! The page's own WebSocket: tells what happens, does what its buttons ask. A client that is no
//! page (it names no tab) gets an echo.

use std::sync::Arc;

use crate::gateway::{Gateway, Sessions};
use adieu::{Close, CloseCode, Closed, Message, Socket, Utf8Bytes};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::account::{self, Endings};
use crate::accounts::Accounts;

/// What a page may ask for.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Ask {
    /// Say this back.
    Say { text: String },
    /// Close me: with this code, or by returning from the handler.
    CloseMe { code: Option<u16>, reason: Option<String> },
}

/// What a page is told beside the news.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tell {
    /// The lists, and whether there is a backend: what it did not take is in the API.
    Hello {
        id: u64,
        endings: Endings,
        sessions: Sessions,
        backend: bool,
    },
    Echo {
        text: String,
    },
    Error {
        text: String,
    },
}

/// What there is to tell of.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) gateway: Gateway,
}

/// Runs one connection.
pub(crate) async fn connection(watched: Watched, socket: Socket) -> Result<Close, Closed> {
    let accounts = watched.accounts.clone();
    let id = accounts.open(&socket);
    let sender = socket.sender();
    tokio::spawn({
        let accounts = accounts.clone();
        async move { accounts.ended(id, &sender.ended().await) }
    });
    let is_page = socket.request().and_then(account::tab).is_some();
    if is_page { page(&watched, id, socket).await } else { echo(&accounts, id, socket).await }
}

async fn echo(accounts: &Accounts, id: u64, mut socket: Socket) -> Result<Close, Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
        accounts.count(id, 1, 1);
    }
    Ok(CloseCode::NORMAL.into())
}

async fn page(watched: &Watched, id: u64, mut socket: Socket) -> Result<Close, Closed> {
    let accounts = &*watched.accounts;
    // Before the lists: nothing is missed in between.
    let mut endings = accounts.subscribe();
    let mut entries = watched.gateway.timelines().subscribe();
    hello(watched, id, &socket).await?;
    loop {
        tokio::select! {
            message = socket.recv() => {
                let Some(message) = message else { return Ok(CloseCode::NORMAL.into()) };
                match asked(&message) {
                    Some(Ask::Say { text }) => {
                        accounts.count(id, 1, 0);
                        tell(&socket, &Tell::Echo { text }).await?;
                        accounts.count(id, 0, 1);
                    }
                    Some(Ask::CloseMe { code: None, .. }) => return Ok(CloseCode::NORMAL.into()),
                    Some(Ask::CloseMe { code: Some(code), reason }) => {
                        match Close::new(code, reason.unwrap_or_default()) {
                            Ok(close) => return Ok(close),
                            Err(error) => {
                                let text = error.to_string();
                                tell(&socket, &Tell::Error { text }).await?;
                            }
                        }
                    }
                    None => {
                        accounts.count(id, 1, 0);
                        socket.send(message).await?;
                        accounts.count(id, 0, 1);
                    }
                }
            }
            news = next(&mut endings) => pass_on(watched, id, &socket, news).await?,
            news = next(&mut entries) => pass_on(watched, id, &socket, news).await?,
        }
    }
}

/// Sends news, or, if some were missed, the whole lists again.
async fn pass_on(
    watched: &Watched,
    id: u64,
    socket: &Socket,
    news: Option<Utf8Bytes>,
) -> Result<(), Closed> {
    match news {
        Some(text) => socket.send(text).await,
        None => hello(watched, id, socket).await,
    }
}

/// The next news; `None` if some were missed.
async fn next(news: &mut Receiver<Utf8Bytes>) -> Option<Utf8Bytes> {
    match news.recv().await {
        Ok(text) => Some(text),
        Err(RecvError::Lagged(_)) => None,
        // The sender lives as long as the server.
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

fn asked(message: &Message) -> Option<Ask> {
    serde_json::from_str(message.as_text()?).ok()
}

async fn hello(watched: &Watched, id: u64, socket: &Socket) -> Result<(), Closed> {
    let endings = watched.accounts.list(None);
    let sessions = watched.gateway.timelines().list();
    let backend = watched.gateway.backend().is_some();
    let hello = Tell::Hello { id, endings, sessions, backend };
    tell(socket, &hello).await
}

async fn tell(socket: &Socket, what: &Tell) -> Result<(), Closed> {
    socket.send(serde_json::to_string(what).unwrap_or_default()).await
}
