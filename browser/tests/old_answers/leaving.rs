//! Statements about who closes when a page is left: the browser, or the page itself.

use browser::page::{self, Connection, PageEvent};
use browser::{Kind, Result};
use serde_json::{Value, json};

use crate::bench::{Bench, close, goodbye, received, verdicts};

const REPEATS: u32 = 2;

/// "The browser closes the connection for you."
///
/// True for a refresh and a tab that is closed. Not for a page that Chromium keeps for Back.
pub(crate) fn the_browser_closes_for_you(bench: &mut Bench) -> Result<()> {
    for _ in 0..REPEATS {
        let old = bench.open()?;
        let over = bench.refresh(&old)?;
        assert_eq!(goodbye(&over.account), ("client", Some(1001), ""));
        bench.keep("closed by a refresh", Some(&over.account), &over.events);
        bench.browser.close_tab()?;
        let account = bench.adieu.ended(&over.new.tab, over.new.id)?;
        assert_eq!(goodbye(&account), ("client", Some(1001), ""));
        bench.keep("closed with its tab", Some(&account), &[]);
    }
    let old = bench.open()?;
    bench.browser.navigate(&bench.adieu.url("/away"))?;
    let open = bench.adieu.is_open(&old.tab, old.id)?;
    if bench.kind() == Kind::Chromium {
        assert!(open, "Chromium keeps the connection of a page that was left");
        bench.keep("left for another page", None, &[]);
    }
    bench.browser.close_tab()?;
    let account = bench.adieu.ended(&old.tab, old.id)?;
    assert_eq!(received(&account), Some(1001));
    bench.keep("left for another page, then the tab closed", Some(&account), &[]);
    Ok(())
}

/// "Use `beforeunload` to close." It reaches the server on a refresh.
pub(crate) fn use_beforeunload(bench: &mut Bench) -> Result<()> {
    for _ in 0..REPEATS {
        let old = opened_with(bench, "beforeunload-close")?;
        let over = bench.refresh(&old)?;
        assert_eq!(goodbye(&over.account), ("client", Some(4001), "beforeunload"));
        bench.keep("close(4001) in beforeunload, refresh", Some(&over.account), &over.events);
        bench.browser.close_tab()?;
    }
    Ok(())
}

/// The other half of it: a link to a file, or to an answer without content, fires `beforeunload`
/// and leaves the page where it is, without its connection. Firefox ends that connection anyway.
pub(crate) fn beforeunload_fires_for_a_page_that_stays(bench: &mut Bench) -> Result<()> {
    for path in ["/nothing", "/file"] {
        let old = opened_with(bench, "beforeunload-close")?;
        let account = follow_and_lose(bench, &old, path)?;
        assert_eq!(goodbye(&account), ("client", Some(4001), "beforeunload"));

        let old = bench.open()?;
        let what = format!("a link to {path}, without any handler");
        if bench.kind() == Kind::Firefox {
            let account = follow_and_lose(bench, &old, path)?;
            assert_eq!(goodbye(&account), ("client", Some(1001), ""));
            continue;
        }
        bench.follow(path)?;
        page::press(&mut bench.browser, "send")?;
        page::echoed(&mut bench.browser)?;
        assert_eq!(page::connected(&mut bench.browser)?, old);
        bench.keep(&what, None, &[]);
        bench.browser.close_tab()?;
    }
    Ok(())
}

/// Follows a link that leaves the page where it is, and gives the account of the connection that
/// is lost by it. The same page connects again.
fn follow_and_lose(bench: &mut Bench, old: &Connection, path: &str) -> Result<Value> {
    bench.browser.execute("window.sameDocument = true", &[])?;
    bench.follow(path)?;
    page::connected_after(&mut bench.browser, Some(old))?;
    let account = bench.adieu.ended(&old.tab, old.id)?;
    let code = received(&account).expect("a code");
    let events = page::events(&mut bench.browser, old)?;
    assert_eq!(bench.browser.execute("return window.sameDocument", &[])?, json!(true));
    assert!(!events.contains(&PageEvent::Hidden(false)), "the page was never left: {events:?}");
    assert_eq!(verdicts(&events), [close(code, "", true)], "a live page hears of it");
    let handler =
        if code == 4001 { "with close(4001) in beforeunload" } else { "without any handler" };
    bench.keep(&format!("a link to {path}, {handler}"), Some(&account), &events);
    bench.browser.close_tab()?;
    Ok(account)
}

/// What to use instead: `pagehide`. Its close is what the server hears, but in Firefox, which has
/// said 1001 by then.
pub(crate) fn pagehide_closes_where_it_can(bench: &mut Bench) -> Result<()> {
    let firefox = bench.kind() == Kind::Firefox;
    let wins =
        if firefox { ("client", Some(1001), "") } else { ("client", Some(4001), "pagehide") };
    for _ in 0..REPEATS {
        let old = opened_with(bench, "pagehide-close")?;
        let over = bench.refresh(&old)?;
        assert_eq!(goodbye(&over.account), wins);
        bench.keep("close(4001) in pagehide, refresh", Some(&over.account), &over.events);

        // The page is left, and the connection is not kept open with it.
        let old = over.new;
        bench.browser.navigate(&bench.adieu.url("/away"))?;
        let account = bench.adieu.ended(&old.tab, old.id)?;
        assert_eq!(goodbye(&account), wins);
        bench.browser.back()?;
        let new = page::connected_after(&mut bench.browser, Some(&old))?;
        let events = page::events(&mut bench.browser, &old)?;
        let kept = events.contains(&PageEvent::Restored);
        assert!(kept || firefox, "the page is kept for Back all the same: {events:?}");
        let told = verdicts(&events);
        assert!(told_of_pagehide(bench.kind()).contains(&told), "{told:?}");
        bench.keep("close(4001) in pagehide, left", Some(&account), &events);

        bench.browser.close_tab()?;
        let account = bench.adieu.ended(&new.tab, new.id)?;
        let said = goodbye(&account);
        // Firefox does not always run pagehide in a tab that is closed.
        assert!(said == ("client", Some(4001), "pagehide") || firefox && said == wins, "{said:?}");
        bench.keep("close(4001) in pagehide, tab closed", Some(&account), &[]);
    }
    Ok(())
}

/// What a page may be told that closes in `pagehide`, is left and returned to. In Firefox the
/// handler comes too late, and the page may hear nothing, also where it was kept.
fn told_of_pagehide(kind: Kind) -> Vec<Vec<PageEvent>> {
    let clean = vec![close(4001, "", true)];
    match kind {
        Kind::Chromium => vec![clean],
        // Whether our answer came before the page was put to sleep is a race.
        Kind::WebKit => vec![vec![PageEvent::Error, close(4001, "", false)], clean],
        Kind::Firefox => vec![vec![close(1001, "", true)], vec![]],
    }
}

/// The live page with one of its switches on.
fn opened_with(bench: &mut Bench, switch: &str) -> Result<Connection> {
    let old = bench.open()?;
    page::press(&mut bench.browser, switch)?;
    Ok(old)
}
