//! The backend: what it is asked, and how it is told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, Taken, answer, verdicts};
use super::client::{Client, KEEP, Post};
use super::cloud_event::{self, Asked, EventFormat, Signer};
use super::decision::{Decision, decision, refusal};
use super::failure::{Kind, NotTaken, Seldom, cut};
use super::{Question, Secret};
use crate::requests::REQUEST_ID;
use crate::session::event::Event;
use crate::session::{SessionId, Timestamp};

/// Questions under way at most: after a restart everybody comes at once.
const QUESTIONS: usize = 64;

/// Bytes of an answer to a question at most: it is a user id, `meta` and a reason.
const MAX_VERDICT: usize = 64 * 1024;

/// Bytes of an answer to an event or a batch at most: a message of 1 MiB fits into it in base64.
/// What is longer goes through the API.
pub const MAX_ANSWER: usize = 2 * 1024 * 1024;

/// Events in a batch at most.
pub const MAX_BATCH: usize = 64;

/// Bytes of the events in a batch at most, but for a first one that is longer.
const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// A time-out that no clock reaches ends then.
pub(super) const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Who hears of sessions, and decides who may have one.
#[derive(Clone)]
pub struct Backend(Arc<Inner>);

struct Inner {
    /// Where it is, without a query: that may have a secret.
    address: String,
    secret: Secret,
    timeout: Duration,
    format: EventFormat,
    batches: bool,
    questions: Semaphore,
    client: Arc<Client>,
    bad_signatures: AtomicU64,
    bad_answers: AtomicU64,
    logs: Logs,
}

/// Lines of the log that are written seldom.
#[derive(Default)]
struct Logs {
    unavailable: Seldom,
    bad_signature: Seldom,
    bad_answer: Seldom,
}

/// What the backend did wrong since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendCounts {
    /// Answers of 401 or 403 without a reason: it does not accept our signature.
    pub bad_signatures: u64,
    /// Answers that were malformed.
    pub bad_answers: u64,
    /// Kept connections that had died when a request went out; it was sent once more.
    pub connections_died: u64,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.0.address)
    }
}

/// Where the backend is, and how it is told.
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
    /// How events and questions are written.
    pub format: EventFormat,
    /// Whether it takes many events in one request.
    pub batches: bool,
}

impl Backend {
    /// A backend at this address.
    ///
    /// # Errors
    /// What is wrong with the address, in a sentence.
    pub fn new(options: BackendOptions) -> Result<Self, String> {
        Self::keeping(options, KEEP)
    }

