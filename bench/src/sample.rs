//! What is measured: named figures per sample, samples per server, and their medians.

use serde_json::{Map, Value, json};

/// CPU time of the server for one operation, in ns: the figure of merit.
pub const CPU: &str = "cpu_ns";
/// Operations a second.
pub const RATE: &str = "per_second";
/// Share of a core that the server had.
pub const SERVER: &str = "server_share";
/// CPU time of the generator for one operation, in ns.
pub const GENERATOR_CPU: &str = "generator_cpu_ns";
/// Share of a core that the generator had.
pub const GENERATOR: &str = "generator_share";

/// The figures of one sample.
pub type Figures = Vec<(&'static str, f64)>;

/// All samples of one cell.
#[derive(Debug, Default)]
pub struct Samples {
    peers: Vec<(&'static str, Vec<Figures>)>,
    failures: Vec<(&'static str, String)>,
}

impl Samples {
    /// Adds a sample.
    pub fn add(&mut self, peer: &'static str, figures: Figures) {
        match self.peers.iter_mut().find(|(name, _)| *name == peer) {
            Some((_, all)) => all.push(figures),
            None => self.peers.push((peer, vec![figures])),
        }
    }

    /// Notes that a server could not be measured.
    pub fn failed(&mut self, peer: &'static str, why: String) {
        self.failures.push((peer, why));
    }

    /// Whether a server has failed here.
    #[must_use]
    pub fn has_failed(&self, peer: &str) -> bool {
        self.failures.iter().any(|(name, _)| *name == peer)
    }

    /// As it is kept: medians, then raw samples.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        for (peer, all) in &self.peers {
            let mut medians = Map::new();
            for (key, _) in &all[0] {
                medians.insert((*key).to_owned(), json!(median(values(all, key))));
            }
            let mut raw = Map::new();
            for (key, _) in &all[0] {
                raw.insert((*key).to_owned(), json!(values(all, key)));
            }
            let n = all.len();
            json.insert((*peer).into(), json!({ "n": n, "median": medians, "samples": raw }));
        }
        for (peer, why) in &self.failures {
            json.insert((*peer).to_owned(), json!({ "failed": why }));
        }
        json
    }
}

fn values(all: &[Figures], key: &str) -> Vec<f64> {
    let of = |figures: &Figures| figures.iter().find(|(name, _)| *name == key).map(|it| it.1);
    all.iter().filter_map(of).map(rounded).collect()
}

/// Four significant digits are more than any of this deserves.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// The middle; of an even number the mean of both middles.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[half],
        _ => rounded(f64::midpoint(values[half - 1], values[half])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_raw_samples_are_kept() {
        let mut samples = Samples::default();
        for value in [3.0, 1.0, 2.0, 10.0] {
            samples.add("one", vec![(CPU, value)]);
        }
        samples.failed("two", "why".into());
        let json = samples.to_json();
        assert_eq!(json["one"]["median"][CPU], 2.5);
        assert_eq!(json["one"]["samples"][CPU][3], 10.0);
        assert_eq!(json["two"]["failed"], "why");
        assert_eq!(median(vec![5.0]), 5.0);
    }
}
