//! The reconnection token: what a page keeps to come back to its session.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::slot::Slot;
use super::wire::Nonce;

/// The first byte: another form of token has another.
const VERSION: u8 = 1;

/// A MAC of 128 bits: to guess one takes 2^127 tries on average, each of them a connection.
const MAC: usize = 16;

const LEN: usize = 1 + 16 + 4 + MAC;

/// Names a session: its slot in ten bits, and 118 random ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// From random bytes of the operating system.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        SessionId(random)
    }

    /// In this slot, which its first ten bits say, and otherwise from random bytes.
    #[must_use]
    pub fn in_slot(slot: Slot, random: [u8; 16]) -> Self {
        let mut bytes = random;
        let [high, low] = slot.to_bits();
        (bytes[0], bytes[1]) = (high, low | (bytes[1] & 0b0011_1111));
        SessionId(bytes)
    }

    /// Its slot.
    #[must_use]
    pub fn slot(self) -> Slot {
        Slot::of_bits([self.0[0], self.0[1]])
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for SessionId {
    /// 22 characters of base64url.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> String {
        id.to_string()
    }
}

/// What is not the name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSessionId;

impl fmt::Display for NoSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session id is 22 characters of base64url")
    }
}

impl std::error::Error for NoSessionId {}

impl std::str::FromStr for SessionId {
    type Err = NoSessionId;

    fn from_str(text: &str) -> Result<Self, NoSessionId> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NoSessionId)?;
        Ok(SessionId(bytes.try_into().map_err(|_| NoSessionId)?))
    }
}

impl TryFrom<String> for SessionId {
    type Error = NoSessionId;

    fn try_from(text: String) -> Result<Self, NoSessionId> {
        text.parse()
    }
}

/// The key under which tokens are signed. It is kept in the data directory: with another one all
/// tokens are foreign.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// From 32 random bytes.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        // HMAC fills a key up to the hash's block with zeros (RFC 2104 §2).
        let mut block = [0; 64];
        block[..bytes.len()].copy_from_slice(bytes);
        Key(Hmac::new(&block.into()))
    }

    /// What it is for is signed too: nothing else that this key signs is a token.
    fn mac(&self, purpose: &str, signed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(signed);
        mac
    }

    fn digest(&self, purpose: &str, secret: &[u8]) -> Digest {
        let mac = self.mac(purpose, secret).finalize().into_bytes();
        let mut digest = [0; 16];
        digest.copy_from_slice(&mac[..16]);
        Digest(digest)
    }

    /// Of a page's nonce: what is kept of it.
    #[must_use]
    pub fn first_visit(&self, nonce: Nonce) -> Digest {
        self.digest("adieu first visit", &nonce.to_bytes())
    }

    /// Of the key of a request for a message.
    #[must_use]
    pub fn idempotency(&self, key: &str) -> Digest {
        self.digest("adieu idempotency", key.as_bytes())
    }

    /// Of the credentials of a request: what is kept of them.
    #[must_use]
    pub fn credentials(&self, credentials: &[u8]) -> Digest {
        self.digest("adieu credentials", credentials)
    }
}

/// A secret as it is kept, by which it is known again: the first 128 bits of an HMAC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Digest([u8; 16]);

impl Digest {
    /// As it was kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Digest(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// A slot that only the secret decides.
    #[must_use]
    pub fn slot(self) -> Slot {
        Slot::of_bits([self.0[0], self.0[1]])
    }
}

/// What tokens are signed for.
const PURPOSE: &str = "adieu reconnection token";

/// A session and the generation of the connection on which the token was given.
///
/// ```
/// use adieu_session::{Key, SessionId, Token};
///
/// let key = Key::new(&[7; 32]);
/// let token = Token { session: SessionId::new([1; 16]), generation: 3 };
/// let text = token.sign(&key);
/// assert_eq!(Token::verify(&text, &key), Some(token));
/// assert_eq!(Token::verify(&text, &Key::new(&[8; 32])), None, "another gateway's");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub session: SessionId,
    /// Which of its connections it was given on.
    pub generation: u32,
}

