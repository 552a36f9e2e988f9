//! What a client offers beside adieu.v1, in Sec-WebSocket-Protocol (RFC 6455 §1.9).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{AUTH, FIRST, RESUME, SUBPROTOCOL, Tag};

/// What a client offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// To come back to a session.
    pub resume: Option<Resume>,
    /// What a page that has no token made before it first connected.
    pub first: Option<Nonce>,
    /// A credential for the backend.
    pub auth: Option<String>,
}

/// 128 random bits of a page, by which its second connection finds the session of its first, if
/// the page was refreshed before it had heard of that session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 16]);

impl std::fmt::Debug for Nonce {
    /// It may be used like a token: it is not printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonce")
    }
}

impl Nonce {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// How a client wants to come back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Its token, not verified.
    pub token: String,
    /// The highest sequence id that it has received.
    pub received: u64,
    /// The tag of that message, if the client knows it.
    pub tag: Option<Tag>,
    /// The highest of its own messages that was acknowledged to it; older clients do not say.
    pub acknowledged: u64,
}

impl Offer {
    /// Reads the subprotocols of a request. `None` if adieu.v1 is not among them. A resume that is
    /// not written as it should be has a token that is none, so that the client hears `invalid`.
    ///
    /// ```
    /// use adieu_session::wire::Offer;
    /// let offer = Offer::read(["adieu.v1", "adieu.resume.abc.7"]).unwrap();
    /// assert_eq!(offer.resume.unwrap().received, 7);
    /// assert_eq!(Offer::read(["chat"]), None);
    /// ```
    pub fn read<'a>(offered: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let offered: Vec<_> = offered.into_iter().collect();
        offered.iter().find(|name| **name == SUBPROTOCOL)?;
        let of = |prefix| offered.iter().find_map(|name| name.strip_prefix(prefix));
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        Some(Offer {
            resume: of(RESUME).map(|resume| Resume::read(resume).unwrap_or_default()),
            first: of(FIRST)
                .and_then(decoded)
                .and_then(|bytes| Some(Nonce(bytes.try_into().ok()?))),
            auth: of(AUTH).and_then(decoded).and_then(|bytes| String::from_utf8(bytes).ok()),
        })
    }

    /// Whether a subprotocol is between the client and the gateway alone: a secret of the session.
    #[must_use]
    pub fn is_secret(name: &str) -> bool {
        [RESUME, FIRST, AUTH].iter().any(|prefix| name.starts_with(prefix))
    }
}

impl Resume {
    /// `TOKEN.N`, or `TOKEN.N.TAG.A`.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (token, received) = (parts.next()?.to_owned(), number(parts.next()?)?);
        let (tag, acknowledged) = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => (None, 0),
            (Some("-"), Some(acknowledged), None) => (None, number(acknowledged)?),
            (Some(tag), Some(acknowledged), None) => (Some(Tag::read(tag)?), number(acknowledged)?),
            _ => return None,
        };
        Some(Resume { token, received, tag, acknowledged })
    }
}

/// Digits alone: what `parse` takes beside them (`+5`) is no number here.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(second: &str) -> Offer {
        Offer::read(["chat", second, SUBPROTOCOL]).unwrap()
    }

    #[test]
    fn an_offer_is_read_from_the_subprotocols() {
        assert_eq!(read("other"), Offer::default());
        let none = Resume { token: "t0k-en_".into(), received: 12, ..Resume::default() };
        assert_eq!(read("adieu.resume.t0k-en_.12").resume, Some(none.clone()));
        let none = Resume { acknowledged: 3, ..none };
        assert_eq!(read("adieu.resume.t0k-en_.12.-.3").resume, Some(none.clone()));
        let tagged = Resume { tag: Some(Tag::new([0; 6])), ..none };
        assert_eq!(read("adieu.resume.t0k-en_.12.AAAAAAAA.3").resume, Some(tagged));
        for wrong in [
            "adieu.resume.",
            "adieu.resume.t",
            "adieu.resume.t.",
            "adieu.resume.t.-1",
            "adieu.resume.t.+1",
            "adieu.resume.t.1.-",
            "adieu.resume.t.1.short.2",
            "adieu.resume.t.1.AAAAAAAA.2.3",
        ] {
            assert_eq!(read(wrong).resume, Some(Resume::default()), "{wrong}");
        }
        assert_eq!(Offer::read(["adieu.resume.t.1"]), None, "without the protocol itself");
    }

    #[test]
    fn a_nonce_has_128_bits_and_a_credential_is_text() {
        let nonce = read("adieu.first.AAAAAAAAAAAAAAAAAAAAAA").first;
        assert_eq!(nonce.map(Nonce::to_bytes), Some([0; 16]));
        for wrong in ["adieu.first.", "adieu.first.short", "adieu.first.AAAAAAAAAAAAAAAAAAAAAB"] {
            assert_eq!(read(wrong).first, None, "{wrong}");
        }
        assert_eq!(read("adieu.auth.Z3LDvMOf").auth.as_deref(), Some("grüß"));
        assert_eq!(read("adieu.auth._w").auth, None, "no UTF-8");
        for secret in ["adieu.resume.t.1", "adieu.first.A", "adieu.auth.A"] {
            assert!(Offer::is_secret(secret), "{secret}");
        }
        assert!(!Offer::is_secret("adieu.v1"));
    }
}
