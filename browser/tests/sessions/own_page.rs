//! The gateway's own page for a session, where no backend is asked who it is.

use browser::server::Adieu;
use browser::wait::wait_for;
use browser::{Browser, Error, Kind, Result};

use crate::world::{PATIENCE, PATIENT, in_each_browser};

/// Opens the page as this user, and waits until it is connected: its session.
fn open(browser: &mut Browser, adieu: &Adieu, user: &str) -> Result<String> {
    browser.navigate(&adieu.url(&format!("/session?user={user}")))?;
    wait_for(format_args!("the session of {user}"), PATIENCE, || {
        let script = "const socket = window.adieu?.socket; \
                      return socket?.readyState === 1 ? socket.sessionId : ''";
        let session = browser.execute(script, &[])?;
        Ok(session.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
    })
}

/// Each name has a session of its own in a tab, and gets it back.
fn run(kind: Kind) -> Result<()> {
    let mut browser = match Browser::start(kind) {
        Ok(browser) => browser,
        Err(missing @ Error::NotInstalled { .. }) => return browser::skip(&missing),
        Err(error) => return Err(error),
    };
    let adieu = Adieu::start_with(PATIENT, &[])?;
    let anna = open(&mut browser, &adieu, "anna")?;
    assert_eq!(open(&mut browser, &adieu, "anna")?, anna);
    let bob = open(&mut browser, &adieu, "bob")?;
    assert_ne!(bob, anna);
    assert_eq!(open(&mut browser, &adieu, "anna")?, anna);
    assert_eq!(open(&mut browser, &adieu, "bob")?, bob);
    let title = browser.execute("return document.querySelector('#status').textContent", &[])?;
    assert!(title.as_str().is_some_and(|title| title.starts_with("The same session")), "{title}");
    Ok(())
}

in_each_browser!(run);
