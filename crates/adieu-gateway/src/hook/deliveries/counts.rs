//! What people and programs are told of the queue.

/// What waits for the backend, and what has become of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Events that wait.
    pub events: usize,
    /// How many of them are lifecycle events: `session.*`, `user.*`, `connection.*`.
    pub lifecycle: usize,
    /// The bytes of all that wait.
    pub bytes: usize,
    /// Events that the backend has taken since the start.
    pub delivered: u64,
    /// Tries that failed since the start.
    pub failed: u64,
    /// Messages that became dead letters since the start.
    pub rejected: u64,
    /// Messages that are dead letters.
    pub dead_letters: usize,
    /// The bytes of dead letters, without the parked events of sessions and users.
    pub dead_letter_bytes: usize,
    /// Dead letters that were let go since the start, because there were too many.
    pub let_go: u64,
    /// Lifecycle events that are set aside, until the next start or until they are sent again.
    pub parked: usize,
    /// `connection.*` events that were dropped since the start, because too many waited.
    pub dropped: u64,
    /// Whether the backend could be connected to when it was last tried.
    pub reachable: bool,
}

/// What a gateway that stops leaves behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Events of sessions and users that the backend has not taken.
    pub lifecycle: usize,
    /// Messages that the backend has not taken.
    pub messages: usize,
}
