//! A service in front of another: requests for a WebSocket are upgraded, the rest goes on; as a
//! layer around an axum router, as a service of tower and as one of hyper.
#![cfg(all(feature = "tower", feature = "axum"))]

mod served;

use std::convert::Infallible;
use std::sync::Arc;

use adieu::hyper::{WebSocketLayer, WebSocketService};
use adieu::{Cause, Endpoint, HandshakeError};
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use served::{Served, echo};
use testkit::{Frame, Head, Peer, Request};

async fn page(_: HttpRequest<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new("a page".into()))
}

#[derive(Clone, Copy, Debug)]
enum As {
    AxumLayer,
    Tower,
    Hyper,
}

const ALL: [As; 3] = [As::AxumLayer, As::Tower, As::Hyper];

/// WebSockets at `/ws`, and a page in the inner service everywhere.
fn serve(how: As, endpoint: Endpoint) -> Served {
    Served::start(endpoint, move |endpoint, listener, drain| async move {
        let endpoint = Arc::new(endpoint);
        if let As::AxumLayer = how {
            let pages =
                Router::new().route("/", get(async || "a page")).fallback(async || "a page");
            let app = pages.layer(WebSocketLayer::new(endpoint, echo).at("/ws"));
            let stop = async move { drain.started().await };
            return axum::serve(listener, app).with_graceful_shutdown(stop).await.unwrap();
        }
        loop {
            let io = TokioIo::new(adieu::accept(&listener, &drain).await);
            let to = endpoint.clone();
            let http = http1::Builder::new();
            tokio::spawn(async move {
                let _ = match how {
                    As::Tower => {
                        let pages = tower::service_fn(page);
                        let service = WebSocketService::new(pages, to, echo).at("/ws");
                        let service = TowerToHyperService::new(service);
                        http.serve_connection(io, service).with_upgrades().await
                    }
                    _ => {
                        let service = WebSocketService::new(service_fn(page), to, echo).at("/ws");
                        http.serve_connection(io, service).with_upgrades().await
                    }
                };
            });
        }
    })
}

fn ask(served: &Served, request: impl AsRef<[u8]>) -> (Head, Peer) {
    let mut peer = Peer::connect(served.addr);
    peer.write(request);
    (peer.read_head(), peer)
}

#[test]
fn sockets_are_upgraded_and_the_rest_goes_to_the_inner_service() {
    for how in ALL {
        let served = serve(how, Endpoint::new());
        for path in ["/", "/ws", "/other"] {
            let plain = format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n\r\n");
            let (head, mut peer) = ask(&served, plain);
            assert_eq!((head.status(), peer.read_exact(6)), (200, b"a page".to_vec()), "{how:?}");
        }
        // A WebSocket is asked for where there is none: the inner service answers as it likes.
        let (head, peer) = ask(&served, Request::rfc6455().target("/other").bytes());
        assert_eq!(head.status(), 200, "{how:?}");
        drop(peer);
        let mut peer = Peer::open_with(served.addr, &Request::rfc6455().target("/ws?a=b"));
        peer.send(&Frame::text("hello"));
        assert_eq!(peer.read_frame(), Frame::text("hello"));
        peer.send(&Frame::close(1000, ""));
        let _ = peer.read_to_end();
        drop(peer);
        let account = served.account();
        assert_eq!(
            (account.ending.cause, account.target.as_deref()),
            (Cause::Peer, Some("/ws?a=b"))
        );
        served.stop();
    }
}

#[test]
fn a_refusal_is_answered_and_told() {
    for how in ALL {
        let served = serve(how, Endpoint::new().origin(|origin| origin.is_none()));
        let request = Request::rfc6455().target("/ws").field("Origin", "http://evil.example");
        assert_eq!(ask(&served, request.bytes()).0.status(), 403, "{how:?}");
        let error = HandshakeError::Origin("http://evil.example".into());
        assert_eq!(served.account().ending.cause, Cause::Handshake(error));
        served.stop();
    }
}
