//! A server's connection that compresses, driven by hand.

use std::io::IoSlice;
use std::time::Instant;

use adieu_proto::{
    Cause, Command, Connection, Ending, Event, Message, Output, PeerEnd, ProtocolError, Scratch,
    TransportEvent, TransportKind,
};

/// One connection, and what came out of it.
pub struct Driven {
    pub connection: Connection,
    pub now: Instant,
    /// What the peer has said.
    pub messages: Vec<Message>,
    /// What we have sent.
    pub wire: Vec<u8>,
    ending: Option<Ending>,
}

impl Driven {
    /// Drives this.
    #[must_use]
    pub fn new(connection: Connection, now: Instant) -> Self {
        Driven { connection, now, messages: Vec::new(), wire: Vec::new(), ending: None }
    }

    /// Does what it asks for.
    pub fn outputs(&mut self, scratch: &mut Scratch) {
        loop {
            self.messages.extend(scratch.messages.take().into_iter().flat_map(|all| *all));
            let event = match self.connection.poll_output(scratch) {
                Output::Event(Event::Ended(ending)) => {
                    self.ending = Some(*ending);
                    continue;
                }
                Output::Event(_) | Output::Finish => continue,
                Output::Transmit => self.transmit(),
                Output::Disconnect => TransportEvent::Released {
                    kind: TransportKind::Tcp,
                    unacknowledged: None,
                    close_notify: None,
                },
                _ => return,
            };
            self.connection.handle_transport(self.now, event, scratch);
            scratch.drop_payloads();
        }
    }

    fn transmit(&mut self) -> TransportEvent {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = self.connection.slices(&mut slices);
        let before = self.wire.len();
        slices[..filled].iter().for_each(|slice| self.wire.extend_from_slice(slice));
        TransportEvent::Transmitted { bytes: self.wire.len() - before, held: false }
    }

    /// Works until nothing waits.
    pub fn pump(&mut self, scratch: &mut Scratch) {
        self.outputs(scratch);
        while self.connection.status().has_work() {
            self.connection.go_on(self.now, scratch);
            self.outputs(scratch);
        }
    }

    /// Receives bytes in pieces of these sizes, over and over.
    pub fn receive(&mut self, bytes: &[u8], sizes: &[usize], scratch: &mut Scratch) {
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                return;
            }
            let buffer = self.connection.read_buffer(scratch);
            let n = rest.len().min(*size).min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            self.connection.received(self.now, n, scratch);
            self.pump(scratch);
        }
    }

    /// The peer ends; how it has broken the protocol, if it has.
    ///
    /// # Panics
    /// If the connection does not end.
    pub fn ends(&mut self, scratch: &mut Scratch) -> Option<ProtocolError> {
        let event = TransportEvent::PeerEnded(PeerEnd::Finished, None);
        self.connection.handle_transport(self.now, event, scratch);
        self.connection.command(self.now, Command::EndSeen, scratch);
        for _ in 0..16 {
            self.pump(scratch);
            match &self.ending {
                Some(Ending { cause: Cause::Violation(error), .. }) => return Some(*error),
                Some(_) => return None,
                None => {}
            }
            let at = self.connection.status().timeout().expect("a clock ends it");
            self.now = self.now.max(at);
            self.connection.handle_timeout(self.now, None, scratch);
        }
        panic!("it does not end");
    }
}

/// A frame of a client.
pub fn frame(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    match payload.len() {
        0..126 => out.push(0x80 | payload.len() as u8),
        126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend((payload.len() as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    let key = [0x37, 0xFA, 0x21, 0x3D];
    out.extend(key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// The frames of a server: first byte and payload of each.
///
/// # Panics
/// Where a frame is cut.
#[must_use]
pub fn frames(bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let (mut rest, mut all) = (bytes, Vec::new());
    while let [first, len, behind @ ..] = rest {
        let (len, at) = match len {
            126 => (usize::from(u16::from_be_bytes([behind[0], behind[1]])), 2),
            127 => (u64::from_be_bytes(behind[..8].try_into().expect("8 bytes")) as usize, 8),
            len => (usize::from(*len), 0),
        };
        all.push((*first, &behind[at..at + len]));
        rest = &behind[at + len..];
    }
    assert!(rest.is_empty(), "a frame is cut");
    all
}
