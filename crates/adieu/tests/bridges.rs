//! What people bring from other libraries: halves, streams and sinks, room that is reserved, Pings,
//! text and JSON, errors of any type.
#![cfg(all(feature = "futures", feature = "json"))]

mod support;

use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use adieu::{
    Cause, CloseCode, Config, JsonError, Message, NotText, PingError, Receiver, Sender, Server,
    Socket, TrySendError, VersionSet,
};
use futures_util::{Sink, SinkExt, StreamExt};
use support::Host;
use testkit::{DEADLINE, Frame, Peer, Request};

/// A handler that tells the test something.
fn telling<T: Send + 'static>() -> (mpsc::Sender<T>, mpsc::Receiver<T>) {
    mpsc::channel()
}

#[test]
fn an_echo_forwards_the_stream_of_one_half_into_the_sink_of_the_other() {
    let host = Host::start(async |socket: Socket| {
        let (sender, receiver) = socket.split();
        receiver.map(Ok).forward(sender).await
    });
    let mut peer = Peer::open(host.addr);
    peer.send_all(&[Frame::text("one"), Frame::text("two"), Frame::close(4000, "")]);
    let rest = peer.read_to_end().frames();
    assert_eq!(rest, [Frame::text("one"), Frame::text("two"), Frame::close(4000, "")]);
    drop(peer);
    assert_eq!(host.account().ending.cause, Cause::Peer);
    host.finish();
}

#[test]
fn closing_the_sink_is_our_closing_handshake_and_waits_for_the_end() {
    let (tell, told) = telling();
    let host = Host::start(support::with(tell, async |mut socket: Socket, tell| {
        let tell: mpsc::Sender<(bool, Option<Message>)> = tell;
        SinkExt::<Message>::send(&mut socket, "last".into()).await.unwrap();
        let closed = SinkExt::<Message>::close(&mut socket).await.is_ok();
        tell.send((closed, socket.next().await)).unwrap();
    }));
    let mut peer = Peer::open(host.addr);
    assert_eq!(peer.read_frame(), Frame::text("last"));
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1000));
    drop(peer);
    assert_eq!(told.recv_timeout(DEADLINE).unwrap(), (true, None));
    assert_eq!(host.account().ending.cause, Cause::Application);
    host.finish();
}

#[test]
fn the_receiving_half_owns_the_connection_and_the_sending_half_does_not() {
    let (tell, told) = telling();
    let host = Host::start(support::with(tell, async |socket: Socket, tell| {
        let tell: mpsc::Sender<bool> = tell;
        let id = socket.id();
        let (sender, mut receiver): (Sender, Receiver) = socket.split();
        drop(sender.clone());
        let message = receiver.recv().await.unwrap();
        let socket = receiver.reunite(sender).unwrap();
        assert_eq!(socket.id(), id);
        let (sender, receiver) = socket.split();
        sender.send(message).await.unwrap();
        drop(receiver);
        sender.ended().await;
        let closed = sender.send("nobody reads").await.unwrap_err();
        tell.send(closed.connection() == id).unwrap();
    }));
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("both halves"));
    assert_eq!(peer.read_frame(), Frame::text("both halves"));
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1001));
    drop(peer);
    assert!(told.recv_timeout(DEADLINE).unwrap());
    assert_eq!(host.account().ending.cause, Cause::Dropped);
    host.finish();
}

/// A queue with room for one reserved message.
fn small() -> Config {
    Config { send_queue: 1, ..Config::default() }
}

#[test]
fn room_that_is_reserved_is_kept_and_given_back() {
    let handler = async |socket: Socket| {
        let sender = socket.sender();
        let permit = sender.reserve().await?;
        let Err(TrySendError::Full(message)) = socket.try_send("no room") else {
            panic!("the room is reserved");
        };
        assert_eq!(message.as_text(), Some("no room"));
        // A second one waits until the first is given back; a wait that is given up keeps nothing.
        let waiting = tokio::spawn(async move { sender.reserve().await });
        tokio::task::yield_now().await;
        let given_up = tokio::time::timeout(Duration::ZERO, socket.reserve()).await;
        assert!(given_up.is_err(), "no room");
        drop(permit);
        waiting.await.unwrap()?.send("by the second")?;
        let permit = socket.reserve().await?;
        permit.send("by the third")?;
        socket.send("and without").await
    };
    let host = Host::run(Server::new(handler).config(small()));
    let mut peer = Peer::open(host.addr);
    for text in ["by the second", "by the third", "and without"] {
        assert_eq!(peer.read_frame(), Frame::text(text));
    }
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1000));
    drop(peer);
    host.account();
    host.finish();
}

