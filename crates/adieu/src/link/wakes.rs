//! The tasks that wait for a connection: its driver, and the receiver of its messages. Senders that
//! wait for room have a queue of their own ([`Notify`]). Wakers are the runtime's or the
//! application's code: they are collected under the lock and run when it is released.

use std::task::Waker;

use tokio::sync::Notify;

/// The tasks that wait.
#[derive(Default)]
pub(super) struct Waiting {
    driver: Option<Waker>,
    receiver: Receiver,
    /// The task of a receiver that is not the driver's.
    other: Option<Waker>,
    /// The receiver gave up its wait. It is woken all the same: an adapter of the application's own
    /// may make a new wait in each poll of its own.
    gave_up: bool,
    pub(super) room: Room,
}

/// Whether senders wait for room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Room {
    /// None does.
    #[default]
    Unasked,
    Awaited,
    /// The first that waited was woken. Until it looks, those behind it wait all the same.
    Offered,
}

/// The task that waits for a message.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Receiver {
    #[default]
    Nobody,
    /// The driver's task, as that of a server's handler: it needs no waker of its own.
    Driver,
    Other,
}

/// What is to be woken when the lock is released.
#[derive(Default)]
#[must_use = "the tasks wait"]
pub(super) struct Wakes {
    driver: Option<Waker>,
    receiver: Option<Waker>,
    pub(super) senders: Senders,
}

/// Which of the senders that wait for room are woken.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Senders {
    #[default]
    None,
    /// There is room: the first that waits is woken, and wakes the next if there still is.
    First,
    /// There will be no room any more.
    All,
}

impl Wakes {
    /// Wakes them. No lock may be held.
    #[inline]
    pub(super) fn wake(self, room: &Notify) {
        if let Some(receiver) = self.receiver {
            receiver.wake();
        }
        match self.senders {
            Senders::None => {}
            Senders::First => room.notify_one(),
            Senders::All => room.notify_waiters(),
        }
        if let Some(driver) = self.driver {
            driver.wake();
        }
    }
}

impl Waiting {
    /// The driver's task is this one. Whether it was another before.
    #[inline]
    pub(super) fn driver_is(&mut self, waker: &Waker) -> bool {
        if self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            return false;
        }
        let before = self.driver.replace(waker.clone());
        if self.receiver == Receiver::Driver && before.is_some() {
            self.receiver = Receiver::Other;
            self.other = before;
        }
        true
    }

    /// The driver has something to do.
    pub(super) fn wake_driver(&self, wakes: &mut Wakes) {
        if wakes.driver.is_none() {
            wakes.driver = self.driver.clone();
        }
    }

    /// This task waits for a message.
    #[inline]
    pub(super) fn receiver_is(&mut self, waker: &Waker) {
        let own = self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker));
        self.gave_up = false;
        (self.receiver, self.other) = match own {
            true => (Receiver::Driver, None),
            false => (Receiver::Other, Some(waker.clone())),
        };
    }

    /// The receiver waits no more.
    pub(super) fn receiver_gives_up(&mut self) {
        self.gave_up = true;
    }

    /// Whether the application has looked at all that was there and asks for more.
    pub(super) fn asks_for_more(&self) -> bool {
        self.has_receiver() && !self.gave_up
    }

    /// The receiver got what it waited for.
    #[inline]
    pub(super) fn receiver_has_looked(&mut self) {
        if self.receiver == Receiver::Other {
            self.other = None;
        }
        self.receiver = Receiver::Nobody;
    }

    /// Whether a task waits for a message.
    #[inline]
    pub(super) fn has_receiver(&self) -> bool {
        self.receiver != Receiver::Nobody
    }

    /// The connection is over: its task is not kept.
    pub(super) fn driver_is_done(&mut self) {
        self.driver = None;
    }

    /// There is something for the receiver: it is woken. `polled_next`: the driver's own task polls
    /// the handler before it looks here again, so a receiver in it is not woken yet.
    #[inline]
    pub(super) fn wake_receiver(&mut self, polled_next: bool, wakes: &mut Wakes) {
        wakes.receiver = match self.receiver {
            Receiver::Nobody => return,
            Receiver::Driver if polled_next => return,
            Receiver::Driver => self.driver.clone(),
            Receiver::Other => self.other.take(),
        };
        self.receiver = Receiver::Nobody;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn woken(task: &Task) -> usize {
        task.0.load(Ordering::Relaxed)
    }

    fn wake_receiver(waiting: &mut Waiting, polled_next: bool) {
        let mut wakes = Wakes::default();
        waiting.wake_receiver(polled_next, &mut wakes);
        wakes.wake(&Notify::new());
    }

    #[test]
    fn a_handler_is_woken_unless_it_is_polled_next_and_waits_on_until_it_has_looked() {
        let task = Arc::new(Task::default());
        let waker = Waker::from(task.clone());
        let mut waiting = Waiting::default();
        assert!(waiting.driver_is(&waker));
        waiting.receiver_is(&waker);
        wake_receiver(&mut waiting, true);
        assert_eq!((woken(&task), waiting.has_receiver()), (0, true));
        wake_receiver(&mut waiting, false);
        assert_eq!((woken(&task), waiting.has_receiver()), (1, false));
    }

    #[test]
    fn a_receiver_in_another_task_is_woken_in_any_case() {
        let (driver, other) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let mut waiting = Waiting::default();
        waiting.driver_is(&driver.clone().into());
        waiting.receiver_is(&other.clone().into());
        wake_receiver(&mut waiting, true);
        assert_eq!((woken(&driver), woken(&other)), (0, 1));
    }

    #[test]
    fn a_receiver_in_the_task_that_the_driver_has_left_is_woken_there() {
        let (before, now) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let mut waiting = Waiting::default();
        waiting.driver_is(&before.clone().into());
        waiting.receiver_is(&before.clone().into());
        assert!(waiting.driver_is(&now.clone().into()));
        wake_receiver(&mut waiting, false);
        assert_eq!((woken(&before), woken(&now)), (1, 0));
    }

    #[test]
    fn the_task_in_which_the_receiver_waited_before_is_not_kept() {
        let (driver, other) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let mut waiting = Waiting::default();
        waiting.driver_is(&driver.clone().into());
        waiting.receiver_is(&other.clone().into());
        waiting.receiver_is(&driver.into());
        assert_eq!(Arc::strong_count(&other), 1);
    }
}
