//! permessage-deflate (RFC 7692): what the server agrees on, whether it understands compressed
//! messages, what it does with wrong ones and with one that unpacks to far more than it is.

mod agreement;
mod bomb;
mod connection;
mod errors;
mod messages;
mod offers;
mod zip;

use std::time::Duration;

pub(crate) use self::bomb::{BOMB, bomb};
pub(crate) use self::errors::{CUT, ERRORS, cut, errors};
pub(crate) use self::messages::{MESSAGES, messages};
pub(crate) use self::offers::{OFFERS, offers};

use super::report::{About, Finding};
use super::target::Target;

/// A server that has not answered by then does not answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Cases that are named in the table.
const SHOWN: usize = 4;

/// Why compressed messages are sent to this server, or are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// It is on this machine, or its owner says that it is theirs.
    Given,
    /// It is on another machine, and nobody says whose it is.
    Missing,
}

impl Consent {
    /// `mine` is the option of the command line.
    pub(crate) fn new(target: &Target, mine: bool) -> Self {
        if mine || target.is_local() { Consent::Given } else { Consent::Missing }
    }
}

/// The finding of a check that cannot be made.
fn obstacle(about: About, consent: Consent) -> Option<Finding> {
    let why = "the server is on another machine: say --mine if it is yours";
    (consent == Consent::Missing).then(|| about.skipped(why))
}

/// The finding about a server that does not compress.
fn none_agreed(about: About) -> Finding {
    about.skipped("the server does not agree on compression")
}

/// The first cases that fell short; the report for machines has them all.
fn listed(others: &[String]) -> Option<String> {
    let first = others.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    match others.len().saturating_sub(SHOWN) {
        _ if others.is_empty() => None,
        0 => Some(format!("{first}.")),
        more => Some(format!("{first}; and {more} more (--json lists them).")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_elsewhere_gets_compressed_messages_only_if_it_is_said_to_be_mine() {
        for (url, mine, consent) in [
            ("ws://127.0.0.1:9001/", false, Consent::Given),
            ("ws://[::1]:9001/", false, Consent::Given),
            // An address of documentation (RFC 5737): nothing is connected to it here.
            ("ws://192.0.2.1:9001/", false, Consent::Missing),
            ("ws://192.0.2.1:9001/", true, Consent::Given),
        ] {
            let target = Target::new(url, None, false, false).await.unwrap();
            assert_eq!(Consent::new(&target, mine), consent, "{url} {mine}");
            // No connection is even tried without it.
            if consent == Consent::Missing {
                for finding in [
                    messages(
                        &target,
                        crate::probe::Abilities { echo: true, convention: true },
                        consent,
                    )
                    .await,
                    errors(&target, consent).await,
                    cut(&target, consent).await,
                    bomb(&target, consent).await,
                ] {
                    assert!(finding.summary.contains("--mine"), "{}", finding.summary);
                }
            }
        }
    }
}
