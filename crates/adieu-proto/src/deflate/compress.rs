//! One message is compressed, in steps that each do a bounded amount of work.

use std::hash::{Hash, Hasher};

use super::history::History;
use super::inflate::SYNC;
use super::zlib::{CHUNK, Contexts, Deflater, Tuning};
use super::{Budget, STEP};

/// Compresses a message of one step. The bytes are in `contexts.out`: how many, if it has become
/// smaller.
pub(super) fn at_once(
    payload: &[u8],
    history: &History,
    tuning: Tuning,
    contexts: &mut Contexts,
) -> Option<usize> {
    let mut context = contexts.deflater(tuning);
    let room = contexts.room(most(payload.len()));
    let turn = context.start(history.bytes()).and_then(|()| context.turn(payload, room, true));
    let all = turn.ok().filter(|turn| turn.taken == payload.len() && turn.given < room.len());
    let len = all.and_then(|turn| room[..turn.given].strip_suffix(&SYNC)).map(<[u8]>::len);
    contexts.keep_deflater(context);
    len.filter(|len| *len < payload.len())
}

/// What it costs to begin a message, in bytes of work: the reset, and each byte that it may refer
/// to.
fn start_cost(history: &History) -> usize {
    256 + history.bytes().len() / 4
}

/// More than a message of so many bytes is compressed to: with the fixed codes of level 1 a byte
/// has nine bits, and a stored block five bytes of its own. All comes out, also where it is not
/// wanted: a context that holds output cannot be used again.
fn most(len: usize) -> usize {
    len + len / 8 + 128
}

/// A large message that is being compressed. It may be given up at any time: the message is sent as
/// it is then.
#[derive(Default)]
pub(super) struct Compression {
    at: usize,
    out: Vec<u8>,
    /// The context, while the message is under way.
    context: Option<Deflater>,
}

/// Where a step has come to.
#[derive(Debug)]
pub(super) enum Step {
    /// The message is compressed.
    Done(Vec<u8>),
    /// It has not become smaller.
    NotSmaller,
    /// The budget is used up.
    GoesOn,
}

impl Compression {
    /// Compresses as much as the budget allows.
    pub(super) fn step(
        &mut self,
        payload: &[u8],
        history: &History,
        tuning: Tuning,
        budget: &mut Budget,
        contexts: &mut Contexts,
    ) -> Step {
        let mut context = match self.context.take() {
            Some(context) => context,
            None => {
                // From the beginning: also in a clone, which has no context.
                let mut context = contexts.deflater(tuning);
                (self.at, self.out) = (0, Vec::new());
                if context.start(history.bytes()).is_err() {
                    return Step::NotSmaller;
                }
                budget.spend(start_cost(history));
                context
            }
        };
        let step = self.turns(payload, budget, &mut context, contexts);
        match &step {
            Step::GoesOn => self.context = Some(context),
            _ => contexts.keep_deflater(context),
        }
        step
    }

    fn turns(
        &mut self,
        payload: &[u8],
        budget: &mut Budget,
        context: &mut Deflater,
        contexts: &mut Contexts,
    ) -> Step {
        loop {
            if budget.is_used_up() {
                return Step::GoesOn;
            }
            let end = payload.len().min(self.at + budget.left().min(STEP));
            let room = contexts.room(CHUNK);
            let is_last = end == payload.len();
            let Ok(turn) = context.turn(&payload[self.at..end], room, is_last) else {
                return Step::NotSmaller;
            };
            self.out.extend_from_slice(&room[..turn.given]);
            self.at += turn.taken;
            budget.spend(turn.taken.max(turn.given));
            if self.out.len() >= payload.len() + SYNC.len() {
                return Step::NotSmaller;
            }
            if is_last && self.at == end && turn.given < CHUNK {
                return self.done(payload.len());
            }
        }
    }

    fn done(&mut self, plain: usize) -> Step {
        let mut out = std::mem::take(&mut self.out);
        if !out.ends_with(&SYNC) {
            return Step::NotSmaller;
        }
        out.truncate(out.len() - SYNC.len());
        if out.len() < plain { Step::Done(out) } else { Step::NotSmaller }
    }
}

impl Clone for Compression {
    /// A context cannot be cloned: the clone compresses its message from the beginning.
    fn clone(&self) -> Self {
        Compression::default()
    }
}

impl Hash for Compression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.at, &self.out).hash(state);
    }
}
