//! The frames of an open connection: what is read, what is queued.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::{Connection, Event, Output};
use crate::close::{Input, State};
use crate::code::Close;
use crate::config::defaults;
use crate::error::UsageError;
use crate::frame::{Opcode, Received, Violation, hixie, hybi};
use crate::handshake::Version;
use crate::message::Message;
use crate::outgoing::OWN_BUFFER;

/// A message encoded once, to be sent by many connections that share its bytes.
///
/// ```
/// let prepared = adieu_proto::Prepared::new("to all of you");
/// assert_eq!(prepared.message().as_text(), Some("to all of you"));
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    message: Message,
    /// As a server of RFC 6455 sends it.
    frame: Bytes,
}

impl Prepared {
    /// Encodes a message.
    #[must_use]
    pub fn new(message: impl Into<Message>) -> Self {
        let message = message.into();
        let mut frame = Vec::new();
        hybi::write_frame(&mut frame, opcode(&message), message.as_bytes(), None);
        Prepared { message, frame: frame.into() }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }
}

fn opcode(message: &Message) -> Opcode {
    match message {
        Message::Text(_) => Opcode::Text,
        Message::Binary(_) => Opcode::Binary,
    }
}

#[inline(always)]
fn deliver(
    message: Message,
    inbox: Option<&mut VecDeque<Message>>,
    outputs: &mut VecDeque<Output>,
) {
    match inbox {
        Some(inbox) => inbox.push_back(message),
        None => outputs.push_back(Output::Event(Event::Message(message))),
    }
}

impl Connection {
    /// Queues a message.
    ///
    /// # Errors
    /// [`UsageError::Closed`] or [`UsageError::NotOpen`] if nothing can be sent;
    /// [`UsageError::NoBinary`] for a hixie version.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), UsageError> {
        self.send_ref(&message.into())
    }

    /// The same, of a message that is only lent: a small one is copied, a large one shared.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_ref(&mut self, message: &Message) -> Result<(), UsageError> {
        if !self.machine.may_send() {
            let connecting = self.machine.state() == State::Connecting;
            return Err(if connecting { UsageError::NotOpen } else { UsageError::Closed });
        }
        if self.version.is_hixie() {
            let Message::Text(text) = message else {
                return Err(UsageError::NoBinary(self.version));
            };
            self.outgoing.append(|out| hixie::write_text(out, text.as_bytes()));
        } else {
            self.send_hybi(message);
        }
        self.outgoing.message_ends();
        Ok(())
    }

    /// Queues a message that was encoded before, for many connections.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), UsageError> {
        // A client masks each frame anew (§5.3), and hixie has frames of its own.
        if self.seed.is_some() || self.version.is_hixie() || !self.machine.may_send() {
            return self.send_ref(&prepared.message);
        }
        self.outgoing.payload(prepared.frame.clone());
        self.outgoing.message_ends();
        Ok(())
    }

    fn send_hybi(&mut self, message: &Message) {
        let opcode = opcode(message);
        match &mut self.seed {
            None if message.len() < OWN_BUFFER => {
                let payload = message.as_bytes();
                self.outgoing.append(|out| hybi::write_frame(out, opcode, payload, None));
            }
            None => {
                let len = message.len();
                self.outgoing.append(|out| hybi::write_header(out, true, opcode, len, None));
                self.outgoing.payload(message.clone().into_bytes());
            }
            Some(seed) => {
                let mask = Some(seed.mask());
                let payload = message.as_bytes();
                self.outgoing.append(|out| hybi::write_frame(out, opcode, payload, mask));
            }
        }
    }

    /// Messages go to `inbox`, or are outputs where there is none.
    pub(super) fn read_frames(
        &mut self,
        now: Instant,
        input: &mut [u8],
        inbox: Option<&mut VecDeque<Message>>,
    ) {
        let (mut input, mut inbox) = (input, inbox);
        let limit = self.config.max_message;
        while self.machine.parses() && !input.is_empty() {
            let delivers = self.machine.delivers();
            let outputs = &mut self.outputs;
            let whole = self.reader.whole_messages(&mut input, limit, |message| {
                if delivers {
                    deliver(message, inbox.as_deref_mut(), outputs);
                }
            });
            if let Err(error) = whole {
                return self.violated(now, error.into());
            }
            match self.reader.next(&mut input, limit, self.pool.as_ref()) {
                Ok(Some(received)) => self.received(now, received, inbox.as_deref_mut()),
                Ok(None) => return,
                Err(violation) => self.violated(now, violation),
            }
        }
    }

    /// So many bytes stand in the room of the message under way.
    pub(super) fn read_payload(&mut self, now: Instant, n: usize, inbox: &mut VecDeque<Message>) {
        match self.reader.filled(n, self.pool.as_ref()) {
            Ok(Some(received)) => self.received(now, received, Some(inbox)),
            Ok(None) => {}
            Err(violation) => self.violated(now, violation),
        }
    }

    fn violated(&mut self, now: Instant, violation: Violation) {
        let Violation { error, said } = violation;
        self.advance(now, Input::Violation { error, said });
    }

    fn received(
        &mut self,
        now: Instant,
        received: Received,
        inbox: Option<&mut VecDeque<Message>>,
    ) {
        match received {
            Received::Message(message) if self.machine.delivers() => {
                deliver(message, inbox, &mut self.outputs);
            }
            Received::Message(_) | Received::Pong => {}
            Received::Ping(payload) if self.outgoing.len() <= defaults::PONG_QUEUE as u64 => {
                self.control(Opcode::Pong, &payload);
            }
            Received::Ping(payload) => self.pong = Some(Box::new(payload)),
            // hixie-75 has no goodbye: its FF 00 is an empty frame, skipped like any other.
            Received::Close(_) if self.version == Version::Hixie75 => {}
            Received::Close(close) => self.advance(now, Input::PeerClose(close)),
        }
    }

    /// Queues a control frame, unless our Close is in the queue: nothing follows it (§5.5.1).
    pub(super) fn control(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.machine.may_send() {
            self.frame(opcode, payload);
        }
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let mask = self.seed.as_mut().map(|seed| seed.mask());
        self.outgoing.append(|out| hybi::write_frame(out, opcode, payload, mask));
    }

    pub(super) fn queue_close(&mut self, close: &Close) {
        if self.version.is_hixie() {
            return self.outgoing.append(|out| out.extend_from_slice(&hixie::CLOSE));
        }
        let mut body = Vec::with_capacity(2 + close.reason().len());
        if let Some(code) = close.code() {
            body.extend_from_slice(&code.get().to_be_bytes());
            body.extend_from_slice(close.reason().as_bytes());
        }
        self.frame(Opcode::Close, &body);
    }
}
