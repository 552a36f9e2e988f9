//! TLS by rustls, driven here so that the account stays exact: whether the peer's `close_notify`
//! came before its FIN, and whether our bytes have left the TLS layer or only entered it.

use std::io::{self, IoSlice, Read, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::io::write_tcp;

pub use rustls;

/// Plain bytes that wait inside the TLS layer at most. More would sit where the account does not
/// see them; less would cost a write per record of 16 KiB.
const TLS_BUFFER: usize = 64 * 1024;

/// A TLS connection over TCP that knows how it ended.
pub struct TlsStream {
    tcp: TcpStream,
    tls: Connection,
    close_notify: bool,
    /// Plain bytes that the TLS layer took and whose records have not all left.
    leaving: usize,
    /// Our close_notify is in the TLS layer's output.
    said_goodbye: bool,
    /// A record could not be read. What those before it said is still to be given.
    broken: Option<rustls::Error>,
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
        TlsStream { tcp, tls, close_notify: false, leaving: 0, said_goodbye: false, broken: None }
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(crate) fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    pub(crate) fn close_notify_received(&self) -> bool {
        self.close_notify
    }

    /// Writes records until none is left.
    fn poll_push(&mut self, mut cx: Option<&mut Context<'_>>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let tls = &mut self.tls;
            let written = ready!(write_tcp(&self.tcp, cx.as_deref_mut(), |tcp| {
                tls.write_tls(&mut Try(tcp))
            }))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes plain bytes and says that they left when their records have: until then, call
    /// again with the same bytes in front.
    pub(crate) fn poll_write_plain(
        &mut self,
        mut cx: Option<&mut Context<'_>>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.leaving == 0 {
            ready!(self.poll_push(cx.as_deref_mut()))?;
            if self.tls.is_handshaking() {
                // Nothing can be encrypted yet; the handshake's next read goes on.
                return Poll::Pending;
            }
            self.leaving = self.tls.writer().write_vectored(slices)?;
        }
        ready!(self.poll_push(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.leaving)))
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

impl Read for Try<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.tls.reader().read(buf.initialize_unfilled()) {
                Ok(n) => {
                    // Nothing is the peer's close_notify.
                    this.close_notify |= n == 0 && buf.remaining() > 0;
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // A FIN without close_notify: an end all the same, and told as what it is.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(())),
                Err(e) => return Poll::Ready(Err(e)),
            }
            if let Some(error) = &this.broken {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())));
            }
            match this.tls.read_tls(&mut Try(&this.tcp)) {
                Ok(0) if this.tls.is_handshaking() => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready!(this.tcp.poll_read_ready(cx))?;
                    continue;
                }
                Err(e) => return Poll::Ready(Err(e)),
            }
            this.broken = this.tls.process_new_packets().err();
            // A failed handshake has an alert to send; a good one its next flight.
            let pushed = this.poll_push(Some(cx));
            if let (Poll::Ready(Err(e)), None) = (pushed, &this.broken) {
                return Poll::Ready(Err(e));
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_plain(Some(cx), &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_plain(Some(cx), slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_push(Some(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.said_goodbye {
            this.said_goodbye = true;
            this.tls.send_close_notify();
        }
        ready!(this.poll_push(Some(cx)))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

/// A server's configuration from PEM files: a certificate chain and its private key.
///
/// # Errors
/// Names the file that cannot be read or used, and why.
pub fn server_config(cert: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let named = |path: &Path, e: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {e}", path.display()))
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|e| named(cert, &e))?;
    if chain.is_empty() {
        return Err(named(cert, &"holds no certificate in PEM form"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| named(key, &e))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|e| named(key, &e))?;
    Ok(Arc::new(config))
}

/// A client's configuration that trusts what the operating system trusts.
///
/// # Errors
/// If the system has no root certificates.
pub fn client_config() -> io::Result<Arc<ClientConfig>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the system has no root certificates (on Debian: apt-get install ca-certificates)",
        ));
    }
    Ok(client_config_with(roots))
}

/// A client's configuration that trusts the given roots and no others.
#[must_use]
pub fn client_config_with(roots: RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions();
    // The provider supports both versions of TLS that rustls has on by default.
    let builder = builder.unwrap_or_else(|e| unreachable!("{e}"));
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
