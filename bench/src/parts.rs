//! The hot parts of `adieu-proto`, each as a number of equal operations on prepared bytes: what
//! is counted in instructions, and timed.

use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use adieu_proto::{
    ClientRequest, Command, Config, Connection, Decision, Event, Message, Negotiated, Output,
    Scratch, TransportEvent, Version,
};

use crate::frames;

const KIB: usize = 1024;

/// A part, ready to run.
pub type Work<'a> = Box<dyn FnMut() + 'a>;

/// A part of the protocol.
pub struct Part {
    /// Its name in the kept figures.
    pub name: &'static str,
    /// What one operation is.
    pub what: &'static str,
    /// Prepares so many operations.
    pub prepare: fn(usize) -> Work<'static>,
}

/// All parts.
pub const PARTS: &[Part] = &[
    Part {
        name: "handshake",
        what: "server: Chromium's request to the answer",
        prepare: handshake,
    },
    Part {
        name: "decode-20",
        what: "server: a binary message of 20 B",
        prepare: |n| decode(n, 20),
    },
    Part { name: "decode-512", what: "server: one of 512 B", prepare: |n| decode(n, 512) },
    Part { name: "decode-16k", what: "server: one of 16 KiB", prepare: |n| decode(n, 16 * KIB) },
    Part {
        name: "decode-16k-unmasked",
        what: "client: one of 16 KiB; the difference is the unmasking",
        prepare: decode_as_client,
    },
    Part {
        name: "decode-16k-ascii",
        what: "server: a text of 16 KiB; the difference is the UTF-8 check",
        prepare: |n| decode_text(n, &[b'x'; 16 * KIB]),
    },
    Part {
        name: "decode-16k-mixed",
        what: "server: the same in three scripts",
        prepare: |n| decode_text(n, &frames::text(16 * KIB)),
    },
    Part {
        name: "decode-16x20",
        what: "server: 16 messages of 20 B in one read",
        prepare: |n| receive(n, &frames::client_frame(frames::BINARY, &[7; 20]).repeat(16)),
    },
    Part {
        name: "encode-20",
        what: "server: a binary message of 20 B",
        prepare: |n| encode(n, 20),
    },
    Part { name: "encode-16k", what: "server: one of 16 KiB", prepare: |n| encode(n, 16 * KIB) },
    Part { name: "encode-16k-masked", what: "client: one of 16 KiB", prepare: encode_as_client },
    Part {
        name: "ping",
        what: "server: a Ping and its Pong",
        prepare: |n| receive(n, &frames::client_frame(0x89, b"here?")),
    },
    Part { name: "close", what: "server: the peer's Close to our FIN", prepare: close },
];

/// Runs a part. Between the entry and the return of this function instructions are counted, but
/// for those in [`arrive`].
#[inline(never)]
pub fn measured(work: &mut Work<'_>) {
    work();
}

/// What the kernel does when a socket is read: not counted.
#[inline(never)]
pub fn arrive(bytes: &[u8], buffer: &mut [u8]) {
    buffer[..bytes.len()].copy_from_slice(bytes);
    // The copy is not the last thing here: a jump to it would leave this function before it.
    black_box(buffer);
}

/// A driver, as small as one can be: its socket takes everything, and its application drops what
/// it is given.
struct Driver {
    now: Instant,
    /// One for all connections, as that of a thread.
    scratch: Scratch,
}

impl Driver {
    fn new() -> Self {
        Driver { now: Instant::now(), scratch: Scratch::default() }
    }

    /// Does all that a connection wants done.
    fn drain(&mut self, connection: &mut Connection) {
        loop {
            match connection.poll_output(&mut self.scratch) {
                Output::Transmit => self.transmit(connection),
                Output::Timeout(next) => {
                    black_box(next);
                    return self.scratch.drop_payloads();
                }
                other => drop(black_box(other)),
            }
        }
    }

    fn transmit(&mut self, connection: &mut Connection) {
        let mut slices = [IoSlice::new(&[]); 8];
        let n = connection.slices(&mut slices);
        let bytes = black_box(&slices[..n]).iter().map(|slice| slice.len()).sum();
        let event = TransportEvent::Transmitted { bytes, held: false };
        connection.handle_transport(self.now, event, &mut self.scratch);
    }

    /// Bytes of the peer arrive, and no more than one read takes.
    fn receive(&mut self, connection: &mut Connection, bytes: &[u8]) {
        arrive(bytes, connection.read_buffer(&mut self.scratch));
        connection.received(self.now, bytes.len(), &mut self.scratch);
        if let Some(mut messages) = self.scratch.messages.take() {
            while let Some(message) = messages.pop_front() {
                drop(black_box(message));
            }
            self.scratch.keep_messages(messages);
        }
    }

