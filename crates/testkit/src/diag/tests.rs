//! Real sockets in every state that lasts: the answer is that of `/proc`'s table.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::*;
use crate::kernel::{Tcp, wait_until};

const SYN_SENT: u8 = 2;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const TIME_WAIT: u8 = 6;

/// What `/proc` says of the end at `local`.
fn in_proc(local: SocketAddr, remote: SocketAddr) -> Option<Entry> {
    let ends = [local, remote].map(|addr| {
        let addr = in_v4(addr);
        format!("{:08X}:{:04X}", u32::from_ne_bytes(addr.ip().octets()), addr.port())
    });
    let table = fs::read_to_string("/proc/thread-self/net/tcp").expect("the table");
    table.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        (words.len() > 3 && words[..2] == ends).then(|| {
            let number = |digits| u32::from_str_radix(digits, 16).expect("a number");
            let (unacknowledged, unread) = words[3].split_once(':').expect("two queues");
            Entry {
                state: u8::try_from(number(words[2])).expect("a state"),
                unacknowledged: number(unacknowledged),
                unread: number(unread),
            }
        })
    })
}

/// Waits until the end stands as `expected`; `/proc` has to say the same to the byte.
fn stands(
    what: &str,
    (local, remote): (SocketAddr, SocketAddr),
    tcp: Tcp,
    expected: impl Fn(Option<Entry>) -> bool,
) {
    wait_until(what, || {
        let looked = look(local, remote);
        // What moves between the two looks is looked at again.
        expected(looked) && in_proc(local, remote) == looked
    });
    assert_eq!(Tcp::of(local, remote), tcp, "{what}");
}

fn entry_of(state: u8, unacknowledged: u32, unread: u32) -> impl Fn(Option<Entry>) -> bool {
    move |entry| entry == Some(Entry { state, unacknowledged, unread })
}

/// Two ends of a connection, and the listener they met at: its entry must not be taken for one
/// of theirs.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    /// The client's end as a question, and the server's.
    ends: [(SocketAddr, SocketAddr); 2],
    _listener: TcpListener,
}

fn pair() -> Pair {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let remote = listener.local_addr().expect("its address");
    let client = TcpStream::connect(remote).expect("a connection");
    let (server, local) = listener.accept().expect("its other end");
    Pair { client, server, ends: [(local, remote), (remote, local)], _listener: listener }
}

/// How often the kernel had no room for a connection in TIME_WAIT, and forgot it at once: the
/// room is the whole machine's.
fn no_room_for_time_wait() -> u64 {
    let counters = fs::read_to_string("/proc/thread-self/net/netstat").expect("the counters");
    let lines = counters.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let [names, values] = lines.collect::<Vec<_>>()[..] else { panic!("two lines: {counters}") };
    let at = names.split(' ').position(|name| name == "TCPTimeWaitOverflow").expect("its name");
    values.split(' ').nth(at).expect("its value").parse().expect("a number")
}

#[test]
fn open_and_quiet_then_unread_bytes() {
    let mut pair = pair();
    let [client, server] = pair.ends;
    stands("open", client, Tcp::Established, entry_of(state::ESTABLISHED, 0, 0));
    stands("open there", server, Tcp::Established, entry_of(state::ESTABLISHED, 0, 0));
    pair.client.write_all(b"seven..").expect("room");
    stands("unread", server, Tcp::Established, entry_of(state::ESTABLISHED, 0, 7));
    stands("all has gone", client, Tcp::Established, entry_of(state::ESTABLISHED, 0, 0));
}

#[test]
fn full_kernels_then_a_fin_that_cannot_leave() {
    let mut pair = pair();
    let [client, server] = pair.ends;
    pair.client.set_nonblocking(true).expect("a socket");
    let mut written = 0;
    let full = loop {
        match pair.client.write(&[0; 64 * 1024]) {
            Ok(len) => written += len as u32,
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(full, ErrorKind::WouldBlock);
    stands("full", client, Tcp::Established, |entry| {
        let there = look(server.0, server.1).expect("an entry");
        entry.is_some_and(|entry| {
            entry.state == state::ESTABLISHED
                && entry.unacknowledged > 0
                && entry.unacknowledged + there.unread == written
        })
    });
    stands("full there", server, Tcp::Established, |entry| entry.is_some_and(|e| e.unread > 0));
    pair.client.shutdown(Shutdown::Write).expect("open");
    stands("a FIN waits", client, Tcp::Ending, |entry| {
        entry.is_some_and(|entry| entry.state == FIN_WAIT1 && entry.unacknowledged > 0)
    });
}

#[test]
fn half_closed_then_let_go_of_then_over() {
    let pair = pair();
    let [client, server] = pair.ends;
    pair.client.shutdown(Shutdown::Write).expect("open");
    stands("half-closed", client, Tcp::Ending, entry_of(FIN_WAIT2, 0, 0));
    stands("the FIN has come", server, Tcp::CloseWait, |entry| {
        entry.is_some_and(|entry| entry.state == state::CLOSE_WAIT)
    });
    // Without a descriptor the kernel keeps less of it, in the same state.
    let before = no_room_for_time_wait();
    drop(pair.client);
    if no_room_for_time_wait() > before {
        eprintln!("SKIPPED: the rest (the machine is full of connections in TIME_WAIT)");
        return;
    }
    stands("let go of", client, Tcp::Ending, entry_of(FIN_WAIT2, 0, 0));
    drop(pair.server);
    stands("TIME_WAIT", client, Tcp::Ending, entry_of(TIME_WAIT, 0, 0));
    stands("over", server, Tcp::Gone, |entry| entry.is_none());
}

#[test]
fn reset() {
    let pair = pair();
    let [client, server] = pair.ends;
    SockRef::from(&pair.client).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    drop(pair.client);
    stands("reset", client, Tcp::Gone, |entry| entry.is_none());
    // Its descriptor is still open, and its listener listens.
    stands("reset there", server, Tcp::Gone, |entry| entry.is_none());
    drop(pair.server);
}

#[test]
fn a_connection_that_does_not_come_about() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any_port = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    listener.bind(&any_port.into()).expect("a free port");
    listener.listen(0).expect("a backlog of one");
    let remote = listener.local_addr().expect("its address");
    let first = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    first.connect(&remote).expect("the one that fits");
    let second = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    second.set_nonblocking(true).expect("a socket");
    second.connect(&remote).expect_err("no room");
    let end = |addr: socket2::SockAddr| addr.as_socket().expect("an IP address");
    let (local, remote) = (end(second.local_addr().expect("its address")), end(remote));
    stands("a SYN waits", (local, remote), Tcp::Ending, |entry| {
        entry.is_some_and(|entry| entry.state == SYN_SENT)
    });
    // The other end's kernel knows nothing of it; that it listens there is something else.
    stands("nothing there", (remote, local), Tcp::Gone, |entry| entry.is_none());
}
