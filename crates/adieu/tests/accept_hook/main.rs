//! The application decides on an opening handshake and takes its time: what it sees, how it accepts
//! and refuses, and what happens meanwhile; with `Server`, through hyper and through axum alike.
#![cfg(feature = "axum")]

mod meanwhile;
#[path = "../served/mod.rs"]
mod served;
#[cfg(feature = "tls")]
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use adieu::axum::WebSocketUpgrade;
use adieu::http::header::{AUTHORIZATION, CONNECTION, SET_COOKIE};
use adieu::http::{HeaderValue, Response, StatusCode};
use adieu::hyper::{PeerAddr, Upgrade};
use adieu::{Accept, Cause, Endpoint, Handshake, HandshakeError, RefusedBy, Server, Socket};
use axum::extract::ConnectInfo;
use axum::routing::any;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use served::Served;
use testkit::{Frame, Head, Peer, Request};

/// What serves the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Through {
    Server,
    Hyper,
    Axum,
}

const ALL: [Through; 3] = [Through::Server, Through::Hyper, Through::Axum];

#[derive(Clone)]
struct User(String);

/// Says who the hook has said that it is, then which subprotocol was agreed on; then it echoes.
async fn greet(socket: Socket) {
    let user = socket.extensions().get().map_or("nobody", |User(name)| name);
    let subprotocol = socket.subprotocol().unwrap_or("none");
    let _ = socket.send(format!("{user} {subprotocol}")).await;
    let _ = served::echo(socket).await;
}

fn serve(through: Through, endpoint: Endpoint) -> Served {
    match through {
        Through::Server => Served::server(endpoint, greet),
        Through::Hyper => Served::start(endpoint, |endpoint, listener, drain| async move {
            let endpoint = Arc::new(endpoint);
            loop {
                let tcp = adieu::accept(&listener, &drain).await;
                tokio::spawn(by_hyper(tcp, endpoint.clone()));
            }
        }),
        Through::Axum => Served::start(endpoint, |endpoint, listener, drain| async move {
            let app = Router::new()
                .fallback(any(async |upgrade: WebSocketUpgrade| upgrade.run(greet)))
                .layer(Extension(Arc::new(endpoint)));
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            let stop = async move { drain.started().await };
            axum::serve(listener, app).with_graceful_shutdown(stop).await.expect("axum serves");
        }),
    }
}

