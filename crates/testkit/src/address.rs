//! Addresses that nobody else binds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

/// An address for a listener on a port that is free, which is to be bound again later: on an
/// address that others use too, one of them may be given the port in the meantime.
///
/// Another one with each call and for each process. Only Linux has all of 127.0.0.0/8 without
/// being told; elsewhere it is 127.0.0.1.
#[must_use]
pub fn own_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let address = if cfg!(target_os = "linux") {
        let [_, _, b, c] = std::process::id().to_be_bytes();
        let d = 1 + NEXT.fetch_add(1, Ordering::Relaxed) % 250;
        Ipv4Addr::new(127, 128 | b, c, d as u8)
    } else {
        Ipv4Addr::LOCALHOST
    };
    SocketAddr::new(IpAddr::V4(address), 0)
}
