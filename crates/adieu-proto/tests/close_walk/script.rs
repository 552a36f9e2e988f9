//! The alphabet of the walk, and the bytes that the peer sends for each letter. The encoder is the
//! test's own: it shares no code with the crate.

use adieu_proto::{HandshakeError, LetGo, Response, Timer, client_accept};

/// Which side of the connection is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Server,
    Client,
}

/// What can be said in a closing handshake, and with which frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    Rfc6455,
    Hixie76,
    Hixie75,
}

/// What the transport does with the bytes that we give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    /// It takes everything at once, and all of it leaves at once.
    TakesAll,
    /// It takes what an input says, and that leaves at once.
    TakesWhenTold,
    /// It takes everything at once and holds it until it is flushed.
    Holds,
    /// The same, and it is one stream of many: HTTP/2.
    Multiplexed,
}

impl Transport {
    /// Whether it holds what it took until it is flushed.
    pub(crate) fn holds(self) -> bool {
        matches!(self, Transport::Holds | Transport::Multiplexed)
    }
}

/// How our side refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// The application refuses, with a status.
    Status,
    /// The application refuses, with a response of its own.
    Response,
    /// The application's function panicked.
    Panicked,
    /// The server is stopping.
    Draining,
}

/// One letter of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    // Our side.
    AppClose,
    Dropped,
    Panicked,
    /// Our side closes because the server is stopping.
    Drain,
    /// The server is stopping, whoever closes: a fact beside the cause.
    Draining,
    EndSeen,
    Send,
    /// Our side lets go of the connection at once, for this reason.
    LetGo(LetGo),
    // Bytes of the peer.
    Close,
    EmptyClose,
    BadClose,
    Data,
    Fragment,
    Partial,
    Ping,
    Violation,
    // How the peer's direction of the transport ends.
    /// A close_notify of TLS: the peer's data is over, its TCP is not.
    CloseNotify,
    Fin,
    /// A FIN; the RST behind it is found only when we let go of the transport.
    FinReset,
    Reset,
    Lost,
    /// An error that does not say how the peer ended.
    Unknown,
    // Our direction of the transport.
    /// A transport that takes when told takes all that waits.
    Take,
    /// The same, but for the last byte.
    TakePart,
    /// What a transport holds leaves.
    Flush,
    /// The transport says that it takes nothing, or lets nothing leave, for now.
    Blocked,
    WriteError,
    /// The bytes of the peer cannot be read as TLS any more.
    TlsFailed,
    /// The application is behind, so nothing is read, no answer to our Ping either.
    Paused,
    /// This clock runs out.
    Timer(Timer),
    // The opening handshake.
    Head,
    HalfHead,
    Head76,
    BadHead,
    Nonce,
    HalfNonce,
    Accept,
    Refuse(Refusal),
}

pub(crate) const OPENED: &[Input] = &[
    Input::AppClose,
    Input::Dropped,
    Input::Panicked,
    Input::Drain,
    Input::Draining,
    Input::EndSeen,
    Input::Send,
    Input::LetGo(LetGo::TaskDropped),
    Input::LetGo(LetGo::RuntimeGone),
    Input::LetGo(LetGo::Forced),
    Input::LetGo(LetGo::Clock(Timer::Drain)),
    Input::Close,
    Input::EmptyClose,
    Input::BadClose,
    Input::Data,
    Input::Fragment,
    Input::Partial,
    Input::Ping,
    Input::Violation,
    Input::CloseNotify,
    Input::Fin,
    Input::FinReset,
    Input::Reset,
    Input::Lost,
    Input::Unknown,
    Input::Take,
    Input::TakePart,
    Input::Flush,
    Input::Blocked,
    Input::WriteError,
    Input::TlsFailed,
    Input::Paused,
    Input::Timer(Timer::Handshake),
    Input::Timer(Timer::Ping),
    Input::Timer(Timer::Pong),
    Input::Timer(Timer::Write),
    Input::Timer(Timer::Grace),
    Input::Timer(Timer::Flush),
    Input::Timer(Timer::Close),
    Input::Timer(Timer::Linger),
];

pub(crate) const OPENING: &[Input] = &[
    Input::Head,
    Input::HalfHead,
    Input::Head76,
    Input::BadHead,
    Input::Nonce,
    Input::HalfNonce,
    Input::Accept,
    Input::Refuse(Refusal::Status),
    Input::Refuse(Refusal::Response),
    Input::Refuse(Refusal::Panicked),
    Input::Refuse(Refusal::Draining),
];

/// What the application's Close says.
pub(crate) const BYE: (u16, &str) = (4000, "bye");
/// What the peer's Close says.
pub(crate) const GO: (u16, &str) = (4001, "go");
/// What its bad Close says: a code that must not be on the wire (RFC 6455 §7.4.1).
pub(crate) const BAD: (u16, &str) = (1005, "no");

