//! The answer to a request: what goes out when it is refused, and how an answer is written.

use crate::error::HandshakeError;
use crate::version::VersionSet;

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

    /// The refusal that tells a peer what was wrong and what to do; never a bare FIN. `None` where
    /// nobody is left to tell.
    #[must_use]
    pub fn refusal(error: &HandshakeError, served: VersionSet) -> Option<Self> {
        let status = error.status()?;
        let body = format!("{error}\n{}\n", error.help());
        let mut fields = vec![("Connection", "close".to_owned())];
        match status {
            // RFC 6455 §4.2.2 item 4, §4.4; RFC 9110 §15.5.22.
            426 => {
                fields.push(("Upgrade", "websocket".to_owned()));
                fields.push(("Sec-WebSocket-Version", served.numbers()));
            }
            405 => fields.push(("Allow", "GET, HEAD".to_owned())),
            429 | 503 => fields.push(("Retry-After", RETRY_AFTER.to_owned())),
            _ => {}
        }
        fields.push(("Content-Type", "text/plain; charset=utf-8".to_owned()));
        fields.push(("Content-Length", body.len().to_string()));
        Some(Response { status, phrase: phrase(status), fields, body })
    }

    /// The same for a request whose method is HEAD: without the body, of which the fields tell
    /// (RFC 9110 §9.3.2).
    pub(crate) fn without_body(mut self) -> Self {
        self.body.clear();
        self
    }
}

/// Seconds until a server that stops is likely to have a successor, and until there may be room
/// again (RFC 9110 §10.2.3).
const RETRY_AFTER: &str = "5";

fn phrase(status: u16) -> &'static str {
    match status {
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
