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

/// RFC 9112 §3.2: exactly one Host, with a valid value.
pub(super) fn check_host(request: &Request) -> Result<(), HandshakeError> {
    let mut hosts = request.values("host");
    let Some(host) = hosts.next().filter(|host| !host.is_empty()) else {
        return Err(HandshakeError::Missing("Host"));
    };
    if hosts.next().is_some() {
        return Err(HandshakeError::Repeated("Host"));
    }
    if is_authority(host) { Ok(()) } else { Err(HandshakeError::BadField("Host")) }
}

/// Fields that may stand there once do not stand there twice.
pub(super) fn check_single(request: &Request) -> Result<(), HandshakeError> {
    let twice = |name: &&&str| request.values(name).nth(1).is_some();
    match SINGLE.iter().find(twice) {
        Some(name) => Err(HandshakeError::Repeated(name)),
        None => Ok(()),
    }
}

/// The bytes behind the head are frames, so there is no place for a body.
pub(super) fn check_no_body(request: &Request) -> Result<(), HandshakeError> {
    if body(request)? == Body::None { Ok(()) } else { Err(HandshakeError::Body) }
}

/// RFC 9112 §6.3: a transfer coding counts before a length, and lengths that are repeated have to
/// be equal.
pub(super) fn body(request: &Request) -> Result<Body, HandshakeError> {
    if request.values("transfer-encoding").next().is_some() {
        return Ok(Body::Coded);
    }
    let mut found = None;
    for value in request.values("content-length").flat_map(|value| value.split(|b| *b == b',')) {
        let length = length(value.trim_ascii());
        let length = length.ok_or(HandshakeError::BadField("Content-Length"))?;
        if found.is_some_and(|other| other != length) {
            return Err(HandshakeError::BadField("Content-Length"));
        }
        found = Some(length);
    }
    Ok(match found {
        None | Some(0) => Body::None,
        Some(length) => Body::Length(length),
    })
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
        let body = |fields: &[(&str, &str)]| body(&with(fields));
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
