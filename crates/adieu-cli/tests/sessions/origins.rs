//! Pages of which sites may open a session, and what those hear that may not.

use crate::world::{Process, refused};

/// The status of a WebSocket of a page of this Origin, asked for by this name, and the body.
fn opens(gateway: &Process, path: &str, host: &str, origin: &str) -> (u16, String) {
    let request = testkit::Request::rfc6455().target(path).set("Host", host);
    let request = request.field("Origin", origin);
    let mut peer = testkit::Peer::connect(gateway.addr);
    peer.write(request.bytes());
    let head = peer.read_head();
    let length = head.field("Content-Length").map_or(0, |length| length.parse().unwrap());
    (head.status(), String::from_utf8(peer.read_exact(length)).unwrap())
}

#[test]
fn an_origin_that_matches_nothing_is_refused_at_the_start_with_what_to_write() {
    for (wrong, instead) in [
        ("example.com", "https://example.com"),
        ("*.example.com", "https://*.example.com"),
        ("https://example.com/app", "https://example.com"),
        ("https://example.com?a", "https://example.com"),
        ("https://me@example.com", "https://example.com"),
        ("wss://example.com", "https://example.com"),
        ("https://*", "--allow-origin '*'"),
        ("https://a*.example.com", "https://*.example.com"),
        ("https://a.*.com", "https://*.example.com"),
        ("https://bücher.example", "xn--"),
        ("https://example.com:99999", "99999"),
        ("null", "--allow-origin '*'"),
        ("https://", "https://example.com"),
        ("nonsense nonsense", "https://example.com"),
        ("", "https://example.com"),
    ] {
        let said = refused(&["serve", "--listen", "127.0.0.1:0", "--allow-origin", wrong]);
        assert!(said.contains(wrong) && said.contains(instead), "{wrong}: {said}");
    }
}

#[test]
fn origins_are_matched_as_browsers_mean_them() {
    let gateway = Process::start(&[
        "--allow-origin=https://*.example.com",
        "--allow-origin=https://a.test/",
        "--allow-origin=HTTPS://B.test:443",
        "--allow-origin=capacitor://localhost",
    ]);
    for (host, origin, status) in [
        // The own site, also with the port that its scheme has by default (RFC 6454 §4).
        ("example.org:443", "https://example.org", 101),
        ("example.org", "https://example.org:443", 101),
        ("example.org:80", "http://example.org", 101),
        ("example.org:443", "http://example.org", 403),
        ("example.org:8443", "https://example.org", 403),
        ("[::1]:8080", "http://[::1]:8080", 101),
        // Those that are named.
        ("gateway", "https://www.example.com", 101),
        ("gateway", "https://a.b.example.com", 101),
        ("gateway", "https://example.com", 403),
        ("gateway", "https://wwwexample.com", 403),
        ("gateway", "https://evil.test/.example.com", 403),
        ("gateway", "http://www.example.com", 403),
        ("gateway", "https://www.example.com:8443", 403),
        ("gateway", "https://a.test", 101),
        ("gateway", "https://b.test", 101),
        ("gateway", "capacitor://localhost", 101),
        ("gateway", "null", 403),
    ] {
        let (got, body) = opens(&gateway, "/ws", host, origin);
        assert_eq!(got, status, "{origin} at {host}: {body}");
    }
}

#[test]
fn a_page_that_is_refused_hears_why_and_the_operator_too() {
    let gateway = Process::start(&[]);
    for path in ["/ws", "/"] {
        let (status, body) = opens(&gateway, path, "inner:3000", "https://shop.example");
        assert_eq!(status, 403);
        for said in ["https://shop.example", "inner:3000", "--allow-origin https://shop.example"] {
            assert!(body.contains(said), "{path}: {body}");
        }
    }
    gateway.until_error("https://shop.example");
    let long = format!("https://{}.example", "x\u{1b}y".repeat(200));
    for _ in 0..100 {
        assert_eq!(opens(&gateway, "/ws", "a", "https://another.example").0, 403);
    }
    assert_ne!(opens(&gateway, "/ws", "a", &long).0, 101);
    assert!(gateway.metric(r#"adieu_refused_total{by="origin"}"#) >= 102.0);
    let log = gateway.errors();
    assert!(log.lines().count() < 10, "{log}");
    assert!(!log.contains('\u{1b}') && log.lines().all(|line| line.len() < 700), "{log}");
}

#[test]
fn with_a_public_url_a_page_under_another_name_is_not_the_gateways_own() {
    let gateway = Process::start(&["--public-url", "https://chat.example.com/"]);
    for (host, origin, status) in [
        ("chat.example.com", "https://chat.example.com", 101),
        // A proxy that changes the Host: the Origin says enough.
        ("inner:3000", "https://chat.example.com", 101),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", 101),
        ("localhost:8080", "http://localhost:8080", 101),
        // A name of somebody else that leads here (DNS rebinding).
        ("evil.example", "http://evil.example", 403),
        ("evil.example:443", "https://evil.example", 403),
        ("chat.example.com", "http://chat.example.com", 403),
    ] {
        let (got, body) = opens(&gateway, "/ws", host, origin);
        assert_eq!(got, status, "{origin} at {host}: {body}");
    }
    let (head, body) = gateway.request("GET", "/session", "Host: evil.example\r\n");
    assert!(head.starts_with("HTTP/1.1 403") && body.contains("--public-url"), "{head} {body}");
    assert!(gateway.request("GET", "/session", "").0.starts_with("HTTP/1.1 200"));
    let said = refused(&["serve", "--listen", "127.0.0.1:0", "--public-url", "chat.example.com"]);
    assert!(said.contains("https://chat.example.com"), "{said}");
}
