//! The site of a page that has a session: the page, the client, and another page to go to.

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;

const PAGE: &str = include_str!("page.html");

/// As `npm run build` made it.
fn client() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/dist/index.js");
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run npm run build there", file.display()))
}

/// Serves it; where.
pub(crate) async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let script = client();
    let app = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/client.js", get(async || ([(CONTENT_TYPE, "text/javascript")], script)))
        .route("/away", get(async || Html("<!doctype html><title>Away</title><p>Elsewhere.")));
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    addr
}
