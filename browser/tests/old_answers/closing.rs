//! Statements about closing itself: the new connection, TCP, and what a page is told.

use browser::{Kind, Result, results};
use serde_json::{Value, json};

use crate::bench::{Bench, received};

/// In a row, so that each comes as soon as it can after the one before.
const TIMES: u32 = 20;

/// Servers that never end TCP: this one does not even answer the Close.
const SILENT: &str = "/ws/silent";
/// And this one answers.
const ANSWERS_ONLY: &str = "/ws/answers-only";

/// "A browser refuses a new connection so soon after a close." Gives the accounts of the refreshes.
///
/// Neither browser nor server ever did: not after a close that is over, not behind one that is
/// under way, not in the page that a refresh brings.
pub(crate) fn a_new_connection_is_refused_so_soon(bench: &mut Bench) -> Result<Vec<Value>> {
    let mut old = bench.open()?;
    for waits in [true, false] {
        let what = if waits { "open after onclose" } else { "open behind close()" };
        for ms in reopen(bench, waits)? {
            bench.time(what, ms);
        }
    }
    let mut accounts = Vec::new();
    for _ in 0..TIMES {
        let over = bench.refresh(&old)?;
        let after = r#"
            const opened = adieu.events().filter(event => event.kind === "open");
            return opened[opened.length - 1].at - performance.timeOrigin;
        "#;
        let ms = bench.browser.execute(after, &[])?.as_f64().expect("milliseconds");
        bench.time("open after a refresh began", ms);
        old = over.new;
        accounts.push(over.account);
    }
    let failed = r#"
        const opened = adieu.events().filter(event => event.kind === "open").map(e => e.socket);
        return adieu.events().filter(e => e.kind === "close" && !opened.includes(e.socket)).length;
    "#;
    assert_eq!(bench.browser.execute(failed, &[])?, json!(0), "attempts that were refused");
    bench.browser.close_tab()?;
    Ok(accounts)
}

