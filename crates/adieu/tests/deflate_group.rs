//! Broadcasts to members with and without compression. They inflate with a library that is not
//! ours.
#![cfg(feature = "deflate")]

mod support;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use adieu::{Config, Deflate, Group, Server, SlowConsumer, Socket};
use support::Host;
use testkit::{Frame, Inflater, Peer, Random, Request};

const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// A server of its own for each level: its members share the group with those of the others. What
/// a member says is said to it in private.
fn host(group: &Group, level: u8) -> Host {
    let handler = support::with(group.clone(), async |mut socket: Socket, group: Group| {
        let _member = group.join(&socket);
        while let Some(message) = socket.recv().await {
            let _ = socket.send(message).await;
        }
    });
    let deflate = Deflate { level, ..Deflate::default() };
    let config = Config { deflate: Some(deflate), send_queue: 128 * 1024, ..Config::default() };
    Host::run(Server::new(handler).config(config))
}

struct Member {
    peer: Peer,
    /// Of one that compresses.
    inflater: Option<Inflater>,
    /// Each message to it stands alone.
    alone: bool,
}

impl Member {
    /// Joins, with this offer if there is one.
    fn join(host: &Host, group: &Group, offer: Option<&str>) -> Self {
        let before = group.len();
        let request = Request::rfc6455();
        let request = match offer {
            Some(offer) => request.field("Sec-WebSocket-Extensions", offer),
            None => request,
        };
        let mut peer = Peer::connect_with(host.addr, |socket| {
            socket.set_recv_buffer_size(64 * 1024).expect("a receive buffer");
        });
        let head = peer.handshake(&request);
        assert_eq!(head.field("Sec-WebSocket-Extensions").is_some(), offer.is_some());
        testkit::wait_until("the member is in the group", || group.len() > before);
        let alone = offer.is_some_and(|offer| offer.contains("server_no_context_takeover"));
        Member { peer, inflater: offer.map(|_| Inflater::default()), alone }
    }

    /// The next text, and the frame that carried it.
    fn hear(&mut self) -> (String, Frame) {
        let frame = self.peer.read_frame();
        assert!(frame.fin && frame.opcode == 1, "{frame:x?}");
        let text = match (&mut self.inflater, frame.reserved) {
            (_, 0) => String::from_utf8(frame.payload.clone()).expect("text"),
            (Some(inflater), 0b100) => {
                if self.alone {
                    *inflater = Inflater::default();
                }
                inflater.text(&frame.payload)
            }
            _ => panic!("{frame:x?}"),
        };
        (text, frame)
    }

    /// Has the server say this to it alone.
    fn hear_in_private(&mut self, text: &str) -> Frame {
        self.peer.send(&Frame::text(text));
        let (heard, frame) = self.hear();
        assert_eq!(heard, text);
        frame
    }
}

/// A text of so many bytes that shrinks to somewhat more than a half.
fn text(random: &mut Random, len: usize) -> String {
    let mut text = String::new();
    while text.len() < len {
        text += &format!("{:016x}", random.next());
    }
    text.truncate(len);
    text
}

#[test]
fn a_broadcast_is_compressed_once_for_all_whatever_their_own_settings_are() {
    let group = Group::new(SlowConsumer::Wait);
    let hosts: Vec<Host> = (1..=9).map(|level| host(&group, level)).collect();
    let mut members: Vec<Member> =
        hosts.iter().map(|host| Member::join(host, &group, Some(OFFER))).collect();
    let mut random = Random::new(7);
    for round in 0..3 {
        let to_all = text(&mut random, 4000).repeat(2);
        let stats = hosts[0].runtime.block_on(group.broadcast(to_all.as_str()));
        assert_eq!(stats.sent, members.len());
        let frames: Vec<Frame> = members
            .iter_mut()
            .map(|member| {
                let (heard, frame) = member.hear();
                assert_eq!(heard, to_all);
                frame
            })
            .collect();
        assert!(frames.iter().all(|frame| frame.reserved == 0b100), "compressed");
        // Level 1 and level 9 write it in other bytes, as what is said in private shows.
        assert!(frames.iter().all(|frame| frame.payload == frames[0].payload), "once");
        let private: Vec<Frame> =
            members.iter_mut().map(|member| member.hear_in_private(&to_all[round..])).collect();
        assert!(private.iter().any(|frame| frame.payload != private[0].payload), "each alone");
    }
}

#[test]
fn all_decode_broadcasts_and_private_messages_in_any_order_and_those_without_compression_too() {
    let seed = testkit::seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let group = Group::new(SlowConsumer::Wait);
    let host = host(&group, Deflate::LEVEL);
    let offers = [
        Some(OFFER),
        None,
        Some("permessage-deflate; server_no_context_takeover"),
        Some("permessage-deflate; server_max_window_bits=10"),
        Some("permessage-deflate"),
        None,
    ];
    let mut members: Vec<Member> =
        offers.into_iter().map(|offer| Member::join(&host, &group, offer)).collect();
    let words = text(&mut random, 300);
    for _ in 0..200 {
        // From earlier text, so that messages refer to those before them.
        let len = [10, 100, 700, 5000, 70_000][random.below(5) as usize];
        let said = words.repeat(len / words.len() + 1);
        let said = &said[..len];
        match random.below(3) {
            0 => {
                let one = random.below(members.len() as u64) as usize;
                members[one].hear_in_private(said);
            }
            _ => {
                let stats = host.runtime.block_on(group.broadcast(said));
                assert_eq!(stats.sent, members.len());
                for member in &mut members {
                    let (heard, frame) = member.hear();
                    assert!(heard == said, "{} bytes", heard.len());
                    assert!(member.inflater.is_some() || frame.reserved == 0);
                }
            }
        }
    }
}

#[test]
fn a_member_that_is_waited_for_gets_what_was_compressed_for_the_others() {
    let group = Group::new(SlowConsumer::Wait);
    let (quick, slow) = (host(&group, 9), host(&group, 1));
    let mut reader = Member::join(&quick, &group, Some(OFFER));
    let mut sleeper = Member::join(&slow, &group, Some(OFFER));
    let (wake, woken) = std::sync::mpsc::channel();
    let hears = move |member: &mut Member| -> Vec<Vec<u8>> {
        let frames = std::iter::from_fn(|| member.peer.try_read_frame().ok());
        frames.take_while(|frame| frame.opcode == 1).map(|frame| frame.payload).collect()
    };
    let quick_hears = std::thread::spawn(move || hears(&mut reader));
    let slow_hears = std::thread::spawn(move || {
        woken.recv().expect("it is woken");
        hears(&mut sleeper)
    });
    let mut random = Random::new(5);
    let mut rounds = 0;
    let mut waits = false;
    while !waits {
        let to_all = text(&mut random, 60_000);
        let mut broadcast = pin!(group.broadcast(to_all.as_str()));
        let mut cx = Context::from_waker(Waker::noop());
        waits = broadcast.as_mut().poll(&mut cx) == Poll::Pending;
        if waits {
            // The slow one has no room; it may be that both have none.
            wake.send(()).expect("it sleeps");
            assert_eq!(quick.runtime.block_on(broadcast).sent, 2);
        }
        rounds += 1;
    }
    quick.drain.start();
    slow.drain.start();
    let (quick_heard, slow_heard) = (quick_hears.join().unwrap(), slow_hears.join().unwrap());
    assert_eq!((quick_heard.len(), slow_heard.len()), (rounds, rounds));
    assert!(quick_heard == slow_heard, "the same bytes");
}
