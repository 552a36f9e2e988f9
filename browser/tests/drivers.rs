//! The drivers alone, against pages of a few bytes: what they promise holds in each browser.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use browser::wait::wait_for;
use browser::{Browser, Error, Kind, Result};
use serde_json::json;

/// Serves `/` with a counter of its loads and everything else with a page that throws.
fn pages() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // The thread ends with the test process: it owns nothing but the listener.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(|line| line.ok());
                let request = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let body = page(request.split(' ').nth(1).unwrap_or("/"));
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
                drop(write!(&stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()));
            });
        }
    });
    url
}

fn page(path: &str) -> &'static str {
    match path {
        "/" => {
            "<!doctype html><title>first</title><style>:root{color-scheme:light dark}</style>\
             <script>sessionStorage.loads = 1 + Number(sessionStorage.loads || 0)</script>"
        }
        "/throws" => {
            "<!doctype html><title>throws</title><script>throw Error('on purpose')</script>"
        }
        _ => "<!doctype html><title>second</title>",
    }
}

fn drive(kind: Kind) -> Result<()> {
    let url = pages();
    let mut browser = match Browser::start(kind) {
        Err(missing @ Error::NotInstalled { .. }) => return browser::skip(&missing),
        started => started?,
    };
    assert!(browser.version().starts_with(kind.name()), "{}", browser.version());
    assert!(browser.version().chars().any(|c| c.is_ascii_digit()), "{}", browser.version());

    browser.navigate(&url)?;
    assert_eq!(browser.execute("return document.title", &[])?, json!("first"));
    assert_eq!(browser.execute("return arguments[0] + 1", &[json!(1)])?, json!(2));
    browser.refresh()?;
    assert_eq!(browser.execute("return sessionStorage.loads", &[])?, json!("2"));
    browser.navigate(&format!("{url}/second"))?;
    assert_eq!(browser.execute("return document.title", &[])?, json!("second"));
    browser.back()?;
    assert_eq!(browser.execute("return document.title", &[])?, json!("first"));

    tabs(&mut browser, &url)?;
    appearance(&mut browser)?;
    errors(&mut browser, &url)?;
    browser.quit()
}

fn tabs(browser: &mut Browser, url: &str) -> Result<()> {
    let first = browser.current_tab()?;
    let second = browser.new_tab()?;
    assert_ne!(first, second);
    browser.navigate(&format!("{url}/second"))?;
    browser.switch_to(&first)?;
    assert_eq!(browser.execute("return document.title", &[])?, json!("first"));
    browser.switch_to(&second)?;
    browser.close_tab()?;
    assert_eq!(browser.current_tab()?, first);
    assert!(matches!(browser.close_tab(), Err(Error::Unsupported(_))));
    Ok(())
}

fn appearance(browser: &mut Browser) -> Result<()> {
    browser.set_viewport(900, 700)?;
    let png = browser.screenshot()?;
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    for dark in [true, false] {
        match browser.emulate_dark(dark) {
            Err(Error::Unsupported(_)) => assert_eq!(browser.kind(), Kind::WebKit),
            told => told?,
        }
    }
    Ok(())
}

fn errors(browser: &mut Browser, url: &str) -> Result<()> {
    match browser.script_errors() {
        Err(Error::Unsupported(_)) => {
            assert_eq!(browser.kind(), Kind::WebKit);
            return Ok(());
        }
        none_yet => assert_eq!(none_yet?, Vec::<String>::new()),
    }
    browser.navigate(&format!("{url}/throws"))?;
    let errors = wait_for("the error", Duration::from_secs(10), || {
        Ok(Some(browser.script_errors()?).filter(|errors| !errors.is_empty()))
    })?;
    assert!(errors[0].contains("on purpose"), "{errors:?}");
    Ok(())
}

fn kill(kind: Kind) -> Result<()> {
    let mut browser = match Browser::start(kind) {
        Err(missing @ Error::NotInstalled { .. }) => return browser::skip(&missing),
        started => started?,
    };
    let pids = browser.processes();
    assert!(pids.len() >= 3, "a browser has many processes, found only {pids:?}");
    browser.kill_all()?;
    // What its parent has not collected yet keeps a number, but has no arguments any more.
    let alive = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| !c.is_empty());
    assert!(!pids.iter().any(alive), "{pids:?}");
    Ok(())
}

macro_rules! in_each_browser {
    ($($name:ident => $kind:expr),*) => {$(
        mod $name {
            #[test]
            fn does_as_told() -> browser::Result<()> { super::drive($kind) }
            #[test]
            fn all_processes_can_be_killed() -> browser::Result<()> { super::kill($kind) }
        }
    )*};
}

in_each_browser! {
    chromium => browser::Kind::Chromium,
    firefox => browser::Kind::Firefox,
    webkit => browser::Kind::WebKit
}
