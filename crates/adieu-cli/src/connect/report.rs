//! What is told on standard error: how it was connected, what a refusal said, and the ending.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use adieu::{
    Cause, Close, ConnectError, End, Ending, HandshakeError, Http2, ProxyError, Refusal,
    ResponseHead, Side, Socket, TransportKind, Truncation, defaults,
};

use super::client::Failure;
use super::exit::Exit;
use super::json;
use super::options::{Connect, Output, Way};
use crate::escape::{self, Keep};

/// What of heads is secret: it is shown where it was asked for.
const HIDDEN: &str = "…";

/// Tells on standard error. Whether anybody reads it changes nothing.
pub(super) struct Report {
    json: bool,
    verbose: bool,
    /// A terminal gets no control characters, not even in a body.
    terminal: bool,
}

impl Report {
    pub(super) fn new(options: &Output) -> Self {
        let terminal = io::stderr().is_terminal();
        Report { json: options.json, verbose: options.verbose, terminal }
    }

    /// It is connected.
    pub(super) fn opened(&self, socket: &Socket, options: &Connect) {
        if let Some(head) = socket.response().filter(|_| self.verbose) {
            say_head(head);
        }
        if self.json {
            return;
        }
        let subprotocol = socket.subprotocol().map(|name| format!(", subprotocol {name}"));
        say(&format!(
            "Connected to {}: {}{}{}{}",
            via(socket, &options.way),
            socket.version(),
            over(socket, &options.way),
            subprotocol.unwrap_or_default(),
            compression(socket, options),
        ));
        if !options.output.no_input && io::stdin().is_terminal() {
            say("Lines are sent as text; the end of input (Ctrl-D) or Ctrl-C says goodbye.");
        }
    }

    /// The connection that was open is over.
    pub(super) fn ended(&self, ending: &Ending, exit: Exit, problem: Option<&str>) {
        if self.json {
            return say(&json::report(exit, problem, None, None, Some(ending)));
        }
        if let Some(why) = problem {
            say_problem(why);
        }
        say_ending(ending);
    }

    /// No connection was opened.
    pub(super) fn failed(&self, failure: &Failure) {
        let error = failure.error.as_ref();
        let refusal = error.and_then(refusal);
        let ending = match error {
            Some(ConnectError::Handshake(_, ending)) => Some(&**ending),
            _ => None,
        };
        let id = error.map(ConnectError::id);
        if self.json {
            let refusal = refusal.map(|refusal| json::refusal(refusal, self.verbose));
            let (why, refusal) = (Some(&*failure.why), refusal.as_ref());
            return say(&json::report(failure.exit, why, id, refusal, ending));
        }
        say_problem(&failure.why);
        if let Some(refusal) = refusal {
            self.refusal(refusal);
        }
        match (ending, id) {
            (Some(ending), _) => say_ending(ending),
            (None, Some(id)) => say_row("id", id),
            (None, None) => {}
        }
    }

    fn refusal(&self, refusal: &Refusal) {
        say(&format!("< {refusal}"));
        for (name, value) in &refusal.headers {
            say_field(name.as_bytes(), &shown(name, value, self.verbose));
        }
        say("<");
        let mut err = io::stderr().lock();
        let _ = match self.terminal {
            true => escape::write(&mut err, &refusal.body, Keep::Lines),
            false => err.write_all(&refusal.body),
        };
        if !refusal.body.is_empty() && !refusal.body.ends_with(b"\n") {
            let _ = err.write_all(b"\n");
        }
        drop(err);
        if !refusal.body_is_whole {
            say(&format!(
                "(the body is cut: {} bytes of it came or were kept, {} at most)",
                refusal.body.len(),
                defaults::MAX_REFUSAL_BODY
            ));
        }
    }
}

/// The answer that refused: the server's or a proxy's.
fn refusal(error: &ConnectError) -> Option<&Refusal> {
    match error {
        ConnectError::Proxy(ProxyError::Refused(refusal)) => Some(refusal),
        error => error.refusal(),
    }
}

