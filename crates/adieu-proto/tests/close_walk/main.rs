//! Every way to end: the close machine, walked through a real `Connection`.
//!
//! Every sequence of inputs up to a length, over the alphabet of `script.rs`, in each role and
//! dialect, over a transport that takes everything, one that takes nothing until told, and one that
//! holds what it takes until it is flushed, is fed to a connection in virtual time. After each
//! input, what came out (messages, events, bytes, FIN, disconnect, the report) is compared with an
//! oracle (`oracle/`) that knows the rules and not the machine, and the bytes are read by a parser
//! of the test's own (`wire.rs`). A sequence that has its full length is finished by letting the
//! clocks run out, so that each gives its report; after the report nothing may come, whatever
//! happens.
//!
//! The sequences are far too many to walk one by one. They are pruned in two ways:
//!
//! * What cannot happen is left out: bytes after the peer's FIN, a clock that does not run or is
//!   not the next to run out (that the connection runs the oracle's clocks and no other is checked
//!   after each input), words that a dialect does not have.
//! * Sequences that lead to the same state are walked on once. The walk goes breadth first, so a
//!   state is met first with the most inputs still to come. Two states are the same if all fields
//!   of the connection, the oracle's facts, and what is on the wire of a frame that is not whole
//!   are the same (compared by a hash of 64 bits): then nothing that follows can differ. How many
//!   sequences the walk stands for is counted over the graph of states.
//!
//! In the deep walks time stands still but for the clocks, so that more states are the same; a
//! shallower walk lets a millisecond pass with each input, so that each step of the report's
//! timeline has a time of its own, and gives the peer's bytes to the connection in small pieces.
// The fence is for the protocol: a walk needs a clock to start with, threads and a place to print.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, clippy::disallowed_types)]

mod account;
mod apply;
mod harness;
mod oracle;
mod script;
mod wire;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use harness::{Setting, World};
use script::{Dialect, Input, OPENED, OPENING, Role, Transport};

/// What a walk saw.
#[derive(Default)]
struct Tally {
    states: u64,
    steps: u64,
    endings: u64,
    /// Sequences that the walk stands for, from the empty one to the longest.
    sequences: u128,
}

/// The number of the state that every connection comes to.
const OVER: usize = 0;

/// How a state was reached first.
struct Origin {
    from: usize,
    input: Input,
}

struct Walk<'a> {
    alphabet: &'a [Input],
    seen: HashMap<u64, usize>,
    origins: Vec<Origin>,
    /// For each state that was walked on, the states that its inputs lead to.
    edges: Vec<Vec<usize>>,
    /// The states after the report that were seen.
    ends: HashSet<u64>,
    tally: Tally,
}

impl Walk<'_> {
    fn run(setting: Setting, depth: usize, alphabet: &[Input]) -> Result<Tally, String> {
        let mut walk = Walk {
            alphabet,
            seen: HashMap::new(),
            origins: vec![Origin { from: OVER, input: Input::Send }],
            edges: vec![Vec::new()],
            ends: HashSet::new(),
            tally: Tally::default(),
        };
        let root = World::new(setting, Instant::now());
        let first = walk.meet(&root, Origin { from: OVER, input: Input::Send });
        let mut layer = vec![(first, root)];
        for left in (0..depth).rev() {
            let mut next = Vec::new();
            for (id, world) in layer {
                walk.expand(id, &world, left > 0, &mut next)?;
            }
            layer = next;
        }
        walk.count(first, depth);
        Ok(walk.tally)
    }

    fn expand(
        &mut self,
        id: usize,
        world: &World,
        goes_on: bool,
        next: &mut Vec<(usize, World)>,
    ) -> Result<(), String> {
        for &input in self.alphabet.iter().filter(|input| world.oracle.applies(**input)) {
            let mut child = world.clone();
            child.step(input).map_err(|e| self.tell(id, &[input], &e))?;
            self.tally.steps += 1;
            let to = if child.oracle.over {
                self.tally.endings += 1;
                if self.ends.insert(child.fingerprint()) {
                    child.stays_silent(self.alphabet).map_err(|e| self.tell(id, &[input], &e))?;
                }
                OVER
            } else {
                let known = self.origins.len();
                let to = self.meet(&child, Origin { from: id, input });
                if to == known && goes_on {
                    next.push((to, child));
                } else if to == known {
                    self.tally.endings += 1;
                    child.finish().map_err(|(path, e)| self.tell(to, &path, &e))?;
                }
                to
            };
            self.edges[id].push(to);
        }
        Ok(())
    }

    /// Gives the number of a state.
    fn meet(&mut self, world: &World, origin: Origin) -> usize {
        let id = self.origins.len();
        let known = *self.seen.entry(world.fingerprint()).or_insert(id);
        if known == id {
            self.origins.push(origin);
            self.edges.push(Vec::new());
            self.tally.states += 1;
        }
        known
    }

    /// Counts the paths through the graph, by their length.
    fn count(&mut self, first: usize, depth: usize) {
        let mut ways = vec![0u128; self.origins.len()];
        ways[first] = 1;
        for _ in 0..depth {
            let mut longer = vec![0u128; ways.len()];
            for (from, to) in self.edges.iter().enumerate() {
                to.iter().for_each(|to| longer[*to] += ways[from]);
            }
            ways = longer;
            self.tally.sequences += ways.iter().sum::<u128>();
        }
    }

    /// The sequence that went wrong, and how.
    fn tell(&self, id: usize, more: &[Input], error: &str) -> String {
        let mut path: Vec<Input> = more.iter().rev().copied().collect();
        let mut at = id;
        while self.origins[at].from != OVER {
            path.push(self.origins[at].input);
            at = self.origins[at].from;
        }
        path.reverse();
        format!("after {path:?}: {error}")
    }
}

