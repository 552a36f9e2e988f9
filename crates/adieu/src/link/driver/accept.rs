//! A request is decided on, outside of the lock, for it is the application that decides. Where it
//! takes its time, the connection goes on meanwhile: its clock runs, its server may stop, its peer
//! may go; and what comes behind the request is kept.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, ready};

use adieu_proto::{Decision, HandshakeError};

use super::Own;
use super::aside::{self, Aside};
use super::dropped::drop_caught;
use crate::accept;
use crate::handshake::{self, Decided, Deciding, Handshake};
use crate::link::state::State;
use crate::link::{Link, Opened};
use crate::now;
use crate::peer::Peer;

/// What a request asked for, until its connection is open.
pub(super) struct Asked {
    pub(super) opened: Opened,
    /// The application takes its time to decide.
    deciding: Option<Deciding>,
}

impl Asked {
    pub(super) fn new(opened: Opened) -> Self {
        Asked { opened, deciding: None }
    }

    /// Its connection is over, or was refused: the application is not asked any more.
    pub(super) fn forget_decision(&mut self) {
        drop_caught(self.deciding.take());
    }
}

impl Own {
    /// Whether nothing is read for now: a request is decided on before more is read, or else as
    /// much was read behind it as is kept.
    #[inline]
    pub(super) fn waits_for_decision(&self, state: &State) -> bool {
        self.undecided && !self.reads_early(state)
    }

    #[cold]
    fn reads_early(&self, state: &State) -> bool {
        let status = state.connection.status();
        let takes_its_time = self.asked().is_some_and(|asked| asked.deciding.is_some());
        takes_its_time && (status.keeps_early_bytes() || !status.awaits_decision())
    }

    /// Has the request decided on, then reads what came behind it.
    #[inline]
    pub(super) fn decide(&mut self, link: &Link, cx: &mut Context<'_>) {
        if self.undecided {
            self.decide_now(link, cx);
        }
    }

    #[inline(never)]
    fn decide_now(&mut self, link: &Link, cx: &mut Context<'_>) {
        let Some(mut aside) = self.aside.take() else { return };
        let decision = if link.lock().connection.status().awaits_decision() {
            self.poll_decision(link, &mut aside, cx)
        } else {
            // Its clock has run out, its peer has gone, or its server stops.
            aside.forget_decision();
            Poll::Ready(None)
        };
        self.undecided = decision.is_pending();
        self.aside = Some(aside);
        link.polls(|state, scratch| {
            if let Poll::Ready(Some(decision)) = decision {
                // The application may have taken its time.
                state.polled = now();
                // The subprotocol is one of those that the request offers, and the fields were
                // checked, so nothing is wrong with it.
                let _ = state.connection.decide(state.polled, decision, scratch);
                state.take_in(&mut scratch.messages);
                self.do_outputs(link, cx, state, scratch);
            }
            self.read(link, cx, state, scratch);
        });
    }

    /// What becomes of the request, once that is known.
    fn poll_decision(
        &mut self,
        link: &Link,
        aside: &mut Aside,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Decision>> {
        let Aside { asked: Some(asked), span } = aside else { return Poll::Ready(None) };
        let is_new = asked.deciding.is_none();
        if is_new {
            let transport = link.transport();
            asked.opened.is_of(self.client(link, &asked.opened), transport);
            *span = aside::span(link, &asked.opened);
        }
        // A later poll is inside of it already.
        let _entered = is_new.then(|| span.enter());
        if is_new {
            match self.judge(link, asked) {
                Ok(deciding) => asked.deciding = deciding,
                Err(error) => return Poll::Ready(Some(Decision::Refuse(error))),
            }
        }
        let Some(deciding) = &mut asked.deciding else {
            return Poll::Ready(Some(Decision::Accept(asked.opened.negotiated.clone())));
        };
        let decided = ready!(handshake::poll_decision(deciding, cx));
        asked.forget_decision();
        Poll::Ready(Some(match decided {
            // A drain that has started meanwhile tells each connection in its turn.
            Ok(Ok(_)) if self.endpoint.drain.has_started() => {
                Decision::Refuse(HandshakeError::Draining)
            }
            Ok(decided) => told(decided, &mut asked.opened),
            Err(error) => Decision::Refuse(error),
        }))
    }

    /// The peer, as a trusted proxy may have told it.
    fn client(&self, link: &Link, opened: &Opened) -> Peer {
        let sender = link.lock().sender(link.transport());
        let Some(request) = &opened.request else { return sender };
        self.endpoint.proxies.client(sender, request)
    }

    /// What the endpoint says of the request; and what asks the application, if it is to be asked.
    fn judge(
        &mut self,
        link: &Link,
        asked: &mut Asked,
    ) -> Result<Option<Deciding>, HandshakeError> {
        let opened = &mut asked.opened;
        let Some(request) = &opened.request else { return Ok(None) };
        let peer = opened.peer(link.transport());
        let (endpoint, permit) = (&self.endpoint, &mut self.permit);
        let decided = catch_unwind(AssertUnwindSafe(|| endpoint.decide(request, peer, permit)));
        let request = endpoint.on_handshake.as_ref().map(|_| request.clone());
        opened.negotiated.subprotocol = decided.unwrap_or(Err(HandshakeError::Panicked))?;
        let Some((ask, request)) = endpoint.on_handshake.as_ref().zip(request) else {
            return Ok(None);
        };
        let handshake = Handshake::new(request, peer, opened.negotiated.version)?;
        #[cfg(feature = "tls")]
        let handshake = handshake.over_tls(link.lock().transport.tls_info());
        handshake::ask(&**ask, handshake).map(Some)
    }
}

/// What the application has said, as the protocol is told.
fn told(decided: Decided, opened: &mut Opened) -> Decision {
    match decided {
        Ok(accept) => {
            let Some(request) = &opened.request else {
                return Decision::Accept(opened.negotiated.clone());
            };
            let (fields, extensions) = accept.apply(request, &mut opened.negotiated);
            opened.has(extensions);
            Decision::AcceptWith(opened.negotiated.clone(), accept::fields(&fields))
        }
        Err(refusal) => {
            let (error, refusal) = accept::checked(refusal);
            Decision::RefuseWith(error, accept::to_bytes(&refusal))
        }
    }
}
