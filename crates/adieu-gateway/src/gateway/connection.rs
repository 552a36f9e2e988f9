//! One WebSocket of a session: what its client says goes to the engine, and its end too.

use adieu::{Close, CloseCode, Closed, Ending, Message, Sender, Socket};

use super::engine::random;
use super::{Act, Gateway, GatewayError};
use crate::hook::{Decision, Question};
use crate::session::account::account;
use crate::session::hub::{Handle, Newcomer, Step};
use crate::session::wire::{NotResumed, Offer, REFUSED, Resume, ToClient};
use crate::session::{Departure, SessionId};

/// Messages of one connection that are under way to the engine at most, before it is asked whether
/// the backend keeps up.
const IN_FLIGHT: usize = 16;

/// What became of a request for a session.
enum Attached {
    Session(Handle),
    /// It is not taken; how that is said.
    Closed(Close),
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
    ///
    /// # Errors
    /// [`Closed`] if the client goes before it is answered.
    pub async fn session(&self, mut socket: Socket) -> Result<Close, Closed> {
        match self.attach(&socket).await {
            Ok(Attached::Session(handle)) => Ok(self.converse(&mut socket, handle).await),
            Ok(Attached::Closed(close)) => Ok(close),
            Err(error) => {
                tracing::error!("{error}");
                Ok(CloseCode::INTERNAL_ERROR.into())
            }
        }
    }

    /// Runs a connection whose client does not speak adieu.v1: it is a session of its own.
    ///
    /// # Errors
    /// None: it ends as its session says.
    pub async fn plain(&self, mut socket: Socket, user: Option<String>) -> Result<Close, Closed> {
        let origin = socket.request().and_then(|request| request.origin()).map(str::to_owned);
        let newcomer = Newcomer { user, origin, plain: true, not_resumed: None };
        match self.start_session(&socket, newcomer).await {
            Ok(handle) => Ok(self.converse(&mut socket, handle).await),
            Err(error) => {
                tracing::error!("{error}");
                Ok(CloseCode::INTERNAL_ERROR.into())
            }
        }
    }

    async fn attach(&self, socket: &Socket) -> Result<Attached, GatewayError> {
        let Some(request) = socket.request() else {
            return Ok(Attached::Closed(CloseCode::INTERNAL_ERROR.into()));
        };
        let question = Question::of(request, socket.peer());
        let offer = Offer::read(request.subprotocols().collect::<Vec<_>>());
        let origin = question.origin.clone();
        let mut not_resumed = None;
        if let Some(resume) = offer.and_then(|offer| offer.resume) {
            let resumed = self.resume(socket, resume, origin.clone(), &question).await?;
            self.inner.metrics.resume(resumed.map(|_| ()));
            match resumed {
                Ok(handle) => return Ok(Attached::Session(handle)),
                Err(reason) => not_resumed = Some(reason),
            }
        }
        match self.ask(&question).await {
            Decision::Accepted { user, .. } => {
                let newcomer = Newcomer { user, origin, plain: false, not_resumed };
                Ok(Attached::Session(self.start_session(socket, newcomer).await?))
            }
            Decision::Refused { reason, .. } => {
                // A page cannot see an HTTP status, but this.
                let refused = ToClient::Refused { reason: &reason };
                let _ = socket.send(Message::from(refused.to_json())).await;
                Ok(Attached::Closed(close(REFUSED, &reason)))
            }
            Decision::Unavailable(error) => {
                tracing::warn!("{error}");
                // It comes back by itself, as from any end that is not final.
                let code = CloseCode::INTERNAL_ERROR.get();
                Ok(Attached::Closed(close(code, "the backend did not answer")))
            }
        }
    }

    /// Resumes a session, or says why not.
    async fn resume(
        &self,
        socket: &Socket,
        resume: Resume,
        origin: Option<String>,
        question: &Question,
    ) -> Result<Result<Handle, NotResumed>, GatewayError> {
        if self.inner.ask_resume
            && let Some(backend) = &self.inner.backend
        {
            let (asked, site) = (resume.clone(), origin.clone());
            let may = self.act(move |scene, now| {
                (scene.hub.may_resume(now, &asked, site.as_deref()), Step::default())
            });
            match may.await? {
                Err(reason) => return Ok(Err(reason)),
                Ok(id) => match backend.resume(id, question).await {
                    Decision::Accepted { .. } => {}
                    // Not known is not yes; the client may come back with the same token.
                    Decision::Refused { .. } => return Ok(Err(NotResumed::Refused)),
                    Decision::Unavailable(error) => {
                        tracing::warn!("{error}");
                        return Ok(Err(NotResumed::Refused));
                    }
                },
            }
        }
        let sender = socket.sender();
        self.act(move |scene, now| match scene.hub.resume(now, &resume, origin.as_deref()) {
            Ok((handle, step)) => {
                scene.attach(handle, sender);
                (Ok(handle), step)
            }
            Err(reason) => (Err(reason), Step::default()),
        })
        .await
    }

    async fn start_session(
        &self,
        socket: &Socket,
        newcomer: Newcomer,
    ) -> Result<Handle, GatewayError> {
        let sender = socket.sender();
        self.act(move |scene, now| {
            let id = SessionId::new(random());
            let (handle, step) = scene.hub.start(now, id, newcomer);
            scene.attach(handle, sender);
            (handle, step)
        })
        .await
    }

    /// Reads to the end of the connection and accounts for it.
    async fn converse(&self, socket: &mut Socket, handle: Handle) -> Close {
        let sender = socket.sender();
        let mut under_way = 0;
        loop {
            self.room(handle, &sender).await;
            let Some(message) = socket.recv().await else { break };
            under_way += 1;
            let wait = under_way >= IN_FLIGHT;
            if self.hear(handle, message, wait).await.is_err() {
                return CloseCode::INTERNAL_ERROR.into();
            }
            if wait {
                under_way = 0;
            }
        }
        let ending = socket.ended().await;
        self.ended(handle, &ending).await;
        CloseCode::NORMAL.into()
    }

    /// Waits while the backend has too much of this session to take. When the connection is over
    /// meanwhile, what it had said is heard: no more is coming.
    async fn room(&self, handle: Handle, sender: &Sender) {
        let room = self.inner.deliveries.room(handle.session);
        tokio::pin!(room);
        // Without a wait, the end is not asked for.
        if std::future::poll_fn(|cx| std::task::Poll::Ready(room.as_mut().poll(cx).is_ready()))
            .await
        {
            return;
        }
        tokio::select! {
            () = room => {}
            _ = sender.ended() => {}
        }
    }

    async fn hear(&self, handle: Handle, message: Message, wait: bool) -> Result<(), GatewayError> {
        if wait {
            return self.act(move |scene, now| ((), scene.hub.hear(now, handle, &message))).await;
        }
        let act: Act =
            Box::new(move |scene, now| (scene.hub.hear(now, handle, &message), Box::new(|| {})));
        self.submit_act(act).await
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

/// Bytes of a Close's reason at most (RFC 6455 §5.5).
const MAX_REASON: usize = 123;

/// A Close with as much of the reason as fits.
pub(crate) fn close(code: u16, reason: &str) -> Close {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Close::new(code, &reason[..end]).unwrap_or_else(|_| CloseCode::NORMAL.into())
}
