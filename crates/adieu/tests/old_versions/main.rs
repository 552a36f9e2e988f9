//! The versions before RFC 6455 over real sockets: handshakes byte by byte, framing, closing,
//! and accounts as exact as each version allows.

mod frames;
mod handshake;
mod others;
#[path = "../perl/mod.rs"]
mod perl;
#[path = "../served/mod.rs"]
mod served;

use adieu::{
    Cause, Close, ClosingHandshake, Config, End, Endpoint, HandshakeError, Side, Version,
    VersionSet,
};
use served::{Account, Served, echo, echo_some, refusal_body, with};
use testkit::{Peer, TcpEnd, hixie};

const HEAD_76: &str = "HTTP/1.1 101 WebSocket Protocol Handshake\r\n\
    Upgrade: WebSocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Origin: http://example.com\r\n\
    Sec-WebSocket-Location: ws://example.com";

fn every_version() -> Endpoint {
    with(Config { versions: VersionSet::all(), ..Config::default() })
}

/// hixie's goodbye both ways, the peer's first.
fn both_by_peer() -> ClosingHandshake {
    ClosingHandshake::ReceivedThenSent { theirs: Close::empty(), ours: Close::empty() }
}

/// Says a text, hears it back, says goodbye, hears that back, and the FIN behind it.
fn echo_and_goodbye(peer: &mut Peer) {
    peer.write(hixie::text("grüße"));
    assert_eq!(peer.read_exact(9), hixie::text("grüße"));
    peer.write(hixie::CLOSE);
    let rest = peer.read_to_end();
    assert_eq!((&rest.bytes[..], rest.end), (&hixie::CLOSE[..], TcpEnd::Fin));
}

fn clean_76(served: &Served) -> Account {
    let account = served.ended(Cause::Peer, both_by_peer(), End::Finished, Side::Local);
    assert_eq!(account.version, Some(Version::Hixie76));
    assert!(account.ending.is_clean());
    account
}

/// Refused with this answer, and a sentence for people in it.
#[track_caller]
fn refused(
    served: &Served,
    request: &[u8],
    status: u16,
    versions: Option<&str>,
    error: HandshakeError,
) {
    let mut peer = Peer::connect(served.addr);
    peer.write(request);
    let head = peer.read_head();
    assert_eq!(head.status(), status, "{}", head.text);
    assert_eq!(head.field("Sec-WebSocket-Version"), versions);
    assert_eq!(head.field("Connection"), Some("close"));
    let rest = peer.read_to_end();
    assert_eq!((rest.text(), rest.end), (refusal_body(&error), TcpEnd::Fin));
    drop(peer);
    served.ended(Cause::Handshake(error), ClosingHandshake::None, End::Finished, Side::Local);
}

#[test]
fn perls_clients_of_hixie_76_and_version_8_are_served() {
    if !perl::available() {
        return;
    }
    let served = Served::server(Endpoint::new(), echo);
    perl::closes(&served, "");
    served.stop();
    let served = Served::server(Endpoint::new(), echo_some(2));
    perl::is_closed(&served, "");
    served.stop();
}
