//! One WebSocket of a session: what its client says goes to the engine, and its end too.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use adieu::{Close, CloseCode, ConnectionId, Ending, Message, Socket};

use super::engine::{Done, With};
use super::soon::Soon;
use super::{Gateway, GatewayError, credentials};
use crate::hook::{Accepted, Backend, Decision, NotTaken, Question, Room};
use crate::random::{a_share_of, random};
use crate::requests::{Kind, REQUEST_ID, Refusal};
use crate::session::command::{Guest, Resumption, SessionCommand, Verdict};
use crate::session::ending::ConnectionEnding;
use crate::session::wire::{
    FromClient, NotResumed, Offer, Payload, REFUSED, Resume, TRY_AGAIN_LATER, ToClient, close,
};
use crate::session::{Command, Departure, Digest, Handle, Reply, SessionId, Token};

/// While a message waits for room, what follows it is not read, heartbeats among it: so often the
/// page hears that the gateway is there. A client gives up after 10 s.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// A connection whose request for a session was answered.
struct Begun {
    gateway: Gateway,
    socket: Socket,
    attached: Result<Attached, GatewayError>,
    plain: bool,
}

/// Runs a connection to its end. Its beginning is boxed: what a question to the backend and a new
/// session take is given back when the session is idle.
async fn run(beginning: Pin<Box<impl Future<Output = Begun>>>) -> Close {
    let Begun { gateway, mut socket, attached, plain } = beginning.await;
    match attached {
        Ok(Attached::Session(handle)) => gateway.converse(&mut socket, handle, plain).await,
        Ok(Attached::Closed(close)) => close,
        Err(error) => {
            tracing::error!("{error}");
            CloseCode::INTERNAL_ERROR.into()
        }
    }
}

/// What a client said, and whether it needs room: whether it is for the backend.
fn command(generation: u32, plain: bool, message: &Message) -> (bool, SessionCommand) {
    if plain {
        return (true, SessionCommand::HearPlain(generation, Payload::of(message)));
    }
    let said = FromClient::of(message);
    let needs_room = matches!(said, Ok(FromClient::Message { .. }));
    (needs_room, SessionCommand::Hear(generation, said))
}

/// Bytes of messages that may wait for room, of all clients together: as much as has room. A client
/// whose message would be above it is closed with 1013 and says it again.
pub(super) const WAITING: usize = 64 << 20;

/// What became of a request for a session.
pub(super) enum Attached {
    Session(Handle),
    /// It is not taken; how that is said.
    Closed(Close),
}

/// What became of the question whether a client may come back.
enum Asking {
    /// It may.
    Goes(Verdict),
    /// It is answered.
    Over(Result<Attached, NotResumed>),
}

/// What became of a client whose session another node had.
pub(super) enum Claiming {
    Attached(Attached),
    NotResumed(NotResumed),
    /// The backend has to be asked, of this user.
    Ask(Option<String>),
}

/// The client has gone meanwhile: it has no session, and takes none from a newer connection.
pub(super) fn gone() -> Attached {
    Attached::Closed(CloseCode::GOING_AWAY.into())
}

impl Gateway {
    /// Asks the backend about a new client: before the upgrade, for a client that does not speak
    /// adieu.v1 can be told only by a status.
    pub async fn ask(&self, question: &Question) -> Decision {
        match &self.inner.backend {
            None => Decision::accepted(),
            Some(backend) => backend.connect(question).await,
        }
    }

    /// Runs a connection whose client speaks adieu.v1.
    pub fn session(self, socket: Socket) -> impl Future<Output = Close> + Send {
        let beginning = Box::pin(async move {
            let attached = self.attach(&socket).await;
            Begun { gateway: self, socket, attached, plain: false }
        });
        run(beginning)
    }

    /// Runs a connection whose client does not speak adieu.v1: it is a session of its own.
    pub fn plain(self, socket: Socket, accepted: Accepted) -> impl Future<Output = Close> + Send {
        let beginning = Box::pin(async move {
            let question = socket.request().map(|request| Question::of(request, socket.peer()));
            let guest = self.guest(&question.unwrap_or_default(), accepted);
            let guest = Guest { plain: true, ..guest };
            let attached = if self.is_draining() {
                // It would end at once, and its client cannot be told when to come back.
                Ok(gone())
            } else {
                self.start_session(&socket, guest).await
            };
            Begun { gateway: self, socket, attached, plain: true }
        });
        run(beginning)
    }

