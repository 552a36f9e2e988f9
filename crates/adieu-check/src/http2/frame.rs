//! Frames of HTTP/2 (RFC 9113 §4.1 and §6) as bytes and as values.

use super::hpack::{self, Fields};

/// What a client sends first (RFC 9113 §3.4), before its SETTINGS.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The types of frames (RFC 9113 §6).
pub mod kind {
    /// DATA.
    pub const DATA: u8 = 0x0;
    /// HEADERS.
    pub const HEADERS: u8 = 0x1;
    /// PRIORITY, which is deprecated.
    pub const PRIORITY: u8 = 0x2;
    /// RST_STREAM.
    pub const RST_STREAM: u8 = 0x3;
    /// SETTINGS.
    pub const SETTINGS: u8 = 0x4;
    /// PUSH_PROMISE.
    pub const PUSH_PROMISE: u8 = 0x5;
    /// PING.
    pub const PING: u8 = 0x6;
    /// GOAWAY.
    pub const GOAWAY: u8 = 0x7;
    /// WINDOW_UPDATE.
    pub const WINDOW_UPDATE: u8 = 0x8;
    /// CONTINUATION.
    pub const CONTINUATION: u8 = 0x9;
}

/// The flags of frames (RFC 9113 §6).
pub mod flag {
    /// DATA or HEADERS: the sender sends nothing more on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS or PING: this acknowledges a frame of the other side.
    pub const ACK: u8 = 0x1;
    /// HEADERS or CONTINUATION: the field block ends here.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA or HEADERS: padding follows.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: five octets of priority stand before the field block.
    pub const PRIORITY: u8 = 0x20;
}

/// The settings (RFC 9113 §6.5.2, RFC 8441 §3).
pub mod setting {
    /// SETTINGS_HEADER_TABLE_SIZE.
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    /// SETTINGS_ENABLE_PUSH.
    pub const ENABLE_PUSH: u16 = 0x2;
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    /// SETTINGS_INITIAL_WINDOW_SIZE.
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    /// SETTINGS_MAX_FRAME_SIZE.
    pub const MAX_FRAME_SIZE: u16 = 0x5;
    /// SETTINGS_MAX_HEADER_LIST_SIZE.
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL: extended CONNECT is served.
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
}

/// The error codes of RST_STREAM and GOAWAY (RFC 9113 §7).
pub mod code {
    /// No error: a graceful end.
    pub const NO_ERROR: u32 = 0x0;
    /// An error of the protocol that has no code of its own.
    pub const PROTOCOL_ERROR: u32 = 0x1;
    /// The endpoint failed.
    pub const INTERNAL_ERROR: u32 = 0x2;
    /// More was sent than the window allowed.
    pub const FLOW_CONTROL_ERROR: u32 = 0x3;
    /// SETTINGS were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: u32 = 0x4;
    /// A frame came for a stream that was half-closed.
    pub const STREAM_CLOSED: u32 = 0x5;
    /// A frame has a wrong size.
    pub const FRAME_SIZE_ERROR: u32 = 0x6;
    /// The stream was refused before anything was done for it.
    pub const REFUSED_STREAM: u32 = 0x7;
    /// The stream is no longer needed.
    pub const CANCEL: u32 = 0x8;
    /// The field compression is in an unknown state.
    pub const COMPRESSION_ERROR: u32 = 0x9;
    /// The connection that a CONNECT asked for was reset or closed abnormally.
    pub const CONNECT_ERROR: u32 = 0xA;
    /// The other side behaves in a way that may cause too much load.
    pub const ENHANCE_YOUR_CALM: u32 = 0xB;
    /// The transport below is not secure enough.
    pub const INADEQUATE_SECURITY: u32 = 0xC;
    /// HTTP/1.1 has to be used instead.
    pub const HTTP_1_1_REQUIRED: u32 = 0xD;

