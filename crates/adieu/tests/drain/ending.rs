//! A drain that comes while a connection is ending already leaves it alone: it is read on to its
//! end, nothing spins meanwhile, and its account is what it would have been.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use adieu::{
    Cause, Close, CloseCode, ClosingHandshake, Config, Drain, End, Ending, Socket, Timer, defaults,
};
use testkit::{DEADLINE, Frame, Peer, TcpEnd, wait_until};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::pipe::Pipe;
use crate::support::{self, Host};
use crate::{numbers, open};

/// How long a peer is quiet: longer than a drain waits for a handler, within its time for a FIN.
const QUIET: Duration = Duration::from_millis(1500);

/// Wakes in a time in which the peer is quiet, at most: one to hear of what came before it, and one
/// by a clock that was set for an earlier deadline.
const WAKES: usize = 2;

/// Says goodbye with 1000 as soon as it hears anything.
async fn one_word(mut socket: Socket) {
    socket.recv().await;
}

/// Our goodbye was first and was answered in kind: as if nobody had stopped the server.
#[track_caller]
fn is_ours_and_clean(ending: &Ending, cause: &Cause, code: CloseCode) {
    let close = || Close::from(code);
    assert_eq!(ending.cause, *cause, "{ending}");
    let goodbye = ClosingHandshake::SentThenReceived { ours: close(), theirs: close() };
    assert_eq!(ending.closing_handshake, goodbye, "{ending}");
    assert!(ending.is_clean(), "{ending}");
}

