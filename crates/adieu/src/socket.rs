//! The application's handles: [`Socket`] and [`Sender`].

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use adieu_proto::{
    Cause, Close, CloseCode, Ending, Message, Messages, Negotiated, Request, UsageError, Version,
};

use crate::closed::{Closed, ConnectionId};
use crate::link::{Link, Opened, SendOutcome};
use crate::peer::Peer;

/// One WebSocket. A `recv` that is dropped while it waits loses nothing; a `send` that is dropped
/// while it waits for room has queued nothing, and its message is dropped with it.
///
/// Dropping it ends the connection with Close 1001; in a handler, returning says more
/// ([`IntoClose`](crate::IntoClose)).
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
    link: Arc<Link>,
    /// Messages that it was given together with one before.
    taken: Messages,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.peer())
    }
}

impl Socket {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Socket { link, taken: None }
    }

    /// The next message; `None` when the peer has ended, or our side has. What arrived before
    /// the end is given first.
    pub fn recv(&mut self) -> impl Future<Output = Option<Message>> + Send + '_ {
        Recv { socket: self, waits: false }
    }

    /// Queues a message. Waits while more than [`Config::send_queue`](crate::Config::send_queue)
    /// bytes wait to leave.
    ///
    /// # Errors
    /// [`Closed`] once the connection is closing. Binary data to a hixie peer, which has none,
    /// closes it (see [`version`](Self::version)).
    pub fn send(
        &self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<(), Closed>> + Send + '_ {
        send(&self.link, message.into())
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// A handle that sends from elsewhere; make as many as you like.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender { link: self.link.clone() }
    }

    /// Closes the connection and waits for the end: everything sent leaves first, then the Close,
    /// then the peer has its time to answer. If the connection is ending already, that goes on.
    pub async fn close(self, close: impl Into<Close>) -> Ending {
        self.link.close(Cause::Application, close.into());
        self.ended_now().await
    }

    /// Waits for the end, whichever side begins it, and tells how it was. Messages that still come
    /// are dropped, so this is for when you have read all you want: to wait without dropping any,
    /// use [`Sender::ended`]. May be called again.
    pub async fn ended(&self) -> Ending {
        self.ended_now().await
    }

    async fn ended_now(&self) -> Ending {
        (*self.link.ended(true).await).clone()
    }

    /// The request that opened it. As a client there is none to read: `None`.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.opened()?.request.as_ref()
    }

    /// The peer.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.link.peer()
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

    fn opened(&self) -> Option<&Opened> {
        self.link.opened.get()
    }
}

/// A wait for a message. Given up, it is not taken for one any more.
struct Recv<'s> {
    socket: &'s mut Socket,
    waits: bool,
}

impl Future for Recv<'_> {
    type Output = Option<Message>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let Socket { link, taken } = &mut *self.socket;
        if let Some(message) = taken.as_mut().and_then(|taken| taken.pop_front()) {
            if !link.is_unhurried() {
                link.was_taken();
            }
            return Poll::Ready(Some(message));
        }
        let message = link.poll_recv(cx, taken);
        self.waits = message.is_pending();
        message
    }
}

impl Drop for Recv<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.waits {
            self.socket.link.asks_no_more();
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.link.socket_dropped();
    }
}

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
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({})", self.link.peer())
    }
}

impl Sender {
    /// Queues a message, as [`Socket::send`] does. If nothing waits to leave it is written at
    /// once, from the calling task.
    ///
    /// # Errors
    /// [`Closed`] once the connection is closing.
    pub fn send(
        &self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<(), Closed>> + Send + '_ {
        send(&self.link, message.into())
    }

    /// Closes the connection, behind everything that was sent. The first call counts.
    pub fn close(&self, close: impl Into<Close>) {
        self.link.close(Cause::Application, close.into());
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
}

fn send(link: &Link, message: Message) -> impl Future<Output = Result<(), Closed>> + Send + '_ {
    let (mut message, mut place) = (Some(message), None);
    // No `async fn`: that would have room for the message three times.
    poll_fn(move |cx| match std::task::ready!(link.poll_send(cx, &mut message, &mut place)) {
        SendOutcome::Queued => Poll::Ready(Ok(())),
        outcome => Poll::Ready(Err(not_sent(link, outcome))),
    })
}

#[cold]
fn not_sent(link: &Link, outcome: SendOutcome) -> Closed {
    if outcome == SendOutcome::NoBinary {
        // To drop the message would be silent loss, to send it as text a forgery.
        let version = link.opened.get().map_or(Version::Hixie76, |o| o.negotiated.version);
        let error = UsageError::NoBinary(version);
        tracing::error!(peer = %link.peer(), "{error}: the connection is closed");
        link.close(Cause::NoBinary, CloseCode::UNSUPPORTED_DATA.into());
    }
    Closed::new(id(link))
}

/// Which connection it is.
pub(crate) fn id(link: &Link) -> ConnectionId {
    ConnectionId(std::ptr::from_ref(link) as usize)
}