    /// The name of an error code, for messages.
    #[must_use]
    pub fn name(code: u32) -> &'static str {
        match code {
            NO_ERROR => "NO_ERROR",
            PROTOCOL_ERROR => "PROTOCOL_ERROR",
            INTERNAL_ERROR => "INTERNAL_ERROR",
            FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
            SETTINGS_TIMEOUT => "SETTINGS_TIMEOUT",
            STREAM_CLOSED => "STREAM_CLOSED",
            FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
            REFUSED_STREAM => "REFUSED_STREAM",
            CANCEL => "CANCEL",
            COMPRESSION_ERROR => "COMPRESSION_ERROR",
            CONNECT_ERROR => "CONNECT_ERROR",
            ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
            INADEQUATE_SECURITY => "INADEQUATE_SECURITY",
            HTTP_1_1_REQUIRED => "HTTP_1_1_REQUIRED",
            _ => "an unknown error code",
        }
    }
}

/// A frame as it lies on the wire. What [`bytes`](RawFrame::bytes) writes need not be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// One of [`kind`], or any other.
    pub kind: u8,
    /// Of [`flag`], or any other.
    pub flags: u8,
    /// The stream; 0 is the connection.
    pub stream: u32,
    /// What follows the nine octets of the frame's header.
    pub payload: Vec<u8>,
}

impl RawFrame {
    /// The length of a frame's header.
    pub const HEADER: usize = 9;

    /// A frame of any type.
    #[must_use]
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Self {
        RawFrame { kind, flags, stream, payload: payload.as_ref().to_vec() }
    }

    /// A SETTINGS frame.
    #[must_use]
    pub fn settings(settings: &[(u16, u32)]) -> Self {
        let pair =
            |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        Self::new(kind::SETTINGS, 0, 0, settings.iter().flat_map(pair).collect::<Vec<u8>>())
    }

    /// A RST_STREAM frame.
    #[must_use]
    pub fn rst_stream(stream: u32, code: u32) -> Self {
        Self::new(kind::RST_STREAM, 0, stream, code.to_be_bytes())
    }

    /// A WINDOW_UPDATE frame.
    #[must_use]
    pub fn window_update(stream: u32, increment: u32) -> Self {
        Self::new(kind::WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
    }

    /// A GOAWAY frame.
    #[must_use]
    pub fn goaway(last: u32, code: u32, debug: impl AsRef<[u8]>) -> Self {
        let payload = [&last.to_be_bytes()[..], &code.to_be_bytes(), debug.as_ref()].concat();
        Self::new(kind::GOAWAY, 0, 0, payload)
    }

    /// Whether a flag is set.
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The frame's bytes.
    ///
    /// # Panics
    /// If the payload's length does not fit in 24 bits.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let len = self.payload.len();
        assert!(len < 1 << 24, "a payload of {len} bytes does not fit in a frame");
        let mut out = (len as u32).to_be_bytes()[1..].to_vec();
        out.extend([self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
        out.extend_from_slice(&self.payload);
        out
    }

    /// The frame at the front of `bytes` and its length there; `None` if it is not whole. The
    /// reserved bit before the stream's number is ignored.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let header = bytes.get(..Self::HEADER)?;
        let end = Self::HEADER + Self::claimed_len(bytes)?;
        let (kind, flags) = (header[3], header[4]);
        let stream = number(&header[5..]) & !(1 << 31);
        let payload = bytes.get(Self::HEADER..end)?.to_vec();
        Some((RawFrame { kind, flags, stream, payload }, end))
    }

    /// The length of the payload that the frame's header at the front of `bytes` claims.
    pub(super) fn claimed_len(bytes: &[u8]) -> Option<usize> {
        let octets = bytes.get(..3)?;
        Some(octets.iter().fold(0, |len, &octet| len << 8 | usize::from(octet)))
    }

    /// The payload without padding, and without the priority that HEADERS may have.
    pub(super) fn content(&self) -> Result<&[u8], String> {
        let mut content = &self.payload[..];
        let cut = || format!("the server sent a frame that is too short for its flags: {self:x?}");
        let mut padding = 0;
        if self.has(flag::PADDED) {
            let (&first, rest) = content.split_first().ok_or_else(cut)?;
            (padding, content) = (usize::from(first), rest);
        }
        if self.kind == kind::HEADERS && self.has(flag::PRIORITY) {
            content = content.get(5..).ok_or_else(cut)?;
        }
        let len = content.len().checked_sub(padding).ok_or_else(cut)?;
        Ok(&content[..len])
    }
}

/// The number in the first four octets.
fn number(octets: &[u8]) -> u32 {
    octets[..4].iter().fold(0, |number, &octet| number << 8 | u32::from(octet))
}

/// A frame that was read. HEADERS and their CONTINUATIONs are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Http2Frame {
    /// DATA.
    Data {
        /// On this stream.
        stream: u32,
        /// The data, without padding.
        bytes: Vec<u8>,
        /// The other side sends nothing more on the stream.
        end_stream: bool,
    },
    /// HEADERS: a head, or trailers.
    Headers {
        /// On this stream.
        stream: u32,
        /// The fields, those with a colon too.
        fields: Fields,
        /// The other side sends nothing more on the stream.
        end_stream: bool,
    },
    /// RST_STREAM.
    RstStream {
        /// This stream.
        stream: u32,
        /// Why: one of [`code`].
        code: u32,
    },
    /// SETTINGS.
    Settings {
        /// The settings in their order.
        settings: Vec<(u16, u32)>,
        /// It acknowledges SETTINGS of ours.
        ack: bool,
    },
    /// PING.
    Ping {
        /// It acknowledges a PING of ours.
        ack: bool,
        /// What has to come back.
        payload: [u8; 8],
    },
    /// GOAWAY.
    GoAway(GoAway),
    /// WINDOW_UPDATE.
    WindowUpdate {
        /// For this stream; 0 is the connection.
        stream: u32,
        /// So many octets more.
        increment: u32,
    },
    /// Any other frame. PRIORITY and PUSH_PROMISE are among them.
    Unknown(RawFrame),
}

