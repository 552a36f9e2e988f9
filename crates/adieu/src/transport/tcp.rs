//! TCP. Its ends are a FIN, an RST, and the operating system's giving up; Linux tells which bytes
//! the peer's kernel has acknowledged.

use std::io::{self, ErrorKind, IoSlice};
#[cfg(feature = "hyper")]
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use adieu_proto::{Evidence, PeerEnd, TransportKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::transport::{Over, Read, Transport, WriteFailure, Written, tcp_info};

/// A TCP connection, and what its calls have shown of the peer.
pub(crate) struct Tcp {
    socket: TcpStream,
    /// The first error of a write. It took the socket's error away: Linux gives it once, to a read
    /// or a write, and reads that follow look like a FIN.
    write_error: Option<io::Error>,
    /// The peer's FIN was read.
    fin_read: bool,
    /// Our FIN was sent: it counts as one byte that is not acknowledged.
    fin_sent: bool,
    /// A write has met the RST that came behind the peer's FIN.
    reset_behind_end: bool,
    /// An HTTP library had the connection before, and may have taken the socket's error.
    handed_over: bool,
    /// The peer was read since: the connection was not over then.
    heard: bool,
}

impl Tcp {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Tcp {
            socket,
            write_error: None,
            fin_read: false,
            fin_sent: false,
            reset_behind_end: false,
            handed_over: false,
            heard: false,
        }
    }

    /// A connection that an HTTP library had before.
    #[cfg(feature = "hyper")]
    pub(crate) fn handed_over(socket: TcpStream) -> Self {
        Tcp { handed_over: true, ..Self::new(socket) }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }

    /// A read gave nothing: the peer's FIN, or what a failed write has left of another end.
    pub(crate) fn end_of_file(&mut self) -> Over {
        let over = match self.write_error.take() {
            None => self.broke_before().map_or_else(Over::finished, |text| {
                Over::by(PeerEnd::Unknown, io::Error::other(text))
            }),
            Some(error) => after_a_failed_write(error, tcp_info::EPIPE_MEANS_RST),
        };
        self.fin_read = over.how == PeerEnd::Finished;
        over
    }

    /// Says so if the connection is over though neither side has finished it: an RST or a time-out,
    /// whose error the HTTP library took and kept to itself. Where the system does not say whether
    /// the connection is over, that may be so until the peer is heard.
    fn broke_before(&self) -> Option<&'static str> {
        if !self.handed_over || self.fin_sent {
            return None;
        }
        match tcp_info::is_closed(&self.socket) {
            Some(true) => Some("the connection broke before the HTTP library handed it over"),
            None if !self.heard => {
                Some("a FIN, or the connection broke before the HTTP library handed it over")
            }
            Some(false) | None => None,
        }
    }

    /// A write failed.
    pub(crate) fn write_failed(&mut self, error: io::Error) -> WriteFailure {
        if self.fin_read && is_reset(error.kind(), tcp_info::EPIPE_MEANS_RST) {
            self.reset_behind_end = true;
            return WriteFailure::ResetBehindEnd;
        }
        // A copy explains: the error itself is what the end is judged by. An RST explains itself.
        let copy = || match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.kind().into(),
        };
        let explains = !is_reset(error.kind(), tcp_info::EPIPE_MEANS_RST);
        let explains = explains.then(|| copy().into());
        self.write_error.get_or_insert(error);
        WriteFailure::Failed(explains)
    }

    /// Tries a write until it is done or the socket is full; when it is full, asks to be woken if
    /// there is somebody to wake.
    #[inline]
    pub(crate) fn poll_io(
        &self,
        mut cx: Option<&mut Context<'_>>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(&self.socket) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => match &mut cx {
                    Some(cx) => ready!(self.socket.poll_write_ready(cx))?,
                    None => return Poll::Pending,
                },
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

