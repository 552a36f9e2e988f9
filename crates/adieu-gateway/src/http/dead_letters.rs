//! Dead letters over the API: what the backend would not take is listed, sent again, thrown away.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::gateway::Gateway;
use crate::hook::{DeadLetterList, Order, Part};

/// Dead letters in one answer, if the request names no number, and at most.
const LISTED: usize = 100;
const MAX_LISTED: usize = 1_000;

/// The routes; to be guarded as the rest of the API is.
pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/api/dead-letters", get(list))
        .route("/api/dead-letters/retry", post(retry_all))
        .route("/api/dead-letters/{id}", delete(discard))
        .route("/api/dead-letters/{id}/retry", post(retry))
}

/// Which part of the list, as it is asked for.
#[derive(Deserialize)]
struct Asked {
    order: Option<String>,
    /// `next` of the part before.
    after: Option<String>,
    limit: Option<String>,
}

impl Asked {
    fn part(&self) -> Result<Part, Box<Response>> {
        let bad = |why: String| Box::new(wrong(StatusCode::BAD_REQUEST, &why));
        let order = match self.order.as_deref() {
            None | Some("oldest") => Order::Oldest,
            Some("newest") => Order::Newest,
            Some(order) => {
                return Err(bad(format!("order={order:?} is neither oldest nor newest")));
            }
        };
        let limit = match self.limit.as_deref().map(str::parse::<usize>) {
            None => LISTED,
            Some(Ok(limit @ 1..=MAX_LISTED)) => limit,
            Some(_) => {
                let limit = self.limit.as_deref().unwrap_or_default();
                return Err(bad(format!("limit={limit:?} is no number from 1 to {MAX_LISTED}")));
            }
        };
        let after = self.after.as_deref().map(read).transpose()?;
        Ok(Part { order, after, limit })
    }
}

/// What the list says.
#[derive(Serialize)]
struct Listed {
    /// Events that are on the way to the backend, and not set aside.
    waiting: usize,
    #[serde(flatten)]
    list: DeadLetterList,
}

async fn list(State(gateway): State<Gateway>, Query(asked): Query<Asked>) -> Response {
    match asked.part() {
        Ok(part) => {
            gateway.read_dead_letters().await;
            let deliveries = gateway.deliveries();
            let waiting = deliveries.waiting().events;
            Json(Listed { waiting, list: deliveries.dead_letters(part) }).into_response()
        }
        Err(wrong) => *wrong,
    }
}

async fn retry(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    gateway.read_dead_letters().await;
    match read(&id) {
        Err(wrong) => *wrong,
        Ok(_) if !gateway.deliveries().has_backend() => no_backend(),
        Ok(number) if gateway.deliveries().retry(&gateway, number) => {
            StatusCode::ACCEPTED.into_response()
        }
        Ok(_) => none(&id),
    }
}

async fn retry_all(State(gateway): State<Gateway>) -> Response {
    if !gateway.deliveries().has_backend() {
        return no_backend();
    }
    gateway.read_dead_letters().await;
    let retried = gateway.deliveries().retry_all(&gateway);
    (StatusCode::ACCEPTED, Json(json!({ "retried": retried }))).into_response()
}

/// Answered when it is committed.
async fn discard(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    let number = match read(&id) {
        Err(wrong) => return *wrong,
        Ok(number) => number,
    };
    gateway.read_dead_letters().await;
    let Some(change) = gateway.deliveries().discard(&gateway, number).await else {
        return none(&id);
    };
    match gateway.write_down(vec![change]).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => wrong(StatusCode::SERVICE_UNAVAILABLE, &error.over_http()),
    }
}

fn read(id: &str) -> Result<u64, Box<Response>> {
    id.parse().map_err(|_| {
        let why = format!("{id:?} is no number of a dead letter: GET /api/dead-letters lists them");
        Box::new(wrong(StatusCode::BAD_REQUEST, &why))
    })
}

fn none(id: &str) -> Response {
    // FAQ: api-no-dead-letter
    let why = format!("there is no dead letter {id}: it was taken, discarded or let go");
    wrong(StatusCode::NOT_FOUND, &why)
}

fn no_backend() -> Response {
    // FAQ: api-no-backend
    let why = "nothing can be sent again: this gateway has no backend; start it with --backend URL";
    wrong(StatusCode::CONFLICT, why)
}

fn wrong(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}
