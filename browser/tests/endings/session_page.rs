//! The page of a session: its network is lost, its tab is duplicated, its user is named.

use std::time::Duration;

use browser::server::Adieu;
use browser::wait::wait_for;
use browser::{Browser, Error, Kind, Result, http, page};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::backend::Backend;
use crate::sessions::{goes_on, open_as, pictures, says};
use crate::{Turn, start};

const LIMIT: Duration = Duration::from_secs(45);

/// The network of a tab is lost: no Close comes, the page notices by the silence, connects again
/// and the session goes on. What it said meanwhile arrives.
pub(crate) fn the_network_is_lost(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let adieu = Adieu::start()?;
    open_first(&mut browser, &adieu)?;
    let session = session(&mut browser)?;
    page::press(&mut browser, "lose")?;
    says(&mut browser, "lose-said", "this page has not noticed")?;
    page::press(&mut browser, "send")?;
    says(&mut browser, "sent", "not acknowledged yet")?;
    pictures(&mut browser, "lost")?;

    goes_on(&mut browser, 2)?;
    assert_eq!(self::session(&mut browser)?, session, "{kind:?}: the session goes on");
    says(&mut browser, "log", "this page noticed the lost network after")?;
    says(&mut browser, "sent", "The server has all messages.")?;
    let ended = ended(&adieu, &session)?;
    let ending = &ended["ending"];
    assert_eq!(ending["received"], Value::Null, "{kind:?}: no goodbye was heard: {ending:#}");
    assert_eq!(ended["messagesIn"], Value::Null, "{kind:?}: counted with the session");
    browser.quit()
}

/// A tab that was opened by another one has a copy of what that one had stored. The session stays
/// with the first.
pub(crate) fn a_duplicated_tab_has_a_session_of_its_own(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let adieu = Adieu::start()?;
    open_first(&mut browser, &adieu)?;
    let (first, of_first) = (browser.current_tab()?, session(&mut browser)?);
    let before = browser.tabs()?;
    browser.click("#duplicate")?;
    let copy = wait_for("the duplicated tab", LIMIT, || {
        Ok(browser.tabs()?.into_iter().find(|tab| !before.contains(tab)))
    })?;
    browser.switch_to(&copy)?;
    says(&mut browser, "status", "A new session")?;
    says(&mut browser, "log", "This tab is a copy of another one")?;
    assert_ne!(session(&mut browser)?, of_first, "{kind:?}");
    browser.switch_to(&first)?;
    assert_eq!(session(&mut browser)?, of_first, "{kind:?}: the first keeps its session");
    says(&mut browser, "status", "A new session")?;
    browser.quit()
}

/// Where a backend names the user, the page of the session and the endings do; where none does, the
/// page says so.
pub(crate) fn users_are_named(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let runtime = Runtime::new().expect("a runtime");
    let backend = runtime.block_on(Backend::start());
    let url = backend.url();
    let secret = [("ADIEU_BACKEND_SECRET", Backend::SECRET)];
    let adieu = Adieu::start_with(&["--backend", &url], &secret)?;
    let live = browser.current_tab()?;
    page::open_watched(&mut browser, &adieu)?;
    page::connected(&mut browser)?;

    open_as(&mut browser, &adieu, "anna")?;
    let session = session(&mut browser)?;
    says(&mut browser, "status-detail", &format!("User anna, session {session}"))?;
    browser.refresh()?;
    goes_on(&mut browser, 2)?;
    assert_eq!(ended(&adieu, &session)?["userId"], json!("anna"), "{kind:?}");

    browser.switch_to(&live)?;
    says(&mut browser, "ended-list", "anna")?;
    let script = "document.querySelector('#ended-list summary').click()";
    browser.execute(script, &[])?;
    says(&mut browser, "ended-list", &format!("Session{session}"))?;
    assert_eq!(page::kept_errors(&mut browser)?, Vec::<String>::new());

    let alone = Adieu::start()?;
    open_as(&mut browser, &alone, "bert")?;
    says(&mut browser, "status-detail", "The server does not know you as “bert”")?;
    browser.quit()
}

/// Opens a session in the first tab of the browser, which a person sees: a page that is hidden asks
/// for no sign of life, and WebKitGTK's driver moves the mouse in no other tab.
fn open_first(browser: &mut Browser, adieu: &Adieu) -> Result<()> {
    browser.navigate(&adieu.url("/session"))?;
    says(browser, "status", "A new session")
}

/// The session of the current tab.
fn session(browser: &mut Browser) -> Result<String> {
    let id = browser.execute("return window.adieu.socket.sessionId", &[])?;
    id.as_str().map(str::to_owned).ok_or_else(|| Error::malformed("the session", &id))
}

/// Waits for the account of a connection of this session that ended.
fn ended(adieu: &Adieu, session: &str) -> Result<Value> {
    wait_for(format_args!("the end of a connection of session {session}"), LIMIT, || {
        let all =
            http::request(adieu.address(), "GET", "/endings", None, LIMIT)?.json("/endings")?;
        let ended = all["ended"].as_array().cloned().unwrap_or_default();
        Ok(ended.into_iter().find(|account| account["sessionId"] == session))
    })
}
