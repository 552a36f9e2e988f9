//! One WebSocket of a session: what its client says goes to the engine, and its end too.

use std::time::Duration;

use adieu::{Close, CloseCode, Ending, Message, Socket};

use super::{Act, Gateway, GatewayError};
use crate::hook::{Decision, NotTaken, Question, Room};
use crate::random::random;
use crate::session::account::account;
use crate::session::hub::{Handle, Newcomer, Step};
use crate::session::wire::{
    FromClient, NotResumed, Offer, Payload, REFUSED, Resume, ToClient, close,
};
use crate::session::{Departure, SessionId};

/// While a message waits for room, what follows it is not read, heartbeats among it: so often the
/// page hears that the gateway is there. A client gives up after 10 s.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// What became of a request for a session.
enum Attached {
    Session(Handle),
    /// It is not taken; how that is said.
    Closed(Close),
}

/// The client has gone meanwhile: it has no session, and takes none from a newer connection.
fn gone() -> Attached {
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
    pub async fn session(&self, socket: Socket) -> Close {
        // Apart, so that an idle session does not keep its room.
        let attached = Box::pin(self.attach(&socket)).await;
        self.run(socket, attached, false).await
    }

    /// Runs a connection whose client does not speak adieu.v1: it is a session of its own.
    pub async fn plain(&self, socket: Socket, user: Option<String>) -> Close {
        let origin = socket.request().and_then(|request| request.origin()).map(str::to_owned);
        let newcomer = Newcomer { user, origin, plain: true, not_resumed: None };
        let attached = self.start_session(&socket, newcomer).await;
        self.run(socket, attached, true).await
    }

    async fn run(
        &self,
        mut socket: Socket,
        attached: Result<Attached, GatewayError>,
        plain: bool,
    ) -> Close {
        match attached {
            Ok(Attached::Session(handle)) => self.converse(&mut socket, handle, plain).await,
            Ok(Attached::Closed(close)) => close,
            Err(error) => {
                tracing::error!("{error}");
                CloseCode::INTERNAL_ERROR.into()
            }
        }
    }

    async fn attach(&self, socket: &Socket) -> Result<Attached, GatewayError> {
        let Some(request) = socket.request() else {
            return Ok(Attached::Closed(CloseCode::INTERNAL_ERROR.into()));
        };
        if self.is_draining() {
            return Ok(Attached::Closed(self.come_back(socket).await));
        }
        let question = Question::of(request, socket.peer());
        let offer = Offer::read(request.subprotocols().collect::<Vec<_>>());
        let mut not_resumed = None;
        if let Some(resume) = offer.and_then(|offer| offer.resume) {
            match self.resume(socket, resume, &question).await? {
                Ok(attached) => return Ok(attached),
                Err(reason) => not_resumed = Some(reason),
            }
        }
        match self.ask(&question).await {
            Decision::Accepted { .. } if self.is_draining() => {
                Ok(Attached::Closed(self.come_back(socket).await))
            }
            Decision::Accepted { user, .. } => {
                let origin = question.origin;
                let newcomer = Newcomer { user, origin, plain: false, not_resumed };
                self.start_session(socket, newcomer).await
            }
            Decision::Refused { reason, .. } => {
                // A page cannot see an HTTP status, but this.
                let refused = ToClient::Refused { reason: &reason };
                let _ = socket.send(Message::from(refused.to_json())).await;
                Ok(Attached::Closed(close(REFUSED, &reason)))
            }
            Decision::Unavailable(error) => Ok(Attached::Closed(no_answer(&error))),
        }
    }

    /// Who comes while we stop is told when to come back, as the others are.
    async fn come_back(&self, socket: &Socket) -> Close {
        let retry_after = self.a_time_to_come_back();
        let retry_after = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        let closing = ToClient::Closing { retry_after };
        let _ = socket.send(Message::from(closing.to_json())).await;
        CloseCode::GOING_AWAY.into()
    }

    /// Resumes a session, or says why not.
    async fn resume(
        &self,
        socket: &Socket,
        resume: Resume,
        question: &Question,
    ) -> Result<Result<Attached, NotResumed>, GatewayError> {
        if let Some(closed) = self.may_resume(&resume, question).await? {
            let reason = closed.as_ref().err().copied();
            self.inner.metrics.resume(Err(reason.unwrap_or(NotResumed::Refused)));
            return Ok(closed);
        }
        let (sender, origin) = (socket.sender(), question.origin.clone());
        let resumed = self.act(move |scene, now| {
            // A late try of a page that has gone on must not take the session from a newer one.
            if sender.peer_has_ended() {
                return (Ok(gone()), Step::default());
            }
            match scene.hub.resume(now, &resume, origin.as_deref()) {
                Ok((handle, step)) => {
                    scene.attach(handle, sender);
                    (Ok(Attached::Session(handle)), step)
                }
                Err(reason) => (Err(reason), Step::default()),
            }
        });
        let resumed = resumed.await?;
        match &resumed {
            Ok(Attached::Session(_)) => self.inner.metrics.resume(Ok(())),
            Err(reason) => self.inner.metrics.resume(Err(*reason)),
            // Nobody is there who came back.
            Ok(Attached::Closed(_)) => {}
        }
        Ok(resumed)
    }

    /// Asks the backend, if it wants that. `None`: it may be resumed.
    async fn may_resume(
        &self,
        resume: &Resume,
        question: &Question,
    ) -> Result<Option<Result<Attached, NotResumed>>, GatewayError> {
        let Some(backend) = self.inner.backend.as_ref().filter(|_| self.inner.ask_resume) else {
            return Ok(None);
        };
        let (asked, site) = (resume.clone(), question.origin.clone());
        let judged = backend.timeout() + JUDGED;
        let may = self.act(move |scene, now| {
            match scene.hub.may_resume(now, &asked, site.as_deref()) {
                // Who is back in time is not given up while the backend thinks.
                Ok(id) => {
                    let user = scene.hub.view(id).and_then(|view| view.user_id);
                    (Ok((id, user)), scene.hub.hold(now, id, now + judged))
                }
                Err(reason) => (Err(reason), Step::default()),
            }
        });
        let (id, user) = match may.await? {
            Ok(asked) => asked,
            Err(reason) => return Ok(Some(Err(reason))),
        };
        Ok(match backend.resume(id, user.as_deref(), question).await {
            Decision::Accepted { .. } => None,
            Decision::Refused { .. } => Some(Err(NotResumed::Refused)),
            // Not known is not no: the client comes back with the same token.
            Decision::Unavailable(error) => Some(Ok(Attached::Closed(no_answer(&error)))),
        })
    }

    async fn start_session(
        &self,
        socket: &Socket,
        newcomer: Newcomer,
    ) -> Result<Attached, GatewayError> {
        let sender = socket.sender();
        self.act(move |scene, now| {
            // One that does not speak adieu.v1 may say what it has to say and go.
            if !newcomer.plain && sender.peer_has_ended() {
                return (gone(), Step::default());
            }
            let id = SessionId::new(random());
            let (handle, step) = scene.hub.start(now, id, newcomer);
            scene.attach(handle, sender);
            (Attached::Session(handle), step)
        })
        .await
    }

    /// Reads to the end of the connection and accounts for it.
    async fn converse(&self, socket: &mut Socket, handle: Handle, plain: bool) -> Close {
        while let Some(message) = socket.recv().await {
            let heard = if plain {
                self.hear_plain(socket, handle, &message).await
            } else {
                self.hear(socket, handle, &message).await
            };
            match heard {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return CloseCode::INTERNAL_ERROR.into(),
            }
        }
        let ending = socket.ended().await;
        self.ended(handle, &ending).await;
        CloseCode::NORMAL.into()
    }

    /// Hears a message; false if the connection ended before there was room for it. It was not
    /// acknowledged then, and neither was what follows: the client says it again.
    async fn hear(
        &self,
        socket: &Socket,
        handle: Handle,
        message: &Message,
    ) -> Result<bool, GatewayError> {
        let said = FromClient::of(message);
        let mut room = None;
        if matches!(said, Ok(FromClient::Message { .. })) {
            match self.room(socket, handle, message.len(), true).await {
                Some(kept) => room = Some(kept),
                None => return Ok(false),
            }
        }
        let act: Act = Box::new(move |scene, now| {
            (scene.hub.hear(now, handle, said), Box::new(move || drop(room)))
        });
        self.submit_act(act).await.map(|()| true)
    }

    async fn hear_plain(
        &self,
        socket: &Socket,
        handle: Handle,
        message: &Message,
    ) -> Result<bool, GatewayError> {
        let said = Payload::of(message);
        // Nobody says it again: what it had said before it ended is heard.
        let room = self.room(socket, handle, message.len(), false).await;
        let act: Act = Box::new(move |scene, now| {
            (scene.hub.hear_plain(now, handle, said), Box::new(move || drop(room)))
        });
        self.submit_act(act).await.map(|()| true)
    }

    /// Waits until the backend has taken enough of this session that there is room for a message,
    /// and keeps it. `None`: the connection is over.
    async fn room(
        &self,
        socket: &Socket,
        handle: Handle,
        bytes: usize,
        signs: bool,
    ) -> Option<Room> {
        let deliveries = &self.inner.deliveries;
        if let Some(room) = deliveries.try_room(handle.session, bytes) {
            return Some(room);
        }
        // Apart, so that an idle session does not keep its room.
        Box::pin(self.wait_for_room(socket, handle, bytes, signs)).await
    }

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

    async fn ended(&self, handle: Handle, ending: &Ending) {
        let departure = Departure::of(ending);
        let account = account(ending);
        let ended = self.act(move |scene, now| {
            scene.detach(handle);
            ((), scene.hub.ended(now, handle, departure, account))
        });
        if let Err(error) = ended.await {
            // Its session is as good as one whose gateway was killed: the next start gives it time.
            tracing::error!("a connection's end could not be written down: {error}");
        }
    }
}

/// How long it may take to act on an answer of the backend.
const JUDGED: Duration = Duration::from_secs(2);

/// It comes back by itself, as from any end that is not final.
fn no_answer(error: &NotTaken) -> Close {
    close(CloseCode::INTERNAL_ERROR.get(), error.for_clients())
}
