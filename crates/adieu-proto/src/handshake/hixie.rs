//! The server's side of hixie-75 and hixie-76 (draft-ietf-hybi-thewebsocketprotocol-00 §5).

use md5::{Digest, Md5};

use crate::error::HandshakeError;
use crate::handshake::http::{Body, Fields};
use crate::handshake::{Request, Response};
use crate::version::Version;

/// Bytes of the nonce that follows the head of a hixie-76 request.
pub(crate) const NONCE: usize = 8;

/// Digits of a key at most: 12 spaces × (2^32 - 1) has 11; a real client pads with no more.
const MAX_DIGITS: usize = 19;

/// A client that is no browser need not send an Origin: those of that age send none.
pub(super) fn check(
    request: &Request,
    fields: &Fields<'_>,
    version: Version,
) -> Result<(), HandshakeError> {
    if version == Version::Hixie75 {
        return fields.check_no_body();
    }
    keys(request)?;
    // The nonce is the body of the request. Some clients announce it, and some do not.
    match fields.body()? {
        Body::None => Ok(()),
        Body::Length(length) if length == NONCE as u64 => Ok(()),
        Body::Length(_) => Err(HandshakeError::BadField("Content-Length")),
        Body::Coded => Err(HandshakeError::Body),
    }
}

fn keys(request: &Request) -> Result<(u32, u32), HandshakeError> {
    let key =
        |name, missing| key76(request.raw_header(name).ok_or(HandshakeError::Missing(missing))?);
    Ok((
        key("sec-websocket-key1", "Sec-WebSocket-Key1")?,
        key("sec-websocket-key2", "Sec-WebSocket-Key2")?,
    ))
}

/// The number that a hixie-76 key hides: its digits as one number, divided by its spaces.
///
/// ```
/// assert_eq!(adieu_proto::key76("4 @1  46546xW%0l 1 5"), Ok(829_309_203));
/// assert!(adieu_proto::key76("no5paces").is_err());
/// ```
///
/// # Errors
/// [`HandshakeError::Challenge`] for a key without digits or spaces, one that does not divide,
/// or one whose quotient does not fit 32 bits.
pub fn key76(key: &str) -> Result<u32, HandshakeError> {
    let digits: String = key.chars().filter(char::is_ascii_digit).take(MAX_DIGITS + 1).collect();
    let spaces = key.bytes().filter(|b| *b == b' ').count() as u64;
    if digits.is_empty() {
        return Err(HandshakeError::Challenge("a key without a digit"));
    }
    if spaces == 0 {
        return Err(HandshakeError::Challenge("a key without a space"));
    }
    let number: u64 = match digits.parse() {
        Ok(number) if digits.len() <= MAX_DIGITS => number,
        _ => return Err(HandshakeError::Challenge("a key with too many digits")),
    };
    if number % spaces != 0 {
        return Err(HandshakeError::Challenge("a key that its spaces do not divide"));
    }
    u32::try_from(number / spaces)
        .map_err(|_| HandshakeError::Challenge("a key whose number exceeds 32 bits"))
}

/// The sixteen bytes that answer the challenge.
pub(crate) fn challenge(request: &Request, nonce: [u8; NONCE]) -> Result<[u8; 16], HandshakeError> {
    let (one, two) = keys(request)?;
    let mut md5 = Md5::new();
    md5.update(one.to_be_bytes());
    md5.update(two.to_be_bytes());
    md5.update(nonce);
    Ok(md5.finalize().into())
}

/// The order and the capitals are the drafts': some clients compare them. Where the request has no
/// Origin, the field is there and empty: a client may look for it.
pub(super) fn answer(
    request: &Request,
    version: Version,
    subprotocol: Option<&str>,
    tls: bool,
) -> Response {
    let names = match version {
        Version::Hixie75 => ["WebSocket-Origin", "WebSocket-Location", "WebSocket-Protocol"],
        _ => ["Sec-WebSocket-Origin", "Sec-WebSocket-Location", "Sec-WebSocket-Protocol"],
    };
    let scheme = if tls { "wss" } else { "ws" };
    let host = request.host().unwrap_or_default();
    let mut fields = vec![
        ("Upgrade", "WebSocket".to_owned()),
        ("Connection", "Upgrade".to_owned()),
        (names[0], request.header("origin").unwrap_or_default().to_owned()),
        (names[1], format!("{scheme}://{host}{}", request.target())),
    ];
    if let Some(name) = subprotocol {
        fields.push((names[2], name.to_owned()));
    }
    let phrase = match version {
        Version::Hixie75 => "Web Socket Protocol Handshake",
        _ => "WebSocket Protocol Handshake",
    };
    Response { status: 101, phrase, fields, body: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key1: &str, key2: &str) -> Request {
        let fields = [("Sec-WebSocket-Key1", key1), ("Sec-WebSocket-Key2", key2)];
        Request::from_parts("GET", "/", fields).unwrap()
    }

    #[test]
    fn the_vector_that_five_other_implementations_agree_on() {
        let request = request("4 @1  46546xW%0l 1 5", "12998 5 Y3 1  .P00");
        assert_eq!(keys(&request), Ok((829_309_203, 259_970_620)));
        assert_eq!(challenge(&request, *b"^n:ds[4U").unwrap(), *b"8jKS'y:G*Co,Wxa-");
    }

    #[test]
    fn each_bad_key_is_refused_with_its_rule() {
        let huge = format!("1 {}", "9".repeat(1_000_000));
        for (key, rule) in [
            ("12345678", "a key without a space"),
            ("a b c", "a key without a digit"),
            ("1 2 1", "a key that its spaces do not divide"),
            ("99999999999 0", "a key whose number exceeds 32 bits"),
            (&huge, "a key with too many digits"),
        ] {
            assert_eq!(key76(key), Err(HandshakeError::Challenge(rule)), "{key:.20}");
        }
    }
}
