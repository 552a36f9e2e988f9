//! The frames of a connection that compresses (RFC 7692 §6), and the work on large messages, which
//! goes on when the other connections of the thread have had their turn.

use std::time::Instant;

use super::frames::deliver;
use super::prepared::opcode;
use super::rare::HasDeflate;
use super::{Connection, Prepared};
use crate::close::Truncation;
use crate::deflate::{Budget, Contexts, Inflated, PerMessageDeflate, STEP, State};
use crate::error::UsageError;
use crate::frame::hybi;
use crate::lanes::OWN_BUFFER;
use crate::message::{Message, in_one_frame};
use crate::outgoing::Framing;
use crate::scratch::Scratch;

/// Lends the contexts of the scratch.
fn with_contexts<T>(scratch: &mut Scratch, work: impl FnOnce(&mut Contexts) -> T) -> T {
    let mut contexts = scratch.contexts.take().unwrap_or_default();
    let result = work(&mut contexts);
    scratch.contexts = Some(contexts);
    result
}

impl Connection {
    /// This was agreed on.
    pub(super) fn compresses(&mut self, now: Instant, agreed: PerMessageDeflate) {
        let is_server = self.seed.is_none();
        let options = self.config.deflate.clone().unwrap_or_default();
        self.rare.set_deflate(State::new(agreed, &options, is_server, now));
        self.outgoing.framing = Framing::Deflate;
        self.reader.compresses();
    }

