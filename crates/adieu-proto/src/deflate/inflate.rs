//! One message is inflated, in steps that each do a bounded amount of work.

use super::history::History;
use super::zlib::{Broken, CHUNK, Contexts, Inflater, Turn};
use super::{Budget, MAX_WINDOW};
use crate::error::ProtocolError;

/// What a message ends with when it is inflated (RFC 7692 §7.2.2): the four bytes that its sender
/// has taken off, and a last empty block. A message that is cut anywhere ends elsewhere or not at
/// all, while the four bytes alone let most cut messages pass.
const TAIL: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF];

/// The bytes that a sender takes off.
pub(super) const SYNC: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// A last block (BFINAL) in the middle of a message is followed by a stream of its own (§7.2.3.4).
/// Each costs the work of a new start, for two bytes; no known sender has more than one.
const MAX_RESTARTS: u16 = 256;

/// What a new start costs beside its bytes, in bytes of work.
const RESTART_COST: usize = 1024;

/// What it costs to begin a message, in bytes of work: the start, and the copy of the text before
/// it.
fn start_cost(history: &History) -> usize {
    64 + history.bytes().len() / 128
}

/// A message that is being inflated.
pub(super) struct Inflation {
    pub(super) text: bool,
    /// What came out so far.
    out: Vec<u8>,
    /// How much of the payload, with the tail behind it, was taken.
    at: usize,
    /// The sender has left the four bytes where they were: they are not taken twice.
    kept_sync: bool,
    /// The last turn filled its room: of what it had taken, more may come out.
    is_full: bool,
    /// How much had come out when the tail began.
    before_tail: usize,
    restarts: u16,
    /// The context, while the message is under way.
    context: Option<Inflater>,
    /// The payload, where the message goes on later.
    payload: Vec<u8>,
}

/// Where a step has come to.
#[derive(Debug)]
pub(super) enum Step {
    /// The message is whole.
    Done(Vec<u8>),
    /// The budget is used up.
    GoesOn,
}

impl Inflation {
    pub(super) fn new(text: bool) -> Self {
        Inflation {
            text,
            out: Vec::new(),
            at: 0,
            kept_sync: false,
            is_full: false,
            before_tail: 0,
            restarts: 0,
            context: None,
            payload: Vec::new(),
        }
    }

    /// The whole payload is needed for later steps.
    pub(super) fn keep_payload(&mut self, payload: &[u8]) {
        self.payload = payload.to_vec();
    }