pub(crate) const MESSAGE: &str = "msg";
pub(crate) const DATA: &str = "hi";
pub(crate) const FRAGMENT: &str = "fr";
/// The payload of a frame that comes in two halves.
pub(crate) const HALVES: (&str, &str) = ("pa", "rt");
pub(crate) const PING: &[u8] = b"ping";
/// The errors that explain what the transport does.
pub(crate) const NO_ROUTE: &str = "no route to the peer";
pub(crate) const TUNNEL: &str = "the tunnel collapsed";
pub(crate) const BROKEN_PIPE: &str = "broken pipe";
pub(crate) const BAD_RECORD: &str = "a bad record";
pub(crate) const NONCE: &[u8] = b"^n:ds[4U";

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Where the peer stands in its own stream: it finishes what it began before it says more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stand {
    pub(crate) in_frame: bool,
    pub(crate) in_message: bool,
}

/// What the peer puts on the wire for `input`.
pub(crate) fn peer_bytes(role: Role, dialect: Dialect, stand: Stand, input: Input) -> Vec<u8> {
    if dialect == Dialect::Rfc6455 { hybi(role, stand, input) } else { hixie(stand, input) }
}

fn hybi(role: Role, stand: Stand, input: Input) -> Vec<u8> {
    let masked = role == Role::Server;
    let (first, second) = HALVES;
    let mut out = Vec::new();
    let mut in_message = stand.in_message;
    if stand.in_frame {
        let half: Vec<u8> = second.bytes().zip([MASK[2], MASK[3]]).map(|(b, m)| b ^ m).collect();
        out.extend(if masked { half } else { second.into() });
        in_message = false;
    }
    let opcode = if in_message { 0x0 } else { 0x1 };
    let closing = |(code, reason): (u16, &str)| [&code.to_be_bytes(), reason.as_bytes()].concat();
    out.extend(match input {
        Input::Data => frame(masked, 0x80 | opcode, DATA.as_bytes()),
        Input::Fragment => frame(masked, opcode, FRAGMENT.as_bytes()),
        Input::Partial => {
            let mut whole = frame(masked, 0x80 | opcode, [first, second].concat().as_bytes());
            whole.truncate(whole.len() - second.len());
            whole
        }
        Input::Close => frame(masked, 0x88, &closing(GO)),
        Input::EmptyClose => frame(masked, 0x88, &[]),
        Input::BadClose => frame(masked, 0x88, &closing(BAD)),
        Input::Ping => frame(masked, 0x89, PING),
        // The first reserved bit, with no extension in use (§5.2).
        Input::Violation => frame(masked, 0xC1, &[]),
        other => unreachable!("{other:?} is not bytes"),
    });
    out
}

/// A frame with a short length (§5.2).
pub(crate) fn frame(masked: bool, first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    let mut out = vec![first, payload.len() as u8];
    if masked {
        out[1] |= 0x80;
        out.extend(MASK);
        out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ MASK[i % 4]));
    } else {
        out.extend(payload);
    }
    out
}

fn hixie(stand: Stand, input: Input) -> Vec<u8> {
    let (first, second) = HALVES;
    let mut out = Vec::new();
    if stand.in_frame {
        out.extend(second.bytes());
        out.push(0xFF);
    }
    match input {
        Input::Data => out.extend([&[0x00], DATA.as_bytes(), &[0xFF]].concat()),
        Input::Partial => out.extend([&[0x00], first.as_bytes()].concat()),
        Input::EmptyClose => out.extend([0xFF, 0x00]),
        // A length that never ends.
        Input::Violation => out.extend([0x80; 12]),
        other => unreachable!("{other:?} cannot be said in hixie"),
    }
    out
}

impl Refusal {
    /// Why the request is refused, and the response if it is not the error's own.
    pub(crate) fn parts(self) -> (HandshakeError, Option<Response>) {
        match self {
            Refusal::Status => (HandshakeError::Refused(403), None),
            Refusal::Panicked => (HandshakeError::Panicked, None),
            Refusal::Draining => (HandshakeError::Draining, None),
            Refusal::Response => {
                let body = "who are you?".to_owned();
                let fields = vec![("Content-Length", body.len().to_string())];
                let response = Response { status: 401, phrase: "Unauthorized", fields, body };
                (HandshakeError::Refused(401), Some(response))
            }
        }
    }
}

/// The head that the peer sends: a request to a server, or the answer to a client. `theirs` is the
/// request of that client.
pub(crate) fn head(role: Role, input: Input, theirs: &[u8]) -> Vec<u8> {
    let text = match (role, input) {
        (Role::Server, Input::Head76) => "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\n\
             Connection: Upgrade\r\nOrigin: http://h\r\n\
             Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
             Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n"
            .to_owned(),
        (Role::Server, Input::BadHead) => "BAD\r\n\r\n".to_owned(),
        (Role::Server, _) => "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n"
            .to_owned(),
        (Role::Client, Input::BadHead) => {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
        (Role::Client, _) => format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            client_accept(nonce_of(theirs))
        ),
    };
    text.into_bytes()
}

/// The nonce in a client's request.
fn nonce_of(request: &[u8]) -> [u8; 16] {
    let request = std::str::from_utf8(request).expect("a head is ASCII");
    let key = request.split("Sec-WebSocket-Key: ").nth(1).expect("a key");
    let mut bits = 0u32;
    let mut nonce = Vec::new();
    for (i, symbol) in key.bytes().take(22).enumerate() {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        // Four symbols make three bytes; a byte is whole after each symbol but the first.
        if i % 4 != 0 {
            nonce.push((bits >> (6 - 2 * (i % 4))) as u8);
        }
    }
    nonce.try_into().expect("sixteen bytes")
}