#[test]
fn who_waits_for_reserved_room_hears_that_the_connection_ends() {
    let handler = async |mut socket: Socket| {
        let permit = socket.reserve().await?;
        let sender = socket.sender();
        let waiting = tokio::spawn(async move { sender.reserve().await.map(drop) });
        assert_eq!(socket.recv().await, None);
        socket.ended().await;
        let waited = waiting.await.unwrap();
        assert_eq!(waited.unwrap_err().connection(), socket.id());
        permit.send("too late")
    };
    let host = Host::run(Server::new(handler).config(small()));
    let peer = Peer::open(host.addr);
    drop(peer);
    assert_ne!(host.account().ending.cause, Cause::Panicked);
    host.finish();
}

#[test]
fn a_ping_resolves_at_its_pong_and_those_before_it_too() {
    let (tell, told) = telling();
    let host = Host::start(support::with(tell, async |mut socket: Socket, tell| {
        let tell: mpsc::Sender<bool> = tell;
        assert_eq!(socket.round_trip().pong, None);
        let sender = socket.sender();
        let three =
            tokio::spawn(async move { tokio::join!(sender.ping(), sender.ping(), sender.ping()) });
        assert_eq!(socket.recv().await.unwrap().as_text(), Some("first come the Pongs"));
        let (a, b, c) = three.await.unwrap();
        let all = [a.unwrap(), b.unwrap(), c.unwrap()];
        tell.send(all[0] >= all[2] && socket.round_trip().pong == Some(all[2])).unwrap();
        while socket.recv().await.is_some() {}
    }));
    let mut peer = Peer::open(host.addr);
    let pings: Vec<_> = (0..3).map(|_| peer.read_frame()).collect();
    assert!(pings.iter().all(|ping| ping.opcode == 9 && ping.payload.len() == 8), "{pings:?}");
    // A peer may answer only the newest of several (§5.5.3).
    peer.send(&Frame::pong(pings[2].payload.clone()));
    peer.send(&Frame::text("first come the Pongs"));
    assert!(told.recv_timeout(DEADLINE).unwrap());
    peer.send(&Frame::close(1000, ""));
    peer.read_to_end();
    drop(peer);
    host.account();
    host.finish();
}

#[test]
fn a_ping_that_cannot_be_answered_says_why() {
    let (tell, told) = telling();
    let handler = support::with(tell, async |mut socket: Socket, tell| {
        let tell: mpsc::Sender<Vec<PingError>> = tell;
        let sender = socket.sender();
        let pings = (0..18).map(|_| sender.ping());
        let all = futures_util::future::join_all(pings);
        let (errors, _) = tokio::join!(all, async { while socket.recv().await.is_some() {} });
        let too_late = sender.ping().await;
        let all = errors.into_iter().chain([too_late]);
        tell.send(all.filter_map(Result::err).collect()).unwrap();
    });
    let config = Config { versions: VersionSet::all(), ..Config::default() };
    let host = Host::run(Server::new(handler).config(config));
    let mut peer = Peer::open(host.addr);
    for _ in 0..16 {
        peer.read_frame();
    }
    drop(peer);
    let errors = told.recv_timeout(DEADLINE).unwrap();
    let too_many = errors.iter().filter(|error| matches!(error, PingError::TooMany(16))).count();
    let closed = errors.iter().filter(|error| matches!(error, PingError::Closed(_))).count();
    assert_eq!((too_many, closed), (2, 17), "{errors:?}");
    host.account();
    let mut old = Peer::open_with(host.addr, &Request::hixie76());
    old.fin();
    old.read_to_end();
    drop(old);
    let errors = told.recv_timeout(DEADLINE).unwrap();
    assert_eq!(errors.len(), 19);
    // The version never had one: that is the answer at the end of the connection too.
    assert!(errors.iter().all(|error| matches!(error, PingError::NoPing(_))), "{errors:?}");
    host.account();
    host.finish();
}

/// The code with which a handler's connection ends when the peer says this.
fn code_of(host: &Host, frame: &Frame) -> (Option<u16>, String) {
    let mut peer = Peer::open(host.addr);
    peer.send(frame);
    let code = peer.read_to_end_answering().close_code();
    drop(peer);
    let ending = host.account().ending;
    assert_eq!(ending.cause, Cause::HandlerFailed);
    (code, ending.error.map_or_else(String::new, |error| error.to_string()))
}

#[test]
fn a_binary_message_is_no_text() {
    let host = Host::start(async |mut socket: Socket| -> Result<(), NotText> {
        while socket.recv_text().await?.is_some() {}
        Ok(())
    });
    let (code, error) = code_of(&host, &Frame::binary("abc"));
    assert_eq!(code, Some(1003));
    assert_eq!(error, "a binary message of 3 bytes came where text is expected");
    host.finish();
}

