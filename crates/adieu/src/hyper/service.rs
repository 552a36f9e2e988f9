//! A service in front of another: requests for a WebSocket are upgraded, the rest goes on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Body;

use super::{Upgrade, asks_for_websocket};
use crate::endpoint::Endpoint;
use crate::handled::Handled;
use crate::handler::{Handler, HandlerOnce};
use crate::socket::Socket;

/// What an error of a body has to turn into.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A response of ours or of the inner service's.
type Answer<B> = hyper::Response<Either<Full<Bytes>, B>>;

/// The future of a response.
type Answering<B, E> = Pin<Box<dyn Future<Output = Result<Answer<B>, E>> + Send>>;

/// A service in front of another: a request that asks for a WebSocket is answered by the
/// [`Endpoint`] and run by the handler, every other request goes to the inner service. It is a
/// service of hyper around one of hyper, and (feature `tower`) one of tower around one of tower.
///
/// ```
/// use std::{convert::Infallible, sync::Arc};
/// use adieu::{Endpoint, Socket, hyper::WebSocketService};
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper::{Request, Response, body::Incoming, service::service_fn};
///
/// async fn echo(mut socket: Socket) {
///     while let Some(message) = socket.recv().await {
///         let _ = socket.send(message).await;
///     }
/// }
///
/// async fn page(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
///     Ok(Response::new("a page".into()))
/// }
///
/// let endpoint = Arc::new(Endpoint::new());
/// let service = WebSocketService::new(service_fn(page), endpoint, echo).at("/ws");
/// // For each connection, with hyper's `serve_connection(io, service.clone()).with_upgrades()`.
/// ```
#[derive(Debug)]
pub struct WebSocketService<S, H> {
    inner: S,
    sockets: Sockets<H>,
}

/// Which requests are answered, and how.
#[derive(Debug)]
struct Sockets<H> {
    endpoint: Arc<Endpoint>,
    handler: Arc<H>,
    /// The only path at which there are WebSockets; `None` = each.
    path: Option<Arc<str>>,
}

// Derived, it would ask for a handler that is `Clone`.
impl<H> Clone for Sockets<H> {
    fn clone(&self) -> Self {
        Sockets {
            endpoint: self.endpoint.clone(),
            handler: self.handler.clone(),
            path: self.path.clone(),
        }
    }
}

impl<S: Clone, H> Clone for WebSocketService<S, H> {
    fn clone(&self) -> Self {
        WebSocketService { inner: self.inner.clone(), sockets: self.sockets.clone() }
    }
}

impl<S, H: Handler> WebSocketService<S, H> {
    /// In front of this service, at every path.
    pub fn new(inner: S, endpoint: Arc<Endpoint>, handler: H) -> Self {
        let sockets = Sockets { endpoint, handler: Arc::new(handler), path: None };
        WebSocketService { inner, sockets }
    }

    /// At this path only, compared byte by byte. At other paths requests for a WebSocket go to the
    /// inner service like the rest.
    #[must_use]
    pub fn at(mut self, path: impl Into<Arc<str>>) -> Self {
        self.sockets.path = Some(path.into());
        self
    }
}

impl<H: Handler> Sockets<H> {
    fn serves<B>(&self, request: &hyper::Request<B>) -> bool {
        let is_here = self.path.as_deref().is_none_or(|path| path == request.uri().path());
        is_here && asks_for_websocket(request)
    }

    /// Our answer, or that of the inner service.
    fn route<B, R, E, F>(
        &self,
        request: hyper::Request<B>,
        inner: impl FnOnce(hyper::Request<B>) -> F,
    ) -> Answering<R, E>
    where
        B: Body<Error: Into<BoxError>, Data: Send> + Send + 'static,
        F: Future<Output = Result<hyper::Response<R>, E>> + Send + 'static,
    {
        if self.serves(&request) {
            return self.answer(request);
        }
        let answering = inner(request);
        Box::pin(async { Ok(answering.await?.map(Either::Right)) })
    }

