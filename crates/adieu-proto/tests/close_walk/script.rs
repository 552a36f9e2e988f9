//! The alphabet of the walk, and the bytes that the peer sends for each letter. The encoder is the
//! test's own: it shares no code with the crate.

use adieu_proto::{Timer, client_accept};

/// Which side of the connection is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Server,
    Client,
}

/// What can be said in a goodbye, and with which frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    Rfc6455,
    Hixie76,
    Hixie75,
}

/// One letter of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    // Our application.
    AppClose,
    Dropped,
    Panicked,
    Drain,
    SawEnd,
    Send,
    // Bytes of the peer.
    Close,
    EmptyClose,
    BadClose,
    Data,
    Fragment,
    Partial,
    Ping,
    Violation,
    // The transport.
    Fin,
    /// A FIN; the RST behind it is found only when we let go of the transport.
    FinReset,
    Reset,
    Unreachable,
    /// A blocked transport takes all that waits.
    Flushed,
    /// A blocked transport takes all that waits but the last byte.
    Part,
    WriteError,
    /// The bytes of the peer cannot be read as TLS any more.
    TlsFailed,
    /// The application is behind, so nothing is read, no answer to our Ping either.
    Paused,
    /// Nobody drives the connection any more: the task that did was dropped.
    Abandon,
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
    Refuse,
}

pub(crate) const OPENED: &[Input] = &[
    Input::AppClose,
    Input::Dropped,
    Input::Panicked,
    Input::Drain,
    Input::SawEnd,
    Input::Send,
    Input::Close,
    Input::EmptyClose,
    Input::BadClose,
    Input::Data,
    Input::Fragment,
    Input::Partial,
    Input::Ping,
    Input::Violation,
    Input::Fin,
    Input::FinReset,
    Input::Reset,
    Input::Unreachable,
    Input::Flushed,
    Input::Part,
    Input::WriteError,
    Input::TlsFailed,
    Input::Paused,
    Input::Abandon,
    Input::Timer(Timer::Handshake),
    Input::Timer(Timer::Ping),
    Input::Timer(Timer::Pong),
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
    Input::Refuse,
];

/// What our wishes say.
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

/// A request, or as a server the answer to one. `theirs` is what came from the other side.
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
        (Role::Client, Input::BadHead) => "HTTP/1.1 404 Not Found\r\n\r\n".to_owned(),
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
