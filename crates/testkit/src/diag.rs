//! One TCP connection's entry in the kernel's table, asked for by its two addresses: `sock_diag`
//! over netlink (Linux, sock_diag(7)).
//!
//! `/proc/net/tcp` says the same, but only as a whole. It is walked entry by entry, and a machine
//! that reconnects keeps tens of thousands of them in TIME_WAIT: a tenth of a second for each
//! look, which a test that waits for something takes a thousand times.

use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::LazyLock;

use socket2::{Domain, Protocol, Socket, Type};

use crate::DEADLINE;

// linux/netlink.h and linux/sock_diag.h.
const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const SOCK_DIAG_BY_FAMILY: u16 = 20;

// What the entries are asked for with.
const AF_INET: u8 = 2;
const IPPROTO_TCP: u8 = 6;

/// The states as linux/tcp_states.h numbers them; those that matter here.
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u8 = 1;
    pub(crate) const CLOSE: u8 = 7;
    pub(crate) const CLOSE_WAIT: u8 = 8;
    pub(crate) const LISTEN: u8 = 10;
}

/// Length of a `nlmsghdr`, which every message starts with.
const HEADER: usize = 16;
/// Length of an `inet_diag_req_v2`.
const REQUEST: usize = 56;
/// Length of an `inet_diag_msg`; attributes nobody asked for may follow.
const ANSWER: usize = 72;

/// How one end of a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// One of [`state`].
    pub(crate) state: u8,
    /// Bytes sent and not acknowledged; a FIN counts as one.
    pub(crate) unacknowledged: u32,
    /// Bytes received and not read.
    pub(crate) unread: u32,
}

/// The entry of the end at `local` of its connection with `remote`, if there is one.
///
/// # Panics
/// Where the kernel does not tell.
pub(crate) fn look(local: SocketAddr, remote: SocketAddr) -> Option<Entry> {
    match ask(in_v4(local), in_v4(remote)) {
        // The kernel looks as for a segment that arrives: where no connection has these
        // addresses, a listener may.
        Ok(entry) if entry.state == state::LISTEN => None,
        Ok(entry) => Some(entry),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            assert!(*TELLS, "this kernel is built without tcp_diag");
            None
        }
        Err(error) => panic!("the kernel's table of connections: {error}"),
    }
}

/// Whether the kernel tells at all. Without `tcp_diag` its answer is "not found", as of a
/// connection that is over; of a socket that listens it cannot be.
static TELLS: LazyLock<bool> = LazyLock::new(|| {
    let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    let listener = TcpListener::bind(nobody).expect("a free port");
    let local = listener.local_addr().expect("the listener's address");
    ask(in_v4(local), nobody).is_ok()
});

fn in_v4(addr: SocketAddr) -> SocketAddrV4 {
    let SocketAddr::V4(addr) = addr else { panic!("tests use IPv4") };
    addr
}

/// One question, one answer. Each network namespace has a table of its own, and a netlink socket
/// asks that of the thread which opened it: hence a socket for every question.
fn ask(local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Entry> {
    let protocol = Protocol::from(NETLINK_SOCK_DIAG);
    let socket = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(protocol))?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.send(&request(local, remote))?;
    let mut answer = [0; 1024];
    let len = (&socket).read(&mut answer)?;
    entry(&answer[..len])
}

/// A `nlmsghdr` and an `inet_diag_req_v2`. Numbers are in the machine's order, addresses and
/// ports in the network's.
fn request(local: SocketAddrV4, remote: SocketAddrV4) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    // Without NLM_F_DUMP it is this one entry.
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and sender: there is one question only.
    bytes.extend([0; 8]);

    // No attributes; a byte of padding.
    bytes.extend([AF_INET, IPPROTO_TCP, 0, 0]);
    // Every state.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    for addr in [local, remote] {
        bytes.extend(addr.ip().octets());
        // The rest of what would be an IPv6 address.
        bytes.extend([0; 12]);
    }
    // Any interface.
    bytes.extend([0; 4]);
    // INET_DIAG_NOCOOKIE, twice: whichever socket has these addresses.
    bytes.extend([0xff; 8]);
    debug_assert_eq!(bytes.len(), HEADER + REQUEST);
    bytes
}

/// Reads a `nlmsghdr` and an `inet_diag_msg`, or the error in their place.
fn entry(message: &[u8]) -> io::Result<Entry> {
    let number = |at: usize| -> io::Result<u32> {
        let bytes = message.get(at..at + 4).ok_or(ErrorKind::UnexpectedEof)?;
        Ok(u32::from_ne_bytes(bytes.try_into().expect("four bytes")))
    };
    let kind = message.get(4..6).ok_or(ErrorKind::UnexpectedEof)?;
    match u16::from_ne_bytes([kind[0], kind[1]]) {
        // A negative errno.
        NLMSG_ERROR => Err(io::Error::from_raw_os_error(-(number(HEADER)? as i32))),
        SOCK_DIAG_BY_FAMILY if message.len() >= HEADER + ANSWER => Ok(Entry {
            state: message[HEADER + 1],
            unread: number(HEADER + 56)?,
            unacknowledged: number(HEADER + 60)?,
        }),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests;
