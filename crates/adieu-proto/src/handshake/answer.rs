//! The answer to a client's request: interim responses are skipped, an agreement is given as its
//! head, and a refusal is read with its body.

use crate::config::defaults;
use crate::error::HandshakeError;
use crate::handshake::body::{Body, Step};
use crate::handshake::opening::{HeadBuffer, HeadOf, WholeHead};
use crate::handshake::{Limits, Refusal};

/// Which request is answered: it says which status agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    /// For a WebSocket: 101.
    Upgrade,
    /// For a tunnel: 2xx (RFC 9110 §9.3.6).
    Tunnel,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The status that was hoped for.
    #[non_exhaustive]
    Agreed {
        /// The head of that response.
        head: Vec<u8>,
        /// What came behind it.
        rest: Vec<u8>,
    },
    /// Any other status.
    Refused(Refusal),
}

/// Reads what answers a request, without I/O.
///
/// Interim responses (RFC 9110 §15.2: 100, 102, 103 and other 1xx) are skipped. They count
/// towards the limit of the head, all together. Of a refusal's body
/// [`MAX_REFUSAL_BODY`](defaults::MAX_REFUSAL_BODY) bytes are kept.
///
/// ```
/// use adieu_proto::{Answer, AnswerReader, Config};
/// let mut reader = AnswerReader::to_connect(Config::default().max_head);
/// assert_eq!(reader.push(b"HTTP/1.1 407 Proxy Authentication Required\r\n")?, None);
/// let answer = reader.push(b"Content-Length: 5\r\n\r\nLog in")?;
/// let Some(Answer::Refused(refusal)) = answer else { panic!("{answer:?}") };
/// assert_eq!((refusal.status, refusal.body_text()), (407, "Log i".into()));
/// # Ok::<(), adieu_proto::HandshakeError>(())
/// ```
#[derive(Clone, Debug, Hash)]
pub struct AnswerReader {
    asked: Asked,
    max_head: usize,
    /// Bytes of interim responses so far.
    interim: usize,
    head: HeadBuffer,
    refusal: Option<Box<(Refusal, Body)>>,
}

impl AnswerReader {
    /// For the answer to a CONNECT request (RFC 9110 §9.3.6): any 2xx agrees. The head may have
    /// `max_head` bytes.
    #[must_use]
    pub fn to_connect(max_head: usize) -> Self {
        Self::new(Asked::Tunnel, max_head)
    }

    /// For the answer to a request for a WebSocket: 101 agrees.
    pub(crate) fn to_upgrade(max_head: usize) -> Self {
        Self::new(Asked::Upgrade, max_head)
    }

    fn new(asked: Asked, max_head: usize) -> Self {
        AnswerReader { asked, max_head, interim: 0, head: HeadBuffer::default(), refusal: None }
    }

    /// A refusal has begun whose head somebody else has read: its body is what is pushed from here
    /// on, until the end.
    pub(crate) fn begin_refusal(&mut self, refusal: Refusal) {
        self.refusal = Some(Box::new((refusal, Body::UntilEnd)));
    }

    /// Whether nothing of an answer came, or only whole interim ones.
    pub(crate) fn is_between_heads(&self) -> bool {
        self.head.is_empty() && self.refusal.is_none()
    }

