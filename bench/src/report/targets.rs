//! What is aimed at, and whether it is reached.

use std::fmt::Write as _;

use crate::cells::STD;
use crate::report::view::{View, digits, figure};
use crate::sample::CPU;
use crate::server::{ADIEU, FLOOR};

const FAST: &str = "fastwebsockets";
const TUNGSTENITE: &str = "tokio-tungstenite";
const AXUM: &str = "axum";
const BUN: &str = "Bun";

struct Target {
    cell: &'static str,
    key: &'static str,
    /// The server that it is compared with; `None` for a figure as it stands.
    against: Option<&'static str>,
    at_most: f64,
}

const fn cpu(cell: &'static str, at_most: f64, against: &'static str) -> Target {
    Target { cell, key: CPU, against: Some(against), at_most }
}

/// "Ahead of" is at most 1.0 times; "ten times less" is at most 0.1 times.
const TARGETS: &[Target] = &[
    cpu("echo-20-c100-d1", 1.12, FLOOR),
    cpu("echo-20-c100-d1", 1.05, FAST),
    cpu("echo-512-c100-d1", 1.12, FLOOR),
    cpu("echo-512-c100-d1", 1.05, FAST),
    cpu("echo-20-c100-d16", 1.35, FLOOR),
    cpu("echo-20-c100-d16", 0.1, FAST),
    cpu("echo-20-c100-d16", 0.1, TUNGSTENITE),
    cpu("echo-20-c100-d16", 0.1, AXUM),
    cpu("echo-20-c100-d16", 1.0, BUN),
    cpu("echo-512-c100-d16", 1.35, FLOOR),
    cpu("echo-512-c100-d16", 0.1, FAST),
    cpu("echo-512-c100-d16", 0.1, TUNGSTENITE),
    cpu("echo-512-c100-d16", 0.1, AXUM),
    cpu("echo-512-c100-d16", 1.0, BUN),
    cpu("echo-16k-c100-d1", 1.20, FLOOR),
    cpu("echo-16k-c100-d1", 1.0, BUN),
    cpu("echo-16k-c10-d16", 1.45, FLOOR),
    cpu("echo-16k-c10-d16", 1.0, BUN),
    cpu("echo-1m-c4-d1", 1.35, FLOOR),
    cpu("utf8", 0.25, STD),
    cpu("cycle-close", 1.0, FAST),
    cpu("cycle-fin", 1.1, FAST),
    Target { cell: "idle", key: "connected_bytes", against: None, at_most: 2500.0 },
    Target { cell: "idle", key: "messaged_bytes", against: None, at_most: 2500.0 },
    Target { cell: "storm", key: "last_close_ms", against: Some(BUN), at_most: 1.15 },
    Target { cell: "storm", key: "last_fin_ms", against: Some(BUN), at_most: 1.4 },
    cpu("fan-out", 1.2, FLOOR),
];

/// The table of all targets.
pub(super) fn table(view: View<'_>) -> String {
    let mut text =
        String::from("| measure | figure | target | Adieu | verdict |\n|---|---|---|--:|---|\n");
    for target in TARGETS {
        let Some(cell) = view.cell(target.cell) else { continue };
        let at_most = match target.against {
            Some(other) => format!("≤ {} × {other}", target.at_most),
            None => format!("≤ {}", figure(target.key, target.at_most)),
        };
        let value = match target.against {
            Some(other) => cell.ratio(ADIEU, other, target.key),
            None => cell.median(ADIEU, target.key),
        };
        let (shown, verdict) = match (value, target.against) {
            (None, _) => ("–".to_owned(), "not measured".to_owned()),
            (Some(value), Some(_)) => (format!("{} ×", ratio(value)), target.verdict(value)),
            (Some(value), None) => (figure(target.key, value), target.verdict(value)),
        };
        let (title, key) = (cell.title(), name(target.key));
        let _ = writeln!(text, "| {title} | {key} | {at_most} | {shown} | {verdict} |");
    }
    text
}

impl Target {
    fn verdict(&self, value: f64) -> String {
        if value <= self.at_most {
            return "met".into();
        }
        format!("**missed by {} %**", digits((value / self.at_most - 1.0) * 100.0))
    }
}

/// Small ratios need their digits.
fn ratio(value: f64) -> String {
    if value < 0.995 { format!("{value:.3}") } else { digits(value) }
}

/// What a figure is called in the tables.
pub(super) fn name(key: &str) -> &str {
    match key {
        CPU => "CPU",
        "connected_bytes" => "after connect",
        "messaged_bytes" => "after a message each",
        "base_bytes" => "the process before",
        "reads" => "recv",
        "writes" => "send",
        "waits" => "epoll_wait",
        "last_close_ms" => "last Close",
        "half_fin_ms" => "half of the FINs",
        "last_fin_ms" => "last FIN",
        "round_ms" => "round",
        "p50_us" => "p50",
        "p99_us" => "p99",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_target_is_met_or_missed_by_so_much() {
        let servers = json!({
            "floor": { "samples": { "cpu_ns": [100.0, 200.0, 50.0] } },
            "Adieu": { "samples": { "cpu_ns": [123.2, 246.4, 99.0] } },
            "fastwebsockets": { "samples": { "cpu_ns": [120.0, 240.0, 96.0] } },
        });
        let cell = json!({ "id": "echo-20-c100-d1", "title": "t", "kind": "echo",
                           "servers": servers });
        let table = table(View(&json!({ "cells": [cell] })));
        assert!(table.contains("≤ 1.12 × floor | 1.23 × | **missed by 10.0 %**"), "{table}");
        assert!(table.contains("≤ 1.05 × fastwebsockets | 1.03 × | met"), "{table}");
        assert_eq!(table.lines().count(), 4);
    }
}
