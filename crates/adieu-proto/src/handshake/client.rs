//! The client's side of RFC 6455 §4.1: the request, and the check of the answer.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::error::{HandshakeError, UsageError};
use crate::handshake::http::is_token;
use crate::handshake::{answer, rfc6455};
use crate::negotiated::Negotiated;
use crate::version::Version;

/// A request for a WebSocket, to be sent.
///
/// ```
/// use adieu_proto::ClientRequest;
/// let request = ClientRequest::new("example.com", "/chat")
///     .header("Authorization", "Bearer abc")
///     .subprotocol("chat.v1");
/// assert!(ClientRequest::new("example.com", "/ bad").check().is_err());
/// assert!(request.check().is_ok());
/// # Ok::<(), adieu_proto::UsageError>(())
/// ```
#[derive(Clone, Hash)]
pub struct ClientRequest {
    host: String,
    target: String,
    headers: Vec<(String, String)>,
    subprotocols: Vec<String>,
}

impl std::fmt::Debug for ClientRequest {
    /// Host and path; query and fields may hold secrets and do not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "ClientRequest({}{path})", self.host)
    }
}

impl ClientRequest {
    /// A request to `host` (with its port, if it is not the scheme's own) for `target` (path
    /// and query).
    #[must_use]
    pub fn new(host: impl Into<String>, target: impl Into<String>) -> Self {
        ClientRequest {
            host: host.into(),
            target: target.into(),
            headers: Vec::new(),
            subprotocols: Vec::new(),
        }
    }

