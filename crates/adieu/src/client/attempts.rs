//! What came of the addresses of a name, for an error that names each.

use std::net::SocketAddr;
use std::{fmt, io};

/// The attempts to connect, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Attempts(Vec<(SocketAddr, Outcome)>);

#[derive(Debug)]
enum Outcome {
    /// Nothing has come of it so far.
    NoAnswer,
    Failed(io::Error),
    /// The deadline passed before its turn.
    NotTried,
}

impl Attempts {
    pub(super) fn begun(&mut self, address: SocketAddr) {
        self.0.push((address, Outcome::NoAnswer));
    }

    pub(super) fn failed(&mut self, address: SocketAddr, error: io::Error) {
        if let Some((_, outcome)) = self.0.iter_mut().find(|(begun, _)| *begun == address) {
            *outcome = Outcome::Failed(error);
        }
    }

    pub(super) fn not_begun(&mut self, addresses: impl Iterator<Item = SocketAddr>) {
        self.0.extend(addresses.map(|address| (address, Outcome::NotTried)));
    }

    /// The error of the last address that has one.
    fn last_error(&self) -> Option<&io::Error> {
        self.0.iter().rev().find_map(|(_, outcome)| match outcome {
            Outcome::Failed(error) => Some(error),
            Outcome::NoAnswer | Outcome::NotTried => None,
        })
    }
}

impl From<Attempts> for io::Error {
    fn from(attempts: Attempts) -> Self {
        let kind = attempts.last_error().map_or(io::ErrorKind::Other, io::Error::kind);
        io::Error::new(kind, attempts)
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (address, outcome)) in self.0.iter().enumerate() {
            let and = if i == 0 { "" } else { "; " };
            write!(f, "{and}{address}: {outcome}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::NoAnswer => f.write_str("no answer"),
            Outcome::Failed(error) => error.fmt(f),
            Outcome::NotTried => f.write_str("not tried"),
        }
    }
}

impl std::error::Error for Attempts {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.last_error().map(|error| error as _)
    }
}
