//! The task of a session: it does what the machine says, and tells it what happened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use adieu_session::Timestamp;
use adieu_session::client::{Client, Event, Input, LEAVE_LIMIT, Limits, Output, Saved, SendError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::{Connection, Dial, Happened};
use super::store::Store;
use crate::{Closed, Message, Sender};

/// The time of day at the start, and the runtime's clock since then: it never jumps, and what is
/// written down of it means something to the next process.
struct Clock {
    at_start: Timestamp,
    start: Instant,
}

impl Clock {
    fn now(&self) -> Timestamp {
        self.at_start + self.start.elapsed()
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.start + at.since(self.at_start)
    }
}

/// What the application and the task share.
pub(super) struct Shared {
    client: Mutex<Client>,
    clock: Clock,
    /// There may be something to do for the task.
    asked: Notify,
    /// There may be something to tell.
    pub(super) happened: Notify,
    /// Something may have been acknowledged.
    pub(super) committed: Notify,
}

impl Shared {
    pub(super) fn new(limits: Limits, saved: Option<Saved>, seed: [u8; 32]) -> Self {
        Shared {
            client: Mutex::new(Client::new(limits, saved, seed)),
            clock: Clock { at_start: SystemTime::now().into(), start: Instant::now() },
            asked: Notify::new(),
            happened: Notify::new(),
            committed: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Client> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn on(&self, input: Input<'_>) {
        self.lock().on(self.clock.now(), input);
        self.asked.notify_one();
    }

    pub(super) fn send(&self, message: &Message) -> Result<(), SendError> {
        self.lock().send(message)?;
        self.asked.notify_one();
        Ok(())
    }

    /// What is told next, and whether there will be no more.
    pub(super) fn next_event(&self) -> (Option<Event>, bool) {
        let mut client = self.lock();
        let event = client.next_event(self.clock.now());
        let over = client.is_over() && !client.has_event();
        drop(client);
        // There is room again, or something to acknowledge.
        self.asked.notify_one();
        (event, over)
    }

    /// Messages that are not committed, and whether there is no session any more.
    pub(super) fn unacknowledged(&self) -> (usize, bool) {
        let client = self.lock();
        (client.unacknowledged(), client.is_over())
    }

    /// One look at the machine. `free`: whether something may be said.
    fn turn(&self, store: &mut Option<Box<dyn Store>>, free: bool) -> Turn {
        let now = self.clock.now();
        let mut client = self.lock();
        client.on(now, Input::Tick);
        let output = if free { client.poll() } else { client.poll_control() };
        let turn = Turn {
            output,
            deadline: client.deadline().map(|at| self.clock.instant(at)),
            reads: client.reads(),
            over: client.is_over(),
        };
        let saved = client.take_changed().then(|| store.is_some().then(|| client.saved()));
        let has_event = client.has_event() || turn.over;
        drop(client);
        if has_event {
            self.happened.notify_one();
        }
        self.committed.notify_one();
        if let Some(Some(saved)) = saved {
            self.keep(store, saved.as_ref());
        }
        turn
    }

    fn keep(&self, store: &mut Option<Box<dyn Store>>, saved: Option<&Saved>) {
        let Some(store) = store else { return };
        let kept = match saved {
            Some(saved) => store.keep(saved),
            None => store.forget(),
        };
        match kept {
            Ok(()) => self.lock().kept(),
            Err(error) => self.on(Input::NotKept(error.to_string())),
        }
    }
}

/// What a look at the machine came to.
struct Turn {
    output: Option<Output>,
    deadline: Option<Instant>,
    reads: bool,
    over: bool,
}

/// Until the last session is over.
pub(super) async fn drive(shared: Arc<Shared>, dial: Dial, mut store: Option<Box<dyn Store>>) {
    let mut connection = Connection::None;
    // What waits for room.
    let mut saying: Option<Message> = None;
    loop {
        let Turn { output, deadline, reads, over } = shared.turn(&mut store, saying.is_none());
        match output {
            Some(Output::Say(text)) => saying = Some(text.into()),
            Some(output) => {
                if matches!(output, Output::Connect { .. } | Output::Abandon { .. }) {
                    saying = None;
                }
                perform(&shared, &dial, &mut connection, output, over).await;
                continue;
            }
            None if over => return,
            None => {}
        }
        let sender = connection.sender().cloned();
        tokio::select! {
            happened = connection.next(reads) => tell(&shared, happened),
            _ = say(sender, saying.clone()), if saying.is_some() => saying = None,
            () = until(deadline) => {}
            () = shared.asked.notified() => {}
        }
    }
}

async fn perform(
    shared: &Arc<Shared>,
    dial: &Dial,
    connection: &mut Connection,
    output: Output,
    over: bool,
) {
    match output {
        Output::Connect { offers } => *connection = Connection::dial(dial, shared, offers),
        Output::Say(_) => {}
        Output::Close { code, reason } => connection.close(code, &reason),
        Output::Abandon { last, code, reason } => {
            let abandoned = connection.abandon(last, code, &reason);
            if over {
                // Its own clocks end it before that.
                let _ = timeout(2 * LEAVE_LIMIT, abandoned).await;
            } else {
                tokio::spawn(abandoned);
            }
        }
    }
}

/// What cannot be said any more is said again on the next connection.
async fn say(sender: Option<Sender>, message: Option<Message>) -> Result<(), Closed> {
    match (sender, message) {
        (Some(sender), Some(message)) => sender.send(message).await,
        _ => Ok(()),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn tell(shared: &Shared, happened: Happened) {
    let now = shared.clock.now();
    let mut client = shared.lock();
    match happened {
        Happened::Unsupported => client.on(now, Input::Unsupported),
        Happened::Heard(message) => client.on(now, Input::Heard(message.as_text())),
        Happened::Lost { code, reason } => client.on(now, Input::Lost { code, reason }),
    }
}
