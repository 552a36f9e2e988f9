//! Echo in an open loop: messages leave when they are due, whether or not others came back, and
//! each is timed from when it was due.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crate::load::dial::{PATIENCE, wrong};
use crate::load::echo::Echo;

/// Sends `rate` messages a second for so long, on all connections in turn; gives how long each
/// took, sorted.
///
/// # Errors
/// If a connection ends, or not everything comes back.
pub fn run(echo: &mut Echo, rate: u32, length: Duration) -> io::Result<Vec<Duration>> {
    let count = (f64::from(rate) * length.as_secs_f64()) as u32;
    let mut due: Vec<VecDeque<Instant>> = vec![VecDeque::new(); echo.connections()];
    let mut took = Vec::with_capacity(count as usize);
    let began = Instant::now();
    let mut sent = 0;
    while took.len() < count as usize {
        let now = Instant::now();
        while sent < count {
            let at = began + Duration::from_secs(1) * sent / rate;
            if at > now {
                break;
            }
            let conn = sent as usize % due.len();
            due[conn].push_back(at);
            echo.send(conn, 1)?;
            sent += 1;
        }
        // No sleep: it would be longer than what is measured.
        for event in 0..echo.wait(Some(Duration::ZERO))? {
            let (conn, n) = echo.on_event(event)?;
            let now = Instant::now();
            took.extend(due[conn].drain(..n).map(|due| now - due));
        }
        if now - began > length + PATIENCE {
            return Err(wrong(format!("{} of {count} messages came back", took.len())));
        }
    }
    took.sort_unstable();
    Ok(took)
}

/// The time within which this share of the messages came back.
#[must_use]
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted[at.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let sorted: Vec<Duration> = (1..=100).map(Duration::from_micros).collect();
        assert_eq!(percentile(&sorted, 0.5), Duration::from_micros(50));
        assert_eq!(percentile(&sorted, 0.99), Duration::from_micros(99));
        assert_eq!(percentile(&sorted[..1], 0.99), Duration::from_micros(1));
    }
}