    pub(super) fn keeping(options: BackendOptions, keep: Duration) -> Result<Self, String> {
        let BackendOptions { url, secret, timeout, tls, format, batches } = options;
        if batches && format == EventFormat::Binary {
            return Err(
                "a batch is JSON: --batch and --event-format binary exclude each other".into()
            );
        }
        let uri = read_url(&url)?;
        let address = address(&uri);
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(timeout));
        http.set_nodelay(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config((*tls).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::new(uri, connector, keep)
            .ok_or_else(|| format!("{address:?} is no backend's address: its host is malformed"))?;
        Ok(Backend(Arc::new(Inner {
            address,
            secret,
            timeout,
            format,
            batches,
            questions: Semaphore::new(QUESTIONS),
            client: Arc::new(client),
            bad_signatures: AtomicU64::new(0),
            bad_answers: AtomicU64::new(0),
            logs: Logs::default(),
        })))
    }

    /// How long it may take to answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Whether it takes many events in one request.
    #[must_use]
    pub fn batches(&self) -> bool {
        self.0.batches
    }

    /// What it did wrong since the start.
    #[must_use]
    pub fn counts(&self) -> BackendCounts {
        BackendCounts {
            bad_signatures: self.0.bad_signatures.load(Ordering::Relaxed),
            bad_answers: self.0.bad_answers.load(Ordering::Relaxed),
            connections_died: self.0.client.died(),
        }
    }

    /// Asks whether a client may have a session.
    pub async fn connect(&self, question: &Question) -> Decision {
        self.ask("connect", question).await
    }

    /// Asks whether a client may come back to this session of this user.
    pub async fn resume(&self, id: SessionId, user: Option<&str>, question: &Question) -> Decision {
        let (session_id, user_id) = (Some(id), user.map(str::to_owned));
        self.ask("resume", &Question { session_id, user_id, ..question.clone() }).await
    }

    async fn ask(&self, r#type: &str, question: &Question) -> Decision {
        match self.try_ask(r#type, question).await {
            Ok(decision) => decision,
            Err(error) => {
                let error = error.of(r#type, &self.0.address);
                self.account(&error);
                Decision::Unavailable(error)
            }
        }
    }

    async fn try_ask(&self, r#type: &str, question: &Question) -> Result<Decision, NotTaken> {
        let Inner { timeout, format, .. } = &*self.0;
        let id = SessionId::new(crate::random::random());
        let id = format!("{id}_{type}");
        let user = question.user_id.as_deref();
        let asked = Asked { id: &id, r#type, session_id: question.session_id, user };
        let unwritten = || NotTaken::new(Kind::Unwritten, "the question cannot be written");
        let deadline = self.deadline();
        // Waiting counts as the backend's time.
        let slot = timeout_at(deadline, self.0.questions.acquire()).await;
        let too_many = || {
            let why = format!("{QUESTIONS} questions before it had no answer within {timeout:?}");
            NotTaken::new(Kind::NoAnswer, why)
        };
        let _slot = slot.map_err(|_| too_many())?;
        let post = cloud_event::question(&self.signer(), *format, &asked, question);
        let mut post = post.ok_or_else(unwritten)?;
        // The backend's log and the gateway's call the request alike.
        post.fields.extend(question.request_id().map(|id| (REQUEST_ID, id)));
        let (status, body) = self.post(post, deadline, MAX_VERDICT).await?;
        let mut decision = match body {
            Ok(body) => decision(status, &body)?,
            Err(error) if status.is_success() => {
                return Err(NotTaken::new(Kind::Answered(status), error));
            }
            Err(_) => decision(status, &[])?,
        };
        if let Decision::Accepted(accepted) = &mut decision {
            accepted.question = Some(id);
        }
        Ok(decision)
    }

    /// Delivers an event.
    ///
    /// # Errors
    /// Why the backend has not taken it.
    pub async fn deliver(&self, event: &Event) -> Result<Answer, NotTaken> {
        let Some(post) = cloud_event::event(&self.signer(), self.0.format, event) else {
            return Err(unwritten(event, &self.0.address));
        };
        let taken = match self.post(post, self.deadline(), MAX_ANSWER).await {
            Ok((status, body)) if status.is_success() => Ok(body.and_then(|body| answer(&body))),
            Ok((status, body)) => Err(refusal(status, &body.unwrap_or_default())),
            Err(error) => Err(error),
        };
        self.taken(event.r#type, taken)
    }

    /// Delivers events in one request, or in some if they are too many or too long for one; what
    /// became of each.
    pub async fn deliver_batch(&self, mut events: &[Arc<Event>]) -> Vec<Result<Answer, NotTaken>> {
        let mut all = Vec::with_capacity(events.len());
        while !events.is_empty() {
            let (now, later) = events.split_at(portion(events));
            all.extend(self.deliver_portion(now).await);
            events = later;
        }
        all
    }

    async fn deliver_portion(&self, events: &[Arc<Event>]) -> Vec<Result<Answer, NotTaken>> {
        let answered = match cloud_event::batch(&self.signer(), events) {
            Some(post) => self.post(post, self.deadline(), MAX_ANSWER).await,
            None => Err(NotTaken::new(Kind::Unwritten, "the batch cannot be written")),
        };
        let verdicts = answered.and_then(|(status, body)| match body {
            Ok(body) if status.is_success() => Ok((status, verdicts(status, &body)?)),
            Ok(body) => Err(refusal(status, &body)),
            Err(error) => Err(NotTaken::new(Kind::Answered(status), error)),
        });
        let mut verdicts = match verdicts {
            Ok((status, verdicts)) => (status, verdicts),
            Err(error) => {
                let error = error.of(&format!("a batch of {}", events.len()), &self.0.address);
                self.account(&error);
                return events.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let (status, verdicts) = (verdicts.0, &mut verdicts.1);
        let of = |event: &Arc<Event>| {
            let id = &event.id;
            let missing = || {
                let why = "the answer has no verdict on it: an object with its id and a status";
                Err(NotTaken::new(Kind::Answered(status), why))
            };
            self.taken(format_args!("{id} in a batch"), verdicts.remove(id).unwrap_or_else(missing))
        };
        events.iter().map(of).collect()
    }

    /// What was malformed in the answer to an event that was taken is logged, and counts as
    /// nothing: sent again, the event would be answered the same.
    fn taken(&self, what: impl fmt::Display, taken: Taken) -> Result<Answer, NotTaken> {
        match taken {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(wrong)) => {
                self.0.bad_answers.fetch_add(1, Ordering::Relaxed);
                if let Some(more) = self.0.logs.bad_answer.line() {
                    let (address, wrong) = (&self.0.address, cut(&wrong));
                    tracing::warn!(
                        // FAQ: backend-bad-answer
                        "{what} to {address}: the backend has taken the event, but nothing of its \
                         answer is done, because that is malformed: {wrong}{more}"
                    );
                }
                Ok(Answer::default())
            }
            Err(error) => {
                let error = error.of(&what.to_string(), &self.0.address);
                if error.kind() == Kind::BadSignature {
                    self.account(&error);
                }
                Err(error)
            }
        }
    }

    /// Logs and counts a failure.
    fn account(&self, error: &NotTaken) {
        let Inner { logs, bad_signatures, bad_answers, .. } = &*self.0;
        match error.kind() {
            Kind::BadSignature => {
                bad_signatures.fetch_add(1, Ordering::Relaxed);
                if let Some(more) = logs.bad_signature.line() {
                    tracing::error!("{error}{more}");
                }
            }
            kind => {
                if matches!(kind, Kind::Answered(status) if status.is_success()) {
                    bad_answers.fetch_add(1, Ordering::Relaxed);
                }
                let hint = match kind {
                    Kind::Unreachable => "; does the backend run, and is --backend its address?",
                    _ => "",
                };
                if let Some(more) = logs.unavailable.line() {
                    tracing::warn!("{error}{hint}{more}");
                }
            }
        }
    }

    fn signer(&self) -> Signer<'_> {
        // What the system's clock shows: receivers compare it with their own.
        Signer { secret: &self.0.secret, now: Timestamp::from(SystemTime::now()) }
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.0.timeout).unwrap_or(now + FAR)
    }

    async fn post(
        &self,
        post: Post,
        deadline: Instant,
        max_answer: usize,
    ) -> Result<super::client::Answered, NotTaken> {
        self.0.client.post(post, deadline, max_answer).await
    }
}

fn unwritten(event: &Event, address: &str) -> NotTaken {
    let why = "the event cannot be written as a request";
    NotTaken::new(Kind::Unwritten, why).of(&event.r#type.to_string(), address)
}

/// How many of the first of these events go into one request.
fn portion(events: &[Arc<Event>]) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Arc<Event>| {
        bytes += event.size();
        bytes <= MAX_BATCH_BYTES
    };
    events.iter().take(MAX_BATCH).take_while(fits).count().max(1)
}

fn read_url(url: &str) -> Result<Uri, String> {
    // One that is malformed may have a password in it all the same.
    // FAQ: serve-backend-url
    let malformed = |why: &str| Err(format!("the backend's address is malformed: {why}"));
    let Ok(uri) = url.parse::<Uri>() else {
        return malformed(&format!("{url:?} cannot be read as a URL"));
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return malformed(
            "it has a user name or a password, which are never sent: the signature says that a \
             request is from the gateway",
        );
    }
    let behind_host = uri.authority().and_then(|all| all.as_str().strip_prefix(uri.host()?));
    let behind_host = behind_host.unwrap_or_default();
    if !behind_host.is_empty() && uri.port_u16().is_none_or(|port| port == 0) {
        let why = format!("{behind_host:?} has no port, which is a number up to 65535");
        return malformed(&why);
    }
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return malformed(&format!("{url:?} is not http://HOST/PATH or https://HOST/PATH"));
    }
    Ok(uri)
}

/// A URL as it may stand in a log.
fn address(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path())
}
