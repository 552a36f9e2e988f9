//! A stream of HTTP/2 (RFC 9113) that an extended CONNECT has opened (RFC 8441). Its ends are
//! END_STREAM, RST_STREAM with a code, and the end of the connection below.

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use adieu_proto::{
    ConnectAnswer, Evidence, Http2, Http2ErrorCode, PeerEnd, TransportError, TransportKind,
};
use bytes::{Buf, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};

use crate::http2::{Below, BelowStream};
use crate::transport::{Over, Read, Transport, WriteFailure, Written};

/// Both directions of one stream, and what their calls have shown.
pub(crate) struct Http2Stream {
    send: SendStream<Bytes>,
    recv: Receiving,
    /// DATA that was received and not read yet.
    unread: Bytes,
    /// Bytes of DATA that the library has taken.
    taken: u64,
    /// Those of them of which it was told that they have left.
    flushed: u64,
    below_stream: Arc<BelowStream>,
    below: Arc<Below>,
    /// Our END_STREAM is in the library's queue.
    finished: bool,
    is_client: bool,
    peer: PeerDirection,
}

/// What the peer sends.
enum Receiving {
    /// As a client: the answer to our request is still to come.
    Awaited(ResponseFuture),
    Data(RecvStream),
}

/// The peer's direction of a stream, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerDirection {
    Open,
    /// END_STREAM.
    Finished,
    /// RST_STREAM, alone or behind END_STREAM.
    Reset(Reason),
    /// As a client: RST_STREAM with NO_ERROR behind END_STREAM. The server has said all and wants
    /// no more of what we would still say: that takes nothing back (RFC 9113 §8.1).
    Dismissed,
    /// As a client: a GOAWAY says that the stream was not processed (RFC 9113 §6.8).
    LeftOut,
    /// The library has reset the stream: the peer broke a rule of HTTP/2 on it.
    RuleBroken,
    /// The connection has ended, and the stream with it.
    EndedByConnection,
}

/// The largest payload of a frame that every peer takes (RFC 9113 §4.2).
const FRAME: usize = 16_384;

/// The library copies DATA that is shorter into the buffer from which it writes; behind one that is
/// longer it writes at once.
const COPIED: usize = 256;

/// How many of these bytes make a short DATA of their own in front of those that fill whole frames.
/// Behind them, as the library would cut, they would need another write: the header of a message of
/// 16 KiB.
fn over_whole_frames(bytes: usize) -> usize {
    let over = bytes % FRAME;
    if bytes > FRAME && over < COPIED { over } else { 0 }
}

impl Http2Stream {
    /// As a server: the request is answered.
    pub(crate) fn new(
        send: SendStream<Bytes>,
        recv: RecvStream,
        below: Arc<Below>,
        below_stream: Arc<BelowStream>,
    ) -> Self {
        Self::of(send, Receiving::Data(recv), below, below_stream)
    }

    /// As a client: the request has been given to the library.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "a client asks over TLS alone"))]
    pub(crate) fn asked(
        send: SendStream<Bytes>,
        response: ResponseFuture,
        below: Arc<Below>,
        below_stream: Arc<BelowStream>,
    ) -> Self {
        Self::of(send, Receiving::Awaited(response), below, below_stream)
    }

    fn of(
        send: SendStream<Bytes>,
        recv: Receiving,
        below: Arc<Below>,
        below_stream: Arc<BelowStream>,
    ) -> Self {
        let is_client = matches!(recv, Receiving::Awaited(_));
        Http2Stream {
            send,
            recv,
            unread: Bytes::new(),
            taken: 0,
            flushed: 0,
            below_stream,
            below,
            finished: false,
            is_client,
            peer: PeerDirection::Open,
        }
    }

    fn id(&self) -> u32 {
        self.send.stream_id().as_u32()
    }

    /// What the report tells of it.
    pub(crate) fn http2(&self) -> Http2 {
        let mut http2 = Http2::new(self.below.id(), self.id());
        http2.goaway = self.below.goaway();
        match self.peer {
            PeerDirection::Reset(reason) => http2.reset = Some(Http2ErrorCode(reason.into())),
            PeerDirection::Dismissed => http2.reset = Some(Http2ErrorCode::NO_ERROR),
            PeerDirection::EndedByConnection => http2.connection_end = self.below.end(),
            PeerDirection::Open
            | PeerDirection::Finished
            | PeerDirection::LeftOut
            | PeerDirection::RuleBroken => {}
        }
        http2
    }