    /// A server that has a request.
    fn asked(&mut self, request: &[u8]) -> Connection {
        let mut server = Connection::server(self.now, Arc::default());
        self.receive(&mut server, request);
        let output = server.poll_output(&mut self.scratch);
        assert!(matches!(output, Output::Event(Event::Request(..))));
        server
    }

    fn accept(&mut self, server: &mut Connection) {
        let decision = Decision::Accept(Negotiated::new(Version::Rfc6455));
        server.decide(self.now, decision, &mut self.scratch).expect("a request");
        self.drain(server);
    }

    /// An open server.
    fn server(&mut self) -> Connection {
        let mut server = self.asked(&frames::upgrade_request());
        self.accept(&mut server);
        server
    }

    /// An open client.
    fn client(&mut self) -> Connection {
        let request = ClientRequest::new("example.com", "/");
        let (config, seed): (Arc<Config>, _) = (Arc::default(), [7; 32]);
        let client = Connection::client(self.now, config, request, seed, &mut self.scratch);
        let mut client = client.expect("a request");
        let mut said = [IoSlice::new(&[]); 8];
        let n = client.slices(&mut said);
        let request: Vec<u8> = said[..n].iter().flat_map(|slice| slice.to_vec()).collect();
        self.drain(&mut client);
        self.receive(&mut client, frames::upgrade_answer(&request).as_bytes());
        let mut told = || client.poll_output(&mut self.scratch);
        assert!(matches!(told(), Output::Event(Event::Response(_))));
        assert!(matches!(told(), Output::Event(Event::Opened(_))));
        self.drain(&mut client);
        client
    }
}

fn handshake(n: usize) -> Work<'static> {
    let (mut driver, request) = (Driver::new(), frames::upgrade_request());
    Box::new(move || {
        for _ in 0..n {
            let mut server = driver.asked(&request);
            driver.accept(&mut server);
        }
    })
}

fn received(
    mut driver: Driver,
    mut connection: Connection,
    n: usize,
    bytes: &[u8],
) -> Work<'static> {
    let bytes = bytes.to_vec();
    // One to warm up, and to see that it is understood.
    driver.receive(&mut connection, &bytes);
    driver.drain(&mut connection);
    assert!(connection.status().may_send(), "the peer made a mistake");
    Box::new(move || {
        for _ in 0..n {
            driver.receive(&mut connection, &bytes);
            driver.drain(&mut connection);
        }
    })
}

fn receive(n: usize, bytes: &[u8]) -> Work<'static> {
    let mut driver = Driver::new();
    let server = driver.server();
    received(driver, server, n, bytes)
}

fn decode(n: usize, size: usize) -> Work<'static> {
    receive(n, &frames::client_frame(frames::BINARY, &frames::binary(size)))
}

fn decode_text(n: usize, text: &[u8]) -> Work<'static> {
    receive(n, &frames::client_frame(frames::TEXT, text))
}

fn decode_as_client(n: usize) -> Work<'static> {
    let (mut driver, payload) = (Driver::new(), frames::binary(16 * KIB));
    let client = driver.client();
    received(driver, client, n, &frames::server_frame(frames::BINARY, &payload))
}

/// The application gives a message of its own each time.
fn sent(mut driver: Driver, mut connection: Connection, n: usize, size: usize) -> Work<'static> {
    let message = Message::from(frames::binary(size));
    Box::new(move || {
        for _ in 0..n {
            let message = message.clone();
            connection.send(&message, &mut driver.scratch).expect("open");
            driver.drain(&mut connection);
        }
    })
}

fn encode(n: usize, size: usize) -> Work<'static> {
    let mut driver = Driver::new();
    let server = driver.server();
    sent(driver, server, n, size)
}

fn encode_as_client(n: usize) -> Work<'static> {
    let mut driver = Driver::new();
    let client = driver.client();
    sent(driver, client, n, 16 * KIB)
}

fn close(n: usize) -> Work<'static> {
    let (mut driver, close) = (Driver::new(), frames::client_close(1000));
    let mut all: Vec<_> = (0..n).map(|_| driver.server()).collect();
    Box::new(move || {
        for server in &mut all {
            driver.receive(server, &close);
            driver.drain(server);
            server.command(driver.now, Command::EndSeen, &mut driver.scratch);
            driver.drain(server);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_run_and_have_names_of_their_own() {
        for part in PARTS {
            measured(&mut (part.prepare)(2));
            assert_eq!(PARTS.iter().filter(|other| other.name == part.name).count(), 1);
        }
    }
}