/// Whether a status sends the client elsewhere (RFC 9110 §15.4).
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// A connection that ended with a redirect.
pub(super) fn redirect(ending: &Ending) {
    let Cause::Handshake(HandshakeError::RefusedByServer(refusal)) = &ending.cause else { return };
    if let Some(location) = refusal.header("Location").filter(|_| is_redirect(refusal.status)) {
        say(&format!("< {refusal}"));
        say_field(b"Location", location.as_bytes());
    }
}

/// A field's value without what is secret in it, unless secrets are wanted.
pub(super) fn shown(name: &str, value: &[u8], secrets: bool) -> Vec<u8> {
    let until = |end: &[u8]| value.iter().position(|byte| end.contains(byte));
    let keep = match name.to_ascii_lowercase().as_str() {
        _ if secrets => None,
        "set-cookie" => until(b"=").map(|at| at + 1),
        // A redirect may lead to where a query or a password of ours leads along.
        "location" | "content-location" | "refresh" | "link" if value.contains(&b'@') => Some(0),
        "location" | "content-location" | "refresh" | "link" => until(b"?#"),
        _ => None,
    };
    keep.map_or_else(|| value.to_vec(), |at| [&value[..at], HIDDEN.as_bytes()].concat())
}

/// What carries it, where that is more than TCP.
fn over(socket: &Socket, way: &Way) -> &'static str {
    match socket.negotiated().map(|negotiated| negotiated.transport) {
        Some(TransportKind::Http2) => " over HTTP/2 and TLS",
        Some(TransportKind::Tls) if way.http2 => {
            " over TLS and HTTP/1.1, for the server takes no WebSockets over HTTP/2"
        }
        Some(TransportKind::Tls) => " over TLS",
        _ => "",
    }
}

/// What was agreed on for compression, where it was asked for.
fn compression(socket: &Socket, options: &Connect) -> String {
    match socket.negotiated().and_then(|negotiated| negotiated.deflate) {
        Some(agreed) => format!(", {agreed}"),
        None if options.request.compress => ", not compressed: the server did not agree".into(),
        None => String::new(),
    }
}

/// Whom it is connected to, and through what.
fn via(socket: &Socket, way: &Way) -> String {
    #[cfg(unix)]
    if let Some(path) = &way.unix_socket {
        return path.display().to_string();
    }
    let peer = socket.peer();
    match way.proxy {
        Some(_) => format!("the server through the proxy {peer}"),
        // Which hosts the environment spares, the library knows.
        None if way.proxy_from_env => format!("{peer}, or through it if it is a proxy"),
        None => peer.to_string(),
    }
}

/// A line that is free of control characters.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", escape::line(line));
}

fn say_problem(why: &str) {
    say(&format!("adieu connect: {why}"));
}

fn say_field(name: &[u8], value: &[u8]) {
    say(&format!("< {}: {}", escape::line(name), escape::line(value)));
}

fn say_head(head: &ResponseHead) {
    say(&format!("< {}", escape::line(head.status_line())));
    for (name, value) in head.fields() {
        say_field(name, value);
    }
    say("<");
}

fn say_ending(ending: &Ending) {
    say(&format!("{ending}."));
    for (what, how) in rows(ending) {
        say_row(what, &how);
    }
}

fn say_row(what: &str, how: &str) {
    say(&format!("  {what:<15} {how}"));
}

