//! Whether a server that says that it takes WebSockets over HTTP/2 takes them: browsers believe it.

use super::super::peer::{OpenError, Peer, TcpEnd};
use super::super::report::{About, Figures, Finding, Verdict};
use super::super::target::Target;

pub(crate) const HTTP2: About = About {
    id: "http2",
    title: "WebSockets over HTTP/2",
    meaning: "Chromium and Firefox open a WebSocket on the HTTP/2 connection of the page where \
              the server says that it takes them. They do not try HTTP/1.1 after a failure: the \
              page sees 1006, though the same URL works over HTTP/1.1.",
    remedy: "Serve extended CONNECT (RFC 8441), through every proxy in front, or do not send \
             SETTINGS_ENABLE_CONNECT_PROTOCOL: then browsers use HTTP/1.1.",
};

/// What the server says of itself, and whether it is true.
pub(crate) async fn check(target: &Target) -> Finding {
    if !target.is_secure() && !target.http2 {
        return HTTP2.skipped("browsers speak HTTP/2 over TLS only: needs wss://");
    }
    let opened = Peer::open(&target.clone().over_http2()).await;
    let (http2, advertised) = match &opened {
        Err(OpenError::NoHttp2 | OpenError::Io(_)) => (false, false),
        Err(OpenError::NoExtendedConnect) => (true, false),
        _ => (true, true),
    };
    let (verdict, summary) = match opened {
        Ok(_) if target.http2 => (Verdict::Ok, "they open".to_owned()),
        Ok(_) => (Verdict::Ok, "they open: check them too, with --http2".to_owned()),
        Err(OpenError::NoHttp2) => (Verdict::Ok, "no HTTP/2: browsers use HTTP/1.1".to_owned()),
        Err(OpenError::NoExtendedConnect) => {
            (Verdict::Ok, "not offered: browsers open them over HTTP/1.1".to_owned())
        }
        Err(OpenError::Io(error)) => (Verdict::Bad, format!("the connection failed: {error}")),
        Err(error) => (Verdict::Bad, format!("offered, and one that is opened {}", fate(&error))),
    };
    let figures = Figures::default()
        .with("http2", http2)
        .with("advertised", advertised)
        .with("opened", verdict == Verdict::Ok && advertised);
    HTTP2.found(verdict, summary, figures)
}

/// What became of an extended CONNECT.
fn fate(error: &OpenError) -> String {
    match error {
        OpenError::Refused(head) => format!("is answered with {}", head.first_line()),
        OpenError::StreamReset(code) => {
            format!("is answered with RST_STREAM (error code {code})")
        }
        OpenError::Ended(TcpEnd::Fin) => "ends the connection".to_owned(),
        OpenError::Ended(TcpEnd::Reset) => "resets the connection".to_owned(),
        _ => "is not answered".to_owned(),
    }
}
