//! An [`Ending`] as one plain English sentence, without a full stop: it stands in log lines and
//! tables.

use std::fmt;
use std::time::Duration;

use crate::close::{
    Cause, Close, ClosingHandshake, End, Ending, Http2, Http2ErrorCode, LetGo, Side, TransportKind,
    Truncation,
};
use crate::error::HandshakeError;

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_cause(f)?;
        self.write_closing_handshake(f)?;
        self.write_transport(f)?;
        self.write_truncation(f)?;
        self.write_error(f)?;
        self.write_unsent(f)?;
        if self.draining && self.cause != Cause::Drain {
            f.write_str("; our server was stopping")?;
        }
        for (i, timer) in self.switched_off.iter().enumerate() {
            write!(f, "{} {timer}", if i == 0 { "; switched off by the settings:" } else { "," })?;
        }
        write!(f, "; the connection lasted {}", Length(self.lasted))
    }
}

impl Ending {
    fn write_cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.cause {
            Cause::Application => "Our application closed the connection",
            Cause::HandlerReturned => "Our handler returned",
            Cause::HandlerFailed => "Our handler returned an error",
            Cause::Panicked => "Our handler panicked",
            Cause::Dropped => "Our application dropped the connection",
            Cause::SlowConsumer => "The peer read too slowly for a group that we broadcast to",
            Cause::NoBinary => "Our application sent binary data, which the peer's version lacks",
            Cause::TooManyConnections => "There were too many connections",
            Cause::TooMuchReceived => "Too much was being received at once",
            Cause::Drain => "Our server is stopping",
            Cause::Peer => return self.write_peers_close(f),
            Cause::Violation(error) => {
                return write!(f, "The peer broke the protocol with {error}");
            }
            Cause::Timeout(timer) => return write!(f, "Our {timer} ran out"),
            Cause::Eof => "The peer left without a Close",
            Cause::Reset => "The peer broke off without a Close",
            Cause::Unreachable => "The peer became unreachable",
            Cause::TransportFailed => "The transport failed",
            Cause::Handshake(error) => return write!(f, "No WebSocket was opened: {error}"),
        })
    }

    fn write_peers_close(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.closing_handshake.received() {
            Some(theirs) => write!(f, "The peer sent {}", Said(theirs)),
            None => f.write_str("The peer closed the connection"),
        }
    }

    fn write_closing_handshake(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_peer = self.cause == Cause::Peer;
        match &self.closing_handshake {
            ClosingHandshake::None if matches!(self.cause, Cause::Eof | Cause::Reset) => Ok(()),
            ClosingHandshake::None if matches!(self.cause, Cause::Handshake(_)) => Ok(()),
            ClosingHandshake::None => f.write_str("; no Close was sent or received"),
            ClosingHandshake::Received { .. } if by_peer => f.write_str("; our answer never left"),
            ClosingHandshake::Received { theirs } => {
                write!(f, "; our Close never left, the peer sent {}", Said(theirs))
            }
            ClosingHandshake::ReceivedThenSent { ours, .. } if by_peer => {
                write!(f, " and we answered with {}", Said(ours))
            }
            ClosingHandshake::ReceivedThenSent { theirs, ours } => {
                write!(f, ": the peer sent {} and we answered with {}", Said(theirs), Said(ours))
            }
            ClosingHandshake::Sent { ours } => {
                write!(f, ": we sent {}, the peer did not answer", Said(ours))
            }
            ClosingHandshake::SentThenReceived { ours, theirs } => {
                write!(f, ": we sent {}, the peer answered with {}", Said(ours), Said(theirs))
            }
        }
    }

    fn write_transport(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = &self.transport;
        // An HTTP library had the connection, and nothing says that it failed.
        let was_ours = transport.kind != TransportKind::Unknown;
        if matches!(self.cause, Cause::Handshake(_)) && !was_ours {
            return f.write_str("; what became of the peer is not known");
        }
        if let Some(http2) = &self.http2 {
            return self.write_end_of_http2(f, http2);
        }
        if transport.close_notify == Some(true) {
            return self.write_end_after_close_notify(f);
        }
        self.write_end(f)?;
        match (transport.close_notify, transport.end) {
            (Some(false), End::Finished) => f.write_str(" (without close_notify)"),
            _ => Ok(()),
        }
    }

    fn write_end_after_close_notify(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.transport.active_closer {
            Some(Side::Local) => "; we ended TLS first, the peer's close_notify followed, then ",
            _ => "; the peer ended TLS first, with close_notify, then ",
        })?;
        match self.transport.end {
            End::Finished => f.write_str("TCP with a FIN"),
            End::FinishedThenReset => f.write_str("TCP with a FIN, and reset it after that"),
            End::Reset => f.write_str("reset TCP (RST)"),
            End::Lost => f.write_str("the operating system gave up on the peer"),
            End::Unknown => f.write_str("TCP failed, and how the peer ended is not known"),
            End::LetGo(why) => write!(f, "never ended TCP, we let go {why}"),
        }
    }

    fn write_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.transport.kind;
        let stream = !matches!(kind, TransportKind::Tcp | TransportKind::Tls);
        let with = if stream { "" } else { ", with a FIN" };
        let finished = if stream { "the peer ended it too" } else { "the peer's FIN followed" };
        let rst = if stream { "" } else { " (RST)" };
        let we_first = self.transport.active_closer == Some(Side::Local);
        let ambiguous = kind == TransportKind::UpgradedHttp2;
        match (self.transport.end, we_first) {
            (End::Finished, false) if ambiguous => {
                f.write_str("; the peer ended or reset the stream, not told apart here")
            }
            (End::Finished, true) if ambiguous => {
                f.write_str("; we ended the stream first, the peer ended or reset it, ")?;
                f.write_str("not told apart here")
            }
            (End::Finished, false) => write!(f, "; the peer ended {kind} first{with}"),
            (End::Finished, true) => write!(f, "; we ended {kind} first, {finished}"),
            (End::FinishedThenReset, false) => {
                write!(f, "; the peer ended {kind} first{with}, and reset it after that")
            }
            (End::FinishedThenReset, true) if stream => {
                f.write_str("; we ended the stream first, the peer ended it too and then reset it")
            }
            (End::FinishedThenReset, true) => {
                write!(f, "; we ended {kind} first, the peer's FIN and then its RST followed")
            }
            (End::Reset, false) => write!(f, "; the peer reset {kind}{rst}"),
            (End::Reset, true) => write!(f, "; we ended {kind} first, the peer reset it{rst}"),
            (End::Lost, _) => f.write_str("; the operating system gave up on the peer"),
            (End::Unknown, false) => {
                write!(f, "; {kind} failed, and how the peer ended is not known")
            }
            (End::Unknown, true) => {
                write!(f, "; we ended {kind} first, it failed, and how the peer ended is not known")
            }
            (End::LetGo(why), _) => write!(f, "; the peer never ended {kind}, we let go {why}"),
        }
    }

    fn write_end_of_http2(&self, f: &mut fmt::Formatter<'_>, http2: &Http2) -> fmt::Result {
        let we_first = self.transport.active_closer == Some(Side::Local);
        if let Some(end) = http2.connection_end {
            f.write_str(if we_first { "; we ended the stream first, and then" } else { ";" })?;
            return self.write_end_of_connection(f, http2, end);
        }
        let code = http2.reset.unwrap_or(Http2ErrorCode::NO_ERROR);
        match (self.transport.end, we_first) {
            (End::Finished, false) => {
                f.write_str("; the peer ended the stream first, with END_STREAM")
            }
            (End::Finished, true) => {
                f.write_str("; we ended the stream first, the peer's END_STREAM followed")
            }
            (End::FinishedThenReset, false) => {
                f.write_str("; the peer ended the stream first, with END_STREAM, and reset it")?;
                write!(f, " after that (RST_STREAM, {code})")
            }
            (End::FinishedThenReset, true) => {
                f.write_str("; we ended the stream first, the peer's END_STREAM followed")?;
                write!(f, ", and then its RST_STREAM ({code})")
            }
            (End::Reset, false) => write!(f, "; the peer reset the stream (RST_STREAM, {code})"),
            (End::Reset, true) => {
                write!(f, "; we ended the stream first, the peer reset it (RST_STREAM, {code})")
            }
            (End::LetGo(LetGo::BothClosed), _) => {
                f.write_str("; we ended the stream, with END_STREAM and RST_STREAM (NO_ERROR)")
            }
            _ => self.write_end(f),
        }
    }

    /// How the connection below a stream ended, and the stream with it.
    fn write_end_of_connection(
        &self,
        f: &mut fmt::Formatter<'_>,
        http2: &Http2,
        end: End,
    ) -> fmt::Result {
        let goaway = |f: &mut fmt::Formatter<'_>| match http2.goaway {
            Some(code) => write!(f, " (after its GOAWAY, {code})"),
            None => Ok(()),
        };
        let with = match (end, self.transport.close_notify) {
            (End::Finished, Some(true)) => "with close_notify",
            (End::Finished, Some(false)) => "with a FIN, without close_notify",
            (End::Finished | End::FinishedThenReset, _) => "with a FIN",
            (End::Reset, _) => "with an RST",
            (End::Lost, _) => {
                f.write_str(" the operating system gave up on the peer's HTTP/2 connection")?;
                return goaway(f);
            }
            (End::Unknown, _) => {
                f.write_str(" its HTTP/2 connection failed, and how the peer ended is not known")?;
                return goaway(f);
            }
            (End::LetGo(why), _) => {
                write!(f, " we let go of its HTTP/2 connection {why}")?;
                return goaway(f);
            }
        };
        write!(f, " the peer ended its HTTP/2 connection {with}")?;
        goaway(f)
    }

    fn write_truncation(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.truncation {
            _ if matches!(self.cause, Cause::Violation(_) | Cause::Handshake(_)) => Ok(()),
            Truncation::BetweenMessages => Ok(()),
            Truncation::MidMessage => f.write_str(", between the fragments of a message"),
            Truncation::MidFrame => f.write_str(", in the middle of a frame"),
        }
    }

    fn write_error(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, &self.cause) {
            // The cause says it already.
            (Some(error), Cause::Handshake(HandshakeError::Tls(said))) if error == said => Ok(()),
            (Some(error), _) => write!(f, "; the error: {error}"),
            (None, _) => Ok(()),
        }
    }

    fn write_unsent(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unsent = &self.unsent;
        match unsent.messages {
            0 if unsent.bytes == 0 => {}
            0 => write!(f, "; {} bytes of ours never left", unsent.bytes)?,
            1 => write!(f, "; 1 message of ours ({} bytes) never left", unsent.bytes)?,
            n => write!(f, "; {n} messages of ours ({} bytes) never left", unsent.bytes)?,
        }
        match unsent.unacknowledged {
            None | Some(0) => Ok(()),
            Some(n) => write!(f, "; {n} bytes left but were never acknowledged"),
        }
    }
}

/// A Close frame.
struct Said<'a>(&'a Close);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.code() {
            None => f.write_str("an empty Close"),
            Some(_) => write!(f, "Close {}", self.0),
        }
    }
}

/// A duration as people say it.
struct Length(Duration);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds % 3600 / 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::HandshakeError;

    #[test]
    fn of_a_request_that_an_http_library_had_no_failed_transport_is_told() {
        for error in [HandshakeError::Refused(401), HandshakeError::NotUpgraded] {
            let ending = Ending::never_opened(error, Duration::ZERO, None).to_string();
            assert!(ending.contains("; what became of the peer is not known; "), "{ending}");
            assert!(!ending.contains("failed"), "{ending}");
        }
    }
}
