//! Looks at the frames of HTTP/2 that pass (RFC 9113 §4.1): whose DATA they are, what a GOAWAY says
//! and that SETTINGS came. The library beneath judges them; this only counts.

use adieu_proto::Http2ErrorCode;

/// The bytes of a frame's header.
const HEADER: usize = 9;

/// The client's words before its first frame (§3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a GOAWAY has in front of its text: the last stream, and the code (§6.8).
const GOAWAY: usize = 8;

const TYPE_DATA: u8 = 0;
const TYPE_SETTINGS: u8 = 4;
const TYPE_GOAWAY: u8 = 7;
const FLAG_END_STREAM: u8 = 1;
const FLAG_ACK: u8 = 1;

/// What passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// So many bytes of a DATA frame's payload; `end`: they are its last, and END_STREAM is set.
    Data {
        /// Its stream.
        stream: u32,
        /// How many.
        bytes: u64,
        /// Whether END_STREAM has passed with them.
        end: bool,
    },
    /// A GOAWAY.
    GoAway {
        /// The last stream that was processed, or may have been.
        last: u32,
        /// Why.
        code: Http2ErrorCode,
    },
    /// SETTINGS, and no acknowledgement of ours.
    Settings,
}

/// Follows one direction, in whatever pieces it comes.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the preface that are still to come.
    preface: usize,
    /// The header under way, and what a GOAWAY begins with.
    head: [u8; HEADER + GOAWAY],
    filled: usize,
    /// Bytes of the payload that are still to come.
    payload: u64,
}

impl Frames {
    /// What a server sends.
    pub(super) fn of_server() -> Self {
        Frames { preface: 0, head: [0; HEADER + GOAWAY], filled: 0, payload: 0 }
    }

    /// What a client sends.
    pub(super) fn of_client() -> Self {
        Frames { preface: PREFACE.len(), ..Self::of_server() }
    }

    /// Goes on with these bytes.
    pub(super) fn pass(&mut self, bytes: &[u8], mut see: impl FnMut(Seen)) {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        let mut rest = &bytes[skipped..];
        while !rest.is_empty() {
            rest = if self.filled < HEADER {
                self.header(rest, &mut see)
            } else {
                self.body(rest, &mut see)
            };
        }
    }

    /// Bytes of a header; gives those behind them.
    fn header<'a>(&mut self, bytes: &'a [u8], see: &mut impl FnMut(Seen)) -> &'a [u8] {
        let rest = self.fill(HEADER, bytes);
        if self.filled == HEADER {
            let [a, b, c, ..] = self.head;
            self.payload = u64::from(u32::from_be_bytes([0, a, b, c]));
            if self.payload == 0 {
                self.of_payload(0, see);
            }
        }
        rest
    }

    /// Bytes of a payload; gives those behind them.
    fn body<'a>(&mut self, bytes: &'a [u8], see: &mut impl FnMut(Seen)) -> &'a [u8] {
        let n = usize::try_from(self.payload).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (payload, rest) = bytes.split_at(n);
        if self.kind() == TYPE_GOAWAY {
            self.fill(HEADER + GOAWAY, payload);
        }
        self.payload -= n as u64;
        self.of_payload(n as u64, see);
        rest
    }

    fn of_payload(&mut self, bytes: u64, see: &mut impl FnMut(Seen)) {
        let whole = self.payload == 0;
        match self.kind() {
            TYPE_DATA => {
                let end = whole && self.head[4] & FLAG_END_STREAM != 0;
                see(Seen::Data { stream: self.stream(), bytes, end });
            }
            TYPE_GOAWAY if whole && self.filled == self.head.len() => {
                let [.., s0, s1, s2, s3, a, b, c, d] = self.head;
                let last = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
                let code = Http2ErrorCode(u32::from_be_bytes([a, b, c, d]));
                see(Seen::GoAway { last, code });
            }
            TYPE_SETTINGS if whole && self.head[4] & FLAG_ACK == 0 => see(Seen::Settings),
            _ => {}
        }
        if whole {
            self.filled = 0;
        }
    }

    /// Keeps bytes until so many are there; gives those behind them.
    fn fill<'a>(&mut self, until: usize, bytes: &'a [u8]) -> &'a [u8] {
        let n = until.saturating_sub(self.filled).min(bytes.len());
        self.head[self.filled..self.filled + n].copy_from_slice(&bytes[..n]);
        self.filled += n;
        &bytes[n..]
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }

    fn stream(&self) -> u32 {
        let [_, _, _, _, _, a, b, c, d, ..] = self.head;
        u32::from_be_bytes([a & 0x7f, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// What is seen, whatever the pieces: the bytes of a frame are added up.
    fn seen(bytes: &[u8], piece: usize, mut frames: Frames) -> Vec<Seen> {
        let mut all: Vec<Seen> = Vec::new();
        for piece in bytes.chunks(piece) {
            frames.pass(piece, |new| match (all.last_mut(), new) {
                (
                    Some(Seen::Data { stream, bytes, end: end @ false }),
                    Seen::Data { stream: same, bytes: more, end: ends },
                ) if *stream == same => {
                    *bytes += more;
                    *end = ends;
                }
                _ => all.push(new),
            });
        }
        all
    }

    #[test]
    fn data_and_goaway_are_seen_in_whatever_pieces_they_come() {
        let goaway = frame(TYPE_GOAWAY, 0, 0, b"\0\0\0\x05\0\0\0\x0bdebug");
        let bytes = [
            frame(TYPE_SETTINGS, 0, 0, &[0; 12]),
            frame(TYPE_SETTINGS, FLAG_ACK, 0, b""),
            frame(TYPE_DATA, 0, 1, b"hello"),
            frame(TYPE_DATA, FLAG_END_STREAM, 1, b""),
            frame(6, 1, 0, &[0; 8]),
            goaway,
            frame(TYPE_DATA, FLAG_END_STREAM, 0x8000_0003, &[7; 300]),
        ]
        .concat();
        let expected = [
            Seen::Settings,
            Seen::Data { stream: 1, bytes: 5, end: true },
            Seen::GoAway { last: 5, code: Http2ErrorCode(11) },
            Seen::Data { stream: 3, bytes: 300, end: true },
        ];
        for piece in 1..=bytes.len() {
            assert_eq!(seen(&bytes, piece, Frames::of_server()), expected, "pieces of {piece}");
            let of_client = [PREFACE, &bytes].concat();
            assert_eq!(seen(&of_client, piece, Frames::of_client()), expected, "{piece}");
        }
    }

    #[test]
    fn a_goaway_that_is_too_short_says_nothing() {
        let bytes = [frame(TYPE_GOAWAY, 0, 0, b"1234567"), frame(TYPE_DATA, 0, 5, b"x")].concat();
        let expected = [Seen::Data { stream: 5, bytes: 1, end: false }];
        assert_eq!(seen(&bytes, 3, Frames::of_server()), expected);
    }
}
