//! A session as the engine has it: the fields of its hash.
//!
//! | field | what |
//! |---|---|
//! | `e`, `n` | the fence: epoch and nonce (16 hex digits) of the last write |
//! | `g`, `c` | generation of the newest connection; of the oldest token that is taken |
//! | `i`, `v` | messages of the client that were taken; events that were numbered |
//! | `t`, `b` | the last message to the client; bytes that are kept |
//! | `a`, `z` | the last message that the client has, and its tag |
//! | `u`, `o`, `d` | user, origin, credentials (16 bytes) |
//! | `s`, `k` | when it began; connections that it has had |
//! | `f`, `p` | the nonce of a page that has not heard of it; it does not speak adieu.v1 |
//! | `y` | why it is away |
//! | `h`, `q` | it is held until then at least; the backend has ended it, with this Close |
//!
//! Each is at most 64 bytes in ordinary use, so that a hash stays a list in the engine: what may be
//! long (what the backend said of a session, how its last connection ended) has a key of its own.

use std::collections::HashMap;
use std::sync::Arc;

use adieu_session::command::{Adoption, Purpose};
use adieu_session::ending::ConnectionEnding;
use adieu_session::fence::Fence;
use adieu_session::outbox::Kept;
use adieu_session::wire::{Tag, Tail};
use adieu_session::{Counters, Departure, Digest, Row, Session, SessionId, State, Timestamp, View};
use bytes::Bytes;
use redis::Value;

use crate::EngineError;
use crate::reply::{Parts, Reply};

/// Fields by name.
pub(crate) struct Fields(HashMap<Bytes, Bytes>);

impl Fields {
    pub(crate) fn read(value: Reply) -> Result<Self, EngineError> {
        let mut parts = value.list()?.map(Reply);
        let mut fields = HashMap::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            fields.insert(name.bytes()?, value.bytes()?);
        }
        Ok(Fields(fields))
    }

    fn get(&self, name: &'static str) -> Option<&Bytes> {
        self.0.get(name.as_bytes())
    }

    fn text(&self, name: &'static str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    fn number<T: std::str::FromStr + Default>(&self, name: &'static str) -> T {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    fn digest(&self, name: &'static str) -> Option<Digest> {
        self.get(name)?.as_ref().try_into().ok().map(Digest::from_bytes)
    }

    fn tag(&self, name: &'static str) -> Tag {
        let bytes: Option<[u8; 6]> =
            self.get(name).and_then(|bytes| bytes.as_ref().try_into().ok());
        bytes.map(Tag::new).unwrap_or_default()
    }

    fn departure(&self) -> Option<Departure> {
        departure_of(self.text("y")?)
    }

    fn fence(&self) -> Fence {
        let nonce = self.text("n").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        Fence { epoch: self.number("e"), nonce: nonce.unwrap_or_default() }
    }

    fn counters(&self) -> Counters {
        Counters {
            received: self.number("i"),
            sent: self.number("t"),
            events: self.number("v"),
            settled: self.tag("z"),
        }
    }

    fn row(&self, state: State, meta: &[u8], ending: &[u8]) -> Row {
        Row {
            session: Session::restored(state, self.number("g"), self.number("c")),
            plain: self.get("p").is_some(),
            user: self.text("u").map(Arc::from),
            origin: self.text("o").map(Arc::from),
            credentials: self.digest("d").unwrap_or_default(),
            first: self.digest("f"),
            meta: serde_json::from_slice(meta).ok().map(Arc::new),
            started: Timestamp(self.number("s")),
            connections: self.number("k"),
            ending: serde_json::from_slice::<ConnectionEnding>(ending).ok().map(Arc::new),
            promised: None,
            away_since: None,
            waited_ms: 0,
        }
    }

    /// As the API shows it. `score`: its owner, or its deadline on the engine's clock, which shows
    /// `engine` while the node's shows `now`.
    pub(crate) fn view(
        &self,
        id: SessionId,
        kept: usize,
        score: i64,
        engine: i64,
        now: Timestamp,
    ) -> View {
        let attached = score < 0;
        let left = u64::try_from(score - engine).unwrap_or_default();
        View {
            session_id: id,
            user_id: self.text("u").map(Arc::from),
            attached,
            departure: self.departure().filter(|_| !attached),
            until: (!attached).then(|| now + std::time::Duration::from_millis(left)),
            generation: self.number("g"),
            plain: self.get("p").is_some(),
            connections: self.number("k"),
            started_at: Timestamp(self.number("s")),
            sent: self.number("t"),
            unacknowledged: kept,
            received: self.number("i"),
        }
    }
}

