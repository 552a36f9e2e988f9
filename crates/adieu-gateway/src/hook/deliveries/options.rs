//! How deliveries behave, and the limits that are no option.

use std::time::Duration;

/// How events are delivered to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryOptions {
    /// Requests to the backend at a time, 2 at least: a backend that is slow should not have a
    /// request open for each session. A quarter of them is for lifecycle events alone (`session.*`,
    /// `user.*`, `connection.*`), and a quarter for messages alone.
    pub concurrency: usize,
    /// How long a lifecycle event waits behind a message of its session that the backend refuses.
    /// Then it overtakes the message: that a person left should not wait for what the person said.
    /// It is a minute at least if the backend gives no answer and has taken nothing else meanwhile.
    pub patience: Duration,
    /// When the backend takes an event again, those that it refused meanwhile are sent over this
    /// time, so that a backend that has just come back is not flooded.
    pub spread: Duration,
    /// A message becomes a dead letter after so many tries, if it is old enough as well.
    pub dead_letter_tries: u32,
    /// A message becomes a dead letter when it has been refused for so long, if there were enough
    /// tries as well.
    pub dead_letter_age: Duration,
    /// A lifecycle event that is refused is set aside (parked) when it is so old: what comes
    /// behind it in its session can be told then.
    pub park_after: Duration,
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        DeliveryOptions {
            concurrency: 64,
            patience: Duration::from_secs(10),
            spread: Duration::from_secs(30),
            dead_letter_tries: 10,
            dead_letter_age: Duration::from_secs(5 * 60),
            park_after: Duration::from_secs(24 * 3600),
        }
    }
}

/// Answers that say that the event itself is wrong (400, 410, 413, 415, 422) after which a message
/// is a dead letter: the same again will be answered the same.
pub(super) const FINAL_TRIES: u32 = 5;

/// How long a message is tried while the backend takes no message at all: then it is more likely
/// that the backend is unwell than that the message is wrong. After that the message is a dead
/// letter, for it may be what the backend is unwell of, and its session waits behind it.
pub(super) const NOTHING_TAKEN: Duration = Duration::from_secs(3600);

/// How long a lifecycle event waits at least behind a message that had no answer, if the backend
/// has taken nothing else meanwhile: a backend that hangs is most often back within this time, and
/// then hears the message first.
pub(super) const NOTHING_ELSE_TAKEN: Duration = Duration::from_secs(60);

/// Refusals of a lifecycle event before it is parked, however old it is: after a day in which the
/// gateway was down it is not parked at the first failure of the next start.
pub(super) const PARK_TRIES: u32 = 5;

/// The first wait after a refusal, doubled with each, up to the longest.
pub(super) const BACK_OFF: Duration = Duration::from_millis(250);

/// The longest wait between two tries of an event.
pub(super) const MAX_BACK_OFF: Duration = Duration::from_secs(5 * 60);

/// The longest wait for a backend that cannot be reached.
pub(super) const MAX_UNREACHABLE: Duration = Duration::from_secs(30);

/// However long the backend fails, an event is tried so often at least.
pub(super) const AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// `connection.lost` and `connection.resumed` of one session that wait at most: a client may come
/// and go all day. The oldest is dropped and counted; what they tell is of interest for a short
/// time, and the end of the session is told in any case.
pub(super) const CONNECTION_EVENTS: usize = 16;

/// Bytes of all waiting `connection.*` events; above this a new one is dropped and counted.
pub(super) const CONNECTION_BYTES: usize = 8 * MIB;

/// Messages of one session that wait for the backend before no more is read of it.
pub(super) const SESSION_MESSAGES: usize = 256;

/// Bytes of all messages that wait before no more is read of any session: they are kept in memory.
pub(super) const ALL_BYTES: usize = 64 * MIB;

/// The share of one user: a quarter, so that one person never stops the others.
pub(super) const USER_BYTES: usize = ALL_BYTES / 4;

/// The share of one session: an eighth.
pub(super) const SESSION_BYTES: usize = ALL_BYTES / 8;

/// A message of so many bytes is small: what people type, and what most applications send.
pub(super) const SMALL: usize = 4 * 1024;

/// What an event takes beside its message.
pub(super) const BESIDE_MESSAGE: usize = 256;

/// What the event of a small message has at most: the message and its attributes.
pub(super) const SMALL_EVENT: usize = SMALL + 1024;

/// Bytes for small messages beside [`ALL_BYTES`]: they are taken while large ones wait.
pub(super) const SMALL_RESERVE: usize = 8 * MIB;

/// What one session may have of [`SMALL_RESERVE`]: 128 sessions have to be busy to use it up.
pub(super) const SESSION_RESERVE: usize = 64 * 1024;

/// Dead letters that are kept at most, and their bytes: they are for people to look at, and are in
/// memory. The oldest is let go and counted. Parked `session.*` and `user.*` are not counted here:
/// they are never let go.
pub(super) const DEAD_LETTERS: usize = 10_000;

/// Bytes of dead letters that are kept at most.
pub(super) const DEAD_LETTER_BYTES: usize = 32 * MIB;

/// How long an event waits for others that go with it in a batch.
pub(super) const GATHER: Duration = Duration::from_millis(2);

/// Bytes of the events in a batch, but for a first one that is longer: what a backend has to read
/// before it can answer.
pub(super) const BATCH_BYTES: usize = MIB;

/// When the gateway stops: it waits for the backend while that has taken an event so lately.
pub(super) const STILL_TAKING: Duration = Duration::from_secs(2);

const MIB: usize = 1024 * 1024;
