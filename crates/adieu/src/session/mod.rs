//! A client whose session outlives its connections: [`Session`], for the gateway's subprotocol
//! adieu.v1.
//!
//! What is sent is kept until the gateway has committed it, and sent again after a lost connection;
//! what comes is told once, in order. The protocol itself is `adieu_session::client`, which has no
//! I/O; here are its WebSockets, its clock and its task.

mod connection;
mod driver;
mod store;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinHandle;

pub use adieu_session::client::{Ended, EndedReason, Event, Limits, Saved, SendError};
use adieu_session::client::{Input, Leave, Meaning};
pub use store::Store;

use crate::{Client, Close, ConnectError, Message};
use connection::Dial;
use driver::{Shared, drive};

/// A session of the gateway, over as many connections as it takes.
///
/// A message that [`recv`](Self::recv) gave counts as received, and is acknowledged, when the next
/// one is asked for. So a process that dies while it is busy with a message gets it again.
///
/// Dropping it lets go of the session as [`detach`](Self::detach) does: the gateway waits for a
/// while, as for a page that went.
///
/// ```
/// # use adieu::{Server, Socket};
/// use adieu::session::{Event, Session};
///
/// # // What the gateway says, in this order, whatever the client says in between.
/// # async fn gateway(mut socket: Socket) -> Result<(), adieu::Closed> {
/// #     socket.send(r#"{"type":"connected","sessionId":"s","reconnectionToken":"t",
/// #         "generation":1,"resumed":false,"window":15000,"sequenceAck":0,
/// #         "heartbeat":20000}"#).await?;
/// #     assert!(socket.recv().await.unwrap().as_text().unwrap().contains("hello"));
/// #     socket.send(r#"{"type":"sequenceAck","sequenceId":1}"#).await?;
/// #     socket.send(r#"{"type":"message","sequenceId":1,"text":"welcome"}"#).await?;
/// #     while let Some(said) = socket.recv().await {
/// #         if said.as_text().unwrap().contains("goodbye") {
/// #             socket.sender().close(adieu::CloseCode::NORMAL);
/// #         }
/// #     }
/// #     Ok(())
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/", listener.local_addr()?);
/// # let server = Server::new(gateway).subprotocols(["adieu.v1"]);
/// # tokio::spawn(server.serve_on(listener));
/// let mut session = Session::connect(&url)?;
/// session.send("hello")?;
/// while let Some(event) = session.next().await {
///     match event {
///         Event::Message(message) => {
///             assert_eq!(message.as_text(), Some("welcome"));
///             break;
///         }
///         Event::Interrupted { reason, retry_in, .. } => println!("{reason}; {retry_in:?}"),
///         // What is still of use is sent again, in the session that begins now.
///         Event::Ended(ended) if ended.restarts => {
///             ended.unacknowledged.into_iter().try_for_each(|message| session.send(message))?;
///         }
///         other => println!("{other:?}"),
///     }
/// }
/// let ended = session.goodbye().await;
/// assert_eq!((ended.reason.word(), ended.code), ("goodbye", 1000));
/// # Ok(())
/// # }
/// ```
pub struct Session {
    shared: Arc<Shared>,
    driver: Option<JoinHandle<()>>,
    ended: Option<Ended>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?})", self.shared.lock())
    }
}

