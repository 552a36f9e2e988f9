//! What is wrong is answered clearly, and no other session is touched.

use serde_json::json;

use crate::world::{Backend, Gateway, Mode, Page, Scratch};

#[tokio::test]
async fn what_breaks_the_subprotocol_closes_its_connection_and_the_session_goes_on() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let (mut other, mut page) = (Page::default(), Page::default());
    other.connect(&gateway.url()).await;
    page.connect(&gateway.url()).await;
    let long = format!(r#"{{"type":"message","sequenceId":1,"text":"{}"}}"#, "x".repeat(2 << 20));
    for (wrong, code, why) in [
        ("no json", 1007, "no JSON object"),
        ("[1,2]", 1007, "no JSON object"),
        (r#"["goodbye",null,null,null]"#, 1007, "no JSON object"),
        (r#"{"type":"message"}"#, 1007, "sequenceId is missing"),
        (r#"{"type":"message","sequenceId":1}"#, 1007, "text or binary"),
        (r#"{"type":"message","sequenceId":1,"binary":"%"}"#, 1007, "base64"),
        (r#"{"type":"message","sequenceId":0,"text":"a"}"#, 1008, "count from 1"),
        (r#"{"type":"message","sequenceId":9,"text":"a"}"#, 1008, "message 1 is missing before 9"),
        (r#"{"type":"sequenceAck","sequenceId":4}"#, 1008, "4 acknowledged, but only 0 sent"),
        (&long, 1009, ""),
    ] {
        page.tell_raw(wrong).await;
        let (closed, reason) = page.closed_with().await;
        let shown = &wrong[..wrong.len().min(60)];
        assert_eq!(closed, code, "{shown}: {reason}");
        assert!(reason.contains(why), "{shown}: {reason}");
        assert!(page.connect(&gateway.url()).await.resumed, "{shown}: the session goes on");
    }
    page.tell_raw(r#"{"type":"of tomorrow","text":7}"#).await;
    page.say("fine").await;
    page.all_acknowledged().await;
    other.say("untouched").await;
    other.all_acknowledged().await;
    backend.until("both", |backend| backend.of_type("message").len() == 2).await;
    assert_eq!(backend.of_type("session.ended").len(), 0);
}

#[tokio::test]
async fn a_token_that_is_forged_foreign_or_used_up_begins_a_new_session_and_says_why() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--allow-origin", "*"]);
    let elsewhere = Gateway::start(None, &backend, &[]);
    let mut page = Page { origin: Some("https://a.example".into()), ..Page::default() };
    page.connect(&gateway.url()).await;
    let (session, token) = (page.session.clone(), page.token.clone().unwrap());
    let mut foreign = Page::default();
    foreign.connect(&elsewhere.url()).await;
    let mut forged = token.clone().into_bytes();
    forged[10] = if forged[10] == b'A' { b'B' } else { b'A' };
    let try_with = async |token: String, received: usize, origin: &str| {
        let mut thief = Page { token: Some(token), origin: Some(origin.into()), ..Page::default() };
        thief.received = vec![String::new(); received];
        let connected = thief.connect(&gateway.url()).await;
        assert!(!connected.resumed && thief.session != session);
        connected.reason.unwrap()
    };
    let own = "https://a.example";
    assert_eq!(try_with(String::from_utf8(forged).unwrap(), 0, own).await, "invalid");
    assert_eq!(try_with("x".into(), 0, own).await, "invalid");
    assert_eq!(try_with(foreign.token.clone().unwrap(), 0, own).await, "invalid");
    assert_eq!(try_with(token.clone(), 0, "https://b.example").await, "origin");
    assert_eq!(try_with(token.clone(), 7, own).await, "lost", "it claims what was never sent");
    // The session is where it was.
    page.say("mine").await;
    page.all_acknowledged().await;
    page.hide().await;
    assert!(page.connect(&gateway.url()).await.resumed);
    page.say("still mine").await;
    page.all_acknowledged().await;
    assert_eq!(try_with(token, 0, own).await, "stale", "a newer token is in use");
}

#[tokio::test]
async fn a_page_of_a_site_that_is_not_allowed_is_answered_403() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--allow-origin", "https://a.example"]);
    for (origin, may) in [("https://a.example", true), ("https://b.example", false)] {
        let mut page = Page { origin: Some(origin.into()), ..Page::default() };
        let connected = page.try_connect(&gateway.url()).await;
        assert_eq!(connected.is_ok(), may, "{origin}: {connected:?}");
    }
}

#[tokio::test]
async fn a_connect_hook_that_says_no_is_heard_by_both_kinds_of_clients() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    backend.answers(Mode::Says(403, r#"{"reason":"no seats left"}"#));
    let mut page = Page::default();
    let refused = page.try_connect(&gateway.url()).await.unwrap_err();
    let want = json!({ "type": "refused", "reason": "no seats left" });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&refused).unwrap(), want);
    assert_eq!(page.closed_with().await, (4004, "no seats left".into()));
    let error = adieu::connect(&gateway.url()).await.unwrap_err().to_string();
    assert!(error.contains("403"), "{error}");
    assert_eq!(backend.seen().len(), 0, "nobody came");
}

#[tokio::test]
async fn a_connect_hook_that_fails_or_says_nonsense_is_no_yes_and_no_no() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--backend-timeout", "3s"]);
    let (wrongly, not) = ("the backend answered wrongly", "the backend did not answer");
    let signature = "the backend does not accept the gateway's signature";
    for (mode, why) in [
        (Mode::Says(500, "boom"), not),
        (Mode::Says(200, "<html>welcome</html>"), wrongly),
        (Mode::Says(200, "{oops"), wrongly),
        (Mode::Says(200, r#"{"userId":7}"#), wrongly),
        (Mode::Says(404, "no such page"), wrongly),
        (Mode::Hangs, not),
        // It says nothing of the person: the secret of one of the two is wrong.
        (Mode::Says(401, "wrong signature"), signature),
        (Mode::Says(403, "<html>CSRF</html>"), signature),
    ] {
        backend.answers(mode.clone());
        let mut page = Page::default();
        let error = page.try_connect(&gateway.url()).await.unwrap_err();
        assert!(error.contains("retryAfter"), "{mode:?}: {error}");
        // Not final: the client comes back by itself.
        assert_eq!(page.closed_with().await, (1013, why.into()), "{mode:?}");
        let error = adieu::connect(&gateway.url()).await.unwrap_err().to_string();
        assert!(error.contains("503"), "{mode:?}: {error}");
    }
    assert_eq!(gateway.metric("adieu_backend_bad_signatures").await, 4.0);
    assert_eq!(gateway.metric("adieu_backend_bad_answers").await, 6.0);
    backend.answers(Mode::Well);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
}

#[tokio::test]
async fn options_that_are_wrong_are_answered_with_what_to_do() {
    let scratch = Scratch::new();
    let data = scratch.path().to_str().unwrap();
    let url = "http://127.0.0.1:1/hooks";
    let two = format!("{} short", Backend::SECRET);
    for (args, env, said) in [
        (&["--backend", url][..], None, "ADIEU_BACKEND_SECRET"),
        (&["--backend", url], Some("short"), "whsec_"),
        (&["--backend", url], Some(&two), "secret 2 of 2 is malformed"),
        (&["--backend", url, "--event-format", "xml"], None, "structured and binary"),
        (
            &["--backend", url, "--event-format", "binary", "--batch"],
            Some(Backend::SECRET),
            "exclude each other",
        ),
        (&["--backend", "http://a:b@c/"], Some(Backend::SECRET), "a user name or a password"),
        (&["--backend", "backend.example"], Some(Backend::SECRET), "http://HOST/PATH"),
        (&["--backend", "ftp://a/b"], Some(Backend::SECRET), "http://HOST/PATH"),
        (&["--wait-lost", "soon"], None, "like 500ms, 15s or 2m"),
        (&["--data", "/dev/null"], None, "/dev/null"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_adieu"));
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(args);
        command.env_remove("ADIEU_BACKEND_SECRET");
        if let Some(secret) = env {
            command.env("ADIEU_BACKEND_SECRET", secret);
        }
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(said), "{args:?}: {error}");
    }
    // Two processes on one directory.
    let backend = Backend::start().await;
    let _first = Gateway::start(Some(scratch.path()), &backend, &[]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_adieu"));
    let output =
        command.args(["serve", "--listen", "127.0.0.1:0", "--data", data]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("stop that one first"), "{error}");
}

#[tokio::test]
async fn half_a_surrogate_pair_does_not_wedge_a_session() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    // What JSON.stringify gives for "😀".slice(0, 1).
    page.tell_raw(r#"{"type":"message","sequenceId":1,"text":"\ud83d"}"#).await;
    assert_eq!(page.next().await.expect("it is taken")["type"], "sequenceAck");
    backend.until("it is heard", |backend| backend.said(&page.session) == ["\u{FFFD}"]).await;
}
