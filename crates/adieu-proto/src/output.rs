//! What a connection asks its driver to do.

use std::time::Instant;

use crate::close::{Close, Ending};
use crate::handshake::{Request, ResponseHead};
use crate::negotiated::Negotiated;
use crate::version::Version;

/// What the driver has to do next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Write what [`Connection::slices`](crate::Connection::slices) holds, and say how much the
    /// transport took. If the transport takes nothing, say so
    /// ([`TransportEvent::Blocked`](crate::TransportEvent::Blocked)) and go on when it is writable.
    Transmit,
    /// Finish our direction of the transport: a FIN of TCP, with a close_notify of TLS before it.
    Finish,
    /// Let go of the transport, then say so
    /// ([`TransportEvent::Released`](crate::TransportEvent::Released)).
    Disconnect,
    /// Tell the application.
    Event(Event),
    /// Nothing for now. Call
    /// [`Connection::handle_timeout`](crate::Connection::handle_timeout) at this time, if there is
    /// one.
    Timeout(Option<Instant>),
}

/// What the application hears. Messages are not events: they come in
/// [`Scratch::messages`](crate::Scratch::messages).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// As a server: a valid request. Answer with
    /// [`Connection::decide`](crate::Connection::decide).
    Request(Request, Version),
    /// As a client: the head of the answer that opened the WebSocket. [`Opened`](Event::Opened)
    /// follows.
    Response(ResponseHead),
    /// The opening handshake is complete: what was agreed on.
    Opened(Negotiated),
    /// No further messages will come.
    EndOfMessages,
    /// The Pings of [`Connection::ping`](crate::Connection::ping) are answered, up to this number.
    Pong(u64),
    /// The peer's Close was read, early; the report follows when the transport is over.
    CloseReceived(Close),
    /// The report. Exactly once, last.
    Ended(Box<Ending>),
}