impl Session {
    /// A session at this URL of a gateway (`ws://host:port/ws`), with the defaults of
    /// [`Builder`]. It returns at once and goes on to connect until it is told to leave; call it
    /// within a runtime of tokio.
    ///
    /// # Errors
    /// [`ConnectError::Url`]: this is no URL of a WebSocket.
    pub fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::builder(url).connect()
    }

    /// The same with more to say.
    #[must_use]
    pub fn builder(url: &str) -> Builder {
        Builder {
            url: url.to_owned(),
            dial: Dial::default(),
            limits: Limits::default(),
            saved: None,
            store: None,
        }
    }

    /// Takes a message, to be sent until the gateway has committed it. It works without a
    /// connection too, and never waits.
    ///
    /// # Errors
    /// A [`SendError`]: the message is not taken.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.shared.send(&message.into())
    }

    /// A handle that sends from elsewhere; make as many as you like.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender { shared: self.shared.clone() }
    }

    /// What happens next; `None` once the last session is over and that was told. A wait that is
    /// given up loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let (event, over) = self.shared.next_event();
            if let Some(event) = event {
                if let Event::Ended(ended) = &event {
                    self.ended = Some(ended.clone());
                }
                return Some(event);
            }
            if over {
                return None;
            }
            self.shared.happened.notified().await;
        }
    }

    /// The next message. `None`: the session is over, and [`ended`](Self::ended) says how. If
    /// another session has begun ([`Ended::restarts`]), the next call goes on with that one.
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            match self.next().await? {
                Event::Message(message) => return Some(message),
                Event::Ended(_) => return None,
                _ => {}
            }
        }
    }

    /// How the last session ended, once that was told.
    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Waits until the gateway has committed all that was sent; `false`: the last session was over
    /// before. It may take for ever while there is no gateway: set a deadline of your own.
    pub async fn committed(&mut self) -> bool {
        loop {
            let (waiting, over) = self.shared.unacknowledged();
            if waiting == 0 || over {
                return waiting == 0 && !over;
            }
            self.shared.committed.notified().await;
        }
    }

    /// The gateway's name of the session, if there is one.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.shared.lock().session_id().map(str::to_owned)
    }

    /// Leaves for good, after what was sent before; how that ended. The gateway has 10 s to answer.
    /// Messages that have not been given yet are not acknowledged: the backend is told so.
    pub async fn goodbye(mut self) -> Ended {
        self.leave(Leave::Goodbye).await
    }

    /// The same by a Close: 1000, or 4000 to 4999 without 4001, 4002, 4004 and 4005, which mean
    /// something else.
    ///
    /// # Errors
    /// [`NotFinal`]: this Close does not mean to leave; the session goes on.
    pub async fn close(&mut self, close: impl Into<Close>) -> Result<Ended, NotFinal> {
        let close = close.into();
        let code = close.code().map_or(1005, |code| code.get());
        if Meaning::of(code) != Meaning::Ended {
            return Err(NotFinal(code));
        }
        Ok(self.leave(Leave::Close { code, reason: close.reason().to_owned() }).await)
    }

    async fn leave(&mut self, how: Leave) -> Ended {
        self.shared.on(Input::Leave(how));
        while self.next().await.is_some() {}
        self.task_ended().await;
        self.ended.clone().unwrap_or_else(|| unreachable!("a session that is over was told so"))
    }

    async fn task_ended(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = driver.await;
        }
    }

    /// Lets go of the session without ending it: what another process needs to go on with it, by
    /// [`Builder::resume`]. The gateway waits for that one as for a page that went. `None`: the
    /// session is over.
    pub async fn detach(mut self) -> Option<Saved> {
        self.shared.on(Input::Detach);
        let saved = self.shared.lock().saved();
        self.task_ended().await;
        saved
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.on(Input::Detach);
    }
}

/// A Close with this code does not mean to leave for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinal(pub u16);

impl fmt::Display for NotFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a Close {} does not mean to leave; use 1000, or 4000 to 4999 without 4001, 4002, 4004 \
             and 4005",
            self.0
        )
    }
}

impl std::error::Error for NotFinal {}

/// Sends messages to one session from anywhere; a clone is cheap. It does not keep the session.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl Sender {
    /// As [`Session::send`].
    ///
    /// # Errors
    /// A [`SendError`]: the message is not taken.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.shared.send(&message.into())
    }
}

/// How to connect to a gateway, and what an earlier process has left.
///
/// ```no_run
/// # async fn token() -> Result<String, std::io::Error> { Ok(String::new()) }
/// # fn run(saved: Option<adieu::session::Saved>) -> Result<(), adieu::ConnectError> {
/// use adieu::session::Session;
///
/// let session = Session::builder("ws://127.0.0.1:9001/ws")
///     .client(adieu::Client::new().header("User-Agent", "prices/1.0"))
///     .auth(|| async { token().await })
///     .resume(saved)
///     .connect()?;
/// # drop(session);
/// # Ok(())
/// # }
/// ```
pub struct Builder {
    url: String,
    dial: Dial,
    limits: Limits,
    saved: Option<Saved>,
    store: Option<Box<dyn Store>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({})", self.url)
    }
}

impl Builder {
    /// Fields of the request, time-outs, TLS. Its subprotocols are offered beside adieu.v1, for the
    /// backend to read; the gateway never selects one of them.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.dial.client = client;
        self
    }

    /// Is asked for each connection: a token, a JWT for example, that proves to the backend who
    /// this is. An empty one is none. An error, and no answer within 10 s, is a try that failed.
    #[must_use]
    pub fn auth<F, T, E>(mut self, auth: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.dial.ask(auth);
        self
    }

    /// How much may be unacknowledged.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Goes on with the session of an earlier process; `None`: begins one.
    #[must_use]
    pub fn resume(mut self, saved: impl Into<Option<Saved>>) -> Self {
        self.saved = saved.into();
        self
    }

    /// Keeps what a process needs that goes on with the session after this one was killed.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// Begins, within a runtime of tokio.
    ///
    /// # Errors
    /// [`ConnectError::Url`] or [`ConnectError::Usage`]: no connection can be tried.
    pub fn connect(self) -> Result<Session, ConnectError> {
        self.dial.client.check(&self.url)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(std::io::Error::from)?;
        let shared = Arc::new(Shared::new(self.limits, self.saved, seed));
        let mut dial = self.dial;
        dial.url = self.url.into();
        let driver = tokio::spawn(drive(shared.clone(), dial, self.store));
        Ok(Session { shared, driver: Some(driver), ended: None })
    }
}
