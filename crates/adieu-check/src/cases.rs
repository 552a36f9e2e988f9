//! What is counted over: `conformance/cases.json`, of which this crate carries a copy (a test
//! compares the two).

use serde::Deserialize;

const JSON: &str = include_str!("cases.json");

/// The cases that a client from outside can check.
#[derive(Deserialize)]
pub(crate) struct Cases {
    pub(crate) violations: Vec<Violation>,
    pub(crate) in_flight: InFlight,
    pub(crate) upload: Upload,
    pub(crate) backlog: Backlog,
    pub(crate) shutdown: Shutdown,
    pub(crate) refresh_race: Times,
    pub(crate) reconnects: Times,
}

/// A client's breach of the protocol, and the code that it must be told.
#[derive(Deserialize)]
pub(crate) struct Violation {
    pub(crate) name: String,
    /// Hexadecimal, with blanks.
    bytes: String,
    /// Bytes of zero behind them.
    #[serde(default)]
    zeros: usize,
    pub(crate) code: u16,
}

#[derive(Deserialize)]
pub(crate) struct InFlight {
    pub(crate) bytes: usize,
}

#[derive(Deserialize)]
pub(crate) struct Upload {
    pub(crate) clients: usize,
}

#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Backlog {
    pub(crate) clients: usize,
    pub(crate) queued_bytes: usize,
    pub(crate) read_bytes_per_second: u32,
}

#[derive(Deserialize)]
pub(crate) struct Times {
    pub(crate) times: usize,
}

#[derive(Deserialize)]
pub(crate) struct Shutdown {
    pub(crate) code: u16,
    pub(crate) idle: Idle,
    pub(crate) busy: Busy,
    pub(crate) mixed: Mixed,
    pub(crate) very_slow: VerySlow,
}

#[derive(Deserialize)]
pub(crate) struct Idle {
    pub(crate) clients: usize,
}

#[derive(Deserialize)]
pub(crate) struct Busy {
    pub(crate) ping_pong: usize,
    pub(crate) batch: usize,
    pub(crate) batch_messages: usize,
}

#[derive(Deserialize)]
pub(crate) struct Mixed {
    pub(crate) busy: usize,
    pub(crate) batch: usize,
    pub(crate) slow: usize,
    pub(crate) frozen: usize,
    pub(crate) slow_receive_buffer: u32,
    pub(crate) slow_read: usize,
    pub(crate) slow_bytes_per_second: u32,
    pub(crate) slow_queued_bytes: usize,
    pub(crate) exit_seconds_below: f64,
}

#[derive(Deserialize)]
pub(crate) struct VerySlow {
    pub(crate) clients: usize,
    pub(crate) slow_bytes_per_second: u32,
    pub(crate) slow_queued_bytes: usize,
}

impl Cases {
    /// The cases that came with this program.
    pub(crate) fn load() -> Self {
        serde_json::from_str(JSON).unwrap_or_else(|error| unreachable!("cases.json: {error}"))
    }
}

impl Violation {
    /// What the client writes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let digits: Vec<u8> = self.bytes.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            u8::from_str_radix(pair, 16).unwrap_or_default()
        };
        let mut bytes: Vec<u8> = digits.chunks_exact(2).map(byte).collect();
        bytes.resize(bytes.len() + self.zeros, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_are_those_of_the_repository() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/cases.json");
        // A published crate stands alone.
        if let Ok(kept) = std::fs::read_to_string(file) {
            assert!(
                kept == JSON,
                "copy conformance/cases.json to crates/adieu-check/src/cases.json"
            );
        }
    }

    #[test]
    fn the_bytes_are_read_as_they_are_written() {
        let cases = Cases::load();
        assert_eq!(cases.violations.len(), 15);
        let named = |name: &str| cases.violations.iter().find(|case| case.name == name).unwrap();
        assert_eq!(named("unmasked frame").bytes(), b"\x81\x05hello");
        let ping = named("Ping of 126 bytes").bytes();
        assert_eq!((&ping[..4], ping.len()), (&b"\x89\xfe\x00\x7e"[..], 4 + 4 + 126));
    }
}
