//! The PROXY protocol, version 2: a binary header in front of everything else, TLS included, by
//! which a proxy that passes on bytes names the client that sent them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::peer::Peer;

/// What every header begins with; nothing of HTTP or TLS does.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, version and command, family, and the length of the rest.
const FIXED: usize = 16;

/// The fixed part and the longest addresses that are looked at, those of IPv6.
const KEPT: usize = FIXED + 36;

/// Bytes of a whole header at most. Addresses take 36, and what proxies add to them (an
/// identifier, the name that TLS asked for, a client's certificate) a few thousand at most. It is
/// skipped, not kept.
const MAX_HEADER: usize = 8 * 1024;

/// Bytes that are skipped at a time.
const SKIPPED: usize = 512;

/// The header of one connection.
pub(crate) enum ProxyHeader {
    /// It is still being read.
    Reading { bytes: [u8; KEPT], got: usize },
    /// It was read: the client whose bytes follow, if the header names one.
    Read(Option<SocketAddr>),
}

/// Why there is no header.
pub(crate) enum Failed {
    /// The peer ended before it was whole, with this error or a FIN.
    Ended(Option<io::Error>),
    /// It is none; what is wrong.
    Malformed(&'static str),
}

impl ProxyHeader {
    pub(crate) fn expected() -> Self {
        ProxyHeader::Reading { bytes: [0; KEPT], got: 0 }
    }

    /// Whether it is still to be read.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self, ProxyHeader::Reading { .. })
    }

    /// The client that sends the bytes on this transport, as the header names it.
    pub(crate) fn sender(&self, transport: Peer) -> Peer {
        match self {
            ProxyHeader::Read(Some(addr)) => transport.on_behalf_of(Some(*addr)),
            _ => transport,
        }
    }

    /// Reads the header and not a byte more: what follows belongs to TLS or HTTP.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        tcp: &TcpStream,
    ) -> Poll<Result<(), Failed>> {
        loop {
            match self.read_from(|buffer| tcp.try_read(buffer)) {
                Err(Failed::Ended(Some(e))) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready!(tcp.poll_read_ready(cx)).map_err(|e| Failed::Ended(Some(e)))?;
                }
                read => return Poll::Ready(read),
            }
        }
    }

    /// The same from anything that is read. What came before `read` failed is kept.
    pub(super) fn read_from(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<(), Failed> {
        let ProxyHeader::Reading { bytes, got } = self else { return Ok(()) };
        loop {
            let len = length(&bytes[..KEPT.min(*got)]).map_err(Failed::Malformed)?;
            if *got == len {
                *self = ProxyHeader::Read(source(bytes));
                return Ok(());
            }
            let mut skipped = [0; SKIPPED];
            let buffer = match bytes.get_mut(*got..len.min(KEPT)) {
                Some(buffer) if !buffer.is_empty() => buffer,
                _ => &mut skipped[..SKIPPED.min(len - *got)],
            };
            match read(buffer) {
                Ok(0) => return Err(Failed::Ended(None)),
                Ok(n) => *got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Failed::Ended(Some(e))),
            }
        }
    }
}

/// How long a header is that begins like this, as far as that is known.
fn length(bytes: &[u8]) -> Result<usize, &'static str> {
    let n = bytes.len().min(SIGNATURE.len());
    if bytes[..n] != SIGNATURE[..n] {
        return Err("signature");
    }
    let [_, _, _, _, _, _, _, _, _, _, _, _, command, family, high, low, ..] = *bytes else {
        return Ok(FIXED);
    };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    let addresses = match (command, family) {
        // LOCAL, the proxy's own connection: what follows is to be ignored.
        (0x20, _) => 0,
        (0x21, 0x00) => 0,
        (0x21, 0x11 | 0x12) => 12,
        (0x21, 0x21 | 0x22) => 36,
        (0x21, 0x31 | 0x32) => 216,
        (0x21, _) => return Err("address family"),
        (0x22..=0x2f, _) => return Err("command"),
        _ => return Err("version"),
    };
    if rest < addresses || FIXED + rest > MAX_HEADER {
        return Err("length");
    }
    Ok(FIXED + rest)
}

