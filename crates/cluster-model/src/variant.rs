//! Protocols that are wrong in one place each.

/// The protocol, or one of the simpler ones that were thought of before it. Each is a line of the
/// model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The protocol.
    Right,
    /// No script compares the fence.
    NoFence,
    /// Only `commit` does not compare the fence.
    CommitWithoutFence,
    /// Only `end` does not compare the fence.
    EndWithoutEpoch,
    /// A node whose clock is fast judges the leases of others and the deadlines.
    LeaseByNodeClock,
    /// `due` takes the deadline out.
    DeadlinePoppedFirst,
    /// Whether a user has left is decided by the node, behind the script that ends the session.
    PresenceOutsideTheScript,
    /// `ack` takes out the head of the queue, whatever it is.
    AckPopsTheHead,
    /// A message is forwarded to the node that owns the session, and 202 is said then.
    ForwardedPost,
    /// A claim reads the row and writes it in two steps.
    ClaimReadsThenWrites,
    /// No node looks for sessions that are said to be its own and that it does not hold.
    NoAudit,
    /// No node looks whether what it holds is still its own.
    NoAuditOfConnections,
    /// A deadline may pass before a node has looked whether what it holds is still its own.
    DeadlineBeforeAudit,
    /// An answer to a claim is used however old it is.
    LateAnswerUsed,
    /// The fence is the epoch alone.
    EpochOnly,
    /// Events leave for the backend before the replica has them.
    ToldBeforeReplicated,
    /// A node sends what it may end to the engine that was promoted as well.
    EndRepeatedOverFailover,
    /// A node sends a claim to the engine that was promoted though its client has gone.
    ClaimRepeatedForNobody,
    /// A request that nobody waits for reaches the engine that was promoted as well.
    RequestsOutliveTheEngine,
    /// The number of the last message is believed without its tag.
    NumberWithoutTag,
    /// A commit names the number of the message that the client received, and not its tag.
    CommitWithoutTag,
    /// 202 is said before the replica has the message.
    AcceptedBeforeReplicated,
    /// The client does not offer the highest acknowledgement that it was given.
    AcknowledgementNotOffered,
    /// Messages that made room for newer ones are left out in silence.
    LossNotTold,
    /// A write is repeated with a new nonce.
    NewNonceOnRepeat,
    /// The engine does not know a write that comes twice.
    NoIdempotence,
    /// The client is given the acknowledgement when its message arrives.
    AcknowledgedBeforeCommit,
    /// The sessions of a dead node are looked for once.
    OrphansSoughtOnce,
    /// The engine does not know that a session is over when its start comes once more.
    EndsForgotten,
    /// The engine does not know a post that comes twice.
    PostWithoutKey,
}
