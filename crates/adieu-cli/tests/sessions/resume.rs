//! A refresh: the page goes and is back, and nobody is told.

use std::time::Duration;

use serde_json::json;

use crate::world::{Backend, Gateway, Mode, Page};

#[tokio::test]
async fn fifty_refreshes_are_no_event_and_no_message_is_lost_or_doubled() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    let session = page.session.clone();
    let (mut sent, refreshes) = (Vec::new(), 50);
    for round in 0..refreshes {
        // A counter in both directions; some of it is under way when the page goes.
        for n in 0..3 {
            page.say(&format!("from the page {round}.{n}")).await;
            sent.push(format!("to the page {round}.{n}"));
            gateway.send(&session, sent.last().unwrap()).await;
        }
        if round % 2 == 0 {
            page.acknowledge().await;
        }
        page.hide().await;
        // The page sees the end of its connection before the session does.
        gateway.until_metric("adieu_sessions_away", 1.0).await;
        sent.push(format!("while it is away {round}"));
        gateway.send(&session, sent.last().unwrap()).await;
        let connected = page.connect(&gateway.url()).await;
        assert!(connected.resumed, "{connected:?}");
        assert_eq!(connected.generation, round + 2);
    }
    page.receive(sent.len()).await;
    page.all_acknowledged().await;
    assert_eq!(page.received, sent);
    backend.until("all is told", |backend| backend.said(&session).len() == page.said.len()).await;
    assert_eq!(backend.said(&session), page.said);
    let other = backend.seen().into_iter().filter(|seen| seen.r#type != "message");
    let other: Vec<_> = other.map(|seen| seen.r#type).collect();
    assert_eq!(other, ["session.started"], "a refresh is no event");
    gateway.until_metric("adieu_refreshes_total", refreshes as f64).await;
    assert_eq!(gateway.metric("adieu_refreshes_total").await, refreshes as f64, "and no more");
}

#[tokio::test]
async fn a_connection_that_is_cut_at_any_point_of_the_resume_loses_no_session() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    let session = page.session.clone();
    for round in 0..200 {
        match round % 4 {
            // The page goes with a Close, and is back.
            0 => page.hide().await,
            // It is back before the old connection is over.
            1 => drop(page.socket.take()),
            // Its request is out, and it goes before it has read anything.
            2 => {
                let token = page.token.clone().unwrap();
                let mut lost =
                    Page { token: Some(token), session: session.clone(), ..Page::default() };
                lost.received = page.received.clone();
                let _ = tokio::time::timeout(
                    Duration::from_micros(50 * (round as u64 % 40)),
                    lost.try_connect(&gateway.url()),
                )
                .await;
            }
            // It has its new token and goes before it has stored it.
            _ => {
                let old = page.token.clone();
                page.connect(&gateway.url()).await;
                page.token = old;
            }
        }
        let connected = page.connect(&gateway.url()).await;
        assert!(connected.resumed, "round {round}: {connected:?}");
    }
    page.say("still here").await;
    page.all_acknowledged().await;
    backend.until("it is heard", |backend| backend.said(&session).len() == 1).await;
    assert_eq!(backend.story(&session), ["session.started", "message"]);
}

#[tokio::test]
async fn who_asks_to_be_told_of_connections_is_told_of_each_once_in_order() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--tell-connections"]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    for _ in 0..2 {
        page.hide().await;
        // Without a pause the newer connection may be there first, which is no loss.
        let lost = |backend: &Backend| backend.of_type("connection.lost").len();
        let before = backend.of_type("connection.resumed").len();
        backend.until("the loss is told", |backend| lost(backend) == before + 1).await;
        page.connect(&gateway.url()).await;
    }
    page.close(1000).await;
    backend.end_of(&page.session).await;
    let (lost, resumed) = ("connection.lost", "connection.resumed");
    assert_eq!(
        backend.story(&page.session),
        ["session.started", lost, resumed, lost, resumed, "session.ended"]
    );
    let lost = &backend.of_type(lost)[0].json();
    assert_eq!(lost["departure"], "hidden");
    assert_eq!(lost["ending"]["code"], 4001);
    assert_eq!(lost["ending"]["initiator"], "client");
}

#[tokio::test]
async fn the_backend_may_refuse_a_resume_and_the_client_hears_it() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--ask-resume", "always"]);
    let mut page = Page::of("anna");
    page.connect(&gateway.url()).await;
    page.hide().await;
    assert!(page.connect(&gateway.url()).await.resumed);
    let asked = backend.asked();
    let asked = asked.last().unwrap();
    assert_eq!((&asked["sessionId"], &asked["userId"]), (&json!(page.session), &json!("anna")));
    page.hide().await;
    backend.answers(Mode::Says(403, r#"{"reason":"banned"}"#));
    let refused = page.try_connect(&gateway.url()).await.unwrap_err();
    assert!(refused.contains(r#""type":"refused""#) && refused.contains("banned"), "{refused}");
    assert_eq!(page.closed_with().await, (4004, "banned".into()));
}
