//! Why a request was refused, and the line of the log that says so: one of each kind now and then,
//! so that strangers fill no disk.

use std::borrow::Cow;
use std::net::SocketAddr;

use adieu::HandshakeError;
use axum::http::StatusCode;
use axum::response::Response;

use super::Asked;
use crate::rare::{Rare, shown};

/// Kinds of refusals: each has lines of its own, so that many of one do not hide another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A page of a site that is not allowed, or under a name that is not the gateway's.
    Site,
    /// A key that is wrong, or a login link.
    WrongKey,
    /// Without a key, from another machine.
    Afar,
    /// A limit that the operator has set.
    Limit,
    /// The gateway has failed, or cannot go on now.
    Failed,
    /// The backend has said no.
    Backend,
    /// The gateway stops.
    Stopping,
    /// A request without the key: browsers send one before they ask for it.
    NoKey,
    /// What the client sent is wrong.
    Request,
    /// No HTTP, or no TLS.
    Protocol,
}

impl Kind {
    const COUNT: usize = Kind::Protocol as usize + 1;

    /// Whether the operator can help it. The others are the client's.
    fn is_the_operators(self) -> bool {
        match self {
            Kind::Site | Kind::WrongKey | Kind::Afar | Kind::Limit | Kind::Failed => true,
            Kind::Backend | Kind::Stopping | Kind::NoKey | Kind::Request | Kind::Protocol => false,
        }
    }
}

/// Why a request was refused. It stands among the extensions of a response where that says more
/// than the status.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// `None` if it has been logged already.
    kind: Option<Kind>,
    why: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(kind: Kind, why: impl Into<Cow<'static, str>>) -> Self {
        Refusal { kind: Some(kind), why: why.into() }
    }

    /// One that has its own line in the log.
    pub(crate) fn logged() -> Self {
        Refusal { kind: None, why: Cow::Borrowed("") }
    }

    /// Why a response is a refusal, if it is one.
    pub(super) fn of(response: &Response, path: &str) -> Option<Self> {
        let status = response.status();
        // A probe is told how things stand; what is not there is no refusal.
        let is_answer = status == StatusCode::NOT_FOUND || path == "/readyz";
        if !(status.is_client_error() || status.is_server_error()) || is_answer {
            return None;
        }
        if let Some(refusal) = response.extensions().get::<Refusal>() {
            return Some(refusal.clone());
        }
        if let Some(error) = response.extensions().get::<HandshakeError>() {
            return Some(Self::of_handshake(error));
        }
        Some(Self::of_status(status))
    }

    fn of_handshake(error: &HandshakeError) -> Self {
        use HandshakeError as H;
        match error {
            H::Full => Refusal::new(Kind::Limit, format!("{error} (--max-connections)")),
            H::TooManyFromAddress => Refusal::new(Kind::Limit, error.to_string()),
            H::Draining => Refusal::new(Kind::Stopping, "the gateway is stopping"),
            H::Panicked => Refusal::new(Kind::Failed, error.to_string()),
            // These quote a field.
            H::Version(_) => Refusal::new(Kind::Request, "its WebSocket version is not served"),
            H::Origin(_) => Refusal::new(Kind::Request, "its Origin is not allowed"),
            error => Refusal::new(Kind::Request, error.to_string()),
        }
    }

    fn of_status(status: StatusCode) -> Self {
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => Kind::Limit,
            _ if status.is_server_error() => Kind::Failed,
            _ => Kind::Request,
        };
        Refusal::new(kind, status.canonical_reason().unwrap_or("it was refused"))
    }
}

/// When a line of each kind was last written.
#[derive(Debug, Default)]
pub(super) struct Log([Rare; Kind::COUNT]);

impl Log {
    /// A request was answered with this status.
    pub(super) fn request(&self, refusal: &Refusal, status: StatusCode, asked: &Asked) {
        let Some((kind, left_out)) = self.due(refusal) else { return };
        let (status, why) = (status.as_u16(), &refusal.why);
        let request_id = asked.id.to_str().unwrap_or_default();
        let (method, path) = (shown(asked.method.as_str()), shown(asked.uri.path()));
        let (path, peer) = (&*path, address(asked.peer));
        if kind.is_the_operators() {
            tracing::warn!(%peer, %method, path, request_id, left_out, "answered {status}: {why}");
        } else {
            tracing::info!(%peer, %method, path, request_id, left_out, "answered {status}: {why}");
        }
    }

    /// A connection or a session was refused.
    pub(super) fn other(&self, refusal: &Refusal, peer: Option<SocketAddr>, id: Option<&str>) {
        let Some((kind, left_out)) = self.due(refusal) else { return };
        let (peer, why) = (address(peer), &refusal.why);
        if kind.is_the_operators() {
            tracing::warn!(%peer, request_id = id, left_out, "refused: {why}");
        } else {
            tracing::info!(%peer, request_id = id, left_out, "refused: {why}");
        }
    }

    /// The kind, and how many were left out, if a line is due.
    fn due(&self, refusal: &Refusal) -> Option<(Kind, u64)> {
        let kind = refusal.kind?;
        Some((kind, self.0[kind as usize].due()?))
    }
}

fn address(peer: Option<SocketAddr>) -> String {
    peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(response: (StatusCode, Option<HandshakeError>), path: &str) -> Option<(Kind, String)> {
        let mut answer = Response::default();
        *answer.status_mut() = response.0;
        if let Some(error) = response.1 {
            answer.extensions_mut().insert(error);
        }
        let refusal = Refusal::of(&answer, path)?;
        Some((refusal.kind?, refusal.why.into_owned()))
    }

    #[test]
    fn what_is_refused_is_told_from_what_is_answered() {
        let status = |code: u16| StatusCode::from_u16(code).unwrap();
        for (code, path) in [(101, "/ws"), (200, "/"), (304, "/"), (404, "/x"), (503, "/readyz")] {
            assert!(of((status(code), None), path).is_none(), "{code} {path}");
        }
        for (code, kind) in [(400, Kind::Request), (429, Kind::Limit), (503, Kind::Failed)] {
            let (of, why) = of((status(code), None), "/ws").unwrap();
            assert!(of == kind && !why.is_empty(), "{code}: {of:?} {why}");
        }
    }

    #[test]
    fn a_handshakes_refusal_quotes_no_field() {
        for (error, code, kind) in [
            (HandshakeError::Version("se\u{1b}cret".into()), 426, Kind::Request),
            (HandshakeError::Origin("secret".into()), 403, Kind::Request),
            (HandshakeError::Full, 503, Kind::Limit),
            (HandshakeError::Draining, 503, Kind::Stopping),
            (HandshakeError::Missing("Sec-WebSocket-Key"), 400, Kind::Request),
        ] {
            let status = StatusCode::from_u16(code).unwrap();
            let (of, why) = of((status, Some(error)), "/ws").unwrap();
            assert!(of == kind && !why.contains("cret") && !why.is_empty(), "{of:?} {why}");
        }
    }
}
