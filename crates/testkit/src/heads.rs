//! Heads of requests for a WebSocket, legal and illegal, and how each has to be answered. One table
//! for everything here that serves WebSockets: the library's server, an application of axum, and
//! the gateway.

use crate::Request;

/// A request, and what it has to be answered.
#[derive(Debug)]
pub struct HeadRow {
    /// What is special about it.
    pub what: &'static str,
    /// Where that is ruled.
    pub section: &'static str,
    /// The head, and for hixie-76 the nonce behind it. Its path is `/ws`.
    pub bytes: Vec<u8>,
    /// The status of the answer.
    pub status: u16,
    /// The status where an HTTP library has read the request before us, and why it is another.
    pub through_http: Option<(u16, &'static str)>,
}

impl HeadRow {
    /// The status of the answer where an HTTP library has read the request.
    #[must_use]
    pub fn status_through_http(&self) -> u16 {
        self.through_http.map_or(self.status, |(status, _)| status)
    }

    fn through_http(mut self, status: u16, why: &'static str) -> Self {
        self.through_http = Some((status, why));
        self
    }
}

const HOST: &str = "RFC 9112 3.2";
const TARGET: &str = "RFC 9112 3.2.1";
const ABSOLUTE: &str = "RFC 9112 3.2.2";
const FIELD: &str = "RFC 9112 5.1";
const LENGTH: &str = "RFC 9112 6.3";
const REQUEST: &str = "RFC 6455 4.2.1";
const ONCE: &str = "RFC 6455 11.3";
const METHOD: &str = "RFC 9110 9.3";
const HIXIE: &str = "hybi-00 5.2";

fn bytes(what: &'static str, section: &'static str, bytes: Vec<u8>, status: u16) -> HeadRow {
    HeadRow { what, section, bytes, status, through_http: None }
}

fn row(what: &'static str, section: &'static str, request: &Request, status: u16) -> HeadRow {
    bytes(what, section, request.bytes(), status)
}

/// The request of RFC 6455 with some of its text replaced.
fn with(what: &'static str, section: &'static str, replace: (&str, &str), status: u16) -> HeadRow {
    let request = String::from_utf8(ws().bytes()).expect("heads are text");
    assert!(request.contains(replace.0), "{what}");
    bytes(what, section, request.replacen(replace.0, replace.1, 1).into_bytes(), status)
}

fn ws() -> Request {
    Request::rfc6455().target("/ws")
}

fn hixie76() -> Request {
    Request::hixie76().target("/ws")
}

fn hixie75() -> Request {
    Request::hixie75().target("/ws")
}

/// The rows.
#[must_use]
pub fn heads() -> Vec<HeadRow> {
    [targets(), hosts(), fields(), bodies(), handshakes(), old_versions(), methods()]
        .into_iter()
        .flatten()
        .collect()
}

fn targets() -> Vec<HeadRow> {
    vec![
        row("origin-form", TARGET, &ws(), 101),
        row("origin-form with a query", TARGET, &ws().target("/ws?a=b%20c&d"), 101),
        row("@ in the query", "RFC 3986 3.4", &ws().target("/ws?email=a@b.example"), 101),
        row("absolute-form, ws://", ABSOLUTE, &ws().target("ws://example.com/ws?a=b"), 101),
        row("absolute-form, HTTP:// in capitals", ABSOLUTE, &ws().target("HTTP://a.b:1/ws"), 101),
        row("absolute-form, another scheme", ABSOLUTE, &ws().target("ftp://example.com/ws"), 400),
        row("absolute-form, no host", ABSOLUTE, &ws().target("ws:///ws"), 400),
        row("absolute-form, user information", "RFC 9110 4.2.4", &ws().target("ws://u@h/ws"), 400),
        row("authority-form", "RFC 9112 3.2.3", &ws().target("example.com:80"), 400)
            .through_http(404, "no route of the application has it"),
        row("asterisk-form", "RFC 9112 3.2.4", &ws().target("*"), 400)
            .through_http(404, "no route of the application has it"),
        row("no leading slash", TARGET, &ws().target("ws"), 400)
            .through_http(404, "no route of the application has it"),
        row("a fragment", TARGET, &ws().target("/ws#part"), 400)
            .through_http(101, "the library http drops the fragment"),
        row("a blank in the target", "RFC 9112 3", &ws().target("/ws b"), 400),
        bytes(
            "a byte that is not ASCII in the target",
            TARGET,
            [b"GET /ws?\xff HTTP/1.1\r\n".to_vec(), ws().bytes()[18..].to_vec()].concat(),
            400,
        ),
    ]
}

fn hosts() -> Vec<HeadRow> {
    let host = |what, value, status| row(what, HOST, &ws().set("Host", value), status);
    vec![
        row("no Host", HOST, &ws().without("Host"), 400),
        host("an empty Host", "", 400),
        row("two Hosts that differ", HOST, &ws().field("Host", "other.example"), 400),
        row("the same Host twice", HOST, &ws().field("host", "example.com"), 400),
        host("a Host with a blank", "a b", 400),
        host("a Host with a path", "example.com/x", 400),
        host("a Host with user information", "u@example.com", 400),
        host("two Hosts in one field", "a.example, b.example", 400),
        host("a port that is no number", "example.com:http", 400),
        host("a byte that is not ASCII in the Host", "gr\u{fc}\u{df}e.example", 400),
        host("an underscore in the Host", "my_service.example:8080", 101),
        host("an IPv6 address as Host", "[::1]:8080", 101),
        host("an IPv6 address without brackets", "::1", 400),
        host("an empty port", "example.com:", 101),
    ]
}

fn fields() -> Vec<HeadRow> {
    vec![
        with("a blank before the colon", FIELD, ("Upgrade: ", "Upgrade : "), 400),
        with("a field name with a blank", FIELD, ("Upgrade: ", "Up grade: "), 400),
        with("an empty field name", FIELD, ("Upgrade: ", "x: y\r\n: z\r\nUpgrade: "), 400),
        with("no blank behind the colon", FIELD, ("Upgrade: ", "Upgrade:"), 101),
        with("tabs around a value", FIELD, ("Upgrade: websocket", "Upgrade:\twebsocket\t"), 101),
        with("a folded line", "RFC 9112 5.2", ("Upgrade: ", "X: a\r\n b\r\nUpgrade: "), 400),
        with("a NUL in a value", "RFC 9110 5.5", ("Upgrade: ", "X: a\0b\r\nUpgrade: "), 400),
        with("a bare CR in a value", "RFC 9112 2.2", ("Upgrade: ", "X: a\rb\r\nUpgrade: "), 400),
        with("lines that end with LF", "RFC 9112 2.2", ("websocket\r\n", "websocket\n"), 101),
        with("an empty line in front", "RFC 9112 2.2", ("GET ", "\r\nGET "), 101),
        with("HTTP/1.0", "RFC 6455 4.2.1", ("HTTP/1.1", "HTTP/1.0"), 400),
        with("HTTP/2.0", "RFC 9112 2.3", ("HTTP/1.1", "HTTP/2.0"), 400),
        with("http/1.1 in small letters", "RFC 9112 2.3", ("HTTP/1.1", "http/1.1"), 400),
        // The beginning of a ClientHello, in which no line ends.
        bytes("a TLS record", "RFC 9112 3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(), 400),
        row("20 KiB of cookies", "RFC 6585 5", &ws().field("Cookie", &"x".repeat(20_480)), 431)
            .through_http(101, "the limit is the HTTP library's"),
    ]
}

fn bodies() -> Vec<HeadRow> {
    let length =
        |what, value, status| row(what, LENGTH, &ws().field("Content-Length", value), status);
    let coded = |coding| ws().field("Transfer-Encoding", coding);
    vec![
        length("Content-Length: 0", "0", 101),
        length("Content-Length: 5", "5", 400),
        length("Content-Length: nonsense", "nonsense", 400),
        length("Content-Length: +0", "+0", 400),
        length("Content-Length: -1", "-1", 400),
        length("an empty Content-Length", "", 400),
        row(
            "two lengths that differ",
            LENGTH,
            &ws().field("Content-Length", "0").field("Content-Length", "5"),
            400,
        ),
        row("chunked", LENGTH, &coded("chunked"), 400),
        row("a transfer coding that nobody knows", LENGTH, &coded("x"), 400),
        row("chunked and a length", LENGTH, &coded("chunked").field("Content-Length", "0"), 400),
    ]
}

fn handshakes() -> Vec<HeadRow> {
    let set = |what, name, value, status| row(what, REQUEST, &ws().set(name, value), status);
    let twice = |what, name, value| row(what, ONCE, &ws().field(name, value), 400);
    vec![
        row("no Upgrade", REQUEST, &ws().without("Upgrade"), 426),
        set("Upgrade: h2c", "Upgrade", "h2c", 426),
        set("Upgrade as a list", "Upgrade", "h2c, WebSocket", 101),
        row("no Connection", REQUEST, &ws().without("Connection"), 400),
        set("Connection without Upgrade", "Connection", "keep-alive", 400),
        set("Connection as a list", "Connection", "keep-alive, Upgrade", 101),
        row("no key", REQUEST, &ws().without("Sec-WebSocket-Key"), 400),
        set("a key of 5 bytes", "Sec-WebSocket-Key", "c2hvcnQ=", 400),
        set("a key that is no base64", "Sec-WebSocket-Key", "not base64 at all", 400),
        twice("two keys that differ", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        twice("the same key twice", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        row("no version", REQUEST, &ws().without("Sec-WebSocket-Version"), 400),
        set("version 14", "Sec-WebSocket-Version", "14", 426),
        set("version -1", "Sec-WebSocket-Version", "-1", 426),
        twice("two versions", "Sec-WebSocket-Version", "8"),
        row(
            "two Origins",
            "RFC 6454 7.3",
            &ws().field("Origin", "http://example.com").field("Origin", "http://b.example"),
            400,
        ),
        row("an Origin", REQUEST, &ws().field("Origin", "http://example.com"), 101),
        row(
            "an extension that nobody knows",
            "RFC 6455 9.1",
            &ws().field("Sec-WebSocket-Extensions", "x-unknown; a=\"b\""),
            101,
        ),
        row(
            "a subprotocol that is not served",
            "RFC 6455 4.2.2",
            &ws().field("Sec-WebSocket-Protocol", "unknown.v1"),
            101,
        ),
        row(
            "Expect: 100-continue without a body",
            "RFC 9110 10.1.1",
            &ws().field("Expect", "100-continue"),
            101,
        ),
    ]
}

fn old_versions() -> Vec<HeadRow> {
    let no_origin = Request::hybi(8).target("/ws").without("Sec-WebSocket-Origin");
    let nonce = |what, request: Request, status| {
        let head = [request.bytes(), crate::NONCE.0.to_vec()].concat();
        bytes(what, HIXIE, head, status)
    };
    vec![
        row("hybi-07", REQUEST, &Request::hybi(7).target("/ws"), 101),
        row("hybi-08", REQUEST, &Request::hybi(8).target("/ws"), 101),
        row("hybi-08 without Origin", REQUEST, &no_origin, 101),
        nonce("hixie-76", hixie76(), 101),
        nonce("hixie-76 with a length", hixie76().field("Content-Length", "8"), 101),
        nonce("hixie-76 with a wrong length", hixie76().field("Content-Length", "9"), 400),
        nonce("hixie-76 without Origin", hixie76().without("Origin"), 101),
        nonce("hixie-76 with one key", hixie76().without("Sec-WebSocket-Key2"), 400),
        nonce("hixie-76 with a key twice", hixie76().field("Sec-WebSocket-Key1", "1 2"), 400),
        row("hixie-75", "hixie-75", &hixie75(), 101)
            .through_http(400, "its answer is compared byte by byte"),
        row("hixie-75 without Origin", "hixie-75", &hixie75().without("Origin"), 101)
            .through_http(400, "its answer is compared byte by byte"),
        row("hixie-75 with a body", "hixie-75", &hixie75().field("Content-Length", "5"), 400),
    ]
}

fn methods() -> Vec<HeadRow> {
    vec![
        with("HEAD", METHOD, ("GET ", "HEAD "), 426),
        with("POST", METHOD, ("GET ", "POST "), 405),
        with("a method in small letters", METHOD, ("GET ", "get "), 405),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_stands_there_twice() {
        let rows = heads();
        for (i, row) in rows.iter().enumerate() {
            assert!(rows[..i].iter().all(|other| other.what != row.what), "{}", row.what);
            assert!(rows[..i].iter().all(|other| other.bytes != row.bytes), "{}", row.what);
        }
    }
}
