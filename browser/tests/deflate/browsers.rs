//! The three browsers, whose pages echo.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::Html;
use axum::routing::get;
use browser::compression::{Answer, Compression};
use browser::wait::wait_for;
use browser::{Browser, Error, Kind, Result};
use serde_json::json;
use std::time::Duration;
use tokio::runtime::Runtime;

use crate::ours::{Ours, Plan, serve};
use crate::table::told;
use crate::talk::Talk;

/// From the end of a connection until the page is told of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// One browser and our server, with each of its settings.
pub(crate) fn echoes(kind: Kind, plan: Plan) -> Result<()> {
    let mut browser = match Browser::start(kind) {
        Err(missing @ Error::NotInstalled { .. }) => return browser::skip(&missing),
        started => started?,
    };
    let runtime = Runtime::new().expect("a runtime");
    let page = runtime.block_on(page());
    let mut seen = Compression::default();
    for ours in [Ours::Default, Ours::Symmetric] {
        let mut served = runtime.block_on(serve(ours, plan));
        // Another address of the same page would not load it again.
        browser.navigate("about:blank")?;
        browser.navigate(&format!("{page}#{}", served.url))?;
        let outcome = runtime.block_on(served.outcome());
        let outcome = outcome.unwrap_or_else(|why| panic!("{}: {why}", browser.version()));
        let ended = wait_for("the page to be told of the end", PATIENCE, || {
            Ok(Some(browser.execute("return window.ended ?? null", &[])?).filter(|e| !e.is_null()))
        })?;
        assert_eq!(ended, json!({ "code": 1000, "reason": "", "wasClean": true }));
        told(&format!("{} as client", browser.version()), ours, plan, &outcome);
        let Talk { offered, agreed, told, .. } = outcome.0;
        let answer = Answer { answered: agreed, told };
        seen.offered = offered;
        *(if ours == Ours::Default { &mut seen.by_default } else { &mut seen.with_window }) =
            answer;
    }
    seen.write(kind)
}

/// Serves the page that echoes; gives its address.
async fn page() -> String {
    const SCRIPT: &str = include_str!("../../../conformance/deflate/tally.js");
    let script = ([(CONTENT_TYPE, "text/javascript")], SCRIPT);
    let app = Router::new()
        .route("/", get(Html(include_str!("page.html"))))
        .route("/tally.js", get(script));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/")
}