/// All of an ending, part by part.
fn rows(ending: &Ending) -> Vec<(&'static str, String)> {
    let (handshake, timeline) = (&ending.closing_handshake, &ending.timeline);
    let at = |time: Option<Duration>| {
        time.map_or("never".to_owned(), |t| format!("after {}", length(t)))
    };
    let close = |said: Option<&Close>, time| match said {
        Some(close) => format!("{close}, {}", at(time)),
        None => "none".to_owned(),
    };
    let mut rows = vec![
        ("id", ending.cause.id().to_owned()),
        ("began by", began_by(ending).to_owned()),
        ("Close received", close(handshake.received(), timeline.close_received)),
        ("Close sent", close(handshake.sent(), timeline.close_sent)),
        ("transport", transport(ending)),
        ("cut", cut(ending.truncation).to_owned()),
        ("not delivered", not_delivered(ending)),
        ("opened", at(timeline.opened)),
        ("last received", at(timeline.last_received)),
        ("we ended", at(timeline.fin_sent)),
        ("peer ended", at(timeline.peer_ended)),
        ("lasted", length(ending.lasted)),
    ];
    if let Some(http2) = ending.http2 {
        rows.push(("HTTP/2", stream(http2)));
    }
    if let Some(time) = timeline.close_notify {
        rows.push(("close_notify", at(Some(time))));
    }
    if let Some(round_trip) = ending.round_trip {
        rows.push(("round trip", length(round_trip)));
    }
    if let Some(compressed) = ending.compressed {
        rows.push(("compressed", compressed.to_string()));
    }
    if !ending.switched_off.is_empty() {
        let names: Vec<_> = ending.switched_off.iter().map(ToString::to_string).collect();
        rows.push(("switched off", names.join(", ")));
    }
    if let Some(error) = &ending.error {
        rows.push(("error", error.to_string()));
    }
    rows
}

fn began_by(ending: &Ending) -> &'static str {
    match json::initiator(&ending.cause) {
        "local" => "us",
        "peer" => "the server",
        "network" => "the network",
        _ => "not known: the server, or something on the way",
    }
}

fn transport(ending: &Ending) -> String {
    let transport = &ending.transport;
    let kind = match transport.kind {
        TransportKind::Tls => "TLS over TCP".to_owned(),
        TransportKind::Http2 => "a stream of HTTP/2".to_owned(),
        kind => kind.to_string(),
    };
    let end = match transport.end {
        End::Finished => "the server finished it".to_owned(),
        End::FinishedThenReset => "the server finished it, then reset it".to_owned(),
        End::Reset => "the server reset it".to_owned(),
        End::Lost => "the operating system gave up on the server".to_owned(),
        End::LetGo(why) => format!("the server never ended it, we let go {why}"),
        _ => "how the server ended is not known".to_owned(),
    };
    let first = match transport.active_closer {
        Some(Side::Local) => ", after us",
        Some(Side::Peer) => ", before us",
        None => "",
    };
    let notify = match transport.close_notify {
        Some(true) => ", with close_notify",
        Some(false) => ", without close_notify",
        None => "",
    };
    format!("{kind}: {end}{first}{notify}")
}

/// Which stream of which connection, and what its server said of both.
fn stream(http2: Http2) -> String {
    let mut words = format!("stream {} of connection {}", http2.stream, http2.connection);
    if let Some(code) = http2.reset {
        words += &format!("; RST_STREAM ({code})");
    }
    if let Some(code) = http2.goaway {
        words += &format!("; GOAWAY ({code})");
    }
    if http2.connection_end.is_some() {
        words += "; it ended with its connection";
    }
    words
}

fn cut(truncation: Truncation) -> &'static str {
    match truncation {
        Truncation::BetweenMessages => "nothing",
        Truncation::MidMessage => "between the fragments of a message",
        Truncation::MidFrame => "in the middle of a frame",
    }
}

fn not_delivered(ending: &Ending) -> String {
    let unsent = &ending.unsent;
    let unacknowledged = match unsent.unacknowledged {
        None => "; whether all else arrived is not known".to_owned(),
        Some(0) => String::new(),
        Some(n) => format!("; {n} bytes left and were never acknowledged"),
    };
    match (unsent.messages, unsent.bytes) {
        (0, 0) => format!("nothing{unacknowledged}"),
        (messages, bytes) => {
            format!("{messages} messages, {bytes} bytes never left{unacknowledged}")
        }
    }
}

fn length(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.3} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_head_are_shown_where_they_are_wanted() {
        for (name, value, want) in [
            ("Set-Cookie", "sid=abc; Path=/", "sid=…"),
            ("Location", "/login?token=abc", "/login…"),
            ("location", "http://u:p@h/", "…"),
            ("Location", "/plain", "/plain"),
            ("X-Reason", "a=b?c", "a=b?c"),
        ] {
            assert_eq!(shown(name, value.as_bytes(), false), want.as_bytes(), "{name}");
            assert_eq!(shown(name, value.as_bytes(), true), value.as_bytes(), "{name}");
        }
    }
}
