//! The extractor that also reads the body, where hixie-76 may have its nonce.

use axum::extract::FromRequest;

use super::{Refusal, WebSocketUpgrade, settings};
use crate::hyper::Upgrade;

/// A request that may become a WebSocket, of every version that axum can serve: also of hixie-76
/// with `Content-Length: 8`, whose nonce is the request's body. As it takes the body, it has to be
/// the last argument of its handler.
///
/// ```
/// use adieu::{Socket, axum::LegacyWebSocketUpgrade};
/// use axum::{Router, response::Response, routing::get};
///
/// async fn ws(LegacyWebSocketUpgrade(upgrade): LegacyWebSocketUpgrade) -> Response {
///     upgrade.run(async |socket: Socket| drop(socket.send("welcome, Safari 5").await))
/// }
/// # let _: Router = Router::new().route("/ws", get(ws));
/// ```
#[derive(Debug)]
#[must_use = "a request that is neither run nor refused is reported as declined"]
pub struct LegacyWebSocketUpgrade(pub WebSocketUpgrade);

impl<S: Send + Sync> FromRequest<S> for LegacyWebSocketUpgrade {
    type Rejection = Refusal;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let endpoint = settings(&mut parts, state).await;
        let request = axum::extract::Request::from_parts(parts, body);
        let upgrade = Upgrade::judge(request, endpoint).await?;
        Ok(LegacyWebSocketUpgrade(WebSocketUpgrade { upgrade }))
    }
}
