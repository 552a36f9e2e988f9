//! The secret that the gateway shares with the backend, and the signature under it.

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

/// Signs hooks.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSecret;

impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a secret is whsec_ and 24 to 64 random bytes in base64; make one with: \
             echo whsec_$(head -c 32 /dev/urandom | base64)"
        )
    }
}

impl std::error::Error for BadSecret {}

impl Secret {
    /// Reads `whsec_` and base64.
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
    /// [`BadSecret`] says what one looks like.
    pub fn read(text: &str) -> Result<Self, BadSecret> {
        let bytes = text.trim().strip_prefix(PREFIX).ok_or(BadSecret)?;
        let bytes = STANDARD.decode(bytes).map_err(|_| BadSecret)?;
        if !(MIN..=MAX).contains(&bytes.len()) {
            return Err(BadSecret);
        }
        Ok(Secret(Hmac::new_from_slice(&bytes).map_err(|_| BadSecret)?))
    }

    /// The value of `webhook-signature`: over the id, the time in seconds and the body.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_secret_is_answered_with_what_one_looks_like() {
        for wrong in ["", "secret", "whsec_", "whsec_***", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8I"]
        {
            assert_eq!(Secret::read(wrong).unwrap_err(), BadSecret, "{wrong}");
        }
        assert!(BadSecret.to_string().contains("whsec_"));
    }

    #[test]
    fn id_time_and_body_are_signed() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = secret.sign("a", 1, b"b");
        for other in
            [secret.sign("b", 1, b"b"), secret.sign("a", 2, b"b"), secret.sign("a", 1, b"c")]
        {
            assert_ne!(signed, other);
        }
    }
}