/// A session as it was when a node became its owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Which.
    pub id: SessionId,
    /// As whom the backend knows the person.
    pub user: Option<Arc<str>>,
    /// It has been ended by the backend, with this Close (JSON), or with the usual one if empty.
    pub ends: Option<Bytes>,
    /// Why it is away, as the engine has it.
    pub departure: Option<Departure>,
    row: Row,
    counters: Counters,
    fence: Fence,
    messages: Vec<Kept>,
}

impl Snapshot {
    pub(crate) fn read(value: Value) -> Result<Self, EngineError> {
        let mut parts = Parts::of(value)?;
        let id = session_id(parts.next()?)?;
        let fields = Fields::read(parts.next()?)?;
        let entries = parts.next()?.list()?.map(|entry| Reply(entry).bytes());
        let (meta, ending) = (parts.next()?.bytes()?, parts.next()?.bytes()?);
        let messages: Result<Vec<Kept>, _> =
            entries.map(|entry| message_of(&entry?, Timestamp(0))).collect();
        let row = fields.row(State::Attached, &meta, &ending);
        Ok(Snapshot {
            id,
            user: row.user.clone(),
            ends: fields.get("q").cloned(),
            departure: fields.departure(),
            row,
            counters: fields.counters(),
            fence: fields.fence(),
            messages: messages?,
        })
    }

    /// Its epoch.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.fence.epoch
    }

    /// For the shard that goes on with it: attached, or away and due at `now`.
    #[must_use]
    pub fn adoption(mut self, purpose: Purpose, now: Timestamp) -> Adoption {
        let session = self.row.session;
        let state = match &purpose {
            Purpose::Attach(..) => State::Attached,
            _ => {
                let departure = self.departure.unwrap_or(Departure::GatewayDown);
                State::Away { departure, until: now }
            }
        };
        self.row.session = Session::restored(state, session.generation(), session.confirmed());
        let Snapshot { row, counters, fence, messages, .. } = self;
        Adoption { row, counters, fence, messages, purpose }
    }
}

/// 22 characters of base64url.
pub(crate) fn session_id(value: Reply) -> Result<SessionId, EngineError> {
    let text = value.text()?;
    text.parse().map_err(|_| EngineError::strange(format!("{text:?} is no session")))
}

/// The word for why a session is away, as adieu.v1 and the API have it.
pub(crate) fn word_of(departure: Departure) -> &'static str {
    match departure {
        Departure::Left => "left",
        Departure::Hidden => "hidden",
        Departure::Lost => "lost",
        Departure::Drained => "drained",
        Departure::GatewayDown => "gateway_down",
    }
}

pub(crate) fn departure_of(word: &str) -> Option<Departure> {
    let all = [
        Departure::Left,
        Departure::Hidden,
        Departure::Lost,
        Departure::Drained,
        Departure::GatewayDown,
    ];
    all.into_iter().find(|departure| word_of(*departure) == word)
}

/// Bytes of a tag, at the beginning of a message.
const TAG: usize = 6;

/// A message as it is kept: its tag, its key if it has one, what is sent.
pub(crate) fn entry_of(tag: Tag, key: Option<Digest>, tail: &Tail) -> Vec<u8> {
    let mut entry = tag.to_bytes().to_vec();
    let key = key.map(Digest::to_bytes);
    entry.push(u8::from(key.is_some()));
    entry.extend(key.into_iter().flatten());
    entry.extend_from_slice(tail.bytes());
    entry
}

