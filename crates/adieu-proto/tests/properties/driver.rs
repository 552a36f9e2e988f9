//! A driver in virtual time, whose transport does what a test tells it to.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu_proto::{
    ClientRequest, Config, Connection, Decision, Event, Message, Negotiated, Output, Pool, Request,
    Scratch, TransportEvent, TransportKind, Version,
};
use bytes::Bytes;

/// Longer than any clock runs.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A connection and what it told.
pub(crate) struct Driver {
    pub(crate) connection: Connection,
    pub(crate) scratch: Scratch,
    pub(crate) now: Instant,
    /// Whether the transport holds what it takes until it is flushed.
    pub(crate) holds: bool,
    /// Whether it holds anything.
    held: bool,
    pub(crate) events: Vec<Event>,
    pub(crate) messages: Vec<Message>,
}

impl Driver {
    pub(crate) fn new(connection: Connection, now: Instant) -> Self {
        Driver {
            connection,
            scratch: Scratch::default(),
            now,
            holds: false,
            held: false,
            events: Vec::new(),
            messages: Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, event: TransportEvent) {
        self.connection.handle_transport(self.now, event, &mut self.scratch);
    }

    /// Collects events and lets everything leave; gives what left.
    pub(crate) fn drain(&mut self, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            match self.next_event() {
                Output::Transmit => out.extend(self.take(step)),
                _ if self.held => self.flush(),
                _ => return out,
            }
        }
    }

    /// Collects events until there is something else to do.
    pub(crate) fn next_event(&mut self) -> Output {
        loop {
            self.take_messages();
            match self.connection.poll_output(&mut self.scratch) {
                Output::Event(event) => self.events.push(event),
                Output::Disconnect => self.tell(TransportEvent::Released {
                    kind: TransportKind::Tcp,
                    unacknowledged: None,
                    close_notify: None,
                }),
                Output::Finish => {}
                other => return other,
            }
        }
    }

    /// The transport takes so many bytes at most of what waits.
    pub(crate) fn take(&mut self, most: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = self.connection.slices(&mut slices);
        let waiting = slices[..filled].iter().flat_map(|slice| slice.iter().copied());
        let bytes: Vec<u8> = waiting.take(most).collect();
        if !bytes.is_empty() {
            self.tell(TransportEvent::Transmitted { bytes: bytes.len(), held: self.holds });
            self.held |= self.holds;
            self.scratch.drop_payloads();
        }
        bytes
    }

    /// What the transport holds leaves.
    pub(crate) fn flush(&mut self) {
        self.held = false;
        self.tell(TransportEvent::Flushed);
    }

    /// Receives bytes in pieces of the given sizes, over and over, draining after each; gives what
    /// left.
    pub(crate) fn receive(&mut self, bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
        let mut answers = Vec::new();
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            let n = self.receive_once(rest, *size);
            rest = &rest[n..];
            answers.extend(self.drain(usize::MAX));
            if rest.is_empty() {
                break;
            }
        }
        answers
    }

    /// One read of so many bytes at most; gives how many there was room for.
    pub(crate) fn receive_once(&mut self, bytes: &[u8], most: usize) -> usize {
        let buffer = self.connection.read_buffer(&mut self.scratch);
        let n = bytes.len().min(most).min(buffer.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        if n > 0 {
            self.connection.received(self.now, n, &mut self.scratch);
            self.take_messages();
        }
        n
    }

    /// The same, whatever room there is.
    pub(crate) fn receive_all(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = self.receive_once(rest, usize::MAX);
            rest = &rest[n..];
        }
    }

    fn take_messages(&mut self) {
        if let Some(mut messages) = self.scratch.messages.take() {
            self.messages.extend(messages.drain(..));
            self.scratch.keep_messages(messages);
        }
    }

    pub(crate) fn send(&mut self, message: &Message) {
        self.connection.send(message, &mut self.scratch).expect("it is open");
    }

    /// Lets the clocks run out, one after the other, until there is none.
    pub(crate) fn run_out(&mut self) {
        for _ in 0..16 {
            self.drain(usize::MAX);
            let Some(at) = self.connection.status().timeout() else { return };
            self.pass_to(at);
        }
        panic!("the clocks never stop");
    }

    pub(crate) fn pass_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.connection.handle_timeout(self.now, None, &mut self.scratch);
    }

    pub(crate) fn endings(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Ended(_))).count()
    }

    /// What was told so far is no part of the test.
    pub(crate) fn forget(&mut self) {
        self.events.clear();
        self.messages.clear();
    }
}

/// A pool whose buffers are full of what was there before.
#[derive(Debug)]
pub(crate) struct Used;

impl Pool for Used {
    fn take(&self, len: usize) -> Option<Vec<u8>> {
        Some(vec![0xAA; len + len % 3])
    }

    fn share(self: Arc<Self>, bytes: Vec<u8>) -> Bytes {
        bytes.into()
    }
}

/// A server that has just accepted a request of this version.
pub(crate) fn server(version: Version, config: Config) -> Driver {
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
    let negotiated = Negotiated::new(version);
    let connection = Connection::upgraded(now, Arc::new(config), request, negotiated);
    let mut driver = Driver::new(connection, now);
    if version == Version::Hixie76 {
        assert_eq!(driver.receive(b"^n:ds[4U", &[8]), b"8jKS'y:G*Co,Wxa-");
    }
    driver.drain(usize::MAX);
    driver.forget();
    driver
}

/// A client and a server, both open.
pub(crate) fn pair(config: Config) -> (Driver, Driver) {
    let now = Instant::now();
    let config = Arc::new(config);
    let request = ClientRequest::new("h", "/");
    let scratch = &mut Scratch::default();
    let client = Connection::client(now, config.clone(), request, [3; 32], scratch);
    let mut client = Driver::new(client.expect("a good request"), now);
    let mut server = Driver::new(Connection::server(now, config), now);
    server.receive(&client.drain(usize::MAX), &[usize::MAX]);
    accept(&mut server);
    client.receive(&server.drain(usize::MAX), &[usize::MAX]);
    client.forget();
    server.forget();
    (client, server)
}

/// Accepts the request that waits, if one does.
pub(crate) fn accept(driver: &mut Driver) {
    let decision = Decision::Accept(Negotiated::new(Version::Rfc6455));
    let _ = driver.connection.decide(driver.now, decision, &mut driver.scratch);
}

/// One end of an open connection of RFC 6455.
pub(crate) fn open(is_server: bool, config: Config) -> Driver {
    if is_server { server(Version::Rfc6455, config) } else { pair(config).0 }
}
