//! The opening handshake: which version a request speaks, and how each is answered.

mod answer;
mod body;
mod client;
mod head;
#[cfg(feature = "legacy")]
mod hixie;
pub(crate) mod opening;
mod refusal;
mod rfc6455;

pub use answer::{Answer, AnswerReader};
pub use client::{ClientRequest, accept as client_accept};
pub use head::Request;
pub(crate) use head::{Limits, find_end};
#[cfg(feature = "legacy")]
pub use hixie::key76;
#[cfg(feature = "legacy")]
pub(crate) use hixie::{NONCE, challenge};
pub use refusal::Refusal;

use crate::error::HandshakeError;
use crate::negotiated::Negotiated;
use crate::version::{Version, VersionSet};

/// Which version a request speaks, and that it is one at all. One rule for all versions: the
/// number if there is one, else the challenge of hixie-76, else hixie-75.
///
/// # Errors
/// What the request lacks. Each has an HTTP status.
pub fn detect(request: &Request, served: VersionSet) -> Result<Version, HandshakeError> {
    if request.method() != "GET" {
        return Err(HandshakeError::Method);
    }
    if !request.has_token("upgrade", "websocket") {
        return Err(HandshakeError::NotUpgrade);
    }
    if !request.has_token("connection", "upgrade") {
        return Err(HandshakeError::Missing("Connection: Upgrade"));
    }
    if request.header("host").is_none_or(str::is_empty) {
        return Err(HandshakeError::Missing("Host"));
    }
    let version = match request.header("sec-websocket-version") {
        Some("13") => Version::Rfc6455,
        Some("8") => Version::Hybi08,
        Some("7") => Version::Hybi07,
        Some(other) => return Err(HandshakeError::Version(shown(other))),
        None => detect_hixie(request)?,
    };
    if !served.spoken().contains(version) {
        return Err(HandshakeError::Version(version.to_string()));
    }
    #[cfg(feature = "legacy")]
    if version.is_hixie() {
        hixie::check(request, version)?;
        return Ok(version);
    }
    rfc6455::check(request, version)?;
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

/// An HTTP response to an opening handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The reason phrase. hixie-75 clients compare it.
    pub phrase: &'static str,
    /// The fields, in the order in which the drafts want them.
    pub fields: Vec<(&'static str, String)>,
    /// The body: a sentence for people, in a refusal.
    pub body: String,
}

/// Room for the head of an answer, in bytes: more than most take.
const USUAL_ANSWER: usize = 256;

impl Response {
    /// The head and the body as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = String::with_capacity(USUAL_ANSWER + self.body.len());
        out.extend(["HTTP/1.1 ", &self.status.to_string(), " ", self.phrase, "\r\n"]);
        for (name, value) in &self.fields {
            out.extend([name, ": ", value, "\r\n"]);
        }
        out += "\r\n";
        out += &self.body;
        out.into_bytes()
    }

    /// The refusal that tells a peer what was wrong; never a bare FIN. `None` where nobody is
    /// left to tell.
    #[must_use]
    pub fn refusal(error: &HandshakeError, served: VersionSet) -> Option<Self> {
        let status = error.status()?;
        let body = format!("{error}\n");
        let mut fields = vec![("Connection", "close".to_owned())];
        match status {
            // RFC 6455 §4.2.2 item 4, §4.4; RFC 9110 §15.5.22.
            426 => {
                fields.push(("Upgrade", "websocket".to_owned()));
                fields.push(("Sec-WebSocket-Version", served.numbers()));
            }
            405 => fields.push(("Allow", "GET".to_owned())),
            503 => fields.push(("Retry-After", RETRY_AFTER.to_owned())),
            _ => {}
        }
        fields.push(("Content-Type", "text/plain; charset=utf-8".to_owned()));
        fields.push(("Content-Length", body.len().to_string()));
        Some(Response { status, phrase: phrase(status), fields, body })
    }
}

/// Seconds until a server that stops is likely to have a successor (RFC 9110 §10.2.3).
const RETRY_AFTER: &str = "5";

fn phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}

/// The 101 for a request that [`detect`] has accepted, with what is agreed on. For hixie-76 the
/// sixteen bytes that answer the challenge follow it, once the nonce is there.
#[must_use]
pub fn accept_response(request: &Request, negotiated: &Negotiated) -> Response {
    let subprotocol = negotiated.subprotocol.as_deref();
    #[cfg(feature = "legacy")]
    if negotiated.version.is_hixie() {
        return hixie::answer(request, negotiated.version, subprotocol, negotiated.secure);
    }
    rfc6455::answer(request, subprotocol)
}
