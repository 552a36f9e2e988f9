//! TCP, or TLS over TCP, read and written step by step, so that a FIN, an RST and a
//! `close_notify` are told apart.

use std::io::{self, Read, Write};
use std::sync::Arc;

use adieu::tls::rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

/// Plain bytes that TLS may hold back; more would leave the measurement's sight.
const TLS_BUFFER: usize = 64 * 1024;

/// The transport of a raw peer.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<Tls>),
}

/// A TLS client over TCP.
pub(crate) struct Tls {
    tcp: TcpStream,
    tls: ClientConnection,
}

impl Stream {
    /// Begins TLS; its handshake goes on with the first steps.
    pub(crate) fn tls(tcp: TcpStream, config: Arc<ClientConfig>, host: &str) -> io::Result<Self> {
        let name = host.to_owned().try_into().map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(TLS_BUFFER));
        Ok(Stream::Tls(Box::new(Tls { tcp, tls })))
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Tcp(tcp) => tcp,
            Stream::Tls(tls) => &tls.tcp,
        }
    }

    /// Goes through TLS's handshake, where there is TLS, before anything else is written.
    pub(crate) async fn shake_hands(&mut self) -> io::Result<()> {
        let Stream::Tls(tls) = self else { return Ok(()) };
        while tls.tls.is_handshaking() {
            match tls.shake() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writes = tls.tls.wants_write();
                    let both = Interest::READABLE | Interest::WRITABLE;
                    let interest = if writes { both } else { Interest::READABLE };
                    tls.tcp.ready(interest).await?;
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// What the server chose by ALPN, empty if it chose nothing; `None` without TLS.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Stream::Tcp(_) => None,
            Stream::Tls(tls) => Some(tls.tls.alpn_protocol().unwrap_or_default()),
        }
    }

    /// Reads what is there: 0 is the FIN, `WouldBlock` is nothing yet.
    pub(crate) fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(tcp) => tcp.try_read(bytes),
            Stream::Tls(tls) => tls.try_read(bytes),
        }
    }

    /// Writes what is taken, `WouldBlock` if nothing is.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(tcp) => tcp.try_write(bytes),
            Stream::Tls(tls) => tls.try_write(bytes),
        }
    }

    /// Whether something taken has not left yet.
    pub(crate) fn holds_output(&self) -> bool {
        matches!(self, Stream::Tls(tls) if tls.tls.wants_write())
    }

    /// Whether a write could do something for output that waits. During TLS's handshake there is
    /// nothing to write but the handshake: to wait for a writable socket would be to spin.
    pub(crate) fn wants_write(&self, waiting: bool) -> bool {
        match self {
            Stream::Tcp(_) => waiting,
            Stream::Tls(tls) => tls.tls.wants_write() || (waiting && !tls.tls.is_handshaking()),
        }
    }

    /// Writes what was held back.
    pub(crate) fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(_) => Ok(()),
            Stream::Tls(tls) => tls.push(),
        }
    }

    /// Waits until a read, or a write if wanted, may do something.
    pub(crate) async fn ready(&self, write: bool) {
        let both = Interest::READABLE | Interest::WRITABLE;
        let interest = if write { both } else { Interest::READABLE };
        // An error here shows in the next read or write.
        let _ = self.tcp().ready(interest).await;
    }

    /// Waits until a write may do something.
    pub(crate) async fn writable(&self) {
        let _ = self.tcp().writable().await;
    }

    /// Ends our direction: over TLS a `close_notify`, then the FIN.
    pub(crate) async fn fin(&mut self) {
        if let Stream::Tls(tls) = self {
            tls.tls.send_close_notify();
            let _ = tls.push();
        }
        let tcp = match self {
            Stream::Tcp(tcp) => tcp,
            Stream::Tls(tls) => &mut tls.tcp,
        };
        // It fails if the connection is reset already.
        let _ = tcp.shutdown().await;
    }
}

impl Tls {
    fn push(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Try(&self.tcp))?;
        }
        Ok(())
    }

    /// One step of the handshake.
    fn shake(&mut self) -> io::Result<()> {
        self.push()?;
        if self.tls.read_tls(&mut Try(&self.tcp))? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let state = self.tls.process_new_packets();
        // The next flight, or the alert that says what was wrong.
        let _ = self.push();
        state.map(drop).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push()?;
        if self.tls.is_handshaking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.tls.writer().write(bytes)?;
        match self.push() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(bytes) {
                // A close_notify: TLS hears no more, and the FIN is still to come.
                Ok(0) => return self.after_close_notify(),
                Ok(n) => return Ok(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A FIN without close_notify.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            if self.tls.read_tls(&mut Try(&self.tcp))? == 0 && self.tls.is_handshaking() {
                return Ok(0);
            }
            let state = self.tls.process_new_packets();
            // The handshake's next flight, or the alert that says what was wrong.
            let _ = self.push();
            state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    fn after_close_notify(&mut self) -> io::Result<usize> {
        let mut rest = [0; 1024];
        while self.tcp.try_read(&mut rest)? > 0 {}
        Ok(0)
    }
}

/// Reads and writes TCP without waiting.
struct Try<'a>(&'a TcpStream);

impl Read for Try<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl Write for Try<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