    async fn attach(&self, socket: &Socket) -> Result<Attached, GatewayError> {
        let Some(request) = socket.request() else {
            return Ok(Attached::Closed(CloseCode::INTERNAL_ERROR.into()));
        };
        let question = Question::of(request, socket.peer());
        let offer = Offer::read(request.subprotocols()).unwrap_or_default();
        if self.is_draining() {
            let resume = offer.resume.as_ref();
            let token = resume.and_then(|of| Token::verify(&of.token, &self.inner.key));
            return self.stopping(socket, token.map(|token| token.session)).await;
        }
        let mut not_resumed = None;
        if let Some(resume) = offer.resume {
            match self.resume(socket, resume, &question).await? {
                Ok(attached) => return Ok(attached),
                Err(reason) => not_resumed = Some(reason),
            }
        }
        match self.ask(&question).await {
            Decision::Accepted { .. } if self.is_draining() => self.stopping(socket, None).await,
            Decision::Accepted(accepted) => {
                // A page that had a session has a token, and no nonce.
                let first = offer.first.filter(|_| not_resumed.is_none());
                let first = first.map(|nonce| self.inner.key.first_visit(nonce));
                let guest = Guest { first, not_resumed, ..self.guest(&question, accepted) };
                self.start_session(socket, guest).await
            }
            // A page cannot see an HTTP status, but this.
            Decision::Refused { reason, .. } => {
                self.log(socket, Kind::Backend, "the backend has refused a session");
                Ok(refuse(socket, &reason).await)
            }
            Decision::Unavailable(error) => self.unanswered(socket, None, &error).await,
        }
    }

    fn guest(&self, question: &Question, accepted: Accepted) -> Guest {
        Guest {
            user: accepted.user.map(Into::into),
            origin: question.origin.as_deref().map(Into::into),
            credentials: self.credentials(question),
            path: question.path.as_str().into(),
            query: question.query.as_deref().map(Into::into),
            meta: accepted.meta.map(Arc::new),
            connect_id: accepted.question.map(Into::into),
            ..Guest::default()
        }
    }

    /// What tells one person from another, as it is kept: cookies, authorization, and what stands
    /// in the URL, where a page has no other place for a token.
    fn credentials(&self, question: &Question) -> Digest {
        let text = credentials::of(question, &self.inner.credential_cookies);
        self.inner.key.credentials(text.as_bytes())
    }

    /// A client that comes while the gateway stops, or that cannot be served now, is told when to
    /// come back. Its session, if it has one, is waited for until then and some more.
    pub(super) async fn come_back(
        &self,
        socket: &Socket,
        session: Option<SessionId>,
        after: Duration,
        close: Close,
    ) -> Result<Attached, GatewayError> {
        if let Some(session) = session {
            let told = SessionCommand::ToldToComeBack(after);
            let reply = self.command(Command::Session(session, told)).await?;
            if let (Reply::NoSession, Some(cluster)) = (reply, self.cluster()) {
                // An engine that does not answer counts no time meanwhile.
                let _ = cluster.hold(session, after).await;
            }
        }
        let retry_after = millis(after);
        let closing = ToClient::Closing { retry_after };
        let _ = socket.send(Message::from(closing.to_json())).await;
        Ok(Attached::Closed(close))
    }

    async fn stopping(
        &self,
        socket: &Socket,
        session: Option<SessionId>,
    ) -> Result<Attached, GatewayError> {
        let after = self.a_time_to_come_back();
        self.come_back(socket, session, after, CloseCode::GOING_AWAY.into()).await
    }

    /// The backend has not answered: that is no yes and no no. The client comes back by itself,
    /// with the same token.
    async fn unanswered(
        &self,
        socket: &Socket,
        session: Option<SessionId>,
        error: &NotTaken,
    ) -> Result<Attached, GatewayError> {
        let later = close(TRY_AGAIN_LATER, error.for_clients());
        self.come_back(socket, session, NOT_BEFORE + a_share_of(NOT_BEFORE), later).await
    }

    /// Resumes a session, or says why not.
    async fn resume(
        &self,
        socket: &Socket,
        resume: Resume,
        question: &Question,
    ) -> Result<Result<Attached, NotResumed>, GatewayError> {
        let resumed = match Token::verify(&resume.token, &self.inner.key) {
            Some(token) => self.resume_with(socket, token, resume, question).await?,
            None => Err(NotResumed::Invalid),
        };
        match &resumed {
            Ok(Attached::Session(_)) => self.inner.metrics.resume(Ok(())),
            Err(reason) => self.inner.metrics.resume(Err(*reason)),
            // It is not decided, or nobody is there who came back.
            Ok(Attached::Closed(_)) => {}
        }
        Ok(resumed)
    }