    /// Queues a message as it is, whatever was agreed on: a secret beside text that a stranger
    /// chooses. Later messages do not refer to it.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub fn send_uncompressed(
        &mut self,
        message: &Message,
        scratch: &mut Scratch,
    ) -> Result<(), UsageError> {
        if self.outgoing.framing != Framing::Deflate || !self.machine.may_send() {
            return self.send(message, scratch);
        }
        self.send_deflate(message, false, scratch);
        Ok(())
    }

    /// Does the next piece of work on large messages that are compressed, 64 KiB at most in each
    /// direction: [`Status::has_work`](crate::Status::has_work) tells whether there is any.
    /// Messages that it completes are in [`Scratch::messages`] after this.
    pub fn go_on(&mut self, now: Instant, scratch: &mut Scratch) {
        self.go_on_sending(scratch);
        if let Some(deflate) = self.rare.deflate_mut() {
            deflate.renew_budget(now);
            self.inflate_on(now, scratch);
        }
    }

    /// The same for messages that are sent, alone: nothing more comes of what the peer has sent.
    /// For a driver whose application has as many messages as may wait for it: a few bytes of the
    /// peer may become many messages. [`Status::has_work_to_send`](crate::Status::has_work_to_send)
    /// tells whether there is any.
    pub fn go_on_sending(&mut self, scratch: &mut Scratch) {
        self.compress_on(scratch);
    }

    // Sending.

    #[inline(never)]
    pub(super) fn send_deflate(
        &mut self,
        message: &Message,
        compress: bool,
        scratch: &mut Scratch,
    ) {
        let Some(deflate) = self.rare.deflate_mut() else { return };
        let compress = compress && deflate.wants(message);
        if deflate.has_jobs() || (compress && message.len() > STEP) {
            let is_first = !deflate.has_jobs();
            deflate.push_job(message.clone(), compress);
            self.outgoing.announce(message.len(), scratch);
            if is_first {
                self.compress_on(scratch);
            }
            return;
        }
        let mut contexts = scratch.contexts.take().unwrap_or_default();
        let packed = match compress {
            true => deflate.compress(message.as_bytes(), &mut contexts),
            false => None,
        };
        match packed {
            Some(packed) => {
                let (opcode, mask) = (opcode(message), self.seed.as_mut().map(|seed| seed.mask()));
                let write = |out: &mut Vec<u8>| hybi::write_compressed(out, opcode, packed, mask);
                self.outgoing.append(scratch, write);
                self.outgoing.message_ends();
            }
            None => self.send_as_it_is(message, scratch),
        }
        scratch.contexts = Some(contexts);
    }

    fn send_as_it_is(&mut self, message: &Message, scratch: &mut Scratch) {
        let sent = self.send_plain(message, scratch);
        debug_assert!(sent.is_ok(), "{sent:?}");
    }

    /// Sends a message that many connections send, compressed once for all of them; false if this
    /// connection has to be sent it in another way. It is queued behind what waits.
    pub(super) fn send_prepared_compressed(
        &mut self,
        prepared: &Prepared,
        scratch: &mut Scratch,
    ) -> bool {
        let is_server = self.seed.is_none() && self.machine.may_send();
        let Some(deflate) = self.rare.deflate_mut().filter(|_| is_server) else { return false };
        if deflate.has_jobs() {
            return false;
        }
        let message = prepared.message();
        let shared = match deflate.takes_shared(message) {
            true => with_contexts(scratch, |contexts| {
                prepared.compressed(|payload| deflate.compress_alone(payload, contexts))
            }),
            // A peer with a smaller window gets its own.
            false if deflate.has_smaller_window() && message.len() <= STEP => return false,
            false => None,
        };
        match shared {
            Some((frame, len)) => {
                deflate.was_sent(message.as_bytes(), len);
                self.outgoing.payload(frame, scratch);
            }
            None => self.outgoing.payload(prepared.frame(), scratch),
        }
        self.outgoing.message_ends();
        true
    }

    /// Compresses on, and queues what is ready.
    fn compress_on(&mut self, scratch: &mut Scratch) {
        let mut budget = Budget::FULL;
        while let Some(deflate) = self.rare.deflate_mut() {
            let next = with_contexts(scratch, |contexts| deflate.next_job(&mut budget, contexts));
            let Some((message, packed)) = next else { return };
            self.outgoing.recall(message.len(), scratch);
            match packed {
                Some(packed) => self.queue_packed(&message, packed, scratch),
                None => self.send_as_it_is(&message, scratch),
            }
        }
    }

    /// Queues a large message that was compressed.
    fn queue_packed(&mut self, message: &Message, packed: Vec<u8>, scratch: &mut Scratch) {
        let opcode = opcode(message);
        let mask = self.mask();
        if mask.is_some() || packed.len() < OWN_BUFFER {
            let write = |out: &mut Vec<u8>| hybi::write_compressed(out, opcode, &packed, mask);
            self.outgoing.append(scratch, write);
            return self.outgoing.message_ends();
        }
        let len = packed.len();
        let header = |out: &mut Vec<u8>| hybi::write_compressed_header(out, opcode, len);
        self.outgoing.append(scratch, header);
        self.outgoing.payload(packed.into(), scratch);
        self.outgoing.message_ends();
    }

    /// Nothing is compressed any more: what waits is queued as it is.
    pub(super) fn give_up_compression(&mut self, scratch: &mut Scratch) {
        while let Some(message) = self.rare.deflate_mut().and_then(|deflate| deflate.take_job()) {
            self.outgoing.recall(message.len(), scratch);
            self.send_as_it_is(&message, scratch);
        }
    }

    // Receiving.

    /// Reads a compressed message that stands whole at the front of the input; false if there is
    /// none. Where the work has to wait, so has the rest of the input.
    #[inline(never)]
    pub(super) fn read_compressed(
        &mut self,
        now: Instant,
        input: &mut &mut [u8],
        scratch: &mut Scratch,
    ) -> bool {
        let Some(deflate) = self.rare.deflate_mut() else { return false };
        deflate.passes(now);
        let between_frames = self.reader.truncation() == Truncation::BetweenMessages;
        if deflate.holds_input() || (deflate.time_is_up(now) && between_frames) {
            deflate.hold_input(input);
            self.reader.waits();
            *input = &mut [];
            return true;
        }
        let whole = self.reader.whole_compressed(input, self.config.max_message);
        let Some((text, payload)) = whole else { return false };
        self.inflate(now, text, payload, scratch);
        true
    }

    /// Inflates a message, as far as its time allows.
    pub(super) fn inflate(
        &mut self,
        now: Instant,
        text: bool,
        payload: &[u8],
        scratch: &mut Scratch,
    ) {
        // What nobody reads is not inflated.
        let Some(deflate) = self.rare.deflate_mut().filter(|_| self.machine.delivers()) else {
            return;
        };
        deflate.time_is_up(now);
        let limit = self.config.max_message;
        let inflate = |contexts: &mut Contexts| deflate.inflate(text, payload, limit, contexts);
        match with_contexts(scratch, inflate) {
            Ok(Some(message)) => self.inflated(now, message, scratch),
            Ok(None) => {
                deflate.hold_input(&[]);
                self.reader.waits();
            }
            Err(error) => self.violated(now, error.into(), scratch),
        }
    }

    /// Goes on with the message that is being inflated, then with what came behind it.
    fn inflate_on(&mut self, now: Instant, scratch: &mut Scratch) {
        let delivers = self.machine.delivers();
        let Some(deflate) = self.rare.deflate_mut().filter(|deflate| deflate.holds_input()) else {
            return;
        };
        if !delivers {
            deflate.stop_inflating();
        }
        let limit = self.config.max_message;
        let step = with_contexts(scratch, |contexts| deflate.inflate_on(limit, contexts));
        if deflate.is_inflating() {
            return;
        }
        let mut rest = deflate.release_input();
        self.reader.goes_on();
        match step {
            Ok(Some(message)) => self.inflated(now, message, scratch),
            Ok(None) => {}
            Err(error) => self.violated(now, error.into(), scratch),
        }
        self.read_frames(now, &mut rest, scratch);
    }

    fn inflated(&mut self, now: Instant, message: Inflated, scratch: &mut Scratch) {
        match in_one_frame(message.text, message.bytes.into()) {
            Ok(message) => deliver(message, &mut scratch.messages),
            Err(error) => self.violated(now, error.into(), scratch),
        }
    }

    /// The peer has ended: what it said before that counts first.
    pub(super) fn catch_up(&mut self, now: Instant, scratch: &mut Scratch) {
        while let Some(deflate) = self.rare.deflate_mut().filter(|deflate| deflate.holds_input()) {
            deflate.renew_budget(now);
            self.inflate_on(now, scratch);
        }
    }
}
