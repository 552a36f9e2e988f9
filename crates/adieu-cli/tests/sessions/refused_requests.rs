//! What is wrong with a request is said as JSON, whatever it is.

use serde_json::Value;

use crate::world::{API_KEY, Backend, Gateway, Page, Process, request};

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
