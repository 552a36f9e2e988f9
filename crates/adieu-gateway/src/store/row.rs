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

/// What follows in the row of a message: a key, and the number of a payload instead of its bytes.
const HAS_KEY: u8 = 1;
const TO_MANY: u8 = 2;

pub(super) fn message(tag: Tag, key: Option<Digest>, tail: &Tail) -> Vec<u8> {
    message_row(tag, key, 0, tail.bytes())
}

/// Of a message whose payload is kept apart.
pub(super) fn message_to_many(tag: Tag, key: Option<Digest>, payload: u64) -> Vec<u8> {
    message_row(tag, key, TO_MANY, &payload.to_be_bytes())
}

fn message_row(tag: Tag, key: Option<Digest>, flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut row = tag.to_bytes().to_vec();
    let key = key.map(Digest::to_bytes);
    row.push(flags | if key.is_some() { HAS_KEY } else { 0 });
    row.extend(key.into_iter().flatten());
    row.extend_from_slice(rest);
    row
}

/// `payload` gives the payload of a number.
pub(super) fn read_message(
    row: &[u8],
    payload: impl FnOnce(u64) -> Option<Bytes>,
) -> Option<Message> {
    let (tag, key, rest) = message_parts(row)?;
    let tail = match refers_to(row) {
        Some(number) => payload(number)?,
        None => Bytes::copy_from_slice(rest),
    };
    Some(Message { tag, key, tail: Tail::restored(tail) })
}

/// Which payload a message refers to, if it has none of its own.
pub(super) fn refers_to(row: &[u8]) -> Option<u64> {
    let to_many = row.get(TAG)? & TO_MANY != 0;
    let (_, _, rest) = message_parts(row).filter(|_| to_many)?;
    Some(u64::from_be_bytes(rest.try_into().ok()?))
}

fn message_parts(row: &[u8]) -> Option<(Tag, Option<Digest>, &[u8])> {
    let (tag, rest) = row.split_first_chunk::<TAG>()?;
    let (flags, rest) = rest.split_first()?;
    let tag = Tag::new(*tag);
    if flags & HAS_KEY == 0 {
        return Some((tag, None, rest));
    }
    let (key, rest) = rest.split_first_chunk::<16>()?;
    Some((tag, Some(Digest::from_bytes(*key)), rest))
}

/// What the event is ordered by (its length first), its number there, the event.
pub(super) fn event(stream: &[u8], sequence: u64, event: &Event) -> Vec<u8> {
    let length = u16::try_from(stream.len()).unwrap_or(u16::MAX);
    let mut row = length.to_be_bytes().to_vec();
    row.extend_from_slice(&stream[..length.into()]);
    row.extend_from_slice(&sequence.to_be_bytes());
    // Strings and numbers: nothing in it can fail.
    let _ = serde_json::to_writer(&mut row, event);
    row
}

pub(super) fn read_event(row: &[u8]) -> Option<((Bytes, u64), Event)> {
    let (stream, sequence, event) = event_parts(row)?;
    let event = serde_json::from_slice(event).ok()?;
    Some(((Bytes::copy_from_slice(stream), sequence), event))
}

/// What it is ordered by, its number there, and the event as it is kept.
pub(super) fn event_parts(row: &[u8]) -> Option<(&[u8], u64, &[u8])> {
    let (length, rest) = row.split_first_chunk::<2>()?;
    let (stream, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    let (sequence, event) = rest.split_first_chunk::<8>()?;
    Some((stream, u64::from_be_bytes(*sequence), event))
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
