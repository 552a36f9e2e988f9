//! The opening handshake: what is offered, answered and refused.

use std::sync::Arc;
use std::time::Instant;

use adieu_proto::{
    Cause, ClientRequest, Config, Connection, Deflate, HandshakeError, Message, Negotiated,
    PerMessageDeflate, Scratch, Version, WindowBits, client_accept,
};

use crate::sending::eager;
use crate::strict;
use crate::world::{End, Numbers, pair, request, with};

const OFFER: (&str, &str) = ("Sec-WebSocket-Extensions", "permessage-deflate");

#[test]
fn it_is_off_unless_both_sides_switch_it_on() {
    let scratch = &mut Scratch::default();
    let on = || with(Deflate::default());
    for (client, server) in [
        (Config::default(), Config::default()),
        (on(), Config::default()),
        (Config::default(), on()),
    ] {
        assert_eq!(pair(client, server, scratch).0.negotiated(), None);
    }
    let agreed = pair(on(), on(), scratch).0.negotiated().expect("both want it");
    assert_eq!(agreed.to_string(), "permessage-deflate; client_no_context_takeover");
    let symmetric = Deflate { client_window_bits: WindowBits::new(12), ..Deflate::default() };
    let agreed = pair(on(), with(symmetric), scratch).0.negotiated().expect("both want it");
    assert_eq!(agreed.to_string(), "permessage-deflate; client_max_window_bits=12");
    let alone = Deflate { server_no_context_takeover: true, ..Deflate::default() };
    let agreed = pair(with(alone), on(), scratch).0.negotiated().expect("both want it");
    assert!(agreed.server_no_context_takeover && agreed.client_no_context_takeover);
}

#[test]
fn versions_before_13_and_refused_peers_get_none() {
    let config = with(Deflate::default());
    let agreed = |version, fields: &[(&str, &str)]| {
        Negotiated::new(version).compressed(&request(fields), &config).deflate
    };
    assert!(agreed(Version::Rfc6455, &[OFFER]).is_some());
    assert_eq!(agreed(Version::Rfc6455, &[]), None);
    for version in [Version::Hybi08, Version::Hybi07, Version::Hixie76, Version::Hixie75] {
        assert_eq!(agreed(version, &[OFFER]), None, "{version}");
    }
    let safari = ("User-Agent", "Mozilla/5.0 AppleWebKit/605.1.15 Version/15.1 Safari/605.1.15");
    assert_eq!(agreed(Version::Rfc6455, &[OFFER, safari]), None);
}

#[test]
fn an_answer_never_has_an_empty_field() {
    let answer = |fields: &[(&str, &str)], config: &Config| {
        let request = request(fields);
        let negotiated = Negotiated::new(Version::Rfc6455).compressed(&request, config);
        adieu_proto::accept_response(&request, &negotiated).to_bytes()
    };
    let has_field = |head: &[u8]| String::from_utf8_lossy(head).contains("Extensions");
    assert!(has_field(&answer(&[OFFER], &with(Deflate::default()))));
    assert!(!has_field(&answer(&[OFFER], &Config::default())));
    let bad = ("Sec-WebSocket-Extensions", "permessage-deflate; foo");
    assert!(!has_field(&answer(&[bad], &with(Deflate::default()))));
}

/// A client that gets this field in the answer.
fn client_with(field: &str, config: Config, scratch: &mut Scratch) -> End {
    let now = Instant::now();
    let request = ClientRequest::new("h", "/");
    let client = Connection::client(now, Arc::new(config), request, [3; 32], scratch);
    let mut client = End::new(client.expect("a good request"), now);
    let head = String::from_utf8(client.pump(scratch)).expect("a head");
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let nonce = key.and_then(base64_16).expect("a key");
    let accept = client_accept(nonce);
    let answer = format!(
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{field}\r\n"
    );
    client.receive(answer.as_bytes(), &[usize::MAX], scratch);
    client
}

/// What such a client says.
fn client_hears(field: &str, config: Config) -> Result<Option<PerMessageDeflate>, Cause> {
    let scratch = &mut Scratch::default();
    let mut client = client_with(field, config, scratch);
    if client.connection.status().may_send() {
        return Ok(client.negotiated());
    }
    Err(client.ends(scratch).cause)
}

/// Sixteen bytes of base64.
fn base64_16(text: &str) -> Option<[u8; 16]> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits: u128 = 0;
    for byte in text.trim().trim_end_matches('=').bytes().take(21) {
        bits = bits << 6 | DIGITS.iter().position(|digit| *digit == byte)? as u128;
    }
    let last = text.trim().trim_end_matches('=').as_bytes().get(21).copied()?;
    let last = DIGITS.iter().position(|digit| *digit == last)? as u128;
    Some((bits << 2 | last >> 4).to_be_bytes())
}

#[test]
fn a_client_fails_the_connection_on_what_it_did_not_offer() {
    let field = |value: &str| format!("Sec-WebSocket-Extensions: {value}\r\n");
    let on = || with(Deflate::default());
    for bits in 8..=15 {
        let value = format!("permessage-deflate; server_max_window_bits={bits}");
        let agreed = client_hears(&field(&value), on()).expect("a legal answer");
        assert_eq!(agreed.expect("agreed").server_max_window_bits, WindowBits::new(bits));
    }
    assert_eq!(client_hears("", on()), Ok(None));
    let bad = Err(Cause::Handshake(HandshakeError::BadAnswer("Sec-WebSocket-Extensions")));
    for value in [
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; unknown",
        "permessage-deflate, permessage-deflate",
        "another",
    ] {
        assert_eq!(client_hears(&field(value), on()), bad, "{value}");
    }
    let twice = [field("permessage-deflate"), field("permessage-deflate")].concat();
    assert_eq!(client_hears(&twice, on()), bad);
    assert_eq!(client_hears(&field("permessage-deflate"), Config::default()), bad);
}

#[test]
fn a_client_keeps_the_window_that_the_answer_gives_it() {
    let scratch = &mut Scratch::default();
    for bits in 8..=15 {
        let value = format!("permessage-deflate; client_max_window_bits={bits}");
        let field = format!("Sec-WebSocket-Extensions: {value}\r\n");
        let mut client = client_with(&field, with(eager()), scratch);
        let (mut before, mut numbers, mut far) = (Vec::new(), Numbers(59), 0);
        for len in [5000, 300, 9000, 20_000] {
            let text = numbers.words(len);
            let wire = client.send(&Message::from(text.as_str()), scratch);
            let [first, length, rest @ ..] = &wire[..] else { panic!("a frame") };
            if *first == 0x81 {
                // It has not become smaller.
                continue;
            }
            assert_eq!(*first, 0xC1);
            let (key, masked) = rest[if *length & 0x7F == 126 { 2 } else { 0 }..].split_at(4);
            let payload: Vec<u8> =
                masked.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            let (out, distance) = strict::inflate(&payload, &before, 1 << bits).expect("legal");
            assert_eq!(out, text.as_bytes());
            before.extend(out);
            far = far.max(distance);
        }
        assert!(far > (1 << bits.min(13)) / 3, "{bits} bits: only {far} bytes back");
    }
}
