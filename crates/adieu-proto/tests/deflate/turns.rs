//! Large messages: the work on them is done in pieces, and nothing overtakes them.

use std::time::Duration;

use adieu_proto::{
    Cause, CloseCode, CloseRequest, Command, Config, Message, PerMessageDeflate, Prepared, Scratch,
};

use crate::sending::{eager, packed};
use crate::world::{End, Numbers, frame, frames, hex, pair, with};

const MIB: usize = 1 << 20;

#[test]
fn a_large_message_is_inflated_in_pieces_of_64_kib() {
    let scratch = &mut Scratch::default();
    let text = "all the same, ".repeat(MIB / 14);
    let payload = packed(&text, scratch);
    let hello = frame(0xC1, &hex("f248cdc9c90700"));
    let plain = frame(0x81, b"plain");
    let bytes = [&frame(0xC1, &payload)[..], &hello, &plain, &frame(0x89, b"?")].concat();
    for size in [usize::MAX, 1000, 1] {
        let mut server = End::server(Some(PerMessageDeflate::default()), Config::default());
        let answer = server.receive(&bytes, &[size], scratch);
        assert_eq!(server.messages.len(), 3);
        assert_eq!(server.messages[0], Message::from(text.as_str()));
        assert!(server.turns >= text.len() / 65_536 - 1, "{} turns", server.turns);
        assert_eq!(frames(&answer), [(0x8A, b"?".to_vec())]);
    }
}

#[test]
fn many_small_messages_in_one_read_are_inflated_in_pieces_too() {
    let scratch = &mut Scratch::default();
    let payload = frame(0xC1, &packed(&"z".repeat(10_000), scratch));
    let mut server = End::server(Some(PerMessageDeflate::default()), Config::default());
    server.receive(&payload.repeat(64), &[usize::MAX], scratch);
    assert_eq!(server.messages.len(), 64);
    assert!(server.turns >= 8, "{} turns", server.turns);
}

/// What a message costs beside its bytes counts, too.
#[test]
fn thousands_of_empty_messages_in_one_read_are_inflated_in_pieces() {
    let scratch = &mut Scratch::default();
    let mut server = End::server(Some(PerMessageDeflate::default()), Config::default());
    server.receive(&frame(0xC1, b"\0").repeat(9000), &[usize::MAX], scratch);
    assert_eq!(server.messages.len(), 9000);
    assert!(server.turns >= 8, "{} turns", server.turns);
}

/// A compressor and an inflater may be in the middle of a large message while others of the thread
/// are used.
#[test]
fn connections_of_one_thread_take_turns_with_large_messages() {
    let scratch = &mut Scratch::default();
    let mut numbers = Numbers(43);
    let mut pairs: Vec<_> = (0..3).map(|_| pair(with(eager()), with(eager()), scratch)).collect();
    let mut want: Vec<Vec<Message>> = vec![Vec::new(); 3];
    for round in 0..3 {
        for (i, (_, server)) in pairs.iter_mut().enumerate() {
            for len in [200_000 + 1000 * i, 700] {
                let message = Message::from(numbers.words(len));
                server.connection.send(&message, scratch).unwrap();
                want[i].push(message);
            }
        }
        // A piece of each in turn.
        let mut wires = vec![Vec::new(); 3];
        while pairs.iter().any(|(_, server)| server.connection.status().has_work()) {
            for (i, (_, server)) in pairs.iter_mut().enumerate() {
                server.connection.go_on(server.now, scratch);
                wires[i].extend(server.outputs(scratch));
            }
        }
        for (i, (client, _)) in pairs.iter_mut().enumerate() {
            let buffer = client.connection.read_buffer(scratch);
            let first = wires[i].len().min(buffer.len()).min(60_000);
            buffer[..first].copy_from_slice(&wires[i][..first]);
            client.connection.received(client.now, first, scratch);
            client.outputs(scratch);
            wires[i].drain(..first);
        }
        for (i, (client, _)) in pairs.iter_mut().enumerate() {
            client.pump(scratch);
            client.receive(&wires[i], &[30_000], scratch);
            assert!(client.messages == want[i], "connection {i}, round {round}");
        }
    }
}

/// The room for output is 16 KiB: where the output ends with it, nothing is flushed twice.
#[test]
fn a_large_message_may_be_compressed_to_any_number_of_bytes() {
    let scratch = &mut Scratch::default();
    let text = Numbers(47).words(120_000);
    let alone = PerMessageDeflate { server_no_context_takeover: true, ..Default::default() };
    let mut server = End::server(Some(alone), with(eager()));
    let mut packed = |len: usize| {
        let wire = server.send(&Message::from(&text[..len]), scratch);
        let [(0xC1, payload)] = &frames(&wire)[..] else { panic!("compressed") };
        payload.clone()
    };
    // Where the output, with its four bytes, ends with a room.
    let (mut least, mut most) = (66_000, 120_000);
    let edge = packed(least).len().next_multiple_of(16 * 1024);
    while most - least > 1 {
        let half = usize::midpoint(least, most);
        if packed(half).len() + 4 < edge { least = half } else { most = half }
    }
    for len in most - 60..most + 60 {
        let payload = packed(len);
        assert!(!payload.ends_with(&[0, 0, 0xFF, 0xFF]), "{len} bytes");
        let (out, _) = crate::strict::inflate(&payload, b"", 32_768).expect("whole");
        assert!(out == text.as_bytes()[..len], "{len} bytes");
    }
    assert!(packed(least).len() + 4 < edge && packed(most).len() + 4 >= edge, "an edge");
}

