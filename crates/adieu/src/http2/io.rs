//! The transport as the HTTP/2 library reads and writes it. The library hides how the connection
//! ended and what of a stream has left: both are seen here, as they pass.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adieu_proto::PeerEnd;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::below::{Acked, Below};
use super::frames::{Frames, Seen};
use crate::transport::{AnyTransport, Over, Read, Transport};

/// Read at once at most: a record of TLS, and a frame.
const READ_AT_ONCE: usize = 16 * 1024;

thread_local! {
    /// What was read, on its way to the library. The library's own buffer has never been written
    /// to, and would have to be filled with zeros before each read.
    static BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A transport that an HTTP/2 library reads and writes.
pub(crate) struct Io {
    /// `None` once it was given back.
    transport: Option<AnyTransport>,
    back: Option<oneshot::Sender<AnyTransport>>,
    /// What was read before.
    first: Bytes,
    below: Arc<Below>,
    incoming: Frames,
    outgoing: Frames,
    /// What the transport has taken and still holds.
    held: Vec<Seen>,
    /// Nothing can leave any more. How the peer ended is still to be read, and what it said before:
    /// the library would not read on if it knew.
    broken: bool,
    over: bool,
}

/// The transport, when the library is done with it.
pub(crate) type Back = oneshot::Receiver<AnyTransport>;

/// How long a connection may take to end whose streams are over: for the last frames to leave, and
/// for the peer to end TCP.
pub(super) const LINGER: Duration = Duration::from_secs(1);

impl Io {
    /// The server's side. `first` was read before.
    pub(super) fn of_server(
        transport: AnyTransport,
        first: Bytes,
        below: Arc<Below>,
    ) -> (Self, Back) {
        Self::new(transport, first, below, Frames::of_client(), Frames::of_server())
    }

    /// The client's side.
    #[cfg(feature = "tls")]
    pub(crate) fn of_client(transport: AnyTransport, below: Arc<Below>) -> (Self, Back) {
        Self::new(transport, Bytes::new(), below, Frames::of_server(), Frames::of_client())
    }

    fn new(
        transport: AnyTransport,
        first: Bytes,
        below: Arc<Below>,
        incoming: Frames,
        outgoing: Frames,
    ) -> (Self, Back) {
        let (back, given_back) = oneshot::channel();
        let io = Io {
            transport: Some(transport),
            back: Some(back),
            first,
            below,
            incoming,
            outgoing,
            held: Vec::new(),
            broken: false,
            over: false,
        };
        (io, given_back)
    }

    fn saw(&mut self, bytes: &[u8]) {
        let below = &self.below;
        below.is_heard();
        self.incoming.pass(bytes, |seen| match seen {
            Seen::GoAway { last, code } => below.says_goaway(last, code),
            Seen::Settings => below.says_settings(),
            Seen::Data { stream, end: true, .. } => below.peer_finishes(stream),
            Seen::Data { .. } => {}
        });
    }

    /// The peer's direction is over.
    fn ended(&mut self, over: &Over, close_notify: Option<bool>) -> io::Result<()> {
        self.over = true;
        self.below.peer_ended(over, close_notify);
        match over.how {
            PeerEnd::Finished => Ok(()),
            PeerEnd::Reset => Err(ErrorKind::ConnectionReset.into()),
            PeerEnd::Lost => Err(ErrorKind::TimedOut.into()),
            PeerEnd::Unknown => Err(ErrorKind::Other.into()),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.over {
            return Poll::Ready(Ok(()));
        }
        let Some(transport) = &mut self.transport else { return Poll::Ready(Ok(())) };
        if self.below.is_watched() {
            let evidence = transport.evidence();
            self.below.saw(evidence.map_or_else(Acked::default, |it| Acked::of(&it)));
        }
        let mut bytes = BYTES.take();
        bytes.resize(READ_AT_ONCE, 0);
        let room = buf.remaining().min(READ_AT_ONCE);
        let read = transport.poll_read(cx, &mut bytes[..room]);
        if read.is_pending() && self.below.is_watched() {
            // The runtime hears later than the kernel of what came.
            let unread = transport.tcp().and_then(Transport::unread);
            if unread.is_none_or(|bytes| bytes == 0) {
                self.below.reads_dry();
            }
        }
        if let Poll::Ready(Read::Data(n)) = read {
            self.saw(&bytes[..n]);
            buf.put_slice(&bytes[..n]);
        }
        BYTES.set(bytes);
        self.has_read(ready!(read))
    }

    /// What follows from a read.
    fn has_read(&mut self, read: Read) -> Poll<io::Result<()>> {
        let close_notify = self.transport.as_ref().and_then(Transport::close_notify);
        Poll::Ready(match read {
            Read::Data(_) => Ok(()),
            Read::CloseNotify => {
                self.below.says_close_notify();
                self.over = true;
                Ok(())
            }
            Read::TlsFailed(error) => {
                self.over = true;
                self.below.fails(error.clone());
                Err(io::Error::new(ErrorKind::InvalidData, error))
            }
            Read::Over(over) => self.ended(&over, close_notify),
            Read::Answered(_) => unreachable!("no stream of HTTP/2 lies beneath another"),
        })
    }

    /// What the transport was given has left, if it holds nothing.
    fn has_left(&mut self) {
        if !self.transport.as_ref().is_some_and(Transport::holds) {
            self.below.left(&mut self.held);
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if io.first.has_remaining() {
            let n = io.first.len().min(buf.remaining());
            let first = io.first.split_to(n);
            buf.put_slice(&first);
            io.saw(&first);
            return Poll::Ready(Ok(()));
        }
        io.poll_next(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        let Some(transport) = io.transport.as_mut().filter(|_| !io.broken) else {
            // Taken, and never told as what has left.
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        };
        match ready!(transport.poll_write(Some(cx), slices, false)) {
            Ok(taken) => {
                let mut rest = taken;
                for slice in slices {
                    let n = rest.min(slice.len());
                    io.outgoing.pass(&slice[..n], |seen| io.held.push(seen));
                    rest -= n;
                }
                io.has_left();
                Poll::Ready(Ok(taken))
            }
            Err(_) => {
                io.broken = true;
                Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        let Some(transport) = io.transport.as_mut().filter(|_| !io.broken) else {
            return Poll::Ready(Ok(()));
        };
        if transport.holds() {
            io.broken = ready!(transport.poll_flush(Some(cx))).is_err();
        }
        if !io.broken {
            io.has_left();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if let Some(transport) = &mut io.transport {
            ready!(transport.poll_finish(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if let (Some(transport), Some(back)) = (self.transport.take(), self.back.take()) {
            // Where nobody waits for it, it is dropped.
            let _ = back.send(transport);
        }
    }
}

/// The library is done with the transport: our direction is finished, and the peer's end is
/// awaited for a moment. A socket that is closed with unread input would send an RST, and the
/// peer would lose what is on its way.
pub(crate) async fn linger(back: Back) {
    let Ok(mut transport) = back.await else { return };
    let ends = async {
        poll_fn(|cx| transport.poll_flush(Some(cx))).await.ok();
        poll_fn(|cx| transport.poll_finish(cx)).await;
        let mut dropped = [0; 4096];
        while !matches!(poll_fn(|cx| transport.poll_read(cx, &mut dropped)).await, Read::Over(_)) {}
    };
    let _ = tokio::time::timeout(LINGER, ends).await;
}
