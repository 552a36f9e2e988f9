//! The opening handshake: which version a request speaks, and how each is answered.

mod answer;
mod body;
mod client;
mod extended_connect;
mod head;
#[cfg(feature = "legacy")]
mod hixie;
mod http;
mod http2;
pub(crate) mod opening;
mod refusal;
mod response;
mod response_head;
mod rfc6455;
mod target;

pub use answer::{Answer, AnswerReader};
pub use client::{ClientRequest, accept as client_accept};
pub use extended_connect::{ConnectAnswer, ExtendedConnect};
pub use head::Request;
pub(crate) use head::{Limits, find_end};
#[cfg(feature = "legacy")]
pub use hixie::key76;
#[cfg(feature = "legacy")]
pub(crate) use hixie::{NONCE, challenge};
#[cfg(feature = "deflate")]
pub(crate) use http::is_token;
pub use http2::{accept_extended_connect, detect_extended_connect};
pub use refusal::Refusal;
pub use response::Response;
pub use response_head::ResponseHead;

use self::http::Fields;
use crate::error::HandshakeError;
use crate::negotiated::Negotiated;
use crate::version::{Version, VersionSet};

/// Which version a request speaks, and that it is one at all. One rule for all versions: the
/// number if there is one, else the challenge of hixie-76, else hixie-75.
///
/// # Errors
/// What the request lacks. Each has an HTTP status.
pub fn detect(request: &Request, served: VersionSet) -> Result<Version, HandshakeError> {
    let fields = Fields::of(request);
    fields.check_host()?;
    match request.method() {
        "GET" => {}
        // Answered as GET is, without the body (RFC 9110 §9.3.2). It opens nothing.
        "HEAD" => return Err(HandshakeError::NotUpgrade),
        _ => return Err(HandshakeError::Method),
    }
    if !fields.upgrade_is_websocket {
        return Err(HandshakeError::NotUpgrade);
    }
    if !fields.connection_has_upgrade {
        return Err(HandshakeError::Missing("Connection: Upgrade"));
    }
    fields.check_single()?;
    let version = match fields.version() {
        Some(b"13") => Version::Rfc6455,
        Some(b"8") => Version::Hybi08,
        Some(b"7") => Version::Hybi07,
        Some(other) => {
            return Err(HandshakeError::Version(shown(&String::from_utf8_lossy(other))));
        }
        None => detect_hixie(request)?,
    };
    if !served.spoken().contains(version) {
        return Err(HandshakeError::Version(version.to_string()));
    }
    #[cfg(feature = "legacy")]
    if version.is_hixie() {
        hixie::check(request, &fields, version)?;
        return Ok(version);
    }
    fields.check_no_body()?;
    rfc6455::check(fields.key(), version)?;
    Ok(version)
}

fn detect_hixie(request: &Request) -> Result<Version, HandshakeError> {
    match request.header("sec-websocket-draft") {
        // Some hixie-76 clients say draft 0; 1 to 3 are hybi drafts that no browser shipped.
        None | Some("0") => {}
        Some(draft) => return Err(HandshakeError::Version(format!("draft {}", shown(draft)))),
    }
    let keys = ["sec-websocket-key1", "sec-websocket-key2"];
    if keys.iter().any(|key| request.header(key).is_some()) {
        return Ok(Version::Hixie76);
    }
    // A request with the key of RFC 6455 and no number is a broken one, not hixie-75.
    if request.header("sec-websocket-key").is_some() {
        return Err(HandshakeError::Missing("Sec-WebSocket-Version"));
    }
    Ok(Version::Hixie75)
}

/// A value of the peer as it may be shown: short, and free of control characters.
fn shown(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// The 101 for a request that [`detect`] has accepted, with what is agreed on. For hixie-76 the
/// sixteen bytes that answer the challenge follow it, once the nonce is there.
#[must_use]
pub fn accept_response(request: &Request, negotiated: &Negotiated) -> Response {
    #[cfg(feature = "legacy")]
    if negotiated.version.is_hixie() {
        let subprotocol = negotiated.subprotocol.as_deref();
        return hixie::answer(request, negotiated.version, subprotocol, negotiated.secure);
    }
    rfc6455::answer(request, negotiated)
}
