//! What a client offers beside adieu.v1, in the field Sec-WebSocket-Protocol.
//!
//! What must hold for any subprotocols:
//! - An offer is read if adieu.v1 is among them, and only then; in any other order of the names of
//!   different kinds it is the same offer.
//! - What is read of it is written there: the token and the numbers (digits and nothing else), the
//!   credential, the 128 bits.
//! - A name that carries something of the session, or a credential, is a secret; adieu.v1 is none.

#![no_main]

use adieu_session::wire::{AUTH, FIRST, Offer, RESUME, SUBPROTOCOL};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|field: &str| {
    // As the field is split: at commas, white space around a name is none of it.
    let names: Vec<&str> =
        field.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let offer = Offer::read(names.iter().copied());
    assert_eq!(offer.is_some(), names.contains(&SUBPROTOCOL));
    let with = Offer::read(names.iter().copied().chain([SUBPROTOCOL]));
    let before = Offer::read([SUBPROTOCOL].into_iter().chain(names.iter().copied()));
    assert_eq!(with, before, "where adieu.v1 stands makes a difference");
    let Some(offer) = with else { panic!("adieu.v1 is offered") };
    for name in &names {
        let carries = [RESUME, FIRST, AUTH].iter().any(|prefix| name.starts_with(prefix));
        assert_eq!(Offer::is_secret(name), carries, "{name:?}");
    }
    is_written(&offer, &names);
});

/// What was read stands in the first name of its kind.
fn is_written(offer: &Offer, names: &[&str]) {
    let of = |prefix: &str| names.iter().find_map(|name| name.strip_prefix(prefix));
    match (&offer.resume, of(RESUME)) {
        (None, None) => {}
        (Some(resume), Some(text)) if resume.token.is_empty() => {
            // Not written as it should be, or with an empty token, which is none.
            assert!(resume.received == 0 || text.starts_with('.'));
        }
        (Some(resume), Some(text)) => {
            let parts: Vec<&str> = text.split('.').collect();
            assert_eq!(parts[0], resume.token);
            assert_eq!(number(parts[1]), Some(resume.received));
            let tag = resume.tag.map_or("-".to_owned(), |tag| tag.to_string());
            match parts[2..] {
                [] => assert_eq!((resume.tag, resume.acknowledged), (None, 0)),
                [was, acknowledged] => {
                    assert_eq!(was, tag);
                    assert_eq!(number(acknowledged), Some(resume.acknowledged));
                }
                _ => panic!("{text:?} is a resume"),
            }
        }
        (resume, text) => panic!("{resume:?} is read from {text:?}"),
    }
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    if let Some(nonce) = offer.first {
        assert_eq!(of(FIRST), Some(&*encoded(&nonce.to_bytes())));
    }
    if let Some(auth) = &offer.auth {
        assert_eq!(of(AUTH), Some(&*encoded(auth.as_bytes())));
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
