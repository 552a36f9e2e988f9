//! Everything that can be asked of sessions. Data, so that it can be sent to the owner of a slot,
//! written down, and done again.

use std::sync::Arc;
use std::time::Duration;

use adieu_proto::Message as Plain;

use super::aggregate::{Counters, Row};
use super::change::Message;
use super::ending::ConnectionEnding;
use super::event::Meta;
use super::fence::{Fence, Refused};
use super::outbox::{Kept, OutboxLimits};
use super::token::{Digest, SessionId};
use super::transaction::Handle;
use super::wait::{Departure, Waits};
use super::wire::{Fault, FinalClose, FromClient, NotResumed, Payload, Tag, Tail};
use super::{Batch, Slot, Timestamp};

/// How sessions behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the announcement of an end waits.
    pub waits: Waits,
    /// How much is kept for a client that does not acknowledge.
    pub outbox: OutboxLimits,
    /// Between two heartbeats of a page; zero = none. A page that owes an acknowledgement and has
    /// said nothing for three of them gets nothing more until it speaks.
    pub heartbeat: Duration,
    /// Whether there is a backend that wants events.
    pub tell: bool,
    /// Whether it wants `connection.lost` and `connection.resumed` too.
    pub tell_connections: bool,
    /// When the backend is asked before a session is resumed.
    pub ask_resume: AskResume,
    /// How much one user, and all together, may have.
    pub limits: Limits,
    /// Sessions are shared with other nodes through an engine. A shard then holds the sessions of
    /// which it has the connection and no others: it is given each by
    /// [`SessionCommand::Adopt`] and lets go of it when it is away. Who is the first and the last
    /// session of a user is for the engine to say ([`Change::Join`](crate::Change::Join)).
    pub shared: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            waits: Waits::default(),
            outbox: OutboxLimits::default(),
            heartbeat: Duration::from_secs(20),
            tell: true,
            tell_connections: false,
            ask_resume: AskResume::default(),
            limits: Limits::default(),
            shared: false,
        }
    }
}

/// When the backend is asked before a session is resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskResume {
    /// If the client comes with other credentials than the last time.
    #[default]
    Changed,
    /// Each time.
    Always,
    /// Never: whatever has the token may resume.
    Never,
}

impl AskResume {
    pub(crate) fn applies(self, changed: bool) -> bool {
        match self {
            AskResume::Changed => changed,
            AskResume::Always => true,
            AskResume::Never => false,
        }
    }
}

/// How much sessions may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions of one user.
    pub sessions_per_user: usize,
    /// Bytes that are kept for the sessions of one user, until these are acknowledged.
    pub bytes_per_user: usize,
    /// Bytes that one shard keeps for all of its sessions.
    pub bytes: usize,
    /// Messages in a second from the sessions of one user; of nobody's, from each connection. For
    /// [`BURST`](crate::rate::BURST) seconds at once.
    pub messages_per_user: u32,
}

impl Default for Limits {
    /// 100 sessions: more tabs than a person has. 16 MiB for a user: four sessions that use up what
    /// one may have. 256 MiB for a shard: a fraction of the memory of a small machine. 2,000
    /// messages in a second: a hundred tabs with twenty each, a small part of what a core hears.
    fn default() -> Self {
        Limits {
            sessions_per_user: 100,
            bytes_per_user: 16 << 20,
            bytes: 256 << 20,
            messages_per_user: 2_000,
        }
    }
}

/// Why something is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Full {
    /// [`Limits::sessions_per_user`].
    SessionsOfUser,
    /// [`Limits::bytes_per_user`].
    BytesOfUser,
    /// [`Limits::bytes`].
    Bytes,
    /// [`Limits::messages_per_user`].
    MessagesOfUser,
}

impl Full {
    /// As it is counted, and as a refusal names it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Full::SessionsOfUser => "sessions_per_user",
            Full::BytesOfUser => "bytes_per_user",
            Full::Bytes => "bytes",
            Full::MessagesOfUser => "messages_per_user",
        }
    }
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            // FAQ: api-sessions-of-user
            Full::SessionsOfUser => "this user has as many sessions as one may have",
            // FAQ: api-too-much-waits-for-user
            Full::BytesOfUser => "too much waits for the sessions of this user",
            // FAQ: api-too-much-waits
            Full::Bytes => "too much waits for all sessions",
            // FAQ: api-messages-of-user
            Full::MessagesOfUser => "this user sends more messages in a second than one may",
        })
    }
}

