//! The frames of an open connection: what is read, what is queued.

use std::time::Instant;

use super::prepared::opcode;
use super::{Connection, Outbound, Prepared};
use crate::close::{Close, Input, State};
use crate::config::defaults::MAX_PINGS;
use crate::error::UsageError;
#[cfg(feature = "legacy")]
use crate::frame::hixie;
use crate::frame::{Opcode, Received, Violation, hybi};
use crate::lanes::OWN_BUFFER;
use crate::message::Message;
use crate::outgoing::Framing;
use crate::output::{Event, Output};
use crate::scratch::{Messages, Scratch};
use crate::version::Version;

#[inline(always)]
pub(super) fn deliver(message: Message, messages: &mut Messages) {
    messages.get_or_insert_default().push_back(message);
}

impl Connection {
    /// Queues a message. A large payload is shared, a small one copied.
    ///
    /// # Errors
    /// [`UsageError::NotOpen`] before the handshake is complete, [`UsageError::Closed`] once the
    /// connection is closing, [`UsageError::NoBinary`] for bytes in a version that has none.
    #[inline]
    pub fn send<'a>(
        &mut self,
        outbound: impl Into<Outbound<'a>>,
        scratch: &mut Scratch,
    ) -> Result<(), UsageError> {
        match outbound.into() {
            Outbound::Message(message) => self.send_message(message, scratch),
            Outbound::Prepared(prepared) => self.send_prepared(prepared, scratch),
            #[cfg(feature = "deflate")]
            Outbound::Uncompressed(message) => self.send_uncompressed(message, scratch),
        }
    }

    fn send_message(&mut self, message: &Message, scratch: &mut Scratch) -> Result<(), UsageError> {
        // One look tells the usual way, which costs nothing of the others.
        if self.outgoing.framing != Framing::Hybi || !self.machine.may_send() {
            return self.send_otherwise(message, scratch);
        }
        self.send_plain(message, scratch)
    }

    #[inline(never)]
    fn send_otherwise(
        &mut self,
        message: &Message,
        scratch: &mut Scratch,
    ) -> Result<(), UsageError> {
        if !self.machine.may_send() {
            let connecting = self.machine.state() == State::Connecting;
            return Err(if connecting { UsageError::NotOpen } else { UsageError::Closed });
        }
        match self.outgoing.framing {
            Framing::Hybi => self.send_plain(message, scratch),
            #[cfg(feature = "legacy")]
            Framing::Hixie => self.send_hixie(message, scratch),
            #[cfg(feature = "deflate")]
            Framing::Deflate => {
                self.send_deflate(message, true, scratch);
                Ok(())
            }
        }
    }

    fn send_prepared(
        &mut self,
        prepared: &Prepared,
        scratch: &mut Scratch,
    ) -> Result<(), UsageError> {
        // A client masks each frame anew (§5.3), and hixie has frames of its own.
        if self.seed.is_some() || self.outgoing.framing != Framing::Hybi || !self.machine.may_send()
        {
            #[cfg(feature = "deflate")]
            if self.send_prepared_compressed(prepared, scratch) {
                return Ok(());
            }
            return self.send_message(prepared.message(), scratch);
        }
        self.outgoing.payload(prepared.frame(), scratch);
        self.outgoing.message_ends();
        Ok(())
    }

    #[cfg(feature = "legacy")]
    fn send_hixie(&mut self, message: &Message, scratch: &mut Scratch) -> Result<(), UsageError> {
        let Message::Text(text) = message else {
            return Err(UsageError::NoBinary(self.machine.version()));
        };
        self.outgoing.append(scratch, |out| hixie::write_text(out, text.as_bytes()));
        self.outgoing.message_ends();
        Ok(())
    }

    /// Queues a message as it is, in a frame of RFC 6455. This cannot fail: the result is that of
    /// [`send`](Self::send), which ends with this most often.
    pub(super) fn send_plain(
        &mut self,
        message: &Message,
        scratch: &mut Scratch,
    ) -> Result<(), UsageError> {
        let opcode = opcode(message);
        let payload = message.as_bytes();
        match &mut self.seed {
            None if payload.len() < OWN_BUFFER => {
                self.outgoing.append(scratch, |out| hybi::write_frame(out, opcode, payload, None));
            }
            None => {
                let len = payload.len();
                let header = |out: &mut Vec<u8>| hybi::write_header(out, true, opcode, len, None);
                self.outgoing.append_large(message.clone().into_bytes(), scratch, header);
            }
            Some(seed) => {
                let mask = Some(seed.mask());
                self.outgoing.append(scratch, |out| hybi::write_frame(out, opcode, payload, mask));
            }
        }
        self.outgoing.message_ends();
        Ok(())
    }

    /// Bytes of the peer on an open connection. Nothing is kept of a message that nobody will read:
    /// the peer may send as much as it likes until it has heard of our Close.
    pub(super) fn read_frames(&mut self, now: Instant, input: &mut [u8], scratch: &mut Scratch) {
        let mut input = input;
        let limit = self.config.max_message;
        while self.machine.parses() && !input.is_empty() {
            let delivers = self.machine.delivers();
            let messages = &mut scratch.messages;
            let whole = self.reader.whole_messages(&mut input, limit, |message| {
                if delivers {
                    deliver(message, messages);
                }
            });
            match whole {
                Ok(()) if input.is_empty() => return,
                Ok(()) => {}
                Err(error) => return self.violated(now, error.into(), scratch),
            }
            #[cfg(feature = "deflate")]
            if self.outgoing.framing == Framing::Deflate
                && self.read_compressed(now, &mut input, scratch)
            {
                continue;
            }
            match self.reader.next(&mut input, limit, scratch.pool.as_ref()) {
                Ok(Some(received)) => self.read_one(now, received, scratch),
                Ok(None) if delivers => return,
                Ok(None) => return self.reader.discard(),
                Err(violation) => self.violated(now, violation, scratch),
            }
        }
    }

    /// So many bytes stand in the room of the message under way.
    pub(super) fn read_payload(&mut self, now: Instant, n: usize, scratch: &mut Scratch) {
        match self.reader.filled(n, scratch.pool.as_ref()) {
            Ok(Some(received)) => self.read_one(now, received, scratch),
            Ok(None) if self.machine.delivers() => {}
            Ok(None) => self.reader.discard(),
            Err(violation) => self.violated(now, violation, scratch),
        }
    }

    pub(super) fn violated(&mut self, now: Instant, violation: Violation, scratch: &mut Scratch) {
        let Violation { error, said } = violation;
        self.advance(now, Input::Violation { error, said }, scratch);
    }

    fn read_one(&mut self, now: Instant, received: Received, scratch: &mut Scratch) {
        match received {
            Received::Message(message) if self.machine.delivers() => {
                deliver(message, &mut scratch.messages);
            }
            Received::Message(_) => {}
            #[cfg(feature = "deflate")]
            Received::Compressed(text, payload) => self.inflate(now, text, &payload, scratch),
            Received::Pong(payload) => self.pong(&payload, scratch),
            Received::Ping(payload) => self.answer_ping(&payload, scratch),
            // hixie-75 has no closing handshake: its FF 00 is an empty frame, skipped like others.
            Received::Close(_) if self.machine.version() == Version::Hixie75 => {}
            Received::Close(close) => self.advance(now, Input::PeerClose(close), scratch),
        }
    }

    /// Our Pong leaves at the next frame boundary (§5.5.2, §5.5.3), but never behind our Close.
    fn answer_ping(&mut self, payload: &[u8], scratch: &mut Scratch) {
        if self.machine.answers_pings() && self.outgoing.takes_control() {
            let mask = self.mask();
            self.outgoing.pong(payload, mask, scratch);
        }
    }

    /// Queues a Ping and gives its number. [`Event::Pong`] tells that it is answered. It leaves at
    /// the next frame boundary, before data that waits.
    ///
    /// # Errors
    /// [`UsageError::NotOpen`] before the handshake is complete, [`UsageError::Closed`] once the
    /// connection is closing or the peer has ended, [`UsageError::NoPing`] in a version that has
    /// none, whether the connection is open or over, [`UsageError::TooManyPings`] while
    /// [`MAX_PINGS`](crate::defaults::MAX_PINGS) wait for their Pong.
    pub fn ping(&mut self, scratch: &mut Scratch) -> Result<u64, UsageError> {
        match self.machine.state() {
            State::Connecting => return Err(UsageError::NotOpen),
            // This never changes, so it is told whether the connection has ended meanwhile or not.
            _ if self.machine.version().is_hixie() => {
                return Err(UsageError::NoPing(self.machine.version()));
            }
            State::Open => {}
            _ => return Err(UsageError::Closed),
        }
        let number = self.rare.get_or_insert_default().pings.next();
        let number = number.ok_or(UsageError::TooManyPings(MAX_PINGS))?;
        let mask = self.mask();
        self.outgoing.ping_with(&number.to_be_bytes(), mask, scratch);
        Ok(number)
    }

    fn pong(&mut self, payload: &[u8], scratch: &mut Scratch) {
        let answered = self.rare.as_mut().and_then(|rare| rare.pings.pong(payload));
        if let Some(number) = answered {
            self.push(Output::Event(Event::Pong(number)), scratch);
        }
    }

    /// The mask of the next frame, as a client.
    pub(super) fn mask(&mut self) -> Option<[u8; 4]> {
        self.seed.as_mut().map(|seed| seed.mask())
    }

    pub(super) fn queue_close(&mut self, close: &Close, scratch: &mut Scratch) {
        #[cfg(feature = "legacy")]
        if self.machine.version().is_hixie() {
            return self.outgoing.close(scratch, |out| out.extend_from_slice(&hixie::CLOSE));
        }
        #[cfg(feature = "deflate")]
        self.give_up_compression(scratch);
        let mut body = Vec::with_capacity(2 + close.reason().len());
        if let Some(code) = close.code() {
            body.extend_from_slice(&code.get().to_be_bytes());
            body.extend_from_slice(close.reason().as_bytes());
        }
        let mask = self.mask();
        let write = |out: &mut Vec<u8>| hybi::write_frame(out, Opcode::Close, &body, mask);
        self.outgoing.close(scratch, write);
    }
}
