//! What holds for every message, every cut of the byte stream and every garbage.
#![allow(clippy::disallowed_methods)] // The fence is for the protocol, not for its tests.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu_proto::{
    Cause, ClientRequest, Close, Config, Connection, Event, Message, Output, PeerEnd, Pool,
    Request, Spare, Version, VersionSet, defaults,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// A connection with a driver whose transport takes what it is told to.
struct Driver {
    connection: Connection,
    now: Instant,
    events: Vec<Event>,
}

impl Driver {
    fn new(connection: Connection, now: Instant) -> Self {
        Driver { connection, now, events: Vec::new() }
    }

    /// Collects events; gives what waits to leave, in steps of at most `step` bytes.
    fn drain(&mut self, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            match self.connection.poll_output() {
                Output::Event(event) => self.events.push(event),
                Output::Transmit => {
                    let mut slices = [IoSlice::new(&[]); 4];
                    let filled = self.connection.slices(&mut slices);
                    let before = out.len();
                    for slice in &slices[..filled] {
                        let room = step - (out.len() - before);
                        out.extend_from_slice(&slice[..room.min(slice.len())]);
                    }
                    self.connection.transmitted(self.now, out.len() - before);
                }
                Output::Disconnect => self.connection.disconnected(self.now, None, None),
                Output::ShutdownWrite => {}
                _ => return out,
            }
        }
    }

    /// Receives bytes in pieces of the given sizes, over and over, draining after each.
    fn receive(&mut self, bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
        self.receive_by(bytes, sizes, |connection, now, piece, _| {
            connection.receive(now, &mut piece.to_vec());
        })
    }

    /// The same, with the payload of large messages read to their own buffers where there is room,
    /// which holds what is left of others.
    fn receive_in_place(&mut self, bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
        self.connection.borrow_buffers(&mut Spare::with_pool(Arc::new(Used)));
        self.receive_by(bytes, sizes, |connection, now, piece, inbox| {
            let room = connection.payload_room();
            let (fits, rest) = piece.split_at(piece.len().min(room.len()));
            room[..fits.len()].copy_from_slice(fits);
            if !fits.is_empty() {
                connection.payload_received(now, fits.len(), inbox);
            }
            connection.receive_into(now, &mut rest.to_vec(), inbox);
        })
    }

    fn receive_by(
        &mut self,
        bytes: &[u8],
        sizes: &[usize],
        receive: impl Fn(&mut Connection, Instant, &[u8], &mut VecDeque<Message>),
    ) -> Vec<u8> {
        let mut answers = Vec::new();
        let mut inbox = VecDeque::new();
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            let (piece, more) = rest.split_at((*size).min(rest.len()));
            rest = more;
            receive(&mut self.connection, self.now, piece, &mut inbox);
            self.events.extend(inbox.drain(..).map(Event::Message));
            answers.extend(self.drain(usize::MAX));
            if rest.is_empty() {
                break;
            }
        }
        answers
    }

    fn messages(&mut self) -> Vec<Message> {
        let message = |event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        };
        std::mem::take(&mut self.events).into_iter().filter_map(message).collect()
    }

    fn endings(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Ended(_))).count()
    }
}

/// A pool whose buffers are full of what was there before.
#[derive(Debug)]
struct Used;

impl Pool for Used {
    fn take(&self, len: usize) -> Option<Vec<u8>> {
        Some(vec![0xAA; len + len % 3])
    }

    fn share(self: Arc<Self>, bytes: Vec<u8>) -> Bytes {
        bytes.into()
    }
}

