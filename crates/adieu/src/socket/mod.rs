//! The application's handles of one open connection: [`Socket`], which is a [`Receiver`] that also
//! sends, and [`Sender`].

#[cfg(feature = "futures")]
mod bridge;
#[cfg(feature = "json")]
mod json;
mod permit;
mod ping;
mod receiver;
mod sender;
mod text;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, LazyLock};

use adieu_proto::{Ending, Message, Negotiated, Request, ResponseHead, Utf8Bytes, Version};

use crate::closed::{Closed, ConnectionId};
use crate::into_close::IntoClose;
use crate::into_message::IntoMessage;
use crate::link::{Link, Opened};
use crate::peer::Peer;

#[cfg(feature = "json")]
pub use json::JsonError;
pub use permit::{Permit, TrySendError};
pub use ping::{PingError, RoundTrip};
pub use receiver::{Receiver, ReuniteError};
pub use sender::Sender;
pub use text::NotText;

/// One WebSocket. A `recv` that is dropped while it waits loses nothing; a `send` that is dropped
/// while it waits for room has queued nothing, and its message is dropped with it: to keep the
/// message, [`reserve`](Self::reserve) the room first.
///
/// Dropping it ends the connection with Close 1001; in a handler, returning says more
/// ([`IntoClose`]).
///
/// ```
/// use adieu::{Closed, Socket};
///
/// async fn echo(mut socket: Socket) -> Result<(), Closed> {
///     while let Some(message) = socket.recv().await {
///         socket.send(message).await?;
///     }
///     println!("{}: {}", socket.peer(), socket.ended().await);
///     Ok(())
/// }
/// ```
pub struct Socket {
    receiver: Receiver,
    #[cfg(feature = "futures")]
    sink: bridge::Slot,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.peer())
    }
}

