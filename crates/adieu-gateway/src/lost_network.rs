//! The network of one connection is lost, by a button of the session page: to see how long it takes
//! until each side notices, and what it says then.
//!
//! The kernel drops every packet that comes on the connection from then on, as if the cable of the
//! client had been pulled: no Close, no FIN, no RST and no acknowledgement.

use std::io;
use std::net::TcpStream;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::live::Watched;
use crate::session::SessionId;

/// `POST /sessions/{id}/lose-network`. Whoever may see the page may end sessions, too.
pub(crate) async fn of_session(State(watched): State<Watched>, Path(id): Path<String>) -> Response {
    let session = match id.parse::<SessionId>() {
        Ok(session) => session,
        Err(error) => return wrong(StatusCode::BAD_REQUEST, &format!("{id:?}: {error}")),
    };
    let Some(connection) = watched.gateway.connection_of(session).await else {
        return no_connection(session);
    };
    match connection.try_clone_tcp().and_then(|tcp| drop_what_comes(&tcp)) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        // It was closed while it was looked for.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => no_connection(session),
        Err(error) => {
            let why = format!("this server cannot drop the packets of one connection: {error}");
            wrong(StatusCode::NOT_IMPLEMENTED, &why)
        }
    }
}

fn no_connection(session: SessionId) -> Response {
    let why = format!("the session {session} has no connection now that could lose its network");
    wrong(StatusCode::NOT_FOUND, &why)
}

#[cfg(target_os = "linux")]
fn drop_what_comes(tcp: &TcpStream) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    // BPF_RET with a constant: of each packet no byte is kept.
    const KEEP_NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);
    SockRef::from(tcp).attach_filter(&[KEEP_NOTHING])
}

#[cfg(not(target_os = "linux"))]
fn drop_what_comes(_: &TcpStream) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "packet filters on sockets are of Linux"))
}

fn wrong(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}
