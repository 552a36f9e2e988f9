//! The API of the backend: send to a session or a user, look at them, end them.

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Access, guarded};
use crate::gateway::{Gateway, GatewayError};
use crate::session::hub::{Hub, NoSession, Step, View};
use crate::session::wire::{MAX_PAYLOAD, Payload};
use crate::session::{SessionId, Timestamp};

/// How long a request may take, its body included: one that dribbles in is not waited for.
const DEADLINE: Duration = Duration::from_secs(15);

/// Sessions in one answer at most.
const LISTED: usize = 1_000;

/// The API, for who may use it.
pub fn router(gateway: Gateway, access: Access) -> Router {
    let api = Router::new()
        .route("/api/sessions", get(sessions))
        .route("/api/sessions/{id}", get(session).delete(end_session))
        .route("/api/sessions/{id}/messages", axum::routing::post(send_to_session))
        .route("/api/users/{user}", get(user).delete(end_user))
        .route("/api/users/{user}/messages", axum::routing::post(send_to_user))
        .merge(super::dead_letters::routes())
        .layer(DefaultBodyLimit::max(MAX_PAYLOAD))
        .layer(from_fn(deadline))
        .with_state(gateway);
    guarded(api, access)
}

async fn deadline(request: Request, next: Next) -> Response {
    tokio::time::timeout(DEADLINE, next.run(request)).await.unwrap_or_else(|_| {
        let why =
            format!("the request was not whole, or the store did not answer, in {DEADLINE:?}");
        Wrong(StatusCode::REQUEST_TIMEOUT, why).into_response()
    })
}

/// What was wrong, for people.
struct Wrong(StatusCode, String);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<GatewayError> for Wrong {
    fn from(error: GatewayError) -> Self {
        Wrong(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

fn no_session(what: &str) -> Wrong {
    let why = format!("{what} is not here: no such session, or it is over");
    Wrong(StatusCode::NOT_FOUND, why)
}

/// What a list says.
#[derive(Serialize)]
struct Sessions {
    /// All there are.
    total: usize,
    sessions: Vec<View>,
}

async fn sessions(State(gateway): State<Gateway>) -> Result<Json<Sessions>, Wrong> {
    let list = gateway.look(|hub| {
        let sessions = hub.ids().take(LISTED).filter_map(|id| hub.view(id)).collect();
        Sessions { total: hub.len(), sessions }
    });
    Ok(Json(list.await?))
}

fn read_id(id: &str) -> Result<SessionId, Wrong> {
    id.parse().map_err(|error| Wrong(StatusCode::BAD_REQUEST, format!("{id:?}: {error}")))
}

async fn session(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
) -> Result<Json<View>, Wrong> {
    let id = read_id(&id)?;
    let view = gateway.look(move |hub| hub.view(id)).await?;
    view.map(Json).ok_or_else(|| no_session(&id.to_string()))
}

async fn send_to_session(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Wrong> {
    let id = read_id(&id)?;
    let payload = payload(&headers, &body)?;
    of_session(&gateway, id, move |hub, now| hub.send(now, id, &payload)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// A user's sessions.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    user_id: String,
    sessions: Vec<View>,
}

async fn user(
    State(gateway): State<Gateway>,
    Path(user): Path<String>,
) -> Result<Json<User>, Wrong> {
    let name = user.clone();
    let found = gateway
        .look(move |hub| hub.of_user(&name).filter_map(|id| hub.view(id)).collect::<Vec<_>>());
    let sessions = found.await?;
    if sessions.is_empty() {
        return Err(no_session(&user));
    }
    Ok(Json(User { user_id: user, sessions }))
}

async fn send_to_user(
    State(gateway): State<Gateway>,
    Path(user): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Wrong> {
    let payload = payload(&headers, &body)?;
    let all = of_user(&gateway, user, move |hub, now, id| hub.send(now, id, &payload)).await?;
    Ok((StatusCode::ACCEPTED, all).into_response())
}

/// How a session is ended.
#[derive(Deserialize)]
struct Close {
    code: Option<u16>,
    reason: Option<String>,
}

impl Close {
    fn read(self) -> Result<Option<adieu::Close>, Wrong> {
        let reason = self.reason.unwrap_or_default();
        let Some(code) = self.code else {
            return if reason.is_empty() {
                Ok(None)
            } else {
                Err(Wrong(StatusCode::BAD_REQUEST, "a reason needs a code, like 4000".into()))
            };
        };
        let wrong = |error: adieu::UsageError| Wrong(StatusCode::BAD_REQUEST, error.to_string());
        adieu::Close::new(code, reason).map(Some).map_err(wrong)
    }
}

async fn end_session(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Query(close): Query<Close>,
) -> Result<StatusCode, Wrong> {
    let id = read_id(&id)?;
    let close = close.read()?;
    of_session(&gateway, id, move |hub, now| hub.end(now, id, close)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_user(
    State(gateway): State<Gateway>,
    Path(user): Path<String>,
    Query(close): Query<Close>,
) -> Result<Json<Value>, Wrong> {
    let close = close.read()?;
    of_user(&gateway, user, move |hub, now, id| hub.end(now, id, close.clone())).await
}

/// Does something with a session.
async fn of_session(
    gateway: &Gateway,
    id: SessionId,
    act: impl FnOnce(&mut Hub, Timestamp) -> Result<Step, NoSession> + Send + 'static,
) -> Result<(), Wrong> {
    let done = gateway.act(move |scene, now| match act(scene.hub, now) {
        Ok(step) => (true, step),
        Err(NoSession) => (false, Step::default()),
    });
    if done.await? { Ok(()) } else { Err(no_session(&id.to_string())) }
}

/// Does something with each session of a user; how many those are.
async fn of_user(
    gateway: &Gateway,
    user: String,
    act: impl Fn(&mut Hub, Timestamp, SessionId) -> Result<Step, NoSession> + Send + 'static,
) -> Result<Json<Value>, Wrong> {
    let name = user.clone();
    let done = gateway.act(move |scene, now| {
        let ids: Vec<_> = scene.hub.of_user(&name).collect();
        let mut step = Step::default();
        for id in &ids {
            step.append(act(scene.hub, now, *id).unwrap_or_default());
        }
        (ids.len(), step)
    });
    match done.await? {
        0 => Err(no_session(&user)),
        sessions => Ok(Json(json!({ "sessions": sessions }))),
    }
}

/// The body as a message: octets are binary, what is text or JSON is text.
fn payload(headers: &HeaderMap, body: &Bytes) -> Result<Payload, Wrong> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if kind == "application/octet-stream" {
        return Ok(Payload::Binary(body.to_vec()));
    }
    if kind != "application/json" && !kind.starts_with("text/") {
        let why = format!(
            "Content-Type {kind:?} is not known here: text/plain or application/json for a text \
             message, application/octet-stream for a binary one"
        );
        return Err(Wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    match std::str::from_utf8(body) {
        Ok(text) => Ok(Payload::Text(text.to_owned())),
        Err(error) => Err(Wrong(StatusCode::BAD_REQUEST, format!("the body is no UTF-8: {error}"))),
    }
}
