//! The live page of `adieu serve`, as a test uses it: through its buttons and `window.adieu`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::error::{Error, Result};
use crate::server::Adieu;
use crate::wait::wait_for;

/// Until the page is connected or was told of an end. Firefox waits up to 20 s for a Close of the
/// server, WebKitGTK 5 s, and the page itself a second before it connects again.
const PAGE_LIMIT: Duration = Duration::from_secs(45);

/// A connection, named as both sides name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The id that the page gave its tab; it survives a refresh.
    pub tab: String,
    /// The server's number.
    pub id: u64,
}

/// What the page was told of its socket, or did, in the page's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageEvent {
    /// `onerror`, which never says why.
    Error,
    /// `onclose`.
    Close {
        /// `event.code`; 1005 and 1006 were never on the wire.
        code: u64,
        /// `event.reason`.
        reason: String,
        /// `event.wasClean`.
        clean: bool,
    },
    /// The page was left; `true` if it went to the back/forward cache.
    Hidden(bool),
    /// The page came back from the back/forward cache.
    Restored,
}

impl PageEvent {
    /// Whether it is `onclose`.
    pub fn is_close(&self) -> bool {
        matches!(self, PageEvent::Close { .. })
    }
}

/// Waits until the page in the current tab has an open connection that the server has named.
///
/// # Errors
/// [`Error::Timeout`] if it does not get one, otherwise what the driver says.
pub fn connected(browser: &mut Browser) -> Result<Connection> {
    connected_after(browser, None)
}

/// As [`connected`], but with a connection that is newer than another one.
///
/// # Errors
/// As [`connected`].
pub fn connected_after(browser: &mut Browser, older: Option<&Connection>) -> Result<Connection> {
    let script = r#"
        if (!window.adieu || document.body.dataset.state !== "open") return null;
        const opened = window.adieu.events().filter(event => event.kind === "open");
        const last = opened[opened.length - 1];
        return last && last.connection !== null ? [window.adieu.tab, last.connection] : null;
    "#;
    wait_for("the live page to be connected", PAGE_LIMIT, || {
        let answer = browser.execute(script, &[])?;
        let (Some(tab), Some(id)) = (answer[0].as_str(), answer[1].as_u64()) else {
            return Ok(None);
        };
        let found = Connection { tab: tab.to_owned(), id };
        Ok((older != Some(&found)).then_some(found))
    })
}

/// Presses a button of the page, given its id.
///
/// # Errors
/// [`Error::Malformed`] if the page has no such button or it is disabled.
pub fn press(browser: &mut Browser, button: &str) -> Result<()> {
    let script = r#"
        const button = document.getElementById(arguments[0]);
        if (!button || button.disabled) return false;
        button.click();
        return true;
    "#;
    match browser.execute(script, &[json!(button)])? {
        Value::Bool(true) => Ok(()),
        _ => Err(Error::malformed("the page", format!("it has no working button {button:?}"))),
    }
}

/// What the page recorded of a connection so far, oldest first. It keeps its records across a
/// refresh, so the successor of a page can be asked about its predecessor.
///
/// # Errors
/// What the driver says, or [`Error::Malformed`].
pub fn events(browser: &mut Browser, connection: &Connection) -> Result<Vec<PageEvent>> {
    let script = r#"
        return window.adieu.events().filter(event => event.connection === arguments[0]);
    "#;
    let answer = browser.execute(script, &[json!(connection.id)])?;
    let list = answer.as_array().ok_or_else(|| Error::malformed("adieu.events()", &answer))?;
    Ok(list.iter().filter_map(parse).collect())
}

/// Waits until the page was told that a connection is closed, and returns [`events`].
///
/// # Errors
/// As [`events`], and [`Error::Timeout`].
pub fn closed(browser: &mut Browser, connection: &Connection) -> Result<Vec<PageEvent>> {
    wait_for(format_args!("onclose of connection {}", connection.id), PAGE_LIMIT, || {
        let events = events(browser, connection)?;
        Ok(events.iter().any(PageEvent::is_close).then_some(events))
    })
}

/// The number of endings that the page shows, once it shows at least `wanted`.
///
/// # Errors
/// [`Error::Timeout`] if it shows fewer.
pub fn shown_endings(browser: &mut Browser, wanted: u64) -> Result<u64> {
    let script = "return document.querySelectorAll('#ended-list details').length";
    wait_for(format_args!("{wanted} endings on the page"), PAGE_LIMIT, || {
        Ok(browser.execute(script, &[])?.as_u64().filter(|shown| *shown >= wanted))
    })
}

