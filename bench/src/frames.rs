//! The bytes on the wire, built once: nothing here runs while something is measured.

/// Opcode of a text frame, with FIN.
pub const TEXT: u8 = 0x81;
/// Opcode of a binary frame, with FIN.
pub const BINARY: u8 = 0x82;
/// Opcode of a Ping, with FIN.
pub const PING: u8 = 0x89;
/// Opcode of a Pong, with FIN.
pub const PONG: u8 = 0x8A;
/// Opcode of a Close frame, with FIN.
pub const CLOSE: u8 = 0x88;

/// Bytes of a fan-out's text.
pub const FAN_OUT: usize = 120;

/// The mask of every frame. Its bits are mixed, so that an unmasking that is left out shows.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The request of a real Chromium 156, as a server saw it, with the usual line endings.
const REQUEST: &str = include_str!("chromium.head");

/// The request with which every connection is opened.
#[must_use]
pub fn upgrade_request() -> Vec<u8> {
    REQUEST.replace('\n', "\r\n").into_bytes()
}

/// The value of a field of a head.
#[must_use]
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// What `Sec-WebSocket-Accept` has to be for our request.
#[must_use]
pub fn expected_accept() -> String {
    accept(field(REQUEST, "sec-websocket-key").unwrap_or_default())
}

fn accept(key: &str) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes())
}

/// The answer of the floor to a request.
#[must_use]
pub fn upgrade_answer(request: &[u8]) -> String {
    let request = String::from_utf8_lossy(request);
    let accept = accept(field(&request, "sec-websocket-key").unwrap_or_default());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// The length of a server's frame at the front of these bytes, and where its payload begins; `None`
/// if more bytes are needed to tell.
#[must_use]
pub fn server_frame_at(bytes: &[u8]) -> Option<(usize, usize)> {
    let (len, at) = match *bytes {
        [_, 126, high, low, ..] => (usize::from(u16::from_be_bytes([high, low])), 4),
        [_, 127, ..] => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
        [_, len @ 0..=125, ..] => (usize::from(len), 2),
        _ => return None,
    };
    Some((at + len, at))
}

fn header(first: u8, len: usize, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut header = vec![first];
    match len {
        0..=125 => header.push(bit | len as u8),
        126..=0xffff => {
            header.push(bit | 126);
            header.extend((len as u16).to_be_bytes());
        }
        _ => {
            header.push(bit | 127);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header
}

/// A frame as a client sends it, masked.
#[must_use]
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), true);
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame as a server sends it.
#[must_use]
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), false);
    frame.extend(payload);
    frame
}

/// A client's Close.
#[must_use]
pub fn client_close(code: u16) -> Vec<u8> {
    client_frame(CLOSE, &code.to_be_bytes())
}

/// A server's Close.
#[must_use]
pub fn server_close(code: u16) -> Vec<u8> {
    server_frame(CLOSE, &code.to_be_bytes())
}

/// A payload without a pattern that a shifted copy would match.
#[must_use]
pub fn binary(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Text in three scripts, with hardly any ASCII in it.
#[must_use]
pub fn text(len: usize) -> Vec<u8> {
    let sentence = "Zażółć gęślą jaźń — 再见，世界 — До свидания, мир. ";
    let mut text: String = sentence.chars().cycle().take(len).collect();
    while text.len() > len {
        text.pop();
    }
    // Whole characters may leave a gap.
    while text.len() < len {
        text.push('.');
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // §5.7: a masked text message "Hello".
        let frame = client_frame(TEXT, b"Hello");
        assert_eq!(frame, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(server_frame(BINARY, &[0; 256])[..4], [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(server_frame(BINARY, &[0; 65536])[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn texts_have_the_length_that_was_asked_for() {
        for len in [1, 20, 512, 16_384] {
            assert_eq!(std::str::from_utf8(&text(len)).unwrap().len(), len);
        }
    }

    #[test]
    fn the_request_is_a_browsers() {
        let request = String::from_utf8(upgrade_request()).unwrap();
        assert!(request.ends_with("\r\n\r\n") && !request.replace("\r\n", "").contains('\n'));
        assert!(field(&request, "origin").is_some() && field(&request, "user-agent").is_some());
    }
}
