//! Every limit of the client, with its reason. Those that browsers have too are the same there.

use std::time::Duration;

/// How much may wait for the gateway's acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages.
    pub unacknowledged_messages: usize,
    /// Bytes of their payloads.
    pub unacknowledged_bytes: usize,
}

impl Default for Limits {
    /// As in browsers: 1,000 messages and 1 MiB, of which a site has about 5 there.
    fn default() -> Self {
        Limits { unacknowledged_messages: 1_000, unacknowledged_bytes: 1 << 20 }
    }
}

/// Events that wait for the application. Above that nothing is read and no connection is begun.
pub const INBOX_EVENTS: usize = 256;
/// Bytes of messages that wait for the application. Above that nothing is read.
pub const INBOX_BYTES: usize = 1 << 20;

/// First step of the exponential back-off.
pub const BACKOFF_BASE: Duration = Duration::from_millis(250);
/// The back-off never waits less: also where the gateway keeps no session.
pub const BACKOFF_FLOOR: Duration = Duration::from_millis(100);
/// While the gateway keeps the session, the window divided by this at most: four tries fit in.
pub const BACKOFF_SHARE: u32 = 4;
/// Afterwards: 100,000 clients of a gateway that is down are 3,000 tries a second then.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The window to reckon with before the gateway has told its own.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(15);
/// A connection that lasted so long was a good one: the back-off begins anew.
pub const STABLE: Duration = Duration::from_secs(5);
/// No `closing` sends a client away for longer than this: that would be a mistake of the gateway.
pub const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// For the application's credential.
pub const ASK_LIMIT: Duration = Duration::from_secs(10);
/// From the start of a connection to the gateway's `connected`.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// For the answer to a heartbeat.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// From the wish to leave to the gateway's answer, connecting included.
pub const LEAVE_LIMIT: Duration = Duration::from_secs(10);
/// A deadline that is noticed so late tells that the process stood still.
pub const LATE: Duration = Duration::from_millis(500);
/// To read what came while the process stood still.
pub const SECOND_LOOK: Duration = Duration::from_secs(1);

/// A nonce of a first visit is offered for so long: the gateway keeps it no longer.
pub const FIRST_VISIT: Duration = Duration::from_secs(60);

/// An acknowledgement waits so long for others to join it.
pub const ACK_DELAY: Duration = Duration::from_millis(100);
/// So many messages are acknowledged without waiting.
pub const ACK_COUNT: u32 = 32;

/// Connections in a row that end in a violation before the client gives up.
pub const MAX_VIOLATIONS: u32 = 3;