#[tokio::test(start_paused = true)]
async fn a_close_that_was_sent_before_the_drain_is_waited_for() {
    let mut pipe = Pipe::open(one_word).await;
    pipe.send(&Frame::text("bye")).await;
    pipe.reads(&Frame::close(1000, "")).await;
    pipe.drain.start();
    let wakes = pipe.quiet(QUIET).await;
    assert!(wakes <= WAKES, "{wakes} wakes while the peer was quiet");
    // What it still had to send is read, though nobody hears it.
    let frame = Frame::binary(vec![7; 4096]);
    for _ in 0..16 {
        pipe.send(&frame).await;
    }
    pipe.send(&Frame::close(1000, "")).await;
    pipe.reads_fin().await;
    pipe.peer.shutdown().await.unwrap();
    let drained = pipe.drain.finished().await;
    assert_eq!(numbers(&drained), (1, 0, 0, 0, 0));
    assert!(drained.lasted < 2 * QUIET, "{drained}");
    is_ours_and_clean(&pipe.ending().await, &Cause::HandlerReturned, CloseCode::NORMAL);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_answered_before_the_drain_is_waited_for_until_its_fin() {
    let mut pipe = Pipe::open(one_word).await;
    pipe.send(&Frame::text("bye")).await;
    pipe.reads(&Frame::close(1000, "")).await;
    pipe.send(&Frame::close(1000, "")).await;
    pipe.reads_fin().await;
    pipe.drain.start();
    let wakes = pipe.quiet(QUIET).await;
    assert!(wakes <= WAKES, "{wakes} wakes while the peer was quiet");
    pipe.peer.shutdown().await.unwrap();
    let drained = pipe.drain.finished().await;
    assert_eq!(numbers(&drained), (1, 0, 0, 0, 0));
    assert!(drained.lasted < defaults::LINGER, "{drained}");
    is_ours_and_clean(&pipe.ending().await, &Cause::HandlerReturned, CloseCode::NORMAL);
}

/// The handler ends it, and the peer is quiet for a while before it answers.
async fn is_ended_by_its_handler_in_a_drain(mut pipe: Pipe, cause: Cause, code: CloseCode) {
    pipe.send(&Frame::text("a long task")).await;
    pipe.quiet(Duration::from_millis(1)).await;
    pipe.drain.start();
    pipe.reads(&Frame::close(code.get(), "")).await;
    let wakes = pipe.quiet(QUIET).await;
    assert!(wakes <= WAKES, "{wakes} wakes while the peer was quiet");
    pipe.send(&Frame::close(code.get(), "")).await;
    pipe.reads_fin().await;
    pipe.peer.shutdown().await.unwrap();
    assert_eq!(numbers(&pipe.drain.finished().await), (1, 0, 0, 0, 0));
    is_ours_and_clean(&pipe.ending().await, &cause, code);
}

/// Less than what a drain gives to a handler.
const TASK: Duration = Duration::from_millis(300);

#[tokio::test(start_paused = true)]
async fn a_handler_that_returns_in_a_drain_has_the_word() {
    let handler = async |mut socket: Socket| {
        socket.recv().await;
        tokio::time::sleep(TASK).await;
    };
    let pipe = Pipe::open(handler).await;
    is_ended_by_its_handler_in_a_drain(pipe, Cause::HandlerReturned, CloseCode::NORMAL).await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_dropped_in_a_drain_is_waited_for_without_spinning() {
    let handler = async |mut socket: Socket| {
        socket.recv().await;
        tokio::time::sleep(TASK).await;
        drop(socket);
        tokio::time::sleep(2 * QUIET).await;
    };
    let pipe = Pipe::open(handler).await;
    is_ended_by_its_handler_in_a_drain(pipe, Cause::Dropped, CloseCode::GOING_AWAY).await;
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_is_being_answered_is_answered_in_a_drain_too() {
    // Two messages, each of which takes it a while; both answers fit into the time for them.
    let handler = async |mut socket: Socket| {
        while let Some(message) = socket.recv().await {
            tokio::time::sleep(defaults::GRACE / 3).await;
            let _ = socket.send(message).await;
        }
    };
    let mut pipe = Pipe::open(handler).await;
    for word in ["one", "two"] {
        pipe.send(&Frame::text(word)).await;
    }
    pipe.send(&Frame::close(4001, "that was all")).await;
    pipe.quiet(Duration::from_millis(1)).await;
    pipe.drain.start();
    pipe.quiet(Duration::from_millis(1)).await;
    // Its FIN comes while the handler is at work, and is read then.
    pipe.peer.shutdown().await.unwrap();
    let wakes = pipe.quiet(defaults::GRACE / 4).await;
    assert!(wakes <= WAKES, "{wakes} wakes while the handler was at work");
    for word in ["one", "two"] {
        pipe.reads(&Frame::text(word)).await;
    }
    pipe.reads(&Frame::close(4001, "")).await;
    pipe.reads_fin().await;
    assert_eq!(numbers(&pipe.drain.finished().await), (1, 0, 0, 0, 0));
    let ending = pipe.ending().await;
    assert!(ending.is_clean() && ending.cause == Cause::Peer, "{ending}");
    let read = ending.timeline.peer_ended.expect("its FIN");
    assert!(read < defaults::GRACE / 4, "its FIN was read after {read:?}");
}

/// A handler that lets go of its `Socket` and lives on until it is told to return.
fn lets_go(until: Arc<Notify>) -> impl adieu::Handler {
    support::with(until, async |socket: Socket, until: Arc<Notify>| {
        drop(socket);
        until.notified().await;
    })
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_socket_is_dropped_waits_without_spinning() {
    let returns = Arc::new(Notify::new());
    let mut pipe = Pipe::open(lets_go(returns.clone())).await;
    pipe.reads(&Frame::close(1001, "")).await;
    // With the server at work, and then while it stops.
    let wakes = pipe.quiet(QUIET).await;
    assert!(wakes <= WAKES, "{wakes} wakes while the peer was quiet");
    pipe.drain.start();
    let wakes = pipe.quiet(QUIET).await;
    assert!(wakes <= WAKES, "{wakes} wakes while the peer was quiet and the server stopped");
    pipe.send(&Frame::close(1001, "")).await;
    pipe.reads_fin().await;
    let wakes = pipe.quiet(QUIET).await;
    assert!(wakes <= WAKES, "{wakes} wakes while its FIN was awaited");
    pipe.peer.shutdown().await.unwrap();
    let wakes = pipe.quiet(QUIET).await;
    assert!(wakes <= WAKES, "{wakes} wakes for the FIN and while only the handler lived");
    returns.notify_one();
    let drained = pipe.drain.finished().await;
    assert_eq!(numbers(&drained), (1, 0, 0, 0, 0));
    is_ours_and_clean(&pipe.ending().await, &Cause::Dropped, CloseCode::GOING_AWAY);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_a_dropped_socket_is_given_up_without_spinning() {
    let returns = Arc::new(Notify::new());
    let mut pipe = Pipe::open(lets_go(returns.clone())).await;
    pipe.reads(&Frame::close(1001, "")).await;
    let before = pipe.polls();
    pipe.drain.start();
    returns.notify_one();
    let drained = pipe.drain.finished().await;
    assert_eq!(numbers(&drained), (0, 0, 1, 0, 0));
    // An exit waits no longer for a peer that was told before the drain than for the others.
    let limit = defaults::DRAIN_CLOSE_TIMEOUT;
    assert!(drained.lasted <= limit + QUIET, "{drained}");
    // Two seconds cost as little as one: a clock runs out, and nothing is before it.
    let wakes = pipe.polls() - before;
    assert!(wakes <= WAKES + 2, "{wakes} wakes in {:?}", drained.lasted);
    let ending = pipe.ending().await;
    assert_eq!(ending.cause, Cause::Dropped, "{ending}");
    assert_eq!(ending.transport.end, End::LetGo(adieu::LetGo::Clock(Timer::Close)), "{ending}");
}

#[test]
fn over_tcp_all_that_are_ending_when_it_starts_end_cleanly() {
    let handler = async |mut socket: Socket| {
        while let Some(message) = socket.recv().await {
            if message.as_bytes() == b"bye" {
                return;
            }
            let _ = socket.send(message).await;
        }
    };
    // The peers answer one after the other: how long that takes is no part of this test.
    let config = Config { drain_close_timeout: DEADLINE, ..Config::default() };
    let host = Host::draining_by(Drain::new(), handler, |server| server.config(config));
    let mut peers = open(&host, 8);
    for peer in &mut peers {
        peer.send(&Frame::text("bye"));
        assert_eq!(peer.read_frame().close_code(), Some(1000));
    }
    let (unanswered, answered) = peers.split_at_mut(4);
    for peer in answered.iter_mut() {
        peer.send(&Frame::close(1000, ""));
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin, "its answer was read");
    }
    host.drain.start();
    answered.iter_mut().for_each(Peer::fin);
    // What was still under way to us is read, though nobody hears it.
    let rest = vec![Frame::binary(vec![7; 64 * 1024]); 16];
    for peer in unanswered {
        peer.send_all(&rest);
        peer.send(&Frame::close(1000, ""));
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin, "its answer was read");
        peer.fin();
    }
    for _ in 0..8 {
        is_ours_and_clean(&host.account().ending, &Cause::HandlerReturned, CloseCode::NORMAL);
    }
    assert_eq!(numbers(&host.finish()), (8, 0, 0, 0, 0));
}

#[test]
fn over_tcp_a_dropped_socket_does_not_spin_either() {
    let wakes = Arc::new(AtomicUsize::new(0));
    let handler = support::with(wakes.clone(), async |socket: Socket, wakes: Arc<AtomicUsize>| {
        if socket.request().map(adieu::Request::path) != Some("/drops") {
            return support::echo(socket).await;
        }
        let sender = socket.sender();
        drop(socket);
        // The handler is polled in each wake of its connection.
        let mut ended = pin!(sender.ended());
        poll_fn(|cx| {
            wakes.fetch_add(1, SeqCst);
            ended.as_mut().poll(cx).map(drop)
        })
        .await;
    });
    let host = crate::start(handler);
    let mut other = open(&host, 1).remove(0);
    let mut peer = Peer::open_with(host.addr, &testkit::Request::rfc6455().target("/drops"));
    assert_eq!(peer.read_frame().close_code(), Some(1001));
    let before = wakes.load(SeqCst);
    host.drain.start();
    // Meanwhile another one is told, and answered, and over.
    assert_eq!(crate::hear_out(&mut other), (vec![], Some(1001)));
    assert_eq!(host.account().ending.cause, Cause::Drain);
    peer.send(&Frame::close(1001, ""));
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    peer.fin();
    is_ours_and_clean(&host.account().ending, &Cause::Dropped, CloseCode::GOING_AWAY);
    wait_until("its handler returns", || host.drain.progress().handlers == 0);
    let wakes = wakes.load(SeqCst) - before;
    assert!(wakes <= 20, "{wakes} wakes for a drain, an answer and a FIN");
    assert_eq!(numbers(&host.finish()), (2, 0, 0, 0, 0));
}
