//! The service of a server that serves WebSockets and nothing else.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::service::Service;

use super::RequestBody;
use crate::endpoint::Endpoint;
use crate::handler::Handler;
use crate::hyper::{PeerAddr, Shared, Upgrade};

/// Answers each request of one connection as its endpoint says.
pub(crate) struct Sockets<H> {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) handler: Arc<H>,
    /// The client, where its address is known.
    pub(crate) peer: Option<SocketAddr>,
    /// What TLS knows of the connection.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::TlsInfo>,
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

impl<H: Handler> Service<Request<RequestBody>> for Sockets<H> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: Request<RequestBody>) -> Answering {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(PeerAddr(peer));
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            request.extensions_mut().insert(tls.clone());
        }
        let (endpoint, handler) = (self.endpoint.clone(), self.handler.clone());
        #[cfg(feature = "tls")]
        let secure = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let secure = false;
        Box::pin(async move {
            Ok(match Upgrade::judge(request, endpoint).await {
                Ok(upgrade) => upgrade.secure(secure).run(Shared(handler)),
                Err(refused) => refused.into_response(),
            })
        })
    }
}
