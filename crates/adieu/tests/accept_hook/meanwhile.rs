//! What happens while the application takes its time to decide.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use adieu::http::StatusCode;
use adieu::{Accept, Cause, Config, Endpoint, Handshake, HandshakeError, RefusedBy};
use testkit::{DEADLINE, Frame, Peer, Request, TcpEnd, wait_until};
use tokio::sync::oneshot;

use crate::{ALL, Through, goodbye, serve, told};

/// What a hook under way tells.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Asked,
    Dropped,
}

/// Tells that a decision under way was dropped.
struct Told(mpsc::Sender<Said>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(Said::Dropped);
    }
}

/// A hook that decides when it is told to, or never.
struct Slow {
    endpoint: Endpoint,
    said: mpsc::Receiver<Said>,
    decide: Option<oneshot::Sender<()>>,
}

fn slow(endpoint: Endpoint) -> Slow {
    let (tell, said) = mpsc::channel();
    let (decide, decides) = oneshot::channel();
    let (tell, decides) = (Mutex::new(tell), Arc::new(Mutex::new(Some(decides))));
    let endpoint = endpoint.on_handshake(move |_: Handshake| {
        let tell = tell.lock().unwrap().clone();
        let decides = decides.lock().unwrap().take().expect("asked once");
        async move {
            tell.send(Said::Asked).unwrap();
            let told = Told(tell);
            let decided = decides.await;
            // Decided is not dropped.
            std::mem::forget(told);
            match decided {
                Ok(()) => Ok(Accept::new()),
                Err(_) => Err(StatusCode::IM_A_TEAPOT),
            }
        }
    });
    Slow { endpoint, said, decide: Some(decide) }
}

impl Slow {
    fn says(&self, said: Said) {
        assert_eq!(self.said.recv_timeout(DEADLINE), Ok(said));
    }
}

#[test]
fn its_deadline_is_that_of_the_handshake() {
    for through in ALL {
        let handshake_timeout = Duration::from_secs(1);
        let config = Config { handshake_timeout, ..Config::default() };
        let mut slow = slow(Endpoint::new().config(config));
        let served = serve(through, std::mem::take(&mut slow.endpoint));
        let mut peer = Peer::connect(served.addr);
        peer.write(Request::rfc6455().bytes());
        slow.says(Said::Asked);
        assert_eq!(peer.read_head().status(), 408, "{through:?}");
        slow.says(Said::Dropped);
        assert_eq!(told(&served, through), (HandshakeError::TimedOut, None));
        drop(peer);
        served.stop();
    }
}

#[test]
fn a_panic_is_told_as_500() {
    for through in ALL {
        let served = serve(
            through,
            Endpoint::new().on_handshake(|h: Handshake| {
                assert!(h.request().uri().path() == "/later", "as the test wants it");
                async {
                    tokio::task::yield_now().await;
                    if true {
                        panic!("as the test wants it");
                    }
                    Err::<Accept, _>(StatusCode::OK)
                }
            }),
        );
        for target in ["/at-once", "/later"] {
            let mut peer = Peer::connect(served.addr);
            peer.write(Request::rfc6455().target(target).bytes());
            assert_eq!(peer.read_head().status(), 500, "{through:?} {target}");
            let panicked = (HandshakeError::Panicked, Some(RefusedBy::Panic));
            assert_eq!(told(&served, through), panicked);
        }
        served.stop();
    }
}

#[test]
fn a_drain_that_starts_meanwhile_refuses_with_503() {
    for through in ALL {
        let mut slow = slow(Endpoint::new());
        let served = serve(through, std::mem::take(&mut slow.endpoint));
        let mut peer = Peer::connect(served.addr);
        peer.write(Request::rfc6455().bytes());
        slow.says(Said::Asked);
        served.drain.start();
        let head = peer.read_head();
        assert_eq!((head.status(), head.field("Retry-After")), (503, Some("5")), "{through:?}");
        slow.says(Said::Dropped);
        let draining = (HandshakeError::Draining, Some(RefusedBy::Drain));
        assert_eq!(told(&served, through), draining);
        drop(peer);
        served.stop();
    }
}

