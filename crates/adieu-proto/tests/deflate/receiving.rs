//! What a peer may send, and what it may not.

use adieu_proto::{CloseCode, Config, Message, PerMessageDeflate, ProtocolError, Scratch};

use crate::world::{End, frame, hex};

const TAKEOVER: PerMessageDeflate = PerMessageDeflate {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: None,
    client_max_window_bits: None,
};

const ALONE: PerMessageDeflate = PerMessageDeflate { client_no_context_takeover: true, ..TAKEOVER };

/// A server that has received these payloads, each a compressed text of one frame, in pieces of
/// this size.
fn received(
    agreed: PerMessageDeflate,
    payloads: &[&str],
    size: usize,
    scratch: &mut Scratch,
) -> End {
    let mut server = End::server(Some(agreed), Config::default());
    for payload in payloads {
        server.receive(&frame(0xC1, &hex(payload)), &[size], scratch);
    }
    server
}

#[test]
fn messages_of_every_legal_form_are_inflated() {
    let a4097 = "a".repeat(4097);
    let table: &[(&[&str], &[&str])] = &[
        // RFC 7692 §7.2.3.1, §7.2.3.2.
        (&["f248cdc9c90700", "f200110000"], &["Hello", "Hello"]),
        // Stored (§7.2.3.3), in two blocks (§7.2.3.5), empty (§7.2.3.6), and with no byte at all.
        (&["000500faff48656c6c6f00"], &["Hello"]),
        (&["f2480500 0000ffff cac9c90700"], &["Hello"]),
        (&["00"], &[""]),
        (&[""], &[""]),
        // A last block (§7.2.3.4), with and without a byte behind it; the window survives it.
        (&["f348cdc9c9070000", "f200110000"], &["Hello", "Hello"]),
        (&["f348cdc9c90700", "f200110000"], &["Hello", "Hello"]),
        // More behind a last block.
        (&["f348cdc9c90700f248cdc9c90700"], &["HelloHello"]),
        (&["f348cdc9c90700f200110000"], &["HelloHello"]),
        // The empty block of which the four bytes were taken off is a last one (§7.2.1).
        (&["000500faff48656c6c6f01", "f200110000"], &["Hello", "Hello"]),
        (&["01"], &[""]),
        // A long run, in a last block.
        (&["edc1010d000000c2a0acef5fc21e0e28000000a07703"], &[&a4097]),
        // The last four bytes were not taken off, or there are more empty blocks.
        (&["000000ffff"], &[""]),
        (&["000000ffff 000000ffff 000000ffff 00"], &[""]),
        (&["f248cdc9c907000000ffff"], &["Hello"]),
        (&["f348cdc9c90700000000ffff"], &["Hello"]),
        (&["f248cdc9c90700 0000ffff 010000ffff"], &["Hello"]),
    ];
    let scratch = &mut Scratch::default();
    for (payloads, want) in table {
        for size in [usize::MAX, 1, 2, 3, 5, 8, 13] {
            let server = received(TAKEOVER, payloads, size, scratch);
            let want: Vec<Message> = want.iter().map(|text| Message::from(*text)).collect();
            assert_eq!(server.messages, want, "{payloads:?} in pieces of {size}");
        }
    }
}

#[test]
fn cut_and_wrong_data_are_told_from_whole_messages() {
    let table = [
        // It refers to a message that is not there.
        "f200110000",
        // Block type 3; lengths that differ; cut in a stored block.
        "07",
        "000500ffff48656c6c6f00",
        "000500faff4865",
        // Cut in a block of codes: with the four bytes alone these are "Heh" and "Hellh".
        "f248cd",
        "f248cdc9c9",
        // Behind a last block.
        "f348cdc9c90700f248cd",
        "f348cdc9c9070007",
    ];
    let scratch = &mut Scratch::default();
    for payload in table {
        for size in [usize::MAX, 1] {
            let mut server = received(TAKEOVER, &[payload], size, scratch);
            assert!(server.messages.is_empty(), "{payload}");
            let error = server.violation(scratch);
            assert_eq!(error, Some(ProtocolError::CompressedData), "{payload}");
        }
    }
    assert_eq!(ProtocolError::CompressedData.close_code(), CloseCode::INVALID_PAYLOAD);
    // Where each message stands alone.
    let mut server = received(ALONE, &["f248cdc9c90700", "f200110000"], 99, scratch);
    assert_eq!(server.messages, [Message::from("Hello")]);
    assert_eq!(server.violation(scratch), Some(ProtocolError::CompressedData));
}

#[test]
fn no_message_that_is_cut_passes() {
    use crate::sending::packed;
    let scratch = &mut Scratch::default();
    let mut numbers = crate::world::Numbers(7);
    let texts = [197, 700, 3000].map(|len| numbers.words(len));
    for text in texts.into_iter().chain(["a".repeat(40), "ab".repeat(400)]) {
        let payload = packed(&text, scratch);
        for cut in 1..payload.len() {
            let mut server = End::server(Some(TAKEOVER), Config::default());
            server.receive(&frame(0xC1, &payload[..cut]), &[usize::MAX], scratch);
            assert!(server.messages.is_empty(), "{} bytes, cut at {cut}", text.len());
        }
    }
}

