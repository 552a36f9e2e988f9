//! What people have been told about closing WebSockets, each statement put to real browsers.
//!
//! A statement is a function; `docs/old-answers.md` names it and gives the verdict. One browser
//! does them all, because starting one takes longer than most of them. What was measured goes to
//! `target/browser-results/old-answers-<browser>.json`, where the document has its numbers from.

mod bench;
mod closing;
mod leaving;
mod returning;
mod site;

use browser::{Browser, Error, Kind, Result};

use crate::bench::Bench;

fn judge(kind: Kind) -> Result<()> {
    let browser = match Browser::start(kind) {
        Err(missing @ Error::NotInstalled { .. }) => return browser::skip(&missing),
        started => started?,
    };
    let mut bench = Bench::new(browser)?;
    // Firefox ends the connection of the silent server after 20 s: they pass meanwhile.
    closing::leave_a_silent_server(&mut bench)?;

    returning::onclose_fires_when_they_come_back(&mut bench)?;
    returning::never_handle_it_on_the_client(&mut bench)?;
    returning::the_advised_script(&mut bench)?;
    leaving::the_browser_closes_for_you(&mut bench)?;
    leaving::use_beforeunload(&mut bench)?;
    leaving::beforeunload_fires_for_a_page_that_stays(&mut bench)?;
    leaving::pagehide_closes_where_it_can(&mut bench)?;
    let refreshes = closing::a_new_connection_is_refused_so_soon(&mut bench)?;
    closing::closing_tcp_is_slow(&mut bench, &refreshes);
    closing::a_refresh_leaves_closing_to_the_server(&mut bench, &refreshes)?;
    closing::onclose_or_onerror(&mut bench)?;
    bench.write()
}

#[test]
fn chromium() -> Result<()> {
    judge(Kind::Chromium)
}

#[test]
fn firefox() -> Result<()> {
    judge(Kind::Firefox)
}

#[test]
fn webkit() -> Result<()> {
    judge(Kind::WebKit)
}
