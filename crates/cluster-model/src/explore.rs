//! Breadth first through all states: what is found first is the shortest run.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use crate::canon::{Bytes, canonical, fingerprint};
use crate::initial;
use crate::property::{Broken, Property};
use crate::scenario::Scenario;
use crate::state::State;
use crate::step::{self, Class, Marks, Next};
use crate::story::{self, Story};

/// What an exploration has found.
#[derive(Debug)]
pub struct Outcome {
    /// States, the first included.
    pub states: usize,
    /// States whose steps were all taken.
    pub expanded: usize,
    /// How many steps the farthest of them is away.
    pub depth: usize,
    /// Whether all states were reached; otherwise all shorter runs were.
    pub complete: bool,
    /// What does not hold, with the shortest run that shows it.
    pub violation: Option<Story>,
    /// The labels of steps that were taken: what never happens holds in vain.
    pub happened: BTreeSet<&'static str>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// The property that does not hold.
    #[must_use]
    pub fn violated(&self) -> Option<Property> {
        self.violation.as_ref().map(|story| story.property)
    }
}

/// Explores a scenario until all is known, something does not hold, or `limit` states were
/// expanded. Liveness is judged only if all states were reached: of others it would say nothing.
#[must_use]
pub fn explore(scenario: &Scenario, limit: usize) -> Outcome {
    let began = Instant::now();
    let mut search = Search::new(scenario);
    let found = search.run(limit);
    let complete = found.is_none() && !search.cut_off;
    let judges = complete && scenario.looks_for(Property::Liveness);
    let found = if judges { search.dead_end() } else { found };
    let violation = found.map(|found| search.story(&found));
    let Search { origins, expanded, depth, marks, .. } = search;
    let (states, happened, took) = (origins.len(), marks.into_set(), began.elapsed());
    Outcome { states, expanded, depth, complete, violation, happened, took }
}

/// How a state was reached first: from which, and by which of its steps.
struct Origin {
    from: u32,
    choice: u16,
}

/// Something that does not hold: behind the last step of a run, if there is one.
struct Found {
    at: u32,
    last: Option<u16>,
    broken: Broken,
}

struct Search<'a> {
    scenario: &'a Scenario,
    known: HashMap<u128, u32, BuildHasherDefault<Prefix>>,
    origins: Vec<Origin>,
    /// The steps that liveness may count on.
    edges: Vec<(u32, u32)>,
    over: Vec<u32>,
    level: Vec<(u32, State)>,
    cut_off: bool,
    expanded: usize,
    depth: usize,
    marks: Marks,
    bytes: Bytes,
}

impl<'a> Search<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut search = Search {
            scenario,
            known: HashMap::default(),
            origins: Vec::new(),
            edges: Vec::new(),
            over: Vec::new(),
            level: Vec::new(),
            cut_off: false,
            expanded: 0,
            depth: 0,
            marks: Marks::default(),
            bytes: Bytes::default(),
        };
        let first = initial::state(scenario);
        let mut next = Vec::new();
        search.meet(first, Origin { from: 0, choice: 0 }, &mut next);
        search.level = next;
        search
    }

    /// The number of a state, which is new or not.
    fn meet(&mut self, mut state: State, origin: Origin, next: &mut Vec<(u32, State)>) -> u32 {
        canonical(self.scenario, &mut state);
        let id = self.origins.len() as u32;
        match self.known.entry(fingerprint(&state, &mut self.bytes)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                new.insert(id);
                self.origins.push(origin);
                if state.is_over() {
                    self.over.push(id);
                }
                next.push((id, state));
                id
            }
        }
    }

    fn run(&mut self, limit: usize) -> Option<Found> {
        let mut steps = Vec::new();
        while !self.level.is_empty() {
            let mut next = Vec::new();
            for (at, state) in std::mem::take(&mut self.level) {
                if self.expanded == limit {
                    self.cut_off = true;
                    return None;
                }
                self.expanded += 1;
                step::all(self.scenario, &state, &mut steps);
                for (choice, taken) in steps.drain(..).enumerate() {
                    if let Some(found) = self.take(at, choice as u16, &taken, &mut next) {
                        return Some(found);
                    }
                }
            }
            self.depth += usize::from(!next.is_empty());
            self.level = next;
        }
        None
    }

    fn take(
        &mut self,
        from: u32,
        choice: u16,
        taken: &Next,
        next: &mut Vec<(u32, State)>,
    ) -> Option<Found> {
        if let Some(broken) = taken.broken.or_else(|| taken.state.check(self.scenario)) {
            return Some(Found { at: from, last: Some(choice), broken });
        }
        self.marks.add(&taken.step);
        let to = self.meet(taken.state, Origin { from, choice }, next);
        if taken.class != Class::Other && to != from {
            self.edges.push((from, to));
        }
        None
    }

    /// The first state from which no end can be reached: those from which one can are walked
    /// backwards from the ends.
    fn dead_end(&mut self) -> Option<Found> {
        let states = self.origins.len();
        let edges = std::mem::take(&mut self.edges);
        let mut first = vec![0_u32; states + 1];
        edges.iter().for_each(|(_, to)| first[*to as usize + 1] += 1);
        (0..states).for_each(|at| first[at + 1] += first[at]);
        let mut froms = vec![0_u32; edges.len()];
        let mut free = first.clone();
        for (from, to) in &edges {
            froms[free[*to as usize] as usize] = *from;
            free[*to as usize] += 1;
        }
        let mut reaches = vec![false; states];
        let mut stack = std::mem::take(&mut self.over);
        while let Some(at) = stack.pop() {
            let at = at as usize;
            if !std::mem::replace(&mut reaches[at], true) {
                stack.extend(&froms[first[at] as usize..first[at + 1] as usize]);
            }
        }
        let at = reaches.iter().position(|reaches| !reaches)? as u32;
        let why = "from here no end can be reached and told, unless the client helps";
        Some(Found { at, last: None, broken: Broken { property: Property::Liveness, why } })
    }

    /// Takes the steps of a run once more, to tell them.
    fn story(&self, found: &Found) -> Story {
        let mut choices: Vec<u16> = found.last.into_iter().collect();
        let mut at = found.at;
        while at != 0 {
            let Origin { from, choice } = self.origins[at as usize];
            choices.push(choice);
            at = from;
        }
        let mut state = initial::state(self.scenario);
        canonical(self.scenario, &mut state);
        let mut told = Vec::new();
        for choice in choices.into_iter().rev() {
            let mut steps = Vec::new();
            step::all(self.scenario, &state, &mut steps);
            let taken = steps.swap_remove(usize::from(choice));
            told.push(story::tell(&taken.step));
            state = taken.state;
            canonical(self.scenario, &mut state);
        }
        Story { property: found.broken.property, why: found.broken.why, steps: told }
    }
}

/// A fingerprint is a hash already.
#[derive(Default)]
struct Prefix(u64);

impl Hasher for Prefix {
    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
