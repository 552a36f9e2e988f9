//! The server's side of RFC 8441: a WebSocket on a stream of HTTP/2, asked for by an extended
//! CONNECT.

use crate::error::HandshakeError;
use crate::handshake::http::Fields;
use crate::handshake::{Request, Response, rfc6455};
use crate::negotiated::Negotiated;
use crate::version::{Version, VersionSet};

/// Which version an extended CONNECT speaks whose `:protocol` is `websocket`: RFC 6455, for HTTP/2
/// carries no other (RFC 8441 §5). The request is the one that [`Request::from_parts`] makes of the
/// method, of `:scheme`, `:authority` and `:path` as one target, and of the fields.
///
/// ```
/// use adieu_proto::{Request, Version, VersionSet, detect_extended_connect};
/// let fields = [("host", "example.com"), ("sec-websocket-version", "13")];
/// let request = Request::from_parts("CONNECT", "https://example.com/chat", fields)?;
/// assert_eq!(detect_extended_connect(&request, VersionSet::all())?, Version::Rfc6455);
/// # Ok::<(), adieu_proto::HandshakeError>(())
/// ```
///
/// # Errors
/// What the request lacks. Each has an HTTP status.
pub fn detect_extended_connect(
    request: &Request,
    served: VersionSet,
) -> Result<Version, HandshakeError> {
    let fields = Fields::of(request);
    // `:authority` takes its place (RFC 9113 §8.3.1), and is in the target.
    if fields.has_host() || request.host().is_none() {
        fields.check_host()?;
    }
    if request.method() != "CONNECT" {
        return Err(HandshakeError::Method);
    }
    fields.check_single()?;
    match fields.version() {
        Some(b"13") if served.contains(Version::Rfc6455) => Ok(Version::Rfc6455),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Err(HandshakeError::Version(super::shown(&other)))
        }
        None => Err(HandshakeError::Missing("Sec-WebSocket-Version")),
    }
}

/// The 200 for a request that [`detect_extended_connect`] has accepted, with what is agreed on.
///
/// HTTP/2 has no `Sec-WebSocket-Key` (RFC 8441 §5). A client that sends one all the same (undici 7)
/// fails without its answer, so that it gets one.
#[must_use]
pub fn accept_extended_connect(request: &Request, negotiated: &Negotiated) -> Response {
    let mut fields = rfc6455::agreed(negotiated);
    if let Some(key) = request.header("sec-websocket-key") {
        fields.push(("Sec-WebSocket-Accept", rfc6455::accept(key)));
    }
    Response { status: 200, phrase: "OK", fields, body: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [(&str, &str); 2] = [("host", "h"), ("sec-websocket-version", "13")];

    fn detected(method: &str, fields: &[(&str, &str)]) -> Result<Version, HandshakeError> {
        let request = Request::from_parts(method, "https://h/", fields.iter().copied())?;
        detect_extended_connect(&request, VersionSet::all())
    }

    #[test]
    fn an_extended_connect_needs_its_version_and_no_key() {
        assert_eq!(detected("CONNECT", &FIELDS), Ok(Version::Rfc6455));
        assert_eq!(detected("GET", &FIELDS), Err(HandshakeError::Method));
        let missing = HandshakeError::Missing("Sec-WebSocket-Version");
        assert_eq!(detected("CONNECT", &FIELDS[..1]), Err(missing));
        assert_eq!(
            detected("CONNECT", &FIELDS[1..]),
            Ok(Version::Rfc6455),
            "`:authority` is there"
        );
        let old = [FIELDS[0], ("sec-websocket-version", "8")];
        assert_eq!(detected("CONNECT", &old), Err(HandshakeError::Version("8".to_owned())));
        let twice = [FIELDS[0], FIELDS[1], ("origin", "a"), ("origin", "b")];
        assert_eq!(detected("CONNECT", &twice), Err(HandshakeError::Repeated("Origin")));
    }

    #[test]
    fn a_key_is_answered_where_one_was_sent() {
        let negotiated = Negotiated::new(Version::Rfc6455).subprotocol("chat");
        let request = Request::from_parts("CONNECT", "https://h/", FIELDS).unwrap();
        let answer = accept_extended_connect(&request, &negotiated);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.fields, [("Sec-WebSocket-Protocol", "chat".to_owned())]);
        let key = [FIELDS[0], FIELDS[1], ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")];
        let request = Request::from_parts("CONNECT", "https://h/", key).unwrap();
        let answer = accept_extended_connect(&request, &negotiated);
        let accept = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned());
        assert_eq!(answer.fields[1], accept);
    }
}
