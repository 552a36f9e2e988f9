//! What holds for every message, every way to split the byte stream and every garbage.
#![allow(clippy::disallowed_methods)] // The fence is for the protocol, not for its tests.

mod driver;
mod frames;
mod generate;
mod lanes;
mod limits;

use std::sync::Arc;

use adieu_proto::{
    Cause, ClientRequest, Close, CloseRequest, Command, Config, Connection, Event, LetGo, Message,
    PeerEnd, Scratch, TransportEvent, Version, VersionSet,
};
use driver::{Driver, LONG, Used, accept, open, pair, server};
use frames::{fragments, parse};
use generate::{config, garbage, message, sizes};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_one_sends_the_other_receives(
        sent in vec((any::<bool>(), message()), 0..12),
        sizes in sizes(),
        step in 1..100_000usize,
        holds: bool,
    ) {
        let (mut client, mut server) = pair(Config::default());
        (client.holds, server.holds) = (holds, holds);
        for (from_client, message) in &sent {
            let from = if *from_client { &mut client } else { &mut server };
            from.send(message);
        }
        let (to_server, to_client) = (client.drain(step), server.drain(step));
        server.receive(&to_server, &sizes);
        client.receive(&to_client, &sizes);
        let of = |side: bool| sent.iter().filter(move |s| s.0 == side).map(|s| s.1.clone());
        prop_assert_eq!(server.messages, of(true).collect::<Vec<_>>());
        prop_assert_eq!(client.messages, of(false).collect::<Vec<_>>());
        let queued = client.connection.status().queued() + server.connection.status().queued();
        prop_assert_eq!(queued, 0);
    }

    #[test]
    fn fragments_become_messages_however_they_are_split(
        sent in vec((message(), vec(any::<usize>(), 0..6)), 1..6),
        mask: [u8; 4],
        sizes in sizes(),
        to_server: bool,
        from_pool: bool,
    ) {
        let mut driver = open(to_server, Config::default());
        if from_pool {
            driver.scratch = Scratch::with_pool(Arc::new(Used));
        }
        let mask = to_server.then_some(mask);
        let bytes: Vec<u8> =
            sent.iter().flat_map(|(m, places)| fragments(m, places, mask)).collect();
        let answers = driver.receive(&bytes, &sizes);
        let want: Vec<_> = sent.iter().map(|(message, _)| message.clone()).collect();
        prop_assert_eq!(&driver.messages, &want);
        // Each Ping has its own Pong, in order.
        let pings = sent.iter().flat_map(|(_, places)| 1..=places.len() as u8);
        let pongs = parse(&answers, !to_server).expect("whole frames");
        prop_assert!(pongs.iter().all(|pong| pong.first == 0x8A));
        let pongs: Vec<u8> = pongs.iter().flat_map(|pong| pong.payload.clone()).collect();
        prop_assert_eq!(pongs, pings.collect::<Vec<u8>>());
    }

    #[test]
    fn garbage_ends_in_one_report(
        stage in 0..7u8,
        bytes in garbage(),
        sizes in sizes(),
        ours in vec((0..40usize, 0..9u8), 0..4),
        how in end(),
        holds: bool,
    ) {
        let mut driver = at_stage(stage);
        driver.holds = holds;
        let mut rest = bytes.as_slice();
        for (i, size) in sizes.iter().cycle().enumerate() {
            if rest.is_empty() {
                break;
            }
            for (_, what) in ours.iter().filter(|(when, _)| *when == i) {
                does(&mut driver, *what);
            }
            let n = driver.receive_once(rest, *size);
            rest = &rest[n..];
            driver.drain(usize::MAX);
        }
        // What is told is bounded by what came: nothing is told twice.
        let told = driver.events.len() + driver.messages.len();
        prop_assert!(told <= bytes.len() + 5, "{told} events of {} bytes", bytes.len());
        if driver.endings() == 0 {
            match how {
                Ok(end) => driver.tell(TransportEvent::PeerEnded(end, None)),
                Err(why) => command(&mut driver, Command::LetGo(why)),
            }
        }
        driver.run_out();
        prop_assert_eq!(driver.endings(), 1);
        prop_assert!(matches!(driver.events.last(), Some(Event::Ended(_))), "it comes last");
        let ends = driver.events.iter().filter(|e| matches!(e, Event::EndOfMessages)).count();
        prop_assert!(ends <= 1);
    }
}

