//! Compression (permessage-deflate, RFC 7692) with everybody: seeded messages of all kinds and
//! sizes are sent, echoed by the peer and compared; both sides compress.
//!
//! Browsers are here in each run, with few messages. `cargo xtask deflate-interop` installs the
//! libraries of others, sends 10,000 messages and keeps what was seen.

mod browsers;
mod messages;
mod ours;
mod program;
mod table;
mod talk;

use std::process::Command;

use browser::{Kind, Result};
use tokio::runtime::Runtime;

use crate::ours::{Ours, Plan};
use crate::program::{Program, python, script};
use crate::table::told;

const FEW: usize = 200;

/// Options of a peer that leave it its own defaults.
const OWN: &str = "{}";

fn plan() -> Plan {
    let count = std::env::var("ADIEU_DEFLATE_MESSAGES").ok();
    let count = count.map_or(FEW, |count| count.parse().expect("a number of messages"));
    Plan { seed: testkit::seed(), count }
}

#[test]
fn chromium() -> Result<()> {
    browsers::echoes(Kind::Chromium, plan())
}

#[test]
fn firefox() -> Result<()> {
    browsers::echoes(Kind::Firefox, plan())
}

#[test]
fn webkit() -> Result<()> {
    browsers::echoes(Kind::WebKit, plan())
}

/// Our server and a client of others, which has these words behind the URL.
fn client(name: &str, command: &mut Command, options: &[&str], ours: Ours) {
    let (runtime, plan) = (Runtime::new().expect("a runtime"), plan());
    let mut served = runtime.block_on(ours::serve(ours, plan));
    let program = Program::start(command.arg(&served.url).args(options));
    let peer = format!("{name} {} as client{}", program.line("version"), with(options));
    let outcome = runtime.block_on(served.outcome()).unwrap_or_else(|why| panic!("{peer}: {why}"));
    let ended = program.line("end");
    assert!(ended.contains("\"code\":1000") || ended.contains("\"code\": 1000"), "{peer}: {ended}");
    told(&peer, ours, plan, &outcome);
}

/// Our client and a server of others.
fn server(name: &str, command: &mut Command, options: &[&str], ours: Ours) {
    let (runtime, plan) = (Runtime::new().expect("a runtime"), plan());
    let program = Program::start(command.args(options));
    let peer = format!("{name} {} as server{}", program.line("version"), with(options));
    let url = format!("ws://127.0.0.1:{}/", program.line("port"));
    let outcome = runtime.block_on(ours::ask(ours, &url, plan));
    told(&peer, ours, plan, &outcome.unwrap_or_else(|why| panic!("{peer}: {why}")));
}

fn with(options: &[&str]) -> String {
    let told = options.iter().filter(|options| **options != OWN);
    told.map(|options| format!(" with {options}")).collect()
}

#[test]
#[ignore = "needs packages of npm: cargo xtask deflate-interop"]
fn ws() {
    client("npm ws", &mut script("ws", "client.js"), &[], Ours::Default);
    // The smallest windows: a strict peer sees that we keep to them.
    let small = r#"{"threshold":0,"serverMaxWindowBits":8,"clientMaxWindowBits":10}"#;
    client("npm ws", &mut script("ws", "client.js"), &[small], Ours::Symmetric);
    server("npm ws", &mut script("ws", "server.js"), &[OWN], Ours::Default);
    // The smallest window that node's zlib compresses with.
    let small = r#"{"threshold":0,"serverMaxWindowBits":9,"clientMaxWindowBits":9}"#;
    server("npm ws", &mut script("ws", "server.js"), &[small], Ours::Alone);
}

#[test]
#[ignore = "needs packages of npm: cargo xtask deflate-interop"]
fn undici() {
    for ours in [Ours::Default, Ours::Symmetric] {
        client("undici", &mut script("undici", "client.js"), &[], ours);
    }
}

#[test]
#[ignore = "needs packages of npm: cargo xtask deflate-interop"]
fn bun() {
    for ours in [Ours::Default, Ours::Symmetric] {
        client("Bun", &mut script("bun", "client.js"), &[], ours);
    }
    let dedicated = r#"{"compress":"dedicated","decompress":"dedicated"}"#;
    server("Bun", &mut script("bun", "server.js"), &[dedicated], Ours::Default);
    let shared = r#"{"compress":"shared","decompress":"shared"}"#;
    server("Bun", &mut script("bun", "server.js"), &[shared], Ours::Alone);
}

#[test]
#[ignore = "needs a package of PyPI: cargo xtask deflate-interop"]
fn websockets() {
    client("websockets", &mut python("client"), &[], Ours::Default);
    let small = r#"{"server_max_window_bits":8,"client_max_window_bits":10}"#;
    client("websockets", &mut python("client"), &[small], Ours::Symmetric);
    server("websockets", &mut python("server"), &[], Ours::Default);
    let small = r#"{"server_max_window_bits":9,"client_max_window_bits":9}"#;
    server("websockets", &mut python("server"), &[small], Ours::Alone);
}
