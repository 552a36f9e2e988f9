//! What holds for all messages, all settings and all ways in which bytes arrive.

use adieu_proto::{Config, Deflate, Message, PerMessageDeflate, Scratch, WindowBits};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::world::{End, Numbers, frame, pair, with};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(debug_assertions) { 48 } else { 1024 },
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

fn message() -> impl Strategy<Value = Message> {
    let len = prop_oneof![8 => 0..300usize, 4 => 300..9000usize, 1 => 60_000..200_000usize];
    (len, any::<u64>(), 0..3u8).prop_map(|(len, seed, kind)| {
        let mut numbers = Numbers(seed | 1);
        match kind {
            0 => Message::from(numbers.bytes(len)),
            1 => Message::from(vec![seed as u8; len]),
            _ => Message::from(numbers.words(len)),
        }
    })
}

fn options() -> impl Strategy<Value = Deflate> {
    let history = prop_oneof![Just(0usize), Just(256), Just(4096), Just(32_768)];
    let bits = prop_oneof![Just(None), (8..16u8).prop_map(WindowBits::new)];
    (1..10u8, history, 0..600usize, any::<bool>(), bits, any::<bool>()).prop_map(
        |(level, history, least, binary, bits, alone)| Deflate {
            level,
            history,
            min_with_history: least / 8,
            min_without_history: least,
            binary,
            client_window_bits: bits,
            server_no_context_takeover: alone,
            ..Deflate::default()
        },
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_one_sends_the_other_receives(
        ours in options(),
        theirs in options(),
        sent in vec((any::<bool>(), any::<bool>(), message()), 0..12),
        sizes in vec(prop_oneof![4 => 1..20usize, 2 => 1..100_000usize], 1..12),
        // 0 for none: the connections of a thread have one scratch, those of two threads two.
        apart: bool,
    ) {
        let (mut one, mut two) = (Scratch::default(), Scratch::default());
        let (mut client, mut server) = pair(with(ours), with(theirs), &mut one);
        for (from_client, compressed, message) in &sent {
            let (from, to) = match from_client {
                true => (&mut client, &mut server),
                false => (&mut server, &mut client),
            };
            match compressed {
                true => from.connection.send(message, &mut one),
                false => from.connection.send_uncompressed(message, &mut one),
            }.expect("it is open");
            let wire = from.pump(&mut one);
            let scratch = if apart { &mut two } else { &mut one };
            to.receive(&wire, &sizes, scratch);
        }
        let of = |side: bool| sent.iter().filter(move |s| s.0 == side).map(|s| s.2.clone());
        prop_assert!(server.messages == of(true).collect::<Vec<_>>());
        prop_assert!(client.messages == of(false).collect::<Vec<_>>());
    }

    #[test]
    fn garbage_is_a_message_or_a_violation_however_it_is_cut(
        payload in prop_oneof![
            vec(any::<u8>(), 0..200),
            (vec(any::<u8>(), 0..4), message(), any::<usize>()).prop_map(|(noise, message, at)| {
                let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
                let mut bytes = crate::sending::packed(
                    &text[..text.floor_char_boundary_of(3000)], &mut Scratch::default());
                let at = at % (bytes.len() + 1);
                bytes.splice(at..(at + noise.len()).min(bytes.len()), noise);
                bytes
            }),
        ],
        sizes in vec(1..50usize, 1..6),
    ) {
        let scratch = &mut Scratch::default();
        let config = || Config { max_message: 100_000, ..Config::default() };
        let mut whole = End::server(Some(PerMessageDeflate::default()), config());
        let mut pieces = End::server(Some(PerMessageDeflate::default()), config());
        let bytes = frame(0xC2, &payload);
        whole.receive(&bytes, &[usize::MAX], scratch);
        pieces.receive(&bytes, &sizes, scratch);
        prop_assert!(whole.messages == pieces.messages);
        prop_assert_eq!(whole.violation(scratch), pieces.violation(scratch));
    }
}

/// Where a text may be cut.
trait Boundary {
    fn floor_char_boundary_of(&self, at: usize) -> usize;
}

impl Boundary for String {
    fn floor_char_boundary_of(&self, at: usize) -> usize {
        let at = at.min(self.len());
        (0..=at).rev().find(|at| self.is_char_boundary(*at)).unwrap_or(0)
    }
}