    fn answer<B, R, E>(&self, request: hyper::Request<B>) -> Answering<R, E>
    where
        B: Body<Error: Into<BoxError>, Data: Send> + Send + 'static,
    {
        let (endpoint, handler) = (self.endpoint.clone(), self.handler.clone());
        Box::pin(async move {
            let answer = match Upgrade::judge(request, endpoint).await {
                Ok(upgrade) => upgrade.run(Shared(handler)),
                Err(refused) => refused.into_response(),
            };
            Ok(answer.map(Either::Left))
        })
    }
}

/// The handler of all connections of a service, called for one of them.
pub(crate) struct Shared<H>(pub(crate) Arc<H>);

impl<H: Handler> HandlerOnce for Shared<H> {
    async fn call_once(self, socket: Socket) -> Handled {
        self.0.call(socket).await
    }
}

impl<S, H, B, R> hyper::service::Service<hyper::Request<B>> for WebSocketService<S, H>
where
    S: hyper::service::Service<hyper::Request<B>, Response = hyper::Response<R>>,
    S::Future: Send + 'static,
    H: Handler,
    B: Body<Error: Into<BoxError>, Data: Send> + Send + 'static,
{
    type Response = Answer<R>;
    type Error = S::Error;
    type Future = Answering<R, S::Error>;

    fn call(&self, request: hyper::Request<B>) -> Self::Future {
        self.sockets.route(request, |request| self.inner.call(request))
    }
}

/// Puts a [`WebSocketService`] in front of each service, as tower's layers do: around an axum
/// router it serves WebSockets at a path, or at all of them.
///
/// ```
/// use std::sync::Arc;
/// use adieu::{Endpoint, Socket, hyper::WebSocketLayer};
/// use axum::{Router, routing::get};
///
/// async fn echo(mut socket: Socket) {
///     while let Some(message) = socket.recv().await {
///         let _ = socket.send(message).await;
///     }
/// }
///
/// let sockets = WebSocketLayer::new(Arc::new(Endpoint::new()), echo).at("/ws");
/// let app: Router = Router::new().route("/", get(|| async { "a page" })).layer(sockets);
/// ```
#[cfg(feature = "tower")]
#[derive(Debug)]
pub struct WebSocketLayer<H> {
    sockets: Sockets<H>,
}

#[cfg(feature = "tower")]
mod tower {
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use hyper::body::Body;

    use super::{Answer, Answering, BoxError, Sockets, WebSocketLayer, WebSocketService};
    use crate::endpoint::Endpoint;
    use crate::handler::Handler;

    impl<H> Clone for WebSocketLayer<H> {
        fn clone(&self) -> Self {
            WebSocketLayer { sockets: self.sockets.clone() }
        }
    }

    impl<H: Handler> WebSocketLayer<H> {
        /// At every path.
        pub fn new(endpoint: Arc<Endpoint>, handler: H) -> Self {
            WebSocketLayer { sockets: Sockets { endpoint, handler: Arc::new(handler), path: None } }
        }

        /// At this path only: see [`WebSocketService::at`].
        #[must_use]
        pub fn at(mut self, path: impl Into<Arc<str>>) -> Self {
            self.sockets.path = Some(path.into());
            self
        }
    }

    impl<S, H> tower_layer::Layer<S> for WebSocketLayer<H> {
        type Service = WebSocketService<S, H>;

        fn layer(&self, inner: S) -> Self::Service {
            WebSocketService { inner, sockets: self.sockets.clone() }
        }
    }

    impl<S, H, B, R> tower_service::Service<hyper::Request<B>> for WebSocketService<S, H>
    where
        S: tower_service::Service<hyper::Request<B>, Response = hyper::Response<R>>,
        S::Future: Send + 'static,
        H: Handler,
        B: Body<Error: Into<BoxError>, Data: Send> + Send + 'static,
    {
        type Response = Answer<R>;
        type Error = S::Error;
        type Future = Answering<R, S::Error>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
            self.inner.poll_ready(cx)
        }

        fn call(&mut self, request: hyper::Request<B>) -> Self::Future {
            self.sockets.route(request, |request| self.inner.call(request))
        }
    }
}