    /// Takes bytes in; gives the answer once it is whole. It is not to be called again then.
    ///
    /// # Errors
    /// What is wrong with the head: it is no HTTP, or longer than the limit.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Answer>, HandshakeError> {
        if self.refusal.is_some() {
            return Ok(self.push_body(bytes));
        }
        let mut next = self.push_head(bytes)?;
        while let Some(WholeHead { head, rest }) = next {
            match status_of(&head)? {
                101 if self.asked == Asked::Upgrade => {
                    return Ok(Some(Answer::Agreed { head, rest }));
                }
                200..=299 if self.asked == Asked::Tunnel => {
                    return Ok(Some(Answer::Agreed { head, rest }));
                }
                // A 101 that nobody asked for agrees to nothing that is known here.
                100 | 102..=199 => {
                    self.interim += head.len();
                    next = self.push_head(&rest)?;
                }
                _ => {
                    self.refusal = Some(Box::new(begun(&head)?));
                    return Ok(self.push_body(&rest));
                }
            }
        }
        Ok(None)
    }

    /// The connection ended, or is waited for no longer. `finished`: the peer has ended its
    /// direction in order. Gives the refusal as far as it came, if one had begun.
    #[must_use]
    pub fn end(&mut self, finished: bool) -> Option<Refusal> {
        let (mut refusal, body) = *self.refusal.take()?;
        refusal.body_is_whole = finished && body.ends_with_the_connection();
        Some(refusal)
    }

    fn push_head(&mut self, bytes: &[u8]) -> Result<Option<WholeHead>, HandshakeError> {
        // The limit is of all heads together, and the error names the limit.
        let bytes_left = self.max_head.saturating_sub(self.interim);
        let limits = Limits { bytes: bytes_left, fields: defaults::MAX_FIELDS };
        let too_long = |error| match error {
            HandshakeError::HeadTooLong(_) => HandshakeError::HeadTooLong(self.max_head),
            error => error,
        };
        self.head.push(bytes, limits, HeadOf::Answer).map_err(too_long)
    }

    fn push_body(&mut self, bytes: &[u8]) -> Option<Answer> {
        let (refusal, body) = &mut **self.refusal.as_mut()?;
        let step = body.push(bytes, &mut refusal.body);
        let max = defaults::MAX_REFUSAL_BODY;
        refusal.body_is_whole = step == Step::Whole && refusal.body.len() <= max;
        if step == Step::More && refusal.body.len() <= max {
            return None;
        }
        refusal.body.truncate(max);
        self.refusal.take().map(|begun| Answer::Refused(begun.0))
    }
}

fn status_of(head: &[u8]) -> Result<u16, HandshakeError> {
    parse(head, |answer| answer.code).and_then(|code| code.ok_or(BAD_STATUS))
}

const BAD_STATUS: HandshakeError = HandshakeError::BadHttp("status line");

const BAD_ANSWER: HandshakeError = HandshakeError::BadHttp("answer");

/// A refusal whose body is still to come.
fn begun(head: &[u8]) -> Result<(Refusal, Body), HandshakeError> {
    parse(head, |answer| {
        let mut refusal = Refusal::new(answer.code.unwrap_or_default());
        answer.reason.unwrap_or_default().clone_into(&mut refusal.reason);
        let field = |f: &httparse::Header<'_>| (f.name.to_owned(), f.value.to_owned());
        refusal.headers = answer.headers.iter().map(field).collect();
        let body = Body::of(refusal.status, answer.headers);
        (refusal, body)
    })
}

