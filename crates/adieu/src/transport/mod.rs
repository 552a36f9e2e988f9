//! What carries a connection: one trait, and one file for each kind. A transport moves bytes,
//! judges its own ends, and gives evidence of what became of bytes that left. Nobody else looks
//! at an [`io::Error`](std::io::Error).

#[cfg(feature = "http2")]
mod http2;
mod stream;
mod tcp;
mod tcp_info;
#[cfg(feature = "tls")]
pub(crate) mod tls;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use adieu_proto::{Evidence, PeerEnd, TransportError, TransportKind};
use socket2::SockRef;

#[cfg(feature = "http2")]
pub(crate) use http2::Http2Stream;
pub(crate) use stream::{Duplex, Stream};
pub(crate) use tcp::{Tcp, judge};
pub(crate) use tcp_info::{Options, has_options};

/// What a read came to.
#[derive(Debug)]
pub(crate) enum Read {
    /// So many bytes of the peer.
    Data(usize),
    /// The peer's close_notify of TLS: its data is over. Read on: how TCP ends is to come.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "TLS says it"))]
    CloseNotify,
    /// The peer's bytes are no TLS, or cannot be read as TLS any more. Read on, as after
    /// close_notify.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "TLS says it"))]
    TlsFailed(TransportError),
    /// The head of the answer to our request, as a library has read it. What it opens or refuses
    /// follows.
    #[cfg(feature = "http2")]
    Answered(Box<adieu_proto::ConnectAnswer>),
    /// The peer's direction is over: nothing more will be read.
    Over(Over),
}

/// How the peer's direction ended.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) how: PeerEnd,
    /// A write has met the RST that came behind the peer's FIN.
    pub(crate) then_reset: bool,
    pub(crate) error: Option<TransportError>,
}

impl Over {
    /// The peer finished its direction.
    pub(crate) fn finished() -> Self {
        Over { how: PeerEnd::Finished, then_reset: false, error: None }
    }

    /// It ended like this, with an error that explains.
    pub(crate) fn by(how: PeerEnd, error: impl Into<TransportError>) -> Self {
        Over { how, then_reset: false, error: Some(error.into()) }
    }
}

/// Why nothing can leave any more.
#[derive(Debug)]
pub(crate) enum WriteFailure {
    /// The peer has finished its direction, and an RST came behind that.
    ResetBehindEnd,
    /// That says nothing about the peer: how it ended is still to be read.
    Failed(Option<TransportError>),
}

/// What a write or a flush came to.
pub(crate) type Written<T> = Poll<Result<T, WriteFailure>>;

/// What carries one connection.
pub(crate) trait Transport {
    /// What it is: it says what can be known of its end.
    fn kind(&self) -> TransportKind;

    /// Reads what is there, or how the peer's direction ended: then it is not called again.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Read>;

