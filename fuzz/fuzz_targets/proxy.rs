//! The header of the PROXY protocol, version 2, in front of a connection from a trusted proxy.
//!
//! What must hold for any bytes, in reads of any size:
//! - They are a header, or the beginning of one, or a named part is wrong. Which of the three does
//!   not depend on how the bytes are cut.
//! - Not a byte behind the header is read: it belongs to TLS or HTTP. What stands there changes
//!   nothing.
//! - A header that is read is one by the letter of the specification (§2.2), which is written down
//!   here once more, and names the client that it names.
//! - None is longer than 8 KiB.

#![no_main]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use adieu::fuzzing::proxy_header;
use libfuzzer_sys::fuzz_target;

const LONGEST: usize = 8 * 1024;

fuzz_target!(|input: (u8, &[u8])| {
    let (most, bytes) = input;
    let whole = proxy_header(bytes, usize::MAX);
    assert_eq!(proxy_header(bytes, usize::from(most).max(1)), whole, "reads of {most}");
    match whole {
        Ok(None) => {
            assert!(bytes.len() < LONGEST);
            // What is no whole header yet may still become wrong, and nothing else.
            assert!(specified(bytes).is_none(), "a header that is not seen");
        }
        Ok(Some((len, client))) => {
            assert!(len <= LONGEST.min(bytes.len()));
            assert_eq!(specified(bytes), Some((len, client)));
            assert_eq!(proxy_header(&bytes[..len], usize::MAX), whole, "bytes behind it count");
            assert_eq!(proxy_header(&bytes[..len - 1], usize::MAX), Ok(None));
        }
        Err(part) => {
            assert!(
                ["signature", "version", "command", "address family", "length"].contains(&part)
            );
            // Something longer than we take may be a header; nothing else.
            assert!(specified(bytes).is_none_or(|(len, _)| len > LONGEST));
        }
    }
});

/// The header at the front, as the specification has it: its length, and the client if it names
/// an address of IP.
fn specified(bytes: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    let rest = bytes.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n")?;
    let [command, family, high, low, rest @ ..] = rest else { return None };
    let len = usize::from(*high) << 8 | usize::from(*low);
    let addresses = rest.get(..len)?;
    let proxied = match command {
        0x20 => false,
        0x21 => true,
        _ => return None,
    };
    let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    let client = match family {
        _ if !proxied => None,
        0x00 => None,
        0x11 | 0x12 => {
            let ip: [u8; 4] = addresses.get(..12)?[..4].try_into().ok()?;
            Some(SocketAddr::from((Ipv4Addr::from(ip), port(8))))
        }
        0x21 | 0x22 => {
            let ip: [u8; 16] = addresses.get(..36)?[..16].try_into().ok()?;
            Some(SocketAddr::from((Ipv6Addr::from(ip).to_canonical(), port(32))))
        }
        0x31 | 0x32 => addresses.get(..216).map(|_| None)?,
        _ => return None,
    };
    Some((16 + len, client))
}
