//! TLS by rustls over TCP, driven here so that both layers of an end are seen: whether the peer's
//! close_notify came, and what TCP did after it; and whether our bytes have left the TLS layer or
//! only entered it.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use adieu_proto::{Evidence, TransportKind};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::transport::tcp::judge;
use crate::transport::{Over, Read, Tcp, Transport, Written};

/// Plain bytes that wait inside the TLS layer at most. More would sit where the report does not
/// see them; less would cost a write per record of 16 KiB.
const TLS_BUFFER: usize = 64 * 1024;

/// Bytes of TCP that are read at a time once TLS is over, to be dropped.
const DROPPED: usize = 4 * 1024;

/// Bytes that a few records may hold which were taken from the kernel and not read yet.
const RECORDS: usize = 64 * 1024;

/// A TLS connection over TCP that knows how it ended.
pub struct TlsStream {
    tcp: Tcp,
    tls: Connection,
    /// Whether TLS still has something to say to us.
    inbound: Inbound,
    /// Our close_notify is in the TLS layer's output, or TLS was given up.
    finishing: bool,
    /// Bytes of ours were taken and not flushed since: a read may push their records out.
    held: bool,
    /// How TCP ended while the TLS handshake was waited for.
    over: Option<Over>,
}

/// The peer's direction of the TLS layer.
enum Inbound {
    Open,
    /// A record could not be read. What those before it said is still to be given.
    Failing(rustls::Error),
    /// TLS failed: nothing in it counts any more. How TCP ends is still to be read.
    Failed,
    /// The peer's close_notify came. How TCP ends is still to be read.
    CloseNotify,
    /// TCP has ended without a close_notify.
    Truncated,
}

