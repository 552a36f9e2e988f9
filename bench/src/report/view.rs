//! The kept figures, looked up by name, and figures written for people.

use serde_json::Value;

use crate::sample::median;
use crate::server::{ADIEU, FLOOR};

/// The kept figures of a run.
#[derive(Clone, Copy)]
pub(super) struct View<'a>(pub(super) &'a Value);

impl<'a> View<'a> {
    /// The cells of these kinds.
    pub(super) fn cells(self, kinds: &'a [&str]) -> impl Iterator<Item = Cell<'a>> {
        let all = self.0["cells"].as_array().into_iter().flatten().map(Cell);
        all.filter(move |cell| kinds.contains(&cell.kind()))
    }

    /// The cell of this name.
    pub(super) fn cell(self, id: &str) -> Option<Cell<'a>> {
        let mut all = self.0["cells"].as_array().into_iter().flatten().map(Cell);
        all.find(|cell| cell.0["id"] == id)
    }

    /// All servers, in the order of the tables.
    pub(super) fn servers(self) -> Vec<&'a str> {
        let all = self.0["versions"].as_object().into_iter().flatten();
        all.map(|(name, _)| name.as_str()).collect()
    }

    /// The other libraries.
    pub(super) fn peers(self) -> impl Iterator<Item = &'a str> {
        self.servers().into_iter().filter(|name| ![FLOOR, ADIEU].contains(name))
    }
}

/// One cell.
#[derive(Clone, Copy)]
pub(super) struct Cell<'a>(&'a Value);

impl<'a> Cell<'a> {
    pub(super) fn kind(self) -> &'a str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    pub(super) fn title(self) -> &'a str {
        self.0["title"].as_str().unwrap_or_default()
    }

    /// The median of a figure.
    pub(super) fn median(self, server: &str, key: &str) -> Option<f64> {
        self.0["servers"][server]["median"][key].as_f64()
    }

    /// How many samples there are of a server.
    pub(super) fn samples(self, server: &str) -> u64 {
        self.0["servers"][server]["n"].as_u64().unwrap_or(0)
    }

    /// Why a server has no figures.
    pub(super) fn failure(self, server: &str) -> Option<&'a str> {
        self.0["servers"][server]["failed"].as_str()
    }

    /// A figure of one server over that of another: the median of the ratios of each turn, so
    /// that what the machine did meanwhile meets both.
    pub(super) fn ratio(self, server: &str, other: &str, key: &str) -> Option<f64> {
        let all = |name: &str| self.0["servers"][name]["samples"][key].as_array();
        let (ours, theirs) = (all(server)?, all(other)?);
        let pairs = ours.iter().zip(theirs).filter_map(|(a, b)| Some(a.as_f64()? / b.as_f64()?));
        let pairs: Vec<f64> = pairs.filter(|ratio| ratio.is_finite()).collect();
        (!pairs.is_empty()).then(|| median(pairs))
    }

    /// The other library with the lowest figure.
    pub(super) fn best(self, view: View<'a>, key: &str) -> Option<&'a str> {
        let all = view.peers().filter_map(|peer| Some((peer, self.median(peer, key)?)));
        all.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(peer, _)| peer)
    }
}

/// Three significant digits, never fewer than those before the point.
pub(super) fn digits(value: f64) -> String {
    let places = match value.abs() {
        0.0 => 0,
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    rest.map_or(format!("{sign}{grouped}"), |rest| format!("{sign}{grouped}.{rest}"))
}

/// A time that is given in nanoseconds.
pub(super) fn time(nanos: f64) -> String {
    match nanos.abs() {
        n if n < 999.5 => format!("{nanos:.0} ns"),
        n if n < 999.5e3 => format!("{} µs", digits(nanos / 1e3)),
        _ => format!("{} ms", digits(nanos / 1e6)),
    }
}

/// A figure, by what its name says.
pub(super) fn figure(key: &str, value: f64) -> String {
    match key.rsplit_once('_').map(|(_, unit)| unit) {
        Some("ns") => time(value),
        Some("us") => time(value * 1e3),
        Some("ms") => time(value * 1e6),
        Some("bytes") if value > 999_999.5 => format!("{} MB", digits(value / 1e6)),
        Some("bytes") if value > 99.5 => format!("{} B", digits(value)),
        Some("bytes") => format!("{value:.0} B"),
        Some("second") => format!("{} k/s", digits(value / 1e3)),
        _ => digits(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        assert_eq!(digits(1.0), "1.00");
        assert_eq!(digits(12.34), "12.3");
        assert_eq!(digits(1_234_567.8), "1,234,568");
        assert_eq!(time(672.5), "672 ns");
        assert_eq!(time(6830.0), "6.83 µs");
        assert_eq!(figure("last_fin_ms", 503.1), "503 ms");
        assert_eq!(figure("per_second", 86_720.0), "86.7 k/s");
    }
}
