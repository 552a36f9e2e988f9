//! An [`Ending`] as one plain English sentence.

use std::fmt;
use std::time::Duration;

use crate::ending::{Cause, Cut, End, Ending, Goodbye, Side};

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_cause(f)?;
        self.write_goodbye(f)?;
        self.write_transport(f)?;
        match self.cut {
            _ if matches!(self.cause, Cause::Violation(_) | Cause::Handshake(_)) => {}
            Cut::BetweenMessages => {}
            Cut::MidMessage => f.write_str(", between the fragments of a message")?,
            Cut::MidFrame => f.write_str(", in the middle of a frame")?,
        }
        write!(f, ", after {}", Lasted(self.lasted))?;
        self.write_unsent(f)?;
        f.write_str(".")
    }
}

impl Ending {
    fn write_cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.cause, self.goodbye.received()) {
            (Cause::Application, _) => f.write_str("We ended it"),
            (Cause::Drain, _) => f.write_str("Our server is stopping"),
            (Cause::Dropped, _) => f.write_str("Our application dropped the connection"),
            (Cause::Panicked, _) => f.write_str("Our handler panicked"),
            (Cause::Peer, Some(theirs)) => write!(f, "The peer said goodbye with {theirs}"),
            (Cause::Peer, None) => f.write_str("The peer ended it"),
            (Cause::Violation(error), _) => write!(f, "The peer broke the protocol with {error}"),
            (Cause::Timeout(timer), _) => write!(f, "Our {timer} ran out"),
            (Cause::Eof, _) => f.write_str("The peer went without a goodbye"),
            (Cause::Reset, _) => f.write_str("The peer broke off without a goodbye"),
            (Cause::Unreachable, _) => f.write_str("The peer became unreachable"),
            (Cause::Handshake(error), _) => write!(f, "No WebSocket was opened: {error}"),
        }
    }

    fn write_goodbye(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_peer = self.cause == Cause::Peer;
        match &self.goodbye {
            Goodbye::None if matches!(self.cause, Cause::Eof | Cause::Reset) => Ok(()),
            Goodbye::None if matches!(self.cause, Cause::Handshake(_)) => Ok(()),
            Goodbye::None => f.write_str("; no goodbye was said"),
            Goodbye::Received { .. } if by_peer => f.write_str("; our answer never left"),
            Goodbye::Received { theirs } => {
                write!(f, "; ours never left, the peer said goodbye with {theirs}")
            }
            Goodbye::ReceivedThenSent { ours, .. } if by_peer => {
                write!(f, " and we answered with {ours}")
            }
            Goodbye::ReceivedThenSent { theirs, ours } => {
                write!(f, ": the peer said {theirs} and we answered with {ours}")
            }
            Goodbye::Sent { ours } => {
                write!(f, ": we said goodbye with {ours}, the peer did not answer")
            }
            Goodbye::SentThenReceived { ours, theirs } => {
                write!(f, ": we said goodbye with {ours}, the peer answered with {theirs}")
            }
        }
    }

    fn write_transport(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.transport.end, self.transport.first) {
            (End::Fin, Side::Peer) => f.write_str("; the peer ended TCP first, with a FIN"),
            (End::Fin, Side::Local) => f.write_str("; we ended TCP first, the peer's FIN followed"),
            (End::FinThenReset, Side::Peer) => {
                f.write_str("; the peer ended TCP first, with a FIN, and reset it after that")
            }
            (End::FinThenReset, Side::Local) => {
                f.write_str("; we ended TCP first, the peer's FIN and then its RST followed")
            }
            (End::Reset, Side::Peer) => f.write_str("; the peer reset TCP (RST)"),
            (End::Reset, Side::Local) => {
                f.write_str("; we ended TCP first, the peer reset it (RST)")
            }
            (End::TimedOut, _) => f.write_str("; the operating system gave up on the peer"),
            (End::Abandoned(timer), _) => {
                write!(f, "; the peer never ended TCP, we let go when the {timer} ran out")
            }
        }?;
        match self.transport.close_notify {
            Some(false) if self.transport.end == End::Fin => f.write_str(" (without close_notify)"),
            Some(true) => f.write_str(" (close_notify came)"),
            _ => Ok(()),
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

/// A duration as people say it.
struct Lasted(Duration);

impl fmt::Display for Lasted {
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
