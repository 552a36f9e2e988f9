//! Servers with the HTTP/2 of others: hyper's, over tokio-rustls, with our WebSockets on it and
//! without.

use std::convert::Infallible;
use std::sync::Arc;

use adieu::hyper::Upgrade;
use adieu::{Cause, CloseCode, Endpoint, Message, Socket, TransportKind};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio_rustls::TlsAcceptor;

use super::{World, echoes, url};
use crate::served::Served;

/// Whether it says that it takes WebSockets over HTTP/2.
fn serve(world: &World, takes_websockets: bool) -> Served {
    let mut config = world.authority.server_config();
    Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(config);
    Served::start(Endpoint::new(), move |endpoint, listener, _| async move {
        let endpoint = Arc::new(endpoint);
        loop {
            let (tcp, _) = listener.accept().await.expect("a client");
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            let endpoint = endpoint.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let endpoint = endpoint.clone();
                    async move {
                        Ok::<_, Infallible>(match Upgrade::new(request, endpoint).await {
                            Ok(upgrade) => upgrade.run(obeys),
                            Err(refusal) => refusal,
                        })
                    }
                });
                let mut builder = auto::Builder::new(TokioExecutor::new());
                if takes_websockets {
                    builder.http2().enable_connect_protocol();
                }
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(tls), service).await;
            });
        }
    })
}

/// Echoes, and closes when it is told to.
async fn obeys(mut socket: Socket) {
    while let Some(message) = socket.recv().await {
        if message.as_text() == Some("close") {
            drop(socket.close(CloseCode::from(4000)).await);
            return;
        }
        let _ = socket.send(message).await;
    }
}

#[test]
fn a_server_on_hypers_http2_is_parted_from_cleanly() {
    let world = World::new();
    let served = serve(&world, true);
    for n in 0..20 {
        let by_server = n % 2 == 0;
        let mut socket = world.connect(&url(served.addr, "/"));
        let ending = world.wait(async {
            echoes(&mut socket, "hello").await;
            if by_server {
                socket.send(Message::from("close")).await.unwrap();
                socket.ended().await
            } else {
                socket.close(4001).await
            }
        });
        assert_eq!(ending.transport.kind, TransportKind::Http2);
        assert!(ending.is_clean(), "{n}: {ending}");
        assert_eq!(ending.cause, if by_server { Cause::Peer } else { Cause::Application });
        let theirs = served.account().ending;
        assert!(theirs.is_clean(), "{n}: {theirs}");
    }
    served.stop();
}

#[test]
fn a_server_on_hyper_that_has_http2_for_pages_alone_is_spoken_to_over_http_1() {
    let world = World::new();
    let served = serve(&world, false);
    for _ in 0..3 {
        let mut socket = world.connect(&url(served.addr, "/"));
        let ending = world.wait(async {
            echoes(&mut socket, "hello").await;
            socket.close(1000).await
        });
        assert_eq!(ending.transport.kind, TransportKind::Tls);
        assert!(ending.is_clean(), "{ending}");
        served.account();
    }
    served.stop();
}
