//! Takes the transport back from hyper, so that its report is as exact as that of a server.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade;
use tokio::net::TcpStream;

use crate::transport::{AnyTransport, Tcp};

/// The transport, and what hyper had read of it too much.
pub(super) fn take_back(upgraded: Upgraded) -> (AnyTransport, Bytes) {
    let upgraded = match tcp(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    #[cfg(feature = "tls")]
    let upgraded = match tls(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    // Another stream: it says itself how it ends.
    (AnyTransport::stream(TokioIo::new(upgraded)), Bytes::new())
}

fn tcp(upgraded: Upgraded) -> Result<(AnyTransport, Bytes), Upgraded> {
    let of = |io: TokioIo<TcpStream>| AnyTransport::Tcp(Tcp::handed_over(io.into_inner()));
    let parts = match upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => return Ok((of(parts.io), parts.read_buf)),
        Err(upgraded) => upgraded.downcast::<TokioIo<TcpStream>>()?,
    };
    Ok((of(parts.io), parts.read_buf))
}

#[cfg(feature = "tls")]
fn tls(upgraded: Upgraded) -> Result<(AnyTransport, Bytes), Upgraded> {
    use crate::tls::TlsStream;
    let of = |io: TokioIo<TlsStream>| AnyTransport::Tls(Box::new(io.into_inner()));
    let parts = match upgrade::downcast::<TokioIo<TlsStream>>(upgraded) {
        Ok(parts) => return Ok((of(parts.io), parts.read_buf)),
        Err(upgraded) => upgraded.downcast::<TokioIo<TlsStream>>()?,
    };
    Ok((of(parts.io), parts.read_buf))
}
