//! The log: as text and as JSON, refusals with the ids of their requests, and not many of them.

use serde_json::Value;

use crate::peers::{backend_with_heads, told_to};
use crate::world::{Adieu, Answer, KEY, adieu};

/// Asks for a WebSocket of a version that there is none of.
const WRONG_VERSION: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: \
    dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 99\r\n";

fn serve_at(level: &str, options: &[&str]) -> Adieu {
    let mut command = adieu(&[&["serve", "--listen", "127.0.0.1:0"], options].concat());
    command.env("RUST_LOG", level);
    Adieu::spawn(command)
}

fn json(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

#[test]
fn with_the_format_json_each_line_of_both_streams_is_an_object() {
    let mut gateway = serve_at("debug", &["--log-format", "json"]);
    let refused = "Upgrade: websocket\r\nOrigin: https://shop.example\r\n";
    let answer = gateway.get("/", refused);
    assert_eq!(answer.status(), 403);
    gateway.until_error("shop.example");
    gateway.stop();
    let said = json(&gateway.said());
    assert!(said[0]["message"].as_str().unwrap().contains("listening on http://"), "{said:?}");
    assert_eq!(said[0]["level"], "INFO");
    let log = json(&gateway.errors());
    let of_request = |line: &&Value| line["request_id"].is_string();
    let line = log.iter().find(of_request).unwrap_or_else(|| panic!("{log:?}"));
    assert_eq!(line["request_id"], answer.field("x-request-id").unwrap());
    assert!(line["message"].as_str().unwrap().contains("--allow-origin https://shop.example"));
    for (name, value) in [("level", "WARN"), ("method", "GET"), ("path", "/")] {
        assert_eq!(line[name], value, "{line}");
    }
    assert!(line["timestamp"].is_string() && line["target"].is_string(), "{line}");
}

#[test]
fn text_is_the_default() {
    let mut gateway = serve_at("debug", &[]);
    gateway.stop();
    assert!(gateway.said().starts_with("adieu is listening on http://"), "{}", gateway.said());
}

#[test]
fn each_kind_of_refusal_has_a_line_and_few_of_them() {
    let mut command = adieu(&["serve", "--listen", "127.0.0.1:0", "--max-connections", "1"]);
    command.env("RUST_LOG", "info").env("ADIEU_API_KEY", KEY);
    let mut gateway = Adieu::spawn(command);
    for _ in 0..50 {
        assert_eq!(gateway.get("/ws?token=secret", WRONG_VERSION).status(), 426);
        assert_eq!(gateway.get("/api/sessions", "").status(), 401);
    }
    let wrong = "Authorization: Bearer not-the-key-of-the-tests\r\n";
    assert_eq!(gateway.get("/api/sessions", wrong).status(), 401);
    let _one = testkit::Peer::open_with(gateway.addr(), &testkit::Request::rfc6455().target("/ws"));
    let mut second = testkit::Peer::connect(gateway.addr());
    second.write(testkit::Request::rfc6455().target("/ws").bytes());
    assert_eq!(second.read_head().status(), 503);
    for (said, level) in [
        ("answered 426: its WebSocket version is not served", "INFO"),
        ("answered 401: no key was shown", "INFO"),
        ("answered 401: 127.0.0.1 showed a key that is wrong", "WARN"),
        ("answered 503: the server has as many connections as it may have (--max-conn", "WARN"),
    ] {
        gateway.until_error(said);
        let log = gateway.errors();
        let line = log.lines().find(|line| line.contains(said)).unwrap();
        assert!(line.contains(level) && line.contains("request_id="), "{line}");
    }
    gateway.signal("KILL");
    gateway.ended();
    let log = gateway.errors();
    // A line each 10 s of each kind, however long this has taken.
    assert!(log.lines().filter(|line| line.contains("answered 426")).count() < 25, "{log}");
    assert!(!log.contains("secret") && !log.contains("not-the-key"), "{log}");
}

#[test]
fn what_is_left_out_of_the_log_is_the_clients_business() {
    let gateway = serve_at("warn", &[]);
    assert_eq!(gateway.get("/ws", WRONG_VERSION).status(), 426);
    assert_eq!(gateway.get("/nothing", "").status(), 404);
    let afar = gateway.get("/", "X-Forwarded-For: 203.0.113.7\r\n");
    assert_eq!(afar.status(), 403);
    gateway.until_error("answered 403: without a key");
    let log = gateway.errors();
    assert!(!log.contains("answered 426") && !log.contains("answered 404"), "{log}");
}

#[test]
fn an_id_of_a_proxy_is_kept_and_another_is_made() {
    let gateway = serve_at("info", &[]);
    for (given, kept) in [("abc-1.x", true), ("a b", false), ("\"quoted\"", false)] {
        let fields = format!("X-Request-Id: {given}\r\n{WRONG_VERSION}");
        for target in ["/ws", "/healthz", "/nothing"] {
            let answer = gateway.get(target, &fields);
            let id = answer.field("x-request-id").unwrap();
            assert_eq!(id == given, kept, "{target}: {given} became {id}");
            assert!(!id.contains([' ', '"']), "{id}");
        }
    }
    gateway.until_error("request_id=\"abc-1.x\"");
    let (first, second) = (gateway.get("/healthz", ""), gateway.get("/healthz", ""));
    assert_ne!(first.field("x-request-id"), second.field("x-request-id"));
}

#[test]
fn the_backend_hears_the_id_of_the_request_that_it_is_asked_about() {
    for (subprotocol, status, said) in [
        ("", 403, "answered 403: the backend has refused the client"),
        // A page can read no status: it is told when its WebSocket is open.
        ("Sec-WebSocket-Protocol: adieu.v1\r\n", 101, "refused: the backend has refused a session"),
    ] {
        let (url, heads) = backend_with_heads(403, r#"{"reason":"no seats left"}"#);
        let gateway = told_to(&url);
        let mut peer = testkit::Peer::connect(gateway.addr());
        let fields = format!("X-Request-Id: abc-1.x\r\n{subprotocol}Upgrade: websocket\r\n");
        peer.write(format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ));
        let head = peer.read_head();
        assert_eq!((head.status(), head.field("x-request-id")), (status, Some("abc-1.x")));
        assert!(heads.recv().unwrap().contains("\r\nx-request-id: abc-1.x\r\n"));
        gateway.until_error(said);
        let log = gateway.errors();
        let line = log.lines().find(|line| line.contains(said)).unwrap();
        assert!(line.contains("request_id=\"abc-1.x\""), "{line}");
        assert!(!log.contains("no seats left"), "{log}");
    }
}

#[test]
fn a_method_that_a_stranger_has_made_up_is_cut_like_a_path() {
    let gateway = serve_at("info", &[]);
    let (method, path) = ("M".repeat(8_000), "p".repeat(4_000));
    let mut peer = testkit::Peer::connect(gateway.addr());
    peer.write(format!("{method} /sessions/{path}/lose-network HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(peer.read_head().status(), 403, "a name that is not of this machine");
    gateway.until_error("answered 403");
    let log = gateway.errors();
    assert!(log.contains("MMM") && log.contains("ppp") && log.len() < 1_500, "{log}");
}

#[test]
fn what_is_no_http_is_logged_without_its_bytes() {
    let gateway = serve_at("info", &[]);
    let mut peer = testkit::Peer::connect(gateway.addr());
    // A ClientHello of TLS begins so.
    peer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret");
    peer.read_to_end();
    gateway.until_error("is it TLS? This port has none");
    assert!(!gateway.errors().contains("secret"), "{}", gateway.errors());
}

#[test]
fn a_level_that_cannot_be_read_is_said_with_how_to_write_one() {
    let gateway = serve_at("verbose=loud", &[]);
    gateway.until_error("RUST_LOG=verbose=loud");
    gateway.until_error("warn,adieu_gateway=debug");
    let answer = Answer::of(
        std::net::TcpStream::connect(gateway.addr()).unwrap(),
        "GET",
        "/",
        "X-Forwarded-For: 203.0.113.7\r\n",
        "",
    );
    assert_eq!(answer.status(), 403);
    gateway.until_error("answered 403");
}

#[test]
fn a_word_that_is_no_level_is_told_with_the_levels() {
    let gateway = serve_at("warning", &[]);
    gateway.until_error("\"warning\" is no level");
    gateway.until_error("the levels are error, warn, info, debug and trace");
}
