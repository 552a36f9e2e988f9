//! How the connection comes from the HTTP library when the request is accepted: by the upgrade of
//! HTTP/1.1 (RFC 9110 §7.8), or as a stream of HTTP/2 (RFC 8441).

use adieu_proto::{
    Negotiated, Request, Response, TransportError, accept_extended_connect, accept_response,
};
use bytes::Bytes;
use http::Extensions;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::take_back::take_back;
use crate::transport::{AnyTransport, Stream};

/// The way.
pub(super) enum Way {
    /// hyper gives the connection of HTTP/1.1 when it has sent the 101.
    Upgrade(OnUpgrade),
    /// hyper gives the stream of HTTP/2 when it has sent the 200. How it ended is hidden in part.
    ExtendedConnect(OnUpgrade),
    /// Our own HTTP/2 gives the stream when it has sent the 200.
    #[cfg(feature = "http2")]
    Http2(tokio::sync::oneshot::Receiver<AnyTransport>),
}

impl Way {
    /// Whether a request is an extended CONNECT for a WebSocket.
    pub(super) fn is_extended_connect(extensions: &Extensions) -> bool {
        #[cfg(feature = "http2")]
        if crate::http2::is_websocket(extensions) {
            return true;
        }
        let protocol = extensions.get::<hyper::ext::Protocol>();
        protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
    }

    /// Takes it out of a request's extensions.
    pub(super) fn take(extensions: &mut Extensions) -> Option<Self> {
        #[cfg(feature = "http2")]
        if let Some(opening) = extensions.remove::<crate::http2::Opening>() {
            return Some(Way::Http2(opening.take()?));
        }
        let extended = Self::is_extended_connect(extensions);
        let on_upgrade = extensions.remove::<OnUpgrade>()?;
        Some(if extended { Way::ExtendedConnect(on_upgrade) } else { Way::Upgrade(on_upgrade) })
    }

    /// The response that accepts a request.
    pub(super) fn accepts(&self, request: &Request, negotiated: &Negotiated) -> Response {
        match self {
            Way::Upgrade(_) => accept_response(request, negotiated),
            _ => accept_extended_connect(request, negotiated),
        }
    }

    /// The transport, and what was read of it too much.
    ///
    /// # Errors
    /// The library did not give it; what it said of that.
    pub(super) async fn transport(self) -> Result<(AnyTransport, Bytes), Option<TransportError>> {
        match self {
            Way::Upgrade(on_upgrade) => on_upgrade.await.map(take_back).map_err(told),
            Way::ExtendedConnect(on_upgrade) => {
                let upgraded = on_upgrade.await.map_err(told)?;
                let stream = Stream::upgraded_http2(TokioIo::new(upgraded));
                Ok((AnyTransport::Stream(Box::new(stream)), Bytes::new()))
            }
            #[cfg(feature = "http2")]
            Way::Http2(stream) => {
                stream.await.map(|stream| (stream, Bytes::new())).map_err(|_| None)
            }
        }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "our own HTTP/2 has no error to tell")]
fn told(error: hyper::Error) -> Option<TransportError> {
    Some(TransportError::new(error))
}