impl Token {
    /// As text: base64url, which may stand in a header field and in JSON.
    #[must_use]
    pub fn sign(&self, key: &Key) -> String {
        let mut bytes = Vec::with_capacity(LEN);
        bytes.push(VERSION);
        bytes.extend(self.session.0);
        bytes.extend(self.generation.to_be_bytes());
        let mac = key.mac(PURPOSE, &bytes).finalize().into_bytes();
        bytes.extend(&mac[..MAC]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token. `None` if it is none, or not one of this key's; the comparison takes the same
    /// time wherever they differ.
    #[must_use]
    pub fn verify(text: &str, key: &Key) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == LEN)?;
        let (signed, mac) = bytes.split_at(LEN - MAC);
        key.mac(PURPOSE, signed).verify_truncated_left(mac).ok()?;
        let (version, rest) = signed.split_first()?;
        let (session, generation) = rest.split_first_chunk::<16>()?;
        let generation = u32::from_be_bytes(generation.try_into().ok()?);
        (*version == VERSION).then_some(Token { session: SessionId(*session), generation })
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Offer;
    use super::*;

    #[test]
    fn a_token_that_was_changed_anywhere_is_none() {
        let key = Key::new(&[7; 32]);
        let token = Token { session: SessionId::new([9; 16]), generation: 258 };
        let text = token.sign(&key);
        assert_eq!(Token::verify(&text, &key), Some(token));
        for at in 0..text.len() {
            for with in ['A', 'B', '_', '.', 'é'] {
                let mut forged: Vec<char> = text.chars().collect();
                if std::mem::replace(&mut forged[at], with) != with {
                    let forged: String = forged.into_iter().collect();
                    assert_eq!(Token::verify(&forged, &key), None, "{forged}");
                }
            }
            assert_eq!(Token::verify(&text[..at], &key), None, "truncated at {at}");
        }
        assert_eq!(Token::verify(&text.repeat(1000), &key), None, "oversized");
        assert_eq!(Token::verify("", &key), None);
    }

    #[test]
    fn a_token_may_stand_where_a_subprotocol_does() {
        let token = Token { session: SessionId::new([0xFF; 16]), generation: u32::MAX };
        let text = token.sign(&Key::new(&[1; 32]));
        assert!(
            text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
            "{text}"
        );
    }

    #[test]
    fn a_session_id_has_its_slot_and_is_random_otherwise() {
        for slot in [0, 1, 513, 1023].map(Slot::new) {
            let (a, b) = (SessionId::in_slot(slot, [0; 16]), SessionId::in_slot(slot, [0xFF; 16]));
            assert_eq!((a.slot(), b.slot()), (slot, slot));
            let differs: u32 = a.0.iter().zip(b.0).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!(differs, 118);
        }
    }

    #[test]
    fn secrets_of_different_use_have_different_digests() {
        let key = Key::new(&[7; 32]);
        let offer = Offer::read(["adieu.v1", "adieu.first.AAAAAAAAAAAAAAAAAAAAAA"]).unwrap();
        let nonce = offer.first.unwrap();
        assert_eq!(key.first_visit(nonce), key.first_visit(nonce));
        assert_ne!(key.first_visit(nonce), key.credentials(&nonce.to_bytes()));
        assert_ne!(key.first_visit(nonce), Key::new(&[8; 32]).first_visit(nonce));
    }

    #[test]
    fn a_session_id_is_read_as_it_is_written() {
        let id = SessionId::new(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "short", "MDEyMzQ1Njc4OWFiY2RlZg==", "MDEyMzQ1Njc4OWFiY2RlZgAA"] {
            assert_eq!(wrong.parse::<SessionId>(), Err(NoSessionId), "{wrong:?}");
        }
    }
}