async fn by_hyper(tcp: tokio::net::TcpStream, endpoint: Arc<Endpoint>) {
    let Ok(addr) = tcp.peer_addr() else { return };
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let endpoint = endpoint.clone();
        request.extensions_mut().insert(PeerAddr(addr));
        async move {
            Ok::<_, Infallible>(match Upgrade::new(request, endpoint).await {
                Ok(upgrade) => upgrade.run(greet),
                Err(refusal) => refusal,
            })
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    let _ = http.serve_connection(TokioIo::new(tcp), service).with_upgrades().await;
}

fn ask(served: &Served, request: &Request) -> (Head, Peer) {
    let mut peer = Peer::connect(served.addr);
    peer.write(request.bytes());
    (peer.read_head(), peer)
}

fn goodbye(served: &Served, mut peer: Peer) {
    peer.send(&Frame::close(1000, ""));
    let _ = peer.read_to_end();
    drop(peer);
    assert_eq!(served.account().ending.cause, Cause::Peer);
}

#[track_caller]
fn told(served: &Served, through: Through) -> (HandshakeError, Option<RefusedBy>) {
    let account = served.account();
    assert!(account.target.is_some(), "{through:?}: the request is told");
    let Cause::Handshake(error) = account.ending.cause else { panic!("{}", account.ending) };
    let by = error.refused_by();
    (error, by)
}

/// It looks a user up, which takes its time, and says all that can be said.
#[test]
fn it_accepts_with_a_cookie_a_subprotocol_and_a_value_for_the_handler() {
    for through in ALL {
        let endpoint = Endpoint::new().subprotocols(["v1"]).on_handshake(async |h: Handshake| {
            tokio::task::yield_now().await;
            let name = h.cookie("session").ok_or(StatusCode::UNAUTHORIZED)?.to_owned();
            assert_eq!(h.subprotocols().collect::<Vec<_>>(), ["v1", "v2"]);
            let cookie = HeaderValue::from_static("seen=1; HttpOnly");
            let accept = Accept::new().header(SET_COOKIE, cookie).extension(User(name));
            Ok::<_, StatusCode>(
                accept.subprotocol("v2").header(CONNECTION, "close".parse().unwrap()),
            )
        });
        let served = serve(through, endpoint);
        let request = Request::rfc6455()
            .field("Cookie", "a=b; session=ann; c=d")
            .field("Sec-WebSocket-Protocol", "v1, v2");
        let (head, mut peer) = ask(&served, &request);
        assert_eq!(head.status(), 101, "{through:?}");
        assert_eq!(head.field("Set-Cookie"), Some("seen=1; HttpOnly"));
        assert_eq!(head.field("Sec-WebSocket-Protocol"), Some("v2"));
        assert_eq!(head.field("Connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
        assert_eq!(peer.read_frame(), Frame::text("ann v2"));
        goodbye(&served, peer);
        served.stop();
    }
}

/// A subprotocol that was not offered would fail the connection; without a hook nobody is known.
#[test]
fn what_was_not_offered_is_not_agreed_on() {
    for through in ALL {
        let served = serve(
            through,
            Endpoint::new().subprotocols(["v1"]).on_handshake(async |_: Handshake| {
                Ok::<_, StatusCode>(Accept::new().subprotocol("v9"))
            }),
        );
        let request = Request::rfc6455().field("Sec-WebSocket-Protocol", "v1");
        let (head, mut peer) = ask(&served, &request);
        assert_eq!(head.field("Sec-WebSocket-Protocol"), Some("v1"), "{through:?}");
        assert_eq!(peer.read_frame(), Frame::text("nobody v1"));
        goodbye(&served, peer);
        served.stop();
    }
}

#[test]
fn it_refuses_with_any_response_of_http() {
    for through in ALL {
        let endpoint = Endpoint::new().on_handshake(async |h: Handshake| {
            if h.header(AUTHORIZATION.as_str()).is_some() {
                return Ok(Accept::new());
            }
            let refusal = Response::builder().status(401).header("WWW-Authenticate", "Basic");
            Err(refusal.header("X-Why", "no key").body(b"sign \xFF in\n".to_vec()).unwrap())
        });
        let served = serve(through, endpoint);
        let (head, mut peer) = ask(&served, &Request::rfc6455().target("/chat"));
        assert_eq!(head.status(), 401, "{through:?}");
        assert_eq!(head.field("WWW-Authenticate"), Some("Basic"));
        assert_eq!(head.field("X-Why"), Some("no key"));
        assert_eq!(head.field("Content-Length"), Some("10"));
        assert_eq!(peer.read_exact(10), b"sign \xFF in\n");
        assert_eq!(
            told(&served, through),
            (HandshakeError::Refused(401), Some(RefusedBy::Application))
        );
        if through == Through::Server {
            // Nothing else may follow on this connection, and that is said.
            assert_eq!(head.field("Connection"), Some("close"));
            assert_eq!(peer.read_to_end().bytes, b"");
        }
        drop(peer);
        let (head, mut peer) = ask(&served, &Request::rfc6455().field("Authorization", "x"));
        assert_eq!((head.status(), peer.read_frame()), (101, Frame::text("nobody none")));
        goodbye(&served, peer);
        served.stop();
    }
}

#[test]
fn it_sees_the_request_and_the_peer() {
    for through in ALL {
        let endpoint = Endpoint::new().on_handshake(async |h: Handshake| {
            let request = h.request();
            assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/chat"));
            assert_eq!(request.uri().query(), Some("room=1"));
            assert_eq!(request.headers().get_all("x-two").iter().count(), 2);
            assert_eq!(h.version(), adieu::Version::Rfc6455);
            let addr = h.peer().addr().expect("an address").to_string();
            Ok::<_, StatusCode>(Accept::new().extension(User(addr)))
        });
        let served = serve(through, endpoint);
        let request =
            Request::rfc6455().target("/chat?room=1").field("X-Two", "a").field("x-two", "b");
        let (head, mut peer) = ask(&served, &request);
        assert_eq!(head.status(), 101, "{through:?}");
        assert_eq!(peer.read_frame(), Frame::text(format!("{} none", peer.local_addr())));
        goodbye(&served, peer);
        served.stop();
    }
}

/// What middleware has left in the request is there.
#[test]
fn it_sees_the_extensions_of_the_request() {
    let endpoint = Endpoint::new().on_handshake(async |h: Handshake| {
        let extensions = h.request().extensions();
        let user = extensions.get::<User>().cloned().ok_or(StatusCode::FORBIDDEN)?;
        assert!(extensions.get::<ConnectInfo<SocketAddr>>().is_some());
        Ok::<_, StatusCode>(Accept::new().extension(user))
    });
    let served = Served::start(endpoint, |endpoint, listener, _| async move {
        let app = Router::new()
            .route("/", any(async |upgrade: WebSocketUpgrade| upgrade.run(greet)))
            .layer(Extension(User("left by a layer".into())))
            .layer(Extension(Arc::new(endpoint)))
            .into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, app).await.expect("axum serves");
    });
    let (_, mut peer) = ask(&served, &Request::rfc6455());
    assert_eq!(peer.read_frame(), Frame::text("left by a layer none"));
    goodbye(&served, peer);
    served.stop();
}

/// The limits, the Origin policy and `on_request` come before it.
#[test]
fn it_is_not_asked_what_others_have_refused() {
    for through in ALL {
        let endpoint = Endpoint::new().on_request(|_| Err(403)).on_handshake(
            async |_: Handshake| -> Result<Accept, StatusCode> { panic!("it was asked") },
        );
        let served = serve(through, endpoint);
        assert_eq!(ask(&served, &Request::rfc6455()).0.status(), 403);
        assert_eq!(told(&served, through).0, HandshakeError::Refused(403));
        served.stop();
    }
}

#[test]
fn a_server_has_it_too() {
    let served = Served::start(Endpoint::new(), |endpoint, listener, _| async move {
        let server = Server::with(endpoint, greet).on_handshake(async |h: Handshake| {
            match h.into_request().uri().path() {
                "/" => Ok(Accept::new()),
                _ => Err(StatusCode::NOT_FOUND),
            }
        });
        server.serve_on(listener).await.expect("a server");
    });
    let (head, peer) = ask(&served, &Request::rfc6455().target("/nowhere"));
    assert_eq!(head.status(), 404);
    drop(peer);
    served.account();
    let (head, peer) = ask(&served, &Request::rfc6455());
    assert_eq!(head.status(), 101);
    goodbye(&served, peer);
    served.stop();
}
