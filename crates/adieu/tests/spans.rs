//! What is logged about a connection belongs to its `tracing` span: what the application's
//! functions log, what its handler logs, what the library logs, and the report.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

#[cfg(feature = "axum")]
use adieu::axum::WebSocketUpgrade;
use adieu::http::Response;
use adieu::{Accept, Drain, Endpoint, Handshake, Server, Socket};
#[cfg(feature = "axum")]
use axum::{Extension, Router, routing::any};
use testkit::{DEADLINE, Frame, Peer, Request};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The spans and the lines of one thread.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Captured>>);

#[derive(Default)]
struct Captured {
    /// The name and the fields of each span; its number is its place, from 1.
    spans: Vec<String>,
    entered: Vec<u64>,
    /// How many handles of spans there are.
    handles: i64,
    /// Each line, with the number of the span that it was written in.
    lines: Vec<(Option<u64>, String)>,
}

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Subscriber for Logs {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("adieu") || metadata.target().starts_with("spans")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let mut logs = self.0.lock().unwrap();
        logs.handles += 1;
        logs.spans.push(format!("{}{}", span.metadata().name(), fields.0));
        Id::from_u64(logs.spans.len() as u64)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut logs = self.0.lock().unwrap();
        let inside = logs.entered.last().copied();
        logs.lines.push((inside, fields.0));
    }
    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }
    fn exit(&self, span: &Id) {
        let left = self.0.lock().unwrap().entered.pop();
        assert_eq!(left, Some(span.into_u64()), "spans are left in turn");
    }
    fn clone_span(&self, span: &Id) -> Id {
        self.0.lock().unwrap().handles += 1;
        span.clone()
    }
    fn try_close(&self, _: Id) -> bool {
        let mut logs = self.0.lock().unwrap();
        logs.handles -= 1;
        logs.handles == 0
    }
}

impl Logs {
    /// The number of the span that a line with this text was written in.
    fn span_of(&self, text: &str) -> Option<u64> {
        let logs = self.0.lock().unwrap();
        let line = logs.lines.iter().find(|(_, line)| line.contains(text));
        line.unwrap_or_else(|| panic!("no line says {text:?}: {:?}", logs.lines)).0
    }

    fn fields(&self, number: u64) -> String {
        self.0.lock().unwrap().spans[usize::try_from(number).unwrap() - 1].clone()
    }
}

/// An endpoint whose functions log.
fn endpoint(drain: &Drain) -> Endpoint {
    let served = drain.clone();
    Endpoint::new()
        .drain(drain.clone())
        .on_handshake(async |handshake: Handshake| {
            tracing::info!("asked by {}", handshake.peer());
            tokio::task::yield_now().await;
            tracing::info!("decided");
            Ok::<_, Response<String>>(Accept::new())
        })
        .on_closing(|_| tracing::info!("heard a Close"))
        .on_end(move |ended| {
            tracing::info!("reported {}", ended.ending);
            served.start();
        })
}

async fn handler(mut socket: Socket) {
    tracing::info!("handler of {}", socket.id());
    while socket.recv().await.is_some() {
        tracing::info!("took a message");
    }
}

/// A peer that asks for `/room?token=secret`, sends one message and closes; run on a thread.
fn talk(addr: SocketAddr) {
    let mut peer = Peer::open_with(addr, &Request::rfc6455().target("/room?token=secret"));
    peer.send(&Frame::text("hello"));
    peer.send(&Frame::close(1000, ""));
    assert_eq!(peer.read_frame().close_code(), Some(1000));
    peer.read_to_end();
}

/// Serves one connection on this thread, whose subscriber captures all.
fn serve_one<F, Fut>(logs: &Logs, serve: F)
where
    F: FnOnce(TcpListener, Drain) -> Fut,
    Fut: Future<Output = ()>,
{
    let _default = tracing::subscriber::set_default(logs.clone());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = adieu::listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || talk(addr));
        timeout(DEADLINE, serve(listener, Drain::new())).await.expect("it stops");
        peer.join().unwrap();
    });
}

/// Each of these lines stands in one and the same span, which names the connection.
fn one_span_has(logs: &Logs, lines: &[&str]) {
    let spans: Vec<_> = lines.iter().map(|line| logs.span_of(line)).collect();
    let span = spans[0].unwrap_or_else(|| panic!("{} stands in no span", lines[0]));
    assert!(spans.iter().all(|other| *other == Some(span)), "{lines:?} stand in {spans:?}");
    let fields = logs.fields(span);
    assert!(fields.starts_with("connection id="), "{fields}");
    assert!(fields.contains(" peer=127.0.0.1:"), "{fields}");
    assert!(fields.ends_with(" path=\"/room\""), "a path without the query: {fields}");
}

#[test]
fn what_is_logged_about_a_connection_stands_in_its_span() {
    let logs = Logs::default();
    serve_one(&logs, |listener, drain| async move {
        let server = Server::with(endpoint(&drain), handler);
        server.drain_when(async move { drain.started().await }).serve_on(listener).await.unwrap();
    });
    let lines =
        ["asked by", "decided", "handler of", "took a message", "heard a Close", "reported"];
    one_span_has(&logs, &lines);
    assert_eq!(logs.0.lock().unwrap().handles, 0, "the span is over with its connection");
}

#[test]
#[cfg(feature = "axum")]
fn a_connection_of_axum_has_its_span_once_it_is_upgraded() {
    let logs = Logs::default();
    serve_one(&logs, |listener, drain| async move {
        let route = any(|upgrade: WebSocketUpgrade| async { upgrade.run(handler) });
        let endpoint = Arc::new(endpoint(&drain));
        let router = Router::new().route("/room", route).layer(Extension(endpoint));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let stop = drain.clone();
        axum::serve(listener, service)
            .with_graceful_shutdown(async move { stop.started().await })
            .await
            .unwrap();
    });
    let lines = ["handler of", "took a message", "heard a Close", "reported"];
    one_span_has(&logs, &lines);
    assert_eq!(logs.span_of("decided"), None, "the request is of the application's own span");
}

#[test]
fn a_connection_whose_task_is_dropped_is_reported_in_its_span() {
    let logs = Logs::default();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _default = tracing::subscriber::set_default(logs.clone());
    let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        let mut peer = Peer::open_with(addr, &Request::rfc6455().target("/room?token=secret"));
        assert_eq!(peer.read_frame(), Frame::text("open"));
        peer.read_to_end();
    });
    let (tell, open) = tokio::sync::oneshot::channel();
    let tell = Arc::new(Mutex::new(Some(tell)));
    runtime.spawn(
        Server::with(endpoint(&Drain::new()), move |socket: Socket| {
            let tell = tell.clone();
            async move {
                tracing::info!("handler of {}", socket.id());
                socket.send("open").await.unwrap();
                let _ = tell.lock().unwrap().take().unwrap().send(());
                std::future::pending::<()>().await;
            }
        })
        .serve_on(listener),
    );
    runtime.block_on(open).unwrap();
    drop(runtime);
    peer.join().unwrap();
    one_span_has(&logs, &["handler of", "reported"]);
}
