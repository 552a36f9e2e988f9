//! Requests to the backend, over connections that are kept for a short while.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;

use super::failure::{Kind, NotTaken};

/// How long a connection is kept without a request: shorter than the 5 s after which Node closes
/// it, so that it is seldom closed while a request is on its way.
pub(super) const KEEP: Duration = Duration::from_secs(4);

/// Connections that are kept at most; more are seldom busy at a time.
const KEPT: usize = 256;

/// A request to the backend.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
}

/// A whole answer: the status, and the body unless that is too long.
pub(super) type Answered = (StatusCode, Result<Bytes, String>);

/// Sends requests to one address.
pub(super) struct Client {
    /// The path and the query.
    target: Uri,
    /// Where to connect to.
    uri: Uri,
    host: HeaderValue,
    connector: HttpsConnector<HttpConnector>,
    keep: Duration,
    pool: Mutex<Pool>,
    /// Kept connections that had died when a request went out.
    died: AtomicU64,
}

type Sender = SendRequest<Full<Bytes>>;

/// Connections that wait for a request.
#[derive(Default)]
struct Pool {
    /// The one used last is at the back.
    kept: VecDeque<Kept>,
    /// A task closes them when their time is up: one, however often there was none to keep.
    tended: bool,
}

struct Kept {
    sender: Sender,
    since: Instant,
}

impl Client {
    /// To this address, which has a host. `None` if the host is no value of a field.
    pub(super) fn new(
        uri: Uri,
        connector: HttpsConnector<HttpConnector>,
        keep: Duration,
    ) -> Option<Self> {
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).parse().ok()?;
        let host = HeaderValue::from_str(uri.authority()?.as_str()).ok()?;
        let (pool, died) = (Mutex::default(), AtomicU64::new(0));
        Some(Client { target, uri, host, connector, keep, pool, died })
    }

    /// Sends a request and reads the answer to it. Where a kept connection dies before the answer
    /// comes, the request is sent once more, at once, over a new one: the backend tells a repeat by
    /// its id.
    pub(super) async fn post(
        self: &Arc<Self>,
        post: Post,
        deadline: Instant,
        max_answer: usize,
    ) -> Result<Answered, NotTaken> {
        let mut died = false;
        if let Some(mut sender) = self.kept() {
            let sent = sender.try_send_request(self.request(post.clone()));
            let sent = timeout_at(deadline, sent).await;
            match sent.map_err(|_| no_answer("no answer in time"))? {
                Ok(response) => {
                    return self.read(response, sender, deadline, max_answer).await;
                }
                Err(error) if error.error().is_parse() || error.error().is_user() => {
                    return Err(failed(error.error()));
                }
                Err(error) => {
                    self.died.fetch_add(1, Ordering::Relaxed);
                    // Given back, it was not sent.
                    died = error.message().is_none();
                }
            }
        }
        let connected = self.connect(deadline).await;
        let mut sender = connected.map_err(|error| if died { died_of(&error) } else { error })?;
        let sent = timeout_at(deadline, sender.send_request(self.request(post))).await;
        let response = sent.map_err(|_| no_answer("no answer in time"))?;
        let response = response.map_err(|error| failed(&error))?;
        self.read(response, sender, deadline, max_answer).await
    }

    /// Kept connections that had died when a request went out, since the start.
    pub(super) fn died(&self) -> u64 {
        self.died.load(Ordering::Relaxed)
    }

    fn request(&self, post: Post) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(post.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = post.fields;
        request.headers_mut().insert(HOST, self.host.clone());
        request
    }

    async fn connect(&self, deadline: Instant) -> Result<Sender, NotTaken> {
        let unreachable = |why: String| NotTaken::new(Kind::Unreachable, why);
        let mut connector = self.connector.clone();
        // A connector is always ready: it has no limit.
        let connected = timeout_at(deadline, connector.call(self.uri.clone())).await;
        let io = connected.map_err(|_| unreachable("no connection in time".into()))?;
        let io = io.map_err(|error| unreachable(sources(&*error)))?;
        let (sender, connection) = handshake(io).await.map_err(|error| failed(&error))?;
        // How it ends is seen by the request on it.
        tokio::spawn(async { drop(connection.await) });
        Ok(sender)
    }

    /// Reads an answer to its end, and keeps the connection if there is one.
    async fn read(
        self: &Arc<Self>,
        response: Response<Incoming>,
        sender: Sender,
        deadline: Instant,
        max: usize,
    ) -> Result<Answered, NotTaken> {
        let (parts, body) = response.into_parts();
        match timeout_at(deadline, Limited::new(body, max).collect()).await {
            Ok(Ok(body)) => {
                self.keep(sender);
                Ok((parts.status, Ok(body.to_bytes())))
            }
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Ok((parts.status, Err(format!("the answer has more than {max} bytes"))))
            }
            Ok(Err(error)) => {
                Err(no_answer(format!("the answer is cut off: {}", sources(&*error))))
            }
            Err(_) => Err(no_answer("the answer was not whole in time")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is kept, and open as far as is known.
    fn kept(&self) -> Option<Sender> {
        loop {
            let Kept { sender, since } = self.lock().kept.pop_back()?;
            if since.elapsed() < self.keep && sender.is_ready() {
                return Some(sender);
            }
        }
    }

    /// Keeps a connection once it can take a request: a backend may answer before it has read the
    /// whole body, and must not make the next request wait for the rest of this one.
    fn keep(self: &Arc<Self>, mut sender: Sender) {
        if sender.is_closed() || self.keep.is_zero() {
            return;
        }
        if sender.is_ready() {
            return self.put(sender);
        }
        let client = self.clone();
        tokio::spawn(async move {
            if let Ok(Ok(())) = timeout(client.keep, sender.ready()).await {
                client.put(sender);
            }
        });
    }

    fn put(self: &Arc<Self>, sender: Sender) {
        let mut pool = self.lock();
        pool.kept.push_back(Kept { sender, since: Instant::now() });
        if pool.kept.len() > KEPT {
            pool.kept.pop_front();
        }
        let tended = std::mem::replace(&mut pool.tended, true);
        drop(pool);
        if !tended {
            tokio::spawn(self.clone().let_go());
        }
    }

    /// Closes each kept connection when its time is up, until there is none.
    async fn let_go(self: Arc<Self>) {
        loop {
            let next = {
                let mut pool = self.lock();
                while pool.kept.front().is_some_and(|kept| kept.since.elapsed() >= self.keep) {
                    pool.kept.pop_front();
                }
                pool.tended = !pool.kept.is_empty();
                match pool.kept.front() {
                    Some(kept) => kept.since + self.keep,
                    None => return,
                }
            };
            tokio::time::sleep_until(next).await;
        }
    }
}

/// There is no other connection after one that ended without an answer.
fn died_of(error: &NotTaken) -> NotTaken {
    let why = format!("the connection ended without an answer, and no other was made: {error}");
    NotTaken::new(Kind::Died, why)
}

fn no_answer(why: impl Into<String>) -> NotTaken {
    NotTaken::new(Kind::NoAnswer, why)
}

fn failed(error: &hyper::Error) -> NotTaken {
    no_answer(sources(error))
}

/// An error and what it came from: hyper's own text hides it.
fn sources(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
