//! The key of RFC 6455 and its answer: a scripted server has to answer a real client's.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

/// What answers `Sec-WebSocket-Key` (RFC 6455 §4.2.2 item 5.4).
#[must_use]
pub fn accept_key(key: &str) -> String {
    let guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(guid).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::ACCEPT;

    #[test]
    fn the_key_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), ACCEPT);
    }
}
