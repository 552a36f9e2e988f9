//! The transport under a connection: TCP, TLS over TCP, or any other stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use adieu_proto::Delivery;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::os;

/// Any stream that is neither TCP nor our TLS: how it ended is told as well as it says so itself.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The transport of one connection.
pub(crate) enum Io {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<crate::tls::TlsStream>),
    Other(Box<dyn Duplex>),
    /// Let go of.
    Closed,
}

impl Io {
    /// The peer's address, where the transport has one.
    #[cfg(feature = "hyper")]
    pub(crate) fn peer(&self) -> Option<std::net::SocketAddr> {
        self.tcp()?.peer_addr().ok()
    }

    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Io::Tcp(tcp) => Some(tcp),
            #[cfg(feature = "tls")]
            Io::Tls(tls) => Some(tls.tcp()),
            Io::Other(_) | Io::Closed => None,
        }
    }

    /// Sets what each TCP connection needs. A refusal costs latency and a backstop, no more.
    pub(crate) fn set_options(&self) {
        if let Some(Err(error)) = self.tcp().map(os::set_options) {
            tracing::debug!("TCP_NODELAY, TCP_USER_TIMEOUT: {error}");
        }
    }

    /// Whether the operating system tells what has become of bytes that left.
    pub(crate) fn tells(&self) -> bool {
        self.tcp().is_some_and(os::tells)
    }

    /// Has the kernel ask whether the peer is there, for versions that cannot ask.
    pub(crate) fn keep_alive(&self) {
        if let Some(Err(error)) = self.tcp().map(os::keep_alive) {
            tracing::debug!("SO_KEEPALIVE: {error}");
        }
    }

    /// What the operating system knows of bytes that left.
    pub(crate) fn delivery(&self) -> Option<Delivery> {
        os::delivery(self.tcp()?)
    }

    /// Bytes of the peer that the kernel has and nobody has read.
    pub(crate) fn readable(&self) -> Option<usize> {
        os::readable(self.tcp()?)
    }

    /// Whether bytes are secured by TLS that we see.
    pub(crate) fn is_tls(&self) -> bool {
        !matches!(self, Io::Tcp(_) | Io::Other(_) | Io::Closed)
    }

    /// Whether the peer's `close_notify` came; `None` without TLS.
    pub(crate) fn close_notify(&self) -> Option<bool> {
        match self {
            #[cfg(feature = "tls")]
            Io::Tls(tls) => Some(tls.close_notify_received()),
            _ => None,
        }
    }

    /// Reads what is there; filling nothing is the peer's FIN.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Io::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            #[cfg(feature = "tls")]
            Io::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
            Io::Other(other) => Pin::new(other).poll_read(cx, buf),
            Io::Closed => Poll::Ready(Ok(())),
        }
    }

    /// Writes what the transport takes. Without a context (from outside the driver's task) it
    /// is an attempt that leaves the driver's wakers alone. `fin_follows`: the transport is shut
    /// down as soon as it has taken all.
    pub(crate) fn poll_write(
        &mut self,
        cx: Option<&mut Context<'_>>,
        slices: &[IoSlice<'_>],
        fin_follows: bool,
    ) -> Poll<io::Result<usize>> {
        match self {
            Io::Tcp(tcp) => write_tcp(tcp, cx, |tcp| match slices {
                _ if fin_follows => os::write_before_fin(tcp, slices),
                // send(2) does less than writev(2).
                [bytes] => tcp.try_write(bytes),
                _ => tcp.try_write_vectored(slices),
            }),
            #[cfg(feature = "tls")]
            Io::Tls(tls) => tls.poll_write_plain(cx, slices),
            Io::Other(other) => match cx {
                Some(cx) => Pin::new(other).poll_write_vectored(cx, slices),
                None => Poll::Pending,
            },
            Io::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Shuts down our direction; over TLS with a `close_notify` first (RFC 8446 §6.1).
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Io::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Io::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
            Io::Other(other) => Pin::new(other).poll_shutdown(cx),
            Io::Closed => Poll::Ready(Ok(())),
        }
    }

    /// TLS failed: what is left is TCP, whose end is still to be heard.
    pub(crate) fn strip_tls(&mut self) {
        #[cfg(feature = "tls")]
        if self.is_tls()
            && let Io::Tls(tls) = std::mem::replace(self, Io::Closed)
        {
            *self = Io::Tcp(tls.into_tcp());
        }
    }

    /// Whether the operating system has an error latched on the socket (SO_ERROR). Takes it.
    pub(crate) fn has_error(&self) -> bool {
        self.tcp().is_some_and(|tcp| matches!(tcp.take_error(), Ok(Some(_)) | Err(_)))
    }
}

/// Writes to TCP; when it is full, asks to be woken if there is somebody to wake.
pub(crate) fn write_tcp(
    tcp: &TcpStream,
    mut cx: Option<&mut Context<'_>>,
    mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        match write(tcp) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => match &mut cx {
                Some(cx) => ready!(tcp.poll_write_ready(cx))?,
                None => return Poll::Pending,
            },
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}
