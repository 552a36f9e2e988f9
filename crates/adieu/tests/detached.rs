//! A `Socket` that is moved into a task outlives its handler where the handler says so, and its
//! connection is counted like others.

mod support;

use std::sync::Mutex;
use std::sync::mpsc;

use adieu::{Cause, Close, CloseCode, ClosingHandshake, Detached, Drain, End, Socket};
use support::Host;
use testkit::{DEADLINE, Frame, Peer, TcpEnd, wait_until};
use tokio::sync::oneshot;

/// A connection whose task has answered, and whose handler has returned.
fn answered(host: &Host) -> Peer {
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("hello"));
    assert_eq!(peer.read_frame(), Frame::text("hello"));
    wait_until("the handler has returned", || host.drain.progress().handlers == 0);
    assert_eq!(host.drain.connections(), 1, "it is counted");
    peer
}

async fn in_a_task(socket: Socket) -> Detached {
    tokio::spawn(support::echo(socket));
    Detached
}

#[test]
fn a_socket_in_a_task_outlives_its_handler() {
    let host = Host::draining(Drain::new(), in_a_task);
    let mut peer = answered(&host);
    for text in ["one", "two"] {
        peer.send(&Frame::text(text));
        assert_eq!(peer.read_frame(), Frame::text(text));
    }
    peer.send(&Frame::close(4001, "bye"));
    let rest = peer.read_to_end();
    assert_eq!((rest.frames(), rest.end), (vec![Frame::close(4001, "")], TcpEnd::Fin));
    drop(peer);
    let ending = host.account().ending;
    assert_eq!((&ending.cause, ending.is_clean()), (&Cause::Peer, true), "{ending}");
    host.finish();
}

#[test]
fn it_ends_with_1001_when_its_socket_is_dropped() {
    let (tell, drops) = oneshot::channel::<()>();
    let drops = Mutex::new(Some(drops));
    let host = Host::draining(Drain::new(), move |socket: Socket| {
        let drops = drops.lock().unwrap().take().expect("one connection");
        async move {
            tokio::spawn(async move {
                tokio::select! {
                    _ = drops => {}
                    () = support::echo(socket) => {}
                }
            });
            Detached
        }
    });
    let mut peer = answered(&host);
    tell.send(()).unwrap();
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1001));
    drop(peer);
    assert_eq!(host.account().ending.cause, Cause::Dropped);
    host.finish();
}

#[test]
fn where_nobody_has_the_socket_it_ends_at_once() {
    let host = Host::start(async |_: Socket| Detached);
    let mut peer = Peer::open(host.addr);
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1001));
    drop(peer);
    assert_eq!(host.account().ending.cause, Cause::Dropped);
    host.finish();
}

/// What had arrived is answered by the task, then comes the Close; the drain waits for its end.
#[test]
fn a_drain_tells_it_and_waits_for_it() {
    let host = Host::draining(Drain::new(), in_a_task);
    let mut peer = answered(&host);
    host.drain.start();
    assert_eq!(peer.read_frame(), Frame::close(1001, ""));
    assert_eq!(host.drain.connections(), 1, "it is not over");
    peer.send(&Frame::close(1001, ""));
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    let ending = host.account().ending;
    let away = || Close::from(CloseCode::GOING_AWAY);
    let goodbye = ClosingHandshake::SentThenReceived { ours: away(), theirs: away() };
    assert_eq!((ending.cause, ending.closing_handshake), (Cause::Drain, goodbye));
    assert_eq!(ending.transport.end, End::Finished);
    let drained = host.finish();
    assert_eq!((drained.clean, drained.handlers_dropped), (1, 0), "{drained}");
}

#[test]
fn a_task_closes_it_with_words_of_its_own_and_hears_how_it_ended() {
    let (tell, endings) = mpsc::channel();
    let host = Host::start(support::with(tell, async |mut socket: Socket, tell| {
        tokio::spawn(async move {
            socket.recv().await;
            let tell: mpsc::Sender<_> = tell;
            tell.send(socket.close(Close::new(4002, "enough").unwrap()).await).unwrap();
        });
        Detached
    }));
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("hello"));
    assert_eq!(peer.read_to_end_answering(), Frame::close(4002, "enough"));
    drop(peer);
    let ending = endings.recv_timeout(DEADLINE).expect("the task hears of the end");
    assert_eq!(ending, host.account().ending);
    assert_eq!(ending.cause, Cause::Application);
    host.finish();
}

/// Without the word the return of a handler is the end, whoever has the `Socket`.
#[test]
fn a_handler_that_returns_without_the_word_closes_it() {
    let host = Host::start(async |socket: Socket| drop(tokio::spawn(support::echo(socket))));
    let mut peer = Peer::open(host.addr);
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1000));
    drop(peer);
    assert_eq!(host.account().ending.cause, Cause::HandlerReturned);
    host.finish();
}