#[test]
fn the_end_of_the_peer_comes_behind_what_it_said() {
    let scratch = &mut Scratch::default();
    let text = "all the same, ".repeat(MIB / 14);
    let close = frame(0x88, &1000u16.to_be_bytes());
    let bytes = [frame(0xC1, &packed(&text, scratch)), close].concat();
    let mut server = End::server(Some(PerMessageDeflate::default()), Config::default());
    let buffer = server.connection.read_buffer(scratch);
    buffer[..bytes.len()].copy_from_slice(&bytes);
    server.connection.received(server.now, bytes.len(), scratch);
    assert!(server.connection.status().holds_input());
    // The driver reads on although it should not.
    let ending = server.ends(scratch);
    assert_eq!(server.messages, [Message::from(text)]);
    assert_eq!(ending.cause, Cause::Peer);
}

#[test]
fn a_message_that_nobody_reads_any_more_is_not_inflated() {
    let scratch = &mut Scratch::default();
    let payload = frame(0xC1, &packed(&"z".repeat(4 * MIB), scratch));
    let bytes = [payload, frame(0x88, &1000u16.to_be_bytes())].concat();
    let mut server = End::server(Some(PerMessageDeflate::default()), Config::default());
    let buffer = server.connection.read_buffer(scratch);
    buffer[..bytes.len()].copy_from_slice(&bytes);
    server.connection.received(server.now, bytes.len(), scratch);
    let request = CloseRequest::of(Cause::Dropped, CloseCode::GOING_AWAY.into());
    server.connection.command(server.now, Command::Close(request), scratch);
    server.pump(scratch);
    assert!(server.turns <= 1, "{} turns", server.turns);
    let ending = server.ends(scratch);
    assert!(ending.closing_handshake.is_complete(), "the Close behind it was read");
}

#[test]
fn a_large_message_is_compressed_in_pieces_and_others_wait_behind_it() {
    let scratch = &mut Scratch::default();
    for from_client in [false, true] {
        let (client, server) = pair(with(eager()), with(eager()), scratch);
        let (mut from, mut to) = if from_client { (client, server) } else { (server, client) };
        let mut numbers = Numbers(31);
        let noise = Message::from(numbers.bytes(300_000));
        let sent: Vec<Message> = [MIB, 10, 300_000, 700, 65_536, 65_537, 5, 200_000]
            .iter()
            .map(|len| Message::from(numbers.words(*len)))
            .chain([noise, Message::from("the last")])
            .collect();
        let all: usize = sent.iter().map(Message::len).sum();
        for message in &sent {
            from.connection.send(message, scratch).unwrap();
        }
        let prepared = Prepared::new("to all");
        from.connection.send(&prepared, scratch).unwrap();
        let wire = from.outputs(scratch);
        assert!(wire.is_empty(), "nothing overtakes");
        let queued = from.connection.status().queued();
        assert_eq!(queued, (all + 6) as u64);
        let wire = from.pump(scratch);
        assert!(from.turns >= all / 65_536 - 3, "{} turns", from.turns);
        assert_eq!(from.connection.status().queued(), 0);
        assert!(wire.len() < all * 2 / 3);
        to.receive(&wire, &[usize::MAX, 100_000], scratch);
        let want: Vec<Message> = sent.into_iter().chain(["to all".into()]).collect();
        assert!(to.messages == want, "{:?}", to.messages);
    }
}

#[test]
fn what_waits_leaves_as_it_is_before_our_close() {
    let scratch = &mut Scratch::default();
    let (mut client, mut server) = pair(with(eager()), with(eager()), scratch);
    let sent = [Message::from(Numbers(1).words(MIB)), Message::from("behind")];
    for message in &sent {
        server.connection.send(message, scratch).unwrap();
    }
    server.connection.go_on(server.now, scratch);
    let request = CloseRequest::of(Cause::Application, CloseCode::NORMAL.into());
    server.connection.command(server.now, Command::Close(request), scratch);
    let wire = server.outputs(scratch);
    assert!(!server.connection.status().has_work());
    client.receive(&wire, &[usize::MAX], scratch);
    assert!(client.messages == sent);
    assert!(client.connection.status().peer_has_ended());
}

#[test]
fn what_never_left_is_told() {
    let scratch = &mut Scratch::default();
    let (_, mut server) = pair(with(eager()), with(eager()), scratch);
    for message in [Message::from(Numbers(1).words(MIB)), Message::from("behind")] {
        server.connection.send(&message, scratch).unwrap();
    }
    let event = adieu_proto::TransportEvent::WriteFailed(None);
    server.connection.handle_transport(server.now, event, scratch);
    let unsent = server.ends(scratch).unsent;
    assert_eq!(unsent.messages, 2);
    assert!(unsent.bytes > MIB as u64);
}

#[test]
fn text_that_nobody_has_used_for_ten_seconds_is_forgotten() {
    let scratch = &mut Scratch::default();
    let (mut client, mut server) = pair(with(eager()), with(eager()), scratch);
    let text = Message::from(Numbers(2).words(1000));
    let first = server.send(&text, scratch);
    let again = server.send(&text, scratch);
    assert!(again.len() < first.len() / 4, "it refers to the first");
    server.now += Duration::from_secs(9);
    server.connection.handle_timeout(server.now, None, scratch);
    let soon = server.send(&text, scratch);
    assert!(soon.len() < first.len() / 4, "it still does");
    server.now += Duration::from_secs(10);
    server.connection.handle_timeout(server.now, None, scratch);
    let late = server.send(&text, scratch);
    assert!(late.len() >= first.len(), "it stands alone again");
    let wire = [first, again, soon, late].concat();
    client.receive(&wire, &[usize::MAX], scratch);
    assert_eq!(client.messages, vec![text; 4]);
}
