//! The live page's files, embedded in the binary.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// The page itself.
pub(crate) fn index() -> Response {
    file(HTML, include_str!("page/index.html"))
}

/// What it needs, and the other page that it leaves for.
pub(crate) fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/page.css", get(async || file(CSS, include_str!("page/page.css"))))
        .route("/page.js", get(async || file(JS, include_str!("page/page.js"))))
        .route("/away", get(async || file(HTML, include_str!("page/away.html"))))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        // Never no-store: it would keep the page out of the back/forward cache, whose effect on
        // a WebSocket is one of the things to see here.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'self'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
