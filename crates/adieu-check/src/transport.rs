//! What carries a WebSocket: a connection of its own, or a stream of HTTP/2.

use std::io;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::timeout;

use crate::http2::Http2;
use crate::stream::Stream;

/// After both ends: an RST that still comes within it belongs to the ending. A server that closes
/// a socket with unread bytes resets at once; this is slack for the scheduler.
const AFTERMATH: Duration = Duration::from_millis(250);

/// The transport of a raw peer.
pub(crate) enum Transport {
    /// TCP, or TLS over TCP.
    Connection(Stream),
    /// A stream of HTTP/2.
    Http2(Box<Http2>),
}

impl Transport {
    /// Reads what is there: 0 is the FIN (END_STREAM), `WouldBlock` is nothing yet.
    pub(crate) fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Connection(stream) => stream.try_read(bytes),
            Transport::Http2(http2) => http2.try_read(bytes),
        }
    }

    /// Writes what is taken, `WouldBlock` if nothing is.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Connection(stream) => stream.try_write(bytes),
            Transport::Http2(http2) => http2.try_write(bytes),
        }
    }

    /// Whether something taken has not left yet.
    pub(crate) fn holds_output(&self) -> bool {
        match self {
            Transport::Connection(stream) => stream.holds_output(),
            Transport::Http2(http2) => http2.holds_output(),
        }
    }

    /// Whether a write could do something for output that waits.
    pub(crate) fn wants_write(&self, waiting: bool) -> bool {
        match self {
            Transport::Connection(stream) => stream.wants_write(waiting),
            Transport::Http2(http2) => http2.wants_write(waiting),
        }
    }

    /// Writes what was held back.
    pub(crate) fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Connection(stream) => stream.try_flush(),
            Transport::Http2(http2) => http2.try_flush(),
        }
    }

    /// Waits until a read, or a write if wanted, may do something.
    pub(crate) async fn ready(&self, write: bool) {
        match self {
            Transport::Connection(stream) => stream.ready(write).await,
            Transport::Http2(http2) => http2.ready(write).await,
        }
    }

    /// Waits until bytes of the WebSocket can be read, and leaves them there.
    pub(crate) async fn readable(&mut self) {
        match self {
            Transport::Connection(stream) => stream.ready(false).await,
            Transport::Http2(http2) => http2.readable().await,
        }
    }

    /// Waits until a write may do something.
    pub(crate) async fn writable(&mut self) {
        match self {
            Transport::Connection(stream) => stream.writable().await,
            Transport::Http2(http2) => http2.writable().await,
        }
    }

    /// Ends our direction: the FIN, over TLS behind a `close_notify`, or END_STREAM.
    pub(crate) async fn fin(&mut self) {
        match self {
            Transport::Connection(stream) => stream.fin().await,
            Transport::Http2(http2) => http2.fin().await,
        }
    }

    /// Another stream of the same connection, if it is one of HTTP/2 that takes more.
    pub(crate) fn next_stream(self) -> Option<Self> {
        let Transport::Http2(mut http2) = self else { return None };
        http2.next_stream().then_some(Transport::Http2(http2))
    }

    /// Whether an RST is here already, though what came before it was not read to its end. TCP
    /// tells only by a read.
    pub(crate) fn is_reset(&self) -> bool {
        match self {
            Transport::Connection(_) => false,
            Transport::Http2(http2) => http2.is_reset(),
        }
    }

    /// Whether an RST comes behind the end of both directions. Ends the connection as well.
    pub(crate) async fn reset_follows(&mut self) -> bool {
        match self {
            Transport::Connection(stream) => {
                let tcp = stream.tcp();
                let _ = timeout(AFTERMATH, tcp.ready(Interest::ERROR)).await;
                matches!(tcp.take_error(), Ok(Some(_)) | Err(_))
            }
            Transport::Http2(http2) => {
                let follows = timeout(AFTERMATH, http2.reset_follows()).await.unwrap_or(false);
                http2.close().await;
                follows
            }
        }
    }
}
