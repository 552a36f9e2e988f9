//! `cargo xtask deploy`: the files of `deploy/` are read by the programs that they are for.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::tally::Outcome;
use crate::{run, setup};
use tools::Tools;

/// A cold build, and a silent connection of 40 s behind each proxy.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// How exposed systemd-analyze may call the service, of 100: 20 and less is green.
const EXPOSURE: &str = "20";

/// The oldest version that the manifests are for.
const OLDEST_KUBERNETES: &str = "1.25";

/// A check by its name.
type Check = (&'static str, fn(&Tools) -> Result<(), String>);

const CHECKS: [Check; 5] = [
    ("systemd units", units),
    ("Prometheus rules and Grafana's expressions", prometheus),
    ("Dockerfile", dockerfile),
    ("Kubernetes manifests", kubernetes),
    ("nginx, HAProxy, Caddy", proxies),
];

/// The same as a step of a test run: only Debian has all the programs.
pub(crate) fn outcome() -> Outcome {
    if setup::on_path("apt-get") {
        run().into()
    } else {
        Outcome::Skipped("this is not Debian".into())
    }
}

/// Brings the programs and runs each check.
pub(crate) fn run() -> Result<(), String> {
    let tools = Tools::bring()?;
    let mut complaints = Vec::new();
    for (name, check) in CHECKS {
        println!("{name}");
        if let Err(why) = check(&tools) {
            complaints.push(format!("{name}: {why}"));
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

fn file(name: &str) -> PathBuf {
    run::root().join("deploy").join(name)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Runs a program that is to say nothing of what it reads, or fails with what it says.
fn silent(command: &mut Command) -> Result<(), String> {
    let shown = run::shown(command);
    println!("$ {shown}");
    let output = command.output().map_err(|error| format!("`{shown}`: {error}"))?;
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    let said = said.concat();
    if output.status.success() && said.trim().is_empty() {
        return Ok(());
    }
    Err(format!("`{shown}` ({}): {}", output.status, run::tail(&said, 30)))
}

/// The units as they are, but for the program, which is not installed here.
fn units(tools: &Tools) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut paths = Vec::new();
    for name in ["adieu.service", "adieu.socket"] {
        let text = read(&file("systemd").join(name))?;
        let text = text.replace("/usr/bin/adieu", &program.display().to_string());
        let path = tools.scratch.join(name);
        write(&path, &text)?;
        paths.push(path);
    }
    let analyze = || {
        let mut command = tools.debian.command("usr/bin/systemd-analyze");
        // What the units name beside themselves came with it.
        let units = tools.debian.root().join("lib/systemd/system");
        command.env("SYSTEMD_UNIT_PATH", format!("{}:", units.display()));
        command
    };
    silent(analyze().args(["verify", "--man=no"]).args(&paths))?;
    let mut security = analyze();
    security.args(["security", "--no-pager", "--offline=true", "--threshold", EXPOSURE]);
    run::output(security.arg(&paths[0])).map(|said| println!("{}", run::tail(&said, 1)))
}

fn prometheus(tools: &Tools) -> Result<(), String> {
    let promtool = || {
        let mut command = tools.debian.command("usr/bin/promtool");
        command.current_dir(file("prometheus"));
        command
    };
    run::run(promtool().args(["check", "rules", "adieu.rules.yml"]), LIMIT)?;
    run::run(promtool().args(["test", "rules", "adieu.rules.test.yml"]), LIMIT)?;
    // The file with the key is on the machine of Prometheus.
    run::run(promtool().args(["check", "config", "--syntax-only", "scrape.yml"]), LIMIT)?;
    let dashboard = read(&file("grafana/adieu.json"))?;
    let dashboard = serde_json::from_str(&dashboard).map_err(|e| format!("adieu.json: {e}"))?;
    let rules = tools.scratch.join("dashboard.rules.yml");
    write(&rules, &as_rules(&dashboard)?)?;
    run::run(promtool().args(["check", "rules"]).arg(rules), LIMIT)
}

/// The expressions of a dashboard as rules, which promtool reads.
fn as_rules(dashboard: &Value) -> Result<String, String> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions = targets.filter_map(|target| target["expr"].as_str());
    let mut text = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    let mut count = 0;
    for expression in expressions {
        // What Grafana fills in.
        let filled = expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
        text += &format!("      - record: panel:{count}\n        expr: '{filled}'\n");
        count += 1;
    }
    if count == 0 { Err("the dashboard has no expression".into()) } else { Ok(text) }
}

fn dockerfile(tools: &Tools) -> Result<(), String> {
    silent(tools.hadolint().arg(file("docker/Dockerfile")))
}

fn kubernetes(tools: &Tools) -> Result<(), String> {
    let validate = |version: &[&str]| {
        let mut validate = tools.kubernetes_validate();
        validate.arg("--strict").args(version);
        validate.args([file("kubernetes/adieu.yaml"), file("kubernetes/ingress.yaml")]);
        run::run(&mut validate, LIMIT)
    };
    validate(&["--kubernetes-version", OLDEST_KUBERNETES])?;
    // The newest that it knows.
    validate(&[])
}

/// Tests of the command, which start the proxies themselves.
fn proxies(tools: &Tools) -> Result<(), String> {
    let packages = ["test", "-p", "adieu-session", "-p", "adieu-gateway", "-p", "adieu-cli"];
    let mut test = run::cargo(&packages);
    test.args(["--test", "sessions", "--", "--ignored", "--nocapture", "behind_proxies::"]);
    test.env("ADIEU_PROXIES", tools.debian.root());
    test.env("ADIEU_PROXIES_LIBRARIES", tools.debian.libraries());
    run::run(&mut test, LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_expressions_of_a_dashboard_become_rules() {
        let dashboard = json!({ "panels": [
            { "type": "row" },
            { "targets": [{ "expr": "rate(a{i=~\"$instance\"}[$__rate_interval])" }] },
        ]});
        let rules = as_rules(&dashboard).unwrap();
        assert!(rules.contains("expr: 'rate(a{i=~\".*\"}[5m])'"), "{rules}");
        assert!(as_rules(&json!({})).is_err());
    }
}
