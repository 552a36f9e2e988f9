//! A browser, the servers it meets, and what was measured.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use browser::page::{self, Connection, PageEvent};
use browser::results::{self, Results};
use browser::server::Adieu;
use browser::wait::wait_for;
use browser::{Browser, Error, Kind, Result};
use serde_json::{Value, json};

use crate::site::Site;

/// For what takes a page only a moment, on a machine that may be busy.
const PAGE_LIMIT: Duration = Duration::from_secs(20);

/// What one test works with.
pub(crate) struct Bench {
    pub(crate) adieu: Adieu,
    pub(crate) site: Site,
    pub(crate) browser: Browser,
    results: Results,
    /// Milliseconds, by what they measure.
    times: BTreeMap<String, Vec<f64>>,
}

/// A connection that is over, and the one that took its place.
pub(crate) struct Over {
    pub(crate) new: Connection,
    pub(crate) account: Value,
    pub(crate) events: Vec<PageEvent>,
}

impl Bench {
    pub(crate) fn new(browser: Browser) -> Result<Bench> {
        let results = Results { version: browser.version(), ..Results::default() };
        let (adieu, site) = (Adieu::start()?, Site::start()?);
        Ok(Bench { adieu, site, browser, results, times: BTreeMap::new() })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.browser.kind()
    }

    /// A new tab on the live page, connected.
    pub(crate) fn open(&mut self) -> Result<Connection> {
        self.browser.new_tab()?;
        self.browser.navigate(&self.adieu.url("/"))?;
        page::connected(&mut self.browser)
    }

    /// Refreshes the live page, and waits until both its connections are accounted for.
    pub(crate) fn refresh(&mut self, old: &Connection) -> Result<Over> {
        self.browser.refresh()?;
        let new = page::connected_after(&mut self.browser, Some(old))?;
        assert_eq!(new.tab, old.tab, "a refresh stays in its tab");
        let account = self.adieu.ended(&old.tab, old.id)?;
        Ok(Over { new, account, events: page::events(&mut self.browser, old)? })
    }

    /// Runs a script in the page until it gives something other than null.
    pub(crate) fn asked(&mut self, what: &str, script: &str) -> Result<Value> {
        wait_for(what, PAGE_LIMIT, || {
            Ok(Some(self.browser.execute(script, &[])?).filter(|answer| !answer.is_null()))
        })
    }

    /// Follows a link to somewhere that gives the browser nothing to show.
    pub(crate) fn follow(&mut self, path: &str) -> Result<()> {
        let before = self.site.asked_for(path);
        let script = r#"
            const link = document.createElement("a");
            link.href = arguments[0];
            document.body.append(link);
            link.click();
        "#;
        self.browser.execute(script, &[json!(self.site.url(path))])?;
        self.site.wait_until_asked(path, before + 1)
    }

    /// Counts what was seen of a statement. Whatever it is, `error` is never all that a page is
    /// told, and never comes before a close that is clean.
    pub(crate) fn keep(&mut self, what: &str, account: Option<&Value>, told: &[PageEvent]) {
        let verdicts = verdicts(told);
        for (at, _) in verdicts.iter().enumerate().filter(|(_, told)| **told == PageEvent::Error) {
            let next = verdicts.get(at + 1);
            let unclean = matches!(next, Some(PageEvent::Close { clean: false, .. }));
            assert!(unclean, "{what}: the page saw {told:?}");
        }
        let row = self.results.row(what);
        match account {
            Some(account) => row.add_account(account),
            None => row.server.add("The connection is still open."),
        }
        row.add_page(told);
    }

    /// Counts what was seen, in words.
    pub(crate) fn note(&mut self, what: &str, seen: impl Into<String>) {
        self.results.row(what).page.add(seen);
    }

    /// Keeps a time in milliseconds.
    pub(crate) fn time(&mut self, what: &str, ms: f64) {
        self.times.entry(what.to_owned()).or_default().push(ms);
    }

    /// Replaces the file of this browser.
    pub(crate) fn write(self) -> Result<()> {
        let mut json = self.results.to_json();
        json["times_ms"] = self.times.iter().map(|(what, ms)| (what.clone(), spread(ms))).collect();
        let path = results::file(&format!("old-answers-{}.json", self.kind().id()))?;
        let doing = Error::io(format!("write {}", path.display()));
        fs::write(&path, format!("{json:#}\n")).map_err(doing)
    }
}

fn spread(ms: &[f64]) -> Value {
    let mut sorted = ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    let round = |ms: Option<&f64>| ms.map(|ms| (ms * 10.0).round() / 10.0);
    json!({
        "n": sorted.len(),
        "least": round(sorted.first()),
        "median": round(sorted.get(sorted.len() / 2)),
        "most": round(sorted.last()),
    })
}

/// The code of the peer's Close in an account; `None` for no Close, or one without a code.
pub(crate) fn received(account: &Value) -> Option<u64> {
    account["ending"]["received"]["code"].as_u64()
}

/// Which side began it, and the code and the reason of the client's Close.
pub(crate) fn goodbye(account: &Value) -> (&str, Option<u64>, &str) {
    let ending = &account["ending"];
    let reason = ending["received"]["reason"].as_str().unwrap_or_default();
    (ending["initiator"].as_str().unwrap_or_default(), received(account), reason)
}

/// `error` and `close` alone.
pub(crate) fn verdicts(events: &[PageEvent]) -> Vec<PageEvent> {
    let told = |event: &&PageEvent| **event == PageEvent::Error || event.is_close();
    events.iter().filter(told).cloned().collect()
}

pub(crate) fn close(code: u64, reason: &str, clean: bool) -> PageEvent {
    PageEvent::Close { code, reason: reason.to_owned(), clean }
}

/// What a browser tells a page whose connection it lost: it never says more than that.
pub(crate) fn lost() -> [PageEvent; 2] {
    [PageEvent::Error, close(1006, "", false)]
}
