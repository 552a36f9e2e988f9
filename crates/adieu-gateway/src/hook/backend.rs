//! The backend: what it is asked, and how it is told.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{Secret, cloud_event};
use crate::session::wire::Offer;
use crate::session::{SessionId, Timestamp};

/// Questions under way at most: after a restart everybody comes at once.
const QUESTIONS: usize = 64;

/// Bytes of a user id at most: it stands in a field of each event.
const MAX_USER: usize = 256;

/// Bytes of an answer at most: an answer is a user id and a reason.
const MAX_ANSWER: usize = 64 * 1024;

/// Characters of what the backend answers that are quoted.
const QUOTED: usize = 200;

/// Who hears of sessions, and decides who may have one.
#[derive(Clone)]
pub struct Backend(Arc<Inner>);

struct Inner {
    uri: Uri,
    secret: Secret,
    timeout: Duration,
    questions: Semaphore,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.0.uri)
    }
}

/// Where the backend is.
#[derive(Clone, Debug)]
pub struct BackendOptions {
    /// `http://` or `https://`.
    pub url: String,
    /// Signs what it is told.
    pub secret: Secret,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Which certificates are trusted.
    pub tls: Arc<adieu::tls::rustls::ClientConfig>,
}

/// What the backend is asked about a client that wants a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The request's path.
    pub path: String,
    /// The query behind it.
    pub query: Option<String>,
    /// Where the page is from.
    pub origin: Option<String>,
    /// Who the client is.
    pub peer: String,
    /// The subprotocols that it offers.
    pub subprotocols: Vec<String>,
    /// A credential that the client offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The fields of its request, cookies and authorization among them.
    pub headers: Vec<(String, String)>,
}

impl Question {
    /// About the client of this request.
    #[must_use]
    pub fn of(request: &adieu::Request, peer: adieu::Peer) -> Self {
        let mine = |name: &str| name.to_ascii_lowercase().starts_with("sec-websocket-");
        let headers = request.headers().filter(|(name, _)| !mine(name));
        // What is between the client and the gateway is not for the backend's eyes.
        let offered = request.subprotocols().filter(|name| !Offer::is_secret(name));
        Question {
            path: request.path().to_owned(),
            query: request.query().map(str::to_owned),
            origin: request.origin().map(str::to_owned),
            peer: peer.to_string(),
            subprotocols: offered.map(str::to_owned).collect(),
            token: Offer::read(request.subprotocols()).and_then(|offer| offer.auth),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

/// What the backend said of a client that may have a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// As whom it knows the person.
    pub user: Option<String>,
    /// For a client that does not speak adieu.v1: what to agree on.
    pub subprotocol: Option<String>,
}

/// What the backend decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may have a session.
    Accepted(Accepted),
    /// It may not.
    Refused {
        /// The status of the answer, for a client that does not speak adieu.v1.
        status: u16,
        /// Why, for people.
        reason: String,
    },
    /// There was no answer that could be understood; what happened.
    Unavailable(String),
}

impl Decision {
    /// Without a backend everybody may.
    #[must_use]
    pub fn accepted() -> Self {
        Decision::Accepted(Accepted::default())
    }
}

/// What a backend may answer.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    user_id: Option<String>,
    subprotocol: Option<String>,
    reason: Option<String>,
}