#[test]
fn too_many_last_blocks_are_no_message() {
    let scratch = &mut Scratch::default();
    for (blocks, passes) in [(200, true), (10_000, false)] {
        let mut server = End::server(Some(TAKEOVER), Config::default());
        // An empty last block, over and over.
        let payload = [0x03, 0x00].repeat(blocks);
        server.receive(&frame(0xC1, &payload), &[usize::MAX], scratch);
        assert_eq!(server.messages.len(), usize::from(passes));
        assert_eq!(server.violation(scratch).is_some(), !passes);
    }
}

#[test]
fn fragments_are_one_message_however_they_are_cut() {
    let scratch = &mut Scratch::default();
    let payload = hex("f248cdc9c90700");
    for cut in 0..=payload.len() {
        let (a, b) = payload.split_at(cut);
        let frames = [frame(0x41, a), frame(0x89, b"p"), frame(0x80, b)].concat();
        for size in 1..=frames.len() {
            let mut server = End::server(Some(TAKEOVER), Config::default());
            server.receive(&frames, &[size], scratch);
            server.receive(&frames, &[size], scratch);
            let want = [Message::from("Hello"), Message::from("Hello")];
            assert_eq!(server.messages, want, "cut at {cut}, in pieces of {size}");
        }
    }
    // A first frame that ends with the four bytes, and an empty block behind it; RSV1 is in the
    // first frame alone. And the four bytes spread over two frames.
    let four = hex("f248cdc9c907000000ffff");
    for (a, b) in [(&four[..], &[0x00][..]), four.split_at(9), four.split_at(10)] {
        let frames = [frame(0x41, a), frame(0x80, b)].concat();
        for size in [usize::MAX, 1, 2, 13] {
            let mut server = End::server(Some(TAKEOVER), Config::default());
            server.receive(&frames, &[size], scratch);
            server.receive(&frames, &[size], scratch);
            assert_eq!(server.messages, [Message::from("Hello"), Message::from("Hello")]);
        }
    }
}

#[test]
fn rsv1_where_it_must_not_be_is_a_violation() {
    let scratch = &mut Scratch::default();
    let rsv1 = Some(ProtocolError::ReservedBits(4));
    let hello = hex("f248cdc9c90700");
    let cases: [(&[&[u8]], Option<ProtocolError>); 5] = [
        (&[&frame(0x41, &hello[..3]), &frame(0xC0, &hello[3..])], rsv1),
        (&[&frame(0xC9, b"")], rsv1),
        (&[&frame(0xC8, b"")], rsv1),
        (&[&frame(0xE1, &hello)], Some(ProtocolError::ReservedBits(6))),
        (&[&frame(0xC3, b"")], Some(ProtocolError::ReservedOpcode(3))),
    ];
    for (frames, want) in cases {
        for size in [usize::MAX, 1] {
            let mut server = End::server(Some(TAKEOVER), Config::default());
            server.receive(&frames.concat(), &[size], scratch);
            assert_eq!(server.violation(scratch), want, "{frames:x?}");
        }
    }
    let mut server = End::server(None, Config::default());
    server.receive(&frame(0xC1, &hello), &[usize::MAX], scratch);
    assert_eq!(server.violation(scratch), rsv1, "it was not agreed on");
    assert_eq!(ProtocolError::ReservedBits(4).close_code(), CloseCode::PROTOCOL_ERROR);
}

#[test]
fn messages_that_are_not_compressed_are_taken_as_they_are() {
    let scratch = &mut Scratch::default();
    let mut server = End::server(Some(TAKEOVER), Config::default());
    let frames = [
        frame(0xC1, &hex("f248cdc9c90700")),
        frame(0x81, b"plain"),
        frame(0xC1, &hex("f200110000")),
        frame(0x82, &hex("f248cdc9c90700")),
        frame(0xC2, &hex("f200110000")),
    ];
    server.receive(&frames.concat(), &[usize::MAX], scratch);
    let want = [
        Message::from("Hello"),
        Message::from("plain"),
        Message::from("Hello"),
        Message::from(hex("f248cdc9c90700")),
        Message::from(b"Hello"),
    ];
    assert_eq!(server.messages, want);
}

#[test]
fn text_is_checked_when_it_is_inflated() {
    let scratch = &mut Scratch::default();
    let mut server = End::server(Some(TAKEOVER), Config::default());
    // Stored: the first byte of "é" alone.
    server.receive(&frame(0xC1, &hex("000100feffc300")), &[usize::MAX], scratch);
    assert_eq!(server.violation(scratch), Some(ProtocolError::InvalidUtf8));
    let mut server = End::server(Some(TAKEOVER), Config::default());
    server.receive(&frame(0xC2, &hex("000100feffc300")), &[usize::MAX], scratch);
    assert_eq!(server.messages, [Message::from(b"\xC3")]);
}

