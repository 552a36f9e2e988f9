//! Real browsers on a page that came over HTTP/2, whose WebSockets are streams of the same
//! connection (RFC 8441): what the server says of each ending, and what the page says.
//!
//! WebKitGTK opens its WebSockets over HTTP/1.1 even then, and is not here. In each run the endings
//! of each day are done a few times; `cargo xtask http2-browsers` does all of it, and often.

#[path = "../endings/actions.rs"]
mod actions;
#[path = "../../../crates/adieu-cli/tests/sessions/world/backend.rs"]
#[allow(dead_code, reason = "written for the gateway's own tests")]
mod backend;
mod expected;
#[path = "../endings/judge.rs"]
mod judge;
mod lanes;
mod others;
mod refreshes;
mod server_closes;
#[path = "../endings/sessions.rs"]
#[allow(dead_code, reason = "written for the tests over TCP")]
mod sessions;
mod site;
#[path = "../endings/turn.rs"]
mod turn;

use browser::{Carrier, Kind, Result};

use crate::actions::Measured;
use crate::turn::{Turn, start};

/// What carries the WebSockets of these pages.
const CARRIER: Carrier = Carrier::Http2;

/// Whether this is the long form: `cargo xtask http2-browsers`.
fn is_long() -> bool {
    std::env::var("ADIEU_LONG_FORM").is_ok_and(|form| form == "http2-browsers")
}

fn measured() -> Measured {
    if is_long() { Measured::All } else { Measured::Few }
}

#[test]
fn endings_in_chromium() -> Result<()> {
    actions::measure(Kind::Chromium, measured())
}

#[test]
fn endings_in_firefox() -> Result<()> {
    actions::measure(Kind::Firefox, measured())
}

#[test]
fn the_page_draws_its_streams_in_chromium() -> Result<()> {
    lanes::are_drawn(Kind::Chromium)
}

#[test]
fn the_page_draws_its_streams_in_firefox() -> Result<()> {
    lanes::are_drawn(Kind::Firefox)
}

#[test]
fn the_server_closes_first_in_chromium() -> Result<()> {
    server_closes::first(Kind::Chromium)
}

#[test]
fn refreshes_are_no_events_in_chromium() -> Result<()> {
    refreshes::are_no_events(Kind::Chromium)
}

#[test]
fn the_server_closes_first_in_firefox() -> Result<()> {
    server_closes::first(Kind::Firefox)
}

#[test]
fn refreshes_are_no_events_in_firefox() -> Result<()> {
    refreshes::are_no_events(Kind::Firefox)
}
