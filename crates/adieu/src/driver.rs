//! The one driver loop: moves bytes between the transport and the protocol, side by side with
//! the handler in one task. All output of one wake leaves in one write.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use adieu_proto::{Cause, Close, CloseCode, Event, HandshakeError, Output, Request, Version};
use tokio::time::Sleep;

use crate::endpoint::{Closing, Ended, Endpoint};
use crate::limit::Place;
use crate::now;
use crate::shared::{Opened, Shared, State};
use crate::socket::Socket;

/// Reads and bytes in one wake at most, so that one busy peer does not starve the others on its
/// thread.
const READS_PER_WAKE: usize = 16;
const BYTES_PER_WAKE: usize = 1024 * 1024;

/// Runs one connection. Dropped before its end, it still ends it and accounts for it.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    drive: Drive,
}

/// What a driver has for itself.
struct Drive {
    endpoint: Arc<Endpoint>,
    /// What the request asked for, until the connection is open.
    asked: Option<Box<Opened>>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Reading waits for the application to catch up.
    paused: bool,
    /// Our FIN waits for the last records of TLS.
    shutting_down: bool,
    /// A request that is read and not decided on.
    request: Option<Box<(Request, Version)>>,
    /// The peer's Close, read and not told yet.
    closing: Option<Box<Close>>,
    told: bool,
    /// What it takes up of the endpoint's limits, until it is over.
    place: Place,
}

