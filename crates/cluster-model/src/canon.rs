//! States that differ in nothing that matters are made the same, so that there are finitely many.

use std::hash::{Hash, Hasher};

use crate::list::List;
use crate::scenario::Scenario;
use crate::state::*;
use crate::variant::Variant;

/// Brings a state into its canonical form.
pub(crate) fn canonical(scenario: &Scenario, state: &mut State) {
    drop_what_is_without_effect(scenario, state);
    sort(&mut state.net);
    state.backend.seen = seen_that_can_come_again(state);
    renumber(state);
    sort(&mut state.net);
    state.backend.seen.sort_unstable();
}

/// A stray request of an epoch that is over changes nothing, and nobody hears that. Where the
/// engine may still lose the younger epoch, or does not compare epochs, it stays.
fn drop_what_is_without_effect(scenario: &Scenario, state: &mut State) {
    if state.left.failovers > 0 || !compares_epochs(scenario.variant) {
        state.net.retain(|message| *message != Message::Nothing);
        return;
    }
    let rows = state.engine.rows;
    let over =
        |session: u8, epoch: u8| rows[usize::from(session)].is_none_or(|row| row.epoch > epoch);
    state.net.retain(|message| match message {
        Message::Nothing => false,
        Message::Write(write) => {
            let waited_for = write.stage != Stage::Stray && write.is_of_owner();
            waited_for || !over(write.session, write.epoch)
        }
        Message::Release { session, epoch, .. } => !over(*session, *epoch),
        _ => true,
    });
}

fn compares_epochs(variant: Variant) -> bool {
    let careless = [
        Variant::NoFence,
        Variant::CommitWithoutFence,
        Variant::EndWithoutEpoch,
        Variant::ClaimReadsThenWrites,
        Variant::EndsForgotten,
    ];
    !careless.contains(&variant)
}

/// What is in flight has no order. Nonces come last in it: they are numbered by this order.
fn sort<const N: usize>(net: &mut List<Message, N>) {
    net.sort_unstable_by_key(|message| {
        let mut without = *message;
        without.each_nonce(&mut |nonce| *nonce = Nonce::default());
        (without, *message)
    });
}

/// The ids that the backend has to know on: those of events that are somewhere else as well.
fn seen_that_can_come_again(state: &State) -> List<(u8, Nonce), 16> {
    let queued = |engine: &Engine, queue: u8, id: Nonce| {
        engine.queues[usize::from(queue)].iter().any(|event| event.id == id)
    };
    let in_flight = |id: Nonce| {
        state.net.iter().any(|message| match message {
            Message::Write(write) => write.next == id,
            Message::Start { nonce, .. } => *nonce == id,
            Message::Left { id: of, .. } => *of == id,
            Message::Delivery { event, .. } => event.id == id,
            _ => false,
        })
    };
    let mut seen = state.backend.seen;
    seen.retain(|(queue, id)| {
        queued(&state.engine, *queue, *id)
            || state.replica.as_ref().is_some_and(|replica| queued(replica, *queue, *id))
            || in_flight(*id)
    });
    seen
}

/// Nonces are numbered in the order in which they are met.
fn renumber(state: &mut State) {
    let mut names = [0; 64];
    let mut issued = 0;
    state.each_nonce(&mut |nonce| {
        if nonce.0 == 0 {
            return;
        }
        let name = &mut names[usize::from(nonce.0)];
        if *name == 0 {
            issued += 1;
            *name = issued;
        }
        *nonce = Nonce(*name);
    });
    state.issued = issued;
}

impl State {
    fn each_nonce(&mut self, f: &mut impl FnMut(&mut Nonce)) {
        self.engine.each_nonce(f);
        for held in self.nodes.iter_mut().flat_map(|node| node.held.iter_mut().flatten()) {
            f(&mut held.nonce);
        }
        self.net.iter_mut().for_each(|message| message.each_nonce(f));
        if let Some(replica) = &mut self.replica {
            replica.each_nonce(f);
        }
        self.backend.seen.iter_mut().for_each(|(_, id)| f(id));
    }
}

