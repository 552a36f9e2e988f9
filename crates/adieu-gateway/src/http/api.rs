//! The API of the backend: send to a session or a user, look at them, end them.

#[cfg(test)]
mod tests;

use std::sync::Arc;
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
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Access, errors, guarded};
use crate::gateway::{Gateway, GatewayError};
use crate::session::command::{Full, Outgoing, SessionCommand};
use crate::session::wire::{FinalClose, MAX_PAYLOAD, NotFinal, Payload};
use crate::session::{Command, Reply, SessionId, View};

/// How long a request may take, its body included: one that dribbles in is not waited for.
const DEADLINE: Duration = Duration::from_secs(15);

/// Sessions in one answer at most.
const LISTED: usize = 1_000;

/// Recipients of one request at most.
const RECIPIENTS: usize = 1_000;

/// Bytes of a request to many: a payload in base64 or with escapes, and its recipients.
const MAX_MANY: usize = 6 * MAX_PAYLOAD + RECIPIENTS * 512;

/// Characters of an Idempotency-Key at most.
const MAX_KEY: usize = 256;

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
        // Base64 adds a third, and the recipients come on top.
        .route("/api/messages", axum::routing::post(send_to_many))
        .layer(DefaultBodyLimit::max(MAX_MANY))
        .layer(from_fn(deadline))
        .with_state(gateway);
    guarded(errors::as_json(api), access)
}

async fn deadline(request: Request, next: Next) -> Response {
    tokio::time::timeout(DEADLINE, next.run(request)).await.unwrap_or_else(|_| {
        let why =
            // FAQ: api-not-whole
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
        Wrong(StatusCode::SERVICE_UNAVAILABLE, error.over_http())
    }
}

fn no_session(what: &str) -> Wrong {
    // FAQ: api-no-session
    let why = format!("{what} is not here: no such session, or it is over");
    Wrong(StatusCode::NOT_FOUND, why)
}

/// A limit does not allow it: later it may.
fn full(full: Full) -> Wrong {
    Wrong(StatusCode::TOO_MANY_REQUESTS, format!("{full} ({})", full.word()))
}

/// Which part of all sessions is asked for.
#[derive(Deserialize)]
struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

/// What a list says.
#[derive(Serialize)]
struct Sessions {
    /// All there are.
    total: usize,
    sessions: Vec<View>,
    /// What to ask for as `after` to see more; absent behind the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<SessionId>,
}

async fn sessions(
    State(gateway): State<Gateway>,
    Query(page): Query<Page>,
) -> Result<Json<Sessions>, Wrong> {
    let after = page.after.as_deref().map(read_id).transpose()?;
    let limit = page.limit.unwrap_or(LISTED).clamp(1, LISTED);
    let counts = gateway.count().await?;
    // One more says whether there is another part.
    let mut sessions = gateway.list(after, limit + 1).await?;
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let next = sessions.last().map(|view| view.session_id).filter(|_| more);
    Ok(Json(Sessions { total: counts.attached + counts.away, sessions, next }))
}

fn read_id(id: &str) -> Result<SessionId, Wrong> {
    id.parse().map_err(|error| Wrong(StatusCode::BAD_REQUEST, format!("{id:?}: {error}")))
}

async fn session(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
) -> Result<Json<View>, Wrong> {
    let id = read_id(&id)?;
    let view = gateway.view(id).await?;
    view.map(Json).ok_or_else(|| no_session(&id.to_string()))
}

async fn send_to_session(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Wrong> {
    let id = read_id(&id)?;
    let send = SessionCommand::Send(outgoing(&gateway, &headers, payload(&headers, &body)?)?);
    of_session(&gateway, id, send).await?;
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
    let sessions = gateway.views_of(user.as_str().into()).await?;
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
    let send = SessionCommand::Send(outgoing(&gateway, &headers, payload(&headers, &body)?)?);
    let all = of_user(&gateway, &user, send).await?;
    Ok((StatusCode::ACCEPTED, all).into_response())
}

/// A message to many.
#[derive(Deserialize)]
struct ToMany {
    to: Vec<Recipient>,
    text: Option<String>,
    binary: Option<String>,
}

/// What a body is not that cannot be read.
const MANY: &str = "the body is no {\"to\": [{\"sessionId\": …}, {\"userId\": …}], \"text\": …}";

/// One of them.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Recipient {
    SessionId(SessionId),
    UserId(Arc<str>),
}

/// What became of a message to many.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct SentToMany {
    /// Sessions that it is sent to.
    sessions: usize,
    /// Recipients that are not here.
    not_here: Vec<Recipient>,
    /// Recipients of whom a limit does not allow it; of a user, for one session at least.
    full: Vec<Recipient>,
}

