//! Cells whose servers all run side by side: echo, echo at a fixed rate, connect cycles.

use std::io;
use std::time::{Duration, Instant};

use crate::cells::{Plan, turns};
use crate::load::cycle::{By, Cycles};
use crate::load::echo::{Echo, Spec};
use crate::load::rate;
use crate::peer::Mode;
use crate::sample::{CPU, Figures, GENERATOR, GENERATOR_CPU, RATE, SERVER, Samples};
use crate::server::{Peer, Server};
use crate::sys;

/// Until code is warm and buffers have their size.
const WARM_UP: Duration = Duration::from_millis(100);

/// Runs all servers in turn, each made ready once.
fn side_by_side<T>(
    plan: &Plan,
    ready: impl FnMut(&Peer) -> io::Result<T>,
    sample: impl FnMut(&mut T) -> io::Result<Figures>,
) -> Samples {
    in_turns(&plan.peers, plan.samples, ready, sample)
}

/// The same with these servers.
pub(super) fn in_turns<T>(
    peers: &[Peer],
    rounds: usize,
    mut ready: impl FnMut(&Peer) -> io::Result<T>,
    mut sample: impl FnMut(&mut T) -> io::Result<Figures>,
) -> Samples {
    let mut samples = Samples::default();
    let mut all = Vec::new();
    for peer in peers {
        match ready(peer) {
            Ok(it) => all.push((peer.name, it)),
            Err(error) => samples.failed(peer.name, error.to_string()),
        }
    }
    turns(&mut all, rounds, |(name, it)| {
        if !samples.has_failed(name) {
            match sample(it) {
                Ok(figures) => samples.add(name, figures),
                Err(error) => samples.failed(name, error.to_string()),
            }
        }
    });
    samples
}

/// An echo in a closed loop.
pub(super) fn echo(plan: &Plan, spec: Spec) -> io::Result<Samples> {
    let ready = |peer: &Peer| {
        let server = Server::start(peer, Mode::Echo)?;
        let mut echo = Echo::open(server.port, spec, server.is_raw())?;
        // The warm-up is always verified.
        echo.sample(WARM_UP)?;
        echo.verify(plan.verify);
        Ok((server, echo))
    };
    Ok(side_by_side(plan, ready, |(server, echo)| {
        let before = server.settled_cpu()?;
        let sample = echo.sample(plan.length)?;
        let cpu = server.settled_cpu()? - before;
        Ok(figures(sample.messages, sample.wall, cpu, sample.cpu))
    }))
}

/// An echo in an open loop: latency.
pub(super) fn rate(plan: &Plan, spec: Spec, rate: u32) -> io::Result<Samples> {
    let length = plan.length * 2;
    let ready = |peer: &Peer| {
        let server = Server::start(peer, Mode::Echo)?;
        let mut echo = Echo::open(server.port, spec, server.is_raw())?;
        rate::run(&mut echo, rate, WARM_UP)?;
        echo.verify(plan.verify);
        Ok((server, echo))
    };
    Ok(side_by_side(plan, ready, |(server, echo)| {
        let before = server.settled_cpu()?;
        let took = rate::run(echo, rate, length)?;
        let cpu = server.settled_cpu()? - before;
        let micros = |share| rate::percentile(&took, share).as_secs_f64() * 1e6;
        let cpu = cpu.as_nanos() as f64 / took.len() as f64;
        Ok(vec![(CPU, cpu), ("p50_us", micros(0.5)), ("p99_us", micros(0.99))])
    }))
}

/// Connections that are opened and ended.
pub(super) fn cycle(plan: &Plan, by: By) -> io::Result<Samples> {
    let ready = |peer: &Peer| {
        let mode = if by == By::Close { Mode::Goodbye } else { Mode::Echo };
        let server = Server::start(peer, mode)?;
        let mut cycles = Cycles::new(server.port, by)?;
        cycles.run(WARM_UP)?;
        Ok((server, cycles))
    };
    Ok(side_by_side(plan, ready, |(server, cycles)| {
        let before = server.settled_cpu()?;
        let (began, own) = (Instant::now(), sys::thread_cpu());
        let done = cycles.run(plan.length)?;
        let (wall, own) = (began.elapsed(), sys::thread_cpu() - own);
        let cpu = server.settled_cpu()? - before;
        Ok(figures(done as u64, wall, cpu, own))
    }))
}

fn figures(n: u64, wall: Duration, server: Duration, generator: Duration) -> Figures {
    let each = |cpu: Duration| cpu.as_nanos() as f64 / n as f64;
    let share = |cpu: Duration| cpu.as_secs_f64() / wall.as_secs_f64();
    vec![
        (CPU, each(server)),
        (RATE, n as f64 / wall.as_secs_f64()),
        (SERVER, share(server)),
        (GENERATOR_CPU, each(generator)),
        (GENERATOR, share(generator)),
    ]
}