#[test]
fn json_that_is_not_what_is_expected_is_1007() {
    let host = Host::start(async |mut socket: Socket| -> Result<(), JsonError> {
        while let Some((a, b)) = socket.recv_json::<(i32, i32)>().await? {
            socket.send_json(&(a + b)).await?;
        }
        Ok(())
    });
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("[1, 2]"));
    assert_eq!(peer.read_frame(), Frame::text("3"));
    drop(peer);
    host.account();
    let (code, error) = code_of(&host, &Frame::text("[1, \"private\"]"));
    assert_eq!((code, &*error), (Some(1007), "a message is not the JSON that is expected"));
    assert_eq!(code_of(&host, &Frame::binary("[1, 2]")).0, Some(1003));
    host.finish();
}

#[test]
fn a_handler_may_fail_with_any_error_and_the_report_keeps_it() {
    let host = Host::start(async |mut socket: Socket| -> anyhow::Result<CloseCode> {
        let text = socket.recv_text().await?.unwrap_or_default();
        let number: u16 = text.parse()?;
        Ok(CloseCode::new(number))
    });
    let (code, error) = code_of(&host, &Frame::text("no number"));
    assert_eq!((code, &*error), (Some(1011), "invalid digit found in string"));
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("4001"));
    assert_eq!(peer.read_to_end_answering().close_code(), Some(4001));
    drop(peer);
    assert_eq!(host.account().ending.cause, Cause::HandlerReturned);
    host.finish();
}

#[test]
fn what_the_peer_says_after_our_close_is_given_until_its_own() {
    let (tell, told) = telling();
    let host = Host::start(support::with(tell, async |mut socket: Socket, tell| {
        let tell: mpsc::Sender<(Option<Message>, Option<Message>, bool)> = tell;
        socket.start_close(4000);
        let refused = socket.send("too late").await.is_err();
        tell.send((socket.recv().await, socket.recv().await, refused)).unwrap();
    }));
    let mut peer = Peer::open(host.addr);
    assert_eq!(peer.read_frame().close_code(), Some(4000));
    // It has not looked at our Close yet.
    peer.send_all(&[Frame::text("last words"), Frame::close(4000, "")]);
    assert_eq!(peer.read_to_end().frames(), []);
    drop(peer);
    let expected = (Some(Message::from("last words")), None, true);
    assert_eq!(told.recv_timeout(DEADLINE).unwrap(), expected);
    assert!(host.account().ending.is_clean());
    host.finish();
}

#[test]
fn what_nobody_reads_after_our_close_does_not_keep_the_peers_close_away() {
    let config = Config { receive_queue: 1000, ..Config::default() };
    let handler = async |socket: Socket| socket.start_close(4000);
    let host = Host::run(Server::new(handler).config(config));
    let mut peer = Peer::open(host.addr);
    assert_eq!(peer.read_frame().close_code(), Some(4000));
    let mut frames = vec![Frame::binary(vec![7; 500]); 100];
    frames.push(Frame::close(4000, ""));
    peer.send_all(&frames);
    assert_eq!(peer.read_to_end().frames(), []);
    drop(peer);
    assert!(host.account().ending.is_clean());
    host.finish();
}

#[test]
fn a_sink_waits_for_room_and_keeps_what_it_was_given() {
    let handler = async |socket: Socket| {
        let (mut sender, mut receiver) = socket.split();
        let permit = sender.reserve().await?;
        // No room: the sink waits, in its own task, and is woken when there is some.
        let mut ready = Box::pin(async move {
            SinkExt::<Message>::send(&mut sender, "through the sink".into()).await?;
            Ok::<_, adieu::Closed>(sender)
        });
        let waits =
            std::future::poll_fn(|cx| Poll::Ready(ready.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "the room is reserved");
        let sending = tokio::spawn(ready);
        tokio::task::yield_now().await;
        drop(permit);
        let mut sender = sending.await.unwrap()?;
        // Room that a sink has and does not use is given back with it.
        std::future::poll_fn(|cx| Sink::<Message>::poll_ready(Pin::new(&mut sender), cx)).await?;
        assert!(matches!(sender.try_send("no room"), Err(TrySendError::Full(_))));
        let other = sender.clone();
        drop(sender);
        other.send("behind it").await?;
        receiver.recv().await;
        Ok::<(), adieu::Closed>(())
    };
    let host = Host::run(Server::new(handler).config(small()));
    let mut peer = Peer::open(host.addr);
    assert_eq!(peer.read_frame(), Frame::text("through the sink"));
    assert_eq!(peer.read_frame(), Frame::text("behind it"));
    peer.send(&Frame::close(1000, ""));
    peer.read_to_end();
    drop(peer);
    assert_eq!(host.account().ending.cause, Cause::Peer);
    host.finish();
}
