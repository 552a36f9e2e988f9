//! What is read of what proxies say, for the fuzz targets. Built under `--cfg fuzzing` alone: no
//! part of the public API.

use std::io;
use std::net::SocketAddr;

use adieu_proto::Request;

use super::{Cidr, Failed, Proxies, ProxyHeader};
use crate::peer::Peer;

/// Whom a request comes from that `peer` sent, where these proxies are trusted.
#[must_use]
pub fn client(trusted: &[Cidr], peer: SocketAddr, request: &Request) -> Peer {
    let proxies = Proxies::default().trusting(trusted.iter().copied());
    proxies.client(Peer::new(Some(peer)), request)
}

/// Reads a PROXY header that comes in reads of so many bytes at most: how many bytes were read and
/// the client that it names, or `None` where more bytes are needed.
///
/// # Errors
/// Which part is wrong.
pub fn proxy_header(
    bytes: &[u8],
    most: usize,
) -> Result<Option<(usize, Option<SocketAddr>)>, &'static str> {
    let mut header = ProxyHeader::expected();
    let mut rest = bytes;
    let read = header.read_from(|buffer| {
        let n = buffer.len().min(rest.len()).min(most);
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..n].copy_from_slice(&rest[..n]);
        rest = &rest[n..];
        Ok(n)
    });
    match read {
        Ok(()) => Ok(Some((bytes.len() - rest.len(), header.sender(Peer::new(None)).addr()))),
        Err(Failed::Ended(_)) => Ok(None),
        Err(Failed::Malformed(part)) => Err(part),
    }
}