    async fn resume_with(
        &self,
        socket: &Socket,
        token: Token,
        resume: Resume,
        question: &Question,
    ) -> Result<Result<Attached, NotResumed>, GatewayError> {
        let timeout = self.inner.backend.as_ref().map_or(Duration::ZERO, Backend::timeout);
        let mut resumption = Resumption {
            generation: token.generation,
            received: resume.received,
            tag: resume.tag,
            acknowledged: resume.acknowledged,
            origin: question.origin.as_deref().map(Into::into),
            credentials: self.credentials(question),
            // Without a backend there is nobody to ask.
            verdict: self.inner.backend.is_none().then(Verdict::default),
            patience: timeout + JUDGED,
        };
        loop {
            let command = SessionCommand::Resume(Box::new(resumption.clone()));
            let command = Command::Session(token.session, command);
            return Ok(match self.ask_shard(command, Some(socket.sender())).await? {
                Done::NotAttached => Ok(gone()),
                Done::Replied(Reply::Attached(handle)) => Ok(Attached::Session(handle)),
                Done::Replied(Reply::NotResumed(reason)) => Err(reason),
                Done::Replied(Reply::Elsewhere) => {
                    match self.claim(socket, token.session, &resumption).await? {
                        Claiming::Attached(attached) => Ok(attached),
                        Claiming::NotResumed(reason) => Err(reason),
                        Claiming::Ask(user) => {
                            let user = user.as_deref();
                            match self.asked(socket, token.session, user, question).await? {
                                Asking::Goes(verdict) => {
                                    resumption.verdict = Some(verdict);
                                    continue;
                                }
                                Asking::Over(over) => over,
                            }
                        }
                    }
                }
                Done::Replied(Reply::Ask { user }) => {
                    match self.asked(socket, token.session, user.as_deref(), question).await? {
                        Asking::Goes(verdict) => {
                            resumption.verdict = Some(verdict);
                            continue;
                        }
                        Asking::Over(over) => over,
                    }
                }
                Done::Replied(_) => Err(NotResumed::Expired),
            });
        }
    }

    /// Asks the backend whether a client may come back, and says what becomes of it.
    async fn asked(
        &self,
        socket: &Socket,
        session: SessionId,
        user: Option<&str>,
        question: &Question,
    ) -> Result<Asking, GatewayError> {
        Ok(match self.ask_resume(session, user, question).await {
            Decision::Accepted(Accepted { user, .. }) => {
                Asking::Goes(Verdict { user: user.map(Into::into) })
            }
            Decision::Refused { .. } => Asking::Over(Err(NotResumed::Refused)),
            Decision::Unavailable(error) => {
                Asking::Over(Ok(self.unanswered(socket, Some(session), &error).await?))
            }
        })
    }

    /// Asks whether a client may come back to a session.
    async fn ask_resume(&self, id: SessionId, user: Option<&str>, question: &Question) -> Decision {
        match &self.inner.backend {
            Some(backend) => backend.resume(id, user, question).await,
            None => Decision::accepted(),
        }
    }

    async fn start_session(&self, socket: &Socket, guest: Guest) -> Result<Attached, GatewayError> {
        let random: [u8; 16] = random();
        let id = match guest.slot() {
            Some(slot) => SessionId::in_slot(slot, random),
            None => SessionId::new(random),
        };
        let again = self.cluster().map(|_| guest.clone());
        let command = Command::Start(id, Box::new(guest));
        Ok(match self.ask_shard(command, Some(socket.sender())).await? {
            Done::Replied(Reply::Attached(handle)) => Attached::Session(handle),
            Done::Replied(Reply::Began(id)) => match again {
                Some(guest) => self.go_on_with(socket, id, &guest).await?,
                None => gone(),
            },
            Done::Replied(Reply::Full(full)) => {
                self.inner.metrics.full(&[full]);
                self.log(socket, Kind::Limit, format!("a session: {full}"));
                refuse(socket, &full.to_string()).await
            }
            Done::NotAttached | Done::Replied(_) => gone(),
        })
    }

    /// Logs that something of a client was refused whose WebSocket is open.
    fn log(&self, socket: &Socket, kind: Kind, why: impl Into<Cow<'static, str>>) {
        let id = socket.request().and_then(|request| request.header(REQUEST_ID.as_str()));
        let refusal = Refusal::new(kind, why);
        self.inner.requests.refused(&refusal, socket.peer().addr(), id);
    }