#[cfg(feature = "legacy")]
proptest! {
    #![proptest_config(config())]

    #[test]
    fn hixie_carries_text_both_ways(
        sent in vec((generate::text(), vec(any::<u8>(), 0..200)), 0..6),
        sizes in sizes(),
        with_challenge: bool,
    ) {
        let version = if with_challenge { Version::Hixie76 } else { Version::Hixie75 };
        let mut driver = server(version, Config::default());
        let mut bytes = Vec::new();
        for (message, skipped) in &sent {
            bytes.extend([&[0x00], message.as_bytes(), &[0xFF]].concat());
            // A frame with a length is skipped by count, whatever it holds.
            bytes.extend([0x80, 0x80 | (skipped.len() >> 7) as u8, skipped.len() as u8 & 0x7F]);
            bytes.extend(skipped);
        }
        driver.receive(&bytes, &sizes);
        let want: Vec<Message> = sent.iter().map(|(message, _)| message.clone()).collect();
        prop_assert_eq!(&driver.messages, &want);
        for message in &want {
            driver.send(message);
        }
        let want: Vec<u8> =
            want.iter().flat_map(|m| [&[0x00], m.as_bytes(), &[0xFF]].concat()).collect();
        prop_assert_eq!(driver.drain(sizes[0]), want);
    }
}

/// How a connection ends at last: the peer ends it, or our side lets go.
fn end() -> impl Strategy<Value = Result<PeerEnd, LetGo>> {
    prop_oneof![
        Just(Ok(PeerEnd::Finished)),
        Just(Ok(PeerEnd::Reset)),
        Just(Ok(PeerEnd::Lost)),
        Just(Ok(PeerEnd::Unknown)),
        Just(Err(LetGo::TaskDropped)),
        Just(Err(LetGo::Forced)),
    ]
}

/// A connection that is about to receive garbage.
fn at_stage(stage: u8) -> Driver {
    let now = std::time::Instant::now();
    let config = Config { versions: VersionSet::all(), ..Config::default() };
    let legacy = cfg!(feature = "legacy");
    match stage {
        0 => Driver::new(Connection::server(now, Arc::new(config)), now),
        1 => {
            let mut driver = Driver::new(Connection::server(now, Arc::new(config)), now);
            let head = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
                        Origin: o\r\n\r\n";
            driver.receive(head.as_bytes(), &[usize::MAX]);
            driver
        }
        2 => {
            let (request, scratch) = (ClientRequest::new("h", "/"), &mut Scratch::default());
            let client = Connection::client(now, Arc::new(config), request, [1; 32], scratch);
            Driver::new(client.expect("a good request"), now)
        }
        3 => open(false, config),
        4 if legacy => server(Version::Hixie75, config),
        5 if legacy => server(Version::Hixie76, config),
        _ => server(Version::Rfc6455, config),
    }
}

fn command(driver: &mut Driver, command: Command) {
    driver.connection.command(driver.now, command, &mut driver.scratch);
}

/// What may happen on our side meanwhile.
fn does(driver: &mut Driver, what: u8) {
    let close = CloseRequest::of(Cause::Application, Close::empty());
    match what {
        0 => command(driver, Command::Close(close)),
        1 => command(driver, Command::EndSeen),
        2 => drop(driver.connection.send(&Message::from("a message"), &mut driver.scratch)),
        3 => accept(driver),
        4 => command(driver, Command::Drain),
        5 => driver.tell(TransportEvent::Blocked),
        6 => driver.tell(TransportEvent::ReadingPaused),
        7 => driver.tell(TransportEvent::WriteFailed(None)),
        _ => driver.pass_to(driver.now + LONG),
    }
    driver.drain(usize::MAX);
}
