//! The API where limits do not allow what it is asked, and closes that it may not say.

use axum::body::{Body, to_bytes};
use serde_json::Value;

use super::*;
use crate::gateway::Options;
use crate::session::Settings;
use crate::session::command::{Guest, Limits};
use crate::store::Memory;

/// A gateway that keeps two short messages for a user.
async fn gateway() -> Gateway {
    let limits = Limits { bytes_per_user: 2 * r#""text":"hello"}"#.len(), ..Limits::default() };
    let sessions = Settings { limits, ..Settings::default() };
    let options = Options { shards: 1, sessions, ..Options::default() };
    Gateway::start(Memory, options).await.unwrap()
}

async fn start(gateway: &Gateway, n: u8, user: &str) {
    let guest = Guest { user: Some(user.into()), ..Guest::default() };
    let start = Command::Start(SessionId::new([n; 16]), Box::new(guest));
    let reply = gateway.command(start).await.unwrap();
    assert!(matches!(reply, Reply::Attached(_)), "{reply:?}");
}

/// The status of an answer, and its body.
async fn read(answer: Result<Response, Wrong>) -> (u16, Value) {
    let answer: Response<Body> = answer.into_response();
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn to_user(gateway: &Gateway, user: &str) -> (u16, Value) {
    let text = HeaderMap::from_iter([(CONTENT_TYPE, "text/plain".parse().unwrap())]);
    let (gateway, user) = (State(gateway.clone()), Path(user.to_owned()));
    read(send_to_user(gateway, user, text, Bytes::from_static(b"hello")).await).await
}

async fn to_many(gateway: &Gateway, to: Value) -> (u16, Value) {
    let body = json!({ "to": to, "text": "hello" }).to_string();
    read(send_to_many(State(gateway.clone()), HeaderMap::new(), body.into()).await).await
}

#[tokio::test]
async fn a_text_is_no_message_to_many_whatever_it_says() {
    let (gateway, body) = (gateway().await, r#"{"to":[{"userId":"anna"}],"text":"hello"}"#);
    start(&gateway, 1, "anna").await;
    let sent = async |kind: &str| {
        let kind = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
        read(send_to_many(State(gateway.clone()), kind, body.into()).await).await.0
    };
    assert_eq!(sent("text/plain; charset=utf-8").await, 415);
    assert_eq!(sent("Text/Html").await, 415);
    assert_eq!(sent("application/json").await, 202);
}

/// How many messages a limit of users did not allow.
fn counted(gateway: &Gateway) -> u64 {
    let text = gateway.metrics().encode(None, Default::default(), Default::default());
    let line = r#"adieu_limit_reached_total{limit="bytes_per_user"} "#;
    let count = text.lines().find_map(|of| of.strip_prefix(line));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn of_a_message_to_a_user_whose_sessions_are_full_in_part_both_are_said_and_each_is_counted()
{
    let gateway = gateway().await;
    for n in 1..=4 {
        start(&gateway, n, "anna").await;
    }
    start(&gateway, 5, "bob").await;
    let answer = to_user(&gateway, "anna").await;
    assert_eq!(answer, (202, json!({ "sessions": 2, "full": 2 })));
    assert_eq!(counted(&gateway), 2);
    assert_eq!(to_user(&gateway, "anna").await.0, 429, "none of them has got it");
    assert_eq!(counted(&gateway), 6);
    assert_eq!(to_user(&gateway, "bob").await, (202, json!({ "sessions": 1 })));
    assert_eq!(to_user(&gateway, "carol").await.0, 404);
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn of_a_message_to_many_a_user_whose_sessions_are_full_in_part_is_named() {
    let gateway = gateway().await;
    for n in 1..=3 {
        start(&gateway, n, "anna").await;
    }
    start(&gateway, 4, "bob").await;
    let [anna, bob, carol] = ["anna", "bob", "carol"].map(|user| json!({ "userId": user }));
    let (status, answer) = to_many(&gateway, json!([anna, bob, carol])).await;
    let want = json!({ "sessions": 3, "notHere": [carol], "full": [anna] });
    assert_eq!((status, answer), (202, want));
    assert_eq!(counted(&gateway), 1);
    gateway.stop().await.unwrap();
}

#[test]
fn a_close_after_which_clients_come_back_is_refused_and_the_possible_ones_are_named() {
    let read = |code| Close { code: Some(code), reason: None }.read();
    for code in [1001, 1005, 1008, 1011, 3000, 4001, 4002, 4005] {
        let Err(Wrong(status, why)) = read(code) else { panic!("{code}") };
        let named = why.contains("1000, 4000, 4003, 4004 and 4006 to 4999");
        assert!(status == StatusCode::BAD_REQUEST && named, "{why}");
    }
    for code in [1000, 4000, 4003, 4004, 4006, 4999] {
        assert!(read(code).is_ok_and(|close| close.is_some()), "{code}");
    }
}