    /// Whether the connection has read all that had arrived when the server began to stop.
    pub(crate) fn is_dry(&self) -> bool {
        self.below.is_dry()
    }

    /// Our side gives it up: what waits to leave will not.
    pub(crate) fn abort(&mut self) {
        if self.peer == PeerDirection::Open {
            self.send.send_reset(Reason::CANCEL);
        }
    }

    /// How the peer's direction ended, by the library's error.
    fn judge(&mut self, error: h2::Error) -> Over {
        self.peer = self.direction(&error);
        let unknown = |error| {
            let error = Some(TransportError::new(error));
            Over { how: PeerEnd::Unknown, then_reset: false, error }
        };
        match self.peer {
            PeerDirection::Reset(_) => Over { how: PeerEnd::Reset, then_reset: false, error: None },
            PeerDirection::Finished | PeerDirection::Dismissed => Over::finished(),
            PeerDirection::EndedByConnection => self.below.over().unwrap_or_else(|| unknown(error)),
            PeerDirection::LeftOut => {
                let words = "a GOAWAY of the server says that it has not processed the stream";
                Over::by(PeerEnd::Unknown, std::io::Error::other(words))
            }
            PeerDirection::RuleBroken | PeerDirection::Open => unknown(error),
        }
    }

    /// What became of the peer's direction, by the library's error.
    fn direction(&self, error: &h2::Error) -> PeerDirection {
        match error.reason() {
            Some(reason) if error.is_reset() && error.is_remote() => PeerDirection::Reset(reason),
            _ if error.is_reset() => PeerDirection::RuleBroken,
            _ if self.below_stream.peer_finished() => PeerDirection::Finished,
            _ if self.is_client && error.is_go_away() && error.is_remote() => {
                PeerDirection::LeftOut
            }
            _ => PeerDirection::EndedByConnection,
        }
    }

