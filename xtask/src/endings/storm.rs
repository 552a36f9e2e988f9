//! The close storm: ten thousand idle clients, all closed at once by SIGTERM, of each server in
//! turn. Times depend on the machine and on what else it does, so that only figures of one run are
//! compared, and the servers take turns in it.

use std::fs;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::run;

/// Longer than Linux keeps a connection that has ended (TIME_WAIT, 60 s).
const TIME_WAIT: Duration = Duration::from_secs(75);

/// The check of `adieu check` that is the storm, with enough clients.
pub(super) const CHECK: &str = "shutdown_idle";

/// The figures that are kept, with the heads of their columns.
pub(super) const COLUMNS: [(&str, &str); 7] = [
    ("read_close", "Close read"),
    ("clean", "clean"),
    ("resets", "RST"),
    ("last_close_ms", "last Close, ms"),
    ("last_fin_ms", "last FIN, ms"),
    ("cpu_us_per_client", "CPU, µs each"),
    ("exit_seconds", "exit, s"),
];

/// What is kept of all servers of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Storm {
    pub(super) connections: u64,
    /// Of the machine.
    pub(super) cores: u64,
    pub(super) servers: Vec<(String, Figures)>,
}

/// Each figure of a server, one value for each time that it was its turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures(Vec<(String, Vec<Option<f64>>)>);

impl Figures {
    /// Adds a report of `adieu check --json`; an error says what it did not find well.
    fn add(&mut self, report: &Value) -> Result<Result<(), String>, String> {
        let check = &report["checks"][0];
        if check["id"] != CHECK {
            return Err("a report without the storm".to_owned());
        }
        for (name, _) in COLUMNS {
            let value = check["figures"][name].as_f64();
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value),
                None => self.0.push((name.to_owned(), vec![value])),
            }
        }
        let summary = check["summary"].as_str().unwrap_or_default();
        Ok(if check["result"] == "ok" { Ok(()) } else { Err(summary.to_owned()) })
    }

    /// The values of a figure in the order of the turns; `None` where there was none.
    fn values(&self, name: &str) -> &[Option<f64>] {
        self.0.iter().find(|(known, _)| known == name).map_or(&[], |(_, values)| values)
    }

    /// How often it was this server's turn.
    pub(super) fn turns(&self) -> usize {
        self.0.first().map_or(0, |(_, values)| values.len())
    }

    /// The one in the middle, the least and the most of the turns that gave one.
    pub(super) fn range(&self, name: &str) -> Option<Range> {
        let mut values: Vec<f64> = self.values(name).iter().flatten().copied().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Range { median: values[values.len() / 2], least, most })
    }
}

/// One figure of all turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) median: f64,
    least: f64,
    most: f64,
}

impl Range {
    /// `46 (44–51)`, or one number if all are the same.
    pub(super) fn shown(self, decimals: usize) -> String {
        let number = |it: f64| format!("{it:.decimals$}");
        let (median, least, most) = (number(self.median), number(self.least), number(self.most));
        if least == most { median } else { format!("{median} ({least}–{most})") }
    }
}

impl Storm {
    /// No server yet.
    pub(super) fn new(connections: u64, cores: u64) -> Self {
        Storm { connections, cores, servers: Vec::new() }
    }

    /// Adds one turn of a server; the inner error says what was not well.
    pub(super) fn add(&mut self, name: &str, report: &Value) -> Result<Result<(), String>, String> {
        if let Some((_, figures)) = self.servers.iter_mut().find(|(known, _)| known == name) {
            return figures.add(report);
        }
        let mut figures = Figures::default();
        let judged = figures.add(report)?;
        self.servers.push((name.to_owned(), figures));
        Ok(judged)
    }

    /// Reads what was kept.
    pub(super) fn parse(kept: &Value) -> Option<Self> {
        let server = |server: &Value| {
            let figures = COLUMNS.map(|(name, _)| {
                let values = server["figures"][name].as_array().into_iter().flatten();
                (name.to_owned(), values.map(Value::as_f64).collect())
            });
            Some((server["name"].as_str()?.to_owned(), Figures(figures.to_vec())))
        };
        Some(Storm {
            connections: kept["connections"].as_u64()?,
            cores: kept["cores"].as_u64()?,
            servers: kept["servers"].as_array()?.iter().filter_map(server).collect(),
        })
    }

