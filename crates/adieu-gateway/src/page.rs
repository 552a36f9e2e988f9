//! The live page's files, embedded in the binary.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// One file under the path that it is served at.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! asset {
    ($path:expr, $kind:expr, $name:literal) => {
        Asset { path: $path, kind: $kind, text: include_str!(concat!("page/", $name)) }
    };
}

/// A module: its path is its place here, so that relative imports hold.
macro_rules! module {
    ($name:literal) => {
        asset!(concat!("/page/", $name), JS, $name)
    };
}

const VERSION: &str = concat!("export const VERSION = \"", env!("CARGO_PKG_VERSION"), "\";\n");

const ASSETS: &[Asset] = &[
    asset!("/page.css", CSS, "page.css"),
    asset!("/sessions.css", CSS, "sessions.css"),
    asset!("/dead-letters.css", CSS, "dead-letters.css"),
    asset!("/away", HTML, "away.html"),
    // Documents of this version, as they are written.
    asset!("/docs/endings.md", TEXT, "docs/endings.md"),
    asset!("/docs/sessions.md", TEXT, "docs/sessions.md"),
    asset!("/docs/browsers.md", TEXT, "docs/browsers.md"),
    Asset { path: "/page/version.js", kind: JS, text: VERSION },
    module!("footer.js"),
    module!("streams.js"),
    module!("main.js"),
    module!("away.js"),
    module!("connection.js"),
    module!("accounts.js"),
    module!("list.js"),
    module!("runs.js"),
    module!("tabs.js"),
    module!("latest.js"),
    module!("filters.js"),
    module!("cards.js"),
    module!("picture.js"),
    module!("moments.js"),
    module!("meaning.js"),
    module!("sessions.js"),
    module!("session-list.js"),
    module!("session-words.js"),
    module!("time-line.js"),
    module!("session.js"),
    module!("adieu-client.js"),
    module!("redrawn.js"),
    module!("dead-letters.js"),
    module!("words.js"),
    module!("elements.js"),
];

/// The page itself.
pub(crate) fn index() -> Response {
    file(&asset!("/", HTML, "index.html"))
}

/// What it needs, the page that it leaves for, and the page of a session.
pub(crate) fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(
        Router::new()
            .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
            .route("/session", get(session)),
        |router, asset| router.route(asset.path, get(async move || file(asset))),
    )
}

/// Opened, it begins a session with the gateway's own Origin, as the user in its query: not for a
/// page of another site, by a link or in a frame (browsers say so by Fetch Metadata).
async fn session(headers: HeaderMap) -> Response {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if matches!(site, None | Some(b"none" | b"same-origin")) {
        return file(&asset!("/session", HTML, "session.html"));
    }
    // FAQ: gateway-own-link
    let why = "This page begins a session, and another site led here. To open it all the same, \
               load it once more from the browser's address bar.\n";
    (StatusCode::FORBIDDEN, why).into_response()
}

fn file(asset: &'static Asset) -> Response {
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        // Never no-store: it would keep the page out of the back/forward cache, whose effect on
        // a WebSocket is one of the things to see here.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'self'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.text).into_response()
}
