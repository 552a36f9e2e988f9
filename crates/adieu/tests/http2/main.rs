//! WebSockets over HTTP/2 (RFC 8441), with a raw client: what each side says when a stream ends or
//! its connection does, and what the report tells of it.
#![cfg(feature = "http2")]

mod abuse;
mod client;
mod closing;
mod endings;
mod faults;
mod ordinary;
mod over_tls;
mod protocol;
mod requests;
#[path = "../served/mod.rs"]
mod served;
#[cfg(feature = "tls")]
#[path = "../tls_peer/mod.rs"]
mod tls_peer;
mod upgraded;

use adieu::{Endpoint, Handler, Server};
use served::Served;
use testkit::http2::Http2Peer;

/// A server that speaks HTTP/2 by prior knowledge.
fn serve(endpoint: Endpoint, handler: impl Handler) -> Served {
    Served::start(endpoint, |endpoint, listener, _| async move {
        let server = Server::with(endpoint, handler).http2_cleartext(true);
        server.serve_on(listener).await.expect("a server");
    })
}

/// A client with one open WebSocket.
fn open(served: &Served) -> (Http2Peer, u32) {
    let mut peer = Http2Peer::connect(served.addr);
    let stream = peer.open_websocket("example.com", "/chat?room=1", &[]);
    (peer, stream)
}
