//! The machine, as far as it says something about the figures.

use std::fs;

use serde_json::{Value, json};

/// Its processor, cores, memory and kernel, and how the servers were built.
#[must_use]
pub fn describe() -> Value {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let congestion = "/proc/sys/net/ipv4/tcp_congestion_control";
    let congestion = fs::read_to_string(congestion).unwrap_or_default();
    let hypervisor = cpuinfo.split_whitespace().any(|flag| flag == "hypervisor");
    json!({
        "cpu": field(&cpuinfo, "model name").unwrap_or("unknown"),
        "cores": cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
        "virtual": hypervisor,
        // The rest of a release names who built it.
        "kernel": release.trim().split('-').next().unwrap_or_default(),
        // It paces what is sent, on loopback too.
        "congestion": congestion.trim(),
        "rustc": output("rustc", &["--version"]),
        "node": output("node", &["--version"]),
    })
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

fn output(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program).args(args).output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    text.unwrap_or_default().trim().to_owned()
}
