//! Any stream that is neither TCP nor our TLS: another TLS library, a Unix socket, a pipe in
//! memory, a buffered stream. It is flushed, and how it ended is told as well as it says so itself.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use adieu_proto::{Evidence, PeerEnd, TransportKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::{Over, Read, Transport, WriteFailure, Written};

/// A stream of the application's own.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A stream, and what its calls have shown.
pub(crate) struct Stream {
    stream: Box<dyn Duplex>,
    kind: TransportKind,
    /// It took bytes since it was flushed last.
    held: bool,
    /// What the stream's end said of close_notify.
    close_notify: Option<bool>,
    /// The first error of a write, a flush or a shutdown: it took the reset from the reads.
    write_error: Option<io::Error>,
}

impl Stream {
    pub(crate) fn new(stream: impl Duplex + 'static) -> Self {
        let (stream, kind) = (Box::new(stream), TransportKind::Stream);
        Stream { stream, kind, held: false, close_notify: None, write_error: None }
    }

    /// A stream of HTTP/2 from an HTTP library that hides in part how it ended.
    #[cfg(feature = "hyper")]
    pub(crate) fn upgraded_http2(stream: impl Duplex + 'static) -> Self {
        Stream { kind: TransportKind::UpgradedHttp2, ..Stream::new(stream) }
    }

    /// The error of a write whose meaning no read has told.
    pub(crate) fn take_write_error(&mut self) -> Option<io::Error> {
        self.write_error.take()
    }

    fn met_a_reset(&self) -> bool {
        self.write_error.as_ref().is_some_and(|e| e.kind() == ErrorKind::ConnectionReset)
    }

    /// A read gave nothing: the peer's end, or what a failed write has left of a reset.
    fn end(&mut self) -> Over {
        let how = if self.met_a_reset() { PeerEnd::Reset } else { PeerEnd::Finished };
        match self.write_error.take() {
            Some(error) => Over::by(how, error),
            None => Over::finished(),
        }
    }

    fn failed(&mut self, error: io::Error) -> WriteFailure {
        // What it means is known when the end is read; it is told then.
        self.write_error.get_or_insert(error);
        WriteFailure::Failed(None)
    }

    /// How the peer ended, by the error of a read.
    fn judge(&mut self, error: io::Error) -> Over {
        let of_the_system = error.raw_os_error().is_some();
        match error.kind() {
            ErrorKind::ConnectionReset => Over::by(PeerEnd::Reset, error),
            // A time-out of the stream's own says nothing about the peer.
            ErrorKind::TimedOut if of_the_system => Over::by(PeerEnd::Lost, error),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
                Over::by(PeerEnd::Lost, error)
            }
            // What rustls says of a FIN without close_notify, through whatever stream it comes.
            ErrorKind::UnexpectedEof if error.to_string().contains("close_notify") => {
                if !self.met_a_reset() {
                    self.close_notify = Some(false);
                }
                self.end()
            }
            _ => Over::by(PeerEnd::Unknown, error),
        }
    }
}

impl Transport for Stream {
    fn kind(&self) -> TransportKind {
        self.kind
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Read> {
        let mut buf = ReadBuf::new(buf);
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
            Ok(()) if buf.filled().is_empty() => Read::Over(self.end()),
            Ok(()) => Read::Data(buf.filled().len()),
            Err(error) => Read::Over(self.judge(error)),
        })
    }

    fn poll_write(
        &mut self,
        cx: Option<&mut Context<'_>>,
        slices: &[IoSlice<'_>],
        _: bool,
    ) -> Written<usize> {
        let Some(cx) = cx else { return Poll::Pending };
        match ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices)) {
            Ok(0) => Poll::Ready(Err(self.failed(ErrorKind::WriteZero.into()))),
            Ok(n) => {
                self.held = true;
                Poll::Ready(Ok(n))
            }
            Err(error) => Poll::Ready(Err(self.failed(error))),
        }
    }

    fn holds(&self) -> bool {
        self.held
    }

    fn poll_flush(&mut self, cx: Option<&mut Context<'_>>) -> Written<()> {
        let Some(cx) = cx else { return Poll::Pending };
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.held = false;
        Poll::Ready(flushed.map_err(|error| self.failed(error)))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(Pin::new(&mut self.stream).poll_shutdown(cx)) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.failed(error);
            }
            Ok(()) | Err(_) => {}
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
        false
    }

    fn close_notify(&self) -> Option<bool> {
        self.close_notify
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(error: io::Error) -> (PeerEnd, Option<bool>, bool) {
        let mut stream = Stream::new(tokio::io::duplex(1).0);
        let over = stream.judge(error);
        (over.how, stream.close_notify, over.error.is_some())
    }

    #[test]
    fn an_error_is_told_as_what_it_says_and_no_more() {
        let odd = |kind, text: &str| io::Error::new(kind, text.to_owned());
        assert_eq!(judged(ErrorKind::ConnectionReset.into()).0, PeerEnd::Reset);
        assert_eq!(judged(io::Error::from_raw_os_error(libc::ETIMEDOUT)).0, PeerEnd::Lost);
        assert_eq!(judged(odd(ErrorKind::TimedOut, "my timer")).0, PeerEnd::Unknown);
        let rustls = "peer closed connection without sending TLS close_notify";
        assert_eq!(
            judged(odd(ErrorKind::UnexpectedEof, rustls)),
            (PeerEnd::Finished, Some(false), false)
        );
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::InvalidData, ErrorKind::Other] {
            assert_eq!(judged(odd(kind, "odd")), (PeerEnd::Unknown, None, true), "{kind}");
        }
    }
}
