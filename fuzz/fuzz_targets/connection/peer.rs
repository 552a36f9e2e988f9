//! The peer's side: frames and heads, written with code of its own.

use adieu_proto::{Version, client_accept};

use crate::script::{First, Flood, Frame, Payload, Spoken};

/// How often a flood repeats: with Pings that is a megabyte.
const FLOOD: usize = 8000;

/// A flood as it stands on the wire. `masks`: whether the peer has to mask.
pub(crate) fn flood(flood: Flood, masks: bool) -> Vec<u8> {
    let of = |first, len| {
        let (payload, key) = (Payload::Bytes(vec![b'x'; len]), [1, 2, 3, 4]);
        let first = First::Any(first);
        frame(&Frame { first, payload, wrong_mask: false, key, more: None }, masks)
    };
    let one = match flood {
        Flood::Pings => of(0x89, 125),
        Flood::Pongs => of(0x8A, 125),
        // The first begins a message, or breaks the rules behind another.
        Flood::EmptyFragments => return [of(0x01, 0), of(0x00, 0).repeat(FLOOD)].concat(),
        Flood::EmptyTexts => of(0x81, 0),
        Flood::HixieTexts => b"\x00hello\xFF".to_vec(),
        Flood::HixieBytes => return [&[0x00], &[0x80; 64][..].repeat(FLOOD)[..]].concat(),
        Flood::Fields => [b"X-Field: ", &[b'x'; 60][..], b"\r\n"].concat(),
        Flood::Chunks => [b"40\r\n", &[b'x'; 64][..], b"\r\n"].concat(),
    };
    one.repeat(FLOOD)
}

/// A frame as it stands on the wire. `masks`: whether the peer has to mask.
pub(crate) fn frame(frame: &Frame, masks: bool) -> Vec<u8> {
    let payload = payload(&frame.payload);
    let announced = payload.len() as u64 + u64::from(frame.more.unwrap_or(0));
    let masked = masks != frame.wrong_mask;
    let bit = if masked { 0x80 } else { 0 };
    let mut out = vec![frame.first.byte()];
    match announced {
        0..=125 => out.push(bit | announced as u8),
        126..=0xFFFF => {
            out.push(bit | 126);
            out.extend((announced as u16).to_be_bytes());
        }
        _ => {
            out.push(bit | 127);
            out.extend(announced.to_be_bytes());
        }
    }
    if masked {
        out.extend(frame.key);
        out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ frame.key[i % 4]));
    } else {
        out.extend(payload);
    }
    out
}

fn payload(payload: &Payload) -> Vec<u8> {
    match payload {
        Payload::Bytes(bytes) => bytes.clone(),
        Payload::Text(len) => "é".repeat(usize::from(*len) / 2).into_bytes(),
        Payload::Close(code, reason) => [&code.to_be_bytes(), reason.as_bytes()].concat(),
        Payload::AppClose(code) => (3000 + code % 2000).to_be_bytes().to_vec(),
    }
}

/// The request of a client of this version.
pub(crate) fn request(spoken: Spoken) -> Vec<u8> {
    let common = "GET /a?b HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
        Origin: http://h\r\nSec-WebSocket-Protocol: one\r\n";
    let own = match spoken {
        Spoken::Rfc6455 => numbered("13"),
        Spoken::Hybi08 => numbered("8"),
        Spoken::Hybi07 => numbered("7"),
        Spoken::Hixie76 => "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
            Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n"
            .to_owned(),
        Spoken::Hixie75 => String::new(),
    };
    format!("{common}{own}\r\n").into_bytes()
}

fn numbered(version: &str) -> String {
    format!("Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
}

/// Its fields, as an HTTP library gives them.
pub(crate) fn request_fields(version: Version) -> Vec<(String, String)> {
    let spoken = match version {
        Version::Hixie75 => Spoken::Hixie75,
        Version::Hixie76 => Spoken::Hixie76,
        Version::Hybi07 => Spoken::Hybi07,
        Version::Hybi08 => Spoken::Hybi08,
        Version::Rfc6455 => Spoken::Rfc6455,
    };
    let text = String::from_utf8(request(spoken)).expect("a head is ASCII");
    let fields = text.lines().skip(1).filter_map(|line| line.split_once(": "));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The right answer to a client whose nonce is this.
pub(crate) fn answer(nonce: [u8; 16]) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        client_accept(nonce)
    )
    .into_bytes()
}
