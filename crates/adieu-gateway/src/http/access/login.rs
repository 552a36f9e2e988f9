//! A link that logs a browser in, once: for the person who has started the gateway and reads its
//! terminal.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::{Access, WRONG_KEY_WAITS, WrongKey};
use crate::random::random;
use crate::requests::{Kind, Refusal};

/// How long the link is good for: a person clicks on it or has gone.
pub const LOGIN_LASTS: Duration = Duration::from_secs(5 * 60);

/// Bytes of chance in a link.
const TOKEN: usize = 24;

/// The link that nobody has used yet, if there is one.
#[derive(Debug, Default)]
pub(super) struct Link(Mutex<Option<Unused>>);

struct Unused {
    token: String,
    until: Instant,
}

impl std::fmt::Debug for Unused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unused")
    }
}

impl Access {
    /// The path and query of a link that logs a browser in, once, within [`LOGIN_LASTS`]. The one
    /// before is good for nothing any more. `None` without a key: there is nothing to log in to.
    #[must_use]
    pub fn login_link(&self) -> Option<String> {
        self.key.as_ref()?;
        let mut token = String::new();
        for byte in random::<TOKEN>() {
            let _ = write!(token, "{byte:02x}");
        }
        let link = format!("/login?token={token}");
        *self.unused() = Some(Unused { token, until: Instant::now() + LOGIN_LASTS });
        Some(link)
    }

    fn unused(&self) -> std::sync::MutexGuard<'_, Option<Unused>> {
        self.link.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the token of the link. It is used up then.
    fn uses(&self, token: &str, now: Instant) -> bool {
        let mut unused = self.unused();
        let is_it = unused
            .as_ref()
            .is_some_and(|unused| now < unused.until && self.are_alike(token, &unused.token));
        if is_it {
            *unused = None;
        }
        is_it
    }
}

/// `/login`, where such a link leads.
pub fn login(access: Access) -> Router {
    Router::new().route("/login", get(log_in)).with_state(access)
}

#[derive(Deserialize)]
struct Presented {
    #[serde(default)]
    token: String,
}

async fn log_in(
    State(access): State<Access>,
    method: Method,
    headers: HeaderMap,
    Query(presented): Query<Presented>,
) -> Response {
    // Nobody sees a page that is fetched ahead.
    if method != Method::GET || headers.contains_key("sec-purpose") {
        return StatusCode::NO_CONTENT.into_response();
    }
    if !access.uses(&presented.token, Instant::now()) {
        return used_up().await;
    }
    let cookie = access.set_cookie().map(|value| [(SET_COOKIE, value)]);
    // The link itself is passed on to nobody.
    let fields = [(LOCATION, "/"), (CACHE_CONTROL, "no-store"), (REFERRER_POLICY, "no-referrer")];
    match cookie {
        Some(cookie) => (StatusCode::SEE_OTHER, cookie, fields).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn used_up() -> Response {
    // It may be a guess.
    tokio::time::sleep(WRONG_KEY_WAITS).await;
    // FAQ: gateway-login-link
    let why = "this link was used before, or is too old, or another gateway has made it; open / \
               and log in with what ADIEU_API_KEY was set to as the password, and any user name\n";
    let mut response = (StatusCode::UNAUTHORIZED, why).into_response();
    let refusal = Refusal::new(Kind::WrongKey, "a login link that is not good any more");
    response.extensions_mut().insert(refusal);
    response.extensions_mut().insert(WrongKey);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access::new(Some("a-key-of-many-characters")).unwrap()
    }

    fn token(access: &Access) -> String {
        let link = access.login_link().unwrap();
        link.strip_prefix("/login?token=").unwrap().to_owned()
    }

    #[test]
    fn a_link_is_good_once_and_for_a_while() {
        let (access, now) = (access(), Instant::now());
        let first = token(&access);
        assert!(first.len() == 2 * TOKEN && !access.uses("", now) && !access.uses("x", now));
        let clone = access.clone();
        assert!(clone.uses(&first, now) && !access.uses(&first, now), "once, of all clones");
        let old = token(&access);
        assert!(!access.uses(&old, now + LOGIN_LASTS + Duration::from_secs(1)), "for a while");
        let (before, last) = (token(&access), token(&access));
        assert!(!access.uses(&before, now) && access.uses(&last, now), "the last one alone");
        assert!(Access::new(None).unwrap().login_link().is_none());
    }
}