async fn send_to_many(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Wrong> {
    let wrong = |why: String| Wrong(StatusCode::BAD_REQUEST, why);
    if kind(&headers).starts_with("text/") {
        // A client that was led here by a name in its path ("..") would send the words of a person.
        // FAQ: api-many-content-type
        let why = "a message to many is JSON: Content-Type: application/json, and not text";
        return Err(Wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, why.into()));
    }
    let many: ToMany =
        serde_json::from_slice(&body).map_err(|error| wrong(format!("{MANY}: {error}")))?;
    if many.to.len() > RECIPIENTS {
        return Err(wrong(format!("{} recipients; {RECIPIENTS} at most", many.to.len())));
    }
    let payload = match (many.text, many.binary) {
        (Some(text), None) => Payload::Text(text),
        (None, Some(base64)) => Payload::Binary(
            STANDARD.decode(base64).map_err(|error| wrong(format!("binary: {error}")))?,
        ),
        _ => return Err(wrong("a message has text or binary (base64), one of the two".into())),
    };
    if payload.len() > MAX_PAYLOAD {
        let why = format!("a message has {MAX_PAYLOAD} bytes at most, not {}", payload.len());
        return Err(Wrong(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    // Written as JSON once, and kept once, however many it is for.
    let send = SessionCommand::Send(outgoing(&gateway, &headers, payload)?);
    let commands = many.to.iter().map(|recipient| match recipient {
        Recipient::SessionId(id) => Command::Session(*id, send.clone()),
        Recipient::UserId(user) => Command::User(user.clone(), send.clone()),
    });
    let replies = gateway.commands(commands.collect()).await?;
    let mut sent = SentToMany::default();
    for (recipient, reply) in many.to.into_iter().zip(replies) {
        match reply {
            Reply::Done => sent.sessions += 1,
            Reply::Several { done: 0, full } if full.is_empty() => sent.not_here.push(recipient),
            Reply::Several { done, full } => {
                sent.sessions += done;
                if !full.is_empty() {
                    gateway.metrics().full(&full);
                    sent.full.push(recipient);
                }
            }
            Reply::Full(why) => {
                gateway.metrics().full(&[why]);
                sent.full.push(recipient);
            }
            _ => sent.not_here.push(recipient),
        }
    }
    Ok((StatusCode::ACCEPTED, Json(sent)).into_response())
}

/// A message as the sessions take it. With an Idempotency-Key it is taken once, however often the
/// request is repeated.
fn outgoing(gateway: &Gateway, headers: &HeaderMap, payload: Payload) -> Result<Outgoing, Wrong> {
    let mut outgoing = Outgoing::new(payload, gateway.tag());
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
        let why = || format!("an Idempotency-Key has 1 to {MAX_KEY} characters of ASCII");
        let key = key.ok_or_else(|| Wrong(StatusCode::BAD_REQUEST, why()))?;
        outgoing.key = Some(gateway.idempotency(key));
    }
    Ok(outgoing)
}

/// How a session is ended.
#[derive(Deserialize)]
struct Close {
    code: Option<u16>,
    reason: Option<String>,
}

impl Close {
    fn read(self) -> Result<Option<FinalClose>, Wrong> {
        let reason = self.reason.unwrap_or_default();
        let Some(code) = self.code else {
            return if reason.is_empty() {
                Ok(None)
            } else {
                Err(Wrong(StatusCode::BAD_REQUEST, "a reason needs a code, like 4000".into()))
            };
        };
        let wrong = |error: NotFinal| Wrong(StatusCode::BAD_REQUEST, error.to_string());
        FinalClose::new(code, reason).map(Some).map_err(wrong)
    }
}

async fn end_session(
    State(gateway): State<Gateway>,
    Path(id): Path<String>,
    Query(close): Query<Close>,
) -> Result<StatusCode, Wrong> {
    let id = read_id(&id)?;
    of_session(&gateway, id, SessionCommand::End(close.read()?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_user(
    State(gateway): State<Gateway>,
    Path(user): Path<String>,
    Query(close): Query<Close>,
) -> Result<Json<OfUser>, Wrong> {
    of_user(&gateway, &user, SessionCommand::End(close.read()?)).await
}

/// Does something with a session.
async fn of_session(
    gateway: &Gateway,
    id: SessionId,
    command: SessionCommand,
) -> Result<(), Wrong> {
    match gateway.command(Command::Session(id, command)).await? {
        Reply::Full(why) => {
            gateway.metrics().full(&[why]);
            Err(full(why))
        }
        Reply::NoSession => Err(no_session(&id.to_string())),
        _ => Ok(()),
    }
}

/// What became of a command to each session of a user.
#[derive(Serialize)]
struct OfUser {
    /// Sessions for which it is done.
    sessions: usize,
    /// Sessions for which a limit does not allow it; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    full: Option<usize>,
}

/// Does something with each session of a user; how many those are. It is an error if a limit does
/// not allow it for any of them.
async fn of_user(
    gateway: &Gateway,
    user: &str,
    command: SessionCommand,
) -> Result<Json<OfUser>, Wrong> {
    let reply = gateway.command(Command::User(user.into(), command)).await?;
    let Reply::Several { done, full } = reply else { return Err(no_session(user)) };
    gateway.metrics().full(&full);
    match (done, full.first()) {
        (0, Some(why)) => Err(self::full(*why)),
        (0, None) => Err(no_session(user)),
        (sessions, why) => Ok(Json(OfUser { sessions, full: why.map(|_| full.len()) })),
    }
}

/// The body as a message: octets are binary, what is text or JSON is text.
/// The media type of the body, without its parameters.
fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

fn payload(headers: &HeaderMap, body: &Bytes) -> Result<Payload, Wrong> {
    let kind = kind(headers);
    if kind == "application/octet-stream" {
        return Ok(Payload::Binary(body.to_vec()));
    }
    if kind != "application/json" && !kind.starts_with("text/") {
        let why = format!(
            // FAQ: api-content-type
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
