//! A page that speaks adieu.v1, as docs/sessions.md has it.

use std::time::Duration;

use adieu::{Client, Close, Config, Ending, Socket};
use serde_json::{Value, json};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a tab keeps across its pages, and its connection.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) session: String,
    pub(crate) token: Option<String>,
    pub(crate) socket: Option<Socket>,
    /// What has come, in order.
    pub(crate) received: Vec<String>,
    /// The tag of the last of that.
    pub(crate) tag: String,
    /// What it has said, in order.
    pub(crate) said: Vec<String>,
    /// How much of that is acknowledged.
    pub(crate) acknowledged: usize,
    /// In the request: a user, say.
    pub(crate) query: String,
    pub(crate) origin: Option<String>,
    /// How it connects.
    pub(crate) way: Client,
    /// When it was told to come back.
    pub(crate) retry_after: Option<u64>,
}

/// What the gateway said first.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) resumed: bool,
    pub(crate) reason: Option<String>,
    pub(crate) generation: u64,
}

impl Page {
    /// Of this user.
    pub(crate) fn of(user: &str) -> Self {
        Page { query: format!("?user={user}"), ..Page::default() }
    }

    /// Opens a connection, with the token if there is one; `Err` is how it failed.
    pub(crate) async fn try_connect(&mut self, url: &str) -> Result<Connected, String> {
        // As a browser: it sends no Ping, and has no clock over what waits to leave.
        let (ping_interval, write_timeout) = (None, Duration::MAX);
        let config = Config { ping_interval, write_timeout, ..Config::default() };
        let mut client = self.way.clone().config(config).subprotocol("adieu.v1");
        if let Some(token) = &self.token {
            let (received, acknowledged) = (self.received.len(), self.acknowledged);
            let offer = match &*self.tag {
                "" => format!("adieu.resume.{token}.{received}.-.{acknowledged}"),
                tag => format!("adieu.resume.{token}.{received}.{tag}.{acknowledged}"),
            };
            client = client.subprotocol(offer);
        }
        if let Some(origin) = &self.origin {
            client = client.header("Origin", origin);
        }
        let url = format!("{url}{}", self.query);
        let socket = tokio::time::timeout(PATIENCE, client.connect(&url)).await;
        let socket = socket.map_err(|_| "no answer")?.map_err(|error| error.to_string())?;
        assert_eq!(socket.subprotocol(), Some("adieu.v1"));
        self.socket = Some(socket);
        let first = self.next().await.ok_or("closed before connected")?;
        if first["type"] != "connected" {
            return Err(first.to_string());
        }
        let session = first["sessionId"].as_str().unwrap().to_owned();
        let resumed = first["resumed"].as_bool().unwrap();
        if !resumed {
            self.received.clear();
            self.said.clear();
            self.tag.clear();
        }
        assert!(!resumed || session == self.session, "another session");
        self.session = session;
        self.token = first["reconnectionToken"].as_str().map(str::to_owned);
        self.acknowledged = first["sequenceAck"].as_u64().unwrap() as usize;
        for at in self.acknowledged..self.said.len() {
            self.send_again(at).await;
        }
        let reason = first["reason"].as_str().map(str::to_owned);
        Ok(Connected { resumed, reason, generation: first["generation"].as_u64().unwrap() })
    }

    pub(crate) async fn connect(&mut self, url: &str) -> Connected {
        self.try_connect(url).await.unwrap()
    }

    /// Says something of adieu.v1.
    pub(crate) async fn tell(&self, message: &Value) {
        self.tell_raw(&message.to_string()).await;
    }

    pub(crate) async fn tell_raw(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // A connection that is over is seen where it is read.
            let _ = socket.send(text).await;
        }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.said.push(text.to_owned());
        self.send_again(self.said.len() - 1).await;
    }

    async fn send_again(&self, at: usize) {
        self.tell(&json!({ "type": "message", "sequenceId": at + 1, "text": self.said[at] })).await;
    }

    /// What comes next, whatever it is; `None` when the connection is over.
    pub(crate) async fn next_of_any_kind(&mut self) -> Option<Value> {
        let socket = self.socket.as_mut()?;
        let message = tokio::time::timeout(PATIENCE, socket.recv()).await.expect("something comes");
        Some(serde_json::from_str(message?.as_text().unwrap()).unwrap())
    }

    /// What comes next, a text if it is a message; `None` when the connection is over.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let json = self.next_of_any_kind().await?;
        match json["type"].as_str().unwrap() {
            "message" => {
                let n = json["sequenceId"].as_u64().unwrap() as usize;
                assert_eq!(n, self.received.len() + 1, "no gap, nothing twice");
                self.received.push(json["text"].as_str().unwrap().to_owned());
                self.tag = json["tag"].as_str().unwrap().to_owned();
            }
            "sequenceAck" => {
                let n = json["sequenceId"].as_u64().unwrap() as usize;
                self.acknowledged = self.acknowledged.max(n);
            }
            "closing" => self.retry_after = json["retryAfter"].as_u64(),
            _ => {}
        }
        Some(json)
    }

    /// Reads until it has received so many.
    pub(crate) async fn receive(&mut self, count: usize) {
        while self.received.len() < count {
            assert!(self.next().await.is_some(), "the connection ended");
        }
    }

    /// Reads until all that it has said is acknowledged.
    pub(crate) async fn all_acknowledged(&mut self) {
        while self.acknowledged < self.said.len() {
            assert!(self.next().await.is_some(), "the connection ended");
        }
    }

    /// Says that it has received all so far.
    pub(crate) async fn acknowledge(&self) {
        self.tell(&json!({ "type": "sequenceAck", "sequenceId": self.received.len() })).await;
    }

    /// Reads to the end of the connection; how it ended.
    pub(crate) async fn ended(&mut self) -> Ending {
        while self.next().await.is_some() {}
        let socket = self.socket.take().expect("a connection");
        tokio::time::timeout(PATIENCE, socket.ended()).await.expect("it ends")
    }

    /// The code that the gateway closed the connection with, and why.
    pub(crate) async fn closed_with(&mut self) -> (u16, String) {
        let ending = self.ended().await;
        let close = ending.closing_handshake.received().expect("a Close").clone();
        (close.code().map_or(0, |code| code.get()), close.reason().to_owned())
    }

    /// Closes as a page does that is refreshed.
    pub(crate) async fn hide(&mut self) {
        self.close(4001).await;
    }

    pub(crate) async fn close(&mut self, code: u16) {
        if let Some(socket) = self.socket.take() {
            let _ = socket.close(Close::new(code, "").unwrap()).await;
        }
    }
}
