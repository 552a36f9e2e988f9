//! The opening handshake: which version a request speaks, and how each is answered.

mod client;
mod head;
mod hixie;
pub(crate) mod opening;
mod rfc6455;

use std::fmt;

pub use client::{ClientRequest, accept as client_accept};
pub use head::Request;
pub(crate) use head::{Limits, find_end};
pub use hixie::key76;
pub(crate) use hixie::{NONCE, challenge};

use crate::error::HandshakeError;

/// A version of the protocol that Adieu speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// draft-hixie-thewebsocketprotocol-75: Chrome 4-5, Safari 5.0.0. No challenge, no goodbye.
    Hixie75,
    /// draft-ietf-hybi-thewebsocketprotocol-00: Chrome 6-13, Safari 5, iOS 4.2-5.
    Hixie76,
    /// draft-ietf-hybi-thewebsocketprotocol-07: Firefox 6.
    Hybi07,
    /// draft-ietf-hybi-thewebsocketprotocol-08 to -12: Chrome 14-15, Firefox 7-10.
    Hybi08,
    /// RFC 6455, `Sec-WebSocket-Version: 13`.
    Rfc6455,
}

impl Version {
    /// Whether frames are those of hixie (RFC 6455's otherwise).
    #[must_use]
    pub fn is_hixie(self) -> bool {
        matches!(self, Version::Hixie75 | Version::Hixie76)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Hixie75 => "hixie-75",
            Version::Hixie76 => "hixie-76",
            Version::Hybi07 => "hybi-07",
            Version::Hybi08 => "hybi-08",
            Version::Rfc6455 => "RFC 6455",
        })
    }
}

/// A set of versions.
///
/// The default is all but hixie-75, which has no challenge: nothing proves that its peer is a
/// WebSocket client.
///
/// ```
/// use adieu_proto::{Version, VersionSet};
/// assert!(VersionSet::default().contains(Version::Hixie76));
/// assert!(!VersionSet::default().contains(Version::Hixie75));
/// assert!(VersionSet::all().contains(Version::Hixie75));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionSet(u8);

impl VersionSet {
    /// No version.
    #[must_use]
    pub const fn none() -> Self {
        VersionSet(0)
    }

    /// Every version, hixie-75 included.
    #[must_use]
    pub const fn all() -> Self {
        VersionSet(0b1_1111)
    }

    /// This set and `version`.
    #[must_use]
    pub const fn with(self, version: Version) -> Self {
        VersionSet(self.0 | 1 << version as u8)
    }

    /// This set without `version`.
    #[must_use]
    pub const fn without(self, version: Version) -> Self {
        VersionSet(self.0 & !(1 << version as u8))
    }

    /// Whether `version` is in it.
    #[must_use]
    pub const fn contains(self, version: Version) -> bool {
        self.0 & 1 << version as u8 != 0
    }

    /// The numbers for a `Sec-WebSocket-Version` field, newest first (RFC 6455 §4.4).
    pub(crate) fn numbers(self) -> String {
        let numbered = [(Version::Rfc6455, "13"), (Version::Hybi08, "8"), (Version::Hybi07, "7")];
        let served = numbered.iter().filter(|(version, _)| self.contains(*version));
        served.map(|(_, number)| *number).collect::<Vec<_>>().join(", ")
    }
}

impl Default for VersionSet {
    fn default() -> Self {
        VersionSet::all().without(Version::Hixie75)
    }
}

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
    if !served.contains(version) {
        return Err(HandshakeError::Version(version.to_string()));
    }
    if version.is_hixie() {
        hixie::check(request, version)?;
    } else {
        rfc6455::check(request, version)?;
    }
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

/// An HTTP answer to an opening handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
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

impl Answer {
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
        Some(Answer { status, phrase: phrase(status), fields, body })
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

/// The 101 for a request that [`detect`] has accepted. For hixie-76 the sixteen bytes of the
/// answer to the challenge follow it, once the nonce is there.
#[must_use]
pub fn answer(request: &Request, version: Version, subprotocol: Option<&str>, tls: bool) -> Answer {
    if version.is_hixie() {
        hixie::answer(request, version, subprotocol, tls)
    } else {
        rfc6455::answer(request, subprotocol)
    }
}
