//! An echo over TLS: WebSockets on streams of HTTP/2, on one connection and on many, beside axum's,
//! and beside ours over HTTP/1.1, where each has a connection of its own.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Cell, KIB, Kind, MIB, Plan};
use crate::cells::loops::in_turns;
use crate::load::http2::{Over, Sockets, Spec};
use crate::peer::Mode;
use crate::sample::{CPU, GENERATOR, GENERATOR_CPU, RATE, SERVER, Samples};
use crate::server::{self, Peer, Server};

/// Until code is warm and buffers have their size.
const WARM_UP: Duration = Duration::from_millis(300);

/// Bytes, WebSockets, connections, in flight.
const SPECS: &[(usize, usize, usize, usize)] = &[
    (20, 100, 1, 1),
    (20, 100, 100, 1),
    (20, 100, 1, 16),
    (20, 100, 100, 16),
    (16 * KIB, 100, 1, 1),
    (16 * KIB, 100, 100, 1),
    (16 * KIB, 100, 1, 16),
    (16 * KIB, 100, 100, 16),
    (MIB, 4, 1, 1),
    (MIB, 4, 4, 1),
];

/// The cells.
pub(super) fn cells() -> impl Iterator<Item = Cell> {
    SPECS.iter().map(|&(size, sockets, connections, in_flight)| {
        let bytes = match size {
            MIB => "1m",
            KIB.. => "16k",
            _ => "20",
        };
        let plural = if connections == 1 { "" } else { "s" };
        Cell {
            id: format!("http2-{bytes}-s{sockets}-c{connections}-d{in_flight}"),
            title: format!(
                "{size} B, {sockets} WebSockets on {connections} connection{plural} of HTTP/2, \
                 {in_flight} in flight"
            ),
            kind: Kind::Http2(Spec { size, sockets, connections, in_flight }),
        }
    })
}

/// All servers in turns.
pub(super) fn echo(plan: &Plan, spec: Spec) -> io::Result<Samples> {
    let peers = server::over_tls(Path::new(env!("CARGO_MANIFEST_DIR")));
    let ready = |peer: &Peer| {
        let server = Server::start(peer, Mode::Echo)?;
        let over = if peer.name == server::ADIEU_TLS { Over::Http1 } else { Over::Http2 };
        let mut sockets = Sockets::open(server.port, spec, over)?;
        // The warm-up is always verified.
        sockets.sample(WARM_UP)?;
        sockets.verify(plan.verify);
        Ok((server, sockets))
    };
    Ok(in_turns(&peers, plan.samples, ready, |(server, sockets)| {
        let before = server.settled_cpu()?;
        let sample = sockets.sample(plan.length)?;
        let cpu = server.settled_cpu()? - before;
        let (n, wall) = (sample.messages as f64, sample.wall.as_secs_f64());
        Ok(vec![
            (CPU, cpu.as_nanos() as f64 / n),
            (RATE, n / wall),
            (SERVER, cpu.as_secs_f64() / wall),
            (GENERATOR_CPU, sample.cpu.as_nanos() as f64 / n),
            (GENERATOR, sample.cpu.as_secs_f64() / wall),
        ])
    }))
}
