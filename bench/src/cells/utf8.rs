//! The UTF-8 check inside Adieu, against the standard library's: no server, no socket.

use std::hint::black_box;
use std::io;
use std::time::Duration;

use crate::cells::Plan;
use crate::frames;
use crate::parts::{PARTS, Work};
use crate::sample::{CPU, Samples};
use crate::server::ADIEU;
use crate::sys;

/// The standard library's check, in the tables.
pub const STD: &str = "std::str::from_utf8";

/// Messages in a sample: together they fit into the cache of the second level or nearly so.
const MESSAGES: usize = 64;

/// Samples are short, so there may be many.
const SAMPLES_EACH: usize = 20;

/// What a text of 16 KiB costs more than a binary message of the same length, when
/// `adieu-proto` receives it.
pub(super) fn check(plan: &Plan, size: usize) -> io::Result<Samples> {
    let mut samples = Samples::default();
    let text = frames::text(size);
    for _ in 0..plan.samples * SAMPLES_EACH {
        let binary = timed(prepared("decode-16k"));
        let mixed = timed(prepared("decode-16k-mixed"));
        samples.add(ADIEU, vec![(CPU, nanos(mixed) - nanos(binary))]);
        let std = timed(Box::new(|| {
            for _ in 0..MESSAGES {
                black_box(std::str::from_utf8(black_box(&text)).is_ok());
            }
        }));
        samples.add(STD, vec![(CPU, nanos(std))]);
    }
    Ok(samples)
}

fn prepared(name: &str) -> Work<'static> {
    let part = PARTS.iter().find(|part| part.name == name);
    (part.expect("a part of that name").prepare)(MESSAGES)
}

fn timed(mut work: Work<'_>) -> Duration {
    let began = sys::thread_cpu();
    work();
    sys::thread_cpu() - began
}

fn nanos(all: Duration) -> f64 {
    all.as_nanos() as f64 / MESSAGES as f64
}