pub(crate) fn message_of(entry: &Bytes, at: Timestamp) -> Result<Kept, EngineError> {
    let broken = || EngineError::strange("a message that is cut off");
    let tag: [u8; TAG] = entry.get(..TAG).and_then(|tag| tag.try_into().ok()).ok_or_else(broken)?;
    let (flag, mut rest) = (*entry.get(TAG).ok_or_else(broken)?, TAG + 1);
    let key = if flag == 1 {
        let key: Option<[u8; 16]> = entry.get(rest..rest + 16).and_then(|key| key.try_into().ok());
        rest += 16;
        Some(Digest::from_bytes(key.ok_or_else(broken)?))
    } else {
        None
    };
    Ok(Kept { at, tag: Tag::new(tag), key, tail: Tail::restored(entry.slice(rest..)) })
}

pub(crate) fn hex(nonce: u64) -> String {
    format!("{nonce:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use adieu_session::wire::Payload;

    fn fields(all: &[(&str, &str)]) -> Fields {
        let bytes = |text: &str| Value::BulkString(text.into());
        let all = all.iter().flat_map(|(name, value)| [bytes(name), bytes(value)]);
        Fields::read(Reply(Value::Array(all.collect()))).unwrap()
    }

    #[test]
    fn a_message_is_read_as_it_is_kept() {
        let tail = Tail::of(&Payload::Text("hello\n".into()));
        let (tag, key) = (Tag::new(*b"\n\0\xff: 1"), Digest::from_bytes([b'\n'; 16]));
        for key in [None, Some(key)] {
            let entry = Bytes::from(entry_of(tag, key, &tail));
            let kept = message_of(&entry, Timestamp(9)).unwrap();
            assert_eq!((kept.at, kept.tag, kept.key, &kept.tail), (Timestamp(9), tag, key, &tail));
            let least = if key.is_some() { TAG + 1 + 16 } else { TAG + 1 };
            for cut in 0..least {
                assert!(message_of(&entry.slice(..cut), Timestamp(0)).is_err(), "{cut} bytes");
            }
        }
    }

    #[test]
    fn a_row_without_a_field_has_its_usual_value() {
        let none = fields(&[]);
        assert_eq!((none.fence(), none.counters()), (Fence::default(), Counters::default()));
        let row = none.row(State::Attached, b"", b"");
        assert_eq!((row.user, row.meta, row.ending, row.plain), (None, None, None, false));
        assert_eq!(none.departure(), None);
        // A field that a newer version writes is no matter.
        let some = fields(&[("e", "3"), ("n", "00000000000000ff"), ("zz", "?"), ("p", "1")]);
        assert_eq!(some.fence(), Fence { epoch: 3, nonce: 255 });
        assert!(some.row(State::Attached, b"{}", b"").plain);
    }

    #[test]
    fn a_session_is_seen_on_the_clock_of_who_looks() {
        let id = SessionId::new([7; 16]);
        let away = fields(&[("y", "lost"), ("t", "5"), ("g", "2")]);
        let view = |score| away.view(id, 3, score, 1_000_000, Timestamp(50));
        assert_eq!(view(1_000_400).until, Some(Timestamp(450)));
        assert_eq!(view(999_000).until, Some(Timestamp(50)), "it is due");
        assert_eq!(view(1_000_400).departure, Some(Departure::Lost));
        let here = view(-7);
        assert_eq!((here.attached, here.until, here.departure), (true, None, None));
        assert_eq!((here.sent, here.unacknowledged, here.generation), (5, 3, 2));
    }

    #[test]
    fn each_departure_has_a_word_of_its_own() {
        for word in ["left", "hidden", "lost", "drained", "gateway_down"] {
            assert_eq!(word_of(departure_of(word).unwrap()), word);
        }
        assert_eq!(departure_of(""), None);
    }

    #[test]
    fn a_nonce_has_always_so_many_digits() {
        assert_eq!(hex(0xAB), "00000000000000ab");
        assert_eq!(hex(u64::MAX), "ffffffffffffffff");
    }
}
