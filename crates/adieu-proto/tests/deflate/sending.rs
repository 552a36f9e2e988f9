//! What is compressed, what is not, and that every peer can read it.

use adieu_proto::{
    Compressed, Config, Deflate, Message, PerMessageDeflate, Prepared, Scratch, UsageError,
    WindowBits,
};

use crate::strict;
use crate::world::{End, Numbers, frames, pair, with};

/// All that can be is compressed.
pub(crate) fn eager() -> Deflate {
    Deflate { min_with_history: 1, min_without_history: 1, binary: true, ..Deflate::default() }
}

/// A text compressed alone, as it goes out.
pub(crate) fn packed(text: &str, scratch: &mut Scratch) -> Vec<u8> {
    let mut server = End::server(Some(PerMessageDeflate::default()), with(eager()));
    let sent = server.send(&Message::from(text), scratch);
    let [(first, payload)] = &frames(&sent)[..] else { panic!("one frame") };
    if *first == 0xC1 {
        return payload.clone();
    }
    // It has not become smaller: in a stored block.
    let len = text.len() as u16;
    let head = [&[0x00][..], &len.to_le_bytes(), &(!len).to_le_bytes()].concat();
    [&head, text.as_bytes(), &[0x00]].concat()
}

#[test]
fn small_messages_go_out_as_they_are_until_there_is_a_text_to_refer_to() {
    let scratch = &mut Scratch::default();
    let text = |len: usize| Message::from("some text, again ".repeat(100)[..len].to_owned());
    let mut server = End::server(Some(PerMessageDeflate::default()), with(Deflate::default()));
    let firsts = |bytes: &[u8]| frames(bytes).iter().map(|(first, _)| *first).collect::<Vec<u8>>();
    assert_eq!(firsts(&server.send(&text(64), scratch)), [0x81]);
    assert_eq!(firsts(&server.send(&text(511), scratch)), [0x81]);
    assert_eq!(firsts(&server.send(&text(512), scratch)), [0xC1]);
    assert_eq!(firsts(&server.send(&text(64), scratch)), [0xC1]);
    assert_eq!(firsts(&server.send(&text(63), scratch)), [0x81]);
    let binary = Message::from(vec![7; 1000]);
    assert_eq!(firsts(&server.send(&binary, scratch)), [0x82], "only text, unless asked");
    server.connection.send_uncompressed(&text(1000), scratch).unwrap();
    assert_eq!(firsts(&server.pump(scratch)), [0x81]);
    let alone = PerMessageDeflate { server_no_context_takeover: true, ..Default::default() };
    let mut server = End::server(Some(alone), with(Deflate::default()));
    assert_eq!(firsts(&server.send(&text(512), scratch)), [0xC1]);
    assert_eq!(firsts(&server.send(&text(511), scratch)), [0x81], "nothing to refer to");
    let mut server = End::server(None, with(eager()));
    assert_eq!(firsts(&server.send(&text(1000), scratch)), [0x81], "not agreed on");
}

#[test]
fn what_does_not_shrink_is_sent_as_it_is_and_not_referred_to() {
    let scratch = &mut Scratch::default();
    let (mut client, mut server) = pair(with(eager()), with(eager()), scratch);
    let mut numbers = Numbers(5);
    let noise = Message::from(numbers.bytes(64));
    let words = Message::from(numbers.words(600));
    let twice = Message::from([noise.as_bytes(), noise.as_bytes(), noise.as_bytes()].concat());
    let all = [&noise, &twice, &words, &noise, &words, &twice, &words];
    let mut wire = Vec::new();
    for (i, message) in all.iter().enumerate() {
        if i == 3 {
            server.connection.send_uncompressed(&words, scratch).unwrap();
            wire.extend(server.pump(scratch));
        }
        wire.extend(server.send(message, scratch));
    }
    let firsts: Vec<u8> = frames(&wire).iter().map(|(first, _)| *first).collect();
    assert_eq!(firsts[..4], [0x82, 0xC2, 0xC1, 0x81]);
    client.receive(&wire, &[7, 100], scratch);
    let mut want: Vec<Message> = all.into_iter().cloned().collect();
    want.insert(3, words);
    assert_eq!(client.messages, want);
}

