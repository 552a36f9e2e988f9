//! Cells with thousands of connections, for which each server is started anew.

use std::io;

use crate::cells::{Plan, turns};
use crate::frames;
use crate::load::dial;
use crate::load::many::Many;
use crate::peer::Mode;
use crate::sample::{CPU, Figures, Samples};
use crate::server::{Peer, Server};

/// Connections that come and go before anything is counted: buffers and code of a server's own.
const WARM_UP: usize = 200;

/// Bytes of the message on each idle connection.
const MESSAGE: usize = 512;

/// Publications in a sample, after one that is not counted.
const ROUNDS: usize = 5;

fn anew(plan: &Plan, mut sample: impl FnMut(&Peer) -> io::Result<Figures>) -> Samples {
    let mut samples = Samples::default();
    let mut peers = plan.peers.clone();
    turns(&mut peers, plan.large_samples, |peer| {
        if !samples.has_failed(peer.name) {
            match sample(peer) {
                Ok(figures) => samples.add(peer.name, figures),
                Err(error) => samples.failed(peer.name, error.to_string()),
            }
        }
    });
    samples
}

/// Memory for each idle connection, after connecting and after a message on each.
pub(super) fn idle(plan: &Plan, n: usize) -> io::Result<Samples> {
    let frame = frames::client_frame(frames::BINARY, &frames::binary(MESSAGE));
    let answer = frames::server_frame(frames::BINARY, &frames::binary(MESSAGE)).len();
    Ok(anew(plan, |peer| {
        let server = Server::start(peer, Mode::Echo)?;
        let answer = if server.is_raw() { frame.len() } else { answer };
        Many::new(dial::open(server.port, WARM_UP)?)?.message_each(&frame, answer)?;
        let base = server.settled_memory()?;
        let mut many = Many::new(dial::open(server.port, n)?)?;
        let connected = server.settled_memory()?;
        many.message_each(&frame, answer)?;
        let messaged = server.settled_memory()?;
        let each = |memory: u64| (memory as f64 - base as f64) / n as f64;
        Ok(vec![
            ("connected_bytes", each(connected)),
            ("messaged_bytes", each(messaged)),
            ("base_bytes", base as f64),
        ])
    }))
}

/// All closed at once with 1001, each Close answered.
pub(super) fn storm(plan: &Plan, n: usize) -> io::Result<Samples> {
    let trigger = frames::client_frame(frames::TEXT, b"close all");
    Ok(anew(plan, |peer| {
        let server = Server::start(peer, Mode::Storm)?;
        let many = Many::new(dial::open(server.port, n)?)?;
        let before = server.settled_cpu()?;
        let storm = many.storm(&trigger)?;
        let cpu = server.settled_cpu()? - before;
        let millis = |it: std::time::Duration| it.as_secs_f64() * 1e3;
        Ok(vec![
            ("last_close_ms", millis(storm.last_close)),
            ("half_fin_ms", millis(storm.half_fin)),
            ("last_fin_ms", millis(storm.last_fin)),
            (CPU, cpu.as_nanos() as f64 / n as f64),
            ("resets", storm.resets as f64),
        ])
    }))
}

/// One text to all.
pub(super) fn fan_out(plan: &Plan, n: usize) -> io::Result<Samples> {
    let text = [b'x'; frames::FAN_OUT];
    let frame = frames::client_frame(frames::TEXT, &text);
    let answer = frames::server_frame(frames::TEXT, &text).len();
    Ok(anew(plan, |peer| {
        let server = Server::start(peer, Mode::FanOut)?;
        let mut many = Many::new(dial::open(server.port, n)?)?;
        many.publish(&frame, answer)?;
        let before = server.settled_cpu()?;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(many.publish(&frame, answer)?.as_secs_f64() * 1e3);
        }
        let cpu = server.settled_cpu()? - before;
        let deliveries = (n * ROUNDS) as f64;
        let round = crate::sample::median(rounds);
        Ok(vec![(CPU, cpu.as_nanos() as f64 / deliveries), ("round_ms", round)])
    }))
}
