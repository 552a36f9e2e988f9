//! The hot parts of `adieu-proto`, each as a number of equal operations on prepared bytes: what
//! is counted in instructions, and timed.

use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use adieu_proto::{ClientRequest, Config, Connection, Event, Message, Output};

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

/// Runs a part. Between the entry and the return of this function instructions are counted.
#[inline(never)]
pub fn measured(work: &mut Work<'_>) {
    work();
}

/// Does all that a connection wants done, as a driver would whose socket takes everything.
fn drain(connection: &mut Connection, now: Instant) {
    loop {
        match connection.poll_output() {
            Output::Transmit => {
                let mut slices = [IoSlice::new(&[]); 8];
                let n = connection.slices(&mut slices);
                let bytes = black_box(&slices[..n]).iter().map(|slice| slice.len()).sum();
                connection.transmitted(now, bytes);
            }
            Output::Timeout(next) => {
                black_box(next);
                return;
            }
            other => drop(black_box(other)),
        }
    }
}

/// A server that has a request.
fn asked(now: Instant, request: &mut [u8]) -> Connection {
    let mut server = Connection::server(now, Arc::default());
    server.receive(now, request);
    assert!(matches!(server.poll_output(), Output::Event(Event::Request(..))));
    server
}

/// An open server.
fn server(now: Instant) -> Connection {
    let mut server = asked(now, &mut frames::upgrade_request());
    server.accept(now, None, false).expect("a request");
    drain(&mut server, now);
    server
}

/// An open client.
fn client(now: Instant) -> Connection {
    let request = ClientRequest::new("example.com", "/");
    let config: Arc<Config> = Arc::default();
    let mut client = Connection::client(now, config, request, [7; 32]).expect("a request");
    let mut said = [IoSlice::new(&[]); 8];
    let n = client.slices(&mut said);
    let request: Vec<u8> = said[..n].iter().flat_map(|slice| slice.to_vec()).collect();
    drain(&mut client, now);
    client.receive(now, frames::upgrade_answer(&request).into_bytes().as_mut_slice());
    assert!(matches!(client.poll_output(), Output::Event(Event::Opened(_))));
    drain(&mut client, now);
    client
}

fn handshake(n: usize) -> Work<'static> {
    let now = Instant::now();
    let mut requests = vec![frames::upgrade_request(); n];
    Box::new(move || {
        for request in &mut requests {
            let mut server = asked(now, request);
            server.accept(now, None, false).expect("a request");
            drain(&mut server, now);
        }
    })
}

/// Received bytes are unmasked in place, so each operation needs its own.
fn received(mut connection: Connection, n: usize, bytes: &[u8], now: Instant) -> Work<'static> {
    let mut copies = vec![bytes.to_vec(); n];
    // One to warm up, and to see that it is understood.
    connection.receive(now, &mut bytes.to_vec());
    drain(&mut connection, now);
    assert!(connection.may_send(), "the peer made a mistake");
    Box::new(move || {
        for bytes in &mut copies {
            connection.receive(now, bytes);
            drain(&mut connection, now);
        }
    })
}

fn receive(n: usize, bytes: &[u8]) -> Work<'static> {
    let now = Instant::now();
    received(server(now), n, bytes, now)
}

fn decode(n: usize, size: usize) -> Work<'static> {
    receive(n, &frames::client_frame(frames::BINARY, &frames::binary(size)))
}

fn decode_text(n: usize, text: &[u8]) -> Work<'static> {
    receive(n, &frames::client_frame(frames::TEXT, text))
}

fn decode_as_client(n: usize) -> Work<'static> {
    let (now, payload) = (Instant::now(), frames::binary(16 * KIB));
    received(client(now), n, &frames::server_frame(frames::BINARY, &payload), now)
}

fn sent(mut connection: Connection, n: usize, size: usize, now: Instant) -> Work<'static> {
    let message = Message::from(frames::binary(size));
    Box::new(move || {
        for _ in 0..n {
            connection.send(message.clone()).expect("open");
            drain(&mut connection, now);
        }
    })
}

fn encode(n: usize, size: usize) -> Work<'static> {
    let now = Instant::now();
    sent(server(now), n, size, now)
}

fn encode_as_client(n: usize) -> Work<'static> {
    let now = Instant::now();
    sent(client(now), n, 16 * KIB, now)
}

fn close(n: usize) -> Work<'static> {
    let now = Instant::now();
    let mut all: Vec<_> = (0..n).map(|_| (server(now), frames::client_close(1000))).collect();
    Box::new(move || {
        for (server, close) in &mut all {
            server.receive(now, close);
            drain(server, now);
            server.saw_end(now);
            drain(server, now);
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
