//! Handlers are not cancelled by a drain: they are waited for, up to a limit. Its ten seconds pass
//! in simulated time.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::{Cause, Drain, Endpoint, Server, Socket};
use testkit::{Frame, Head, Peer, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::oneshot;

use crate::pipe::{Pipe, open};
use crate::support;
use crate::{hear_out, numbers};

#[test]
fn a_handler_may_tidy_up_behind_its_connection() {
    let tidied = Arc::new(AtomicUsize::new(0));
    let handler = support::with(tidied.clone(), async |mut socket: Socket, tidied| {
        let tidied: Arc<AtomicUsize> = tidied;
        while socket.recv().await.is_some() {}
        socket.ended().await;
        drop(socket);
        tokio::time::sleep(Duration::from_millis(300)).await;
        tidied.fetch_add(1, SeqCst);
    });
    let host = crate::start(handler);
    let mut peers: Vec<_> = (0..5).map(|_| Peer::open(host.addr)).collect();
    host.drain.start();
    for peer in &mut peers {
        assert_eq!(hear_out(peer), (vec![], Some(1001)));
        host.account();
    }
    let drained = host.finish();
    assert_eq!(tidied.load(SeqCst), 5, "each was waited for");
    assert_eq!(numbers(&drained), (5, 0, 0, 0, 0));
    assert!(drained.lasted >= Duration::from_millis(300), "{drained}");
}

/// Answers the server's Close and ends.
async fn answer(pipe: &mut DuplexStream) {
    let mut bytes = [0; 4];
    pipe.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, *Frame::close(1001, "").unmasked());
    pipe.write_all(&Frame::close(1001, "").masked()).await.unwrap();
    pipe.shutdown().await.unwrap();
    assert_eq!(pipe.read(&mut bytes).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn handlers_that_outlive_the_limit_are_counted_and_left_to_themselves() {
    let drain = Drain::new();
    let returned = Arc::new(AtomicUsize::new(0));
    let ours = returned.clone();
    let handler = support::with(ours, async |mut socket: Socket, returned: Arc<AtomicUsize>| {
        while socket.recv().await.is_some() {}
        let long = if socket.request().map(adieu::Request::path) == Some("/long") { 60 } else { 9 };
        tokio::time::sleep(Duration::from_secs(long)).await;
        returned.fetch_add(1, SeqCst);
    });
    let server = Server::with(Endpoint::new().drain(drain.clone()), handler);
    let mut pipes = Vec::new();
    for path in ["/", "/long", "/", "/long"] {
        let (mut client, stream) = tokio::io::duplex(1024);
        tokio::spawn(server.connection(stream));
        client.write_all(&Request::rfc6455().target(path).bytes()).await.unwrap();
        let mut head = Vec::new();
        while Head::parse(&head).is_none() {
            head.push(client.read_u8().await.unwrap());
        }
        pipes.push(client);
    }
    drain.start();
    for pipe in &mut pipes {
        answer(pipe).await;
    }
    let drained = drain.finished().await;
    assert_eq!(numbers(&drained), (4, 0, 0, 0, 2));
    assert_eq!(returned.load(SeqCst), 2, "the others go on");
    let limit = Duration::from_secs(10);
    assert!(drained.lasted >= limit && drained.lasted < limit + Duration::from_secs(2));
    assert!(!drained.is_clean());
    assert!(drained.to_string().ends_with("2 handlers dropped"), "{drained}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(returned.load(SeqCst), 4, "nobody was cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_nobody_is_over_at_once() {
    let drain = Drain::new();
    drain.start();
    let drained = drain.finished().await;
    assert_eq!((numbers(&drained), drained.lasted), ((0, 0, 0, 0, 0), Duration::ZERO));
    assert!(drained.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_dropped_in_mid_drain_is_accounted_for() {
    let drain = Drain::new();
    let handler = async |mut socket: Socket| while socket.recv().await.is_some() {};
    let server = Server::with(Endpoint::new().drain(drain.clone()), handler);
    let (mut client, stream) = tokio::io::duplex(1024);
    let task = tokio::spawn(server.connection(stream));
    open(&mut client).await;
    drain.start();
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let drained = drain.finished().await;
    assert_eq!(drained.clean + drained.broken_off + drained.given_up, 1, "{drained}");
    assert_eq!(drained.handlers_dropped, 0, "a handler that was dropped does not run");
}

/// Whoever starts a drain in the middle of a wake of the driver need not wait for the next.
#[tokio::test(start_paused = true)]
async fn a_drain_that_a_handler_starts_is_no_later_than_others() {
    let (tell, started) = oneshot::channel::<Drain>();
    let started = Arc::new(Mutex::new(Some(started)));
    let handler = support::with(started, async |mut socket: Socket, started: Arc<Mutex<_>>| {
        let started: Option<oneshot::Receiver<Drain>> = started.lock().unwrap().take();
        let drain = started.unwrap().await.unwrap();
        drain.start();
        while socket.recv().await.is_some() {}
    });
    let mut pipe = Pipe::open(handler).await;
    tell.send(pipe.drain.clone()).unwrap();
    pipe.reads(&Frame::close(1001, "")).await;
    pipe.send(&Frame::close(1001, "")).await;
    pipe.reads_fin().await;
    pipe.peer.shutdown().await.unwrap();
    let drained = pipe.drain.finished().await;
    assert_eq!((numbers(&drained), drained.lasted), ((1, 0, 0, 0, 0), Duration::ZERO));
    assert_eq!(pipe.ending().await.cause, Cause::Drain);
}

/// The `Socket` is with somebody who is polled in the same task as its driver, and before it.
#[tokio::test(start_paused = true)]
async fn one_beside_the_driver_in_its_task_is_woken_too() {
    let (tell, told) = oneshot::channel::<Socket>();
    let tell = Arc::new(Mutex::new(Some(tell)));
    let handler = support::with(tell, async |socket: Socket, tell: Arc<Mutex<Option<_>>>| {
        let sender = socket.sender();
        let tell: oneshot::Sender<Socket> = tell.lock().unwrap().take().unwrap();
        tell.send(socket).unwrap();
        sender.ended().await;
    });
    let (mut peer, stream) = tokio::io::duplex(1024);
    let drain = Drain::new();
    let serving = Server::with(Endpoint::new().drain(drain.clone()), handler).connection(stream);
    let beside = async {
        let mut socket = told.await.unwrap();
        while let Some(message) = socket.recv().await {
            socket.send(message).await.unwrap();
        }
    };
    let both = tokio::spawn(async { tokio::join!(biased; beside, serving) });
    open(&mut peer).await;
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        peer.write_all(&Frame::text("hello").masked()).await.unwrap();
        let mut answer = vec![0; 7];
        peer.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, Frame::text("hello").unmasked());
    }
    drain.start();
    let mut close = vec![0; 4];
    peer.read_exact(&mut close).await.unwrap();
    assert_eq!(
        (began.elapsed(), &close[..]),
        (Duration::ZERO, &Frame::close(1001, "").unmasked()[..])
    );
    drop(peer);
    both.await.unwrap();
}
