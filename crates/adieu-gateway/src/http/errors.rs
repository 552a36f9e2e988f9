//! Each error of the API is `{"error": "…"}`, whoever found it: our code, or the router in front.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::json;

use crate::rare::shown;
use crate::session::wire::MAX_PAYLOAD;

/// Bytes of a sentence of the router in front.
const MAX_SENTENCE: usize = 4 * 1024;

/// The API with its unknown paths, and its errors as JSON.
pub(super) fn as_json(api: axum::Router) -> axum::Router {
    api.route("/api", any(unknown))
        .route("/api/", any(unknown))
        .route("/api/{*path}", any(unknown))
        .layer(from_fn(rewritten))
}

async fn unknown(uri: Uri) -> Response {
    // FAQ: api-no-path
    let why = format!(
        "{} is no path of the API, which has /api/sessions, /api/users/USER, /api/messages and \
         /api/dead-letters",
        shown(uri.path())
    );
    (StatusCode::NOT_FOUND, Json(json!({ "error": why }))).into_response()
}

async fn rewritten(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let length = request.headers().get(CONTENT_LENGTH).cloned();
    let response = next.run(request).await;
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    if !failed || is_json(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let sentence = to_bytes(body, MAX_SENTENCE).await.unwrap_or_default();
    let mut why = why(status, &method, &String::from_utf8_lossy(&sentence));
    if let (StatusCode::PAYLOAD_TOO_LARGE, Some(Ok(length))) =
        (status, length.as_ref().map(HeaderValue::to_str))
    {
        why += &format!(", and this one has {}", shown(length));
    }
    parts.headers.remove(CONTENT_LENGTH);
    let json = HeaderValue::from_static("application/json");
    parts.headers.insert(CONTENT_TYPE, json);
    Response::from_parts(parts, json!({ "error": why }).to_string().into())
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

fn why(status: StatusCode, method: &Method, sentence: &str) -> String {
    match status {
        // Which it knows, the router adds later.
        // FAQ: api-method
        StatusCode::METHOD_NOT_ALLOWED => {
            format!(
                "this path does not know the method {}; the field Allow has those it knows",
                shown(method.as_str())
            )
        }
        // FAQ: api-body-too-long
        StatusCode::PAYLOAD_TOO_LARGE => format!("a body has {MAX_PAYLOAD} bytes at most"),
        _ if sentence.is_empty() => status.to_string(),
        _ => sentence.to_owned(),
    }
}
