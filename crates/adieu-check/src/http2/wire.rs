//! Whole frames of one HTTP/2 connection, in and out (RFC 9113 §4.1).

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use super::frame::{Http2Frame, RawFrame, flag, kind};
use crate::stream::Stream;

/// Read at once at most.
const CHUNK: usize = 16 * 1024;

/// The largest payload that the server may send: the settings of the check allow no more.
const MAX_FRAME: usize = 16 * 1024;

/// A field block that is longer than this is no answer to a handshake.
const MAX_FIELDS: usize = 256 * 1024;

/// Bytes of frames that have not left; more would leave the measurement's sight.
const OUTPUT: usize = 64 * 1024;

/// The bytes of a connection, cut into frames.
pub(super) struct Wire {
    pub(super) below: Stream,
    input: Vec<u8>,
    output: VecDeque<u8>,
    /// HEADERS whose CONTINUATIONs are still to come (§6.10).
    headers: Option<RawFrame>,
    /// The server's direction of the connection has ended.
    pub(super) ended: bool,
}

impl Wire {
    pub(super) fn new(below: Stream) -> Self {
        let (input, output) = (Vec::new(), VecDeque::new());
        Wire { below, input, output, headers: None, ended: false }
    }

    // Out.

    pub(super) fn say(&mut self, frame: &RawFrame) {
        self.say_bytes(&frame.bytes());
    }

    pub(super) fn say_bytes(&mut self, bytes: &[u8]) {
        self.output.extend(bytes);
    }

    /// Whether so much waits that no more DATA is taken.
    pub(super) fn is_full(&self) -> bool {
        self.output.len() >= OUTPUT
    }

    /// Whether something has not left yet.
    pub(super) fn holds_output(&self) -> bool {
        !self.output.is_empty() || self.below.holds_output()
    }

    /// Writes what waits. `WouldBlock` if something is left.
    pub(super) fn push(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let written = self.below.try_write(self.output.as_slices().0)?;
            self.output.drain(..written);
        }
        self.below.try_flush()
    }

    // In.

    /// Reads once, at most so many bytes. `WouldBlock` if there are none.
    pub(super) fn fill(&mut self, limit: usize) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        match self.below.try_read(&mut chunk[..limit.clamp(1, CHUNK)])? {
            0 => self.ended = true,
            n => self.input.extend_from_slice(&chunk[..n]),
        }
        Ok(())
    }

    /// The next frame that has come whole; HEADERS and their CONTINUATIONs are one.
    pub(super) fn frame(&mut self) -> io::Result<Option<Http2Frame>> {
        loop {
            if RawFrame::claimed_len(&self.input).is_some_and(|len| len > MAX_FRAME) {
                return Err(wrong("a frame that is larger than SETTINGS_MAX_FRAME_SIZE"));
            }
            let Some((frame, len)) = RawFrame::parse(&self.input) else { return Ok(None) };
            self.input.drain(..len);
            if let Some(frame) = self.whole(frame)? {
                return Http2Frame::read(frame).map(Some).map_err(wrong);
            }
        }
    }

    /// The frame, or `None` while CONTINUATIONs of its field block are still to come.
    fn whole(&mut self, frame: RawFrame) -> io::Result<Option<RawFrame>> {
        let frame = match self.headers.take() {
            None => frame,
            Some(mut begun) if frame.kind == kind::CONTINUATION && frame.stream == begun.stream => {
                begun.payload.extend(frame.payload);
                begun.flags |= frame.flags & flag::END_HEADERS;
                begun
            }
            Some(_) => return Err(wrong("another frame between HEADERS and CONTINUATION")),
        };
        if frame.kind != kind::HEADERS || frame.has(flag::END_HEADERS) {
            return Ok(Some(frame));
        }
        if frame.payload.len() > MAX_FIELDS {
            return Err(wrong("a field block without end"));
        }
        self.headers = Some(frame);
        Ok(None)
    }
}

/// The server broke the rules of HTTP/2.
fn wrong(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("HTTP/2: {what}"))
}
