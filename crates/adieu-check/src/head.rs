//! Heads of requests and answers, written and read by hand. The testkit includes this file.

/// What answers the key of [`Request::rfc6455`] and [`Request::hybi`] (RFC 6455 §1.3).
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The eight bytes behind the head of a hixie-76 request, and the sixteen that answer them:
/// with the keys of [`Request::hixie76`] the vector on which five implementations agree.
pub const NONCE: (&[u8; 8], &[u8; 16]) = (b"^n:ds[4U", b"8jKS'y:G*Co,Wxa-");

/// A request for a WebSocket, as an old or new client writes it.
#[derive(Clone, Debug)]
pub struct Request {
    target: String,
    fields: Vec<(String, String)>,
}

impl Request {
    fn with(fields: &[(&str, &str)]) -> Self {
        let request = Request { target: "/".to_owned(), fields: Vec::new() };
        fields.iter().fold(request, |request, (name, value)| request.field(name, value))
    }

    /// RFC 6455 with the key of its §1.3, whose answer is `s3pPLMBiTxaQ9kYGzzhZRbK+xOo=`.
    #[must_use]
    pub fn rfc6455() -> Self {
        Self::with(&[
            ("Host", "example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ])
    }

    /// A hybi draft: version 7 or 8, with the origin in its own field and Firefox 6's list in
    /// `Connection`.
    #[must_use]
    pub fn hybi(version: u8) -> Self {
        Self::with(&[
            ("Host", "example.com"),
            ("Connection", "keep-alive, Upgrade"),
            ("Sec-WebSocket-Origin", "http://example.com"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", &version.to_string()),
            ("Upgrade", "websocket"),
        ])
    }

    /// hixie-76 without its nonce, which follows the head ([`NONCE`]).
    #[must_use]
    pub fn hixie76() -> Self {
        Self::with(&[
            ("Upgrade", "WebSocket"),
            ("Connection", "Upgrade"),
            ("Host", "example.com"),
            ("Origin", "http://example.com"),
            ("Sec-WebSocket-Key1", "4 @1  46546xW%0l 1 5"),
            ("Sec-WebSocket-Key2", "12998 5 Y3 1  .P00"),
        ])
    }

    /// hixie-75.
    #[must_use]
    pub fn hixie75() -> Self {
        Self::with(&[
            ("Upgrade", "WebSocket"),
            ("Connection", "Upgrade"),
            ("Host", "example.com"),
            ("Origin", "http://example.com"),
        ])
    }

    /// For another path and query.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// With one more field, behind the others.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With another value in a field that it has.
    #[must_use]
    pub fn set(self, name: &str, value: &str) -> Self {
        let had = self.fields.len();
        let request = self.without(name);
        assert!(request.fields.len() < had, "the request has no field {name}");
        request.field(name, value)
    }

    /// Whether it has a field.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(n, _)| n == name)
    }

    /// Without a field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(n, _)| n != name);
        self
    }

    /// The fields of the same request over HTTP/2: an extended CONNECT (RFC 8441 §5), which has
    /// neither a key nor what belongs to one connection of HTTP/1.1.
    #[must_use]
    pub fn extended_connect(&self, scheme: &str) -> Vec<(String, String)> {
        const OF_HTTP1: [&str; 4] = ["host", "upgrade", "connection", "sec-websocket-key"];
        let host = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("Host"));
        let authority = host.map_or("", |(_, value)| value.as_str());
        let first = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", scheme),
            (":path", &self.target),
            (":authority", authority),
        ];
        let first = first.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let others = self.fields.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
        let others = others.filter(|(name, _)| !OF_HTTP1.contains(&name.as_str()));
        first.into_iter().chain(others).collect()
    }

    /// The head's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let lines = self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let head = format!("GET {} HTTP/1.1\r\n{}\r\n", self.target, lines.collect::<String>());
        head.into_bytes()
    }
}

/// A head that was read: a request's or an answer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Everything up to the blank line, as sent.
    pub text: String,
}

impl Head {
    /// Splits the head off the front of `bytes`; gives its length with it.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        Some((Head { text }, end + 4))
    }

    /// The head of an answer over HTTP/2, written as one of HTTP/1.1 would be.
    #[must_use]
    pub fn of_http2(fields: &[(String, String)]) -> Self {
        let status = fields.iter().find(|(name, _)| name == ":status");
        let status = status.map_or("", |(_, value)| value.as_str());
        let others = fields.iter().filter(|(name, _)| !name.starts_with(':'));
        let lines = others.map(|(name, value)| format!("\r\n{name}: {value}"));
        Head { text: format!("HTTP/2 {status}{}", lines.collect::<String>()) }
    }

    /// The first line.
    #[must_use]
    pub fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// An answer's status, if this is an answer of HTTP.
    #[must_use]
    pub fn try_status(&self) -> Option<u16> {
        let (version, rest) = self.first_line().split_once(' ')?;
        let number = rest.split(' ').next()?.parse().ok()?;
        version.starts_with("HTTP/").then_some(number)
    }

    /// An answer's status.
    ///
    /// # Panics
    /// If this is no answer of HTTP.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.try_status().unwrap_or_else(|| panic!("no answer of HTTP: {:?}", self.text))
    }

    /// The values of all fields of this name.
    #[must_use]
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.text.lines().skip(1).filter_map(|line| line.split_once(':'));
        let named = fields.filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }

    /// The first field of this name.
    #[must_use]
    pub fn first_field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }

    /// The only field of this name.
    ///
    /// # Panics
    /// If there are two.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        assert!(self.fields(name).len() < 2, "two fields {name} in {:?}", self.text);
        self.first_field(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_split_off() {
        let bytes = b"HTTP/1.1 426 Upgrade Required\r\nA: b\r\n\r\nbody";
        let (head, len) = Head::parse(bytes).unwrap();
        assert_eq!((head.status(), head.field("a")), (426, Some("b")));
        assert_eq!(&bytes[len..], b"body");
    }

    #[test]
    fn over_http2_a_request_is_an_extended_connect() {
        let fields = Request::rfc6455().target("/chat").extended_connect("https");
        let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            lines,
            [
                ":method: CONNECT",
                ":protocol: websocket",
                ":scheme: https",
                ":path: /chat",
                ":authority: example.com",
                "sec-websocket-version: 13",
            ]
        );
        let answer = [(":status", "200"), ("server", "x")];
        let answer = answer.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let head = Head::of_http2(&answer);
        assert_eq!((head.try_status(), head.field("server")), (Some(200), Some("x")));
    }
}