    /// Bytes of the payload that was kept.
    pub(super) fn payload_len(&self) -> usize {
        self.payload.len()
    }

    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        self.payload.len() + self.out.len()
    }

    /// Goes on with the payload that was kept.
    pub(super) fn go_on(
        &mut self,
        history: &History,
        limit: u64,
        budget: &mut Budget,
        contexts: &mut Contexts,
    ) -> Result<Step, ProtocolError> {
        let payload = std::mem::take(&mut self.payload);
        let step = self.step(&payload, history, limit, budget, contexts);
        self.payload = payload;
        step
    }

    /// Inflates as much as the budget allows. `limit` is what the message may have inflated.
    pub(super) fn step(
        &mut self,
        payload: &[u8],
        history: &History,
        limit: u64,
        budget: &mut Budget,
        contexts: &mut Contexts,
    ) -> Result<Step, ProtocolError> {
        if payload.is_empty() {
            return Ok(Step::Done(Vec::new()));
        }
        let mut context = match self.context.take() {
            Some(context) => context,
            None => {
                let mut context = contexts.inflater();
                // From the beginning: also in a clone, which has no context.
                (self.at, self.restarts, self.is_full) = (0, 0, false);
                self.out.clear();
                self.kept_sync = payload.ends_with(&SYNC);
                context.start(history.bytes()).map_err(broken)?;
                budget.spend(start_cost(history));
                context
            }
        };
        let result = self.turns(payload, history, limit, budget, &mut context, contexts);
        match &result {
            Ok(Step::GoesOn) => self.context = Some(context),
            _ => contexts.keep_inflater(context),
        }
        result
    }

    fn turns(
        &mut self,
        payload: &[u8],
        history: &History,
        limit: u64,
        budget: &mut Budget,
        context: &mut Inflater,
        contexts: &mut Contexts,
    ) -> Result<Step, ProtocolError> {
        let end = payload.len() - if self.kept_sync { SYNC.len() } else { 0 };
        loop {
            if budget.is_used_up() {
                return Ok(Step::GoesOn);
            }
            let left = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(self.out.len());
            // One byte more than it may have tells that it has too many.
            let room = contexts.room(CHUNK.min(left.saturating_add(1)));
            let in_tail = self.at >= end;
            // All of the payload's text comes out before the tail goes in.
            let drains = self.at == end && self.is_full;
            let input = match in_tail {
                true if drains => &[],
                true => &TAIL[self.at - end..],
                false => &payload[self.at..end],
            };
            if self.at == end {
                self.before_tail = self.out.len();
            }
            let input = &input[..input.len().min(budget.left())];
            let Turn { taken, given, ended } = context.turn(input, room).map_err(broken)?;
            self.is_full = given == room.len();
            if given > left {
                return Err(ProtocolError::MessageTooBig { limit });
            }
            self.take(&room[..given], limit);
            self.at += taken;
            budget.spend(taken.max(given));
            if ended {
                if self.at > end {
                    return self.ended_in_tail(self.at - end);
                }
                if self.at == end {
                    // The last block ended the message, and nothing is behind it.
                    return Ok(Step::Done(std::mem::take(&mut self.out)));
                }
                self.restart(history, context)?;
                budget.spend(RESTART_COST);
            } else if taken == 0 && given == 0 && !drains {
                return Err(ProtocolError::CompressedData);
            }
        }
    }

    /// A message of one turn gets what it needs, and no more; a longer one no more than its limit.
    fn take(&mut self, bytes: &[u8], limit: u64) {
        let len = self.out.len() + bytes.len();
        if len > self.out.capacity() {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let room = (2 * self.out.len()).min(limit).max(len);
            self.out.reserve_exact(room - self.out.len());
        }
        self.out.extend_from_slice(bytes);
    }

    /// The stream has ended in the tail: at its very end; or behind the four bytes, where the
    /// sender had left them, or where they are those of a last empty block of which it took them
    /// off (§7.2.1). Of a message that is cut the four bytes would be more than that: they hold
    /// text.
    fn ended_in_tail(&mut self, at: usize) -> Result<Step, ProtocolError> {
        let is_empty_block = self.out.len() == self.before_tail;
        if at == TAIL.len() || (at == SYNC.len() && (self.kept_sync || is_empty_block)) {
            return Ok(Step::Done(std::mem::take(&mut self.out)));
        }
        Err(ProtocolError::CompressedData)
    }

    /// A new stream behind a last block. What came before is still its window.
    fn restart(&mut self, history: &History, context: &mut Inflater) -> Result<(), ProtocolError> {
        self.restarts += 1;
        if self.restarts > MAX_RESTARTS {
            return Err(ProtocolError::CompressedData);
        }
        let out = &self.out[self.out.len().saturating_sub(MAX_WINDOW)..];
        if out.len() == MAX_WINDOW {
            return context.start(out).map_err(broken);
        }
        let before = history.bytes();
        let before = &before[before.len().saturating_sub(MAX_WINDOW - out.len())..];
        context.start(&[before, out].concat()).map_err(broken)
    }
}

fn broken(_: Broken) -> ProtocolError {
    ProtocolError::CompressedData
}

impl Clone for Inflation {
    /// A context cannot be cloned: the clone inflates its message from the beginning.
    fn clone(&self) -> Self {
        Inflation { payload: self.payload.clone(), out: self.out.clone(), context: None, ..*self }
    }
}

impl std::hash::Hash for Inflation {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.text, &self.out, self.at, self.restarts, &self.payload).hash(state);
    }
}
