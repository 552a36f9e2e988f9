//! The client's side of RFC 6455 §4.1: the request, and the check of the answer.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::error::{HandshakeError, UsageError};
use crate::handshake::rfc6455;

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

    /// Adds a field.
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

    /// Whether it can be sent: no line breaks, no blanks where none may be.
    ///
    /// # Errors
    /// [`UsageError::Request`] names the part and its value.
    pub fn check(&self) -> Result<(), UsageError> {
        let refuse = |part, value: &str| Err(UsageError::Request { part, value: value.to_owned() });
        if self.host.is_empty() || !self.host.bytes().all(|b| b.is_ascii_graphic()) {
            return refuse("host", &self.host);
        }
        if !self.target.starts_with('/') || !self.target.bytes().all(|b| b.is_ascii_graphic()) {
            return refuse("target", &self.target);
        }
        for (name, value) in &self.headers {
            if name.is_empty() || !name.bytes().all(is_token) {
                return refuse("field name", name);
            }
            if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7F) {
                return refuse("field value", value);
            }
        }
        match self.subprotocols.iter().find(|s| s.is_empty() || !s.bytes().all(is_token)) {
            Some(name) => refuse("subprotocol", name),
            None => Ok(()),
        }
    }

    /// The head, with the key made of `nonce` (§4.1: 16 random bytes).
    pub(crate) fn to_bytes(&self, nonce: [u8; 16]) -> Vec<u8> {
        let mut out = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n",
            self.target,
            self.host,
            STANDARD.encode(nonce)
        );
        if !self.subprotocols.is_empty() {
            out.extend(["Sec-WebSocket-Protocol: ", &self.subprotocols.join(", "), "\r\n"]);
        }
        for (name, value) in &self.headers {
            out.extend([name, ": ", value, "\r\n"]);
        }
        out += "\r\n";
        out.into_bytes()
    }

    /// Checks the answer's head (§4.1, "the client MUST validate the server's response") and
    /// gives the subprotocol that the server chose.
    pub(crate) fn check_response(
        &self,
        head: &[u8],
        nonce: [u8; 16],
        max_fields: usize,
    ) -> Result<Option<String>, HandshakeError> {
        let mut fields = vec![httparse::EMPTY_HEADER; max_fields];
        let mut answer = httparse::Response::new(&mut fields);
        match answer.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => {
                return Err(HandshakeError::TooManyFields(max_fields));
            }
            _ => return Err(HandshakeError::BadHttp("answer")),
        }
        match answer.code {
            Some(101) => {}
            Some(status) => return Err(HandshakeError::Status(status)),
            None => return Err(HandshakeError::BadHttp("status line")),
        }
        let values = |name: &'static str| {
            let fields = answer.headers.iter().filter(move |f| f.name.eq_ignore_ascii_case(name));
            fields.map(|f| std::str::from_utf8(f.value).unwrap_or_default().trim())
        };
        let has = |name, token: &str| {
            values(name).flat_map(|v| v.split(',')).any(|t| t.trim().eq_ignore_ascii_case(token))
        };
        if !has("upgrade", "websocket") {
            return Err(HandshakeError::BadAnswer("Upgrade"));
        }
        if !has("connection", "upgrade") {
            return Err(HandshakeError::BadAnswer("Connection"));
        }
        let expected = accept(nonce);
        if !values("sec-websocket-accept").eq([expected.as_str()]) {
            return Err(HandshakeError::BadAnswer("Sec-WebSocket-Accept"));
        }
        if values("sec-websocket-extensions").any(|v| !v.is_empty()) {
            return Err(HandshakeError::BadAnswer("Sec-WebSocket-Extensions"));
        }
        let mut chosen = values("sec-websocket-protocol");
        match (chosen.next(), chosen.next()) {
            (None, _) => Ok(None),
            (Some(name), None) if self.subprotocols.iter().any(|s| s == name) => {
                Ok(Some(name.to_owned()))
            }
            _ => Err(HandshakeError::BadAnswer("Sec-WebSocket-Protocol")),
        }
    }
}

/// The `Sec-WebSocket-Accept` that answers the key made of `nonce`.
#[must_use]
pub fn accept(nonce: [u8; 16]) -> String {
    rfc6455::accept(&STANDARD.encode(nonce))
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
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
        ClientRequest::new("h", "/").subprotocol("a").check_response(head.as_bytes(), NONCE, 20)
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
}
