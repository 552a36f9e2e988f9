//! Waiting for a condition, never for a while.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often a condition is looked at. Short against everything measured here, long against the
/// cost of one look.
const POLL: Duration = Duration::from_millis(20);

/// Asks `probe` until it has an answer, and gives up after `limit`.
///
/// # Errors
/// What `probe` fails with, or [`Error::Timeout`] with `what`.
pub fn wait_for<T>(
    what: impl fmt::Display,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(Error::Timeout { waiting_for: what.to_string(), limit });
        }
        thread::sleep(POLL);
    }
}

/// A stream whose reads and writes all end at one deadline.
pub(crate) struct Timed<'a> {
    /// What is read from.
    pub(crate) stream: &'a TcpStream,
    /// When reading and writing fail.
    pub(crate) deadline: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// Linux calls a time-out of a socket by another name.
fn named(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer).map_err(named)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_soon_as_the_condition_holds() {
        let mut left = 3;
        let found = wait_for("three looks", Duration::from_secs(10), || {
            left -= 1;
            Ok((left == 0).then_some("there"))
        });
        assert_eq!(found.unwrap(), "there");
    }

    #[test]
    fn says_what_it_waited_for() {
        let never = wait_for("the end", Duration::ZERO, || Ok(None::<()>));
        assert_eq!(never.unwrap_err().to_string(), "waited 0.0 s in vain for the end");
    }
}
