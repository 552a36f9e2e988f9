//! [`Receiver`]: the half of a connection that receives, and owns it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use adieu_proto::{Cause, CloseRequest, Ending, Message, Messages, Utf8Bytes};

use crate::closed::ConnectionId;
use crate::into_close::IntoClose;
use crate::link::Link;
use crate::peer::Peer;
use crate::socket::{NotText, Sender, Socket};

/// The receiving half of a [`Socket`] ([`Socket::split`]). It owns the connection: dropping it ends
/// the connection with Close 1001.
///
/// ```
/// # async fn handler(socket: adieu::Socket) -> Result<(), adieu::Closed> {
/// let (sender, mut receiver) = socket.split();
/// while let Some(message) = receiver.recv().await {
///     sender.send(message).await?;
/// }
/// # Ok(()) }
/// ```
pub struct Receiver {
    link: Arc<Link>,
    /// Messages that it was given together with one before.
    taken: Messages,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({})", self.link.peer())
    }
}

impl Receiver {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Receiver { link, taken: None }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// As [`Socket::recv`].
    pub fn recv(&mut self) -> impl Future<Output = Option<Message>> + Send + '_ {
        Recv { receiver: self, waits: false }
    }

    /// As [`Socket::recv_text`].
    ///
    /// # Errors
    /// [`NotText`] with the message, if it is a binary one.
    pub async fn recv_text(&mut self) -> Result<Option<Utf8Bytes>, NotText> {
        match self.recv().await {
            Some(Message::Text(text)) => Ok(Some(text)),
            Some(Message::Binary(bytes)) => Err(NotText::new(bytes)),
            None => Ok(None),
        }
    }

    /// As [`Socket::recv_json`].
    ///
    /// # Errors
    /// [`JsonError::NotText`](crate::JsonError::NotText),
    /// [`JsonError::Malformed`](crate::JsonError::Malformed).
    #[cfg(feature = "json")]
    pub async fn recv_json<T: serde::de::DeserializeOwned>(
        &mut self,
    ) -> Result<Option<T>, crate::JsonError> {
        let text = self.recv_text().await?;
        text.map(|text| super::json::read(&text)).transpose()
    }

    /// As [`Socket::close`].
    pub async fn close(self, close: impl IntoClose) -> Ending {
        self.link.close(Cause::Application, close.into_close());
        self.ended().await
    }

    /// As [`Socket::start_close`].
    pub fn start_close(&self, close: impl IntoClose) {
        let request = CloseRequest::of(Cause::Application, close.into_close());
        self.link.close_by(CloseRequest { reads_on: true, ..request });
    }

    /// As [`Socket::ended`].
    pub async fn ended(&self) -> Ending {
        (*self.link.ended(true).await).clone()
    }

    /// Puts the two halves of a connection together again.
    ///
    /// # Errors
    /// [`ReuniteError`] with both, if they are of two connections.
    pub fn reunite(self, sender: Sender) -> Result<Socket, ReuniteError> {
        if self.id() == sender.id() {
            return Ok(self.into());
        }
        Err(ReuniteError { receiver: self, sender })
    }

    /// As [`Socket::id`].
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.link.id()
    }

    /// As [`Socket::peer`].
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.link.peer()
    }

    /// The next message, if it is there; else this task is woken when it is.
    #[inline]
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let Receiver { link, taken } = self;
        if let Some(message) = taken.as_mut().and_then(|taken| taken.pop_front()) {
            if !link.is_unhurried() {
                link.was_taken();
            }
            return Poll::Ready(Some(message));
        }
        link.poll_recv(cx, taken)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.link.socket_dropped();
    }
}

/// A wait for a message. Given up, it is not taken for one any more.
struct Recv<'s> {
    receiver: &'s mut Receiver,
    waits: bool,
}

impl Future for Recv<'_> {
    type Output = Option<Message>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let message = self.receiver.poll_recv(cx);
        self.waits = message.is_pending();
        message
    }
}

impl Drop for Recv<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.waits {
            self.receiver.link.asks_no_more();
        }
    }
}

/// The two halves are of two connections ([`Receiver::reunite`]): both are given back.
#[derive(Debug)]
pub struct ReuniteError {
    /// The receiving half.
    pub receiver: Receiver,
    /// The sending half of another connection.
    pub sender: Sender,
}

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (receiver, sender) = (self.receiver.id(), self.sender.id());
        write!(f, "one half is of connection {receiver}, the other of connection {sender}")
    }
}

impl std::error::Error for ReuniteError {}
