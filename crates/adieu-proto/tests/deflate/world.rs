//! Connections that compress, driven by hand. They may share a `Scratch`, as those of a thread do.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use adieu_proto::{
    Cause, ClientRequest, Config, Connection, Decision, Deflate, Ending, Event, Message,
    Negotiated, Output, PeerEnd, PerMessageDeflate, ProtocolError, Request, Scratch,
    TransportEvent, TransportKind, Version,
};

pub(crate) struct End {
    pub(crate) connection: Connection,
    pub(crate) now: Instant,
    pub(crate) messages: Vec<Message>,
    pub(crate) events: Vec<Event>,
    /// How often it went on with work that waited.
    pub(crate) turns: usize,
    /// The most that it held at such a time.
    pub(crate) held: usize,
}

impl End {
    pub(crate) fn new(connection: Connection, now: Instant) -> Self {
        let (messages, events) = (Vec::new(), Vec::new());
        End { connection, now, messages, events, turns: 0, held: 0 }
    }

    /// A server that has agreed on this.
    pub(crate) fn server(agreed: Option<PerMessageDeflate>, config: Config) -> Self {
        let now = Instant::now();
        let mut negotiated = Negotiated::new(Version::Rfc6455);
        negotiated.deflate = agreed;
        let request = request(&[]);
        End::new(Connection::upgraded(now, Arc::new(config), request, negotiated), now)
    }

    fn take_messages(&mut self, scratch: &mut Scratch) {
        self.messages.extend(scratch.messages.take().into_iter().flat_map(|all| *all));
    }

    /// Does what it asks for, once; gives what left.
    pub(crate) fn outputs(&mut self, scratch: &mut Scratch) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            self.take_messages(scratch);
            match self.connection.poll_output(scratch) {
                Output::Event(event) => self.events.push(event),
                Output::Transmit => {
                    let mut slices = [IoSlice::new(&[]); 4];
                    let filled = self.connection.slices(&mut slices);
                    let before = out.len();
                    slices[..filled].iter().for_each(|slice| out.extend_from_slice(slice));
                    let bytes = out.len() - before;
                    let event = TransportEvent::Transmitted { bytes, held: false };
                    self.connection.handle_transport(self.now, event, scratch);
                    scratch.drop_payloads();
                }
                Output::Finish => {}
                Output::Disconnect => {
                    let event = TransportEvent::Released {
                        kind: TransportKind::Tcp,
                        unacknowledged: None,
                        close_notify: None,
                    };
                    self.connection.handle_transport(self.now, event, scratch);
                }
                _ => return out,
            }
        }
    }

    /// Works until nothing waits; gives what left.
    pub(crate) fn pump(&mut self, scratch: &mut Scratch) -> Vec<u8> {
        let mut out = self.outputs(scratch);
        while self.connection.status().has_work() {
            self.held = self.held.max(self.connection.status().receiving());
            self.turns += 1;
            self.connection.go_on(self.now, scratch);
            out.extend(self.outputs(scratch));
        }
        out
    }

    /// Receives bytes in pieces of these sizes, over and over; gives what it answers.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        sizes: &[usize],
        scratch: &mut Scratch,
    ) -> Vec<u8> {
        let (mut rest, mut out) = (bytes, Vec::new());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let buffer = self.connection.read_buffer(scratch);
            let n = rest.len().min(*size).min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            self.connection.received(self.now, n, scratch);
            out.extend(self.pump(scratch));
        }
        out
    }

    pub(crate) fn send(&mut self, message: &Message, scratch: &mut Scratch) -> Vec<u8> {
        self.connection.send(message, scratch).expect("it is open");
        self.pump(scratch)
    }

    /// The peer ends; what the report says.
    pub(crate) fn ends(&mut self, scratch: &mut Scratch) -> Ending {
        let event = TransportEvent::PeerEnded(PeerEnd::Finished, None);
        self.connection.handle_transport(self.now, event, scratch);
        self.connection.command(self.now, adieu_proto::Command::EndSeen, scratch);
        for _ in 0..16 {
            self.pump(scratch);
            let ending = self.events.iter().find_map(|event| match event {
                Event::Ended(ending) => Some((**ending).clone()),
                _ => None,
            });
            if let Some(ending) = ending {
                return ending;
            }
            let Some(at) = self.connection.status().timeout() else { break };
            self.now = self.now.max(at);
            self.connection.handle_timeout(self.now, None, scratch);
        }
        panic!("it does not end");
    }

    /// How the peer has broken the protocol.
    pub(crate) fn violation(&mut self, scratch: &mut Scratch) -> Option<ProtocolError> {
        match self.ends(scratch).cause {
            Cause::Violation(error) => Some(error),
            _ => None,
        }
    }

    pub(crate) fn negotiated(&self) -> Option<PerMessageDeflate> {
        let opened = self.events.iter().find_map(|event| match event {
            Event::Opened(negotiated) => Some(negotiated.deflate),
            _ => None,
        });
        opened.expect("it has opened")
    }
}

pub(crate) fn request(more: &[(&str, &str)]) -> Request {
    let fields = [
        ("Host", "h"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    let fields = fields.iter().chain(more).copied();
    Request::from_parts("GET", "/", fields).expect("a good request")
}

/// Settings with this compression.
pub(crate) fn with(options: Deflate) -> Config {
    Config { deflate: Some(options), ..Config::default() }
}

/// A client and a server, both open; each has its own settings.
pub(crate) fn pair(client: Config, server: Config, scratch: &mut Scratch) -> (End, End) {
    let now = Instant::now();
    let request = ClientRequest::new("h", "/");
    let client = Connection::client(now, Arc::new(client), request, [3; 32], scratch);
    let mut client = End::new(client.expect("a good request"), now);
    let mut server = End::new(Connection::server(now, Arc::new(server)), now);
    let head = client.pump(scratch);
    server.receive(&head, &[usize::MAX], scratch);
    let decision = Decision::Accept(Negotiated::new(Version::Rfc6455));
    server.connection.decide(now, decision, scratch).expect("a request waits");
    let answer = server.pump(scratch);
    client.receive(&answer, &[usize::MAX], scratch);
    assert_eq!(client.negotiated(), server.negotiated());
    (client, server)
}

/// A frame of a client.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        0..126 => out.push(0x80 | payload.len() as u8),
        126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend((payload.len() as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    let key = [0x37, 0xFA, 0x21, 0x3D];
    out.extend(key);
    out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    out
}

/// The frames of a server: first byte and payload of each.
pub(crate) fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut rest, mut all) = (bytes, Vec::new());
    while let [first, len, behind @ ..] = rest {
        let (len, at) = match len {
            126 => (usize::from(u16::from_be_bytes([behind[0], behind[1]])), 2),
            127 => (u64::from_be_bytes(behind[..8].try_into().expect("8 bytes")) as usize, 8),
            len => (usize::from(*len), 0),
        };
        all.push((*first, behind[at..at + len].to_vec()));
        rest = &behind[at + len..];
    }
    assert!(rest.is_empty(), "a frame is cut");
    all
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| {
        let digit = |c: char| c.to_digit(16).expect("a digit") as u8;
        digit(pair[0]) << 4 | digit(pair[1])
    };
    digits.chunks(2).map(byte).collect()
}

/// Numbers that look random and are the same in each run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Text of so many bytes, of words that come again.
    pub(crate) fn words(&mut self, len: usize) -> String {
        let mut text = String::new();
        while text.len() < len {
            let word = self.next() % 300;
            text += &format!("w{:x} ", word.wrapping_mul(0x9E37_79B9));
        }
        text.truncate(len);
        text
    }
}
