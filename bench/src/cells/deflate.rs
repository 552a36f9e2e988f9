//! An echo of compressed text (RFC 7692): CPU beside bytes on the wire. Its servers are those that
//! compress, each with another memory of earlier messages.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::cells::Plan;
use crate::cells::loops::in_turns;
use crate::load::deflate::Deflated;
use crate::peer::Mode;
use crate::sample::{CPU, GENERATOR_CPU, SERVER, Samples};
use crate::server::{self, Peer, Server};

/// As many as the measurements had on which the design rests.
const CONNECTIONS: usize = 8;

/// Until code is warm and histories are full.
const WARM_UP: Duration = Duration::from_millis(300);

/// Bytes of the wire for each byte of text: what the server sends, and what it receives.
const OUT: &str = "out_ratio";
const IN: &str = "in_ratio";

/// Each message is another one: a server that remembers earlier ones could else answer with one
/// reference for the whole.
pub(super) fn echo(plan: &Plan, size: usize) -> io::Result<Samples> {
    let peers = server::compressing(Path::new(env!("CARGO_MANIFEST_DIR")));
    let ready = |peer: &Peer| {
        let server = Server::start(peer, Mode::Echo)?;
        let mut load = Deflated::open(server.port, CONNECTIONS, size)?;
        load.sample(WARM_UP)?;
        Ok((server, load))
    };
    Ok(in_turns(&peers, plan.samples, ready, |(server, load)| {
        let before = server.settled_cpu()?;
        let sample = load.sample(plan.length)?;
        let cpu = server.settled_cpu()? - before;
        let (n, text) = (sample.messages as f64, sample.messages as f64 * size as f64);
        Ok(vec![
            (CPU, cpu.as_nanos() as f64 / n),
            (OUT, sample.bytes_out as f64 / text),
            (IN, sample.bytes_in as f64 / text),
            (SERVER, cpu.as_secs_f64() / sample.wall.as_secs_f64()),
            (GENERATOR_CPU, sample.cpu.as_nanos() as f64 / n),
        ])
    }))
}
