//! What is told of an ending, without what differs from run to run.

use std::error::Error;
use std::io;

use adieu::{Cause, ClosingHandshake, End, Ending, Transport, TransportKind, Truncation};

use crate::over::Over;
use crate::ways::Way;
use crate::words::without_durations;

/// The account of one way over one transport.
pub(crate) struct Told {
    pub(crate) way: Way,
    pub(crate) name: &'static str,
    pub(crate) ending: Ending,
    /// Whether our Close came to the peer; `None` of a peer that was gone by then.
    pub(crate) heard_close: Option<bool>,
}

/// What programs compare.
#[derive(Debug, PartialEq)]
struct Report<'e> {
    cause: &'e Cause,
    closing_handshake: &'e ClosingHandshake,
    transport: Transport,
    truncation: Truncation,
    draining: bool,
    error: Option<String>,
    /// Something of ours never left.
    lost: bool,
}

impl Told {
    fn report(&self) -> Report<'_> {
        let ending = &self.ending;
        Report {
            cause: &ending.cause,
            closing_handshake: &ending.closing_handshake,
            transport: ending.transport,
            truncation: ending.truncation,
            draining: ending.draining,
            error: ending.error.as_ref().map(ToString::to_string),
            lost: ending.unsent.bytes > 0,
        }
    }

    /// What people read, its durations and its counts masked.
    pub(crate) fn sentence(&self) -> String {
        without_counts(&without_durations(&self.ending.to_string()))
    }

    /// Whether our Close is told as sent though it never came, or as not sent though it came.
    pub(crate) fn is_wrong_of_our_close(&self) -> bool {
        let told = self.ending.closing_handshake.sent().is_some();
        self.heard_close.is_some_and(|heard| heard != told)
    }

    /// In what programs could tell it from another: nothing, or what it is.
    pub(crate) fn same_report(&self, other: &Self) -> bool {
        self.report() == other.report()
    }

    /// What is told that cannot be known over this transport.
    pub(crate) fn claims_too_much(&self, over: Over) -> Option<&'static str> {
        let Ending { transport, unsent, round_trip, .. } = &self.ending;
        if transport.kind != TransportKind::Stream {
            return None;
        }
        let words = self.words_of_ours();
        let says = |them: &[&str]| them.iter().any(|word| words.contains(word));
        match transport.end {
            _ if says(&["TCP", "FIN", "RST"]) => Some("words of TCP"),
            _ if over != Over::ForeignTls && says(&["TLS", "close_notify"]) => Some("words of TLS"),
            _ if round_trip.is_some() || unsent.unacknowledged.is_some() => {
                Some("what the kernel knows of TCP")
            }
            End::FinishedThenReset => Some("an RST behind an end"),
            End::Reset if !self.was_reset() => Some("a reset, and no ECONNRESET explains it"),
            _ if transport.end != End::Reset && self.was_reset() => {
                Some("another end than the reset that was met")
            }
            _ => None,
        }
    }

    /// The sentence without the words of the error that is told in it.
    fn words_of_ours(&self) -> String {
        let sentence = self.ending.to_string();
        match &self.ending.error {
            Some(error) => sentence.replace(&error.to_string(), "…"),
            None => sentence,
        }
    }

    /// Whether the error that explains the ending is an ECONNRESET.
    fn was_reset(&self) -> bool {
        let source = self.ending.error.as_ref().and_then(|error| error.source());
        let error = source.and_then(|source| source.downcast_ref::<io::Error>());
        error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    }
}

/// Replaces each count of messages or bytes by "…".
fn without_counts(sentence: &str) -> String {
    let words: Vec<_> = sentence.split(' ').collect();
    let counts = |i: usize| {
        let number = words[i].trim_start_matches('(').parse::<u64>().is_ok();
        let counted = words.get(i + 1).copied().unwrap_or_default();
        number && (counted.starts_with("byte") || counted.starts_with("message"))
    };
    let masked = (0..words.len()).map(|i| match words[i] {
        word if !counts(i) => word,
        word if word.starts_with('(') => "(…",
        _ => "…",
    });
    masked.collect::<Vec<_>>().join(" ")
}