    /// Reads to the end of the connection and accounts for it.
    async fn converse(&self, socket: &mut Socket, handle: Handle, plain: bool) -> Close {
        while let Some(message) = socket.recv().await {
            match self.hear(socket, handle, plain, message).done().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return CloseCode::INTERNAL_ERROR.into(),
            }
        }
        // Apart: its report takes more room than all that an idle session needs.
        Box::pin(async {
            let ending = socket.ended().await;
            self.ended(handle, socket.id(), &ending).await;
        })
        .await;
        CloseCode::NORMAL.into()
    }

    /// Hears a message, which is done in its turn: that is not waited for. The room of a message
    /// that came whole ends here, before anything waits for room.
    fn hear<'s>(
        &'s self,
        socket: &'s Socket,
        handle: Handle,
        plain: bool,
        message: Message,
    ) -> Soon<'s, Result<bool, GatewayError>> {
        let bytes = message.len();
        let (needs_room, command) = command(handle.generation, plain, &message);
        drop(message);
        let room = needs_room.then(|| self.inner.deliveries.try_room(handle.session, bytes));
        if matches!(room, Some(None)) {
            return Soon::later(self.hear_later(socket, handle, plain, command, bytes));
        }
        let with = With { room: room.flatten(), ..With::default() };
        match self.submit(Command::Session(handle.session, command), with) {
            Soon::Now(submitted) => Soon::Now(submitted.map(|()| true)),
            Soon::Later(wait) => Soon::later(async { wait.await.map(|()| true) }),
        }
    }

    /// Hears a message when there is room for it; false if the connection ended before. It was not
    /// acknowledged then, and neither was what follows: the client says it again. Of a client that
    /// does not speak adieu.v1 it is heard then: nobody says it again.
    async fn hear_later(
        &self,
        socket: &Socket,
        handle: Handle,
        plain: bool,
        command: SessionCommand,
        bytes: usize,
    ) -> Result<bool, GatewayError> {
        let Ok(waiting) = self.inner.waiting.try_acquire_many(bytes.min(WAITING) as u32) else {
            self.inner.metrics.refused("waiting");
            self.log(socket, Kind::Limit, "a message: too much waits for the backend");
            socket.sender().close(close(TRY_AGAIN_LATER, "too much waits for the backend"));
            return Ok(false);
        };
        let room = self.wait_for_room(socket, handle, bytes, !plain).await;
        drop(waiting);
        if room.is_none() && !plain {
            return Ok(false);
        }
        let with = With { room, ..With::default() };
        self.submit(Command::Session(handle.session, command), with).done().await.map(|()| true)
    }

    /// Waits until the backend has taken enough of this session that there is room for a message,
    /// and keeps it. `None`: the connection is over.
    async fn wait_for_room(
        &self,
        socket: &Socket,
        handle: Handle,
        bytes: usize,
        signs: bool,
    ) -> Option<Room> {
        let mut room = std::pin::pin!(self.inner.deliveries.room(handle.session, bytes));
        let sender = socket.sender();
        let mut ended = std::pin::pin!(sender.ended());
        let heartbeat = ToClient::Heartbeat.to_json();
        loop {
            tokio::select! {
                room = &mut room => return Some(room),
                _ = &mut ended => return None,
                () = tokio::time::sleep(SIGN_OF_LIFE), if signs => {
                    // One that takes nothing is seen by its clocks.
                    let said = sender.send(heartbeat.clone());
                    let _ = tokio::time::timeout(SIGN_OF_LIFE, said).await;
                }
            }
        }
    }

    async fn ended(&self, handle: Handle, connection: ConnectionId, ending: &Ending) {
        let departure = Departure::of(ending);
        let ending = Arc::new(ConnectionEnding::of(ending));
        let ended = SessionCommand::ConnectionEnded(handle.generation, departure, ending);
        if let Err(error) = self.command(Command::Session(handle.session, ended)).await {
            // Its session is as good as one whose gateway was killed: the next start gives it time.
            // Why the gateway is over is logged once, not for each connection.
            tracing::debug!("a connection's end could not be written down: {error}");
        }
        self.forget_connection(handle).await;
        // Behind the command: by now the timeline says whose session it is.
        let user = self.inner.timelines.user(handle.session);
        self.inner.accounts.belonged(connection, handle.session, user.as_deref());
    }
}

/// How long a client stays away, and up to as long again, when the backend has not answered.
pub(super) const NOT_BEFORE: Duration = Duration::from_secs(1);

/// How long it may take to act on an answer of the backend.
const JUDGED: Duration = Duration::from_secs(2);

/// Says that the client may not have a session, and why.
async fn refuse(socket: &Socket, reason: &str) -> Attached {
    let refused = ToClient::Refused { reason };
    let _ = socket.send(Message::from(refused.to_json())).await;
    Attached::Closed(close(REFUSED, reason))
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