    /// Fills the buffer with what has come, of as many DATA frames as there are. An empty one says
    /// nothing (RFC 9113 §6.1).
    fn poll_data(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Read> {
        let recv = match &mut self.recv {
            Receiving::Data(recv) => recv,
            Receiving::Awaited(response) => {
                let response = ready!(Pin::new(response).poll(cx));
                return Poll::Ready(self.answered(response));
            }
        };
        let mut filled = 0;
        while filled < buf.len() {
            if self.unread.is_empty() {
                match recv.poll_data(cx) {
                    Poll::Ready(Some(Ok(data))) => self.unread = data,
                    // The next call meets the same end.
                    _ if filled > 0 => break,
                    ended => return ended.map(|end| Read::Over(self.over(end))),
                }
            }
            let n = self.unread.len().min(buf.len() - filled);
            self.unread.copy_to_slice(&mut buf[filled..filled + n]);
            filled += n;
        }
        // What fails here is said by the next read.
        let _ = recv.flow_control().release_capacity(filled);
        Poll::Ready(Read::Data(filled))
    }

    /// How the peer's direction is over, by what stands in the place of its data.
    fn over(&mut self, end: Option<Result<Bytes, h2::Error>>) -> Over {
        match end {
            Some(Err(error)) => self.judge(error),
            _ => {
                self.peer = PeerDirection::Finished;
                Over::finished()
            }
        }
    }

    fn answered(&mut self, response: Result<http::Response<RecvStream>, h2::Error>) -> Read {
        match response {
            Ok(response) => {
                let (parts, recv) = response.into_parts();
                self.recv = Receiving::Data(recv);
                Read::Answered(Box::new(answer(&parts)))
            }
            Err(error) => Read::Over(self.judge(error)),
        }
    }

    /// Whether all has left that the library has taken.
    fn has_left(&mut self) -> bool {
        let left = self.below_stream.left() >= self.taken;
        if left {
            self.flushed = self.taken;
        }
        left
    }

    /// Whether nothing can leave any more. How the stream ended is for the reads to say.
    fn is_reset(&mut self, cx: &mut Context<'_>) -> bool {
        self.send.poll_reset(cx).is_ready()
    }

    /// How many of these bytes may be sent now.
    fn poll_room(&mut self, cx: Option<&mut Context<'_>>, wanted: usize) -> Written<usize> {
        self.send.reserve_capacity(wanted);
        let mut room = self.send.capacity();
        if room == 0 {
            let Some(cx) = cx else { return Poll::Pending };
            // It is ready for each change, one to nothing included.
            while room == 0 {
                match ready!(self.send.poll_capacity(cx)) {
                    Some(Ok(capacity)) => room = capacity,
                    Some(Err(_)) | None => {
                        return Poll::Ready(Err(WriteFailure::Failed(None)));
                    }
                }
            }
        }
        Poll::Ready(Ok(room.min(wanted)))
    }
}

impl Transport for Http2Stream {
    fn kind(&self) -> TransportKind {
        TransportKind::Http2
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Read> {
        self.poll_data(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: Option<&mut Context<'_>>,
        slices: &[IoSlice<'_>],
        end_follows: bool,
    ) -> Written<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let room = ready!(self.poll_room(cx, wanted))?;
        let mut data = BytesMut::with_capacity(room);
        for slice in slices {
            let n = slice.len().min(room - data.len());
            data.extend_from_slice(&slice[..n]);
        }
        let ends = end_follows && room == wanted;
        let mut data = data.freeze();
        let first = data.split_to(over_whole_frames(room));
        let mut sent = Ok(());
        if !first.is_empty() {
            sent = self.send.send_data(first, false);
        }
        match sent.and_then(|()| self.send.send_data(data, ends)) {
            Ok(()) => {
                self.finished |= ends;
                self.taken += room as u64;
                Poll::Ready(Ok(room))
            }
            Err(_) => Poll::Ready(Err(WriteFailure::Failed(None))),
        }
    }

    fn holds(&self) -> bool {
        self.taken > self.flushed
    }

    fn poll_flush(&mut self, cx: Option<&mut Context<'_>>) -> Written<()> {
        if self.has_left() {
            return Poll::Ready(Ok(()));
        }
        let Some(cx) = cx else { return Poll::Pending };
        self.below_stream.wakes(cx);
        if self.has_left() {
            return Poll::Ready(Ok(()));
        }
        // The library does not tell a stream whose two directions are finished that its connection
        // is over.
        if self.is_reset(cx) || self.below.end().is_some() {
            return Poll::Ready(Err(WriteFailure::Failed(None)));
        }
        Poll::Pending
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.finished, true) {
            // What cannot leave any more is not waited for.
            let _ = self.send.send_data(Bytes::new(), true);
        }
        Poll::Ready(())
    }

    fn evidence(&self) -> Option<Evidence> {
        None
    }

    fn unread(&self) -> Option<usize> {
        None
    }

    fn was_reset_behind_end(&mut self) -> bool {
        if self.peer != PeerDirection::Finished {
            return false;
        }
        match self.send.poll_reset(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Reason::NO_ERROR)) if self.is_client => {
                self.peer = PeerDirection::Dismissed;
                false
            }
            Poll::Ready(Ok(reason)) => {
                self.peer = PeerDirection::Reset(reason);
                true
            }
            _ => false,
        }
    }

    fn close_notify(&self) -> Option<bool> {
        let ended = self.peer == PeerDirection::EndedByConnection;
        self.below.close_notify().filter(|_| ended)
    }
}

impl Drop for Http2Stream {
    /// The library ends what is still open behind what waits to leave: as a server with NO_ERROR
    /// where our direction is finished (RFC 9113 §8.1), else with CANCEL (RFC 8441 §5).
    fn drop(&mut self) {
        self.below.forget(self.id());
    }
}

/// The head of an answer, for the protocol.
fn answer(parts: &http::response::Parts) -> ConnectAnswer {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    ConnectAnswer {
        status: parts.status.as_u16(),
        fields: parts.headers.iter().map(field).collect(),
    }
}