/// The client that starts a session, and what the backend said of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guest {
    /// As whom the backend knows the person.
    pub user: Option<Arc<str>>,
    /// Where the page is from.
    pub origin: Option<Arc<str>>,
    /// With which credentials it came.
    pub credentials: Digest,
    /// The nonce of a page that has no token.
    pub first: Option<Digest>,
    /// The client does not speak adieu.v1.
    pub plain: bool,
    /// Why the session that it asked for is not resumed.
    pub not_resumed: Option<NotResumed>,
    /// What the backend wants to be told with each event.
    pub meta: Option<Arc<Meta>>,
    /// The path of its request.
    pub path: Arc<str>,
    /// The query behind it.
    pub query: Option<Arc<str>>,
    /// The id of the question that the backend was asked about it.
    pub connect_id: Option<Arc<str>>,
}

impl Guest {
    /// The slot of its session: its user's, or else that of its nonce, so that a second connection
    /// of the same page finds the session of the first. `None`: any.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        let of_user = self.user.as_deref().map(Slot::of_user);
        of_user.or(self.first.map(Digest::slot))
    }
}

/// A client with a token whose MAC is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resumption {
    /// Of the token.
    pub generation: u32,
    /// The highest sequence id that it has received.
    pub received: u64,
    /// The tag of that message.
    pub tag: Option<Tag>,
    /// The highest of its own messages that was acknowledged to it.
    pub acknowledged: u64,
    /// Where its page is from.
    pub origin: Option<Arc<str>>,
    /// With which credentials it comes.
    pub credentials: Digest,
    /// What the backend has said of it, if it was asked.
    pub verdict: Option<Verdict>,
    /// How long the backend may take to say it.
    pub patience: Duration,
}

/// What the backend said of a client that wants to resume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// As whom it knows the person now; `None`: as before.
    pub user: Option<Arc<str>>,
}

/// A message of the backend. One for many sessions is written as JSON once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// For a client that does not speak adieu.v1.
    pub plain: Plain,
    /// As it stands in adieu.v1.
    pub tail: Tail,
    /// Tells it from another of its number.
    pub tag: Tag,
    /// By which a second request for the same message is known.
    pub key: Option<Digest>,
}

impl Outgoing {
    /// A message with a random tag.
    #[must_use]
    pub fn new(payload: Payload, tag: Tag) -> Self {
        let tail = Tail::of(&payload);
        let plain = match payload {
            Payload::Text(text) => Plain::from(text),
            Payload::Binary(bytes) => Plain::from(bytes),
        };
        Outgoing { plain, tail, tag, key: None }
    }
}

/// What can be asked of one session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionCommand {
    /// A new connection wants it.
    Resume(Box<Resumption>),
    /// Its client is back, cannot be served now, and was told to come again after so long.
    ToldToComeBack(Duration),
    /// Its client said something on the connection of this generation.
    Hear(u32, Result<FromClient, Fault>),
    /// The same of a client that does not speak adieu.v1.
    HearPlain(u32, Result<Payload, Fault>),
    /// The connection of this generation ended.
    ConnectionEnded(u32, Departure, Arc<ConnectionEnding>),
    /// The backend sends a message.
    Send(Outgoing),
    /// The backend ends it, with its own Close or with 4003.
    End(Option<FinalClose>),
    /// The engine that is shared with other nodes has made this shard the owner of it.
    Adopt(Box<Adoption>),
    /// The engine says that it is not this shard's any more, if this is its last write, or, where
    /// another node has it, of this epoch.
    Disowned(Fence, Refused),
    /// Messages that the engine has numbered and keeps, the first one's number in front.
    Arrived(u64, Vec<Message>),
}

impl SessionCommand {
    /// The generation of the connection on which a client says a message for the backend.
    pub(crate) fn says_a_message_on(&self) -> Option<u32> {
        match self {
            SessionCommand::Hear(generation, Ok(FromClient::Message { .. }))
            | SessionCommand::HearPlain(generation, Ok(_)) => Some(*generation),
            _ => None,
        }
    }
}

