//! Values of the tables, as bytes.

use bytes::Bytes;

use crate::session::event::Event;
use crate::session::fence::Fence;
use crate::session::wire::{Tag, Tail};
use crate::session::{Counters, Digest, Leaving, Message, Row, SessionId, Timestamp};

/// The first byte of a session's row: what an older version would misread has another.
const VERSION: u8 = 2;

/// Of the numbers of a session and the fence of its last write: all that most messages change of
/// it, so of a fixed length.
pub(super) type CounterRow = [u8; NUMBERS + FENCE];

/// Bytes of the numbers, and of the fence behind them.
const NUMBERS: usize = 30;
const FENCE: usize = 12;

pub(super) fn session(row: &Row) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(json(row));
    bytes
}

/// `None` if it is not one of this version's.
pub(super) fn read_session(bytes: &[u8]) -> Option<Row> {
    let (version, json) = bytes.split_first()?;
    (*version == VERSION).then(|| serde_json::from_slice(json).ok())?
}

pub(super) fn put_counters(row: &mut CounterRow, counters: &Counters) {
    let Counters { received, sent, events, settled } = *counters;
    row[..8].copy_from_slice(&received.to_be_bytes());
    row[8..16].copy_from_slice(&sent.to_be_bytes());
    row[16..24].copy_from_slice(&events.to_be_bytes());
    row[24..NUMBERS].copy_from_slice(&settled.to_bytes());
}

pub(super) fn put_fence(row: &mut CounterRow, fence: Fence) {
    let Fence { epoch, nonce } = fence;
    row[NUMBERS..NUMBERS + 4].copy_from_slice(&epoch.to_be_bytes());
    row[NUMBERS + 4..].copy_from_slice(&nonce.to_be_bytes());
}

pub(super) fn read_fence(row: &CounterRow) -> Fence {
    let (epoch, nonce) = row[NUMBERS..].split_at(4);
    Fence {
        epoch: u32::from_be_bytes(epoch.try_into().unwrap_or_default()),
        nonce: u64::from_be_bytes(nonce.try_into().unwrap_or_default()),
    }
}

pub(super) fn read_counters(row: &CounterRow) -> Counters {
    let number = |at: usize| u64::from_be_bytes(row[at..at + 8].try_into().unwrap_or_default());
    let settled = Tag::new(row[24..NUMBERS].try_into().unwrap_or_default());
    Counters { received: number(0), sent: number(8), events: number(16), settled }
}

/// Bytes of a tag.
const TAG: usize = 6;

pub(super) fn message(tag: Tag, key: Option<Digest>, tail: &Tail) -> Vec<u8> {
    let mut row = tag.to_bytes().to_vec();
    let key = key.map(Digest::to_bytes);
    row.push(u8::from(key.is_some()));
    row.extend(key.into_iter().flatten());
    row.extend_from_slice(tail.bytes());
    row
}

pub(super) fn read_message(row: &[u8]) -> Option<Message> {
    let (tag, rest) = row.split_first_chunk::<TAG>()?;
    let (has_key, rest) = rest.split_first()?;
    let (key, tail) = if *has_key == 0 {
        (None, rest)
    } else {
        let (key, tail) = rest.split_first_chunk::<16>()?;
        (Some(Digest::from_bytes(*key)), tail)
    };
    let tail = Tail::restored(Bytes::copy_from_slice(tail));
    Some(Message { tag: Tag::new(*tag), key, tail })
}

pub(super) fn event(event: &Event) -> Vec<u8> {
    json(event)
}

pub(super) fn read_event(row: &[u8]) -> Option<Event> {
    serde_json::from_slice(row).ok()
}

pub(super) fn leaving(leaving: &Leaving) -> [u8; 28] {
    let mut row = [0; 28];
    row[..8].copy_from_slice(&leaving.until.0.to_be_bytes());
    row[8..24].copy_from_slice(&leaving.session.to_bytes());
    row[24..].copy_from_slice(&leaving.generation.to_be_bytes());
    row
}

pub(super) fn read_leaving(row: &[u8; 28]) -> Leaving {
    let (until, rest) = row.split_at(8);
    let (session, generation) = rest.split_at(16);
    Leaving {
        until: Timestamp(u64::from_be_bytes(until.try_into().unwrap_or_default())),
        session: SessionId::new(session.try_into().unwrap_or_default()),
        generation: u32::from_be_bytes(generation.try_into().unwrap_or_default()),
    }
}

/// Strings and numbers: nothing in it can fail.
fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
