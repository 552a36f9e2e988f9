//! The token with which a page comes back to its session, and the name of a session.
//!
//! What must hold for any text:
//! - A text that is taken for a token is, byte for byte, the one that was signed for that session
//!   and generation under that key: nothing else is a token, however it is written.
//! - No token of one key is one of another.
//! - A name of a session that is read is written again as it was.

#![no_main]

use adieu_session::{Key, SessionId, Token};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ([u8; 16], u32, &[u8])| {
    let (session, generation, edit) = input;
    let (key, other) = (Key::new(&[7; 32]), Key::new(&[8; 32]));
    if let Ok(text) = std::str::from_utf8(edit) {
        is_one_or_none(text, &key);
        if let Ok(id) = text.parse::<SessionId>() {
            assert_eq!(id.to_string(), text);
        }
    }
    let token = Token { session: SessionId::new(session), generation };
    let text = token.sign(&key);
    assert_eq!(Token::verify(&text, &key), Some(token));
    assert_eq!(Token::verify(&text, &other), None);
    let edited = edited(&text, edit);
    is_one_or_none(&edited, &key);
    if edited != text {
        assert_ne!(Token::verify(&edited, &key), Some(token), "two texts for one token");
    }
});

fn is_one_or_none(text: &str, key: &Key) {
    if let Some(token) = Token::verify(text, key) {
        assert_eq!(token.sign(key), text);
    }
}

/// The text with some of it changed: pairs of where and what, then what is added at its end.
fn edited(text: &str, edit: &[u8]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut pairs = edit.chunks_exact(2);
    for pair in pairs.by_ref().take(4) {
        let at = usize::from(pair[0]) % bytes.len();
        bytes[at] = pair[1];
    }
    bytes.extend(pairs.flatten());
    String::from_utf8_lossy(&bytes).into_owned()
}
