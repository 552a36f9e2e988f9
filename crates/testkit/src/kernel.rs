//! What the kernel says of a connection, and waiting until it does.

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use crate::DEADLINE;
use crate::diag::{self, state};

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
    /// The end at `local` of its connection with `remote`, in the table of the calling thread's
    /// network namespace.
    ///
    /// # Panics
    /// Where the kernel does not tell.
    #[must_use]
    pub fn of(local: SocketAddr, remote: SocketAddr) -> Self {
        match diag::look(local, remote).map(|entry| entry.state) {
            Some(state::ESTABLISHED) => Tcp::Established,
            Some(state::CLOSE_WAIT) => Tcp::CloseWait,
            Some(state::CLOSE) | None => Tcp::Gone,
            Some(_) => Tcp::Ending,
        }
    }
}

/// Bytes that one end's kernel holds: sent and not acknowledged, received and not read.
pub(crate) fn queues(local: SocketAddr, remote: SocketAddr) -> (usize, usize) {
    let Some(entry) = diag::look(local, remote) else { return (0, 0) };
    (entry.unacknowledged as usize, entry.unread as usize)
}