/// How the peer ended, by the error of a read.
pub(crate) fn judge(error: io::Error) -> Over {
    let how = match error.kind() {
        ErrorKind::ConnectionReset => PeerEnd::Reset,
        ErrorKind::TimedOut
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown => PeerEnd::Lost,
        _ => PeerEnd::Unknown,
    };
    // The end says all that these errors say.
    let error = (how != PeerEnd::Reset).then(|| error.into());
    Over { how, then_reset: false, error }
}

/// How the peer ended, where a read gives nothing and a write had failed before.
fn after_a_failed_write(error: io::Error, epipe_means_rst: bool) -> Over {
    if epipe_means_rst && error.kind() == ErrorKind::BrokenPipe {
        // EPIPE before our own FIN: an RST came when the peer's FIN was there unread.
        return Over { then_reset: true, ..Over::finished() };
    }
    judge(error)
}

/// Whether the error of a write behind the peer's FIN means an RST: Linux calls that EPIPE.
fn is_reset(kind: ErrorKind, epipe_means_rst: bool) -> bool {
    kind == ErrorKind::ConnectionReset || (epipe_means_rst && kind == ErrorKind::BrokenPipe)
}

impl Transport for Tcp {
    fn kind(&self) -> TransportKind {
        TransportKind::Tcp
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Read> {
        let mut buf = ReadBuf::new(buf);
        Poll::Ready(match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf)) {
            Ok(()) if buf.filled().is_empty() => Read::Over(self.end_of_file()),
            Ok(()) => {
                self.heard = true;
                Read::Data(buf.filled().len())
            }
            Err(error) => Read::Over(judge(error)),
        })
    }

    #[inline]
    fn poll_write(
        &mut self,
        cx: Option<&mut Context<'_>>,
        slices: &[IoSlice<'_>],
        end_follows: bool,
    ) -> Written<usize> {
        let written = ready!(self.poll_io(cx, |socket| match slices {
            _ if end_follows => tcp_info::write_before_fin(socket, slices),
            // send(2) does less than writev(2).
            [bytes] => socket.try_write(bytes),
            _ => socket.try_write_vectored(slices),
        }));
        Poll::Ready(written.map_err(|error| self.write_failed(error)))
    }

    #[inline]
    fn holds(&self) -> bool {
        false
    }

    fn poll_flush(&mut self, _: Option<&mut Context<'_>>) -> Written<()> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = ready!(Pin::new(&mut self.socket).poll_shutdown(cx));
        self.fin_sent = true;
        Poll::Ready(())
    }

    fn evidence(&self) -> Option<Evidence> {
        let evidence = tcp_info::evidence(&self.socket)?;
        let outstanding = evidence.outstanding.saturating_sub(u64::from(self.fin_sent));
        Some(Evidence { outstanding, ..evidence })
    }

    fn unread(&self) -> Option<usize> {
        tcp_info::unread(&self.socket)
    }

    fn was_reset_behind_end(&mut self) -> bool {
        let latched = || self.socket.take_error().ok().flatten();
        let met = std::mem::take(&mut self.reset_behind_end);
        let means_rst = |error: io::Error| is_reset(error.kind(), tcp_info::EPIPE_MEANS_RST);
        met || (self.fin_read && latched().is_some_and(means_rst))
    }

    fn close_notify(&self) -> Option<bool> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_pipe_tells_of_an_rst_only_where_it_can_mean_nothing_else() {
        let broken = || io::Error::from(ErrorKind::BrokenPipe);
        let on_linux = after_a_failed_write(broken(), true);
        assert!(on_linux.how == PeerEnd::Finished && on_linux.then_reset);
        let elsewhere = after_a_failed_write(broken(), false);
        assert!(elsewhere.how == PeerEnd::Unknown && !elsewhere.then_reset);
        assert!(elsewhere.error.is_some(), "the error explains what is not known");
        assert!(is_reset(ErrorKind::BrokenPipe, true) && !is_reset(ErrorKind::BrokenPipe, false));
        assert!(is_reset(ErrorKind::ConnectionReset, false));
    }
}