/// Walks several settings on all cores and prints what was seen.
fn walk_all(name: &str, settings: Vec<Setting>, depth: usize, alphabet: &[Input]) {
    let start = Instant::now();
    let queue = Mutex::new(settings);
    let total = Mutex::new(Tally::default());
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(setting) = queue.lock().unwrap().pop() else { return };
                    match Walk::run(setting, depth, alphabet) {
                        Ok(tally) => {
                            let mut total = total.lock().unwrap();
                            total.states += tally.states;
                            total.steps += tally.steps;
                            total.endings += tally.endings;
                            total.sequences += tally.sequences;
                        }
                        Err(fault) => faults.lock().unwrap().push(format!("{setting:?} {fault}")),
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    let Tally { states, steps, endings, sequences } = total.into_inner().unwrap();
    println!(
        "{name}: {sequences} sequences of up to {depth} inputs = {states} states, {steps} inputs \
         fed, {endings} reports, in {:.1} s",
        start.elapsed().as_secs_f64()
    );
}

fn settings(opened: bool, tick: Duration, piece: usize) -> Vec<Setting> {
    let transports = [Transport::TakesAll, Transport::TakesWhenTold, Transport::Holds];
    let dialects = [
        (Role::Server, Dialect::Hixie75),
        (Role::Server, Dialect::Hixie76),
        (Role::Client, Dialect::Rfc6455),
        (Role::Server, Dialect::Rfc6455),
    ];
    let mut all = Vec::new();
    for (role, dialect) in dialects {
        // Before the handshake the dialect is not known: the script's requests choose it.
        let hybi = dialect == Dialect::Rfc6455;
        if hybi || (opened && cfg!(feature = "legacy")) {
            let of = |transport| Setting { role, dialect, transport, opened, tick, piece };
            all.extend(transports.map(of));
            if hybi {
                // HTTP/2 carries no other version.
                all.push(of(Transport::Multiplexed));
            }
        }
    }
    all
}

#[test]
fn every_sequence_of_seven_inputs_ends_in_one_true_report() {
    let depth = if cfg!(debug_assertions) { 4 } else { 7 };
    walk_all("open", settings(true, Duration::ZERO, usize::MAX), depth, OPENED);
}

#[test]
fn each_step_of_the_timeline_has_its_own_time() {
    let depth = if cfg!(debug_assertions) { 3 } else { 5 };
    walk_all("open, ticking", settings(true, Duration::from_millis(1), 3), depth, OPENED);
}

#[test]
fn a_connection_that_may_never_open_has_its_report_too() {
    let depth = if cfg!(debug_assertions) { 3 } else { 6 };
    let alphabet = [OPENING, OPENED].concat();
    walk_all("connecting", settings(false, Duration::ZERO, usize::MAX), depth, &alphabet);
}