    /// Writes what the transport takes. Without a context (from outside the driver's task) it is an
    /// attempt that leaves the driver's wakers alone. `end_follows`: our direction is finished as
    /// soon as all was taken.
    fn poll_write(
        &mut self,
        cx: Option<&mut Context<'_>>,
        slices: &[IoSlice<'_>],
        end_follows: bool,
    ) -> Written<usize>;

    /// Whether it holds bytes that it took, ours or its own: they leave with a flush.
    fn holds(&self) -> bool;

    /// Has all leave that it holds.
    fn poll_flush(&mut self, cx: Option<&mut Context<'_>>) -> Written<()>;

    /// Finishes our direction: a FIN, over TLS with a close_notify before it (RFC 8446 §6.1).
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// What is known of bytes that left.
    fn evidence(&self) -> Option<Evidence>;

    /// Bytes that may be read without waiting, at most; `None` where that is not known.
    fn unread(&self) -> Option<usize>;

    /// Whether an RST has come behind the peer's FIN that nobody has met yet. Takes that knowledge.
    fn was_reset_behind_end(&mut self) -> bool;

    /// Whether the peer's close_notify came, where that is known.
    fn close_notify(&self) -> Option<bool>;
}

/// The transport of one connection. The usual ones are called without an indirection.
pub(crate) enum AnyTransport {
    Tcp(Tcp),
    #[cfg(feature = "tls")]
    Tls(Box<tls::TlsStream>),
    #[cfg(feature = "http2")]
    Http2(Box<Http2Stream>),
    Stream(Box<Stream>),
    /// Let go of.
    Released(TransportKind),
}

macro_rules! of_each {
    ($transport:expr, $it:ident => $call:expr, released: $released:expr) => {
        match $transport {
            AnyTransport::Tcp($it) => $call,
            #[cfg(feature = "tls")]
            AnyTransport::Tls($it) => $call,
            #[cfg(feature = "http2")]
            AnyTransport::Http2($it) => $call,
            AnyTransport::Stream($it) => $call,
            AnyTransport::Released(_) => $released,
        }
    };
}

impl AnyTransport {
    /// Another stream than TCP and our TLS.
    pub(crate) fn stream(stream: impl Duplex + 'static) -> Self {
        AnyTransport::Stream(Box::new(Stream::new(stream)))
    }

    /// TCP, itself or under our TLS.
    pub(crate) fn tcp(&self) -> Option<&Tcp> {
        match self {
            AnyTransport::Tcp(tcp) => Some(tcp),
            #[cfg(feature = "tls")]
            AnyTransport::Tls(tls) => Some(tls.tcp()),
            #[cfg(feature = "http2")]
            AnyTransport::Http2(_) => None,
            AnyTransport::Stream(_) | AnyTransport::Released(_) => None,
        }
    }

    /// The peer's address, where the transport has one.
    #[cfg(feature = "hyper")]
    pub(crate) fn peer(&self) -> Option<std::net::SocketAddr> {
        self.tcp()?.peer()
    }

    /// A second handle of the TCP socket, for whoever wants to set an option of it.
    pub(crate) fn try_clone_tcp(&self) -> io::Result<std::net::TcpStream> {
        match self.tcp() {
            Some(tcp) => SockRef::from(tcp.socket()).try_clone().map(Into::into),
            None if self.is_released() => Err(io::ErrorKind::NotConnected.into()),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Sets what each TCP connection needs. A refusal costs latency and a backstop, no more.
    pub(crate) fn set_options(&self, options: Options) {
        if let Some(Err(error)) = self.tcp().map(|tcp| options.set(tcp.socket())) {
            tracing::debug!("TCP_NODELAY, TCP_USER_TIMEOUT: {error}");
        }
    }

    /// Has the kernel ask whether the peer is there, for versions that cannot ask.
    pub(crate) fn keep_alive(&self) {
        if let Some(Err(error)) = self.tcp().map(|tcp| tcp_info::keep_alive(tcp.socket())) {
            tracing::debug!("SO_KEEPALIVE: {error}");
        }
    }

    /// Whether the transport gives evidence of what became of bytes that left.
    pub(crate) fn gives_evidence(&self) -> bool {
        self.tcp().is_some_and(|tcp| tcp_info::tells(tcp.socket()))
    }

    /// TLS is given up: nothing is said in it any more, and how TCP ends is still to be read.
    pub(crate) fn give_up_tls(&mut self) {
        #[cfg(feature = "tls")]
        if let AnyTransport::Tls(tls) = self {
            tls.give_up();
        }
    }

    /// Gives up the transport.
    pub(crate) fn release(&mut self) -> Self {
        let released = AnyTransport::Released(self.kind());
        std::mem::replace(self, released)
    }

    /// Whether it is one stream of a connection that has many.
    pub(crate) fn is_multiplexed(&self) -> bool {
        self.kind() == TransportKind::Http2
    }

    /// Whether the connection below has read all that had arrived when the server began to stop,
    /// where this is one of its streams.
    pub(crate) fn connection_is_dry(&self) -> Option<bool> {
        match self {
            #[cfg(feature = "http2")]
            AnyTransport::Http2(stream) => Some(stream.is_dry()),
            _ => None,
        }
    }

    /// What is known of the stream of HTTP/2, where it is one.
    pub(crate) fn http2(&self) -> Option<adieu_proto::Http2> {
        match self {
            #[cfg(feature = "http2")]
            AnyTransport::Http2(stream) => Some(stream.http2()),
            _ => None,
        }
    }

    /// Our side gives the connection up: what waits to leave will not, and the peer is told.
    pub(crate) fn abort(&mut self) {
        #[cfg(feature = "http2")]
        if let AnyTransport::Http2(stream) = self {
            stream.abort();
        }
    }

    /// The error of a write that is not told yet.
    pub(crate) fn take_write_error(&mut self) -> Option<TransportError> {
        match self {
            AnyTransport::Stream(stream) => stream.take_write_error().map(TransportError::from),
            _ => None,
        }
    }

    /// Whether a write from outside the driver's task is more than an attempt that never succeeds.
    pub(crate) fn writes_anywhere(&self) -> bool {
        !matches!(self, AnyTransport::Stream(_))
    }

    /// Whether nothing can be said yet, because the TLS handshake is under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        #[cfg(feature = "tls")]
        if let AnyTransport::Tls(tls) = self {
            return tls.is_handshaking();
        }
        false
    }

    /// What TLS knows of the connection, once its handshake is complete.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_info(&self) -> Option<crate::tls::TlsInfo> {
        match self {
            AnyTransport::Tls(tls) => tls.info(),
            _ => None,
        }
    }

    pub(crate) fn is_released(&self) -> bool {
        matches!(self, AnyTransport::Released(_))
    }
}

impl Transport for AnyTransport {
    fn kind(&self) -> TransportKind {
        match self {
            AnyTransport::Released(kind) => *kind,
            transport => of_each!(transport, it => it.kind(), released: TransportKind::Unknown),
        }
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Read> {
        of_each!(self, it => it.poll_read(cx, buf), released: Poll::Pending)
    }

    #[inline]
    fn poll_write(
        &mut self,
        cx: Option<&mut Context<'_>>,
        slices: &[IoSlice<'_>],
        end_follows: bool,
    ) -> Written<usize> {
        let released = Poll::Ready(Err(WriteFailure::Failed(None)));
        of_each!(self, it => it.poll_write(cx, slices, end_follows), released: released)
    }

    #[inline]
    fn holds(&self) -> bool {
        of_each!(self, it => it.holds(), released: false)
    }

    fn poll_flush(&mut self, cx: Option<&mut Context<'_>>) -> Written<()> {
        of_each!(self, it => it.poll_flush(cx), released: Poll::Ready(Ok(())))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        of_each!(self, it => it.poll_finish(cx), released: Poll::Ready(()))
    }

    fn evidence(&self) -> Option<Evidence> {
        of_each!(self, it => it.evidence(), released: None)
    }

    fn unread(&self) -> Option<usize> {
        of_each!(self, it => it.unread(), released: Some(0))
    }

    fn was_reset_behind_end(&mut self) -> bool {
        of_each!(self, it => it.was_reset_behind_end(), released: false)
    }

    fn close_notify(&self) -> Option<bool> {
        of_each!(self, it => it.close_notify(), released: None)
    }
}