/// What the handler's side of a wake came to: nothing yet, or its goodbye.
type Handler<'h> = &'h mut dyn FnMut(&mut Context<'_>) -> Poll<(Close, Cause)>;

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, endpoint: Arc<Endpoint>) -> Self {
        endpoint.drain.register(&shared, false);
        Self::registered(shared, endpoint)
    }

    /// For a request that was accepted before: a drain that has started since waits for it.
    #[cfg(feature = "hyper")]
    pub(crate) fn expected(shared: Arc<Shared>, endpoint: Arc<Endpoint>, asked: Opened) -> Self {
        endpoint.drain.register(&shared, true);
        let mut driver = Self::registered(shared, endpoint);
        driver.drive.asked = Some(Box::new(asked));
        driver
    }

    fn registered(shared: Arc<Shared>, endpoint: Arc<Endpoint>) -> Self {
        let drive = Drive {
            endpoint,
            asked: None,
            sleep: None,
            paused: false,
            shutting_down: false,
            request: None,
            closing: None,
            told: false,
            place: Place::default(),
        };
        Driver { shared, drive }
    }

    /// Counted in the endpoint's limits.
    pub(crate) fn counted(mut self, place: Place) -> Self {
        self.drive.place = place;
        self
    }

    /// Refuses it without waiting for its request, and lets go of it at once.
    pub(crate) fn turn_away(self, error: HandshakeError) {
        self.shared.lock().connection.refuse(now(), error);
    }

    /// Drives the opening handshake; false if it came to nothing.
    pub(crate) async fn open(&mut self) -> bool {
        poll_fn(|cx| {
            let over = self.drive.turn(&self.shared, cx, &mut |_| Poll::Pending);
            let opened = self.shared.opened.get().is_some();
            if opened || over { Poll::Ready(opened) } else { Poll::Pending }
        })
        .await
    }

    /// The application's handle.
    pub(crate) fn socket(&self) -> Socket {
        Socket::new(self.shared.clone())
    }

    /// Drives the connection to its end, its handler beside it. The driver is borrowed and the
    /// handler boxed because a future that is moved into another takes its room twice.
    pub(crate) async fn run(&mut self, mut handler: Pin<Box<impl Future<Output = Close>>>) {
        let mut running = Some(self.drive.endpoint.drain.handler());
        poll_fn(|cx| {
            let over = self.drive.turn(&self.shared, cx, &mut |cx| {
                if running.is_none() {
                    return Poll::Pending;
                }
                let goodbye = std::task::ready!(poll_caught(handler.as_mut(), cx));
                running = None;
                Poll::Ready(goodbye)
            });
            if over && running.is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Drives the connection to its end; the application holds the `Socket` elsewhere.
    #[cfg_attr(not(test), allow(dead_code, reason = "clients only"))]
    pub(crate) async fn run_alone(&mut self) {
        poll_fn(|cx| {
            if self.drive.turn(&self.shared, cx, &mut |_| Poll::Pending) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl Drive {
    /// One wake: read, let the handler run, write. Whether the connection is over.
    fn turn(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>, handler: Handler<'_>) -> bool {
        let mut state = shared.lock();
        if state.begin_wake(cx) {
            // What the clock would wake is the task before.
            self.sleep = None;
        }
        // What hyper had read of it was received before: its messages come first.
        self.events(shared, cx, &mut state);
        self.read(shared, cx, &mut state);
        if self.paused {
            let woke = state.woke;
            state.connection.reading_paused(woke);
        }
        state.pass_time();
        self.events(shared, cx, &mut state);
        state.handler_is_polled();
        drop(state);
        // The application's functions run outside of the lock.
        self.tell_closing(shared);
        self.decide(shared, cx);
        let goodbye = handler(cx);
        let mut state = shared.lock();
        match goodbye {
            Poll::Ready((close, cause)) => state.close(close, cause),
            // Dropped while its handler goes on, or by a client.
            Poll::Pending if state.socket_dropped => {
                state.close(CloseCode::GOING_AWAY.into(), Cause::Dropped);
            }
            Poll::Pending => {}
        }
        let waits = self.paused || state.stopping.may_read() == 0;
        state.go_on_stopping();
        self.events(shared, cx, &mut state);
        self.write(shared, cx, &mut state);
        if state.ending.is_some() {
            state.give_back_buffers();
            state.driving = false;
            drop(state);
            self.tell_closing(shared);
            self.tell(shared);
            return true;
        }
        // Reading had paused and may go on: nobody wakes us while we are awake, and the others
        // on this thread come first.
        if waits && !state.is_behind() && state.stopping.may_read() > 0 {
            cx.waker().wake_by_ref();
        }
        state.wakers.wake_who_is_owed();
        self.set_clock(cx, &state);
        state.give_back_buffers();
        state.driving = false;
        false
    }

    /// Reads what is there, unless the application is behind.
    fn read(&mut self, shared: &Shared, cx: &mut Context<'_>, state: &mut State) {
        let mut bytes = 0;
        for _ in 0..READS_PER_WAKE {
            self.paused = state.is_behind() || state.stopping.may_read() == 0;
            // A request is decided before more is read.
            let decides = self.request.is_some();
            if self.paused || decides {
                return;
            }
            let Poll::Ready(read) = state.read_once(cx) else { return };
            self.events(shared, cx, state);
            bytes += read;
            if bytes >= BYTES_PER_WAKE {
                break;
            }
        }
        // The others on this thread come first, then we go on.
        cx.waker().wake_by_ref();
    }

    /// Does what the protocol says, except writing.
    fn events(&mut self, shared: &Shared, cx: &mut Context<'_>, state: &mut State) {
        while let Some(output) = state.connection.pop_output() {
            match output {
                Output::Event(event) => self.event(shared, state, event),
                Output::ShutdownWrite => self.shutting_down = true,
                Output::Disconnect => {
                    self.shut_down(cx, state);
                    state.disconnect();
                }
                _ => {}
            }
        }
        self.shut_down(cx, state);
    }

    fn shut_down(&mut self, cx: &mut Context<'_>, state: &mut State) {
        if self.shutting_down {
            self.shutting_down = state.poll_shutdown(cx).is_pending();
        }
    }

    fn event(&mut self, shared: &Shared, state: &mut State, event: Event) {
        match event {
            Event::Request(request, version) => {
                self.request = Some(Box::new((request, version)));
            }
            Event::Opened(subprotocol) => {
                let version = state.connection.version();
                if version.is_hixie() {
                    state.io.keep_alive();
                }
                let asked = self.asked.take();
                shared.opened.get_or_init(|| {
                    asked.map_or_else(|| Opened::new(None, version, subprotocol), |asked| *asked)
                });
            }
            Event::Message(message) => {
                state.inbox.push(message);
                state.wakers.wake_receiver();
            }
            Event::EndOfMessages => {
                state.inbox.ended = true;
                state.wakers.wake_receiver();
                state.wakers.wake_senders();
            }
            Event::Closing(close) => self.closing = Some(Box::new(close)),
            Event::Ended(ending) => {
                state.ending = Some(Arc::from(ending));
                state.wakers.wake_all();
                shared.over.notify_waiters();
            }
            _ => {}
        }
    }

    /// Judges the request, outside of the lock, for it is the application that judges; then reads
    /// what came behind it.
    fn decide(&mut self, shared: &Shared, cx: &mut Context<'_>) {
        let Some((request, version)) = self.request.take().map(|asked| *asked) else { return };
        let transport = shared.transport();
        let sender = shared.lock().sender(transport);
        let peer = self.endpoint.proxies.client(sender, &request);
        let (endpoint, place) = (&self.endpoint, &mut self.place);
        let decided = catch_unwind(AssertUnwindSafe(|| endpoint.decide(&request, peer, place)));
        let mut state = shared.lock();
        // The application may have taken its time.
        let woke = now();
        state.woke = woke;
        match decided.unwrap_or(Err(HandshakeError::Refused(500))) {
            Ok(subprotocol) => {
                let tls = state.io.is_tls();
                let asked = Opened::new(Some(request), version, subprotocol.clone());
                self.asked = Some(Box::new(asked.of(peer, transport)));
                if state.connection.accept(woke, subprotocol.as_deref(), tls).is_err() {
                    state.connection.refuse(woke, HandshakeError::Refused(500));
                }
            }
            Err(error) => {
                let asked = Opened::new(Some(request), version, None);
                self.asked = Some(Box::new(asked.of(peer, transport)));
                state.connection.refuse(woke, error);
            }
        }
        self.events(shared, cx, &mut state);
        self.read(shared, cx, &mut state);
    }

    /// Writes what the handler and the protocol have queued.
    fn write(&mut self, shared: &Shared, cx: &mut Context<'_>, state: &mut State) {
        while state.connection.wants_transmit() {
            if state.write(Some(cx)).is_pending() {
                return;
            }
            self.events(shared, cx, state);
        }
    }

    /// Asks to be woken at the next deadline. An earlier wake is harmless, so a clock that is
    /// set too early is left alone: deadlines that move with every byte cost nothing.
    fn set_clock(&mut self, cx: &mut Context<'_>, state: &State) {
        let Some(at) = state.timeout().map(tokio::time::Instant::from_std) else { return };
        match &mut self.sleep {
            // It runs, and knows whom to wake.
            Some(sleep) if !sleep.is_elapsed() && sleep.deadline() <= at => return,
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(at))),
        }
        let Some(sleep) = &mut self.sleep else { return };
        // Outside of the task's budget: a poll that the runtime puts off tells the clock nothing,
        // and is not made up for.
        if pin!(tokio::task::unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Tells early that the peer has said goodbye, outside of the lock.
    fn tell_closing(&mut self, shared: &Shared) {
        if let Some(close) = self.closing.take() {
            let request = shared.opened.get().and_then(|opened| opened.request.as_ref());
            let (peer, close) = (shared.peer(), &*close);
            self.endpoint.closing(Closing { peer, request, close });
        }
    }

    /// Tells the account, once, outside of the lock.
    fn tell(&mut self, shared: &Arc<Shared>) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        // Whoever hears of the end may connect again.
        self.place = Place::default();
        let state = shared.lock();
        let Some(ending) = state.ending.clone() else { return };
        let sender = state.sender(shared.transport());
        drop(state);
        let opened = shared.opened.get().or(self.asked.as_deref());
        let ended = Ended {
            peer: opened.and_then(|opened| opened.proxied.as_deref()).copied().unwrap_or(sender),
            request: opened.and_then(|opened| opened.request.as_ref()),
            version: opened.map(|opened| opened.version),
            ending: &ending,
        };
        self.endpoint.ended(ended);
        self.endpoint.drain.forget(shared, &ending);
    }
}

/// Polls a handler; its panic is an ending like others. It is not polled again after that.
fn poll_caught(
    handler: Pin<&mut impl Future<Output = Close>>,
    cx: &mut Context<'_>,
) -> Poll<(Close, Cause)> {
    match catch_unwind(AssertUnwindSafe(|| handler.poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(close)) => Poll::Ready((close, Cause::Application)),
        Err(_) => Poll::Ready((CloseCode::INTERNAL_ERROR.into(), Cause::Panicked)),
    }
}

impl Drop for Driver {
    /// The task is gone before the connection was over: say what can be said at once, let go,
    /// and account for it.
    fn drop(&mut self) {
        let Driver { shared, drive } = self;
        if drive.told {
            return;
        }
        let mut state = shared.lock();
        let mut cx = Context::from_waker(Waker::noop());
        state.driving = true;
        state.connection.close(now(), CloseCode::GOING_AWAY.into(), Cause::Dropped);
        drive.events(shared, &mut cx, &mut state);
        drive.write(shared, &mut cx, &mut state);
        state.connection.abandon(now());
        drive.events(shared, &mut cx, &mut state);
        state.give_back_buffers();
        drop(state);
        drive.tell(shared);
    }
}
