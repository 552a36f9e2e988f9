//! The frames of HTTP/2 (RFC 9113 §4.1) that the generator writes and reads.

/// What a client sends first (§3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// Writes the header of a frame.
pub(super) fn header(out: &mut Vec<u8>, len: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// Writes a whole frame.
pub(super) fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    header(out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
}

/// A frame that was read.
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

/// The frame at the front, and what is behind it.
pub(super) fn split(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let [a, b, c, kind, flags, s0, s1, s2, s3, rest @ ..] = bytes else { return None };
    let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    let payload = rest.get(..len)?;
    let stream = u32::from_be_bytes([s0 & 0x7f, *s1, *s2, *s3]);
    Some((Frame { kind: *kind, flags: *flags, stream, payload }, &rest[len..]))
}

/// The settings of a SETTINGS frame.
pub(super) fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload.chunks_exact(6).map(|it| {
        let value = u32::from_be_bytes([it[2], it[3], it[4], it[5]]);
        (u16::from_be_bytes([it[0], it[1]]), value)
    })
}

/// An extended CONNECT, as literals that are not indexed (RFC 7541 §6.2.2).
pub(super) fn connect_fields(authority: &str) -> Vec<u8> {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", authority),
        ("sec-websocket-version", "13"),
        ("origin", "https://127.0.0.1"),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Whether a field block begins with `:status: 200`: index 8 of the static table, behind an update
/// of the dynamic table's size if there is one (RFC 7541 §6.3, appendix A).
pub(super) fn is_200(mut block: &[u8]) -> bool {
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        block = rest;
    }
    block.first() == Some(&0x88)
}