/// A session as an engine has it that is shared with other nodes, and why this node has it now.
#[derive(Clone, Debug, PartialEq)]
pub struct Adoption {
    /// What is known of it; its state is the one that it has with its new owner.
    pub row: Row,
    /// Its numbers.
    pub counters: Counters,
    /// The write by which it was claimed.
    pub fence: Fence,
    /// Messages that its client has not acknowledged.
    pub messages: Vec<Kept>,
    /// Why.
    pub purpose: Purpose,
}

/// Why a node has become the owner of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// A client is back, which has received so many messages. The session was away because of
    /// this, if it was.
    Attach(u64, Option<Departure>),
    /// The person did not come back in time, or what the client has of it is lost in the engine.
    Expire,
    /// Another user is in the tab now.
    Replace,
    /// The backend ends it.
    End(Option<FinalClose>),
}

/// What the backend has answered to an event of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// Messages for the session's client, in this order.
    pub send: Vec<Outgoing>,
    /// Then the session is ended so.
    pub close: Option<FinalClose>,
    /// That the event is taken. It is committed with the rest of the answer, so that after a crash
    /// either all of the answer is there or the event is told again.
    pub written_off: Batch,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A new session under this name; or, for a page that was refreshed before it had heard of its
    /// session, that session.
    Start(SessionId, Box<Guest>),
    /// Of one session.
    Session(SessionId, SessionCommand),
    /// Of each session of a user.
    User(Arc<str>, SessionCommand),
    /// To do what the backend has answered to an event of this session, all of it at once. Where
    /// the session is over, the event is written off all the same.
    Answered(SessionId, Box<Answered>),
    /// To tell clients of a shard that the gateway goes away, each a time of its own up to
    /// `window`; those with names above `after`, a bounded number of them.
    Closing {
        /// The last of those that were told.
        after: Option<SessionId>,
        /// Over how long they come back.
        window: Duration,
        /// Chance.
        seed: u64,
    },
    /// To announce sessions of a shard that are away as over, and then users who may come back as
    /// gone, a bounded number of them.
    GiveUp,
}

impl Command {
    /// Which session is asked, if it is one.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Command::Start(id, _) | Command::Session(id, _) | Command::Answered(id, _) => Some(*id),
            Command::User(..) | Command::Closing { .. } | Command::GiveUp => None,
        }
    }

    /// Which slot decides about it. `None`: each shard.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Command::Start(id, _) | Command::Session(id, _) | Command::Answered(id, _) => {
                Some(id.slot())
            }
            Command::User(user, _) => Some(Slot::of_user(user)),
            Command::Closing { .. } | Command::GiveUp => None,
        }
    }
}

/// What is answered, once it is committed.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// It is done.
    Done,
    /// Of several things, one for each session of a user or each of a backend's answer: so many
    /// are done, and these limits did not allow one each. The others found no session.
    Several {
        /// How many are done.
        done: usize,
        /// A limit for each that is not.
        full: Vec<Full>,
    },
    /// There is no such session, or it is over.
    NoSession,
    /// A session has the connection: a new one, or one that goes on.
    Attached(Handle),
    /// The shard does not hold the session: another node has it, or it is away
    /// ([`Settings::shared`]).
    Elsewhere,
    /// The page has begun this session before, and had not heard of it ([`Settings::shared`]).
    Began(SessionId),
    /// Messages from this number on have not arrived, and the one that came is behind them.
    Missing(u64),
    /// It is not resumed.
    NotResumed(NotResumed),
    /// The backend has to be asked whether the client may resume; it is waited for meanwhile.
    Ask {
        /// As whom the backend knows the person.
        user: Option<Arc<str>>,
    },
    /// A limit does not allow it.
    Full(Full),
    /// There may be more of them: all up to this one are done, so many had something to do.
    More(Option<SessionId>, usize),
}

/// What can be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// One session.
    Session(SessionId),
    /// The sessions of a user.
    User(Arc<str>),
    /// Sessions in the order of their names, above this one, so many at most.
    Sessions(Option<SessionId>, usize),
    /// How many there are.
    Counts,
    /// Which write was the last of each session whose connection is here, and how many messages to
    /// its client are known.
    Held,
}

/// When something is due in a shard: never early, and at least in this order.
pub(crate) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
