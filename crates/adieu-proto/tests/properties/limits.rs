//! The limit on a message: which of its two violations is told, and that none is told below it.

use std::sync::Arc;

use adieu_proto::{
    Cause, CloseCode, CloseRequest, ClosingHandshake, Command, Config, Event, ProtocolError,
    Scratch, Version, defaults,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::driver::{Driver, Used, open, server};
use crate::frames::frame;
use crate::generate::{config, sizes};

const LIMIT: u64 = 1000;

/// Lengths of the fragments of a message: few large ones, or many small ones.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        vec(0..=1100usize, 1..4),
        vec(0..=120usize, 1..30),
        vec(0..=4usize, 1..40),
        // Exactly the limit, one less and one more, in one frame.
        (999..=1001usize).prop_map(|len| vec![len]),
    ]
}

/// The first fragment that is one too many, by the rule of `Config::max_message`.
fn want(lengths: &[usize]) -> Option<ProtocolError> {
    let mut payload = 0;
    for (before, len) in (0u64..).zip(lengths) {
        payload += *len as u64;
        if payload > LIMIT {
            return Some(ProtocolError::MessageTooBig { limit: LIMIT });
        }
        if payload + before * defaults::FRAGMENT_COST > LIMIT {
            let fragments = before + 1;
            return Some(ProtocolError::TooManyFragments { fragments, limit: LIMIT });
        }
    }
    None
}

/// The violation that ended the connection.
fn violation(driver: &mut Driver) -> Option<ProtocolError> {
    driver.connection.command(driver.now, Command::EndSeen, &mut driver.scratch);
    driver.run_out();
    driver.events.iter().find_map(|event| match event {
        Event::Ended(ending) => match ending.cause {
            Cause::Violation(error) => Some(error),
            _ => None,
        },
        _ => None,
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_message_is_too_big_only_if_its_payload_is(
        lengths in lengths(),
        sizes in sizes(),
        to_server: bool,
    ) {
        let mut driver =
            open(to_server, Config { max_message: LIMIT, ..Config::default() });
        let mask = to_server.then_some([1, 2, 3, 4]);
        let last = lengths.len() - 1;
        let bytes: Vec<u8> = lengths
            .iter()
            .enumerate()
            .flat_map(|(i, len)| {
                let opcode = if i == 0 { 0x2 } else { 0x0 };
                let fin = if i == last { 0x80 } else { 0 };
                frame(fin | opcode, &vec![b'x'; *len], mask)
            })
            .collect();
        driver.receive(&bytes, &sizes);
        let got: Vec<usize> = driver.messages.iter().map(|m| m.as_bytes().len()).collect();
        let told = violation(&mut driver);
        prop_assert_eq!(told, want(&lengths));
        // It is read, or its violation is told, and never both.
        let total: usize = lengths.iter().sum();
        prop_assert_eq!(got, if told.is_none() { vec![total] } else { vec![] });
        if let Some(ProtocolError::MessageTooBig { .. }) = told {
            prop_assert!(total as u64 > LIMIT);
        }
    }

    #[test]
    fn of_a_message_that_the_application_does_not_read_nothing_is_kept(
        version in versions(),
        before in 0..50_000usize,
        sizes in sizes(),
        pool: bool,
    ) {
        let text = "€".repeat(50_000).into_bytes();
        let bytes = match version {
            Version::Hixie76 => [&[0x00][..], &text, &[0xFF], &[0xFF, 0x00]].concat(),
            _ => {
                let mask = Some([1, 2, 3, 4]);
                let close = frame(0x88, &1000u16.to_be_bytes(), mask);
                [frame(0x81, &text, mask), close].concat()
            }
        };
        let mut driver = server(version, Config::default());
        if pool {
            driver.scratch = Scratch::with_pool(Arc::new(Used));
        }
        let (first, rest) = bytes.split_at(before);
        driver.receive(first, &sizes);
        let close = CloseRequest::of(Cause::Application, CloseCode::NORMAL.into());
        driver.connection.command(driver.now, Command::Close(close), &mut driver.scratch);
        driver.connection.command(driver.now, Command::EndSeen, &mut driver.scratch);
        for piece in rest.chunks(20_000) {
            prop_assert!(driver.connection.status().receiving() < 4);
            driver.receive(piece, &sizes);
        }
        driver.run_out();
        prop_assert!(driver.messages.is_empty());
        let crossed = |event: &Event| match event {
            Event::Ended(ending) => {
                matches!(ending.closing_handshake, ClosingHandshake::SentThenReceived { .. })
            }
            _ => false,
        };
        prop_assert!(driver.events.iter().any(crossed), "{:?}", driver.events);
    }
}

fn versions() -> impl Strategy<Value = Version> {
    let versions = [Version::Rfc6455, Version::Hixie76];
    let spoken = if cfg!(feature = "legacy") { versions.len() } else { 1 };
    proptest::sample::select(versions[..spoken].to_vec())
}