#[test]
fn each_length_has_its_four_bytes_taken_off_once() {
    let scratch = &mut Scratch::default();
    // A debug build is slow.
    let step = if cfg!(debug_assertions) { 97 } else { 1 };
    let text = Numbers(11).words(40_000);
    let mut server = End::server(
        Some(PerMessageDeflate { server_no_context_takeover: true, ..Default::default() }),
        with(eager()),
    );
    for len in (1..40_000).step_by(step) {
        let wire = server.send(&Message::from(&text[..len]), scratch);
        let [(first, payload)] = &frames(&wire)[..] else { panic!("one frame") };
        if *first == 0xC1 {
            assert!(!payload.ends_with(&[0, 0, 0xFF, 0xFF]), "{len} bytes");
            let (out, _) = strict::inflate(payload, b"", 32_768).expect("whole");
            assert_eq!(out, text.as_bytes()[..len], "{len} bytes");
        }
    }
}

#[test]
fn a_small_window_is_kept_byte_by_byte() {
    let scratch = &mut Scratch::default();
    for bits in 8..=15u8 {
        for level in [1, 3, 6, 9] {
            let agreed = PerMessageDeflate {
                server_max_window_bits: WindowBits::new(bits),
                ..Default::default()
            };
            let mut server = End::server(Some(agreed), with(Deflate { level, ..eager() }));
            let (mut before, mut numbers, mut far) = (Vec::new(), Numbers(9), 0);
            for len in [300, 5000, 64, 9000, 20_000] {
                let text = numbers.words(len);
                let wire = server.send(&Message::from(text.as_str()), scratch);
                let [(first, payload)] = &frames(&wire)[..] else { panic!("one frame") };
                if *first == 0x81 {
                    // It has not become smaller.
                    continue;
                }
                let (out, distance) = strict::inflate(payload, &before, 1 << bits).expect("legal");
                assert_eq!(out, text.as_bytes());
                before.extend(out);
                far = far.max(distance);
            }
            assert!(far > (1 << bits.min(13)) / 3, "{bits} bits: only {far} bytes back");
        }
    }
}

#[test]
fn connections_of_one_thread_never_share_text() {
    let scratch = &mut Scratch::default();
    for agreed in [
        PerMessageDeflate::default(),
        PerMessageDeflate { server_no_context_takeover: true, ..Default::default() },
        PerMessageDeflate { server_max_window_bits: WindowBits::new(10), ..Default::default() },
    ] {
        let mut servers: Vec<_> =
            (0..3).map(|_| (End::server(Some(agreed), with(eager())), Vec::new())).collect();
        let secret = Numbers(17).words(3000);
        for turn in 0..12 {
            for (i, (server, before)) in servers.iter_mut().enumerate() {
                // All of them have the same text to send, at different times.
                let text = &secret[100 * ((turn + i) % 5)..][..700 + 100 * turn];
                let wire = server.send(&Message::from(text), scratch);
                let [(0xC1, payload)] = &frames(&wire)[..] else { panic!("compressed") };
                // With its own text alone: a match into another's would be out of reach.
                let (out, _) = strict::inflate(payload, before, 32_768).expect("its own text");
                assert_eq!(out, text.as_bytes());
                if !agreed.server_no_context_takeover {
                    before.extend(out);
                }
            }
        }
    }
}

