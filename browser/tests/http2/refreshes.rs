//! A page with a session is refreshed over HTTP/2, where Chromium says nothing but RST_STREAM: the
//! session goes on, and the backend hears of no departure.

use std::time::Duration;

use browser::server::Adieu;
use browser::wait::wait_for;
use browser::{Error, Kind, Result};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::backend::Backend;
use crate::sessions::{goes_on, says};
use crate::{CARRIER, Turn, is_long, start};

const LIMIT: Duration = Duration::from_secs(60);

/// No page takes so long to come back, however busy the machine is.
const PATIENT: [&str; 4] = ["--wait-hidden", "10m", "--wait-lost", "10m"];

pub(crate) fn are_no_events(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let refreshes = if is_long() { 50 } else { 5 };
    let runtime = Runtime::new().expect("a runtime");
    let backend = runtime.block_on(Backend::start());
    let url = backend.url();
    let options = [&["--backend", &url][..], &PATIENT].concat();
    let secret = [("ADIEU_BACKEND_SECRET", Backend::SECRET)];
    let adieu = Adieu::start_on(CARRIER, &options, &secret)?;

    browser.navigate(&adieu.url("/session?user=anna"))?;
    says(&mut browser, "status", "A new session")?;
    let script = "return window.adieu.socket.sessionId";
    let id = browser.execute(script, &[])?;
    let session = id.as_str().ok_or_else(|| Error::malformed("the session", &id))?.to_owned();
    for refresh in 1..=refreshes {
        browser.refresh()?;
        goes_on(&mut browser, refresh + 1)?;
        assert_eq!(browser.execute(script, &[])?, json!(session), "refresh {refresh}");
    }
    let ended = wait_for("the accounts of the connections", LIMIT, || {
        let all = adieu.get("/endings")?["ended"].as_array().cloned().unwrap_or_default();
        Ok((all.len() as u64 >= refreshes).then_some(all))
    })?;
    for account in &ended {
        assert_eq!(account["sessionId"], json!(session), "{account:#}");
        assert_ne!(account["ending"]["http2"], Value::Null, "over HTTP/2: {account:#}");
    }
    let reset = ended.iter().filter(|account| account["ending"]["transport"] == "rst_stream");
    let reset = reset.count();

    // What is told of the goodbye comes behind all that was told before.
    browser.execute("window.adieu.socket.goodbye(); return null", &[])?;
    runtime.block_on(backend.end_of(&session));
    runtime.block_on(
        backend.until("anna has left", |backend| !backend.of_type("user.left").is_empty()),
    );
    let ends = backend.of_type("session.ended");
    assert_eq!((ends.len(), backend.of_type("user.left").len()), (1, 1));
    assert_eq!(ends[0].json()["cause"], "goodbye", "{}", ends[0].json());
    assert_eq!(backend.story(&session), ["session.started", "session.ended"]);
    let figure = format!(
        "{refreshes} refreshes ({reset} of them RST_STREAM alone): the same session, 0 events \
         session.ended or user.left before its goodbye"
    );
    testkit::figure(&format!("{}, a page with a session", browser.version()), &figure);
    browser.quit()
}
