//! What happens to a connection, as the fuzzer writes it: the peer's bytes, raw or in frames, what
//! the application wants, what the transport does, and time.

use adieu_proto::{LetGo, PeerEnd, Version};
use arbitrary::{Arbitrary, Unstructured};

/// A connection, and what happens to it.
#[derive(Arbitrary, Debug)]
pub(crate) struct Script {
    pub(crate) start: Start,
    pub(crate) limits: Limits,
    /// Whether the driver has a pool for the buffers of large messages.
    pub(crate) pooled: bool,
    /// Whether the transport gives evidence of acknowledged bytes.
    pub(crate) evidence: bool,
    /// Whether it holds what it took until it is flushed, as TLS does.
    pub(crate) holds: bool,
    pub(crate) steps: Vec<Step>,
}

/// How it begins.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Start {
    /// A server that nothing has come to.
    Server,
    /// A server whose opening handshake succeeded, in this version.
    Serving(Spoken),
    /// A server inside an HTTP library.
    Upgraded(Spoken),
    /// A client whose request waits to leave.
    Client,
    /// A client whose opening handshake succeeded.
    Connected,
}

/// A version of the protocol.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Spoken {
    Rfc6455,
    Hybi08,
    Hybi07,
    Hixie76,
    Hixie75,
}

impl Spoken {
    pub(crate) fn version(self) -> Version {
        match self {
            Spoken::Rfc6455 => Version::Rfc6455,
            Spoken::Hybi08 => Version::Hybi08,
            Spoken::Hybi07 => Version::Hybi07,
            Spoken::Hixie76 => Version::Hixie76,
            Spoken::Hixie75 => Version::Hixie75,
        }
    }
}

/// The limits of a message and of the output that waits.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Limits {
    Tiny,
    Small,
    /// Large enough for reads without a copy.
    Large,
}

/// One thing that happens.
#[derive(Arbitrary, Debug)]
pub(crate) enum Step {
    /// Bytes of the peer, in pieces of so many (0: in one).
    Bytes {
        bytes: Vec<u8>,
        piece: u8,
    },
    /// A frame of the peer, so many times.
    Frame {
        frame: Frame,
        piece: u8,
        times: u8,
    },
    /// A text of a hixie peer, so many times.
    HixieText {
        text: Vec<u8>,
        times: u8,
    },
    /// A payload without end.
    Payload {
        byte: u8,
        kib: u8,
    },
    /// What a hostile peer repeats, in hope that all of it is kept.
    Flood(Flood),
    /// The request of such a client, or the right answer to ours.
    Head(Spoken),
    /// The eight bytes of hixie-76.
    Nonce([u8; 8]),
    App(App),
    Transport(Transport),
    /// Milliseconds pass.
    Time(u16),
    /// Time passes until the next clock.
    Clock,
}

/// What is sent by the thousand.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Flood {
    /// Pings of 125 bytes, each of which asks for a Pong.
    Pings,
    Pongs,
    EmptyFragments,
    EmptyTexts,
    HixieTexts,
    /// Bytes that are no UTF-8, in a text that does not end.
    HixieBytes,
    /// Fields of a head.
    Fields,
    /// Chunks of a body.
    Chunks,
}

/// A frame of RFC 6455 §5.2, right or wrong.
#[derive(Arbitrary, Debug)]
pub(crate) struct Frame {
    pub(crate) first: First,
    pub(crate) payload: Payload,
    pub(crate) key: [u8; 4],
    /// Masked or not against the rule of §5.1.
    #[arbitrary(with = rarely)]
    pub(crate) wrong_mask: bool,
    /// It announces so much more than comes.
    #[arbitrary(with = rarely_some)]
    pub(crate) more: Option<u32>,
}

/// The first byte: FIN, the reserved bits and the opcode. Most of them are right, so that more than
/// the first frame of a script is read.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum First {
    Text,
    Binary,
    Continuation,
    TextBegins,
    BinaryBegins,
    GoesOn,
    Close,
    Ping,
    Pong,
    Any(u8),
}

impl First {
    pub(crate) fn byte(self) -> u8 {
        match self {
            First::Text => 0x81,
            First::Binary => 0x82,
            First::Continuation => 0x80,
            First::TextBegins => 0x01,
            First::BinaryBegins => 0x02,
            First::GoesOn => 0x00,
            First::Close => 0x88,
            First::Ping => 0x89,
            First::Pong => 0x8A,
            First::Any(byte) => byte,
        }
    }
}

/// True once in sixteen times, and not where the fuzzer's bytes are used up.
fn rarely(u: &mut Unstructured<'_>) -> arbitrary::Result<bool> {
    Ok(u.arbitrary::<u8>()? >= 240)
}

fn rarely_some(u: &mut Unstructured<'_>) -> arbitrary::Result<Option<u32>> {
    Ok(if rarely(u)? { Some(u.arbitrary()?) } else { None })
}

#[derive(Arbitrary, Debug)]
pub(crate) enum Payload {
    Bytes(Vec<u8>),
    /// A text of so many bytes.
    Text(u16),
    /// The body of a Close with any code, and with one of an application.
    Close(u16, String),
    AppClose(u16),
}

/// What the application wants.
#[derive(Arbitrary, Debug)]
pub(crate) enum App {
    Accept {
        subprotocol: bool,
        field: bool,
    },
    Refuse(u8),
    RefuseWith(Vec<u8>),
    Send(String),
    SendBinary(Vec<u8>),
    /// A message of a quarter of so many bytes, encoded for many connections or not.
    SendLarge {
        len: u16,
        prepared: bool,
    },
    Ping,
    Close {
        code: Option<u16>,
        reason: String,
        reads_on: bool,
    },
    EndSeen,
    Drain,
    LetGo(Why),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Why {
    TaskDropped,
    RuntimeGone,
    Forced,
}

impl Why {
    pub(crate) fn let_go(self) -> LetGo {
        match self {
            Why::TaskDropped => LetGo::TaskDropped,
            Why::RuntimeGone => LetGo::RuntimeGone,
            Why::Forced => LetGo::Forced,
        }
    }
}

/// What the transport does.
#[derive(Arbitrary, Debug)]
pub(crate) enum Transport {
    /// It takes so many bytes.
    Takes {
        most: u16,
    },
    /// It takes all that waits, and all that it holds leaves.
    TakesAll,
    Flushed,
    Blocked,
    WriteFailed,
    ReadingPaused,
    CloseNotify,
    TlsFailed,
    PeerEnded(How),
    Knows(Evidence),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum How {
    Finished,
    Reset,
    Lost,
    Unknown,
}

impl How {
    pub(crate) fn peer_end(self) -> PeerEnd {
        match self {
            How::Finished => PeerEnd::Finished,
            How::Reset => PeerEnd::Reset,
            How::Lost => PeerEnd::Lost,
            How::Unknown => PeerEnd::Unknown,
        }
    }
}

/// What the operating system knows of bytes that left; times in milliseconds.
#[derive(Arbitrary, Clone, Copy, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) acked: u16,
    pub(crate) outstanding: u16,
    pub(crate) unsent: u16,
    pub(crate) last_ack: u16,
    pub(crate) last_sent: u16,
    pub(crate) window: Option<u16>,
    pub(crate) rto: u16,
    pub(crate) round_trip: u16,
}
