//! The application's handles: [`Socket`] and [`Sender`].

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use adieu_proto::{Cause, Close, CloseCode, Ending, Message, Request, UsageError, Version};

use crate::buffers::Messages;
use crate::peer::Peer;
use crate::shared::{Opened, Shared};

/// Nothing can be sent any more: the connection is closing or over. How it ended is in
/// [`Socket::ended`]; this is no error of anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closing or over")
    }
}

impl std::error::Error for Closed {}

/// One WebSocket. `recv` and `send` may be cancelled (dropped while they wait) without loss.
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
    shared: Arc<Shared>,
    /// Messages that it was given together with one before.
    taken: Messages,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.peer())
    }
}

impl Socket {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Socket { shared, taken: None }
    }

    /// The next message; `None` when the peer has ended, or our side has. What arrived before
    /// the end is given first.
    pub fn recv(&mut self) -> impl Future<Output = Option<Message>> + Send + '_ {
        poll_fn(|cx| {
            if let Some(message) = self.taken.as_mut().and_then(|taken| taken.pop_front()) {
                if !self.shared.is_unhurried() {
                    self.shared.was_taken();
                }
                return Poll::Ready(Some(message));
            }
            self.shared.poll_recv(cx, &mut self.taken)
        })
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
        send(&self.shared, message.into())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A handle that sends from elsewhere; make as many as you like.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender { shared: self.shared.clone() }
    }

    /// Says goodbye and waits for the end: everything sent leaves first, then the Close, then
    /// the peer has its time to answer. If the connection is ending already, that goes on.
    pub async fn close(self, close: impl Into<Close>) -> Ending {
        self.shared.close(close.into(), Cause::Application);
        self.ended_now().await
    }

    /// Waits for the end, whoever begins it, and tells how it was. Messages that still come are
    /// dropped, so this is for when you have read all you want: to wait without dropping any, use
    /// [`Sender::ended`]. May be called again.
    pub async fn ended(&self) -> Ending {
        self.ended_now().await
    }

    async fn ended_now(&self) -> Ending {
        (*self.shared.ended(true).await).clone()
    }

    /// The request that opened it. As a client there is none to read: `None`.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.opened()?.request.as_ref()
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.shared.peer()
    }

    /// The version that is spoken.
    #[must_use]
    pub fn version(&self) -> Version {
        self.opened().map_or(Version::Rfc6455, |opened| opened.version)
    }

    /// The subprotocol that was agreed on (RFC 6455 §1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.opened()?.subprotocol.as_deref()
    }

    fn opened(&self) -> Option<&Opened> {
        self.shared.opened.get()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.socket_dropped = true;
        state.wake_driver();
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
    shared: Arc<Shared>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({})", self.shared.peer())
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
        send(&self.shared, message.into())
    }

    /// Says goodbye, behind everything that was sent. The first call counts.
    pub fn close(&self, close: impl Into<Close>) {
        self.shared.close(close.into(), Cause::Application);
    }

    /// Whether the peer has ended it: its Close was read, or its FIN, or all is over. Messages that
    /// it sent before may still wait to be received.
    #[must_use]
    pub fn peer_has_ended(&self) -> bool {
        let state = self.shared.lock();
        state.inbox.ended || state.ending.is_some()
    }

    /// Waits for the end and tells how it was.
    pub async fn ended(&self) -> Ending {
        (*self.shared.ended(false).await).clone()
    }
}

/// No `async fn`: that would have room for the message three times.
fn send(shared: &Shared, message: Message) -> impl Future<Output = Result<(), Closed>> + Send {
    let mut message = Some(message);
    poll_fn(move |cx| {
        let sent = std::task::ready!(shared.poll_send(cx, &mut message));
        if let Err(error @ UsageError::NoBinary(_)) = &sent {
            // To drop the message would be silent loss, to send it as text a forgery.
            tracing::error!(peer = %shared.peer(), "{error}: the connection is closed");
            shared.close(CloseCode::UNSUPPORTED_DATA.into(), Cause::Application);
        }
        Poll::Ready(sent.map_err(|_| Closed))
    })
}
