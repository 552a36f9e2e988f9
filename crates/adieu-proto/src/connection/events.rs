//! What a driver tells a connection.

use crate::close::{CloseRequest, Http2, LetGo, PeerEnd, TransportKind};
use crate::connection::Prepared;
use crate::error::{HandshakeError, TransportError};
use crate::message::Message;
use crate::negotiated::Negotiated;

/// What happened at the transport, as the transport itself judged it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TransportEvent {
    /// The transport gives evidence of what the peer's kernel acknowledges: from now on it comes
    /// with each [`handle_timeout`](crate::Connection::handle_timeout), and no peer that still
    /// reads is given up.
    GivesEvidence,
    /// The transport is one stream of a connection that has many (HTTP/2): when both Closes have
    /// crossed a server can end it in both directions at once and nothing is lost, so that nothing
    /// more is awaited from the client. A client ends its own direction and waits for the
    /// server's; neither of the two has to end first.
    Multiplexed,
    /// The transport took so many bytes of the output.
    Transmitted {
        /// How many.
        bytes: usize,
        /// Whether the transport keeps them until it is flushed. They have not left before that.
        held: bool,
    },
    /// What the transport held has left.
    Flushed,
    /// The transport takes nothing for now.
    Blocked,
    /// Nothing can leave any more. Read on: how the peer ended is still to be heard. The error, if
    /// there is one, explains.
    WriteFailed(Option<TransportError>),
    /// The driver does not read for now, because the application is behind: an answer to our Ping
    /// may be waiting unread. Tell it before [`handle_timeout`](crate::Connection::handle_timeout).
    ReadingPaused,
    /// The peer's close_notify was read: its data is over, its TCP is not.
    CloseNotify,
    /// The peer's bytes are no TLS, or cannot be read as TLS any more. From here on nothing can be
    /// sent, and nothing that still comes counts as said by the peer.
    TlsFailed(TransportError),
    /// The peer's direction ended, after all its bytes were received.
    PeerEnded(PeerEnd, Option<TransportError>),
    /// What is known of the stream of HTTP/2 that the transport is: before
    /// [`PeerEnded`](Self::PeerEnded), and for the report before [`Released`](Self::Released).
    Http2(Http2),
    /// The transport was let go of. The report follows.
    Released {
        /// What it was.
        kind: TransportKind,
        /// Bytes that left and were not acknowledged, where that is known.
        unacknowledged: Option<u64>,
        /// Whether the peer's close_notify came, where that is known.
        close_notify: Option<bool>,
    },
}

/// What our side wants of the ending.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Command {
    /// End the connection. The first request counts; later ones, and those after the peer began,
    /// change nothing.
    Close(CloseRequest),
    /// The application has read to the end of the messages, or is gone: our answer may go out.
    EndSeen,
    /// Our server is stopping: a fact for the report, and the peer's Close is not awaited for long.
    Drain,
    /// Let go at once: what has not left by now will not, what has not come will not be read.
    LetGo(LetGo),
}

/// What becomes of a request ([`Event::Request`](crate::Event::Request)).
#[derive(Clone, Debug)]
pub enum Decision {
    /// It is accepted, with what is agreed on.
    Accept(Negotiated),
    /// The same, with further fields in the 101: name and value.
    AcceptWith(Negotiated, Vec<(String, Vec<u8>)>),
    /// It is refused; the response follows from the error.
    Refuse(HandshakeError),
    /// It is refused with a response of the application's own, the whole of it as bytes; the error
    /// is told in the report.
    RefuseWith(HandshakeError, Vec<u8>),
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub enum Outbound<'a> {
    /// A message, encoded for this connection.
    Message(&'a Message),
    /// A message that was encoded before, for many connections.
    Prepared(&'a Prepared),
    /// A message that is not compressed, whatever was agreed on:
    /// [`Connection::send_uncompressed`](crate::Connection::send_uncompressed).
    #[cfg(feature = "deflate")]
    Uncompressed(&'a Message),
}

impl<'a> From<&'a Message> for Outbound<'a> {
    fn from(message: &'a Message) -> Self {
        Outbound::Message(message)
    }
}

impl<'a> From<&'a Prepared> for Outbound<'a> {
    fn from(prepared: &'a Prepared) -> Self {
        Outbound::Prepared(prepared)
    }
}
