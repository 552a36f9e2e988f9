//! What the properties are tried with.

use adieu_proto::Message;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::frames::frame;

/// Lengths on both sides of each form of the header, of what keeps a buffer of its own, and of what
/// is read into the message's own buffer.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        16 => 0..200usize,
        4 => 120..130usize,
        2 => 8_180..8_200usize,
        2 => 65_530..65_540usize,
        1 => 130_000..300_000usize,
    ]
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    let text = (length(), "\\PC{1,8}").prop_map(|(len, seed)| {
        let characters = seed.chars().cycle().scan(0, move |size, c| {
            *size += c.len_utf8();
            (*size <= len).then_some(c)
        });
        Message::from(characters.collect::<String>())
    });
    let binary = (length(), any::<u8>()).prop_map(|(len, first)| {
        Message::from((0..len).map(|i| first.wrapping_add(i as u8)).collect::<Vec<u8>>())
    });
    prop_oneof![text, binary]
}

#[cfg(feature = "legacy")]
pub(crate) fn text() -> impl Strategy<Value = Message> {
    message().prop_filter("hixie has text only", |message| message.as_text().is_some())
}

/// Sizes of the pieces in which bytes arrive.
pub(crate) fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => 1..20usize, 1 => 1..100_000usize], 1..12)
}

/// Garbage of several kinds: noise, and what looks like frames or heads for a while.
pub(crate) fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let plausible = (
        prop_oneof![Just(0x00u8), Just(0x01), Just(0x81), Just(0x88), Just(0x89), any::<u8>()],
        vec(any::<u8>(), 0..130),
        any::<Option<[u8; 4]>>(),
    )
        .prop_map(|(first, payload, mask)| frame(first, &payload, mask));
    let line = prop_oneof![
        Just("GET / HTTP/1.1\r\n".to_owned()),
        Just("Upgrade: websocket\r\n".to_owned()),
        Just("Sec-WebSocket-Version: 13\r\n".to_owned()),
        Just("\r\n".to_owned()),
        "[ -~]{0,30}\r\n",
    ]
    .prop_map(String::into_bytes);
    let noise = vec(any::<u8>(), 0..60);
    vec(prop_oneof![3 => plausible, 1 => line, 1 => noise], 0..12).prop_map(|all| all.concat())
}

/// More cases where they are quick. A failing case is kept beside its test, to be run first.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(debug_assertions) { 48 } else { 1024 },
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}