/// What a GOAWAY says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// The last stream that the other side has processed or will process.
    pub last: u32,
    /// Why: one of [`code`].
    pub code: u32,
    /// Text for people, if it is any.
    pub debug: Vec<u8>,
}

impl Http2Frame {
    /// The stream that the frame belongs to; 0 is the connection.
    #[must_use]
    pub fn stream(&self) -> u32 {
        match self {
            Http2Frame::Data { stream, .. }
            | Http2Frame::Headers { stream, .. }
            | Http2Frame::RstStream { stream, .. }
            | Http2Frame::WindowUpdate { stream, .. } => *stream,
            Http2Frame::Unknown(raw) => raw.stream,
            Http2Frame::Settings { .. } | Http2Frame::Ping { .. } | Http2Frame::GoAway(_) => 0,
        }
    }

    /// Reads a frame. The blocks of CONTINUATIONs stand behind that of their HEADERS already.
    pub(super) fn read(raw: RawFrame) -> Result<Self, String> {
        let (stream, len) = (raw.stream, raw.payload.len());
        let of_connection = matches!(raw.kind, kind::SETTINGS | kind::PING | kind::GOAWAY);
        let of_stream = matches!(raw.kind, kind::DATA | kind::HEADERS | kind::RST_STREAM);
        if of_connection && stream != 0 || of_stream && stream == 0 {
            return Err(format!("the server sent a frame on a wrong stream: {raw:x?}"));
        }
        let fits = match raw.kind {
            kind::RST_STREAM | kind::WINDOW_UPDATE => len == 4,
            kind::PING => len == 8,
            kind::GOAWAY => len >= 8,
            kind::SETTINGS if raw.has(flag::ACK) => len == 0,
            kind::SETTINGS => len % 6 == 0,
            _ => true,
        };
        if !fits {
            return Err(format!("the server sent a frame of a wrong size: {raw:x?}"));
        }
        let end_stream = raw.has(flag::END_STREAM);
        Ok(match raw.kind {
            kind::DATA => Http2Frame::Data { stream, bytes: raw.content()?.to_vec(), end_stream },
            kind::HEADERS => {
                let wrong = |wrong| format!("the server sent a field block in which {wrong}");
                let fields = hpack::decode(raw.content()?).map_err(wrong)?;
                Http2Frame::Headers { stream, fields, end_stream }
            }
            kind::RST_STREAM => Http2Frame::RstStream { stream, code: number(&raw.payload) },
            kind::SETTINGS => {
                let pair = |six: &[u8]| (u16::from_be_bytes([six[0], six[1]]), number(&six[2..]));
                let settings = raw.payload.chunks(6).map(pair).collect();
                Http2Frame::Settings { settings, ack: raw.has(flag::ACK) }
            }
            kind::PING => {
                let payload = raw.payload[..].try_into().expect("eight octets");
                Http2Frame::Ping { ack: raw.has(flag::ACK), payload }
            }
            kind::GOAWAY => Http2Frame::GoAway(GoAway {
                last: number(&raw.payload) & !(1 << 31),
                code: number(&raw.payload[4..]),
                debug: raw.payload[8..].to_vec(),
            }),
            kind::WINDOW_UPDATE => {
                let increment = number(&raw.payload) & !(1 << 31);
                Http2Frame::WindowUpdate { stream, increment }
            }
            _ => Http2Frame::Unknown(raw),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_written_and_read() {
        let raw = RawFrame::new(kind::DATA, flag::END_STREAM, 5, "abc");
        assert_eq!(raw.bytes(), b"\0\0\x03\0\x01\0\0\0\x05abc");
        assert_eq!(RawFrame::parse(&raw.bytes()), Some((raw.clone(), 12)));
        assert_eq!(RawFrame::parse(&raw.bytes()[..11]), None);
        assert_eq!(RawFrame::parse(&raw.bytes()[..8]), None);
        let bytes = b"abc".to_vec();
        assert_eq!(
            Http2Frame::read(raw),
            Ok(Http2Frame::Data { stream: 5, bytes, end_stream: true })
        );
        let settings = RawFrame::settings(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)]);
        assert_eq!(settings.bytes(), b"\0\0\x06\x04\0\0\0\0\0\0\x08\0\0\0\x01");
        assert_eq!(
            Http2Frame::read(RawFrame::goaway(7, code::CANCEL, "why")),
            Ok(Http2Frame::GoAway(GoAway { last: 7, code: 8, debug: b"why".to_vec() }))
        );
    }

    #[test]
    fn padding_and_priority_are_not_content() {
        let flags = flag::PADDED | flag::PRIORITY | flag::END_HEADERS;
        let raw = RawFrame::new(kind::HEADERS, flags, 1, b"\x02\0\0\0\0\x10\x88\0\0");
        let fields = vec![(":status".to_owned(), "200".to_owned())];
        let end_stream = false;
        assert_eq!(
            Http2Frame::read(raw),
            Ok(Http2Frame::Headers { stream: 1, fields, end_stream })
        );
        let raw = RawFrame::new(kind::DATA, flag::PADDED, 1, b"\x03abc");
        let bytes = vec![];
        assert_eq!(Http2Frame::read(raw), Ok(Http2Frame::Data { stream: 1, bytes, end_stream }));
    }

    #[test]
    fn what_no_server_may_send_is_an_error() {
        for raw in [
            RawFrame::new(kind::DATA, flag::PADDED, 1, b"\x04abc"),
            RawFrame::new(kind::DATA, 0, 0, "abc"),
            RawFrame::new(kind::HEADERS, flag::PRIORITY, 1, "abc"),
            RawFrame::new(kind::SETTINGS, 0, 0, "abc"),
            RawFrame::new(kind::SETTINGS, flag::ACK, 0, [0; 6]),
            RawFrame::new(kind::PING, 0, 1, [0; 8]),
            RawFrame::new(kind::PING, 0, 0, [0; 7]),
            RawFrame::new(kind::RST_STREAM, 0, 1, [0; 5]),
        ] {
            assert!(Http2Frame::read(raw.clone()).is_err(), "{raw:?}");
        }
    }
}
