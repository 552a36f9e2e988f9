//! [`Sender`]: the half of a connection that sends.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use adieu_proto::{Cause, CloseCode, Ending, Message, UsageError, Version};

use crate::closed::{Closed, ConnectionId};
use crate::into_close::IntoClose;
use crate::into_message::IntoMessage;
use crate::link::{Link, SendOutcome};
use crate::peer::Peer;
use crate::socket::permit::{self, Permit, TrySendError};
use crate::socket::ping::{self, PingError, RoundTrip};

/// Sends messages to one connection from anywhere; a clone is cheap. It does not keep the
/// connection open.
///
/// ```
/// # async fn handler(socket: adieu::Socket) {
/// let sender = socket.sender();
/// tokio::spawn(async move {
///     if sender.send("from another task").await.is_err() {
///         // The connection is closing or over; its handler hears how it ended.
///     }
/// });
/// # }
/// ```
#[derive(Clone)]
pub struct Sender {
    link: Arc<Link>,
    #[cfg(feature = "futures")]
    pub(super) sink: super::bridge::Slot,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({})", self.link.peer())
    }
}

impl Sender {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Sender {
            link,
            #[cfg(feature = "futures")]
            sink: super::bridge::Slot::default(),
        }
    }

    #[cfg(feature = "futures")]
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Queues a message, as [`Socket::send`](crate::Socket::send) does. If nothing waits to leave
    /// it is written at once, from the calling task.
    ///
    /// # Errors
    /// [`Closed`] once the connection is closing.
    pub fn send(
        &self,
        message: impl IntoMessage,
    ) -> impl Future<Output = Result<(), Closed>> + Send + '_ {
        send(&self.link, message.into_message())
    }

    /// Queues a message if there is room at once, and never waits.
    ///
    /// ```
    /// use adieu::{Sender, TrySendError};
    ///
    /// fn offer(sender: &Sender, position: String) {
    ///     match sender.try_send(position) {
    ///         Ok(()) => {}
    ///         // The peer reads slowly: a newer position follows soon.
    ///         Err(TrySendError::Full(_)) => {}
    ///         Err(TrySendError::Closed(closed)) => println!("{closed}"),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`TrySendError::Full`] with the message, while more than
    /// [`Config::send_queue`](crate::Config::send_queue) bytes wait to leave or are reserved;
    /// [`TrySendError::Closed`] once the connection is closing.
    pub fn try_send(&self, message: impl IntoMessage) -> Result<(), TrySendError> {
        permit::try_send(&self.link, message.into_message())
    }

    /// Sends a message that is not compressed, whatever was agreed on: for a secret on a connection
    /// that also carries what strangers write. Later messages do not refer to it either.
    ///
    /// # Errors
    /// [`Closed`] once the connection is closing.
    #[cfg(feature = "deflate")]
    pub fn send_uncompressed(
        &self,
        message: impl IntoMessage,
    ) -> impl Future<Output = Result<(), Closed>> + Send + '_ {
        permit::send_uncompressed(&self.link, message.into_message())
    }

    /// Waits for room for one message and keeps it: what is sent with the [`Permit`] is queued
    /// without waiting. Where a wait may be given up, as in `tokio::select!`, this loses no
    /// message: the message is made, or taken from where it waits, when the room is there.
    ///
    /// ```
    /// use adieu::{Closed, Sender};
    /// use tokio::sync::mpsc;
    ///
    /// async fn forward(sender: &Sender, news: &mut mpsc::Receiver<String>) -> Result<(), Closed> {
    ///     loop {
    ///         let permit = sender.reserve().await?;
    ///         let Some(next) = news.recv().await else { return Ok(()) };
    ///         permit.send(next)?;
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Closed`] once the connection is closing.
    pub fn reserve(&self) -> impl Future<Output = Result<Permit, Closed>> + Send + '_ {
        permit::reserve(&self.link)
    }

    /// Sends a value as a text message in JSON; see
    /// [`Socket::send_json`](crate::Socket::send_json).
    ///
    /// # Errors
    /// [`JsonError`](crate::JsonError).
    #[cfg(feature = "json")]
    pub async fn send_json<T: serde::Serialize + ?Sized>(
        &self,
        value: &T,
    ) -> Result<(), crate::JsonError> {
        super::json::send(&self.link, value)?.await
    }

    /// Sends a Ping and waits for its Pong (RFC 6455 §5.5.2, §5.5.3): how long that took, our own
    /// queue and the peer's included. Several may be under way at once; a Pong answers also those
    /// before it. The Pings with which the library itself looks after the peer are apart from
    /// these.
    ///
    /// The Ping leaves at the next frame boundary, before messages that wait. A wait that is given
    /// up loses nothing but the answer.
    ///
    /// ```
    /// # async fn handler(socket: adieu::Socket) -> Result<(), adieu::PingError> {
    /// let sender = socket.sender();
    /// println!("{} ms there and back", sender.ping().await?.as_millis());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`PingError`].
    pub fn ping(&self) -> impl Future<Output = Result<Duration, PingError>> + Send + '_ {
        ping::ping(&self.link)
    }

    /// Closes the connection, behind everything that was sent. The first call counts.
    ///
    /// Nothing can be sent from then on, and [`Socket::recv`](crate::Socket::recv) gives `None` at
    /// once behind what has come: messages that the peer still sends are dropped. To read them, the
    /// side that receives begins the closing handshake itself:
    /// [`Socket::start_close`](crate::Socket::start_close).
    pub fn close(&self, close: impl IntoClose) {
        self.link.close(Cause::Application, close.into_close());
    }

    /// Whether the peer has ended it: its Close was read, or its FIN, or all is over. Messages that
    /// it sent before may still wait to be received.
    #[must_use]
    pub fn peer_has_ended(&self) -> bool {
        self.link.peer_has_ended()
    }

    /// Waits for the end and tells how it was.
    pub async fn ended(&self) -> Ending {
        (*self.link.ended(false).await).clone()
    }

    /// As [`Socket::id`](crate::Socket::id).
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.link.id()
    }

    /// As [`Socket::peer`](crate::Socket::peer).
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.link.peer()
    }

    /// As [`Socket::round_trip`](crate::Socket::round_trip).
    #[must_use]
    pub fn round_trip(&self) -> RoundTrip {
        self.link.round_trip()
    }

    /// A second handle of the TCP socket below, under TLS too: to read or set an option for which
    /// this library has no name, such as a packet filter. It does not block. Bytes that are read
    /// from it or written to it are missed by the connection, and while it lives the kernel keeps
    /// the socket.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) over another stream than TCP,
    /// [`NotConnected`](io::ErrorKind::NotConnected) once the connection is over, or the operating
    /// system's, where no descriptor is free.
    pub fn try_clone_tcp(&self) -> io::Result<std::net::TcpStream> {
        self.link.try_clone_tcp()
    }
}

pub(super) fn send(
    link: &Link,
    message: Message,
) -> impl Future<Output = Result<(), Closed>> + Send + '_ {
    let (mut message, mut place) = (Some(message), None);
    // No `async fn`: that would have room for the message three times.
    poll_fn(move |cx| match std::task::ready!(link.poll_send(cx, &mut message, &mut place)) {
        SendOutcome::Queued => Poll::Ready(Ok(())),
        outcome => Poll::Ready(Err(not_sent(link, outcome))),
    })
}

#[cold]
pub(super) fn not_sent(link: &Link, outcome: SendOutcome) -> Closed {
    if outcome == SendOutcome::NoBinary {
        // To drop the message would be silent loss, to send it as text a forgery.
        let version = link.opened.get().map_or(Version::Hixie76, |o| o.negotiated.version);
        let error = UsageError::NoBinary(version);
        tracing::error!(peer = %link.peer(), "{error}: the connection is closed");
        link.close(Cause::NoBinary, CloseCode::UNSUPPORTED_DATA.into());
    }
    Closed::new(link.id())
}
