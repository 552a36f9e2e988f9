//! The head of the answer that opened a WebSocket, for the client that asked.

use std::fmt;

use super::head::{lines, split_field};

/// The head of the 101 that a server answered with, or over HTTP/2 of its 200: kept as the bytes it
/// was, looked up when asked. Its length is at most [`Config::max_head`](crate::Config::max_head).
///
/// ```
/// # fn of(head: &adieu_proto::ResponseHead) {
/// println!("{}", String::from_utf8_lossy(head.status_line()));
/// let cookie = head.header("Set-Cookie");
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResponseHead {
    head: Box<[u8]>,
}

impl fmt::Debug for ResponseHead {
    /// Fields may hold cookies and do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseHead({} fields)", self.fields().count())
    }
}

impl ResponseHead {
    /// A whole head that was parsed before.
    pub(crate) fn new(head: Vec<u8>) -> Self {
        ResponseHead { head: head.into() }
    }

    /// The first line: version, status 101 and reason phrase (RFC 9112 §4), as it was sent. HTTP/2
    /// has no such line, and `HTTP/2 200` stands for it.
    #[must_use]
    pub fn status_line(&self) -> &[u8] {
        self.lines().next().unwrap_or_default()
    }

    /// All fields in order, as the bytes that they are: name, and value without surrounding white
    /// space.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines().skip(1).filter_map(split_field)
    }

    /// The first field of this name, in any case, whose value is UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.fields().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        named.find_map(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Empty lines in front of the first are skipped, as the parser skips them.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        lines(&self.head).skip_while(|line| line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_as_they_were_sent() {
        let head =
            b"\r\nHTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nX-Odd: \xe9\r\nx-odd:  b \r\n\r\n";
        let head = ResponseHead::new(head.to_vec());
        assert_eq!(head.status_line(), b"HTTP/1.1 101 Yes");
        assert_eq!(head.header("UPGRADE"), Some("websocket"));
        assert_eq!(head.header("X-Odd"), Some("b"), "the first that is text");
        assert_eq!(head.header("X-None"), None);
        let names: Vec<&[u8]> = head.fields().map(|(name, _)| name).collect();
        assert_eq!(names, [&b"Upgrade"[..], b"X-Odd", b"x-odd"]);
        assert_eq!(format!("{head:?}"), "ResponseHead(3 fields)");
    }
}
