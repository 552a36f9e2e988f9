//! [`Closed`]: nothing can be sent any more.

use std::fmt;

/// Which connection it is: its address in memory, unique while the connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub(crate) usize);

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

    pub(crate) fn connection(self) -> ConnectionId {
        self.connection
    }
}

impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed")
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closing or over")
    }
}

impl std::error::Error for Closed {}
