//! The server's side of RFC 6455 §4.2, which hybi-07 and hybi-08 share.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

use crate::error::HandshakeError;
use crate::handshake::{Request, Response};
use crate::negotiated::Negotiated;
use crate::version::Version;

/// §1.3: appended to the key before it is hashed.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key has to be the base64 of 16 bytes (§4.2.1 item 5). Clients of the drafts, such as an
/// early npm `ws`, send 15.
pub(super) fn check(key: Option<&[u8]>, version: Version) -> Result<(), HandshakeError> {
    let key = key.ok_or(HandshakeError::Missing("Sec-WebSocket-Key"))?;
    let len = STANDARD.decode(key).map_or(0, |bytes| bytes.len());
    let fits = len == 16 || (version != Version::Rfc6455 && len == 15);
    if fits { Ok(()) } else { Err(HandshakeError::BadField("Sec-WebSocket-Key")) }
}

/// `Sec-WebSocket-Accept` for a key (§4.2.2 item 5.4).
pub(super) fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key.trim()).chain_update(GUID).finalize())
}

pub(super) fn answer(request: &Request, negotiated: &Negotiated) -> Response {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let mut fields = vec![
        ("Upgrade", "websocket".to_owned()),
        ("Connection", "Upgrade".to_owned()),
        ("Sec-WebSocket-Accept", accept(key)),
    ];
    fields.extend(agreed(negotiated));
    Response { status: 101, phrase: "Switching Protocols", fields, body: String::new() }
}

/// The fields that say what is agreed on (§4.2.2 items 5.5 and 5.6).
pub(super) fn agreed(negotiated: &Negotiated) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    if let Some(name) = &negotiated.subprotocol {
        fields.push(("Sec-WebSocket-Protocol", name.clone()));
    }
    #[cfg(feature = "deflate")]
    if let Some(agreed) = negotiated.deflate {
        fields.push(("Sec-WebSocket-Extensions", agreed.to_string()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