    /// The form that is kept: a line for each server.
    pub(super) fn to_json(&self) -> String {
        let servers = self.servers.iter().map(|(name, figures)| {
            let figures: Map<String, Value> = COLUMNS
                .iter()
                .map(|(column, _)| {
                    let values = figures.values(column).iter().map(|it| it.map(plain));
                    ((*column).to_owned(), values.collect::<Vec<_>>().into())
                })
                .collect();
            format!("    {{ \"name\": {}, \"figures\": {} }}", json!(name), json!(figures))
        });
        let servers = servers.collect::<Vec<_>>().join(",\n");
        format!(
            "{{ \"connections\": {}, \"cores\": {}, \"servers\": [\n{servers}\n  ] }}",
            self.connections, self.cores
        )
    }
}

/// The servers' numbers in the order in which they have their turns: there and back, so that none
/// is always behind the same one, or always first.
pub(super) fn turns(servers: usize, runs: usize) -> impl Iterator<Item = usize> {
    (0..runs).flat_map(move |run| {
        (0..servers).map(move |n| if run % 2 == 0 { n } else { servers - 1 - n })
    })
}

/// Waits until the kernel has room for so many connections that end. It keeps each for a minute,
/// and when its table is full it resets the peers of those servers that close without waiting for
/// the peer's FIN: that would be the doing of the turns before, not of this server.
pub(super) fn wait_for_room(connections: u64) -> Result<(), String> {
    let most = fs::read_to_string("/proc/sys/net/ipv4/tcp_max_tw_buckets").ok();
    let Some(most) = most.and_then(|most| most.trim().parse::<u64>().ok()) else { return Ok(()) };
    // A server whose peers are slow holds as many again.
    let needed = 2 * connections;
    if needed > most {
        println!("the kernel keeps only {most} ended connections (tcp_max_tw_buckets)");
        return Ok(());
    }
    let has_room = || {
        let kept = fs::read_to_string("/proc/net/sockstat").ok().and_then(|text| waiting(&text));
        Ok(kept.is_none_or(|kept| kept + needed <= most).then_some(()))
    };
    run::poll(TIME_WAIT, has_room)?.ok_or_else(|| {
        format!("{most} connections in TIME_WAIT: something else opens too many here")
    })
}

/// The connections in TIME_WAIT, from `/proc/net/sockstat`.
fn waiting(sockstat: &str) -> Option<u64> {
    let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP: "))?;
    let mut words = tcp.split(' ').skip_while(|word| *word != "tw");
    words.nth(1)?.parse().ok()
}

/// A whole number without a point.
fn plain(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { json!(number as i64) } else { json!(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(result: &str, clean: u64, last_fin_ms: Option<f64>) -> Value {
        json!({ "checks": [{
            "id": CHECK, "result": result, "summary": format!("{clean} clean"),
            "figures": { "clean": clean, "last_fin_ms": last_fin_ms },
        }] })
    }

    #[test]
    fn the_servers_take_turns_there_and_back() {
        assert_eq!(turns(3, 3).collect::<Vec<_>>(), [0, 1, 2, 2, 1, 0, 0, 1, 2]);
    }

    #[test]
    fn each_turn_is_kept_and_the_middle_one_shown() {
        let mut storm = Storm::new(10, 2);
        assert_eq!(storm.add("x", &report("ok", 10, Some(30.5))).unwrap(), Ok(()));
        assert_eq!(storm.add("y", &report("ok", 10, Some(1.0))).unwrap(), Ok(()));
        assert_eq!(storm.add("x", &report("bad", 9, None)).unwrap(), Err("9 clean".to_owned()));
        assert_eq!(storm.add("x", &report("ok", 10, Some(10.0))).unwrap(), Ok(()));
        let (_, x) = &storm.servers[0];
        assert_eq!(x.turns(), 3);
        assert_eq!(x.range("clean").unwrap().shown(0), "10 (9–10)");
        assert_eq!(x.range("last_fin_ms").unwrap().shown(1), "30.5 (10.0–30.5)");
        assert_eq!(x.range("resets"), None, "no report had it");
        assert_eq!(storm.servers[1].1.range("clean").unwrap().shown(0), "10");
        let again: Value = serde_json::from_str(&storm.to_json()).unwrap();
        assert_eq!(Storm::parse(&again), Some(storm));
    }

    #[test]
    fn connections_in_time_wait_are_counted() {
        let text = "sockets: used 9\nTCP: inuse 7 orphan 0 tw 46419 alloc 6 mem 2\nUDP: inuse 0\n";
        assert_eq!(waiting(text), Some(46_419));
        assert_eq!(waiting("sockets: used 9\n"), None);
    }

    #[test]
    fn another_report_is_refused() {
        assert!(Storm::new(10, 2).add("x", &json!({ "checks": [] })).is_err());
    }
}
