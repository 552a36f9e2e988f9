//! An application that stays on hyper's own HTTP/2, as those of `axum::serve` do: hyper's
//! `Upgraded` hides in part how a stream ended, and the report says so.

use std::convert::Infallible;
use std::sync::Arc;

use adieu::hyper::Upgrade;
use adieu::{Cause, End, Endpoint, TransportKind};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use testkit::Frame;
use testkit::http2::{Http2Peer, code};

use crate::served::{Served, echo};

fn serve() -> Served {
    Served::start(Endpoint::new(), |endpoint, listener, _| async move {
        let endpoint = Arc::new(endpoint);
        loop {
            let (tcp, _) = listener.accept().await.expect("a client");
            let endpoint = endpoint.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let endpoint = endpoint.clone();
                    async move {
                        Ok::<_, Infallible>(match Upgrade::new(request, endpoint).await {
                            Ok(upgrade) => upgrade.run(echo),
                            Err(refusal) => refusal,
                        })
                    }
                });
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http2().enable_connect_protocol();
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(tcp), service).await;
            });
        }
    })
}

#[test]
fn what_hyper_does_not_tell_apart_is_told_as_not_told_apart() {
    let served = serve();
    let ways: [fn(&mut Http2Peer, u32); 3] = [
        |peer, stream| peer.end_stream(stream),
        |peer, stream| peer.reset_stream(stream, code::CANCEL),
        |peer, stream| peer.reset_stream(stream, code::NO_ERROR),
    ];
    for way in ways {
        let mut peer = Http2Peer::connect(served.addr);
        let stream = peer.open_websocket("example.com", "/", &[]);
        peer.send_ws(stream, &Frame::text("hello"));
        assert_eq!(peer.read_ws(stream), Frame::text("hello"));
        way(&mut peer, stream);
        let ending = served.account().ending;
        assert_eq!((&ending.cause, ending.transport.end), (&Cause::Eof, End::Finished), "{ending}");
        assert_eq!(ending.transport.kind, TransportKind::UpgradedHttp2, "{ending}");
        assert!(ending.to_string().contains("not told apart here"), "{ending}");
    }
    served.stop();
}

#[test]
fn closes_that_cross_are_a_clean_end() {
    let served = serve();
    let mut peer = Http2Peer::connect(served.addr);
    let stream = peer.open_websocket("example.com", "/", &[]);
    peer.send_ws_all_and_end(stream, &[Frame::close(4001, "bye")]);
    assert_eq!(peer.read_ws(stream).close_code(), Some(4001));
    let ending = served.account().ending;
    assert!(ending.is_clean(), "{ending}");
    drop(peer);
    served.stop();
}

#[test]
fn a_reset_with_an_error_is_told_with_hypers_error() {
    let served = serve();
    let mut peer = Http2Peer::connect(served.addr);
    let stream = peer.open_websocket("example.com", "/", &[]);
    peer.reset_stream(stream, code::INTERNAL_ERROR);
    let ending = served.account().ending;
    assert_eq!(ending.cause, Cause::TransportFailed, "{ending}");
    assert!(ending.to_string().contains("unexpected internal error"), "{ending}");
    drop(peer);
    served.stop();
}
