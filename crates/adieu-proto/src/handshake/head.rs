//! A request's head: kept as the bytes it was, looked up when asked.

use std::mem::MaybeUninit;

use crate::error::HandshakeError;
use crate::handshake::target::{self, Target};

/// How big a head may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

/// Room for so many fields needs no allocation.
const FEW_FIELDS: usize = 128;

/// A request for a WebSocket, as it was sent: one boxed slice, not a map.
///
/// ```
/// use adieu_proto::Request;
/// let request = Request::from_parts("GET", "/chat?room=1", [("Host", "example.com")])?;
/// assert_eq!(request.path(), "/chat");
/// assert_eq!(request.query(), Some("room=1"));
/// assert_eq!(request.header("host"), Some("example.com"));
/// # Ok::<(), adieu_proto::HandshakeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Request {
    head: Box<[u8]>,
}

impl std::fmt::Debug for Request {
    /// Method and path; fields may hold cookies and do not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} {})", self.method(), self.path())
    }
}

/// Where a head ends: behind its blank line. `from` is how far an earlier search came, so that
/// bytes that dribble in are not searched again and again.
pub(crate) fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    let start = from.saturating_sub(3);
    let mut rest = &bytes[start..];
    let mut at = start;
    while let Some(i) = memchr::memchr(b'\n', rest) {
        at += i + 1;
        rest = &rest[i + 1..];
        match rest {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// The lines of a head, without their ends.
pub(super) fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(head);
    let lines = std::iter::from_fn(move || {
        let bytes = rest?;
        let end = memchr::memchr(b'\n', bytes);
        rest = end.map(|end| &bytes[end + 1..]);
        Some(&bytes[..end.unwrap_or(bytes.len())])
    });
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// A line's name, and its value without surrounding white space.
pub(super) fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

impl Request {
    /// Parses a whole head, blank line included.
    pub(crate) fn parse(head: &[u8], limits: Limits) -> Result<Self, HandshakeError> {
        let mut few = [const { MaybeUninit::uninit() }; FEW_FIELDS];
        let mut many = Vec::new();
        let fields = few.get_mut(..limits.fields).unwrap_or_else(|| {
            many.resize_with(limits.fields, MaybeUninit::uninit);
            &mut many
        });
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, fields) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(HandshakeError::BadHttp("head")),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(HandshakeError::TooManyFields(limits.fields));
            }
            Err(httparse::Error::HeaderName) => return Err(HandshakeError::BadHttp("field name")),
            Err(httparse::Error::HeaderValue) => {
                return Err(HandshakeError::BadHttp("field value"));
            }
            Err(httparse::Error::Version) => return Err(HandshakeError::BadHttp("version")),
            Err(_) => return Err(HandshakeError::BadHttp("request line")),
        }
        if parsed.version != Some(1) {
            return Err(HandshakeError::BadHttp("version (1.1 is needed)"));
        }
        let target = parsed.path.unwrap_or_default();
        if !target::is_valid(target.as_bytes()) {
            return Err(HandshakeError::BadHttp("request target"));
        }
        Ok(Request { head: target::with_path(head, target).into() })
    }

    /// Builds a head from parts that an HTTP library has parsed.
    ///
    /// # Errors
    /// [`HandshakeError::BadHttp`] if the parts make no valid head.
    pub fn from_parts<'a>(
        method: &str,
        target: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, HandshakeError> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        let mut count = 0;
        for (name, value) in fields {
            head.extend([name, ": ", value, "\r\n"]);
            count += 1;
        }
        head += "\r\n";
        Request::parse(head.as_bytes(), Limits { bytes: usize::MAX, fields: count })
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        lines(&self.head)
    }

    fn request_line(&self) -> impl Iterator<Item = &str> {
        let line = self.lines().find(|line| !line.is_empty()).unwrap_or_default();
        std::str::from_utf8(line).unwrap_or_default().split(' ')
    }

    /// The method, `GET` for every handshake that succeeds.
    #[must_use]
    pub fn method(&self) -> &str {
        self.request_line().next().unwrap_or_default()
    }

    fn split_target(&self) -> Target<'_> {
        Target::split(self.request_line().nth(1).unwrap_or_default())
    }

    /// Path and query, whether the client sent them alone or behind a scheme and a host
    /// (RFC 9112 §3.2.1, §3.2.2).
    #[must_use]
    pub fn target(&self) -> &str {
        self.split_target().path_and_query
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// The query, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// All fields in order: name as sent, value without surrounding white space. Values that
    /// are not UTF-8 are left out.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.lines().skip_while(|line| line.is_empty()).skip(1);
        let fields = lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'));
        fields.map(|(name, value)| (name, value.trim_matches([' ', '\t'])))
    }

    /// All fields in order, as the bytes that they are: name, and value without surrounding white
    /// space.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.lines().skip_while(|line| line.is_empty()).skip(1);
        lines.filter_map(split_field)
    }

    /// What follows the colon in the fields of this name, in any case: most lines are passed over
    /// at a glance.
    fn named<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let fields = self.lines().skip_while(|line| line.is_empty()).skip(1);
        fields.filter_map(move |line| {
            let (start, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":")?;
            start.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }

    fn named_text<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let text = self.named(name).filter_map(|value| std::str::from_utf8(value).ok());
        text.map(|value| value.trim_matches([' ', '\t']))
    }

    /// The first field of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.named(name).find_map(|value| std::str::from_utf8(value).ok())?;
        Some(value.trim_matches([' ', '\t']))
    }

    /// The values of all fields of this name, in any case, in order, and as the bytes that they
    /// are: for a field whose meaning changes when one value of it is left out.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.named(name).map(<[u8]>::trim_ascii)
    }

    /// A hixie-76 key: what follows exactly one space.
    #[cfg(any(feature = "legacy", test))]
    pub(crate) fn raw_header(&self, name: &str) -> Option<&str> {
        let value = self.named(name).find_map(|value| std::str::from_utf8(value).ok())?;
        Some(value.strip_prefix(' ').unwrap_or(value))
    }

    /// All values of a list field: every field of this name, split at commas.
    pub(crate) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.named_text(name)
            .flat_map(|value| value.split(','))
            .map(|token| token.trim_matches([' ', '\t']))
            .filter(|token| !token.is_empty())
    }

    /// Where the page that opened the connection comes from: `Origin`, or `Sec-WebSocket-Origin`
    /// in the hybi drafts up to 10. Clients that are no browsers need not send it (RFC 6455 §4.1).
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        // A draft-8 client may send both: the draft's own field then has the page's origin.
        self.header("sec-websocket-origin").or_else(|| self.header("origin"))
    }

    /// The host that the client asked for, with its port if there is one: of the request target
    /// where that names a host, else of the field `Host` (RFC 9112 §3.2.2).
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.split_target().authority.or_else(|| self.header("host"))
    }

    /// The value of the cookie of this name, as it was sent (RFC 6265 §4.2.1); of several the
    /// first.
    ///
    /// ```
    /// # fn of(request: &adieu_proto::Request) {
    /// let session: Option<&str> = request.cookie("session");
    /// # }
    /// ```
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut pairs = self.named_text("cookie").flat_map(|field| field.split(';'));
        pairs.find_map(|pair| pair.trim_matches([' ', '\t']).strip_prefix(name)?.strip_prefix('='))
    }

    /// The subprotocols that the client offers, in its order of preference (RFC 6455 §1.9).
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        // hixie-75 calls the field WebSocket-Protocol; hixie-76 separates names by spaces.
        let name = if self.header("sec-websocket-protocol").is_some() {
            "sec-websocket-protocol"
        } else {
            "websocket-protocol"
        };
        self.list(name).flat_map(|names| names.split(' ')).filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 1000, fields: 20 };

    #[test]
    fn a_cookie_is_found_in_each_field_and_by_its_whole_name() {
        let head = "GET / HTTP/1.1\r\nHost: x\r\nCookie: my-session=1; theme=a=b;session=2\r\n\
                    cookie: last=; session=3\r\nX-Cookie: hidden=4\r\n\r\n";
        let request = Request::parse(head.as_bytes(), LIMITS).unwrap();
        for (name, value) in [
            ("session", Some("2")),
            ("my-session", Some("1")),
            ("theme", Some("a=b")),
            ("last", Some("")),
            ("hidden", None),
            ("Session", None),
            ("sess", None),
        ] {
            assert_eq!(request.cookie(name), value, "{name}");
        }
    }

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        for head in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n"] {
            let bytes = [head.as_bytes(), b"nonce"].concat();
            let mut searched = 0;
            for have in 0..bytes.len() {
                let end = find_end(&bytes[..have], searched);
                assert_eq!(end, (have >= head.len()).then_some(head.len()), "{have}");
                searched = have;
                if end.is_some() {
                    break;
                }
            }
        }
    }

    #[test]
    fn lookups_see_what_was_sent() {
        let head = b"GET /a?b=c HTTP/1.1\r\nHost:x\r\nKEY1:  4 @1  4 \r\nConnection: keep-alive, \
                     Upgrade\r\nSec-WebSocket-Protocol: a, b\r\nsec-websocket-protocol: c\r\n\r\n";
        let request = Request::parse(head, LIMITS).unwrap();
        assert_eq!(request.target(), "/a?b=c");
        assert_eq!(request.host(), Some("x"));
        assert_eq!(request.raw_header("key1"), Some(" 4 @1  4 "));
        assert_eq!(request.list("connection").nth(1), Some("Upgrade"));
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn values_that_are_not_utf_8_are_there_as_bytes() {
        let head = b"GET / HTTP/1.1\r\nVia: a\r\nvia:\xff, b \r\nHost: x\r\n\r\n";
        let request = Request::parse(head, LIMITS).unwrap();
        assert_eq!(request.values("VIA").collect::<Vec<_>>(), [&b"a"[..], b"\xff, b"]);
        assert_eq!(request.header("via"), Some("a"));
        let fields: Vec<_> = request.fields().collect();
        assert_eq!(fields, [(&b"Via"[..], &b"a"[..]), (b"via", b"\xff, b"), (b"Host", b"x")]);
    }

    #[test]
    fn too_many_fields_are_told_from_bad_ones() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(21));
        assert_eq!(Request::parse(many.as_bytes(), LIMITS), Err(HandshakeError::TooManyFields(20)));
        let bad = Request::parse(b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n", LIMITS);
        assert_eq!(bad, Err(HandshakeError::BadHttp("field name")));
        assert!(Request::parse(b"\x16\x03\x01\x02\x00\r\n\r\n", LIMITS).is_err());
    }

    #[test]
    fn more_fields_than_there_is_room_for_at_hand_are_read_too() {
        for count in [FEW_FIELDS - 1, FEW_FIELDS, FEW_FIELDS + 1, 10 * FEW_FIELDS] {
            let fields = (0..count).map(|_| ("a", "b"));
            let request = Request::from_parts("GET", "/", fields).unwrap();
            assert_eq!(request.values("A").count(), count);
            let (bytes, fields) = (request.head.len(), count - 1);
            let one_less = Request::parse(&request.head, Limits { bytes, fields });
            assert_eq!(one_less, Err(HandshakeError::TooManyFields(fields)));
        }
    }

    #[test]
    fn a_long_list_is_read_in_linear_time() {
        let value = format!("b{}x", " ".repeat(32_000));
        let request = Request::from_parts("GET", "/", [("sec-websocket-protocol", &value[..])]);
        assert_eq!(request.unwrap().subprotocols().collect::<Vec<_>>(), ["b", "x"]);
    }
}
