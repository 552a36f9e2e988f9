//! A connection without a socket: what the tests of bad input feed.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::IoSlice;
use std::time::Instant;

use adieu_proto::{Connection, Event, Output, Scratch, TransportEvent};

/// A connection with its scratch and its time.
pub(crate) struct Bare {
    pub(crate) connection: Connection,
    pub(crate) scratch: Scratch,
    pub(crate) now: Instant,
}

impl Bare {
    pub(crate) fn new(connection: Connection, now: Instant) -> Self {
        Bare { connection, scratch: Scratch::default(), now }
    }

    /// Receives bytes of the peer.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let buffer = self.connection.read_buffer(&mut self.scratch);
            let n = rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            self.connection.received(self.now, n, &mut self.scratch);
            rest = &rest[n..];
        }
    }

    /// All that waits to leave.
    pub(crate) fn waiting(&self) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = self.connection.slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    /// Lets leave what waits.
    pub(crate) fn transmit(&mut self) -> Vec<u8> {
        let bytes = self.waiting();
        let event = TransportEvent::Transmitted { bytes: bytes.len(), held: false };
        self.connection.handle_transport(self.now, event, &mut self.scratch);
        bytes
    }

    /// All output as bytes, and all events.
    pub(crate) fn drain(&mut self) -> (Vec<u8>, Vec<Event>) {
        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        loop {
            match self.connection.poll_output(&mut self.scratch) {
                Output::Event(event) => events.push(event),
                Output::Transmit => bytes.extend(self.transmit()),
                Output::Timeout(_) => return (bytes, events),
                _ => {}
            }
        }
    }

    pub(crate) fn queued(&self) -> u64 {
        self.connection.status().queued()
    }
}