impl Socket {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Receiver::new(link).into()
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        self.receiver.link()
    }

    // Receiving.

    /// The next message; `None` when the peer has ended, or our side has. What arrived before
    /// the end is given first.
    pub fn recv(&mut self) -> impl Future<Output = Option<Message>> + Send + '_ {
        self.receiver.recv()
    }

    /// The next message where only text is expected; `Ok(None)` at the end, as with
    /// [`recv`](Self::recv).
    ///
    /// # Errors
    /// [`NotText`] with the message, if it is a binary one. The connection goes on. A handler that
    /// returns this error ends it with Close 1003.
    pub async fn recv_text(&mut self) -> Result<Option<Utf8Bytes>, NotText> {
        self.receiver.recv_text().await
    }

    /// The next message as a value that is written in JSON; `Ok(None)` at the end, as with
    /// [`recv`](Self::recv).
    ///
    /// ```
    /// # #[derive(serde::Deserialize)] struct Question { a: i64, b: i64 }
    /// # use adieu::{JsonError, Socket};
    /// async fn add(mut socket: Socket) -> Result<(), JsonError> {
    ///     while let Some(Question { a, b }) = socket.recv_json().await? {
    ///         socket.send_json(&(a + b)).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`JsonError::NotText`] for a binary message (a handler that returns it ends the connection
    /// with Close 1003), [`JsonError::Malformed`] for a text that is no such value (1007). The
    /// connection goes on otherwise.
    #[cfg(feature = "json")]
    pub async fn recv_json<T: serde::de::DeserializeOwned>(
        &mut self,
    ) -> Result<Option<T>, JsonError> {
        self.receiver.recv_json().await
    }

    // Sending.

    /// Queues a message. Waits while more than [`Config::send_queue`](crate::Config::send_queue)
    /// bytes wait to leave.
    ///
    /// # Errors
    /// [`Closed`] once the connection is closing. Binary data to a hixie peer, which has none,
    /// closes it (see [`version`](Self::version)).
    pub fn send(
        &self,
        message: impl IntoMessage,
    ) -> impl Future<Output = Result<(), Closed>> + Send + '_ {
        sender::send(self.link(), message.into_message())
    }

    /// Queues a message if there is room at once; see [`Sender::try_send`].
    ///
    /// # Errors
    /// [`TrySendError::Full`] with the message, [`TrySendError::Closed`] once the connection is
    /// closing.
    pub fn try_send(&self, message: impl IntoMessage) -> Result<(), TrySendError> {
        permit::try_send(self.link(), message.into_message())
    }

    /// Sends a message that is not compressed; see [`Sender::send_uncompressed`].
    ///
    /// # Errors
    /// [`Closed`] once the connection is closing.
    #[cfg(feature = "deflate")]
    pub fn send_uncompressed(
        &self,
        message: impl IntoMessage,
    ) -> impl Future<Output = Result<(), Closed>> + Send + '_ {
        permit::send_uncompressed(self.link(), message.into_message())
    }

    /// Waits for room for one message; see [`Sender::reserve`].
    ///
    /// # Errors
    /// [`Closed`] once the connection is closing.
    pub fn reserve(&self) -> impl Future<Output = Result<Permit, Closed>> + Send + '_ {
        permit::reserve(self.link())
    }

    /// Sends a value as a text message in JSON.
    ///
    /// # Errors
    /// [`JsonError::Unserializable`] if it cannot be written in JSON, [`JsonError::Closed`] once
    /// the connection is closing.
    #[cfg(feature = "json")]
    pub async fn send_json<T: serde::Serialize + ?Sized>(
        &self,
        value: &T,
    ) -> Result<(), JsonError> {
        json::send(self.link(), value)?.await
    }

    /// Asks the peer for a Pong and tells how long it took; see [`Sender::ping`].
    ///
    /// # Errors
    /// [`PingError`].
    pub fn ping(&self) -> impl Future<Output = Result<std::time::Duration, PingError>> + Send + '_ {
        ping::ping(self.link())
    }

    /// A handle that sends from elsewhere; make as many as you like.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(self.link().clone())
    }

    /// Splits it into a half that sends and a half that receives, for two tasks.
    ///
    /// The receiving half owns the connection, as the socket did: dropping it ends the connection
    /// with Close 1001, whatever the other half does, for nothing would read any more. The sending
    /// half is a [`Sender`] like those of [`sender`](Self::sender): dropping it ends nothing.
    /// [`Receiver::reunite`] puts both together again.
    ///
    /// ```
    /// use adieu::{Closed, Socket};
    ///
    /// async fn clock(socket: Socket) -> Result<(), Closed> {
    ///     let (sender, mut receiver) = socket.split();
    ///     let ticking = tokio::spawn(async move {
    ///         while sender.send("tick").await.is_ok() {
    ///             tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    ///         }
    ///     });
    ///     while let Some(message) = receiver.recv().await {
    ///         println!("heard {message:?}");
    ///     }
    ///     ticking.abort();
    ///     Ok(())
    /// }
    /// ```
    #[must_use = "dropping the receiving half ends the connection"]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender(), self.receiver)
    }

    // The end.

    /// Closes the connection and waits for the end: everything sent leaves first, then the Close,
    /// then the peer has its time to answer. If the connection is ending already, that goes on.
    ///
    /// Messages that still come are dropped: to read them, use [`start_close`](Self::start_close).
    ///
    /// ```
    /// # async fn handler(socket: adieu::Socket) -> Result<(), adieu::UsageError> {
    /// # if true {
    /// let ending = socket.close(adieu::Close::new(4001, "that is all")?).await;
    /// # println!("{ending}"); return Ok(()); }
    /// let ending = socket.close(4001).await;
    /// # Ok(()) }
    /// ```
    pub async fn close(self, close: impl IntoClose) -> Ending {
        self.receiver.close(close).await
    }

    /// Starts the closing handshake (RFC 6455 §7.1.2), behind everything that was sent, and goes on
    /// receiving. Nothing can be sent from then on, but the peer may not have heard yet and still
    /// send: [`recv`](Self::recv) gives what it says until its own Close, or until
    /// [`Config::close_timeout`](crate::Config::close_timeout) runs out. Browsers do the same while
    /// a WebSocket is closing. If the connection is ending already, that goes on.
    ///
    /// ```
    /// use adieu::{Closed, Socket};
    ///
    /// async fn last_words(mut socket: Socket) -> Result<(), Closed> {
    ///     socket.send("goodbye").await?;
    ///     socket.start_close(1000);
    ///     while let Some(message) = socket.recv().await {
    ///         println!("said before our Close was heard: {message:?}");
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn start_close(&self, close: impl IntoClose) {
        self.receiver.start_close(close);
    }

    /// Waits for the end, whichever side begins it, and tells how it was. Messages that still come
    /// are dropped, so this is for when you have read all you want: to wait without dropping any,
    /// use [`Sender::ended`]. May be called again.
    pub async fn ended(&self) -> Ending {
        self.receiver.ended().await
    }

    // What it is.

    /// Its number in this process, for logs and spans.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.link().id()
    }

    /// The request that opened it. As a client there is none to read: `None`.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.opened()?.request.as_ref()
    }

    /// As a client: the head of the server's answer, with its cookies and what else it says. `None`
    /// as a server.
    ///
    /// ```
    /// # async fn run() -> Result<(), adieu::ConnectError> {
    /// let socket = adieu::connect("ws://127.0.0.1:9001/").await?;
    /// let cookie = socket.response().and_then(|head| head.header("Set-Cookie"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn response(&self) -> Option<&ResponseHead> {
        self.opened()?.response()
    }

    /// What [`Endpoint::on_handshake`](crate::Endpoint::on_handshake) has left for the handler
    /// ([`Accept::extension`](crate::Accept::extension)).
    ///
    /// ```
    /// # #[derive(Clone)]
    /// # struct User;
    /// # fn handler(socket: &adieu::Socket) {
    /// let user: Option<&User> = socket.extensions().get();
    /// # }
    /// ```
    #[must_use]
    pub fn extensions(&self) -> &http::Extensions {
        static NONE: LazyLock<http::Extensions> = LazyLock::new(http::Extensions::new);
        self.opened().and_then(Opened::extensions).unwrap_or_else(|| &NONE)
    }

    /// The peer.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.link().peer()
    }

    /// The stream of HTTP/2 that this WebSocket is (RFC 8441), and its connection; `None` over a
    /// connection of its own. How it ends is told by [`Ending::http2`](crate::Ending::http2).
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2(&self) -> Option<crate::Http2> {
        self.link().http2()
    }

    /// The version that is spoken.
    #[must_use]
    pub fn version(&self) -> Version {
        self.negotiated().map_or(Version::Rfc6455, |negotiated| negotiated.version)
    }

    /// The subprotocol that was agreed on (RFC 6455 §1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.negotiated()?.subprotocol.as_deref()
    }

    /// All that the opening handshake agreed on.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.opened().map(|opened| &opened.negotiated)
    }

    /// How long it takes to the peer and back, as far as it is known at the moment.
    #[must_use]
    pub fn round_trip(&self) -> RoundTrip {
        self.link().round_trip()
    }

    fn opened(&self) -> Option<&Opened> {
        self.link().opened.get()
    }
}

impl From<Receiver> for Socket {
    /// A [`Sender`] can be had of every connection, so the receiving half alone is enough.
    fn from(receiver: Receiver) -> Self {
        Socket {
            receiver,
            #[cfg(feature = "futures")]
            sink: bridge::Slot::default(),
        }
    }
}
