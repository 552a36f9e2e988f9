//! What the kernel says of a connection, and waiting until it does.

use std::net::SocketAddr;
use std::time::Instant;
use std::{fs, thread};

use crate::DEADLINE;

/// Waits until `condition` holds; panics with `what` if it never does. The pause between two
/// looks only spares the processor.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "it never happened: {what}");
        thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// How one end of a TCP connection stands, as the kernel's table says (Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcp {
    /// Both directions are open.
    Established,
    /// The other end's FIN has come; ours has not gone.
    CloseWait,
    /// In the table, in some other state.
    Ending,
    /// Not in the table: reset, or over in both directions.
    Gone,
}

impl Tcp {
    /// The end at `local` of its connection with `remote`.
    ///
    /// # Panics
    /// Where there is no such table.
    #[must_use]
    pub fn of(local: SocketAddr, remote: SocketAddr) -> Self {
        let state = row(local, remote).map(|row| row[0].clone());
        match state.as_deref() {
            Some("01") => Tcp::Established,
            Some("08") => Tcp::CloseWait,
            Some("07") | None => Tcp::Gone,
            Some(_) => Tcp::Ending,
        }
    }
}

/// Bytes that one end's kernel holds: sent and not acknowledged, received and not read.
pub(crate) fn queues(local: SocketAddr, remote: SocketAddr) -> (usize, usize) {
    let Some(row) = row(local, remote) else { return (0, 0) };
    let (sent, received) = row[1].split_once(':').expect("two queues");
    let number = |digits| usize::from_str_radix(digits, 16).expect("a number");
    (number(sent), number(received))
}

/// The table's words on the end at `local`: its state and what follows. Each network namespace
/// has a table of its own; the calling thread's is meant.
fn row(local: SocketAddr, remote: SocketAddr) -> Option<Vec<String>> {
    let ends = [in_table(local), in_table(remote)];
    let table =
        fs::read_to_string("/proc/thread-self/net/tcp").expect("Linux's table of connections");
    table.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().skip(1).map(str::to_owned).collect();
        (words.len() > 3 && words[..2] == ends).then(|| words[2..].to_vec())
    })
}

/// An IPv4 address as the table writes it: the bytes in the machine's order.
fn in_table(addr: SocketAddr) -> String {
    let SocketAddr::V4(addr) = addr else { panic!("tests use IPv4") };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(addr.ip().octets()), addr.port())
}