    /// Adds a field. `Host` and `Sec-WebSocket-Protocol` replace what would be sent without them,
    /// and of `Host` and `Origin` one line is sent, the last. What is written in
    /// `Sec-WebSocket-Protocol` is what is offered: the answer is checked against it.
    ///
    /// [`check`](Self::check) refuses the fields of the opening handshake itself (`Connection`,
    /// `Upgrade`, `Sec-WebSocket-Key`, `-Version`, `-Extensions`) and those of a body
    /// (`Content-Length`, `Transfer-Encoding`).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Offers a subprotocol, behind those offered before.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Whether it can be sent: no line breaks, no blanks where none may be, no field that is not
    /// the caller's to set.
    ///
    /// # Errors
    /// [`UsageError::Request`] names the part, [`UsageError::Field`] the field. Neither shows a
    /// query or a field's value: they may hold secrets.
    pub fn check(&self) -> Result<(), UsageError> {
        let refuse = |part, value: &str| Err(UsageError::Request { part, value: value.to_owned() });
        let host = self.host();
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic()) {
            return refuse("host", host);
        }
        let path = self.target.split('?').next().unwrap_or_default();
        if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic()) {
            return refuse("target", path);
        }
        if !self.target.bytes().all(|b| b.is_ascii_graphic()) {
            return refuse("target, behind this path,", path);
        }
        for (name, value) in &self.headers {
            if name.is_empty() || !name.bytes().all(is_token) {
                return refuse("field name", name);
            }
            if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7F) {
                return refuse("value of the field", name);
            }
            if let Some((_, why)) = OURS.iter().find(|(ours, _)| ours.eq_ignore_ascii_case(name)) {
                return Err(UsageError::Field { name: name.clone(), why });
            }
        }
        match self.offers().find(|s| !s.bytes().all(is_token) || s.is_empty()) {
            Some(name) => refuse("subprotocol, which is a token without blanks,", name),
            None => Ok(()),
        }
    }

    /// Path and query.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// The last field of this name that the caller has set.
    fn set(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter().rev();
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The host that is asked, with its port if that is not the scheme's own.
    pub(super) fn host(&self) -> &str {
        self.set("host").unwrap_or(&self.host)
    }

    /// The subprotocols that are offered: those of the caller's own fields, if there are any.
    fn offers(&self) -> impl Iterator<Item = &str> {
        let fields = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(PROTOCOL));
        let by_hand = fields.flat_map(|(_, value)| value.split(',')).map(str::trim);
        // §9.1 by way of RFC 9110 §5.6.1: empty elements of a list are skipped.
        let by_hand = by_hand.filter(|name| !name.is_empty());
        let ours = self.subprotocols.iter().map(String::as_str);
        let has_none = self.set(PROTOCOL).is_none();
        by_hand.chain(ours.filter(move |_| has_none))
    }

    /// The head, with the key made of `nonce` (§4.1: 16 random bytes). `extensions` is what is
    /// offered of them.
    pub(crate) fn to_bytes(&self, nonce: [u8; 16], extensions: Option<&str>) -> Vec<u8> {
        let mut out = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n",
            self.target,
            self.host(),
            STANDARD.encode(nonce)
        );
        self.each_field(extensions, |name, value| out.extend([name, ": ", value, "\r\n"]));
        out += "\r\n";
        out.into_bytes()
    }

    /// The fields that are the same over HTTP/1.1 and HTTP/2, in their order: what is offered, the
    /// Origin, and the rest of the caller's.
    pub(super) fn each_field(&self, extensions: Option<&str>, mut write: impl FnMut(&str, &str)) {
        let mut offers: Vec<&str> = Vec::new();
        for offer in self.offers() {
            // §4.1 item 10: each stands there once.
            if !offers.contains(&offer) {
                offers.push(offer);
            }
        }
        if !offers.is_empty() {
            write(PROTOCOL, &offers.join(", "));
        }
        if let Some(extensions) = extensions {
            write(EXTENSIONS, extensions);
        }
        if let Some(origin) = self.set("origin") {
            write("Origin", origin);
        }
        for (name, value) in &self.headers {
            let is_written = |written: &&str| written.eq_ignore_ascii_case(name);
            if !["Host", "Origin", PROTOCOL].iter().any(is_written) {
                write(name, value);
            }
        }
    }

    /// Checks the head of a 101 (§4.1, "the client MUST validate the server's response") and
    /// gives what it agrees on. `extended`: whether we have offered an extension.
    pub(crate) fn check_response(
        &self,
        head: &[u8],
        nonce: [u8; 16],
        extended: bool,
    ) -> Result<Negotiated, HandshakeError> {
        answer::parse(head, |answer| self.check_fields(answer.headers, nonce, extended))?
    }

    fn check_fields(
        &self,
        fields: &[httparse::Header<'_>],
        nonce: [u8; 16],
        extended: bool,
    ) -> Result<Negotiated, HandshakeError> {
        let has = |name, token: &str| {
            let tokens = values(fields, name).flat_map(|v| v.split(','));
            tokens.map(str::trim).any(|t| t.eq_ignore_ascii_case(token))
        };
        if !has("upgrade", "websocket") {
            return Err(HandshakeError::BadAnswer("Upgrade"));
        }
        if !has("connection", "upgrade") {
            return Err(HandshakeError::BadAnswer("Connection"));
        }
        let expected = accept(nonce);
        if !values(fields, "sec-websocket-accept").eq([expected.as_str()]) {
            return Err(HandshakeError::BadAnswer("Sec-WebSocket-Accept"));
        }
        self.agreed(fields, extended)
    }

    /// What the fields of an answer agree on: nothing that was not offered (§4.1). `extended`:
    /// whether we have offered an extension.
    pub(super) fn agreed(
        &self,
        fields: &[httparse::Header<'_>],
        extended: bool,
    ) -> Result<Negotiated, HandshakeError> {
        let mut negotiated = Negotiated::new(Version::Rfc6455);
        let extensions = values(fields, "sec-websocket-extensions");
        check_extensions(extensions, extended, &mut negotiated)
            .map_err(|()| HandshakeError::BadAnswer(EXTENSIONS))?;
        let mut chosen = values(fields, "sec-websocket-protocol");
        negotiated.subprotocol = match (chosen.next(), chosen.next()) {
            (None, _) => None,
            (Some(name), None) if self.offers().any(|offer| offer == name) => Some(name.to_owned()),
            _ => return Err(HandshakeError::BadAnswer(PROTOCOL)),
        };
        Ok(negotiated)
    }
}

/// The values of all fields of this name; one that is no text counts as empty.
fn values<'a>(
    fields: &'a [httparse::Header<'a>],
    name: &'static str,
) -> impl Iterator<Item = &'a str> {
    let fields = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    fields.map(|field| std::str::from_utf8(field.value).unwrap_or_default().trim())
}

/// The answer agrees on no extension but ours, and on ours only where it was offered.
#[cfg(feature = "deflate")]
fn check_extensions<'a>(
    values: impl Iterator<Item = &'a str>,
    extended: bool,
    negotiated: &mut Negotiated,
) -> Result<(), ()> {
    negotiated.deflate = crate::deflate::check(values, extended)?;
    Ok(())
}

/// The answer agrees on no extension: none was offered.
#[cfg(not(feature = "deflate"))]
fn check_extensions<'a>(
    mut values: impl Iterator<Item = &'a str>,
    _: bool,
    _: &mut Negotiated,
) -> Result<(), ()> {
    if values.any(|value| !value.is_empty()) { Err(()) } else { Ok(()) }
}

const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

const PROTOCOL: &str = "Sec-WebSocket-Protocol";

/// Fields that are not the caller's to set, and why.
const OURS: [(&str, &str); 7] = [
    ("Connection", HANDSHAKE),
    ("Upgrade", HANDSHAKE),
    ("Sec-WebSocket-Key", "it is made anew for each connection; leave it out"),
    ("Sec-WebSocket-Version", "version 13 is what this client speaks; leave it out"),
    ("Sec-WebSocket-Extensions", "what is offered follows from the settings; leave it out"),
    ("Content-Length", BODY),
    ("Transfer-Encoding", BODY),
];

