//! The API, health, metrics, and who may see them.

use serde_json::{Value, json};

use crate::world::{API_KEY, Backend, Gateway, Page, request};

#[tokio::test]
async fn the_api_sends_shows_and_ends() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let (mut one, mut two) = (Page::of("anna"), Page::of("anna"));
    one.connect(&gateway.url()).await;
    two.connect(&gateway.url()).await;
    let (status, body) = gateway.request("POST", "/api/users/anna/messages", "to both").await;
    assert_eq!((status, body.as_str()), (202, r#"{"sessions":2}"#));
    one.receive(1).await;
    two.receive(1).await;
    assert_eq!((&one.received, &two.received), (&vec!["to both".into()], &vec!["to both".into()]));
    // Heard in this order: when the message is acknowledged, the acknowledgement was heard.
    one.acknowledge().await;
    one.say("a").await;
    one.all_acknowledged().await;
    let show = async |path: String| {
        let (status, body) = gateway.request("GET", &path, "").await;
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (status, shown) = show(format!("/api/sessions/{}", one.session)).await;
    assert_eq!(status, 200);
    for (name, value) in [
        ("userId", json!("anna")),
        ("attached", json!(true)),
        ("generation", json!(1)),
        ("sent", json!(1)),
        ("unacknowledged", json!(0)),
        ("received", json!(1)),
        ("until", Value::Null),
    ] {
        assert_eq!(shown[name], value, "{name} in {shown}");
    }
    two.hide().await;
    // The page sees the end of its connection before the gateway does.
    gateway.until_metric("adieu_sessions_away", 1.0).await;
    let (_, shown) = show(format!("/api/sessions/{}", two.session)).await;
    assert_eq!((&shown["attached"], &shown["departure"]), (&json!(false), &json!("hidden")));
    assert!(shown["until"].as_u64() > shown["startedAt"].as_u64(), "{shown}");
    let (_, list) = show("/api/users/anna".into()).await;
    assert_eq!(list["sessions"].as_array().unwrap().len(), 2);
    let (status, body) = gateway.request("DELETE", "/api/users/anna?code=4000", "").await;
    assert_eq!((status, body.as_str()), (200, r#"{"sessions":2}"#));
    assert_eq!(one.closed_with().await.0, 4000);
    backend.end_of(&two.session).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    let session = format!("/api/sessions/{}", page.session);
    let nobody = "/api/sessions/AAAAAAAAAAAAAAAAAAAAAA";
    for (method, path, status, said) in [
        ("GET", "/api/sessions/short", 400, "22 characters"),
        ("GET", nobody, 404, "no such session"),
        ("POST", &format!("{nobody}/messages"), 404, "no such session"),
        ("POST", "/api/users/nobody/messages", 404, "nobody"),
        ("DELETE", &format!("{session}?code=1005"), 400, "1005"),
        ("DELETE", &format!("{session}?reason=x"), 400, "a reason needs a code"),
    ] {
        let (got, body) = gateway.request(method, path, "x").await;
        assert_eq!(got, status, "{method} {path}: {body}");
        assert!(body.contains(said), "{method} {path}: {body}");
    }
    let auth = format!("Authorization: Bearer {API_KEY}\r\n");
    let odd = format!("{auth}Content-Type: image/png\r\n");
    let messages = format!("{session}/messages");
    let (status, body) = request(gateway.addr, "POST", &messages, &odd, "x").await;
    assert!(status == 415 && body.contains("image/png"), "{status} {body}");
    let text = format!("{auth}Content-Type: text/plain\r\n");
    let (status, _) = request(gateway.addr, "POST", &messages, &text, &"x".repeat(2 << 20)).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn nobody_is_served_without_the_key_but_health() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    for (path, fields, status) in [
        ("/", "", 401),
        ("/endings", "", 401),
        ("/api/sessions", "", 401),
        ("/metrics", "", 401),
        ("/api/sessions", "Authorization: Bearer wrong\r\n", 401),
        ("/healthz", "", 200),
        ("/readyz", "", 200),
    ] {
        let (got, body) = request(gateway.addr, "GET", path, fields, "").await;
        assert_eq!(got, status, "{path} {fields}: {body}");
        assert!(status == 200 || body.contains("ADIEU_API_KEY"), "{path}: {body}");
    }
    let (status, _) = gateway.request("GET", "/", "").await;
    assert_eq!(status, 200, "the page, with the key");
}

#[tokio::test]
async fn metrics_count_endings_and_resumes_by_what_they_were() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    page.hide().await;
    page.connect(&gateway.url()).await;
    page.close(1000).await;
    backend.end_of(&page.session).await;
    page.connect(&gateway.url()).await;
    let metric = async |name: &str| gateway.metric(name).await;
    let hidden = r#"initiator="client",mechanism="close_frame",code="4001""#;
    gateway.until_metric(&format!("adieu_connection_endings_total{{{hidden}}}"), 1.0).await;
    let resumed = r#"result="resumed",reason="""#;
    assert_eq!(metric(&format!("adieu_session_resumes_total{{{resumed}}}")).await, 1.0);
    let expired = r#"result="new_session",reason="expired""#;
    assert_eq!(metric(&format!("adieu_session_resumes_total{{{expired}}}")).await, 1.0);
    assert_eq!(metric(r#"adieu_sessions_ended_total{cause="left"}"#).await, 1.0);
    assert_eq!(metric("adieu_sessions_attached").await, 1.0);
    gateway.until_no_more("adieu_events_queued", 0.0).await;
}

#[tokio::test]
async fn a_form_of_another_site_does_not_act_with_the_password_that_the_browser_keeps() {
    use base64::Engine as _;
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::of("anna");
    page.connect(&gateway.url()).await;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("me:{API_KEY}"));
    // <form method=post enctype=text/plain action=https://gateway/api/users/anna/messages>
    let fields = format!(
        "Authorization: Basic {basic}\r\nOrigin: https://evil.example\r\n\
         Sec-Fetch-Site: cross-site\r\nContent-Type: text/plain\r\n"
    );
    let (status, body) =
        request(gateway.addr, "POST", "/api/users/anna/messages", &fields, "x=y").await;
    assert_eq!(status, 401, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_data_directory_a_stop_tells_who_is_gone() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    gateway.terminate();
    assert_eq!(page.closed_with().await.0, 1001);
    assert!(gateway.ended().await.success());
    // Nobody could come back to it.
    assert_eq!(backend.end_of(&page.session).await.json()["cause"], "drained");
}

#[tokio::test]
async fn the_list_of_sessions_comes_in_parts_and_says_which_is_the_last() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut pages = Vec::new();
    for _ in 0..4 {
        let mut page = Page::default();
        page.connect(&gateway.url()).await;
        pages.push(page);
    }
    let (mut parts, mut seen, mut after) = (0, std::collections::BTreeSet::new(), String::new());
    loop {
        let path = format!("/api/sessions?limit=2{after}");
        let (status, body) = gateway.request("GET", &path, "").await;
        assert_eq!(status, 200, "{body}");
        let list: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(list["total"], 4);
        let sessions = list["sessions"].as_array().unwrap();
        seen.extend(sessions.iter().map(|of| of["sessionId"].as_str().unwrap().to_owned()));
        parts += 1;
        let Some(next) = list["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(parts, 2, "the second is full, and the last");
    assert_eq!(seen, pages.iter().map(|page| page.session.clone()).collect());
}
