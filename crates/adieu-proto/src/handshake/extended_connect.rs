//! The client's side of RFC 8441: the request for a WebSocket as an extended CONNECT, and what the
//! answer to it has to say.

use std::fmt;

use crate::config::{Config, defaults};
use crate::error::{HandshakeError, UsageError};
use crate::handshake::{ClientRequest, Refusal, ResponseHead};
use crate::negotiated::Negotiated;

/// Fields that HTTP/2 does not have, or not with any value (RFC 9113 §8.2.2): `Connection`,
/// `Upgrade` and `Transfer-Encoding` are refused by [`ClientRequest::check`] already.
const OF_HTTP_1: [&str; 3] = ["keep-alive", "proxy-connection", "te"];

/// A request for a WebSocket as an extended CONNECT (RFC 8441 §4, §5): what a client gives to its
/// library of HTTP/2, which writes the field block.
///
/// `:method` is `CONNECT`, `:protocol` is `websocket`, and `:scheme` is `https`, for this is for
/// `wss://`. There is no `Sec-WebSocket-Key`, and no `Sec-WebSocket-Accept` answers it (§5).
///
/// ```
/// use adieu_proto::{ClientRequest, Config};
/// let request = ClientRequest::new("example.com", "/chat?room=1").subprotocol("chat.v1");
/// let asked = request.extended_connect(&Config::default())?;
/// assert_eq!((&*asked.authority, &*asked.path), ("example.com", "/chat?room=1"));
/// let version = ("sec-websocket-version".to_owned(), "13".to_owned());
/// let protocol = ("sec-websocket-protocol".to_owned(), "chat.v1".to_owned());
/// assert_eq!(asked.fields, [version, protocol]);
/// # Ok::<(), adieu_proto::UsageError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ExtendedConnect {
    /// `:authority`: the host, with its port if that is not the scheme's own. A `Host` of the
    /// caller's stands here.
    pub authority: String,
    /// `:path`: path and query.
    pub path: String,
    /// The fields in their order, with their names in small letters (RFC 9113 §8.2.1).
    pub fields: Vec<(String, String)>,
}

impl fmt::Debug for ExtendedConnect {
    /// Query and fields may hold secrets and do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "ExtendedConnect({}{path}; {} fields)", self.authority, self.fields.len())
    }
}

/// The head of the answer to an [`ExtendedConnect`], as a library of HTTP/2 has read it. Interim
/// responses are the library's to skip (RFC 9113 §8.1).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ConnectAnswer {
    /// `:status`.
    pub status: u16,
    /// The fields in their order.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl fmt::Debug for ConnectAnswer {
    /// Fields may hold cookies and do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectAnswer({}; {} fields)", self.status, self.fields.len())
    }
}

impl ClientRequest {
    /// The same request for a stream of HTTP/2. What is offered of extensions follows from the
    /// settings, as over HTTP/1.1. The answer goes to
    /// [`Connection::answered`](crate::Connection::answered).
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn extended_connect(&self, config: &Config) -> Result<ExtendedConnect, UsageError> {
        self.check()?;
        #[cfg(feature = "deflate")]
        let offer = config.deflate.as_ref().map(crate::deflate::offer);
        #[cfg(not(feature = "deflate"))]
        let (offer, _): (Option<String>, _) = (None, config);
        let mut fields = vec![("sec-websocket-version".to_owned(), "13".to_owned())];
        self.each_field(offer.as_deref(), |name, value| {
            let name = name.to_ascii_lowercase();
            if !OF_HTTP_1.contains(&name.as_str()) {
                fields.push((name, value.trim().to_owned()));
            }
        });
        let (authority, path) = (self.host().to_owned(), self.target().to_owned());
        Ok(ExtendedConnect { authority, path, fields })
    }

    /// Checks the head of a 200 and gives what it agrees on. `extended`: whether we have offered an
    /// extension.
    pub(crate) fn check_connected(
        &self,
        answer: &ConnectAnswer,
        extended: bool,
    ) -> Result<Negotiated, HandshakeError> {
        let field = |(name, value)| httparse::Header { name, value };
        let fields = answer.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let fields: Vec<_> = fields.map(field).collect();
        let mut negotiated = self.agreed(&fields, extended)?;
        // It is for `wss://`.
        negotiated.secure = true;
        Ok(negotiated)
    }
}

impl ConnectAnswer {
    /// Whether it opens a WebSocket: 200, as over HTTP/1.1 a 101 and nothing else does.
    pub(crate) fn agrees(&self) -> bool {
        self.status == 200
    }

    /// The limits of a head over HTTP/1.1.
    pub(crate) fn check_length(&self, max_head: usize) -> Result<(), HandshakeError> {
        if self.fields.len() > defaults::MAX_FIELDS {
            return Err(HandshakeError::TooManyFields(defaults::MAX_FIELDS));
        }
        if self.head().len() > max_head {
            return Err(HandshakeError::HeadTooLong(max_head));
        }
        Ok(())
    }