/// Parses a response's head, which is whole.
pub(super) fn parse<T>(
    head: &[u8],
    take: impl FnOnce(&httparse::Response<'_, '_>) -> T,
) -> Result<T, HandshakeError> {
    let mut fields = vec![httparse::EMPTY_HEADER; defaults::MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    match answer.parse(head) {
        Ok(httparse::Status::Complete(_)) => Ok(take(&answer)),
        Err(httparse::Error::TooManyHeaders) => {
            Err(HandshakeError::TooManyFields(defaults::MAX_FIELDS))
        }
        _ => Err(BAD_ANSWER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_HEAD: usize = 1000;

    /// What comes of these bytes, cut at each place.
    fn read(bytes: &str) -> Result<Option<Answer>, HandshakeError> {
        let whole = AnswerReader::to_upgrade(MAX_HEAD).push(bytes.as_bytes());
        for at in 0..bytes.len() {
            let mut reader = AnswerReader::to_upgrade(MAX_HEAD);
            let (front, behind) = bytes.as_bytes().split_at(at);
            let cut = match reader.push(front) {
                Ok(None) => reader.push(behind),
                // What is whole before the end is whole without it.
                early => early,
            };
            let both = (&cut, &whole);
            if let (
                Ok(Some(Answer::Agreed { head, .. })),
                Ok(Some(Answer::Agreed { head: h, .. })),
            ) = both
            {
                assert_eq!(head, h);
            } else {
                assert_eq!(cut, whole, "cut at {at}: {bytes}");
            }
        }
        whole
    }

    #[test]
    fn interim_responses_are_skipped() {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
        let agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        let answer = read(&format!("HTTP/1.1 100 Continue\r\n\r\n{hints}{agreed}frames"));
        let Ok(Some(Answer::Agreed { head, rest })) = answer else { panic!("{answer:?}") };
        assert_eq!((head, rest), (agreed.into(), b"frames".to_vec()));
    }

    #[test]
    fn interim_responses_without_end_reach_the_limit_of_the_head() {
        let mut reader = AnswerReader::to_upgrade(MAX_HEAD);
        let hint = b"HTTP/1.1 103 Early Hints\r\n\r\n";
        let mut pushed = 0;
        let error = loop {
            match reader.push(hint) {
                Ok(None) => pushed += hint.len(),
                other => break other,
            }
        };
        assert_eq!(error, Err(HandshakeError::HeadTooLong(MAX_HEAD)));
        assert!((MAX_HEAD - hint.len()..=MAX_HEAD).contains(&pushed), "{pushed}");
    }

    #[test]
    fn what_cannot_become_an_answer_is_told_at_once() {
        for other in ["SSH-2.0-OpenSSH_9\r\n", "\x15\x03\x03\x00\x02\x02F", "\0\0\x06", "HTTP/2"] {
            assert_eq!(read(other), Err(BAD_ANSWER), "{other}");
        }
        for begun in ["", "H", "\r\n", "\r\nHTTP/1", "HTTP/1.1 404", "HTTP/1.1 100 \r\n\r\nHT"] {
            assert_eq!(read(begun), Ok(None), "{begun}");
        }
        assert_eq!(read("HTTP/1.1 100 \r\n\r\n220 mail\r\n"), Err(BAD_ANSWER));
    }

    #[test]
    fn a_refusal_is_kept_whole() {
        let answer = read(
            "HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nX-Odd: \u{e9}\r\nContent-Length: 4\r\n\
             \r\nwait",
        );
        let Ok(Some(Answer::Refused(refusal))) = answer else { panic!("{answer:?}") };
        assert_eq!((refusal.status, &*refusal.reason), (429, "Slow Down"));
        assert_eq!(refusal.header("retry-after"), Some("7"));
        assert_eq!((refusal.body_text(), refusal.body_is_whole), ("wait".into(), true));
        assert_eq!(format!("{refusal:?}"), "Refusal(429 Slow Down; 3 fields, 4 bytes)");
    }

    #[test]
    fn a_body_that_is_cut_is_said_to_be() {
        let cut = |framing: &str, finished| {
            let head = format!("HTTP/1.1 404 Not Found\r\n{framing}\r\n\r\n5\r\nabc");
            let mut reader = AnswerReader::to_upgrade(MAX_HEAD);
            assert_eq!(reader.push(head.as_bytes()), Ok(None));
            let refusal = reader.end(finished).unwrap();
            (refusal.body_text().into_owned(), refusal.body_is_whole)
        };
        assert_eq!(cut("Content-Length: 9", true), ("5\r\nabc".into(), false));
        assert_eq!(cut("Transfer-Encoding: chunked", true), ("abc".into(), false));
        assert_eq!(cut("Server: x", true), ("5\r\nabc".into(), true));
        assert_eq!(cut("Server: x", false), ("5\r\nabc".into(), false));
    }

    #[test]
    fn a_body_has_a_limit() {
        let max = defaults::MAX_REFUSAL_BODY;
        let answer = |length: usize| {
            let mut reader = AnswerReader::to_upgrade(MAX_HEAD);
            let head = format!("HTTP/1.1 500 No\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(reader.push(head.as_bytes()), Ok(None));
            for _ in 0..length {
                if let Some(Answer::Refused(refusal)) = reader.push(b"x").unwrap() {
                    return (refusal.body.len(), refusal.body_is_whole);
                }
            }
            panic!("the body of {length} bytes does not end");
        };
        assert_eq!(answer(max), (max, true));
        assert_eq!(answer(max + 1), (max, false));
        assert_eq!(answer(3 * max), (max, false));
    }

    #[test]
    fn a_tunnel_is_agreed_to_by_any_2xx() {
        let read = |bytes: &[u8]| AnswerReader::to_connect(MAX_HEAD).push(bytes);
        for status in [200, 201, 299] {
            let answer = read(format!("HTTP/1.1 {status} Made\r\n\r\n").as_bytes());
            assert!(matches!(answer, Ok(Some(Answer::Agreed { .. }))), "{answer:?}");
        }
        let refused = read(b"HTTP/1.1 101 Odd\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(refused, Ok(Some(Answer::Refused(_)))), "{refused:?}");
        assert!(read(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }
}