/// A server that has just accepted a request of this version.
fn server(version: Version) -> Driver {
    let now = Instant::now();
    let fields = [
        ("Host", "h"),
        ("Upgrade", "WebSocket"),
        ("Connection", "Upgrade"),
        ("Origin", "http://h"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key1", "4 @1  46546xW%0l 1 5"),
        ("Sec-WebSocket-Key2", "12998 5 Y3 1  .P00"),
    ];
    let request = Request::from_parts("GET", "/", fields).expect("a good request");
    let config = Arc::new(Config::default());
    let mut driver = Driver::new(Connection::upgraded(now, config, request, version), now);
    if version == Version::Hixie76 {
        assert_eq!(driver.receive(b"^n:ds[4U", &[8]), b"8jKS'y:G*Co,Wxa-");
    }
    driver
}

/// A client and a server, both open.
fn pair() -> (Driver, Driver) {
    let now = Instant::now();
    let config = Arc::new(Config::default());
    let request = ClientRequest::new("h", "/");
    let client = Connection::client(now, config.clone(), request, [3; 32]).expect("a good request");
    let mut client = Driver::new(client, now);
    let mut server = Driver::new(Connection::server(now, config), now);
    server.receive(&client.drain(usize::MAX), &[usize::MAX]);
    server.connection.accept(now, None, false).expect("a request waits");
    client.receive(&server.drain(usize::MAX), &[usize::MAX]);
    (client, server)
}

/// A client that is open, towards a server of the test's own.
fn client() -> Driver {
    pair().0
}

/// A frame of RFC 6455 §5.2, by an encoder of the test's own.
fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let len = payload.len();
    let mut out = vec![first];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..=125), _) => out.push(bit | len),
        (_, Ok(len)) => {
            out.push(bit | 126);
            out.extend(len.to_be_bytes());
        }
        _ => {
            out.push(bit | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
    let key = mask.unwrap_or_default();
    out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    out
}

/// A message in fragments with a Ping before each of them but the first (§5.4).
fn fragments(message: &Message, cuts: &[usize], masks: Option<[u8; 4]>) -> Vec<u8> {
    let bytes = message.as_bytes();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([bytes.len()]);
    let mut out = Vec::new();
    for (i, (start, end)) in starts.zip(ends).enumerate() {
        let opcode = match message {
            _ if i > 0 => 0x0,
            Message::Text(_) => 0x1,
            Message::Binary(_) => 0x2,
        };
        let fin = if i == cuts.len() { 0x80 } else { 0 };
        // Each frame has a mask of its own.
        let mask = masks.map(|mask| mask.map(|byte| byte.wrapping_add(i as u8)));
        if i > 0 {
            out.extend(frame(0x89, &[i as u8], mask));
        }
        out.extend(frame(fin | opcode, &bytes[start..end], mask));
    }
    out
}

/// Lengths on both sides of each form of the header and of what keeps a buffer of its own.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0..200usize,
        2 => 120..130usize,
        1 => 8_180..8_200usize,
        1 => 65_530..65_540usize,
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let text = (length(), "\\PC{1,8}").prop_map(|(len, seed)| {
        let characters = seed.chars().cycle().scan(0, move |size, c| {
            *size += c.len_utf8();
            (*size <= len).then_some(c)
        });
        Message::from(characters.collect::<String>())
    });
    let binary = (length(), any::<u8>()).prop_map(|(len, first)| {
        Message::from((0..len).map(|i| first.wrapping_add(i as u8)).collect::<Vec<u8>>())
    });
    prop_oneof![text, binary]
}

fn text() -> impl Strategy<Value = Message> {
    message().prop_filter("hixie has text only", |message| message.as_text().is_some())
}

/// Sizes of the pieces in which bytes arrive.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => 1..20usize, 1 => 1..100_000usize], 1..12)
}