/// The client whose bytes follow a header that is whole; `None` for the bytes of the proxy itself,
/// and where the header names no address of IP: then the transport's address is what is known.
fn source(bytes: &[u8; KEPT]) -> Option<SocketAddr> {
    let (fixed, addresses) = bytes.split_at(FIXED);
    let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    match (fixed[12], fixed[13] >> 4) {
        (0x21, 1) => {
            let ip: [u8; 4] = addresses[..4].try_into().ok()?;
            Some((Ipv4Addr::from(ip), port(8)).into())
        }
        (0x21, 2) => {
            let ip: [u8; 16] = addresses[..16].try_into().ok()?;
            Some((Ipv6Addr::from(ip).to_canonical(), port(32)).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, rest].concat()
    }

    fn parsed(header: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
        let len = length(&header[..header.len().min(KEPT)])?;
        assert_eq!(len, header.len());
        let mut bytes = [0; KEPT];
        let kept = header.len().min(KEPT);
        bytes[..kept].copy_from_slice(&header[..kept]);
        Ok(source(&bytes))
    }

    #[test]
    fn addresses_are_read_and_the_rest_is_skipped() {
        let four = [203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x34, 0, 80];
        assert_eq!(
            parsed(&header(0x21, 0x11, &four)),
            Ok(Some("203.0.113.7:4660".parse().unwrap()))
        );
        let more = [&four[..], &[9; 1000]].concat();
        assert_eq!(
            parsed(&header(0x21, 0x11, &more)),
            Ok(Some("203.0.113.7:4660".parse().unwrap()))
        );
        let mut six = [0; 36];
        (six[0], six[1], six[15], six[33]) = (0x20, 0x01, 1, 7);
        assert_eq!(parsed(&header(0x21, 0x21, &six)), Ok(Some("[2001::1]:7".parse().unwrap())));
        for nobody in [
            header(0x20, 0x00, &[]),
            header(0x20, 0x11, &four),
            header(0x20, 0xff, &[1, 2, 3]),
            header(0x21, 0x00, &[0; 7]),
            header(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(parsed(&nobody), Ok(None), "{nobody:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_named() {
        for (bytes, part) in [
            (b"GET / HTTP/1.1".to_vec(), "signature"),
            (b"\r\n\r\n\0\r\nQUIT\0".to_vec(), "signature"),
            (b"PROXY TCP4".to_vec(), "signature"),
            (header(0x11, 0x11, &[0; 12]), "version"),
            (header(0x22, 0x11, &[0; 12]), "command"),
            (header(0x21, 0x13, &[0; 12]), "address family"),
            (header(0x21, 0x41, &[0; 12]), "address family"),
            (header(0x21, 0x11, &[0; 11]), "length"),
            (header(0x21, 0x21, &[0; 35]), "length"),
            (header(0x21, 0x31, &[0; 215]), "length"),
            (header(0x21, 0x11, &[0; MAX_HEADER - FIXED + 1]), "length"),
        ] {
            assert_eq!(parsed(&bytes), Err(part), "{bytes:?}");
        }
        let longest = header(0x21, 0x11, &[0; MAX_HEADER - FIXED]);
        assert!(parsed(&longest).is_ok());
    }

    #[test]
    fn any_bytes_have_a_length_within_the_limit_or_none() {
        let mut random = 1_u64;
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut bytes = header(0x21, 0x21, &[0; 36]);
            for shift in [8, 24, 40] {
                let at = (random >> shift) as usize % bytes.len();
                bytes[at] = (random >> (shift + 8)) as u8;
            }
            bytes.truncate((random >> 56) as usize % bytes.len());
            if let Ok(len) = length(&bytes) {
                assert!((FIXED..=MAX_HEADER).contains(&len));
                let mut kept = [0; KEPT];
                kept[..bytes.len()].copy_from_slice(&bytes);
                let _ = source(&kept);
            }
        }
    }
}
