//! What HTTP asks of any request for a WebSocket, whatever its version (RFC 9110, RFC 9112).

use crate::error::HandshakeError;
use crate::handshake::Request;

/// Fields that may stand in a request once. Where two of them differ, a proxy and we could take
/// different ones for the true one.
const SINGLE: [&str; 6] = [
    // RFC 6455 §11.3.1 and §11.3.5.
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    // RFC 6454 §7.3. A hybi draft has the second, and its clients may send both.
    "Origin",
    "Sec-WebSocket-Origin",
    // draft-ietf-hybi-thewebsocketprotocol-00 §5.2.
    "Sec-WebSocket-Key1",
    "Sec-WebSocket-Key2",
];

/// Places in [`SINGLE`].
const KEY: usize = 0;
const VERSION: usize = 1;

/// What a request says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// There is none: no Content-Length, or 0.
    None,
    /// So many bytes.
    Length(u64),
    /// It has a transfer coding, such as chunked.
    Coded,
}

/// What the fields say that is asked of every request, found in one walk over them.
pub(super) struct Fields<'a> {
    hosts: usize,
    host: &'a [u8],
    /// The first value of each of [`SINGLE`].
    first: [Option<&'a [u8]>; SINGLE.len()],
    twice: Option<&'static str>,
    /// `Upgrade: websocket` (RFC 6455 §4.2.1, item 3).
    pub(super) upgrade_is_websocket: bool,
    /// `Connection: Upgrade` (item 4).
    pub(super) connection_has_upgrade: bool,
    is_coded: bool,
    length: Length,
}

/// What the fields Content-Length say, all together.
#[derive(Clone, Copy)]
enum Length {
    None,
    Of(u64),
    Bad,
}

impl<'a> Fields<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        let mut fields = Fields {
            hosts: 0,
            host: b"",
            first: [None; SINGLE.len()],
            twice: None,
            upgrade_is_websocket: false,
            connection_has_upgrade: false,
            is_coded: false,
            length: Length::None,
        };
        for (name, value) in request.fields() {
            fields.take(name, value);
        }
        fields
    }

    fn take(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("host") {
            self.hosts += 1;
            self.host = value;
        } else if is("transfer-encoding") {
            self.is_coded = true;
        } else if is("content-length") {
            let lengths = value.split(|b| *b == b',').map(|value| length(value.trim_ascii()));
            self.length = lengths.fold(self.length, Length::and);
        } else if is("upgrade") {
            self.upgrade_is_websocket |= has_token(value, b"websocket");
        } else if is("connection") {
            self.connection_has_upgrade |= has_token(value, b"upgrade");
        } else if let Some(at) = SINGLE.iter().position(|known| is(known)) {
            match self.first[at] {
                None => self.first[at] = Some(value),
                Some(_) => self.twice = self.twice.or(Some(SINGLE[at])),
            }
        }
    }

    /// The key of RFC 6455 and its drafts.
    pub(super) fn key(&self) -> Option<&'a [u8]> {
        self.first[KEY]
    }

    /// The number of the version.
    pub(super) fn version(&self) -> Option<&'a [u8]> {
        self.first[VERSION]
    }

    /// Whether there is a Host at all.
    pub(super) fn has_host(&self) -> bool {
        self.hosts > 0
    }

    /// RFC 9112 §3.2: exactly one Host, with a valid value.
    pub(super) fn check_host(&self) -> Result<(), HandshakeError> {
        match self.hosts {
            0 => Err(HandshakeError::Missing("Host")),
            1 if self.host.is_empty() => Err(HandshakeError::Missing("Host")),
            1 if is_authority(self.host) => Ok(()),
            1 => Err(HandshakeError::BadField("Host")),
            _ => Err(HandshakeError::Repeated("Host")),
        }
    }

    /// Fields that may stand there once do not stand there twice.
    pub(super) fn check_single(&self) -> Result<(), HandshakeError> {
        self.twice.map_or(Ok(()), |name| Err(HandshakeError::Repeated(name)))
    }

    /// The bytes behind the head are frames, so there is no place for a body.
    pub(super) fn check_no_body(&self) -> Result<(), HandshakeError> {
        if self.body()? == Body::None { Ok(()) } else { Err(HandshakeError::Body) }
    }

    /// RFC 9112 §6.3: a transfer coding counts before a length, and lengths that are repeated have
    /// to be equal.
    pub(super) fn body(&self) -> Result<Body, HandshakeError> {
        match self.length {
            _ if self.is_coded => Ok(Body::Coded),
            Length::None | Length::Of(0) => Ok(Body::None),
            Length::Of(length) => Ok(Body::Length(length)),
            Length::Bad => Err(HandshakeError::BadField("Content-Length")),
        }
    }
}