    /// A refusal whose body is still to come.
    pub(crate) fn into_refusal(self) -> Refusal {
        let mut refusal = Refusal::new(self.status);
        refusal.headers = self.fields;
        refusal
    }

    /// As a head of HTTP/1.1 would be written.
    pub(crate) fn into_head(self) -> ResponseHead {
        ResponseHead::new(self.head())
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/2 {}\r\n", self.status).into_bytes();
        for (name, value) in &self.fields {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: &ClientRequest) -> Vec<(String, String)> {
        request.extended_connect(&Config::default()).expect("a request").fields
    }

    fn of<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
        let named = fields.iter().filter(|(n, _)| n == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    fn answer(fields: &[(&str, &str)]) -> ConnectAnswer {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        ConnectAnswer { status: 200, fields: fields.iter().map(field).collect() }
    }

    #[test]
    fn an_extended_connect_has_the_fields_of_the_request_and_no_key() {
        let request = ClientRequest::new("h:8443", "/p?q").subprotocol("a").subprotocol("b");
        let request = request.header("Cookie", "x=y").header("Keep-Alive", "5").header("TE", "a");
        let request = request.header("Origin", "https://o").header("X-Y", " z ");
        let fields = asked(&request);
        assert_eq!(of(&fields, "sec-websocket-version"), ["13"]);
        assert_eq!(of(&fields, "sec-websocket-protocol"), ["a, b"]);
        assert_eq!(of(&fields, "cookie"), ["x=y"]);
        assert_eq!(of(&fields, "origin"), ["https://o"]);
        assert_eq!(of(&fields, "x-y"), ["z"], "RFC 9113 section 8.2.1: no space around it");
        for none in ["sec-websocket-key", "upgrade", "connection", "host", "keep-alive", "te"] {
            assert!(of(&fields, none).is_empty(), "{none}");
        }
    }

    #[test]
    fn a_host_of_the_callers_is_the_authority() {
        let request = ClientRequest::new("h", "/").header("Host", "other:1");
        let asked = request.extended_connect(&Config::default()).unwrap();
        assert_eq!(asked.authority, "other:1");
        assert!(of(&asked.fields, "host").is_empty());
        assert!(!format!("{request:?} {asked:?}").contains("other:1/?"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_as_over_http_1() {
        let request = ClientRequest::new("h", "/").header("Upgrade", "x");
        let refused = request.extended_connect(&Config::default());
        assert_eq!(refused.err(), request.check().err());
        assert!(request.check().is_err());
    }

    #[test]
    fn only_what_was_offered_is_accepted_and_a_key_is_not_asked_for() {
        let request = ClientRequest::new("h", "/").subprotocol("a");
        let check = |fields: &[(&str, &str)]| {
            let agreed = request.check_connected(&answer(fields), false);
            agreed.map(|negotiated| negotiated.subprotocol)
        };
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&[("sec-websocket-accept", "x")]), Ok(None), "nothing is expected of it");
        assert_eq!(check(&[("sec-websocket-protocol", "a")]), Ok(Some("a".to_owned())));
        let other = check(&[("sec-websocket-protocol", "b")]);
        assert_eq!(other, Err(HandshakeError::BadAnswer("Sec-WebSocket-Protocol")));
        let extension = check(&[("sec-websocket-extensions", "permessage-deflate")]);
        assert_eq!(extension, Err(HandshakeError::BadAnswer("Sec-WebSocket-Extensions")));
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn compression_is_offered_and_agreed_on_as_over_http_1() {
        let config = Config { deflate: Some(crate::Deflate::default()), ..Config::default() };
        let request = ClientRequest::new("h", "/");
        let asked = request.extended_connect(&config).unwrap();
        let offers = of(&asked.fields, "sec-websocket-extensions");
        assert!(offers[0].starts_with("permessage-deflate"), "{offers:?}");
        let agrees = answer(&[("sec-websocket-extensions", "permessage-deflate")]);
        assert!(request.check_connected(&agrees, true).unwrap().deflate.is_some());
    }

    #[test]
    fn an_answer_has_the_limits_of_a_head() {
        let long = answer(&[("x", &"y".repeat(2000))]);
        assert_eq!(long.check_length(1000), Err(HandshakeError::HeadTooLong(1000)));
        assert_eq!(long.check_length(3000), Ok(()));
        let many = answer(&vec![("x", "y"); defaults::MAX_FIELDS + 1]);
        let too_many = HandshakeError::TooManyFields(defaults::MAX_FIELDS);
        assert_eq!(many.check_length(1 << 20), Err(too_many));
    }

    #[test]
    fn an_answer_is_kept_as_a_head() {
        let head = answer(&[("set-cookie", "a=b")]).into_head();
        assert_eq!(head.status_line(), b"HTTP/2 200");
        assert_eq!(head.header("Set-Cookie"), Some("a=b"));
    }
}
