//! The heads of requests, legal and illegal, as the library's server and an application of axum
//! answer them. The gateway is asked the same in its own tests.
#![cfg(feature = "axum")]

mod served;

use std::sync::Arc;

use adieu::axum::LegacyWebSocketUpgrade as Any;
use adieu::{Cause, Config, Endpoint, VersionSet};
use axum::routing::any;
use axum::{Extension, Router};
use served::{Served, echo, with};
use testkit::{HeadRow, Peer, figure, heads};

/// Asks; gives the status, and the body of a refusal.
fn ask(served: &Served, row: &HeadRow) -> (u16, String) {
    let mut peer = Peer::connect(served.addr);
    peer.try_write(&row.bytes);
    let head = peer.read_head();
    let length = head.field("Content-Length").map_or(0, |length| length.parse().unwrap());
    let has_body = !row.bytes.starts_with(b"HEAD ");
    let body = peer.read_exact(if has_body { length } else { 0 });
    (head.status(), String::from_utf8(body).unwrap())
}

#[test]
fn the_server_answers_each_head_as_its_section_says_and_reports_it_once() {
    let served =
        Served::server(with(Config { versions: VersionSet::all(), ..Config::default() }), echo);
    for row in heads() {
        let (status, body) = ask(&served, &row);
        let account = served.account();
        figure(&format!("{}, {}", row.section, row.what), &format!("server {status}"));
        assert_eq!(status, row.status, "{row:?}: {:?}", account.ending.cause);
        if status == 101 {
            continue;
        }
        let Cause::Handshake(error) = account.ending.cause else { panic!("{row:?}") };
        assert!(error.refused_by().is_some(), "{row:?}");
        if row.what == "HEAD" {
            assert_eq!(body, "");
        } else {
            assert_eq!(body, served::refusal_body(&error), "{row:?}");
        }
    }
    served.stop();
}

#[test]
fn an_application_of_axum_answers_them_alike() {
    let served = Served::start(Endpoint::new(), |endpoint, listener, drain| async move {
        let app = Router::new()
            .route("/ws", any(|Any(upgrade): Any| async { upgrade.run(echo) }))
            .layer(Extension(Arc::new(endpoint)));
        let server = axum::serve(listener, app);
        server.with_graceful_shutdown(async move { drain.started().await }).await.unwrap();
    });
    let mut different = Vec::new();
    for row in heads() {
        let (status, body) = ask(&served, &row);
        figure(&format!("{}, {}", row.section, row.what), &format!("axum {status}"));
        if status != row.status_through_http() {
            different.push(format!("{}, {}: {status}", row.section, row.what));
        }
        // The HTTP library and the router refuse with an empty body, and tell us nothing.
        if status == 101 {
            served.account();
        } else if row.what == "HEAD" || !body.is_empty() {
            let Cause::Handshake(error) = served.account().ending.cause else { panic!("{row:?}") };
            assert!(error.refused_by().is_some(), "{row:?}");
            assert!(row.what == "HEAD" || body == served::refusal_body(&error), "{row:?}");
        }
    }
    assert_eq!(different, Vec::<String>::new());
    served.stop();
}