impl Length {
    fn and(self, other: Option<u64>) -> Self {
        match (self, other) {
            (Length::None, Some(length)) => Length::Of(length),
            (Length::Of(length), Some(other)) if length == other => self,
            _ => Length::Bad,
        }
    }
}

/// Whether a list (RFC 9110 §5.6.1) has this token, in any case.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// RFC 9110 §8.6: digits, and nothing else.
fn length(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Whether this is `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2). An underscore is one
/// of the characters of a registered name.
pub(super) fn is_authority(text: &[u8]) -> bool {
    let (host, port) = match text.iter().rposition(|b| *b == b':') {
        Some(colon) if !text[colon..].contains(&b']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, &[][..]),
    };
    let host_is_valid = match host {
        [b'[', address @ .., b']'] => is_ip_literal(address),
        name => !name.is_empty() && is_registered_name(name),
    };
    host_is_valid && port.iter().all(u8::is_ascii_digit)
}

/// An IPv6 address, or what a later version of IP may bring (`v1.x`).
fn is_ip_literal(address: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(address) else { return false };
    if let Some(future) = text.strip_prefix(['v', 'V']) {
        let allowed = |b: u8| is_unreserved(b) || is_sub_delimiter(b) || b == b':';
        return !future.is_empty() && future.bytes().all(allowed);
    }
    text.parse::<core::net::Ipv6Addr>().is_ok()
}

fn is_registered_name(name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', a, b, rest @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest,
            [b, rest @ ..] if is_unreserved(*b) || is_sub_delimiter(*b) => rest,
            _ => return false,
        }
    }
}

/// Whether a token, such as a method or the name of a field, may have this byte (RFC 9110 §5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// RFC 3986 §2.2.
fn is_sub_delimiter(byte: u8) -> bool {
    b"!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &[(&str, &str)]) -> Request {
        Request::from_parts("GET", "/", fields.iter().copied()).unwrap()
    }

    #[test]
    fn hosts_that_a_uri_may_have_and_those_that_it_may_not() {
        for legal in ["a", "a_b.example:8080", "1.2.3.4", "[::1]:80", "a:", "%41", "[v1.a:b]"] {
            assert!(is_authority(legal.as_bytes()), "{legal}");
        }
        for illegal in ["", "a b", "a/b", "u@a", "a:b", "[::1", "::1", "[::g]", "a%4", "a\\"] {
            assert!(!is_authority(illegal.as_bytes()), "{illegal}");
        }
        assert!(!is_authority("gr\u{fc}\u{df}e".as_bytes()));
    }

    #[test]
    fn a_body_is_what_its_fields_announce() {
        let body = |fields: &[(&str, &str)]| Fields::of(&with(fields)).body();
        let bad = Err(HandshakeError::BadField("Content-Length"));
        assert_eq!(body(&[]), Ok(Body::None));
        assert_eq!(body(&[("Content-Length", "0")]), Ok(Body::None));
        assert_eq!(body(&[("Content-Length", "007")]), Ok(Body::Length(7)));
        assert_eq!(body(&[("Content-Length", "5"), ("content-length", "5")]), Ok(Body::Length(5)));
        assert_eq!(body(&[("Content-Length", "5, 5")]), Ok(Body::Length(5)));
        for wrong in ["", "nonsense", "+5", "-1", "5 5", "5, 6", "0x5", "99999999999999999999"] {
            assert_eq!(body(&[("Content-Length", wrong)]), bad, "{wrong}");
        }
        assert_eq!(body(&[("Transfer-Encoding", "chunked")]), Ok(Body::Coded));
        assert_eq!(body(&[("Content-Length", "0"), ("Transfer-Encoding", "x")]), Ok(Body::Coded));
    }
}