impl Engine {
    fn each_nonce(&mut self, f: &mut impl FnMut(&mut Nonce)) {
        self.rows.iter_mut().flatten().for_each(|row| f(&mut row.nonce));
        for queue in &mut self.queues {
            queue.iter_mut().for_each(|event| f(&mut event.id));
        }
    }
}

impl Message {
    fn each_nonce(&mut self, f: &mut impl FnMut(&mut Nonce)) {
        match self {
            Message::Start { nonce, .. } => f(nonce),
            Message::Claim(claim) => {
                f(&mut claim.nonce);
                if let Stage::Answered(Claimed::RolledBack { nonce, .. }) = &mut claim.stage {
                    f(nonce);
                }
            }
            Message::Write(write) => {
                f(&mut write.after);
                f(&mut write.next);
            }
            Message::Left { id, .. } => f(id),
            Message::Delivery { event, .. } => f(&mut event.id),
            _ => {}
        }
    }
}

/// 128 bits of a state, by which it is known again. That two of some million states have the same
/// is less likely than a fault of the machine.
pub(crate) fn fingerprint(state: &State, bytes: &mut Bytes) -> u128 {
    bytes.0.clear();
    state.hash(bytes);
    let (mut one, mut two) = (0x243F_6A88_85A3_08D3_u64, 0x1319_8A2E_0370_7344_u64);
    for chunk in bytes.0.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        one = folded(one ^ word, 0x9E37_79B9_7F4A_7C15);
        two = folded(two.wrapping_add(word), 0xD6E8_FEB8_6659_FD93).wrapping_add(one);
    }
    u128::from(folded(one, two | 1)) << 64 | u128::from(folded(two ^ bytes.0.len() as u64, one | 1))
}

fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

/// A state as bytes, as its parts name themselves to a hasher. All numbers in it are small.
#[derive(Default)]
pub(crate) struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn write_u8(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn write_usize(&mut self, length: usize) {
        self.0.push(length as u8);
    }

    fn write_isize(&mut self, discriminant: isize) {
        self.0.push(discriminant as u8);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initial;
    use crate::scenario::Budget;

    const WORLD: Scenario = Scenario::of("test", Budget::NONE);

    /// A commit of A is in flight, and the row has the nonce that it builds on, or not.
    fn print(row: u8, after: u8, next: u8) -> u128 {
        let mut state = initial::state(&WORLD);
        state.engine.rows[0].as_mut().unwrap().nonce = Nonce(row);
        state.nodes[0].held[0] = None;
        let (what, stage) = (What::Detach, Stage::Asked);
        let (after, next) = (Nonce(after), Nonce(next));
        let from = Owner::new(0, 0);
        let write = Write { from, session: 0, what, stage, epoch: 1, after, next };
        state.net.push(Message::Write(write));
        canonical(&WORLD, &mut state);
        fingerprint(&state, &mut Bytes::default())
    }

    #[test]
    fn states_that_differ_in_the_names_of_nonces_are_one() {
        assert_eq!(print(3, 3, 7), print(8, 8, 2));
        assert_eq!(print(3, 1, 7), print(8, 9, 2));
    }

    #[test]
    fn states_that_differ_in_which_nonces_are_the_same_are_two() {
        let all = [print(3, 3, 7), print(3, 1, 7), print(3, 7, 3)];
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    }

    #[test]
    fn a_write_of_an_epoch_that_is_over_is_dropped_only_if_nobody_waits_for_it() {
        let mut state = initial::state(&WORLD);
        let mut write = Write {
            from: Owner::new(0, 0),
            session: 0,
            what: What::Detach,
            stage: Stage::Stray,
            epoch: 0,
            after: Nonce(1),
            next: Nonce(2),
        };
        state.net.push(Message::Write(write));
        write.stage = Stage::Asked;
        state.net.push(Message::Write(write));
        canonical(&WORLD, &mut state);
        assert_eq!(state.net.len(), 1);
        assert!(matches!(state.net[0], Message::Write(Write { stage: Stage::Asked, .. })));
    }
}
