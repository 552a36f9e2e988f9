//! The opening handshake under way: gathers a head of either role until it is whole.

use std::mem;

use crate::error::HandshakeError;
#[cfg(feature = "legacy")]
use crate::handshake::NONCE;
use crate::handshake::http::is_token;
use crate::handshake::{AnswerReader, ClientRequest, Limits, Request, find_end};
#[cfg(feature = "legacy")]
use crate::negotiated::Negotiated;
use crate::version::Version;

/// How far the opening handshake is.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Opening {
    /// As a server: the request comes in.
    Request(HeadBuffer),
    /// As a server: the application decides. Bytes that came behind the head are kept.
    PendingAccept { request: Request, version: Version, rest: Vec<u8> },
    /// As a server, hixie-76: the 101 has gone out, the eight bytes have not all come.
    #[cfg(feature = "legacy")]
    Nonce { request: Request, nonce: Vec<u8>, negotiated: Box<Negotiated> },
    /// As a client: the answer comes in.
    Response { reader: AnswerReader, request: Box<ClientRequest>, nonce: [u8; 16] },
}

impl Opening {
    /// Whether no head or nonce is cut here.
    pub(crate) fn is_between_heads(&self) -> bool {
        match self {
            Opening::Request(head) => head.is_empty(),
            Opening::Response { reader, .. } => reader.is_between_heads(),
            Opening::PendingAccept { rest, .. } => rest.is_empty(),
            #[cfg(feature = "legacy")]
            Opening::Nonce { .. } => false,
        }
    }
}

/// Bytes of a head, and how far they were searched for its end.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct HeadBuffer {
    bytes: Vec<u8>,
    searched: usize,
}

/// A whole head, and the bytes that came behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WholeHead {
    pub(crate) head: Vec<u8>,
    pub(crate) rest: Vec<u8>,
}

/// Whose head is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadOf {
    Request,
    Answer,
}

impl HeadOf {
    /// Whether a head of this kind may begin so. Line ends may stand in front (RFC 9112 §2.2).
    fn may_begin(self, bytes: &[u8]) -> bool {
        let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        let mut begun = bytes[start.unwrap_or(bytes.len())..].iter();
        match self {
            // With a method (RFC 9112 §3.1). A record of TLS does not.
            HeadOf::Request => begun.next().is_none_or(|byte| is_token(*byte)),
            // RFC 9112 §2.3, §4.
            HeadOf::Answer => begun.zip(b"HTTP/1.").all(|(came, wanted)| came == wanted),
        }
    }

    fn error(self) -> HandshakeError {
        HandshakeError::BadHttp(match self {
            HeadOf::Request => "request line",
            HeadOf::Answer => "answer",
        })
    }
}

impl HeadBuffer {
    /// Takes bytes in; gives the head once it is whole, and what came behind it. Whoever speaks
    /// another protocol is told at once, and not waited for.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        limits: Limits,
        of: HeadOf,
    ) -> Result<Option<WholeHead>, HandshakeError> {
        // No more than the limit is kept of a head that never ends; what follows a whole head
        // in the same read is kept in full.
        self.bytes.extend_from_slice(bytes);
        let end = find_end(&self.bytes, self.searched);
        self.searched = self.bytes.len();
        let len = end.unwrap_or(self.bytes.len());
        let start = &self.bytes[..self.bytes.len().min(limits.bytes)];
        if (end.is_none() || len > limits.bytes) && !of.may_begin(start) {
            return Err(of.error());
        }
        if len > limits.bytes {
            return Err(HandshakeError::HeadTooLong(limits.bytes));
        }
        Ok(end.map(|end| {
            let rest = self.bytes.split_off(end);
            self.searched = 0;
            WholeHead { head: mem::take(&mut self.bytes), rest }
        }))
    }

    /// Whether anything came.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(feature = "legacy")]
/// Takes what is missing of the nonce off the front of `input`; whether it is whole.
pub(crate) fn take_nonce(nonce: &mut Vec<u8>, input: &mut &mut [u8]) -> Option<[u8; NONCE]> {
    let n = (NONCE - nonce.len()).min(input.len());
    let (front, rest) = mem::take(input).split_at_mut(n);
    nonce.extend_from_slice(front);
    *input = rest;
    nonce.as_slice().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_never_ends_is_refused_at_the_limit() {
        let mut buffer = HeadBuffer::default();
        let limits = Limits { bytes: 1000, fields: 10 };
        let mut pushed = 0;
        while buffer.push(b"x: yyyyyyyyy\r\n", limits, HeadOf::Request).is_ok() {
            pushed += 14;
        }
        assert!((986..=1000).contains(&pushed));
    }

    #[test]
    fn whoever_speaks_another_protocol_is_told_at_once_wherever_it_is_cut() {
        let limits = Limits { bytes: 12, fields: 10 };
        let push = |buffer: &mut HeadBuffer, bytes: &[u8], of| match buffer.push(bytes, limits, of)
        {
            Ok(whole) => Ok(whole.map(|whole| whole.head)),
            Err(error) => Err(error),
        };
        let read = |text: &[u8], of| {
            let whole = push(&mut HeadBuffer::default(), text, of);
            for piece in 1..text.len() {
                let mut buffer = HeadBuffer::default();
                let mut pieces = text.chunks(piece).map(|bytes| push(&mut buffer, bytes, of));
                let cut = pieces.find(|read| *read != Ok(None)).unwrap_or(Ok(None));
                assert_eq!(cut, whole, "in pieces of {piece}: {text:?}");
            }
            whole
        };
        let long = HandshakeError::HeadTooLong(12);
        for (of, text, error) in [
            (HeadOf::Request, &b"\r\nGET / HTTP"[..], None),
            (HeadOf::Request, b"GET / HTTP/1.1\r\n", Some(&long)),
            (HeadOf::Request, b"\x16\x03\x01\x02", Some(&HeadOf::Request.error())),
            (
                HeadOf::Request,
                b"\x16\x03\x01\x02 and so on, and on",
                Some(&HeadOf::Request.error()),
            ),
            (HeadOf::Request, b"\r\n\x16", Some(&HeadOf::Request.error())),
            (HeadOf::Request, b"\r\r\r\r\r\r\r\r\r\r\r\r\x16", Some(&long)),
            (HeadOf::Answer, b"\r\nHTTP/1", None),
            (HeadOf::Answer, b"HTTP/1.1 200 OK\r\n", Some(&long)),
            (HeadOf::Answer, b"SSH-2.0-OpenSSH\r\n", Some(&HeadOf::Answer.error())),
            (HeadOf::Answer, b"HTTP/2", Some(&HeadOf::Answer.error())),
        ] {
            assert_eq!(read(text, of).err().as_ref(), error, "{text:?}");
        }
    }

    #[test]
    fn bytes_behind_the_head_are_kept() {
        let mut buffer = HeadBuffer::default();
        let limits = Limits { bytes: 8, fields: 10 };
        let whole =
            buffer.push(b"GET\r\n\r\n^n:ds[4U and more", limits, HeadOf::Request).unwrap().unwrap();
        let want = WholeHead { head: b"GET\r\n\r\n".into(), rest: b"^n:ds[4U and more".into() };
        assert_eq!(whole, want);
    }
}
