//! Bad input gets a clear answer, takes bounded memory, and leaves the server as it was.

mod frames;
mod heads;
#[path = "../support/heap.rs"]
mod heap;
mod old_frames;
#[path = "../support/proto.rs"]
mod proto;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use adieu::{Cause, Config, Ending, HandshakeError, ProtocolError, Server, VersionSet};
use support::Host;
use testkit::{Frame, Peer, TcpEnd};

const MIB: usize = 1024 * 1024;

/// An echo server of all versions that agrees on the subprotocol `chat`.
fn host(mut config: Config) -> Host {
    config.versions = VersionSet::all();
    Host::run(Server::new(support::echo).subprotocols(["chat"]).config(config))
}

/// Sends a request and expects a refusal: a status, a sentence, then a FIN. Gives the account's
/// reason.
fn refused(host: &Host, request: &[u8], status: u16) -> HandshakeError {
    let mut peer = Peer::connect(host.addr);
    peer.try_write(request);
    let head = peer.read_head();
    let rest = peer.read_to_end();
    let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    assert_eq!(head.status(), status, "{shown}");
    assert_eq!(rest.end, TcpEnd::Fin, "{shown}");
    let length = head.field("Content-Length").and_then(|n| n.parse().ok());
    assert_eq!(length, Some(rest.bytes.len()), "{shown}");
    assert!(rest.bytes.len() > 10, "a refusal says why: {shown}");
    drop(peer);
    let ending = host.account().ending;
    assert!(!ending.opened());
    match ending.cause {
        Cause::Handshake(error) => error,
        other => panic!("{other:?}: {shown}"),
    }
}

/// Writes bytes into an open WebSocket and expects a Close with this code, then a FIN. Gives the
/// account.
fn closed_with(host: &Host, bytes: &[u8], code: u16) -> Ending {
    let mut peer = Peer::open(host.addr);
    peer.try_write(bytes);
    let rest = peer.read_to_end();
    let shown = &bytes[..bytes.len().min(40)];
    assert_eq!(rest.end, TcpEnd::Fin, "{shown:x?}");
    let frames = rest.frames();
    let codes: Vec<_> = frames.iter().map(Frame::close_code).collect();
    assert_eq!(codes, [Some(code)], "{shown:x?} got {frames:?}");
    drop(peer);
    host.account().ending
}

/// The same, and the account blames the peer for this.
fn violates(host: &Host, bytes: &[u8], error: ProtocolError) {
    let ending = closed_with(host, bytes, error.close_code().get());
    assert_eq!(ending.cause, Cause::Violation(error), "{ending}");
}

/// The same for a message that is below the limit but for its many fragments.
fn has_too_many_fragments(host: &Host, bytes: &[u8], above: u64) {
    let ending = closed_with(host, bytes, 1009);
    let cause = ending.cause.clone();
    let Cause::Violation(ProtocolError::TooManyFragments { limit, .. }) = cause else {
        panic!("{ending}")
    };
    assert_eq!(limit, above, "{ending}");
}

/// Fails if `run` takes longer than anything linear could.
fn in_linear_time(run: impl FnOnce()) {
    let started = Instant::now();
    run();
    let took = started.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
}
