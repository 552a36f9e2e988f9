//! What a client says in adieu.v1, and how messages to it are written.
//!
//! What must hold for any message:
//! - It is read, or its fault has a Close that may be sent: 1007, 1008 or 1009, with a reason that
//!   fits into a control frame.
//! - A message that is read carries no more than the limit, and a number that is written there.
//! - What we write is JSON: written and read again it is the same number and payload.

#![no_main]

use adieu_proto::Message;
use adieu_session::wire::{Fault, FromClient, MAX_PAYLOAD, Payload, Tag, Tail};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let said = match std::str::from_utf8(bytes) {
        Ok(text) => {
            let said = FromClient::read(text);
            assert_eq!(said, FromClient::of(&Message::from(text)));
            agrees_with_json(text, &said);
            said
        }
        Err(_) => FromClient::of(&Message::from(bytes.to_vec())),
    };
    match said {
        Ok(FromClient::Message { sequence_id, payload }) => {
            assert!(payload.len() <= MAX_PAYLOAD);
            is_read_as_it_is_written(sequence_id, &payload);
        }
        Ok(_) => {}
        Err(fault) => has_a_close(&fault),
    }
});

/// What was read is what another reader of JSON sees.
fn agrees_with_json(text: &str, said: &Result<FromClient, Fault>) {
    // Half of a surrogate pair and a number that is no double are no JSON to that reader.
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let number = || value["sequenceId"].as_u64();
    match said {
        Ok(FromClient::Message { sequence_id, payload }) => {
            assert_eq!(value["type"], "message");
            assert_eq!(number(), Some(*sequence_id));
            match payload {
                Payload::Text(said) => assert_eq!(value["text"], **said),
                Payload::Binary(_) => assert!(value["binary"].is_string()),
            }
        }
        Ok(FromClient::SequenceAck { sequence_id }) => {
            assert_eq!((number(), &value["type"]), (Some(*sequence_id), &"sequenceAck".into()));
        }
        Ok(FromClient::Goodbye) => assert_eq!(value["type"], "goodbye"),
        Ok(FromClient::Heartbeat) => assert_eq!(value["type"], "heartbeat"),
        Ok(FromClient::Loaded { .. }) => assert!(value["ms"].is_number()),
        Ok(FromClient::Unknown) => assert!(value["type"].is_string()),
        Err(_) => {}
    }
}

fn is_read_as_it_is_written(sequence_id: u64, payload: &Payload) {
    let message = Tail::of(payload).message(sequence_id, Tag::new([9; 6]));
    let again = FromClient::of(&message);
    assert_eq!(again, Ok(FromClient::Message { sequence_id, payload: payload.clone() }));
}

fn has_a_close(fault: &Fault) {
    let close = fault.close();
    assert!(close.may_be_sent() && close.reason().len() <= 123, "{close}");
    let code = close.code().map(adieu_proto::CloseCode::get);
    assert!(matches!(code, Some(1007..=1009)), "{close}");
}
