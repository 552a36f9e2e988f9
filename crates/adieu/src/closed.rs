//! [`Closed`]: nothing can be sent any more; and which connection that is said of.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a connection, counted from 1 in this process: servers' and clients' connections
/// together, in the order in which they were accepted or made.
///
/// `Display` is the number alone, for logs and spans.
///
/// ```
/// # fn handler(socket: adieu::Socket) {
/// println!("connection {} is from {}", socket.id(), socket.peer());
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The number of the next connection.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // Nothing else depends on the order.
        ConnectionId(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({})", self.0)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Nothing can be sent any more: the connection is closing or over. How it ended is in
/// [`Socket::ended`](crate::Socket::ended); this is no error of anybody.
///
/// It knows whose connection it is: a handler that returns it as its error because *another*
/// connection is closing has failed ([`IntoClose`](crate::IntoClose)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    connection: ConnectionId,
}

impl Closed {
    pub(crate) fn new(connection: ConnectionId) -> Self {
        Closed { connection }
    }

    /// The connection that is closing or over: compare with [`Socket::id`](crate::Socket::id).
    #[must_use]
    pub fn connection(self) -> ConnectionId {
        self.connection
    }
}

impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Closed(connection {})", self.connection)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {} is closing or over", self.connection)
    }
}

impl std::error::Error for Closed {}

/// For functions that return [`std::io::Result`]: of the kind `BrokenPipe`, with the [`Closed`] in
/// it ([`std::io::Error::get_ref`]). A handler may return it like the [`Closed`] itself.
impl From<Closed> for std::io::Error {
    fn from(closed: Closed) -> Self {
        std::io::Error::new(std::io::ErrorKind::BrokenPipe, closed)
    }
}
