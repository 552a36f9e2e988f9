//! `Forwarded` and `X-Forwarded-For` in a request that a trusted proxy passes on.
//!
//! What must hold for any value of the two fields, in any number of lines:
//! - A peer that is no trusted proxy is never believed, whatever it writes.
//! - The client is the peer itself, or somebody whom the peer speaks for.
//! - What our proxy adds at the end of a field is read as it is, whatever its client wrote in
//!   front: a client cannot choose the address that it is taken for. Neither can it with the other
//!   of the two fields, which the proxy passes on as it came.
//! - A hop that is a trusted proxy itself changes nothing.

#![no_main]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use adieu::{Cidr, Peer, fuzzing};
use adieu_fuzz::receive;
use adieu_proto::{Config, Connection, Event, Output, Request, Scratch};
use libfuzzer_sys::fuzz_target;

const PROXY: &str = "10.0.0.1:99";
const STRANGER: &str = "192.0.2.1:99";

/// Whom our proxy heard from.
const HEARD_FROM: &str = "203.0.113.7";
/// A proxy in front of ours.
const OTHER_PROXY: &str = "10.9.9.9";

const NAMES: [&str; 2] = ["Forwarded", "X-Forwarded-For"];

/// The same hop, as proxies write it in each of the two (RFC 7239 §4: pairs in any order, names in
/// any case, quoted strings with anything in them).
const FORMS: [&[&str]; 2] = [
    &[
        "for=203.0.113.7",
        "For=\"203.0.113.7:4711\"",
        "FOR=\"\\203.0.113.7\";;by=_x",
        "proto=https; for=203.0.113.7 ;host=\"a,for=6.6.6.6;\\\";for=6.6.6.6\"",
        ", for=203.0.113.7;secret=\"\\\\\", ,",
    ],
    &["203.0.113.7", "203.0.113.7:4711", "::ffff:203.0.113.7", "[::ffff:203.0.113.7]:1 , ,"],
];

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (older, form, value) = input;
    let field = usize::from(older);
    let Some(request) = request(&[(NAMES[field], value)]) else { return };
    let of_stranger = seen_from(STRANGER, &request);
    assert_eq!((of_stranger.addr(), of_stranger.via()), (Some(addr(STRANGER)), None));
    let client = seen_from(PROXY, &request);
    match client.via() {
        None => assert_eq!(client.addr(), Some(addr(PROXY))),
        Some(via) => assert_eq!(via, addr(PROXY)),
    }
    our_proxy_adds(field, usize::from(form), value);
    our_proxy_writes_the_other(field, value);
    another_proxy_adds(field, value, client);
});

fn our_proxy_adds(field: usize, form: usize, value: &[u8]) {
    let forms = FORMS[field];
    let added = [value, b", ", forms[form % forms.len()].as_bytes()].concat();
    let Some(request) = request(&[(NAMES[field], &added)]) else { return };
    let client = seen_from(PROXY, &request);
    assert_eq!(client.addr().map(|addr| addr.ip().to_string()).as_deref(), Some(HEARD_FROM));
    assert_eq!(client.via(), Some(addr(PROXY)));
}

fn our_proxy_writes_the_other(field: usize, value: &[u8]) {
    let other = 1 - field;
    let fields = [(NAMES[field], value), (NAMES[other], &hop(other, HEARD_FROM))];
    let Some(request) = request(&fields) else { return };
    let client = seen_from(PROXY, &request);
    if client.via().is_some() {
        assert_eq!(client.addr().map(|addr| addr.ip().to_string()).as_deref(), Some(HEARD_FROM));
    }
}

fn another_proxy_adds(field: usize, value: &[u8], before: Peer) {
    let added = [value, b", ", &hop(field, OTHER_PROXY)].concat();
    let Some(request) = request(&[(NAMES[field], &added)]) else { return };
    let client = seen_from(PROXY, &request);
    let says_nothing = value.iter().all(|byte| b", \t\n\r".contains(byte));
    if says_nothing {
        assert_eq!(client.addr().map(|addr| addr.ip().to_string()).as_deref(), Some(OTHER_PROXY));
    } else {
        assert_eq!(client, before);
    }
}

/// What a proxy adds to a field.
fn hop(field: usize, heard_from: &str) -> Vec<u8> {
    let text = if field == 0 { format!("for={heard_from}") } else { heard_from.to_owned() };
    text.into_bytes()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn seen_from(peer: &str, request: &Request) -> Peer {
    let trusted: Cidr = "10.0.0.0/8".parse().expect("a prefix");
    fuzzing::client(&[trusted], addr(peer), request)
}

/// A request with these fields, if it is one. A value of several lines is a field in each.
fn request(fields: &[(&str, &[u8])]) -> Option<Request> {
    let mut head = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        .to_vec();
    for (name, value) in fields {
        for line in value.split(|byte| *byte == b'\n') {
            head.extend([name.as_bytes(), b": ", line, b"\r\n"].concat());
        }
    }
    head.extend(b"\r\n");
    let now = Instant::now();
    let (config, scratch) = (Arc::new(Config::default()), &mut Scratch::default());
    let mut connection = Connection::server(now, config);
    receive(&mut connection, now, &head, scratch);
    match connection.poll_output(scratch) {
        Output::Event(Event::Request(request, _)) => Some(request),
        _ => None,
    }
}
