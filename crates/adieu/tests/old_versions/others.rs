//! hixie-75, which is off unless asked for, and the hybi drafts 7 and 8.

use adieu::{
    Cause, Close, CloseCode, ClosingHandshake, Config, End, Endpoint, HandshakeError, Side,
    Version, VersionSet,
};
use testkit::{Frame, Peer, Request, TcpEnd, hixie};

use crate::served::{Served, echo, echo_some, with};
use crate::{every_version, refused};

#[test]
fn hixie_75_is_off_unless_asked_for() {
    let served = Served::server(Endpoint::new(), echo);
    let error = HandshakeError::Version("hixie-75".to_owned());
    refused(&served, &Request::hixie75().bytes(), 426, Some("13, 8, 7"), error);
    served.stop();
}

#[test]
fn hixie_75_has_no_challenge_and_no_goodbye() {
    let served = Served::server(every_version(), echo_some(2));
    let request = Request::hixie75().target("/a?b=c");
    let mut peer = Peer::connect(served.addr);
    let head = peer.handshake(&request);
    let want = "HTTP/1.1 101 Web Socket Protocol Handshake\r\n\
        Upgrade: WebSocket\r\n\
        Connection: Upgrade\r\n\
        WebSocket-Origin: http://example.com\r\n\
        WebSocket-Location: ws://example.com/a?b=c";
    assert_eq!(head.text, want);
    // There FF 00 is a frame of length 0, and no goodbye.
    peer.write([&hixie::text("one")[..], &hixie::CLOSE, &hixie::text("two")].concat());
    let rest = peer.read_to_end();
    assert_eq!(rest.bytes, [hixie::text("one"), hixie::text("two")].concat());
    assert_eq!(rest.end, TcpEnd::Fin);
    drop(peer);
    let account =
        served.ended(Cause::HandlerReturned, ClosingHandshake::None, End::Finished, Side::Local);
    assert_eq!(account.version, Some(Version::Hixie75));
    assert!(account.ending.opened() && !account.ending.is_clean());

    Peer::open_with(served.addr, &request).close();
    served.ended(Cause::Eof, ClosingHandshake::None, End::Finished, Side::Peer);
    let body = [request.field("Content-Length", "4").bytes(), b"body".to_vec()].concat();
    refused(&served, &body, 400, None, HandshakeError::Body);
    served.stop();
}

#[test]
fn versions_8_and_7_differ_in_a_field_and_a_number() {
    let only = |origin: Option<&str>| origin == Some("http://example.com");
    let served = Served::server(Endpoint::new().origin(only), echo);
    let early = Request::hybi(8)
        // An early npm `ws`: a key of 15 bytes, and both fields for the origin.
        .set("Sec-WebSocket-Key", "MTIzNDU2Nzg5MDEyMzQ1")
        .field("Origin", "http://the.server.itself");
    let late = Request::hybi(8)
        .without("Sec-WebSocket-Origin")
        .field("Origin", "http://example.com")
        .field("Sec-WebSocket-Extensions", "x-webkit-deflate-frame");
    let seven = Request::hybi(7).field("Sec-WebSocket-Extensions", "deflate-stream");
    for (request, version, accept) in [
        (Request::hybi(8), Version::Hybi08, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (early, Version::Hybi08, &testkit::accept_key("MTIzNDU2Nzg5MDEyMzQ1")),
        (late, Version::Hybi08, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (seven, Version::Hybi07, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        let mut peer = Peer::connect(served.addr);
        let head = peer.handshake(&request);
        assert_eq!(head.field("Sec-WebSocket-Accept"), Some(accept));
        assert_eq!(head.field("Sec-WebSocket-Extensions"), None);
        peer.send_all(&[Frame::binary(b"\x01\x02"), Frame::close(1000, "bye")]);
        let rest = peer.read_to_end();
        assert_eq!(rest.frames(), [Frame::binary(b"\x01\x02"), Frame::close(1000, "")]);
        drop(peer);
        let theirs = Close::new(1000, "bye").unwrap();
        let ours = CloseCode::NORMAL.into();
        let goodbye = ClosingHandshake::ReceivedThenSent { theirs, ours };
        let account = served.ended(Cause::Peer, goodbye, End::Finished, Side::Local);
        assert_eq!(account.version, Some(version));
    }
    let foreign = Request::hybi(8).set("Sec-WebSocket-Origin", "http://evil.example");
    let error = HandshakeError::Origin("http://evil.example".to_owned());
    refused(&served, &foreign.bytes(), 403, None, error);
    served.stop();
}

#[test]
fn unknown_versions_hear_which_are_served() {
    let served = Served::server(Endpoint::new(), echo);
    for version in [99, 6, 4, 0] {
        let error = HandshakeError::Version(version.to_string());
        let request = Request::hybi(version).bytes();
        refused(&served, &request, 426, Some("13, 8, 7"), error);
    }
    let only_13 = VersionSet::none().with(Version::Rfc6455);
    let served_13 = Served::server(with(Config { versions: only_13, ..Config::default() }), echo);
    let error = HandshakeError::Version("hybi-08".to_owned());
    refused(&served_13, &Request::hybi(8).bytes(), 426, Some("13"), error);
    served.stop();
    served_13.stop();
}
