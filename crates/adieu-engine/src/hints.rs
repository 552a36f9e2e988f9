//! What the engine tells a node at once. It is a hint and no more: what is lost of it the node
//! finds in its audit.

use adieu_session::outbox::Kept;
use adieu_session::{SessionId, Timestamp};
use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::PubSub;

use crate::connect::Way;
use crate::row::message_of;
use crate::{Engine, EngineError, Node};

/// What a node is told of a session that it owned when it was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Hint {
    /// A message to its client has come, under this number.
    Message(SessionId, u64, Box<Kept>),
    /// Another node has claimed it; this was its epoch before.
    Claimed(SessionId, u32),
    /// The backend ends it, with this Close (JSON) or with the usual one.
    Ends(SessionId, Bytes),
}

/// The hints to one node.
pub struct Hints(PubSub);

impl Hints {
    /// The next one. `None`: the connection is lost, and some may be.
    pub async fn next(&mut self) -> Option<Hint> {
        let mut messages = self.0.on_message();
        loop {
            let message = messages.next().await?;
            let bytes = Bytes::copy_from_slice(message.get_payload_bytes());
            match read(&bytes) {
                Some(hint) => return Some(hint),
                None => tracing::debug!("a hint that is not understood"),
            }
        }
    }
}

impl Engine {
    /// Listens to the hints to a node.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn hints(&self, me: Node) -> Result<Hints, EngineError> {
        let mut pub_sub = match &*self.inner.way {
            Way::Server(client) => client.get_async_pubsub().await?,
            Way::Sentinel(sentinel) => {
                let client = sentinel.lock().await.async_get_client().await?;
                client.get_async_pubsub().await?
            }
            Way::Cluster { seeds, .. } => {
                // Each node of a cluster passes on what is published at another one.
                let mut last = EngineError::Away("no node of the cluster".into());
                let mut found = None;
                for seed in seeds {
                    let client = redis::Client::open(seed.clone())?;
                    match client.get_async_pubsub().await {
                        Ok(open) => {
                            found = Some(open);
                            break;
                        }
                        Err(error) => last = error.into(),
                    }
                }
                found.ok_or(last)?
            }
        };
        pub_sub.subscribe(format!("adieu:node:{me}")).await?;
        Ok(Hints(pub_sub))
    }
}

/// Characters of a session's name.
const NAME: usize = 22;

fn read(bytes: &Bytes) -> Option<Hint> {
    let (kind, rest) = bytes.split_first()?;
    let name = std::str::from_utf8(rest.get(..NAME)?).ok()?;
    let (id, rest): (SessionId, _) = (name.parse().ok()?, bytes.slice(1 + NAME..));
    match kind {
        b'm' => {
            let space = rest.iter().position(|byte| *byte == b' ')?;
            let number = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
            let message = message_of(&rest.slice(space + 1..), Timestamp(0)).ok()?;
            Some(Hint::Message(id, number, Box::new(message)))
        }
        b'x' => Some(Hint::Claimed(id, std::str::from_utf8(&rest).ok()?.parse().ok()?)),
        b'e' => Some(Hint::Ends(id, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use adieu_session::Digest;
    use adieu_session::wire::{Payload, Tag, Tail};

    use super::*;
    use crate::row::entry_of;

    fn hint(kind: &str, rest: &[u8]) -> Option<Hint> {
        let name = SessionId::new([7; 16]).to_string();
        read(&[kind.as_bytes(), name.as_bytes(), rest].concat().into())
    }

    #[test]
    fn a_hint_is_read_as_the_functions_write_it() {
        let id = SessionId::new([7; 16]);
        assert_eq!(hint("x", b"12"), Some(Hint::Claimed(id, 12)));
        assert_eq!(hint("e", b""), Some(Hint::Ends(id, Bytes::new())));
        assert_eq!(hint("e", b"{}"), Some(Hint::Ends(id, Bytes::from_static(b"{}"))));
        // Tags and keys are any bytes, spaces too.
        let (tag, key) = (Tag::new(*b"  3 4 "), Some(Digest::from_bytes([b' '; 16])));
        let tail = Tail::of(&Payload::Text(" a b".into()));
        let rest = [b"31 ", &entry_of(tag, key, &tail)[..]].concat();
        match hint("m", &rest) {
            Some(Hint::Message(of, 31, kept)) => {
                assert_eq!((of, kept.tag, kept.key, &kept.tail), (id, tag, key, &tail));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_understood_is_no_hint() {
        let none: [(&str, &[u8]); 6] = [
            ("?", b""),
            ("x", b"twelve"),
            ("x", b""),
            ("m", b"31"),
            ("m", b"31 short"[..5].as_ref()),
            ("m", b"x 0123456\0"),
        ];
        for (kind, rest) in none {
            assert_eq!(hint(kind, rest), None, "{kind}{rest:?}");
        }
        for short in
            [&b""[..], b"x", b"xAAAA", b"x\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(read(&Bytes::from_static(short)), None);
        }
    }
}
