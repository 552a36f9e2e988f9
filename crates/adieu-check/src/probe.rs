//! Whether there is a WebSocket server at all, and what it can be asked: does it echo, does it
//! know the convention of docs/check.md.

use std::time::Duration;

use tokio::time::timeout;

use super::frame::Frame;
use super::peer::{OpenError, Peer, TcpEnd};
use super::target::Target;

/// An echo that is not here by then does not come.
const ECHO: Duration = Duration::from_secs(3);

/// What a server that knows the convention is asked for.
const ASKED: usize = 20_000;

/// What the server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// It says back what it hears.
    pub(crate) echo: bool,
    /// It sends, closes and panics when asked.
    pub(crate) convention: bool,
}

/// `adieu-check:send N`.
pub(crate) fn send(bytes: usize) -> Frame {
    Frame::text(format!("adieu-check:send {bytes}"))
}

/// `adieu-check:close CODE REASON`.
pub(crate) fn close(code: u16, reason: &str) -> Frame {
    Frame::text(format!("adieu-check:close {code} {reason}"))
}

/// `adieu-check:panic`.
pub(crate) fn panic() -> Frame {
    Frame::text("adieu-check:panic")
}

/// Connects once and finds out; an error is a sentence for the user.
pub(crate) async fn probe(target: &Target) -> Result<Abilities, String> {
    let mut peer = Peer::open(target).await.map_err(|error| explain(target, error))?;
    let hello = Frame::text("adieu-check");
    peer.say(&hello);
    let echo = timeout(ECHO, heard(&mut peer, &hello)).await.unwrap_or(false);
    let ask = send(ASKED);
    peer.say(&ask);
    let convention = timeout(ECHO, sent(&mut peer, &ask)).await.unwrap_or(false);
    Ok(Abilities { echo, convention })
}

/// Whether this message comes back; others may come before it.
async fn heard(peer: &mut Peer, message: &Frame) -> bool {
    while let Some(frame) = peer.frame().await {
        match frame.opcode {
            0x8 => return false,
            _ if frame.payload == message.payload => return true,
            _ => {}
        }
    }
    false
}

/// Whether what was asked for comes, rather than the question itself.
async fn sent(peer: &mut Peer, ask: &Frame) -> bool {
    let mut bytes = 0;
    while let Some(frame) = peer.frame().await {
        match frame.opcode {
            0x8 => return false,
            0x1 if frame.payload == ask.payload => return false,
            0x0 | 0x2 => bytes += frame.payload.len(),
            _ => {}
        }
        if bytes >= ASKED {
            return bytes == ASKED;
        }
    }
    false
}

/// Why there is no WebSocket, and what to look at.
pub(crate) fn explain(target: &Target, error: OpenError) -> String {
    let url = &target.url;
    match error {
        OpenError::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => format!(
                // FAQ: check-nothing-listens
                "nothing listens at {}: is the server running, and is this its port?",
                target.addr
            ),
            // FAQ: check-silent
            std::io::ErrorKind::TimedOut => format!("{} does not answer", target.addr),
            std::io::ErrorKind::InvalidData => format!(
                // FAQ: check-tls
                "TLS with {url} failed: {error} (--ca FILE trusts a certificate of your own, \
                 --insecure any)"
            ),
            // FAQ: check-failed
            _ => format!("the connection with {url} failed: {error}"),
        },
        OpenError::Refused(head) => match head.try_status() {
            Some(status) => format!(
                // FAQ: check-no-websocket
                "{url} answered `{}` instead of {}: {}",
                head.first_line().escape_debug(),
                if target.http2 { 200 } else { 101 },
                status_hint(status)
            ),
            None => {
                format!("{url} is no web server: it said `{}`", head.first_line().escape_debug())
            }
        },
        OpenError::BadAccept => format!(
            // FAQ: check-wrong-accept
            "{url} answered 101 with a wrong Sec-WebSocket-Accept: no browser would open it"
        ),
        // FAQ: check-no-http2
        OpenError::NoHttp2 => format!(
            "{url} does not speak HTTP/2: check it without --http2, or switch HTTP/2 on in the \
             server"
        ),
        // FAQ: check-no-extended-connect
        OpenError::NoExtendedConnect => format!(
            "{url} speaks HTTP/2 without WebSockets (it does not send \
             SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441): browsers open them over HTTP/1.1, so \
             check it without --http2"
        ),
        // FAQ: check-stream-reset
        OpenError::StreamReset(code) => format!(
            "{url} says that it takes WebSockets over HTTP/2, and answered one with RST_STREAM \
             (error code {code}): browsers see 1006"
        ),
        OpenError::Ended(TcpEnd::Fin) => {
            // FAQ: check-closed
            format!("{url} closed the connection without an answer: is it wss://?")
        }
        // FAQ: check-reset
        OpenError::Ended(TcpEnd::Reset) => format!("{url} reset the connection without an answer"),
        // FAQ: check-no-web-server
        OpenError::NotHttp(bytes) => format!(
            "{url} is no web server: it said `{}`",
            String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).escape_debug()
        ),
        // FAQ: check-no-answer
        OpenError::Silent => format!("{url} accepted the connection and did not answer"),
    }
}

fn status_hint(status: u16) -> &'static str {
    match status {
        200..=299 => "it is a web server, but no WebSocket is at this path",
        300..=399 => "it sends you elsewhere; check that place",
        401 | 403 => "it does not let us in (an Origin, a cookie or a token may be needed)",
        404 => "it is a web server, but nothing is at this path",
        503 => "it is overloaded or stopping",
        _ => "no WebSocket was opened",
    }
}
