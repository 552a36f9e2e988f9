//! What the kernel had received before the drain is read and answered; what comes later is not,
//! and holds nothing up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use adieu::{Cause, End, Socket, Timer};
use testkit::{Frame, Peer, TcpEnd, wait_until};

use crate::support;
use crate::{Still, hear_out, numbers, open};

#[test]
fn what_had_arrived_is_answered() {
    const CLIENTS: usize = 40;
    const MESSAGES: usize = 50;
    let host = crate::start(support::echo);
    let mut peers = open(&host, CLIENTS);
    let still = Still::stand(&host);
    let batch: Vec<Frame> = (0..MESSAGES).map(|i| Frame::text(format!("question {i}"))).collect();
    let bytes: usize = batch.iter().map(|frame| frame.masked().len()).sum();
    for peer in &mut peers {
        peer.send_all(&batch);
    }
    for peer in &peers {
        wait_until("the server's kernel has all", || peer.unread_by_other_end() == bytes);
    }
    host.drain.start();
    drop(still);
    let mut unanswered = 0;
    for peer in &mut peers {
        let (answers, code) = hear_out(peer);
        assert_eq!(code, Some(1001));
        unanswered += MESSAGES - answers.len();
        assert_eq!(answers, batch[..answers.len()], "in order");
    }
    assert_eq!(unanswered, 0, "of {}", CLIENTS * MESSAGES);
    for _ in &peers {
        assert_eq!(host.account().ending.cause, Cause::Drain);
    }
    assert_eq!(numbers(&host.finish()), (CLIENTS, 0, 0, 0, 0));
}

#[test]
fn what_had_arrived_in_front_of_a_goodbye_is_answered_too() {
    let host = crate::start(async |mut socket: Socket| {
        while let Some(message) = socket.recv().await {
            // Each answer takes a moment, as one from a database does.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let _ = socket.send(message).await;
        }
    });
    let mut peers = open(&host, 8);
    let still = Still::stand(&host);
    let batch: Vec<Frame> = (0..50).map(|i| Frame::text(format!("question {i}"))).collect();
    for peer in &mut peers {
        peer.send_all(&[&batch[..], &[Frame::close(4001, "bye")]].concat());
        wait_until("the server's kernel has all", || peer.bytes_under_way() == 0);
    }
    host.drain.start();
    drop(still);
    for peer in &mut peers {
        assert_eq!(hear_out(peer), (batch.clone(), Some(4001)));
        assert_eq!(host.account().ending.cause, Cause::Peer);
    }
    assert_eq!(numbers(&host.finish()), (8, 0, 0, 0, 0));
}

#[test]
fn a_slow_handler_may_answer_all_of_it_while_it_is_at_work() {
    const MESSAGES: usize = 10;
    let host = crate::start(async |mut socket: Socket| {
        while let Some(message) = socket.recv().await {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let _ = socket.send(message).await;
        }
    });
    let mut peer = Peer::open(host.addr);
    let batch: Vec<Frame> = (0..MESSAGES).map(|i| Frame::text(format!("question {i}"))).collect();
    peer.send_all(&batch);
    wait_until("the server has all", || peer.unread_by_other_end() == 0);
    host.drain.start();
    assert_eq!(hear_out(&mut peer), (batch, Some(1001)));
    assert!(host.account().ending.is_clean());
    host.finish();
}

#[test]
fn an_uploader_that_never_stops_holds_nothing_up() {
    let received = Arc::new(AtomicU64::new(0));
    let handler = support::with(received.clone(), async |mut socket: Socket, received| {
        let received: Arc<AtomicU64> = received;
        while let Some(message) = socket.recv().await {
            received.fetch_add(message.len() as u64, SeqCst);
        }
    });
    let host = crate::start(handler);
    let uploaders: Vec<_> = (0..4)
        .map(|_| {
            let mut peer = Peer::open(host.addr);
            let over = Arc::new(AtomicBool::new(false));
            let ours = over.clone();
            let mut writer = peer.second();
            let upload = thread::spawn(move || {
                let frame = Frame::binary(vec![1; 16 * 1024]).masked();
                while !ours.load(SeqCst) && writer.try_write(&frame) {}
            });
            thread::spawn(move || {
                // It reads beside writing, and only then stops and answers.
                let close = peer.read_frame();
                over.store(true, SeqCst);
                upload.join().unwrap();
                peer.send(&close);
                let rest = peer.read_to_end();
                assert_eq!((rest.bytes, rest.end), (vec![], TcpEnd::Fin), "behind the Close");
                peer.fin();
                close.close_code()
            })
        })
        .collect();
    wait_until("they upload", || received.load(SeqCst) > 10_000_000);
    host.drain.start();
    for uploader in uploaders {
        assert_eq!(uploader.join().unwrap(), Some(1001));
        let ending = host.account().ending;
        assert!(ending.is_clean() && ending.cause == Cause::Drain, "{ending}");
    }
    let drained = host.finish();
    assert_eq!(numbers(&drained), (4, 0, 0, 0, 0));
    assert!(drained.lasted < Duration::from_secs(4), "{drained}");
}

#[test]
fn an_uploader_that_does_not_heed_the_close_is_given_up() {
    let host = crate::start(async |mut socket: Socket| while socket.recv().await.is_some() {});
    let mut peer = Peer::open(host.addr);
    let mut writer = peer.second();
    let upload = thread::spawn(move || {
        let frame = Frame::binary(vec![1; 16 * 1024]).masked();
        while writer.try_write(&frame) {}
    });
    wait_until("it uploads", || peer.unread_by_other_end() > 0);
    host.drain.start();
    assert_eq!(peer.read_frame().close_code(), Some(1001));
    // That it is heard is no sign that it reads.
    upload.join().unwrap();
    let ending = host.account().ending;
    assert_eq!(ending.cause, Cause::Drain, "{ending}");
    assert_eq!(ending.transport.end, End::LetGo(adieu::LetGo::Clock(Timer::Close)), "{ending}");
    let drained = host.finish();
    assert_eq!(numbers(&drained), (0, 0, 1, 0, 0));
    assert!(drained.lasted < crate::UNHEEDED, "{drained}");
}

#[test]
fn a_handler_that_never_reads_has_a_second() {
    let handler = async |socket: Socket| {
        // It answers nothing, and waits for the end of a connection that it does not read.
        socket.sender().ended().await;
    };
    let host = crate::start(handler);
    let mut peers: Vec<_> = (0..3).map(|_| Peer::open(host.addr)).collect();
    for peer in &mut peers {
        peer.send(&Frame::text("is anybody there?"));
    }
    host.drain.start();
    for peer in &mut peers {
        let (answers, code) = hear_out(peer);
        assert_eq!((answers, code), (vec![], Some(1001)));
        assert_eq!(host.account().ending.cause, Cause::Drain);
    }
    let drained = host.finish();
    assert_eq!(numbers(&drained), (3, 0, 0, 0, 0));
    // One second for the answers, and not the ten that handlers have in all.
    assert!(drained.lasted < Duration::from_secs(4), "{drained}");
}
