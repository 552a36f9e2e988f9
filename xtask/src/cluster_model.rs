//! The model of the protocol of many gateways, explored as far as a machine can.

use std::fs;
use std::time::Duration;

use crate::run;

/// Some ten scenarios of up to some million states, and a build.
const LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

const KEPT: &str = "conformance/cluster-model.txt";

const HEAD: &str = "\
# Many gateways on one engine: what was explored of the protocol: cargo xtask cluster-model

A state is all of the world: engine, replica, nodes, what is in flight, clients, backend (the
documentation of crates/cluster-model says more). all: every state was reached, so safety and
liveness are known of every run. cut off: of all runs that are shorter than the depth nothing broke,
and liveness is not known. told: when the backend is told: with the commit, when the replica has
it (WAIT), or in HTTP requests that are in flight for as long as they like (and behind WAIT where
there are failovers).
";

/// Explores the large scenarios and keeps the table.
pub(crate) fn run() -> Result<(), String> {
    let mut model = run::cargo(&["run", "--release", "-p", "cluster-model"]);
    let table = run::run_for_output(&mut model, LIMIT)?;
    print!("{table}");
    let kept = run::root().join(KEPT);
    fs::write(&kept, format!("{HEAD}\n{table}")).map_err(|error| format!("{KEPT}: {error}"))?;
    println!("kept in {KEPT}");
    Ok(())
}
