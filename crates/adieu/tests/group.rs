//! Broadcast: what each policy does to members that do not read.

mod support;

use std::sync::mpsc;

use adieu::{
    BroadcastStats, Cause, Close, CloseCode, Config, End, Group, Server, SlowConsumer, Socket,
};
use support::Host;
use testkit::{DEADLINE, Frame, Peer, Request, TcpEnd};

const MESSAGE: usize = 64 * 1024;
/// More than the kernel takes for a member that does not read, and its queue on top.
const ROUNDS: usize = 256;

/// A room in which every member's words are broadcast; tells each result.
fn room(slow: SlowConsumer) -> (Host, Group, mpsc::Receiver<BroadcastStats>) {
    let group = Group::new(slow);
    let (tell, told) = mpsc::channel();
    let handler =
        support::with((group.clone(), tell), async |mut socket: Socket, (group, tell)| {
            let (group, tell): (Group, mpsc::Sender<BroadcastStats>) = (group, tell);
            let _member = group.join(&socket);
            while let Some(message) = socket.recv().await {
                let result = group.broadcast(message).await;
                let _ = tell.send(result);
            }
        });
    // The one that reads at last may take its time.
    let config = Config { send_queue: 128 * 1024, drain_timeout: DEADLINE, ..Config::default() };
    (Host::run(Server::new(handler).config(config)), group, told)
}

fn member(host: &Host, group: &Group) -> Peer {
    let before = group.len();
    let mut peer = Peer::connect_with(host.addr, |socket| {
        socket.set_recv_buffer_size(64 * 1024).expect("a receive buffer");
    });
    peer.handshake(&Request::rfc6455());
    testkit::wait_until("the member is in the group", || group.len() > before);
    peer
}

fn payload(round: usize) -> Frame {
    Frame::binary(vec![round as u8; MESSAGE])
}

/// One member speaks and hears all; another never reads. Gives the sums of what became of it.
fn speak(speaker: &mut Peer, told: &mpsc::Receiver<BroadcastStats>) -> (usize, usize, usize) {
    let (mut sent, mut skipped, mut ended) = (0, 0, 0);
    for round in 0..ROUNDS {
        speaker.send(&payload(round));
        assert_eq!(speaker.read_frame(), payload(round), "the reader misses nothing");
        let result = told.recv_timeout(DEADLINE).expect("a result");
        sent += result.sent;
        skipped += result.skipped;
        ended += result.ended;
    }
    (sent, skipped, ended)
}

fn goodbye(host: &Host, mut peer: Peer) {
    peer.send(&Frame::close(1000, ""));
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    assert_eq!(host.account().ending.cause, Cause::Peer);
}

#[test]
fn who_is_too_slow_may_miss_messages_and_nobody_else_does() {
    let (host, group, told) = room(SlowConsumer::Skip);
    let slow = member(&host, &group);
    let mut speaker = member(&host, &group);
    let (sent, skipped, ended) = speak(&mut speaker, &told);
    assert!(skipped > 0 && ended == 0);
    assert_eq!(sent + skipped, 2 * ROUNDS);
    goodbye(&host, speaker);
    // What it was sent is whole and in order; what it missed is missing as whole messages.
    let mut slow = slow;
    slow.send(&Frame::close(1000, ""));
    let frames = slow.read_to_end().frames();
    let heard: Vec<_> = frames.iter().filter(|frame| frame.close_code().is_none()).collect();
    assert_eq!(heard.len(), sent - ROUNDS);
    assert!(heard.iter().all(|frame| frame.payload.len() == MESSAGE));
    drop(slow);
    host.account();
    testkit::wait_until("both have left the group", || group.is_empty());
    host.finish();
}

#[test]
fn who_is_too_slow_may_be_ended_with_a_reason() {
    let close = Close::new(CloseCode::POLICY_VIOLATION, "too slow").expect("a Close");
    let (host, group, told) = room(SlowConsumer::End(close));
    let mut slow = member(&host, &group);
    let mut speaker = member(&host, &group);
    let (_, skipped, ended) = speak(&mut speaker, &told);
    assert_eq!((skipped, ended), (0, 1), "ended once, passed over from then on");
    // It reads at last: everything it was sent, then why it was ended.
    let mut last = slow.read_frame();
    while last.close_code().is_none() {
        last = slow.read_frame();
    }
    assert_eq!(last, Frame::close(1008, "too slow"));
    slow.send(&Frame::close(1008, ""));
    assert_eq!(slow.read_to_end().end, TcpEnd::Fin);
    drop(slow);
    let account = host.account();
    assert_eq!(account.ending.cause, Cause::SlowConsumer);
    assert_eq!(account.ending.transport.end, End::Finished);
    goodbye(&host, speaker);
    host.finish();
}

#[test]
fn all_may_wait_for_the_slowest_and_nobody_misses_a_message() {
    let (host, group, told) = room(SlowConsumer::Wait);
    let mut slow = member(&host, &group);
    let mut speaker = member(&host, &group);
    let reader = std::thread::spawn(move || {
        for round in 0..ROUNDS {
            assert_eq!(slow.read_frame(), payload(round));
        }
        slow
    });
    let (sent, skipped, ended) = speak(&mut speaker, &told);
    assert_eq!((sent, skipped, ended), (2 * ROUNDS, 0, 0));
    let slow = reader.join().expect("the slow one heard all");
    goodbye(&host, slow);
    goodbye(&host, speaker);
    host.finish();
}

#[test]
fn all_members_hear_all_messages_in_one_order() {
    let (host, group, told) = room(SlowConsumer::Wait);
    let mut peers: Vec<_> = (0..8).map(|_| member(&host, &group)).collect();
    for (i, peer) in peers.iter_mut().enumerate() {
        let words: Vec<_> = (0..20).map(|n| Frame::text(format!("{i}:{n}"))).collect();
        peer.send_all(&words);
    }
    let heard: Vec<Vec<Frame>> =
        peers.iter_mut().map(|peer| (0..160).map(|_| peer.read_frame()).collect()).collect();
    assert!(heard.iter().all(|one| *one == heard[0]), "all hear the same in the same order");
    assert_eq!(told.iter().take(160).map(|result| result.sent).sum::<usize>(), 160 * 8);
    for peer in peers {
        goodbye(&host, peer);
    }
    host.finish();
}

#[test]
fn a_member_speaks_to_the_others_and_does_not_hear_itself() {
    let group = Group::new(SlowConsumer::Wait);
    let handler = support::with(group.clone(), async |mut socket: Socket, group: Group| {
        let member = group.join(&socket);
        while let Some(message) = socket.recv().await {
            let stats = member.broadcast_to_others(message).await;
            let all = member.group().broadcast(format!("told {}", stats.sent)).await;
            assert_eq!(all.sent, member.group().len());
        }
    });
    let host = Host::run(Server::new(handler));
    let mut peers: Vec<Peer> = (0..3).map(|_| member(&host, &group)).collect();
    peers[1].send(&Frame::text("hello"));
    assert_eq!(peers[0].read_frame(), Frame::text("hello"));
    assert_eq!(peers[2].read_frame(), Frame::text("hello"));
    for peer in &mut peers {
        assert_eq!(peer.read_frame(), Frame::text("told 2"));
    }
}
