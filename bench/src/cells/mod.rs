//! What is measured: each cell runs all servers, interleaved, and gives its samples.

use std::io;
use std::time::Duration;

use crate::load::cycle::By;
use crate::load::echo::Spec;
use crate::sample::Samples;
use crate::server::Peer;

mod deflate;
#[cfg(feature = "http2")]
mod http2;
mod loops;
mod many;
mod syscalls;
mod utf8;

pub use utf8::STD;

/// How much is measured, and of whom.
#[derive(Debug)]
pub struct Plan {
    /// The servers.
    pub peers: Vec<Peer>,
    /// Samples of each server in the cells that are short.
    pub samples: usize,
    /// Samples of each server in the cells that open thousands of connections for each.
    pub large_samples: usize,
    /// How long a short sample is.
    pub length: Duration,
    /// Compare every byte that comes back, in the samples too.
    pub verify: bool,
}

/// What kind of load a cell is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Echo(Spec),
    Rate(Spec, u32),
    Cycle(By),
    Idle(usize),
    Storm(usize),
    FanOut(usize),
    Utf8(usize),
    Syscalls(Spec),
    Deflate(usize),
    #[cfg(feature = "http2")]
    Http2(crate::load::http2::Spec),
}

/// One table's worth of measurements.
#[derive(Clone, Debug)]
pub struct Cell {
    /// As it is named on the command line and in the results.
    pub id: String,
    /// As it is headed in the tables.
    pub title: String,
    kind: Kind,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes, connections, in flight.
const ECHOES: &[(usize, usize, usize)] = &[
    (20, 1, 1),
    (20, 100, 1),
    (20, 1000, 1),
    (512, 100, 1),
    (512, 1000, 1),
    (16 * KIB, 100, 1),
    (MIB, 4, 1),
    (20, 1, 16),
    (20, 100, 16),
    (20, 1000, 16),
    (512, 100, 16),
    (16 * KIB, 10, 16),
];

/// Every server here carries it with ease, so that latency and not queueing is seen.
const RATE: u32 = 20_000;

/// All cells, in the order of the tables.
#[must_use]
pub fn all() -> Vec<Cell> {
    let mut cells: Vec<Cell> = ECHOES.iter().map(|it| echo(*it, false)).collect();
    cells.push(echo((16 * KIB, 100, 1), true));
    let spec = Spec { size: 512, text: false, connections: 100, in_flight: 1 };
    let mut add = |id: &str, title: &str, kind| {
        cells.push(Cell { id: id.to_owned(), title: title.to_owned(), kind });
    };
    let rate = "512 B, 100 connections, 20,000 messages a second";
    add("utf8", "UTF-8 check of 16 KiB of non-ASCII text", Kind::Utf8(16 * KIB));
    add("rate-512-c100", rate, Kind::Rate(spec, RATE));
    add("cycle-close", "connect cycle ended by Close", Kind::Cycle(By::Close));
    add("cycle-fin", "connect cycle ended by FIN", Kind::Cycle(By::Fin));
    add("idle", "10,000 idle connections", Kind::Idle(10_000));
    add("storm", "close storm of 10,000", Kind::Storm(10_000));
    for in_flight in [1, 16] {
        let title = format!("20 connections, {in_flight} in flight");
        let spec = Spec { connections: 20, in_flight, ..spec };
        add(&format!("syscalls-d{in_flight}"), &title, Kind::Syscalls(spec));
    }
    add("fan-out", "fan-out to 5,000", Kind::FanOut(5_000));
    let compressed: &[usize] = if cfg!(feature = "deflate") { &[1, 16] } else { &[] };
    for size in compressed {
        let title = format!("compressed text of {size} KiB, each another, 8 connections");
        add(&format!("deflate-{size}k"), &title, Kind::Deflate(size * KIB));
    }
    #[cfg(feature = "http2")]
    cells.extend(http2::cells());
    cells
}

fn echo((size, connections, in_flight): (usize, usize, usize), text: bool) -> Cell {
    let (short, long) = match size {
        MIB.. => (format!("{}m", size / MIB), format!("{} MiB", size / MIB)),
        KIB.. => (format!("{}k", size / KIB), format!("{} KiB", size / KIB)),
        _ => (size.to_string(), format!("{size} B")),
    };
    let kind = if text { "text" } else { "echo" };
    let what = if text { " non-ASCII text" } else { "" };
    let many = match connections {
        1 => "1 connection".to_owned(),
        1000.. => format!("{},{:03} connections", connections / 1000, connections % 1000),
        _ => format!("{connections} connections"),
    };
    Cell {
        id: format!("{kind}-{short}-c{connections}-d{in_flight}"),
        title: format!("{long}{what}, {many}, {in_flight} in flight"),
        kind: Kind::Echo(Spec { size, text, connections, in_flight }),
    }
}

impl Cell {
    /// The kind, as the results name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Echo(_) => "echo",
            Kind::Rate(..) => "rate",
            Kind::Cycle(_) => "cycle",
            Kind::Idle(_) => "idle",
            Kind::Storm(_) => "storm",
            Kind::FanOut(_) => "fan-out",
            Kind::Utf8(_) => "utf8",
            Kind::Syscalls(_) => "syscalls",
            Kind::Deflate(_) => "deflate",
            #[cfg(feature = "http2")]
            Kind::Http2(_) => "http2",
        }
    }

    /// Whether it is measured where no cell is named.
    #[must_use]
    pub fn is_measured_unasked(&self) -> bool {
        !["deflate", "http2"].contains(&self.kind())
    }

    /// Measures all servers. One that fails is noted and left out.
    ///
    /// # Errors
    /// If nothing can be measured at all.
    pub fn run(&self, plan: &Plan) -> io::Result<Samples> {
        match self.kind {
            Kind::Echo(spec) => loops::echo(plan, spec),
            Kind::Rate(spec, rate) => loops::rate(plan, spec, rate),
            Kind::Cycle(by) => loops::cycle(plan, by),
            Kind::Idle(n) => many::idle(plan, n),
            Kind::Storm(n) => many::storm(plan, n),
            Kind::FanOut(n) => many::fan_out(plan, n),
            Kind::Utf8(size) => utf8::check(plan, size),
            Kind::Syscalls(spec) => syscalls::count(plan, spec),
            Kind::Deflate(size) => deflate::echo(plan, size),
            #[cfg(feature = "http2")]
            Kind::Http2(spec) => http2::echo(plan, spec),
        }
    }
}

/// A..Z, then Z..A: what drifts meanwhile meets all alike.
fn turns<T>(all: &mut [T], rounds: usize, mut turn: impl FnMut(&mut T)) {
    for round in 0..rounds {
        if round % 2 == 0 {
            all.iter_mut().for_each(&mut turn);
        } else {
            all.iter_mut().rev().for_each(&mut turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_forth_and_back() {
        let mut seen = Vec::new();
        turns(&mut [1, 2, 3], 3, |one| seen.push(*one));
        assert_eq!(seen, [1, 2, 3, 3, 2, 1, 1, 2, 3]);
    }

    #[test]
    fn each_cell_has_a_name_of_its_own() {
        let mut ids: Vec<String> = all().into_iter().map(|cell| cell.id).collect();
        assert!(ids.contains(&"echo-16k-c10-d16".to_owned()));
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