/// Opens and closes in a row, waiting for `onclose` or not; gives how long each took to open.
fn reopen(bench: &mut Bench, waits: bool) -> Result<Vec<f64>> {
    let script = r#"
        const [times, waits] = arguments;
        window.reopened = { ms: [], refused: 0, left: times };
        function again() {
            if (reopened.left-- === 0) { reopened.done = true; return; }
            const began = performance.now();
            const socket = new WebSocket(`ws://${location.host}/`);
            socket.onclose = () => { reopened.refused++; again(); };
            socket.onopen = () => {
                reopened.ms.push(performance.now() - began);
                socket.onclose = waits ? again : null;
                socket.close();
                if (!waits) again();
            };
        }
        again();
    "#;
    bench.browser.execute(script, &[json!(TIMES), json!(waits)])?;
    let reopened = bench.asked("all to be over", "return reopened.done ? reopened : null")?;
    assert_eq!(reopened["refused"], json!(0));
    let ms: Vec<f64> =
        reopened["ms"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    assert_eq!(ms.len(), TIMES as usize);
    Ok(ms)
}

/// "Closing TCP is slow, and the connection looks alive until it is done."
///
/// On a refresh the browser's FIN or RST is there with its Close or soon after. That it comes at
/// all is asserted; how soon is measured.
pub(crate) fn closing_tcp_is_slow(bench: &mut Bench, refreshes: &[Value]) {
    for account in refreshes {
        let step = |step: &str| account["timeline"][step].as_f64();
        let (close, end) = (step("closeReceived"), step("peerEnded"));
        let (Some(close), Some(end)) = (close, end) else {
            panic!("a Close and an end of TCP: {:#}", account["ending"]);
        };
        assert!(close <= end, "{:#}", account["ending"]);
        bench.time("from the Close of a refresh to the browser's FIN or RST", end - close);
    }
    assert_eq!(refreshes.len(), TIMES as usize);
}

/// "A refresh sends 0x88 and leaves closing to the server."
///
/// It sends a Close with 1001. Then the browser ends TCP, whatever the server does: at once, or
/// when the server has answered, or at the end of its patience.
pub(crate) fn a_refresh_leaves_closing_to_the_server(
    bench: &mut Bench,
    refreshes: &[Value],
) -> Result<()> {
    for account in refreshes {
        assert_eq!(received(account), Some(1001));
        let end = results::transport(account);
        assert!(["FIN", "FIN, then RST", "RST"].contains(&&*end), "{end}");
        let first = account["ending"]["transportEndedFirst"].as_str().unwrap_or_default();
        bench.note("who ends TCP first on a refresh", format!("{first}: {end}"));
    }
    leave_a_server(bench, ANSWERS_ONLY)?;
    for path in [ANSWERS_ONLY, SILENT] {
        let heard = &bench.site.heard(path, 1)?[0];
        assert_eq!(heard.code, Some(1001), "{heard:?}");
        let waited = heard.waited.unwrap_or_else(|| panic!("it waits for the server: {heard:?}"));
        let what = format!("from the Close of a refresh to the browser's FIN, at {path}");
        bench.time(&what, waited.as_secs_f64() * 1000.0);
    }
    Ok(())
}

/// Refreshes a page whose server does not answer; what it heard is read later.
pub(crate) fn leave_a_silent_server(bench: &mut Bench) -> Result<()> {
    leave_a_server(bench, SILENT)
}

fn leave_a_server(bench: &mut Bench, path: &str) -> Result<()> {
    bench.browser.new_tab()?;
    bench.browser.navigate(&bench.site.url("/"))?;
    let script = r#"
        window.opened = false;
        const socket = new WebSocket(`ws://${location.host}${arguments[0]}`);
        socket.onopen = () => { window.opened = true; };
    "#;
    bench.browser.execute(script, &[json!(path)])?;
    bench.asked("the socket to open", "return window.opened || null")?;
    bench.browser.refresh()
}

/// "`onclose` or `onerror`, depending on the browser."
///
/// `onclose` always, once and last. `error` may come before it, and only where the close is not
/// clean (`Bench::keep` sees to that in everything else that is done here).
pub(crate) fn onclose_or_onerror(bench: &mut Bench) -> Result<()> {
    bench.browser.new_tab()?;
    bench.browser.navigate(&bench.site.url("/"))?;
    let chromium = bench.kind() == Kind::Chromium;
    let lost = json!(["open", "close(1006, not clean)"]);
    let reset = json!(["open", "error", "close(1006, not clean)"]);
    let cases = [
        ("/ws/closes", "the server closes with 1001", json!(["open", "close(1001, clean)"])),
        ("/ws/answers", "the page closes with 4001", json!(["open", "close(4001, clean)"])),
        ("/ws/fin", "the server ends TCP without a Close", lost.clone()),
        ("/ws/rst", "the server resets TCP", if chromium { lost } else { reset }),
        ("/ws/refuses", "the server answers 400", json!(["error", "close(1006, not clean)"])),
    ];
    for (path, what, expected) in cases {
        let told = tell(bench, path)?;
        bench.note(&format!("onclose or onerror: {what}"), told.to_string());
        assert_eq!(told, expected, "{what}");
    }
    bench.browser.close_tab()
}

/// What the page is told of a socket up to its end.
fn tell(bench: &mut Bench, path: &str) -> Result<Value> {
    let script = r#"
        const [path] = arguments;
        window.told = [];
        window.over = false;
        const socket = new WebSocket(`ws://${location.host}${path}`);
        socket.onopen = () => {
            told.push("open");
            if (path === "/ws/answers") socket.close(4001, "bye");
            else socket.send("the page knows that it is open");
        };
        socket.onerror = () => told.push("error");
        socket.onclose = ({ code, wasClean }) => {
            told.push(`close(${code}, ${wasClean ? "clean" : "not clean"})`);
            window.over = true;
        };
    "#;
    bench.browser.execute(script, &[json!(path)])?;
    bench.asked("onclose", "return window.over ? told : null")
}
