//! The one poll of a connection: moves bytes between the transport and the protocol, side by side
//! with the handler in one task. All output of one poll leaves in one write.

mod accept;
mod aside;
mod dropped;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use adieu_proto::{
    Cause, Close, CloseCode, CloseRequest, Event, HandshakeError, Negotiated, Output, Scratch,
};
use tokio::time::Sleep;

use accept::Asked;
use aside::Aside;

use super::pings::Answers;
use super::scratch::with_scratch;
use super::state::State;
use super::wakes::Wakes;
use super::{Link, Opened};
use crate::endpoint::{Closing, Ended, Endpoint};
use crate::handled::Handled;
use crate::limit::ConnectionPermit;
use crate::now;
use crate::transport::{AnyTransport, Transport};

/// Reads and bytes in one poll at most, so that one busy peer does not starve the other tasks of
/// its thread.
const READS_PER_POLL: usize = 16;
const BYTES_PER_POLL: usize = 1024 * 1024;

/// Writes in one poll at most: a peer that reads as fast as we write could go on for ever.
const WRITES_PER_POLL: usize = 64;

/// Runs one connection. Dropped before its end, it still ends it and reports it.
pub(crate) struct Driver {
    link: Arc<Link>,
    own: Own,
}

/// What a driver has for itself.
struct Own {
    endpoint: Arc<Endpoint>,
    /// What few polls need: nothing, where the connection is open and no log wants its span.
    aside: Option<Box<Aside>>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Reading waits for the application to catch up.
    paused: bool,
    /// Our direction is being finished: over TLS its last records have to leave.
    finishing: bool,
    /// The transport, let go of and to be dropped outside of the lock: a stream of the
    /// application's own may look at its connection then.
    released: Option<Box<AnyTransport>>,
    /// What the protocol has said and the application was not told yet.
    untold: Option<Box<Untold>>,
    /// The request is read and not decided on.
    undecided: bool,
    /// There is more to do: the task is to be polled again, after the others of its thread.
    again: bool,
    told: bool,
    /// It is refused without waiting for its request.
    turned_away: bool,
    /// What it takes up of the endpoint's limits, until it is over.
    permit: ConnectionPermit,
}

/// What is told where no lock is held.
#[derive(Default)]
struct Untold {
    /// The peer's Close.
    closing: Option<Close>,
    /// Pings that are answered, or will not be.
    answers: Vec<Answers>,
}