/// hyper has the connection of a request and does not say how its peer went.
#[test]
fn a_peer_that_goes_meanwhile_is_reported_and_nobody_is_asked_any_more() {
    for through in ALL {
        for resets in [false, true] {
            let mut slow = slow(Endpoint::new());
            let served = serve(through, std::mem::take(&mut slow.endpoint));
            let mut peer = Peer::connect(served.addr);
            peer.write(Request::rfc6455().bytes());
            slow.says(Said::Asked);
            if resets {
                peer.reset();
            } else {
                peer.close();
            }
            slow.says(Said::Dropped);
            let want = match (through, resets) {
                (Through::Server, true) => HandshakeError::Reset,
                (Through::Server, false) => HandshakeError::Incomplete,
                _ => HandshakeError::RequestDropped,
            };
            assert_eq!(told(&served, through), (want, None), "{through:?}");
            served.stop();
        }
    }
}

/// Frames that come with the request and behind it reach the handler, in order.
#[test]
fn what_comes_behind_the_request_is_kept() {
    for through in ALL {
        let mut slow = slow(Endpoint::new());
        let served = serve(through, std::mem::take(&mut slow.endpoint));
        let mut peer = Peer::connect(served.addr);
        peer.write([Request::rfc6455().bytes(), Frame::text("with it").masked()].concat());
        slow.says(Said::Asked);
        let texts: Vec<Frame> = (0..60).map(|i| Frame::text(format!("{i:0>1000}"))).collect();
        peer.send_all(&texts);
        if through == Through::Server {
            // As much as is kept was read; the rest waits in the kernel.
            wait_until("it reads", || peer.unread_by_other_end() < 50_000);
        }
        slow.decide.take().unwrap().send(()).unwrap();
        assert_eq!(peer.read_head().status(), 101, "{through:?}");
        assert_eq!(peer.read_frame(), Frame::text("nobody none"));
        assert_eq!(peer.read_frame(), Frame::text("with it"));
        for text in &texts {
            assert_eq!(peer.read_frame(), *text);
        }
        goodbye(&served, peer);
        served.stop();
    }
}

/// What comes is not read on and on into memory while nobody has decided.
#[test]
fn no_more_is_kept_than_a_head_may_have() {
    let mut slow = slow(Endpoint::new());
    let served = serve(Through::Server, std::mem::take(&mut slow.endpoint));
    let mut peer = Peer::connect(served.addr);
    peer.write(Request::rfc6455().bytes());
    slow.says(Said::Asked);
    // More than the kernels of both ends take.
    let much = vec![0; 64 * 1024 * 1024];
    let most = peer.write_until_full(&much);
    assert!(most < much.len(), "all was read");
    // What the server does not keep is still in the kernels. Bytes that have come and are not
    // acknowledged yet are counted twice, so that there is more than was sent.
    wait_until("the server keeps no more than the limit and one read", || {
        let kept = most.checked_sub(peer.unread_by_other_end());
        kept.is_some_and(|kept| (1..=2 * 64 * 1024 + 16 * 1024).contains(&kept))
    });
    slow.decide.take().unwrap().send(()).unwrap();
    assert_eq!(peer.read_head().status(), 101);
    peer.reset();
    served.account();
    served.stop();
}

/// The future of a connection is dropped with its task.
#[test]
fn a_decision_is_dropped_with_its_server() {
    let mut slow = slow(Endpoint::new());
    let endpoint = std::mem::take(&mut slow.endpoint);
    let (tell, endings) = mpsc::channel();
    let endpoint = endpoint.on_end(move |ended| drop(tell.send(ended.ending.clone())));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (client, stream) = tokio::io::duplex(4096);
    let server = adieu::Server::with(endpoint, crate::greet);
    let serving = runtime.spawn(server.connection(stream));
    let mut client = client;
    let request = Request::rfc6455().bytes();
    runtime.block_on(tokio::io::AsyncWriteExt::write_all(&mut client, &request)).unwrap();
    slow.says(Said::Asked);
    serving.abort();
    slow.says(Said::Dropped);
    let ending = endings.recv_timeout(DEADLINE).unwrap();
    assert_eq!(ending.cause, Cause::Handshake(HandshakeError::Abandoned), "{ending}");
}

/// Where it is decided at once, the connection ends like any other.
#[test]
fn a_fin_behind_the_request_is_read_after_a_decision_at_once() {
    let endpoint =
        Endpoint::new().on_handshake(async |_: Handshake| Ok::<_, StatusCode>(Accept::new()));
    let served = serve(Through::Server, endpoint);
    let mut peer = Peer::connect(served.addr);
    peer.write(Request::rfc6455().bytes());
    assert_eq!(peer.read_head().status(), 101);
    peer.fin();
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    assert_eq!(served.account().ending.cause, Cause::Eof);
    served.stop();
}
