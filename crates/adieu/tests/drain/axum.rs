//! The same drain ends the WebSockets of an axum application.

use std::sync::Arc;
use std::time::Duration;

use adieu::axum::WebSocketUpgrade;
use adieu::{Cause, Drain, Endpoint, HandshakeError, Phase};
use axum::routing::{any, get};
use axum::{Extension, Router};
use testkit::{Frame, Peer, Request, wait_until};

use crate::{hear_out, numbers, support};

/// An application with a page and a WebSocket; the drain is the only thing that it has of ours.
async fn app(listener: tokio::net::TcpListener, endpoint: Endpoint, drain: Drain) {
    let app = Router::new()
        .route("/", get(|| async { "a page" }))
        .route("/ws", any(|upgrade: WebSocketUpgrade| async { upgrade.run(support::echo) }))
        .layer(Extension(Arc::new(endpoint)));
    let serving = axum::serve(listener, app).with_graceful_shutdown(drain.started());
    serving.await.expect("axum serves");
}

#[test]
fn an_axum_application_says_goodbye_to_all_in_the_same_way() {
    const CLIENTS: usize = 30;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    let drain = Drain::new();
    let (tell, accounts) = std::sync::mpsc::channel();
    let endpoint = Endpoint::new().drain(drain.clone()).on_end(move |ended| {
        let _ = tell.send(ended.ending.clone());
    });
    let serving = runtime.spawn(app(listener, endpoint, drain.clone()));
    let open = || Peer::open_with(addr, &Request::rfc6455().target("/ws"));
    let mut peers: Vec<_> = (0..CLIENTS).map(|_| open()).collect();
    let mut frozen = open();
    // An answer that it will not read: more than both kernels hold.
    let much = Frame::binary(vec![1; 15 * 1024 * 1024]);
    frozen.send(&much);
    wait_until("the answer is stuck", || frozen.bytes_to_read() > 32 * 1024);
    let mut kept = Peer::connect(addr);
    kept.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(kept.read_head().status(), 200);
    wait_until("all are there", || drain.connections() == CLIENTS + 1);
    let batch: Vec<_> = (0..50).map(|i| Frame::text(format!("question {i}"))).collect();
    for peer in &mut peers {
        peer.send_all(&batch);
    }
    for peer in &peers {
        wait_until("the server has all", || peer.unread_by_other_end() == 0);
    }
    drain.start();
    for peer in &mut peers {
        assert_eq!(hear_out(peer), (batch.clone(), Some(1001)), "answered, then told");
    }
    let drained = runtime.block_on(async {
        tokio::time::timeout(testkit::DEADLINE, drain.finished()).await.expect("it ends")
    });
    println!("{drained}");
    assert_eq!((drained.clean, drained.broken_off, drained.given_up), (CLIENTS, 0, 1), "{drained}");
    assert!(drained.unsent > 1024 * 1024 && drained.handlers_dropped == 0, "{drained}");
    assert!(drained.lasted < Duration::from_secs(14), "{drained}");
    assert_eq!(drain.progress().phase, Phase::Over);
    drop(kept);
    runtime.block_on(async {
        let served = tokio::time::timeout(testkit::DEADLINE, serving).await;
        served.expect("axum ends too").expect("without a panic");
    });
    let accounts: Vec<_> = accounts.try_iter().collect();
    assert_eq!(accounts.len(), CLIENTS + 1);
    assert!(accounts.iter().all(|ending| ending.cause == Cause::Drain));
    drop(frozen);
}

#[test]
fn a_request_on_a_connection_that_was_kept_open_is_answered_503() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    let drain = Drain::new();
    let (tell, accounts) = std::sync::mpsc::channel();
    let endpoint = Endpoint::new().drain(drain.clone()).on_end(move |ended| {
        let _ = tell.send(ended.ending.clone());
    });
    runtime.spawn(app(listener, endpoint, drain.clone()));
    let mut peer = Peer::open_with(addr, &Request::rfc6455().target("/ws"));
    // Its head is half here when the drain starts: axum lets a request finish.
    let mut begun = Peer::connect(addr);
    let request = Request::rfc6455().target("/ws").bytes();
    begun.write(&request[..20]);
    wait_until("the server has it", || begun.unread_by_other_end() == 0);
    drain.start();
    begun.write(&request[20..]);
    let head = begun.read_head();
    assert_eq!(head.status(), 503);
    assert!(head.field("Retry-After").is_some());
    assert_eq!(hear_out(&mut peer), (vec![], Some(1001)));
    let drained = runtime.block_on(drain.finished());
    assert_eq!(numbers(&drained), (1, 0, 0, 0, 0));
    drop(begun);
    runtime.shutdown_timeout(Duration::from_secs(1));
    let mut causes: Vec<_> = accounts.try_iter().map(|ending| ending.cause).collect();
    causes.retain(|cause| *cause != Cause::Handshake(HandshakeError::Draining));
    assert_eq!(causes, [Cause::Drain]);
}

/// A handler of the application that accepted the request and never gives its answer.
#[test]
fn an_upgrade_that_never_comes_does_not_hold_a_drain_beyond_its_deadline() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let drain = Drain::new().deadline(Duration::from_millis(500));
    let endpoint = Endpoint::new().drain(drain.clone());
    let hangs = |upgrade: WebSocketUpgrade| async {
        std::future::pending::<()>().await;
        upgrade.run(support::echo)
    };
    let app = Router::new().route("/", any(hangs)).layer(Extension(Arc::new(endpoint)));
    let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    runtime.spawn(async move { axum::serve(listener, app).await });
    let mut peer = Peer::connect(addr);
    peer.write(Request::rfc6455().bytes());
    wait_until("it is expected", || drain.connections() == 1);
    let over = runtime.block_on(async {
        drain.start();
        tokio::time::timeout(testkit::DEADLINE, drain.finished()).await
    });
    assert!(over.is_ok(), "{:?}", drain.progress());
}

/// The request was accepted, so its end is told, though hyper never gave the connection.
#[test]
fn an_upgrade_whose_runtime_goes_before_the_hand_over_is_reported() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (tell, accounts) = std::sync::mpsc::channel();
    let endpoint = Endpoint::new().on_end(move |ended| {
        let _ = tell.send(ended.ending.clone());
    });
    let (ran, runs) = std::sync::mpsc::channel();
    let slow = move |upgrade: WebSocketUpgrade| {
        let ran = ran.clone();
        async move {
            let response = upgrade.run(support::echo);
            let _ = ran.send(());
            // A middleware may take its time behind it.
            std::future::pending::<()>().await;
            response
        }
    };
    let app = Router::new().route("/", any(slow)).layer(Extension(Arc::new(endpoint)));
    let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    runtime.spawn(async move { axum::serve(listener, app).await });
    let mut peer = Peer::connect(addr);
    peer.write(Request::rfc6455().bytes());
    runs.recv_timeout(testkit::DEADLINE).expect("the upgrade");
    drop(runtime);
    let ending = accounts.recv_timeout(testkit::DEADLINE).expect("a report");
    assert_eq!(ending.cause, Cause::Handshake(HandshakeError::NotUpgraded), "{ending}");
}