impl TlsStream {
    /// As a server. The TLS handshake happens at the first read.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn accept(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self::new(tcp, tls.into()))
    }

    /// As a client. The TLS handshake happens at the first write.
    pub(crate) fn connect(
        tcp: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Self::new(tcp, tls.into()))
    }

    fn new(tcp: TcpStream, mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(TLS_BUFFER));
        let (tcp, inbound) = (Tcp::new(tcp), Inbound::Open);
        TlsStream { tcp, tls, inbound, finishing: false, held: false, over: None }
    }

    pub(crate) fn tcp(&self) -> &Tcp {
        &self.tcp
    }

    /// What TLS knows of the connection; `None` while its handshake is under way, and as a client.
    #[must_use]
    pub fn info(&self) -> Option<crate::tls::TlsInfo> {
        match &self.tls {
            Connection::Server(tls) if !tls.is_handshaking() => Some(crate::tls::TlsInfo::of(tls)),
            _ => None,
        }
    }

    /// Goes on with the TLS handshake until it is over, in whatever way: what became of it is said
    /// by the next read.
    #[cfg(feature = "http2")]
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.tls.is_handshaking() && matches!(self.inbound, Inbound::Open) {
            // A client speaks first. How the peer ended is for the reads to say.
            if let Poll::Ready(Err(error)) = self.poll_push(Some(cx)) {
                let _ = self.tcp.write_failed(error);
            }
            self.over = ready!(self.poll_records(cx));
            if self.over.is_some() {
                break;
            }
        }
        Poll::Ready(())
    }

    /// Completes the TLS handshake, or finds out that it fails, which the first read tells: for
    /// who has to know what was agreed on in it.
    #[cfg(feature = "http2")]
    pub fn handshake(&mut self) -> impl Future<Output = ()> + Send + '_ {
        std::future::poll_fn(|cx| self.poll_handshake(cx))
    }

    /// Whether HTTP/2 was agreed on (ALPN, RFC 7301), once the handshake is complete.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn speaks_http2(&self) -> bool {
        self.tls.alpn_protocol() == Some(b"h2")
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Says nothing more in TLS.
    pub(crate) fn give_up(&mut self) {
        self.inbound = Inbound::Failed;
        self.finishing = true;
    }

    /// Writes records until none is left.
    fn poll_push(&mut self, mut cx: Option<&mut Context<'_>>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let tls = &mut self.tls;
            let written = ready!(
                self.tcp.poll_io(cx.as_deref_mut(), |tcp| { tls.write_tls(&mut Try(tcp)) })
            )?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes plain bytes when the records of those before have left, and tries to have their
    /// records leave as well.
    fn poll_take(
        &mut self,
        mut cx: Option<&mut Context<'_>>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_push(cx.as_deref_mut()))?;
        if self.tls.is_handshaking() {
            // Nothing can be encrypted yet; the handshake's next read goes on.
            return Poll::Pending;
        }
        let taken = self.tls.writer().write_vectored(slices)?;
        if let Poll::Ready(Err(error)) = self.poll_push(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    /// The next that TLS or TCP says.
    fn poll_next(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Read> {
        if let Some(over) = self.over.take() {
            return Poll::Ready(Read::Over(over));
        }
        loop {
            if matches!(self.inbound, Inbound::Failed | Inbound::CloseNotify) {
                return self.poll_end_of_tcp(cx);
            }
            match self.tls.reader().read(buf) {
                Ok(0) => {
                    self.inbound = Inbound::CloseNotify;
                    return Poll::Ready(Read::CloseNotify);
                }
                Ok(n) => return Poll::Ready(Read::Data(n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Read::Over(self.truncated()));
                }
                Err(e) => return Poll::Ready(self.failed(e)),
            }
            if let Inbound::Failing(error) = &self.inbound {
                let client = matches!(self.tls, Connection::Client(_));
                let error = match client && self.tls.is_handshaking() {
                    true => io::Error::new(ErrorKind::InvalidData, Explained(error.clone())),
                    false => io::Error::new(ErrorKind::InvalidData, error.clone()),
                };
                return Poll::Ready(self.failed(error));
            }
            if let Some(over) = ready!(self.poll_records(cx)) {
                return Poll::Ready(Read::Over(over));
            }
        }
    }

    /// Reads records; gives how TCP ended if it did.
    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<Option<Over>> {
        match self.tls.read_tls(&mut Try(self.tcp.socket())) {
            Ok(0) if self.tls.is_handshaking() => return Poll::Ready(Some(self.truncated())),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                return match ready!(self.tcp.socket().poll_read_ready(cx)) {
                    Ok(()) => Poll::Ready(None),
                    Err(error) => Poll::Ready(Some(judge(error))),
                };
            }
            Err(error) => return Poll::Ready(Some(judge(error))),
        }
        if let Err(error) = self.tls.process_new_packets() {
            self.inbound = Inbound::Failing(error);
        }
        // A failed handshake has an alert to send; a good one its next flight. If that does not
        // fit, the driver's flush goes on with it.
        match self.poll_push(Some(cx)) {
            // How the peer ended is still to be read.
            Poll::Ready(Err(error)) if matches!(self.inbound, Inbound::Open) => {
                let _ = self.tcp.write_failed(error);
            }
            Poll::Ready(_) | Poll::Pending => {}
        }
        Poll::Ready(None)
    }

    fn truncated(&mut self) -> Over {
        self.inbound = Inbound::Truncated;
        self.tcp.end_of_file()
    }

    fn failed(&mut self, error: io::Error) -> Read {
        self.give_up();
        Read::TlsFailed(error.into())
    }

    /// TLS has nothing more to say: how TCP ends.
    fn poll_end_of_tcp(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        loop {
            match ready!(self.tcp.poll_read(cx, &mut [0; DROPPED])) {
                Read::Data(_) => {}
                over => return Poll::Ready(over),
            }
        }
    }
}

impl Transport for TlsStream {
    fn kind(&self) -> TransportKind {
        TransportKind::Tls
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Read> {
        self.poll_next(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: Option<&mut Context<'_>>,
        slices: &[IoSlice<'_>],
        _: bool,
    ) -> Written<usize> {
        let taken = ready!(self.poll_take(cx, slices));
        self.held |= self.tls.wants_write();
        Poll::Ready(taken.map_err(|error| self.tcp.write_failed(error)))
    }

    fn holds(&self) -> bool {
        self.held || self.tls.wants_write()
    }

    fn poll_flush(&mut self, cx: Option<&mut Context<'_>>) -> Written<()> {
        let pushed = ready!(self.poll_push(cx));
        self.held = false;
        Poll::Ready(pushed.map_err(|error| self.tcp.write_failed(error)))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.finishing, true) {
            self.tls.send_close_notify();
        }
        // What cannot leave any more is not waited for.
        if let Err(error) = ready!(self.poll_push(Some(cx))) {
            // TCP remembers what that says of the peer.
            let _ = self.tcp.write_failed(error);
        }
        self.tcp.poll_finish(cx)
    }

    fn evidence(&self) -> Option<Evidence> {
        self.tcp.evidence()
    }

    fn unread(&self) -> Option<usize> {
        self.tcp.unread().map(|bytes| bytes + RECORDS)
    }

    fn was_reset_behind_end(&mut self) -> bool {
        self.tcp.was_reset_behind_end()
    }

    fn close_notify(&self) -> Option<bool> {
        Some(matches!(self.inbound, Inbound::CloseNotify))
    }
}

/// Why a client's TLS handshake failed, in words. What rustls says follows them, and is the source.
#[derive(Debug)]
struct Explained(rustls::Error);

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use rustls::CertificateError as C;
        use rustls::Error as E;
        let words = match &self.0 {
            E::InvalidMessage(_) => {
                "the server does not speak TLS on this port (without TLS the URL begins with ws://)"
            }
            E::AlertReceived(_) => "the server ended the TLS handshake",
            E::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
                "the server's certificate has expired"
            }
            E::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
                "the server's certificate is not valid yet, or the clock here is wrong"
            }
            E::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
                "the server's certificate is for another name"
            }
            E::InvalidCertificate(C::UnknownIssuer) => {
                "the server's certificate was issued by nobody who is trusted here"
            }
            E::InvalidCertificate(why) if crate::tls::is_an_authoritys(why) => {
                "the server shows an authority's certificate, perhaps self-signed, as its own"
            }
            error => return error.fmt(f),
        };
        write!(f, "{words}: {}", self.0)
    }
}

impl std::error::Error for Explained {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Reads and writes TCP without waiting.
struct Try<'a>(&'a TcpStream);

impl Write for Try<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for Try<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

/// For an HTTP library that reads the request; after the upgrade the stream is ours again.
impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(match ready!(self.get_mut().poll_next(cx, buf.initialize_unfilled())) {
            Read::Data(n) => {
                buf.advance(n);
                Ok(())
            }
            Read::CloseNotify => Ok(()),
            Read::TlsFailed(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
            Read::Over(Over { error: None, .. }) => Ok(()),
            Read::Over(Over { error: Some(error), .. }) => Err(io::Error::other(error)),
            #[cfg(feature = "http2")]
            Read::Answered(_) => unreachable!("a library answers, TLS does not"),
        })
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_take(Some(cx), &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_take(Some(cx), slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_push(Some(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_finish(cx).map(Ok)
    }
}
