//! One connection for all WebSockets of an origin.

use adieu::{CloseCode, Endpoint};
use testkit::Frame;
use testkit::http2::{Http2Frame, Http2Server, RawFrame, TAKES_WEBSOCKETS, code, setting};

use super::{World, echoes, url};
use crate::served::echo;

#[test]
fn websockets_to_one_origin_are_streams_of_one_connection() {
    let world = World::new();
    let served = world.serve(Endpoint::new(), echo);
    let mut first = world.connect(&url(served.addr, "/a"));
    let mut second = world.connect(&url(served.addr, "/b?c"));
    assert_eq!(first.peer().addr(), Some(served.addr));
    assert_eq!(second.http2().map(|http2| http2.stream), Some(3));
    let response = first.response().expect("a head");
    assert_eq!(response.status_line(), b"HTTP/2 200");
    world.wait(async {
        echoes(&mut first, "one").await;
        echoes(&mut second, "two").await;
    });
    let (first, second) =
        world.wait(async { tokio::join!(first.close(1000), second.close(CloseCode::NORMAL)) });
    for ending in [&first, &second] {
        assert!(ending.is_clean(), "{ending}");
    }
    let (first, second) = (first.http2.unwrap(), second.http2.unwrap());
    assert_eq!(first.connection, second.connection);
    assert_eq!((first.stream, second.stream), (1, 3));
    let (a, b) = (served.account(), served.account());
    assert!(a.ending.is_clean() && b.ending.is_clean(), "{} {}", a.ending, b.ending);
    let of = |account: &crate::served::Account| account.ending.http2.unwrap().connection;
    assert_eq!(of(&a), of(&b), "the server sees one connection, too");
    assert!(world.heard().is_clean() && world.heard().is_clean());
    served.stop();
    world.done();
}

#[test]
fn calls_at_the_same_time_share_one_attempt() {
    let world = World::new();
    let served = world.serve(Endpoint::new(), echo);
    let all: Vec<_> = (0..20).map(|_| world.connecting(url(served.addr, "/"))).collect();
    let sockets: Vec<_> = all.into_iter().map(|one| world.connected(one)).collect();
    let mut connections: Vec<_> = sockets
        .into_iter()
        .map(|socket| world.wait(socket.close(1000)).http2.expect("HTTP/2").connection)
        .collect();
    connections.dedup();
    assert_eq!(connections.len(), 1, "{connections:?}");
    for _ in 0..20 {
        assert!(served.account().ending.is_clean());
    }
    served.stop();
}

#[test]
fn a_clone_shares_the_connection_and_one_that_trusts_others_has_its_own() {
    let world = World::new();
    let served = world.serve(Endpoint::new(), echo);
    let first = world.connect(&url(served.addr, "/"));
    let clone = world.client.clone().header("X-A", "b");
    let other = clone.clone().tls(adieu::tls::client_config_with(world.authority.roots.clone()));
    let clone = world.wait(clone.connect(&url(served.addr, "/"))).unwrap();
    let other = world.wait(other.connect(&url(served.addr, "/"))).unwrap();
    let ids: Vec<_> = [first, clone, other]
        .into_iter()
        .map(|socket| world.wait(socket.close(1000)).http2.unwrap().connection)
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
    for _ in 0..3 {
        served.account();
    }
    served.stop();
}

/// Answers the Close of the client, and ends the stream.
fn closes(server: &mut Http2Server, stream: u32) {
    let (frame, end) = server.read_ws(stream);
    assert_eq!((frame.close_code(), end), (Some(1000), false));
    server.send_raw(&Http2Server::data(stream, Frame::close(1000, "").unmasked(), true));
}

#[test]
fn above_the_servers_limit_of_streams_a_new_connection_is_made() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let limit = [TAKES_WEBSOCKETS, (setting::MAX_CONCURRENT_STREAMS, 1)];
    let connecting = world.connecting(raw.url());
    let mut first_server = raw.http2(&limit);
    assert_eq!(first_server.open_websocket(), 1);
    let first = world.connected(connecting);
    let connecting = world.connecting(raw.url());
    let mut second_server = raw.http2(&limit);
    assert_eq!(second_server.open_websocket(), 1);
    let second = world.connected(connecting);
    // One has ended: there is room on its connection.
    let closing = world.runtime.spawn(first.close(1000));
    closes(&mut first_server, 1);
    assert!(world.wait(closing).unwrap().is_clean());
    let connecting = world.connecting(raw.url());
    assert_eq!(first_server.open_websocket(), 3);
    drop((world.connected(connecting), second));
}

#[test]
fn a_server_that_allows_no_stream_at_all_is_spoken_to_over_http_1() {
    let world = World::new();
    let raw = world.raw(&["h2", "http/1.1"]);
    let connecting = world.connecting(raw.url());
    let _server = raw.http2(&[TAKES_WEBSOCKETS, (setting::MAX_CONCURRENT_STREAMS, 0)]);
    let _tls = raw.http1();
    drop(world.connected(connecting));
}

#[test]
fn behind_a_goaway_a_new_connection_is_made_and_the_open_stream_goes_on() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    server.open_websocket();
    let mut first = world.connected(connecting);
    server.send_raw(&RawFrame::goaway(1, code::NO_ERROR, ""));
    // Behind the message the GOAWAY has been read.
    server.send_ws(1, &Frame::text("still here"));
    let heard = world.wait(first.recv()).unwrap();
    assert_eq!(heard.as_text(), Some("still here"));
    let connecting = world.connecting(raw.url());
    let mut other = raw.websockets();
    other.open_websocket();
    let second = world.connected(connecting);
    let closing = world.runtime.spawn(first.close(1000));
    closes(&mut server, 1);
    let ending = world.wait(closing).unwrap();
    assert!(ending.is_clean(), "{ending}");
    assert_eq!(ending.http2.unwrap().goaway, Some(adieu::Http2ErrorCode::NO_ERROR));
    server.read_to_end();
    drop(second);
}

#[test]
fn a_websocket_goes_on_without_its_client_and_the_connection_ends_behind_it() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    let stream = server.open_websocket();
    let mut socket = world.connected(connecting);
    let World { client, runtime, .. } = world;
    drop(client);
    server.send_ws(stream, &Frame::text("and now?"));
    let heard = runtime.block_on(socket.recv()).unwrap();
    assert_eq!(heard.as_text(), Some("and now?"));
    let closing = runtime.spawn(socket.close(1000));
    closes(&mut server, stream);
    let (frames, end) = server.read_to_end();
    assert_eq!(end, testkit::TcpEnd::Fin, "a close_notify, or a FIN");
    let goes = frames.iter().any(|frame| matches!(frame, Http2Frame::GoAway(_)));
    assert!(goes, "{frames:?}");
    drop(server);
    assert!(runtime.block_on(closing).unwrap().is_clean());
}

#[test]
fn a_connection_whose_server_has_ended_it_is_not_used_again() {
    let world = World::new();
    let raw = world.raw(&["h2"]);
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    server.open_websocket();
    let first = world.connected(connecting);
    server.fin();
    world.wait(first.ended());
    let connecting = world.connecting(raw.url());
    let mut server = raw.websockets();
    assert_eq!(server.open_websocket(), 1);
    drop(world.connected(connecting));
}