/// More cases where they are quick. A failing case is kept beside this file, to be run first.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(debug_assertions) { 48 } else { 1024 },
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_one_sends_the_other_receives(
        sent in vec((any::<bool>(), message()), 0..12),
        sizes in sizes(),
        step in 1..100_000usize,
    ) {
        let (mut client, mut server) = pair();
        client.messages();
        server.messages();
        for (from_client, message) in &sent {
            let from = if *from_client { &mut client } else { &mut server };
            from.connection.send(message.clone()).expect("it is open");
        }
        let (to_server, to_client) = (client.drain(step), server.drain(step));
        server.receive(&to_server, &sizes);
        client.receive(&to_client, &sizes);
        let of = |side: bool| sent.iter().filter(move |s| s.0 == side).map(|s| s.1.clone());
        prop_assert_eq!(server.messages(), of(true).collect::<Vec<_>>());
        prop_assert_eq!(client.messages(), of(false).collect::<Vec<_>>());
        prop_assert_eq!(client.connection.queued() + server.connection.queued(), 0);
    }

    #[test]
    fn fragments_become_messages_however_they_are_cut(
        sent in vec((message(), vec(any::<usize>(), 0..6)), 1..6),
        mask: [u8; 4],
        sizes in sizes(),
        to_server: bool,
        in_place: bool,
    ) {
        let mut driver = if to_server { server(Version::Rfc6455) } else { client() };
        driver.messages();
        let mask = to_server.then_some(mask);
        let bytes: Vec<u8> = sent.iter().flat_map(|(m, cuts)| fragments(m, cuts, mask)).collect();
        let answers = match in_place {
            true => driver.receive_in_place(&bytes, &sizes),
            false => driver.receive(&bytes, &sizes),
        };
        let want: Vec<_> = sent.iter().map(|(message, _)| message.clone()).collect();
        prop_assert_eq!(driver.messages(), want);
        let pings: usize = sent.iter().map(|(_, cuts)| cuts.len()).sum();
        let pong = if to_server { 3 } else { 7 };
        prop_assert_eq!(answers.len(), pings * pong, "a Pong of one byte for each Ping");
    }

    #[test]
    fn hixie_carries_text_both_ways(
        sent in vec((text(), vec(any::<u8>(), 0..200)), 0..6),
        sizes in sizes(),
        with_challenge: bool,
    ) {
        let mut driver = server(if with_challenge { Version::Hixie76 } else { Version::Hixie75 });
        driver.messages();
        let mut bytes = Vec::new();
        for (message, skipped) in &sent {
            bytes.extend([&[0x00], message.as_bytes(), &[0xFF]].concat());
            // A frame with a length is skipped by count, whatever it holds.
            bytes.extend([0x80, 0x80 | (skipped.len() >> 7) as u8, skipped.len() as u8 & 0x7F]);
            bytes.extend(skipped);
        }
        driver.receive(&bytes, &sizes);
        let want: Vec<_> = sent.iter().map(|(message, _)| message.clone()).collect();
        prop_assert_eq!(&driver.messages(), &want);
        for message in &want {
            driver.connection.send(message.clone()).expect("it is open");
        }
        let want: Vec<u8> =
            want.iter().flat_map(|m| [&[0x00], m.as_bytes(), &[0xFF]].concat()).collect();
        prop_assert_eq!(driver.drain(sizes[0]), want);
    }

    #[test]
    fn garbage_ends_in_one_account(
        stage in 0..7u8,
        bytes in garbage(),
        sizes in sizes(),
        ours in vec((0..40usize, 0..5u8), 0..4),
        reset: bool,
    ) {
        let mut driver = at_stage(stage);
        let mut rest = bytes.as_slice();
        let pieces = sizes.iter().cycle().map_while(|size| {
            let (piece, more) = rest.split_at((*size).min(rest.len()));
            rest = more;
            (!piece.is_empty()).then_some(piece)
        });
        for (i, piece) in pieces.enumerate() {
            for (_, what) in ours.iter().filter(|(when, _)| *when == i) {
                does(&mut driver, *what);
            }
            driver.connection.receive(driver.now, &mut piece.to_vec());
            driver.drain(usize::MAX);
        }
        // What is told is bounded by what came: nothing is told twice.
        let told = driver.events.len();
        prop_assert!(told <= bytes.len() + 5, "{told} events of {} bytes", bytes.len());
        if driver.endings() == 0 {
            let how = if reset { PeerEnd::Reset } else { PeerEnd::Fin };
            driver.connection.peer_ended(driver.now, how);
        }
        for _ in 0..8 {
            driver.drain(usize::MAX);
            let Some(at) = driver.connection.timeout() else { break };
            prop_assert!(driver.endings() == 0, "a clock runs after the end");
            driver.now = driver.now.max(at);
            driver.connection.handle_timeout(at);
        }
        prop_assert_eq!(driver.endings(), 1);
        prop_assert!(matches!(driver.events.last(), Some(Event::Ended(_))), "it comes last");
        let ends = driver.events.iter().filter(|e| matches!(e, Event::EndOfMessages)).count();
        prop_assert!(ends <= 1);
    }

    #[test]
    fn a_flood_of_pings_costs_nothing(
        payloads in vec(vec(any::<u8>(), 0..=125), 1..20),
        rounds in 1..400usize,
        to_server: bool,
    ) {
        let mut driver = if to_server { server(Version::Rfc6455) } else { client() };
        driver.events.clear();
        let mask = to_server.then_some([9, 8, 7, 6]);
        let most = defaults::PONG_QUEUE as u64 + 2 + 4 + 125;
        for payload in std::iter::repeat_n(&payloads, rounds).flatten() {
            driver.connection.receive(driver.now, &mut frame(0x89, payload, mask));
            prop_assert!(driver.connection.queued() <= most);
        }
        prop_assert!(driver.events.is_empty());
        // §5.5.3: of many Pings at least the newest is answered.
        let out = driver.drain(usize::MAX);
        let newest = payloads.last().expect("there is one");
        let (rest, payload) = out.split_at(out.len() - newest.len());
        let key = if to_server { &[0; 4] } else { rest.last_chunk().expect("a mask") };
        let payload: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        prop_assert_eq!(&payload, newest);
    }
}