/// So many times `a`, compressed: behind a sync flush, or in a last block.
fn run_of_a(len: usize, last: bool, scratch: &mut Scratch) -> Vec<u8> {
    let mut payload = crate::sending::packed(&"a".repeat(len), scratch);
    if last {
        // The four bytes, and an empty last block.
        payload.extend(hex("0000ffff0300"));
    }
    payload
}

#[test]
fn the_limit_is_that_of_the_inflated_message() {
    let scratch = &mut Scratch::default();
    for len in [16_384, 16_385, 32_768] {
        for last in [false, true] {
            let payload = run_of_a(len, last, scratch);
            for limit in [len, len - 1] {
                let limit = limit as u64;
                let config = Config { max_message: limit, ..Config::default() };
                let mut server = End::server(Some(TAKEOVER), config);
                server.receive(&frame(0xC1, &payload), &[usize::MAX], scratch);
                let fits = limit == len as u64;
                assert_eq!(server.messages.len(), usize::from(fits), "{len}, last: {last}");
                let want = (!fits).then_some(ProtocolError::MessageTooBig { limit });
                assert_eq!(server.violation(scratch), want, "{len}, last: {last}");
            }
        }
    }
}

/// Browsers compress all messages, also those that grow by it.
#[test]
fn a_message_that_has_grown_may_be_as_long_as_any() {
    let scratch = &mut Scratch::default();
    let stored = |text: &[u8]| {
        let blocks = text.chunks(100).map(|text| {
            let len = text.len() as u16;
            [&[0x00][..], &len.to_le_bytes(), &(!len).to_le_bytes(), text].concat()
        });
        [blocks.collect::<Vec<_>>().concat(), vec![0x00]].concat()
    };
    let limit = 10_000;
    for (len, fits) in [(limit, true), (limit + 1, false), (2 * limit, false)] {
        let text = crate::world::Numbers(3).bytes(len);
        let payload = stored(&text);
        assert!(payload.len() > len);
        let (a, b) = payload.split_at(4000);
        let fragments = [frame(0x42, a), frame(0x80, b)].concat();
        for frames in [frame(0xC2, &payload), fragments] {
            for size in [usize::MAX, 1000] {
                let config = Config { max_message: limit as u64, ..Config::default() };
                let mut server = End::server(Some(TAKEOVER), config);
                server.receive(&frames, &[size], scratch);
                let want = if fits { vec![Message::from(text.clone())] } else { Vec::new() };
                assert!(server.messages == want, "{len} bytes");
                let limit = limit as u64;
                let want = (!fits).then_some(ProtocolError::MessageTooBig { limit });
                assert_eq!(server.violation(scratch), want, "{len} bytes");
            }
        }
    }
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let scratch = &mut Scratch::default();
    let limit = 1 << 20;
    let zeros = run_of_a(64 << 20, false, scratch);
    assert!(zeros.len() < 70_000, "{}", zeros.len());
    for size in [usize::MAX, 1000] {
        let config = Config { max_message: limit, ..Config::default() };
        let mut server = End::server(Some(TAKEOVER), config);
        server.receive(&frame(0xC1, &zeros), &[size], scratch);
        assert!(server.messages.is_empty());
        let most = limit as usize + 16 * 1024 + zeros.len();
        assert!(server.held > 900_000 && server.held <= most, "{} bytes", server.held);
        let error = server.violation(scratch);
        assert_eq!(error, Some(ProtocolError::MessageTooBig { limit }));
    }
}

/// So many times `a` in one last block of fixed codes, `runs` of them 258 long.
fn last_block_of_a(len: usize, runs: usize) -> Vec<u8> {
    let mut bits = vec![true, true, false];
    // RFC 1951 §3.2.6: a code has its highest bit first.
    let mut code =
        |code: u32, len: u32| bits.extend((0..len).rev().map(|bit| code >> bit & 1 == 1));
    (0..len - 258 * runs).for_each(|_| code(0x30 + u32::from(b'a'), 8));
    // Length 258 is the symbol 285, distance 1 the symbol 0.
    (0..runs).for_each(|_| code(0b1100_0101 << 5, 13));
    code(0, 7);
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    bits.chunks(8).map(byte).collect()
}

/// 16 KiB is what is inflated at a time: the code that ends the block may be all that is left.
#[test]
fn a_last_block_may_end_where_any_number_of_bytes_of_text_end() {
    let scratch = &mut Scratch::default();
    for len in [16_383, 16_384, 16_385, 16_500, 32_768, 40_000] {
        for runs in 1..=16 {
            let payload = last_block_of_a(len, runs);
            let mut server = End::server(Some(TAKEOVER), Config::default());
            server.receive(&frame(0xC1, &payload), &[usize::MAX], scratch);
            server.receive(&frame(0xC1, &hex("01")), &[usize::MAX], scratch);
            let want = [Message::from("a".repeat(len)), Message::from("")];
            assert!(server.messages == want, "{len} bytes, {runs} runs");
        }
    }
}