impl Backend {
    /// A backend at this address.
    ///
    /// # Errors
    /// What is wrong with the address, in a sentence.
    pub fn new(options: BackendOptions) -> Result<Self, String> {
        let BackendOptions { url, secret, timeout, tls } = options;
        let wrong = |why: &str| format!("{url:?} is no backend's address: {why}");
        let uri: Uri = url.parse().map_err(|_| wrong("it cannot be read as a URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(wrong("http://HOST/PATH or https://HOST/PATH is needed"));
        }
        let behind_host = uri.authority().and_then(|all| all.as_str().rsplit('@').next());
        let behind_host = behind_host.and_then(|all| all.strip_prefix(uri.host()?));
        if behind_host.is_some_and(|port| !port.is_empty()) && uri.port_u16().is_none_or(|p| p == 0)
        {
            return Err(wrong("behind the colon stands no port, which is a number up to 65535"));
        }
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(timeout));
        http.set_nodelay(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config((*tls).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        let questions = Semaphore::new(QUESTIONS);
        Ok(Backend(Arc::new(Inner { uri, secret, timeout, questions, client })))
    }

    /// How long it may take to answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Asks whether a client may have a session.
    pub async fn connect(&self, question: &Question) -> Decision {
        self.ask("connect", question).await
    }

    /// Asks whether a client may come back to this session.
    pub async fn resume(&self, id: SessionId, user: Option<&str>, question: &Question) -> Decision {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Resume<'a> {
            session_id: SessionId,
            user_id: Option<&'a str>,
            #[serde(flatten)]
            question: &'a Question,
        }
        self.ask("resume", &Resume { session_id: id, user_id: user, question }).await
    }

    async fn ask(&self, r#type: &str, question: &impl Serialize) -> Decision {
        let id = SessionId::new(crate::random::random()).to_string();
        let id = format!("{id}_{type}");
        // Strings alone: nothing in it can fail.
        let body = serde_json::to_vec(question).unwrap_or_default();
        let Inner { uri, secret, .. } = &*self.0;
        let request = cloud_event::question(uri, secret, (&id, r#type), now(), body);
        let Some(request) = request else {
            return Decision::Unavailable(format!("the {type} hook cannot be written"));
        };
        let failed = |error| Decision::Unavailable(format!("the {type} hook failed: {error}"));
        let timeout = self.0.timeout;
        let asked = async {
            // Closed never.
            let _slot = self.0.questions.acquire().await;
            self.answer(request).await
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(Ok((status, Ok(body)))) => decision(r#type, status, &body),
            Ok(Ok((_, Err(error))) | Err(error)) => failed(error),
            Err(_) => failed(format!("no answer within {timeout:?}")),
        }
    }

    /// Delivers an event.
    ///
    /// # Errors
    /// Why the backend has not taken it.
    pub(super) async fn deliver(&self, event: &[u8]) -> Result<(), NotTaken> {
        let Inner { uri, secret, timeout, .. } = &*self.0;
        let request = cloud_event::event(uri, secret, now(), event);
        let request = request.ok_or_else(|| NotTaken {
            status: None,
            why: "the event cannot be read by this version of adieu".into(),
        })?;
        let unheard = |why| NotTaken { status: None, why };
        let answered = tokio::time::timeout(*timeout, self.answer(request)).await;
        let answered = answered.map_err(|_| unheard(format!("no answer within {timeout:?}")))?;
        match answered.map_err(unheard)? {
            // What it says beside that is of no interest.
            (status, _) if status.is_success() => Ok(()),
            (status, body) => {
                let why = format!("it answered {status}: {}", quote(&body.unwrap_or_default()));
                Err(NotTaken { status: Some(status), why })
            }
        }
    }

    /// The status, and the body as far as it can be had.
    async fn answer(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Result<Bytes, String>), String> {
        let response = self.0.client.request(request).await.map_err(|error| sources(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        Ok((parts.status, body.map_err(|error| format!("its answer could not be read: {error}"))))
    }
}

/// Why the backend has not taken an event.
#[derive(Debug)]
pub(super) struct NotTaken {
    /// What it answered, if it did.
    status: Option<StatusCode>,
    pub(super) why: String,
}

impl NotTaken {
    /// Whether it said something.
    pub(super) fn was_answered(&self) -> bool {
        self.status.is_some()
    }

    /// Whether what it said is of the event itself: the same again will be answered the same.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.status.map(|status| status.as_u16()), Some(400 | 410 | 413 | 415 | 422))
    }
}

/// Reads an answer.
fn decision(r#type: &str, status: StatusCode, body: &[u8]) -> Decision {
    let answer = match body {
        [] => Ok(Answer::default()),
        body => serde_json::from_slice::<Answer>(body),
    };
    match (status, answer) {
        (status, Ok(answer)) if status.is_success() => {
            // An empty one would make one person of all whom nobody knows.
            let user = answer.user_id.filter(|user| !user.is_empty());
            if let Some(long) = user.as_ref().filter(|user| user.len() > MAX_USER) {
                return Decision::Unavailable(format!(
                    "the {type} hook was answered with a userId of {} bytes; {MAX_USER} at most",
                    long.len()
                ));
            }
            Decision::Accepted(Accepted { user, subprotocol: answer.subprotocol })
        }
        (status, Err(error)) if status.is_success() => Decision::Unavailable(format!(
            "the {type} hook was answered with no JSON object: {error}; it said {}",
            quote(body)
        )),
        // A reason shows that it was meant: 404 and 429 may come from anything on the way.
        (status, Ok(Answer { reason: Some(reason), .. })) if status.is_client_error() => {
            Decision::Refused { status: status.as_u16(), reason }
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
            Decision::Refused { status: status.as_u16(), reason: "refused by the backend".into() }
        }
        (status, _) => Decision::Unavailable(format!(
            "the {type} hook was answered with {status}: {}",
            quote(body)
        )),
    }
}

fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * QUOTED)]);
    format!("{:?}", text.chars().take(QUOTED).collect::<String>())
}

/// An error and what it came from: hyper's own text hides it.
fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// What the system's clock shows: receivers compare it with their own.
fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> Decision {
        decision("connect", StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn an_answer_is_a_status_and_may_be_an_object() {
        let user = Some("anna".to_owned());
        assert_eq!(
            said(200, r#"{"userId":"anna"}"#),
            Decision::Accepted(Accepted { user, subprotocol: None })
        );
        assert_eq!(said(204, ""), Decision::accepted());
        assert_eq!(said(200, r#"{"userId":""}"#), Decision::accepted());
        let refused = |status, reason: &str| Decision::Refused { status, reason: reason.into() };
        assert_eq!(said(403, r#"{"reason":"banned"}"#), refused(403, "banned"));
        assert_eq!(said(401, "<html>"), refused(401, "refused by the backend"));
        assert_eq!(said(409, r#"{"reason":"twice"}"#), refused(409, "twice"));
    }

    #[test]
    fn nonsense_is_no_yes() {
        let long = format!(r#"{{"userId":"{}"}}"#, "x".repeat(300));
        for (status, body) in [
            (200, "<html>"),
            (200, "[1]"),
            (500, ""),
            (302, ""),
            (200, "{"),
            (404, ""),
            (429, "slow down"),
            (200, &long),
        ] {
            let Decision::Unavailable(error) = said(status, body) else {
                panic!("{status} {body}")
            };
            assert!(error.contains("connect hook"), "{error}");
        }
    }
}