/// The handler's side of a poll: nothing yet, or what it came to.
type Handler<'h> = &'h mut dyn FnMut(&mut Context<'_>) -> Poll<Handled>;

impl Driver {
    pub(crate) fn new(link: Arc<Link>, endpoint: Arc<Endpoint>) -> Self {
        endpoint.drain.register(&link, false);
        Self::registered(link, endpoint)
    }

    /// For a request that was accepted before: a drain that has started since waits for it.
    #[cfg(feature = "hyper")]
    pub(crate) fn expected(link: Arc<Link>, endpoint: Arc<Endpoint>, asked: Opened) -> Self {
        endpoint.drain.register(&link, true);
        let mut driver = Self::registered(link, endpoint);
        driver.own.aside = Some(Aside::accepted(&driver.link, asked));
        driver
    }

    fn registered(link: Arc<Link>, endpoint: Arc<Endpoint>) -> Self {
        let own = Own {
            endpoint,
            aside: None,
            sleep: None,
            paused: false,
            finishing: false,
            released: None,
            untold: None,
            undecided: false,
            again: false,
            told: false,
            turned_away: false,
            permit: ConnectionPermit::default(),
        };
        Driver { link, own }
    }

    /// Counted in the endpoint's limits.
    pub(crate) fn counted(mut self, permit: ConnectionPermit) -> Self {
        self.own.permit = permit;
        self
    }

    /// Messages that were read before the driver had the connection come first.
    #[cfg(feature = "hyper")]
    pub(crate) fn after(self, messages: adieu_proto::Messages) -> Self {
        let mut messages = messages;
        self.link.lock().take_in(&mut messages);
        self
    }

    /// Refuses it without waiting for its request, and lets go of it at once.
    pub(crate) fn turn_away(mut self, error: HandshakeError) {
        self.link.refuse(error);
        self.own.turned_away = true;
    }

    /// Drives the opening handshake; false if it came to nothing.
    pub(crate) async fn open(&mut self) -> bool {
        poll_fn(|cx| {
            let over = self.own.poll(&self.link, cx, &mut |_| Poll::Pending);
            let opened = self.link.opened.get().is_some();
            #[cfg(feature = "http2")]
            let over = over || self.link.chose_http2();
            if opened || over { Poll::Ready(opened) } else { Poll::Pending }
        })
        .await
    }

    /// The transport and what it takes up of the limits, if the peer has chosen HTTP/2: that
    /// connection is none of this driver's, and is not reported.
    #[cfg(feature = "http2")]
    pub(crate) fn take_http2(&mut self) -> Option<(crate::http2::Carried, ConnectionPermit)> {
        let carried = self.link.take_http2()?;
        self.own.told = true;
        self.own.endpoint.drain.unregister(Arc::as_ptr(&self.link));
        Some((carried, std::mem::take(&mut self.own.permit)))
    }

    /// The client, as far as it is known before its request.
    #[cfg(feature = "http2")]
    pub(crate) fn sender(&self) -> crate::peer::Peer {
        self.link.lock().sender(self.link.transport())
    }

    /// The connection that it drives.
    pub(crate) fn link(&self) -> Arc<Link> {
        self.link.clone()
    }

    /// Drives the connection to its end, its handler beside it. The driver is borrowed and the
    /// handler boxed because a future that is moved into another takes its room twice.
    pub(crate) async fn run(&mut self, mut handler: Pin<Box<impl Future<Output = Handled>>>) {
        let mut running = Some(self.own.endpoint.drain.handler());
        poll_fn(|cx| {
            let over = self.own.poll(&self.link, cx, &mut |cx| {
                if running.is_none() {
                    return Poll::Pending;
                }
                let handled = std::task::ready!(poll_caught(handler.as_mut(), cx));
                running = None;
                Poll::Ready(handled)
            });
            if over && running.is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Drives the connection to its end; the application holds the `Socket` elsewhere.
    pub(crate) async fn run_alone(&mut self) {
        poll_fn(|cx| {
            if self.own.poll(&self.link, cx, &mut |_| Poll::Pending) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl Own {
    /// Read, let the handler run, write. Whether the connection is over.
    fn poll(&mut self, link: &Arc<Link>, cx: &mut Context<'_>, handler: Handler<'_>) -> bool {
        self.again = false;
        self.in_span(|own| own.take_in(link, cx));
        self.in_span(|own| own.go_on(link, cx, handler))
    }

    /// Reads, tells what came, and has a request decided on; its span starts then.
    fn take_in(&mut self, link: &Link, cx: &mut Context<'_>) {
        self.before_handler(link, cx);
        // The application's functions run outside of the lock.
        self.released = None;
        self.tell_what_came(link);
        self.decide(link, cx);
    }

    /// Lets the handler run, and writes. Whether the connection is over.
    fn go_on(&mut self, link: &Arc<Link>, cx: &mut Context<'_>, handler: Handler<'_>) -> bool {
        let handled = handler(cx);
        if matches!(handled, Poll::Ready(Handled::Ends(_))) {
            link.warn_of_lost_socket();
        }
        let over = self.after_handler(link, cx, handled);
        self.tell_what_came(link);
        if over {
            self.released = None;
            self.tell(link);
        } else if self.again {
            // Behind the other tasks of this thread, its timers and its sockets.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        over
    }

    fn before_handler(&mut self, link: &Link, cx: &mut Context<'_>) {
        link.polls(|state, scratch| {
            state.polling = true;
            state.handler_is_next = true;
            state.polled = now();
            if state.ending.is_none() && state.waiting.driver_is(cx.waker()) {
                // The clock would wake the task that polled the connection before.
                self.sleep = None;
            }
            self.do_outputs(link, cx, state, scratch);
            #[cfg(feature = "deflate")]
            state.work(scratch);
            self.read(link, cx, state, scratch);
            self.hold(state, scratch);
            if self.paused {
                state.reading_paused(scratch);
            }
            state.pass_time(scratch);
            self.do_outputs(link, cx, state, scratch);
        });
    }

    fn after_handler(&mut self, link: &Link, cx: &mut Context<'_>, handled: Poll<Handled>) -> bool {
        link.polls(|state, scratch| {
            state.handler_is_next = false;
            match handled {
                Poll::Ready(Handled::Ends(request)) => state.close(request, scratch),
                // Dropped while its handler goes on, or where it was moved to.
                _ if state.socket_dropped => {
                    let close = CloseCode::GOING_AWAY.into();
                    state.close(CloseRequest::of(Cause::Dropped, close), scratch);
                }
                _ => {}
            }
            if self.permit.holds() {
                // The handler has taken some of it.
                self.hold(state, scratch);
            }
            let waited = self.paused || state.may_read_nothing();
            state.go_on_draining(scratch);
            self.do_outputs(link, cx, state, scratch);
            self.write(link, cx, state, scratch);
            let over = state.ending.is_some();
            if !over {
                // Reading had paused and may go on: the other tasks of this thread come first.
                self.again |= waited && !state.reading_waits();
                self.again |= std::mem::take(&mut state.look_again);
                #[cfg(feature = "deflate")]
                {
                    self.again |= state.has_work();
                }
                self.set_clock(cx, state);
            }
            state.lend_back(scratch);
            state.polling = false;
            over
        })
    }

    /// Reads what is there, unless the application is behind.
    fn read(
        &mut self,
        link: &Link,
        cx: &mut Context<'_>,
        state: &mut State,
        scratch: &mut Scratch,
    ) {
        let mut bytes = 0;
        for _ in 0..READS_PER_POLL {
            self.paused = state.reading_waits();
            if self.paused || self.waits_for_decision(state) {
                return;
            }
            let Poll::Ready(read) = state.read_once(cx, scratch) else { return };
            self.do_outputs(link, cx, state, scratch);
            bytes += read;
            if bytes >= BYTES_PER_POLL {
                break;
            }
        }
        // The other tasks of this thread come first, then we go on.
        self.again = true;
    }

    /// Counts what has come and was not taken yet, and gives up where it is too much with the
    /// others'.
    fn hold(&mut self, state: &mut State, scratch: &mut Scratch) {
        let Some(all) = &self.endpoint.receiving else { return };
        let held = state.received();
        if !self.permit.hold(all, held) && state.connection.status().delivers() {
            let close =
                Close::new(CloseCode::TRY_AGAIN_LATER, "too much is being received at once");
            let close = close.unwrap_or_else(|_| CloseCode::TRY_AGAIN_LATER.into());
            state.close(CloseRequest::of(Cause::TooMuchReceived, close), scratch);
        }
    }

    /// Does what the protocol asks for, except writing.
    #[inline]
    fn do_outputs(
        &mut self,
        link: &Link,
        cx: &mut Context<'_>,
        state: &mut State,
        scratch: &mut Scratch,
    ) {
        loop {
            match state.connection.poll_output(scratch) {
                Output::Event(event) => self.event(link, state, event),
                Output::Finish => self.finishing = true,
                Output::Disconnect => {
                    self.finish(cx, state);
                    self.released = Some(Box::new(state.disconnect(scratch)));
                }
                _ => break,
            }
        }
        self.finish(cx, state);
    }

    fn finish(&mut self, cx: &mut Context<'_>, state: &mut State) {
        if self.finishing {
            self.finishing = state.poll_finish(cx).is_pending();
        }
    }

    fn event(&mut self, link: &Link, state: &mut State, event: Event) {
        match event {
            Event::Request(request, version) => {
                let negotiated = Negotiated::new(version).over(state.transport.kind());
                let opened = Opened::new(Some(request), negotiated);
                self.aside = Some(Aside::new(Asked::new(opened)));
                self.undecided = true;
            }
            Event::Response(head) => {
                self.aside = Some(Aside::new(Asked::new(Opened::answered(head))));
            }
            Event::Opened(negotiated) => {
                state.opened();
                if negotiated.version.is_hixie() {
                    state.transport.keep_alive();
                }
                let asked = Aside::take_asked(&mut self.aside);
                let negotiated = negotiated.over(state.transport.kind());
                link.opened.get_or_init(|| match asked {
                    Some(asked) => Opened { negotiated, ..asked.opened },
                    None => Opened::new(None, negotiated),
                });
            }
            Event::EndOfMessages => self.end_messages(state),
            Event::Pong(number) => {
                if let Some(rare) = &mut state.rare {
                    let answers = rare.pings.answered(number, state.polled);
                    self.untold.get_or_insert_default().answers.push(answers);
                }
            }
            Event::CloseReceived(close) => {
                self.untold.get_or_insert_default().closing = Some(close);
            }
            Event::Ended(ending) => {
                state.ending = Some(Arc::from(ending));
                self.end_messages(state);
            }
            _ => {}
        }
    }

    /// Nothing of the peer will come any more, no Pong either.
    fn end_messages(&mut self, state: &mut State) {
        state.end_messages();
        if let Some(rare) = state.rare.as_mut().filter(|rare| rare.pings.wait()) {
            self.untold.get_or_insert_default().answers.push(rare.pings.given_up());
        }
    }

    /// Writes what the handler and the protocol have queued.
    #[inline]
    fn write(
        &mut self,
        link: &Link,
        cx: &mut Context<'_>,
        state: &mut State,
        scratch: &mut Scratch,
    ) {
        for _ in 0..WRITES_PER_POLL {
            if !state.connection.status().has_output() && !state.transport.holds() {
                return;
            }
            if state.write(Some(cx), scratch).is_pending() {
                return;
            }
            self.do_outputs(link, cx, state, scratch);
        }
        self.again = true;
    }

    /// Asks to be woken at the next deadline. An earlier wake is harmless, so a clock that is
    /// set too early is left alone: deadlines that move with every byte cost nothing.
    fn set_clock(&mut self, cx: &mut Context<'_>, state: &State) {
        let Some(at) = state.timeout().map(tokio::time::Instant::from_std) else { return };
        match &mut self.sleep {
            // It runs, and knows which task to wake.
            Some(sleep) if !sleep.is_elapsed() && sleep.deadline() <= at => return,
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
        }
        let Some(sleep) = &mut self.sleep else { return };
        // Outside of the task's budget: a poll that the runtime puts off tells the clock nothing,
        // and is not made up for.
        self.again |= pin!(tokio::task::unconstrained(sleep.as_mut())).poll(cx).is_ready();
    }

    /// Tells early that the peer has sent its Close, and those who wait for a Pong, outside of the
    /// lock.
    fn tell_what_came(&mut self, link: &Link) {
        let Some(untold) = self.untold.take() else { return };
        untold.answers.into_iter().for_each(Answers::tell);
        if let Some(close) = &untold.closing {
            let request = link.opened.get().and_then(|opened| opened.request.as_ref());
            self.endpoint.closing(Closing { peer: link.peer(), request, close });
        }
    }

    /// Tells the report, once, outside of the lock.
    fn tell(&mut self, link: &Arc<Link>) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        // Whoever hears of the end may connect again.
        self.permit = ConnectionPermit::default();
        let mut state = link.lock();
        let Some(ending) = state.ending.clone() else { return };
        let sender = state.sender(link.transport());
        let unread = state.is_over();
        drop(state);
        drop(unread);
        link.over.notify_waiters();
        if let Some(aside) = &mut self.aside {
            aside.forget_decision();
        }
        let opened = link.opened.get().or(self.asked().map(|asked| &asked.opened));
        let ended = Ended {
            id: Some(link.id()),
            peer: opened.and_then(Opened::proxied).unwrap_or(sender),
            request: opened.and_then(|opened| opened.request.as_ref()),
            version: opened.map(|opened| opened.negotiated.version),
            ending: &ending,
        };
        self.endpoint.ended(ended);
        self.endpoint.drain.forget(Arc::as_ptr(link), &ending);
    }
}

impl Link {
    /// A handler has returned, and somebody else has its `Socket`: most likely a task, for which
    /// the connection was to go on.
    fn warn_of_lost_socket(&self) {
        let state = self.lock();
        let is_lost = !state.socket_dropped && state.connection.status().may_send();
        drop(state);
        if is_lost {
            tracing::warn!(
                peer = %self.peer(),
                "a handler has returned while its Socket is held elsewhere: the connection is \
                 closed; a handler that returns adieu::Detached leaves it open"
            );
        }
    }

    /// A part of the driver's poll: like [`change`](Link::change), but its buffers stay.
    #[inline]
    fn polls<T>(&self, part: impl FnOnce(&mut State, &mut Scratch) -> T) -> T {
        with_scratch(|scratch| {
            let mut wakes = Wakes::default();
            let mut state = self.lock();
            let result = part(&mut state, scratch);
            state.settle(&mut wakes);
            drop(state);
            wakes.wake(&self.room);
            result
        })
    }
}

/// Polls a handler; its panic is an ending like others. It is not polled again after that.
fn poll_caught(
    handler: Pin<&mut impl Future<Output = Handled>>,
    cx: &mut Context<'_>,
) -> Poll<Handled> {
    match catch_unwind(AssertUnwindSafe(|| handler.poll(cx))) {
        Ok(handled) => handled,
        Err(_) => Poll::Ready(Handled::new(Cause::Panicked, CloseCode::INTERNAL_ERROR.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_of_a_connection_is_one_block_of_256_bytes() {
        // 8 bytes more make it 384: tokio lays tasks out in steps of 128.
        assert!(size_of::<Driver>() <= 64, "{}", size_of::<Driver>());
    }
}
