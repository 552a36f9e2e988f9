//! The secrets that the gateway shares with the backend, and the signatures under them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with in the Standard Webhooks specification.
const PREFIX: &str = "whsec_";

/// Bytes that a secret has at least and at most (Standard Webhooks).
const MIN: usize = 24;
const MAX: usize = 64;

/// Secrets at once: the old one and the new one, while the backend changes from one to the other.
const SECRETS: usize = 2;

/// Signs hooks, with one secret or, while it is being replaced, with the old and the new one.
#[derive(Clone)]
pub struct Secret(Vec<Hmac<Sha256>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a text is no secret. The text itself is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSecret {
    /// There is none.
    Missing,
    /// There are more than two.
    TooMany(usize),
    /// This one, counted from 1, is malformed.
    Malformed {
        /// Which one.
        which: usize,
        /// Of how many.
        of: usize,
        /// What is wrong with it.
        flaw: Flaw,
    },
}

/// What is wrong with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It does not begin with `whsec_`.
    Prefix,
    /// What follows is not base64.
    Base64,
    /// It has so many bytes.
    Length(usize),
}

impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            BadSecret::Missing => {}
            BadSecret::TooMany(n) => write!(
                f,
                "there are {n} secrets, {SECRETS} at most: the old and the new one while the \
                 backend changes from one to the other; "
            )?,
            BadSecret::Malformed { which, of, flaw } => {
                if of > 1 {
                    write!(f, "secret {which} of {of} is malformed: ")?;
                }
                match flaw {
                    Flaw::Prefix => write!(f, "it does not begin with {PREFIX}; ")?,
                    Flaw::Base64 => write!(f, "what follows {PREFIX} is not base64; ")?,
                    Flaw::Length(bytes) => write!(f, "it has {bytes} bytes; ")?,
                }
            }
        }
        write!(
            f,
            // FAQ: serve-secret
            "a secret is {PREFIX} and {MIN} to {MAX} random bytes in base64; make one with: \
             echo {PREFIX}$(head -c 32 /dev/urandom | base64)"
        )
    }
}

impl std::error::Error for BadSecret {}

impl Secret {
    /// Reads `whsec_` and base64, once or twice, with a space or a comma between the two. With two
    /// of them everything has two signatures, so that the backend may change its own at any time.
    ///
    /// ```
    /// use adieu_gateway::hook::Secret;
    /// let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    /// let body = br#"{"test": 2432232314}"#;
    /// let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body);
    /// assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    /// ```
    ///
    /// # Errors
    /// [`BadSecret`] says which one is malformed, and what one looks like.
    pub fn read(text: &str) -> Result<Self, BadSecret> {
        let between = |c: char| c == ',' || c.is_whitespace();
        let texts: Vec<&str> = text.split(between).filter(|text| !text.is_empty()).collect();
        match texts.len() {
            0 => return Err(BadSecret::Missing),
            n if n > SECRETS => return Err(BadSecret::TooMany(n)),
            _ => {}
        }
        let read = |(at, text): (usize, &&str)| {
            let (which, of) = (at + 1, texts.len());
            key(text).map_err(|flaw| BadSecret::Malformed { which, of, flaw })
        };
        texts.iter().enumerate().map(read).collect::<Result<_, _>>().map(Secret)
    }

    /// The value of `webhook-signature`: over the id, the time in seconds and the body; with two
    /// secrets two signatures and a space between them.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let head = format!("{id}.{timestamp}.");
        let sign = |key: &Hmac<Sha256>| {
            let mut mac = key.clone();
            mac.update(head.as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        self.0.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

fn key(text: &str) -> Result<Hmac<Sha256>, Flaw> {
    let text = text.strip_prefix(PREFIX).ok_or(Flaw::Prefix)?;
    let bytes = STANDARD.decode(text).map_err(|_| Flaw::Base64)?;
    let length = Flaw::Length(bytes.len());
    if !(MIN..=MAX).contains(&bytes.len()) {
        return Err(length);
    }
    Hmac::new_from_slice(&bytes).map_err(|_| length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_dGhlIG5ldyBvbmUgaXMgMzIgYnl0ZXMgbG9uZyBub3c=";

    #[test]
    fn what_is_no_secret_is_answered_with_what_one_looks_like() {
        let malformed = |flaw| BadSecret::Malformed { which: 1, of: 1, flaw };
        for (text, wrong) in [
            ("", BadSecret::Missing),
            (" , ", BadSecret::Missing),
            ("secret", malformed(Flaw::Prefix)),
            ("whsec_", malformed(Flaw::Length(0))),
            ("whsec_***", malformed(Flaw::Base64)),
            ("whsec_c2hvcnQ=", malformed(Flaw::Length(5))),
            ("MfKQ9r8GKYqrTwjUPD8I", malformed(Flaw::Prefix)),
            (&format!("{OLD} {NEW} {OLD}"), BadSecret::TooMany(3)),
        ] {
            assert_eq!(Secret::read(text).unwrap_err(), wrong, "{text}");
            assert!(wrong.to_string().contains("24 to 64 random bytes"), "{wrong}");
        }
    }

    #[test]
    fn of_two_secrets_the_malformed_one_is_named_and_its_text_is_not() {
        let wrong = Secret::read(&format!("{OLD},whsec_c2hvcnQ=")).unwrap_err().to_string();
        assert!(wrong.starts_with("secret 2 of 2 is malformed: it has 5 bytes"), "{wrong}");
        let wrong = Secret::read(&format!("whsec_*** {NEW}")).unwrap_err().to_string();
        assert!(wrong.starts_with("secret 1 of 2 is malformed: what follows"), "{wrong}");
        assert!(!wrong.contains("***"), "{wrong}");
    }

    #[test]
    fn two_secrets_make_two_signatures() {
        let (old, new) = (Secret::read(OLD).unwrap(), Secret::read(NEW).unwrap());
        let want = format!("{} {}", old.sign("a", 1, b"b"), new.sign("a", 1, b"b"));
        for both in [format!("{OLD} {NEW}"), format!("{OLD},{NEW}\n"), format!(" {OLD}, {NEW}")] {
            assert_eq!(Secret::read(&both).unwrap().sign("a", 1, b"b"), want, "{both}");
        }
    }

    #[test]
    fn id_time_and_body_are_signed() {
        let secret = Secret::read(OLD).unwrap();
        let signed = secret.sign("a", 1, b"b");
        for other in
            [secret.sign("b", 1, b"b"), secret.sign("a", 2, b"b"), secret.sign("a", 1, b"c")]
        {
            assert_ne!(signed, other);
        }
    }
}
