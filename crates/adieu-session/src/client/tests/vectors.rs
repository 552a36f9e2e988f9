//! What every client of adieu.v1 does: the browser's client reads the same file.

use std::time::Duration;

use adieu_proto::Message;
use serde_json::Value;

use super::super::*;
use crate::Timestamp;
use crate::wire::{FinalClose, Tag};

fn vectors(name: &str) -> Vec<Value> {
    let text = include_str!("../../../../../conformance/adieu.v1.json");
    let mut all: Value = serde_json::from_str(text).unwrap();
    serde_json::from_value(all[name].take()).unwrap()
}

fn bytes(hex: &Value) -> Option<Vec<u8>> {
    let digits = hex.as_str()?.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    Some(digits.map(byte).collect())
}

#[test]
fn offers_are_written_as_the_vectors_say() {
    for vector in vectors("offers") {
        let number = |name: &str| vector[name].as_u64().unwrap();
        let written = if let Some(token) = vector["token"].as_str() {
            let tag = vector["tag"].as_str().map(|tag| Tag::read(tag).unwrap());
            resume(token, number("received"), tag, number("acknowledged"))
        } else if let Some(nonce) = bytes(&vector["nonce"]) {
            first(nonce.try_into().unwrap())
        } else {
            auth(vector["auth"].as_str().unwrap())
        };
        assert_eq!(written, vector["offer"].as_str().unwrap());
    }
}

#[test]
fn messages_are_written_as_the_vectors_say() {
    for vector in vectors("written") {
        let number = |name: &str| vector[name].as_u64();
        let written = match (vector["says"].as_str(), number("acknowledges")) {
            (Some("goodbye"), _) => ToGateway::Goodbye.to_json(),
            (Some("heartbeat"), _) => ToGateway::Heartbeat.to_json(),
            (_, Some(sequence_id)) => ToGateway::SequenceAck { sequence_id }.to_json(),
            _ => {
                let text = vector["text"].as_str().map(Message::from);
                let message = text.or(bytes(&vector["binary"]).map(Message::from)).unwrap();
                numbered(number("sequenceId").unwrap(), &tail(&message))
            }
        };
        assert_eq!(written, vector["message"].as_str().unwrap());
    }
}

#[test]
fn a_close_means_what_the_vectors_say() {
    for vector in vectors("closes") {
        let code = vector["code"].as_u64().unwrap().try_into().unwrap();
        assert_eq!(Meaning::of(code).word(), vector["means"].as_str().unwrap(), "{code}");
    }
}

#[test]
fn a_backend_ends_sessions_by_closes_that_the_vectors_call_final_alone() {
    for vector in vectors("closes") {
        let code = vector["code"].as_u64().unwrap().try_into().unwrap();
        // After 4002 the browser's client begins a session of its own.
        let is_final = ["ended", "refused"].contains(&vector["means"].as_str().unwrap());
        assert_eq!(FinalClose::new(code, "").is_ok(), is_final, "{code}");
    }
}

#[test]
fn the_back_off_keeps_within_what_the_vectors_say() {
    for vector in vectors("backoff") {
        let window = Duration::from_millis(vector["window"].as_u64().unwrap());
        let (mut low, mut high) = (Backoff::default(), Backoff::default());
        for tried in vector["tries"].as_array().unwrap() {
            let milliseconds = |name: &str| tried[name].as_u64().map(Duration::from_millis);
            let now = Timestamp(1_000_000) + milliseconds("at").unwrap();
            if let Some(lasted) = milliseconds("lasted") {
                low.lost(lasted);
                high.lost(lasted);
            }
            let about = format!("{}, {tried}", vector["about"]);
            assert_eq!(Some(low.next(now, window, 0)), milliseconds("from"), "{about}");
            assert_eq!(Some(high.next(now, window, u64::MAX)), milliseconds("to"), "{about}");
        }
    }
}