const HANDSHAKE: &str = "it is part of the opening handshake and is sent anyway; leave it out";
const BODY: &str = "the request for a WebSocket has no body (RFC 6455 \u{a7}4.1); leave it out";

/// The `Sec-WebSocket-Accept` that answers the key made of `nonce`.
#[must_use]
pub fn accept(nonce: [u8; 16]) -> String {
    rfc6455::accept(&STANDARD.encode(nonce))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 16] = *b"the sample nonce";

    fn answer(fields: &str) -> Result<Option<String>, HandshakeError> {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{fields}\r\n",
            accept(NONCE)
        );
        let request = ClientRequest::new("h", "/").subprotocol("a");
        request.check_response(head.as_bytes(), NONCE, false).map(|agreed| agreed.subprotocol)
    }

    #[test]
    fn only_what_was_offered_is_accepted() {
        assert_eq!(answer(""), Ok(None));
        assert_eq!(answer("Sec-WebSocket-Protocol: a\r\n"), Ok(Some("a".into())));
        for bad in [
            "Sec-WebSocket-Protocol: b\r\n",
            "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n",
        ] {
            assert_eq!(answer(bad), Err(HandshakeError::BadAnswer("Sec-WebSocket-Protocol")));
        }
        let extension = answer("Sec-WebSocket-Extensions: permessage-deflate\r\n");
        assert_eq!(extension, Err(HandshakeError::BadAnswer("Sec-WebSocket-Extensions")));
        let doubled = answer("Sec-WebSocket-Accept: x\r\n");
        assert_eq!(doubled, Err(HandshakeError::BadAnswer("Sec-WebSocket-Accept")));
    }

    #[test]
    fn a_line_break_cannot_be_smuggled_in() {
        let request = ClientRequest::new("h", "/");
        assert!(request.clone().header("X", "a\r\nY: b").check().is_err());
        assert!(request.clone().header("X\r\n", "a").check().is_err());
        assert!(request.subprotocol("a b").check().is_err());
        assert!(ClientRequest::new("h\r\n", "/").check().is_err());
    }

    fn lines(request: &ClientRequest) -> Vec<String> {
        request.check().expect("a request that can be sent");
        let head = String::from_utf8(request.to_bytes(NONCE, None)).unwrap();
        head.split("\r\n").skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn host_origin_and_subprotocols_of_the_caller_are_sent_once_and_instead_of_ours() {
        let request = ClientRequest::new("h", "/").subprotocol("ours").header("Cookie", "a=b");
        let request = request.header("HOST", "first").header("host", "theirs:80");
        let request = request.header("origin", "http://a").header("Origin", "http://b");
        let request = request.header("sec-websocket-protocol", "x, y").header(PROTOCOL, "x,z,");
        let lines = lines(&request);
        let of = |name: &str| -> Vec<&str> {
            let all = lines.iter().filter_map(|line| line.split_once(": "));
            all.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
        };
        assert_eq!(of("Host"), ["theirs:80"]);
        assert_eq!(of("Origin"), ["http://b"]);
        assert_eq!(of(PROTOCOL), ["x, y, z"]);
        assert_eq!(of("Cookie"), ["a=b"]);
        let chosen = |name: &str| {
            let field = httparse::Header { name: PROTOCOL, value: name.as_bytes() };
            let accept = accept(NONCE);
            let fields = [
                httparse::Header { name: "Upgrade", value: b"websocket" },
                httparse::Header { name: "Connection", value: b"Upgrade" },
                httparse::Header { name: "Sec-WebSocket-Accept", value: accept.as_bytes() },
                field,
            ];
            request.check_fields(&fields, NONCE, false).map(|agreed| agreed.subprotocol)
        };
        assert_eq!(chosen("z"), Ok(Some("z".to_owned())));
        assert_eq!(chosen("ours"), Err(HandshakeError::BadAnswer("Sec-WebSocket-Protocol")));
    }

    #[test]
    fn fields_of_the_handshake_and_of_a_body_are_refused_with_a_reason() {
        for name in [
            "Connection",
            "upgrade",
            "SEC-WEBSOCKET-KEY",
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Extensions",
            "content-length",
            "Transfer-Encoding",
        ] {
            let error = ClientRequest::new("h", "/").header(name, "0").check().unwrap_err();
            let text = error.to_string();
            assert!(text.contains(name) && text.contains("leave it out"), "{text}");
        }
    }

    #[test]
    fn no_error_shows_a_query_or_the_value_of_a_field() {
        let request = ClientRequest::new("h", "/path?token=secret x");
        let query = request.check().unwrap_err().to_string();
        let request = ClientRequest::new("h", "/").header("Authorization", "secret\n");
        let value = request.check().unwrap_err().to_string();
        assert!(query.contains("/path") && value.contains("Authorization"), "{query}; {value}");
        assert!(!query.contains("secret") && !value.contains("secret"), "{query}; {value}");
    }
}
