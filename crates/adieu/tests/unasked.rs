//! A handler that first finds out whether its peer is welcome takes in no more than it wants to.

mod support;

use std::sync::Arc;

use adieu::{Config, Server, Socket};
use support::Host;
use testkit::{Frame, Peer};
use tokio::sync::{Notify, mpsc};

const UNASKED: usize = 4 * 1024;

/// What a handler that has not asked for a message hears.
struct Told {
    ask: Notify,
    heard: mpsc::UnboundedSender<usize>,
}

fn server(heard: mpsc::UnboundedSender<usize>) -> (Host, Arc<Told>) {
    let told = Arc::new(Told { ask: Notify::new(), heard });
    let handler = support::with(told.clone(), async |mut socket: Socket, told: Arc<Told>| {
        told.ask.notified().await;
        while let Some(message) = socket.recv().await {
            let _ = told.heard.send(message.len());
        }
    });
    let config = Config { receive_unasked: UNASKED, ..Config::default() };
    (Host::run(Server::new(handler).config(config)), told)
}

#[cfg(target_os = "linux")]
#[test]
fn before_the_handler_asks_the_rest_stays_in_the_kernel() {
    let (heard, mut hears) = mpsc::unbounded_channel();
    let (host, told) = server(heard);
    let mut peer = Peer::open(host.addr);
    let frame = Frame::binary(vec![7; 32 * 1024]);
    peer.send(&frame);
    // The frame has a header of 8 bytes.
    let left = frame.payload.len() + 8 - UNASKED;
    testkit::wait_until("so much is read", || peer.unread_by_other_end() == left);
    // However long one looks.
    for _ in 0..100 {
        assert_eq!(peer.unread_by_other_end(), left);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    told.ask.notify_one();
    assert_eq!(hears.blocking_recv(), Some(frame.payload.len()));
    peer.send(&frame);
    assert_eq!(hears.blocking_recv(), Some(frame.payload.len()), "there is no limit any more");
}

#[test]
fn a_peer_that_goes_is_heard_though_nobody_asked() {
    let (closing, closes) = std::sync::mpsc::channel();
    let handler = support::with(closing, async |socket: Socket, closing| {
        let closing: std::sync::mpsc::Sender<()> = closing;
        while !socket.sender().peer_has_ended() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        closing.send(()).unwrap();
    });
    let config = Config { receive_unasked: UNASKED, ..Config::default() };
    let host = Host::run(Server::new(handler).config(config));
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("too early"));
    peer.send(&Frame::close(1000, ""));
    closes.recv().unwrap();
    while peer.read_frame().close_code().is_none() {}
    peer.read_to_end();
}
