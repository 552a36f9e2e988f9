//! What others tell the close machine.

use crate::close::{Cause, Close};

/// Our side wants to end the connection: why, and with which words.
///
/// ```
/// use adieu_proto::{Cause, Close, CloseRequest};
/// let request = CloseRequest { cause: Cause::Application, close: Close::new(1000, "done")? };
/// # Ok::<(), adieu_proto::UsageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseRequest {
    /// What the report will give as the cause, if this is the first.
    pub cause: Cause,
    /// What to tell the peer.
    pub close: Close,
}

/// How the peer's direction of the transport ended, as the transport judged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEnd {
    /// The peer finished it, after all its bytes: a FIN of TCP, the end of a stream.
    Finished,
    /// The peer reset it: ECONNRESET and nothing else.
    Reset,
    /// The operating system gave up on the peer (ETIMEDOUT, EHOSTUNREACH and their like).
    Lost,
    /// The transport failed with an error that does not say how the peer ended.
    Unknown,
}
