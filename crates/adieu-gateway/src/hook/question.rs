//! What the backend is asked about a client.

use adieu::{Peer, Request};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::HeaderValue;
use serde::Serialize;

use crate::requests::REQUEST_ID;
use crate::session::SessionId;
use crate::session::wire::SUBPROTOCOL;

/// Subprotocols that begin so are for the gateway: tokens that nobody else may see.
const OURS: &str = "adieu.";

/// Offered beside adieu.v1: `adieu.auth.BASE64URL`, a token for the backend. A page can put one
/// into no header field, and into the URL it does not belong: URLs are logged.
const AUTH: &str = "adieu.auth.";

/// What the backend is asked about a client that wants a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Of `connect`: what the session will be called. Of `resume`: the session that the client
    /// wants to come back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Of `resume`: as whom the backend knows the person of that session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The request's path.
    pub path: String,
    /// The query behind it.
    pub query: Option<String>,
    /// Where the page is from.
    pub origin: Option<String>,
    /// The client's address; null where it has none, or its proxy hides it.
    pub peer: Option<String>,
    /// The address of the proxy that speaks for the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The token in the subprotocol `adieu.auth.BASE64URL`, decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The subprotocols that it offers, without those that are for the gateway.
    pub subprotocols: Vec<String>,
    /// The fields of its request, cookies and authorization among them.
    pub headers: Vec<(String, String)>,
}

impl Question {
    /// About the client of this request.
    #[must_use]
    pub fn of(request: &Request, peer: Peer) -> Self {
        let mine = |name: &str| name.to_ascii_lowercase().starts_with("sec-websocket-");
        let headers = request.headers().filter(|(name, _)| !mine(name));
        let owned = |text: &str| text.to_owned();
        Question {
            session_id: None,
            user_id: None,
            path: request.path().to_owned(),
            query: request.query().map(owned),
            origin: request.origin().map(owned),
            peer: address(peer),
            via: peer.via().map(|via| via.to_string()),
            token: token(request.subprotocols()),
            subprotocols: not_ours(request.subprotocols()).map(owned).collect(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// The id of the client's request, as it is told to the backend.
    pub(super) fn request_id(&self) -> Option<HeaderValue> {
        let mut fields = self.headers.iter();
        let (_, id) = fields.find(|(name, _)| name.eq_ignore_ascii_case(REQUEST_ID.as_str()))?;
        HeaderValue::from_str(id).ok()
    }
}

/// The client's address; without a port where its proxy does not tell one.
fn address(peer: Peer) -> Option<String> {
    let addr = peer.addr()?;
    let told_by_proxy = peer.via().is_some();
    Some(match addr.port() {
        0 if told_by_proxy => addr.ip().to_string(),
        _ => addr.to_string(),
    })
}

/// The token for the backend, if there is one that can be read.
fn token<'a>(mut offered: impl Iterator<Item = &'a str>) -> Option<String> {
    let token = offered.find_map(|name| name.strip_prefix(AUTH))?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

/// What is no token of ours.
fn not_ours<'a>(offered: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    offered.filter(|name| !name.starts_with(OURS) || *name == SUBPROTOCOL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_for_the_backend_is_decoded() {
        // {"a":"ü"} and a JWT.
        let read = token(["adieu.v1", "adieu.auth.eyJhIjoiw7wifQ"].into_iter());
        assert_eq!(read.as_deref(), Some(r#"{"a":"ü"}"#));
        assert_eq!(token(["adieu.auth.YS5iLmM"].into_iter()).as_deref(), Some("a.b.c"));
        for wrong in ["adieu.auth.***", "adieu.auth._w", "adieu.v1", "auth.YQ"] {
            assert_eq!(token([wrong].into_iter()), None, "{wrong}");
        }
    }

    #[test]
    fn no_secret_of_the_gateway_is_among_the_subprotocols() {
        let offered = [
            "adieu.v1",
            "chat",
            "adieu.resume.t0ken.7",
            "adieu.first.bm9uY2U",
            "adieu.auth.YS5iLmM",
            "adieu.of-a-later-version.x",
        ];
        assert_eq!(not_ours(offered.into_iter()).collect::<Vec<_>>(), ["adieu.v1", "chat"]);
    }
}