#[test]
fn a_broadcast_is_compressed_once_and_private_messages_go_on_around_it() {
    let scratch = &mut Scratch::default();
    let mut numbers = Numbers(23);
    let mut pairs: Vec<_> = (0..3).map(|_| pair(with(eager()), with(eager()), scratch)).collect();
    let plain = pair(Config::default(), with(eager()), scratch);
    pairs.push(plain);
    for turn in 0..4 {
        let to_all = Message::from(numbers.words(800 + turn));
        let prepared = Prepared::new(to_all.clone());
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for (client, server) in &mut pairs {
            let mine = Message::from(numbers.words(300));
            let mut wire = server.send(&mine, scratch);
            server.connection.send(&prepared, scratch).unwrap();
            sent.push(server.pump(scratch));
            wire.extend(sent.last().unwrap());
            wire.extend(server.send(&to_all, scratch));
            client.receive(&wire, &[64], scratch);
            let want = [mine, to_all.clone(), to_all.clone()];
            assert_eq!(client.messages[3 * turn..], want);
        }
        assert!(sent[0] == sent[1] && sent[1] == sent[2], "the same bytes for all");
        assert!(sent[0].len() < sent[3].len(), "compressed");
    }
}

#[test]
fn the_report_tells_bytes_before_and_after() {
    let scratch = &mut Scratch::default();
    let (mut client, mut server) = pair(with(eager()), with(eager()), scratch);
    let text = Message::from(Numbers(3).words(2000));
    let wire = server.send(&text, scratch);
    client.receive(&wire, &[usize::MAX], scratch);
    let as_bytes = frames(&wire)[0].1.len() as u64;
    let want = Compressed { sent: 2000, sent_as: as_bytes, ..Default::default() };
    assert_eq!(server.ends(scratch).compressed, Some(want));
    let want = Compressed { received: 2000, received_as: as_bytes, ..Default::default() };
    assert_eq!(client.ends(scratch).compressed, Some(want));
    let mut without = End::server(None, Config::default());
    assert_eq!(without.ends(scratch).compressed, None);
    assert_eq!(server.connection.send_uncompressed(&text, scratch), Err(UsageError::Closed));
}

/// What there should not be counts as the nearest that there may be.
#[test]
fn odd_settings_compress_as_well() {
    let scratch = &mut Scratch::default();
    let text = Message::from(Numbers(53).words(5000));
    for level in [0, 1, 9, 10, 255] {
        for mem_level in [0, 1, 9, 10, 255] {
            for history in [0, 1, 2, 32_768, 32_769, 65_535, 65_536, usize::MAX] {
                let odd = Deflate { level, mem_level, history, ..eager() };
                let (mut client, mut server) = pair(with(odd.clone()), with(odd), scratch);
                let wire = [server.send(&text, scratch), server.send(&text, scratch)].concat();
                assert!(wire.len() < 9000, "{level}, {mem_level}, {history}");
                client.receive(&wire, &[usize::MAX], scratch);
                assert!(client.messages == [text.clone(), text.clone()]);
            }
        }
    }
}

/// The compressor of the thread serves all, also behind a message that it was not worth its work.
#[test]
fn what_did_not_shrink_leaves_nothing_behind_for_the_next() {
    let scratch = &mut Scratch::default();
    let mut numbers = Numbers(41);
    for level in [1, 2, 3, 6, 9] {
        for mem_level in [1, 8] {
            let options = || with(Deflate { level, mem_level, ..eager() });
            let (_, mut one) = pair(with(eager()), options(), scratch);
            let (mut client, mut two) = pair(with(eager()), options(), scratch);
            // One large message, one of more than a turn, many small ones.
            for (times, len) in [(1, 60_000), (1, 300_000), (1200, 64)] {
                for _ in 0..times {
                    one.send(&Message::from(numbers.bytes(len)), scratch);
                }
                let text = Message::from(numbers.words(60_000));
                let wire = two.send(&text, scratch);
                assert!(wire.len() < 40_000, "level {level}: {} bytes", wire.len());
                client.receive(&wire, &[usize::MAX], scratch);
                assert!(client.messages.pop() == Some(text), "level {level}");
            }
        }
    }
}