/// Garbage of several kinds: noise, and what looks like frames or heads for a while.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let plausible = (
        prop_oneof![Just(0x00u8), Just(0x01), Just(0x81), Just(0x88), Just(0x89), any::<u8>()],
        vec(any::<u8>(), 0..130),
        any::<Option<[u8; 4]>>(),
    )
        .prop_map(|(first, payload, mask)| frame(first, &payload, mask));
    let line = prop_oneof![
        Just("GET / HTTP/1.1\r\n".to_owned()),
        Just("Upgrade: websocket\r\n".to_owned()),
        Just("Sec-WebSocket-Version: 13\r\n".to_owned()),
        Just("\r\n".to_owned()),
        "[ -~]{0,30}\r\n",
    ]
    .prop_map(String::into_bytes);
    let noise = vec(any::<u8>(), 0..60);
    vec(prop_oneof![3 => plausible, 1 => line, 1 => noise], 0..12).prop_map(|all| all.concat())
}

/// A connection that is about to receive garbage.
fn at_stage(stage: u8) -> Driver {
    let now = Instant::now();
    let config = Config { versions: VersionSet::all(), ..Config::default() };
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
            let request = ClientRequest::new("h", "/");
            let client = Connection::client(now, Arc::new(config), request, [1; 32]);
            Driver::new(client.expect("a good request"), now)
        }
        3 => client(),
        4 => server(Version::Hixie75),
        5 => server(Version::Hixie76),
        _ => server(Version::Rfc6455),
    }
}

/// What our side may do meanwhile.
fn does(driver: &mut Driver, what: u8) {
    let (now, connection) = (driver.now, &mut driver.connection);
    match what {
        0 => connection.close(now, Close::empty(), Cause::Application),
        1 => connection.saw_end(now),
        2 => drop(connection.send("a message")),
        3 => drop(connection.accept(now, None, false)),
        _ => {
            driver.now += Duration::from_secs(30);
            connection.handle_timeout(driver.now);
        }
    }
    driver.drain(usize::MAX);
}
