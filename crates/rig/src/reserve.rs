//! Ports and other numbers that no other rig on this machine uses at the same time.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Below are the ports of well-known services.
const LOWEST_PORT: u32 = 10_000;

/// A number that is this value's alone until it is dropped.
///
/// It is the name of a socket that exists in the kernel only, so nothing is left behind by a
/// process that is killed.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) number: u32,
    _name: UnixListener,
}

/// Takes a number out of this range for which `is_free` holds.
pub(crate) fn reserve(kind: &str, range: &Range<u32>, is_free: impl Fn(u32) -> bool) -> Reserved {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Processes begin at different places, and each goes on from where it was.
    let first = std::process::id().wrapping_mul(7919).wrapping_add(COUNT.fetch_add(1, Relaxed));
    let len = range.end - range.start;
    for step in 0..len {
        let number = range.start + (first % len + step) % len;
        let name = UnixAddr::from_abstract_name(format!("rig-{kind}-{number}")).expect("a name");
        let Ok(name) = UnixListener::bind_addr(&name) else { continue };
        if is_free(number) {
            return Reserved { number, _name: name };
        }
    }
    panic!("no {kind} of {range:?} is free");
}

/// A TCP port of 127.0.0.1 that was free when it was taken. No other rig takes it while this lives.
#[derive(Debug)]
pub struct Port(Reserved);

impl Port {
    /// Takes a free port.
    ///
    /// # Panics
    /// If none is free.
    #[must_use]
    pub fn take() -> Self {
        let is_free =
            |port| u16::try_from(port).is_ok_and(|port| TcpListener::bind(local(port)).is_ok());
        Port(reserve("port", &(LOWEST_PORT..first_outgoing()), is_free))
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.0.number.try_into().expect("it was free")
    }

    /// The port at 127.0.0.1.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        local(self.number())
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The first port that the kernel may give to an outgoing connection.
fn first_outgoing() -> u32 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = text.split_whitespace().next().and_then(|first| first.parse().ok());
    // A machine that gives nearly all of them has no better ones.
    first.filter(|first| *first > LOWEST_PORT + 1_000).unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_once_until_it_is_given_back() {
        let range = 0..2;
        let first = reserve("test", &range, |_| true);
        let second = reserve("test", &range, |_| true);
        assert_ne!(first.number, second.number);
        let given_back = first.number;
        drop(first);
        assert_eq!(reserve("test", &range, |_| true).number, given_back);
    }

    #[test]
    fn a_port_that_somebody_listens_at_is_not_taken() {
        let port = Port::take();
        let _listener = TcpListener::bind(port.addr()).expect("it is free");
        let number = u32::from(port.number());
        drop(port);
        let others = reserve("port", &(number..number + 50), |port| {
            TcpListener::bind(local(u16::try_from(port).expect("a port"))).is_ok()
        });
        assert_ne!(others.number, number);
    }
}
