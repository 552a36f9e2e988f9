//! Room in the queue of a connection: taken at once, or reserved.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Poll, ready};

use adieu_proto::Message;

use crate::closed::Closed;
use crate::into_message::IntoMessage;
use crate::link::{Link, SendOutcome};
use crate::socket::sender::not_sent;

/// Room for one message ([`Sender::reserve`](crate::Sender::reserve)). What is sent with it is
/// queued without waiting, however large it is.
///
/// While it is kept, it counts [`RESERVE_COST`](crate::defaults::RESERVE_COST) bytes of the
/// connection's queue: other senders may have to wait for it. Dropped, it gives its room back.
#[must_use = "other senders may wait for the room that it keeps"]
pub struct Permit {
    /// `None` once it is used.
    link: Option<Arc<Link>>,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.link {
            Some(link) => write!(f, "Permit({})", link.peer()),
            None => f.write_str("Permit"),
        }
    }
}

impl Permit {
    /// Queues a message.
    ///
    /// # Errors
    /// [`Closed`], if the connection has begun to close since the room was reserved.
    pub fn send(mut self, message: impl IntoMessage) -> Result<(), Closed> {
        let Some(link) = self.link.take() else { unreachable!("it is used once") };
        match link.send_reserved(&message.into_message()) {
            SendOutcome::Queued => Ok(()),
            outcome => Err(not_sent(&link, outcome)),
        }
    }
}

#[cfg(feature = "deflate")]
impl Permit {
    /// Queues a message that is not compressed; see
    /// [`Sender::send_uncompressed`](crate::Sender::send_uncompressed).
    ///
    /// # Errors
    /// [`Closed`], if the connection has begun to close since the room was reserved.
    pub fn send_uncompressed(mut self, message: impl IntoMessage) -> Result<(), Closed> {
        let Some(link) = self.link.take() else { unreachable!("it is used once") };
        match link.send_reserved(adieu_proto::Outbound::Uncompressed(&message.into_message())) {
            SendOutcome::Queued => Ok(()),
            outcome => Err(not_sent(&link, outcome)),
        }
    }
}

#[cfg(feature = "deflate")]
pub(super) async fn send_uncompressed(link: &Arc<Link>, message: Message) -> Result<(), Closed> {
    reserve(link).await?.send_uncompressed(message)
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.give_up_reserved();
        }
    }
}

/// Why a message was not queued at once.
#[derive(Debug)]
pub enum TrySendError {
    /// There is no room: the message is given back.
    Full(Message),
    /// The connection is closing or over.
    Closed(Closed),
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySendError::Full(_) => {
                f.write_str("the queue is full: the peer reads more slowly than messages are sent")
            }
            TrySendError::Closed(closed) => closed.fmt(f),
        }
    }
}

impl std::error::Error for TrySendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TrySendError::Full(_) => None,
            TrySendError::Closed(closed) => Some(closed),
        }
    }
}

impl From<Closed> for TrySendError {
    fn from(closed: Closed) -> Self {
        TrySendError::Closed(closed)
    }
}

pub(super) fn try_send(link: &Link, message: Message) -> Result<(), TrySendError> {
    match link.try_send(&message) {
        SendOutcome::Queued => Ok(()),
        SendOutcome::Full => Err(TrySendError::Full(message)),
        outcome => Err(not_sent(link, outcome).into()),
    }
}

pub(super) fn reserve(
    link: &Arc<Link>,
) -> impl Future<Output = Result<Permit, Closed>> + Send + '_ {
    let mut place = None;
    poll_fn(move |cx| match ready!(link.poll_reserve(cx, &mut place)) {
        SendOutcome::Queued => Poll::Ready(Ok(Permit { link: Some(link.clone()) })),
        outcome => Poll::Ready(Err(not_sent(link, outcome))),
    })
}