/// The sentence about the newest ending, once it tells of this connection, in the place with this
/// id; and how many pixels below the top of the page it ends.
///
/// # Errors
/// [`Error::Timeout`] if it is not shown there.
pub fn latest(
    browser: &mut Browser,
    place: &str,
    connection: &Connection,
) -> Result<(String, f64)> {
    let script = r#"
        const link = document.querySelector(`#${arguments[0]} a`);
        if (!link?.textContent.includes(`#${arguments[1]}:`)) return null;
        return [link.textContent, link.getBoundingClientRect().bottom + scrollY];
    "#;
    wait_for(format_args!("the ending of connection {}", connection.id), PAGE_LIMIT, || {
        let answer = browser.execute(script, &[json!(place), json!(connection.id)])?;
        Ok(answer[0].as_str().map(str::to_owned).zip(answer[1].as_f64()))
    })
}

/// Waits until the page shows what the server sent back.
///
/// # Errors
/// [`Error::Timeout`] if nothing comes back.
pub fn echoed(browser: &mut Browser) -> Result<()> {
    let script = r#"return document.getElementById("echo").textContent.includes("sent back “")"#;
    wait_for("an echo on the page", PAGE_LIMIT, || {
        Ok((browser.execute(script, &[])? == json!(true)).then_some(()))
    })
}

/// Waits until nothing on the page moves any more, so that a picture of it is complete.
///
/// # Errors
/// [`Error::Timeout`] if something goes on moving.
pub fn at_rest(browser: &mut Browser) -> Result<()> {
    let script = r#"
        return document.getAnimations().every(animation => animation.playState !== "running"
            || animation.effect.getComputedTiming().endTime === Infinity);
    "#;
    wait_for("the page to come to rest", PAGE_LIMIT, || {
        Ok((browser.execute(script, &[])? == json!(true)).then_some(()))
    })
}

/// Writes the live page into a document of the same server that already keeps what scripts throw,
/// for [`kept_errors`]. So errors while loading are seen in every browser.
///
/// # Errors
/// What the driver says.
pub fn open_watched(browser: &mut Browser, server: &Adieu) -> Result<()> {
    // Any document without scripts of its own will do.
    browser.navigate(&server.url("/page.css"))?;
    let script = r#"
        return fetch("/").then(answer => answer.text()).then(text => {
            history.replaceState(null, "", "/");
            document.open(); // removes all listeners, so that ours come after it
            window.keptErrors = [];
            addEventListener("error", event => keptErrors.push(event.message));
            addEventListener("unhandledrejection", event => keptErrors.push(String(event.reason)));
            document.write(text);
            document.close();
        });
    "#;
    browser.execute(script, &[]).map(drop)
}

/// What scripts threw since [`open_watched`].
///
/// # Errors
/// [`Error::Malformed`] if nothing was kept, for instance because the page was reloaded.
pub fn kept_errors(browser: &mut Browser) -> Result<Vec<String>> {
    let kept = browser.execute("return window.keptErrors", &[])?;
    serde_json::from_value(kept).map_err(|e| Error::malformed("keptErrors", e))
}

/// Events that say nothing about the connection are left out: opening, pressing, visibility, and
/// the first showing of a page.
fn parse(event: &Value) -> Option<PageEvent> {
    match event["kind"].as_str()? {
        "error" => Some(PageEvent::Error),
        "close" => Some(PageEvent::Close {
            code: event["code"].as_u64()?,
            reason: event["reason"].as_str()?.to_owned(),
            clean: event["wasClean"].as_bool()?,
        }),
        "pagehide" => Some(PageEvent::Hidden(event["persisted"].as_bool()?)),
        "pageshow" => event["persisted"].as_bool()?.then_some(PageEvent::Restored),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_the_page_was_told_of_its_connection() {
        let close = json!({ "kind": "close", "code": 1006, "reason": "", "wasClean": false });
        let expected = PageEvent::Close { code: 1006, reason: String::new(), clean: false };
        assert_eq!(parse(&close), Some(expected));
        assert_eq!(parse(&json!({ "kind": "pageshow", "persisted": false })), None);
        assert_eq!(
            parse(&json!({ "kind": "pageshow", "persisted": true })),
            Some(PageEvent::Restored)
        );
        assert_eq!(parse(&json!({ "kind": "open" })), None);
    }
}
