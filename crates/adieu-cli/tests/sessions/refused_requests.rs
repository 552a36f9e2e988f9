//! What is wrong with a request is said as JSON, whatever it is.

use serde_json::Value;

use crate::world::{API_KEY, Backend, Gateway, Page, Process, adieu, request};

#[tokio::test]
async fn each_error_of_the_api_is_json() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    let session = format!("/api/sessions/{}", page.session);
    let text = "Content-Type: text/plain\r\n";
    let big = "x".repeat((1 << 20) + 1);
    for (method, path, fields, body, status, said) in [
        ("GET", "/api/nothing", "", "", 404, "/api/nothing"),
        ("GET", "/api", "", "", 404, "/api"),
        ("GET", "/api/", "", "", 404, "/api/"),
        ("PUT", &*session, "", "", 405, "PUT"),
        ("GET", &format!("{session}/messages"), "", "", 405, "GET"),
        ("POST", &format!("{session}/messages"), text, &big, 413, "1048576"),
        ("DELETE", &format!("{session}?code=abc"), "", "", 400, "code"),
        ("DELETE", &format!("{session}?code=99999"), "", "", 400, "code"),
        ("GET", "/api/users/%ff", "", "", 400, "UTF-8"),
        ("POST", "/api/users/%ff/messages", text, "x", 400, "UTF-8"),
    ] {
        let fields = format!("Authorization: Bearer {API_KEY}\r\n{fields}");
        let (got, body) = request(gateway.addr, method, path, &fields, body).await;
        assert_eq!(got, status, "{method} {path}: {body}");
        let error: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        let error = error["error"].as_str().unwrap_or_else(|| panic!("{path}: {body}"));
        assert!(error.contains(said), "{method} {path}: {error}");
    }
    let (status, _) = request(gateway.addr, "GET", "/api/nothing", "", "").await;
    assert_eq!(status, 401, "what there is, only those hear that have the key");
    let (status, body) = request(gateway.addr, "GET", "/nothing", "", "").await;
    assert_eq!((status, &*body), (404, "there is nothing at this path\n"));
}

#[test]
fn pages_cannot_be_framed_nor_sessions_begun_by_another_site() {
    let gateway = Process::start(&[]);
    for path in ["/", "/session?user=x", "/away", "/page.css"] {
        let (head, _) = gateway.request("GET", path, "");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        assert!(head.contains("frame-ancestors 'none'"), "{path}: {head}");
    }
    for (site, status) in
        [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
    {
        let fields = format!("Sec-Fetch-Site: {site}\r\n");
        let (head, body) = gateway.request("GET", "/session?user=x", &fields);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{site}: {head} {body}");
    }
}

#[test]
fn guesses_of_the_key_are_counted_and_logged_and_no_program_is_given_a_cookie() {
    use base64::Engine as _;
    let mut command = adieu(&[]);
    command.env("ADIEU_API_KEY", API_KEY);
    let gateway = Process::spawn(command, &["--public-url", "https://chat.example.com"]);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let guess = "Authorization: Bearer not-the-key-of-the-tests\r\n";
                let (head, body) = gateway.request("GET", "/api/sessions", guess);
                assert!(head.starts_with("HTTP/1.1 401"), "{head}");
                assert!(body.contains("this key is wrong"), "{body}");
            });
        }
    });
    let bearer = format!("Authorization: Bearer {API_KEY}\r\n");
    let (_, metrics) = gateway.request("GET", "/metrics", &bearer);
    assert!(metrics.contains(r#"adieu_refused_total{by="key"} 20"#), "{metrics}");
    gateway.until_error("127.0.0.1 showed a key that is wrong");
    let log = gateway.errors();
    assert!(log.lines().count() < 10 && !log.contains("not-the-key"), "{log}");
    let (head, _) = gateway.request("GET", "/api/sessions", &bearer);
    assert!(!head.contains("set-cookie") && head.contains("cache-control: no-store"), "{head}");
    let password = base64::engine::general_purpose::STANDARD.encode(format!("me:{API_KEY}"));
    let password = format!("Authorization: Basic {password}\r\n");
    let (head, _) = gateway.request("GET", "/", &password);
    assert!(head.contains("; Secure") && head.contains("cache-control: no-cache"), "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = format!("{password}Cookie: {}\r\n", cookie.split(';').next().unwrap());
    let (head, _) = gateway.request("GET", "/", &cookie);
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("set-cookie"), "{head}");
}
