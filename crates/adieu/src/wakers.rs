//! Who waits for a connection to go on: its driver, its receiver, its senders.

use std::task::Waker;

/// Who waits for what.
#[derive(Default)]
pub(crate) struct Wakers {
    pub(crate) driver: Option<Waker>,
    receiver: Receiver,
    send: Vec<Waker>,
    /// In this wake of the driver the handler is still to be polled.
    handler_is_next: bool,
    /// A receiver was not woken because the handler is, and nobody has looked since.
    owed: bool,
}

/// Who waits for a message.
#[derive(Default)]
enum Receiver {
    #[default]
    Nobody,
    /// The driver's task, as that of a server's handler: it needs no waker of its own.
    Driver,
    Other(Waker),
}

impl Wakers {
    /// The driver's task is this one. Whether it was another before.
    pub(crate) fn driver_is(&mut self, waker: &Waker) -> bool {
        if self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            return false;
        }
        let before = self.driver.replace(waker.clone());
        if let (Receiver::Driver, Some(before)) = (&self.receiver, before) {
            self.receiver = Receiver::Other(before);
        }
        true
    }

    /// This one waits for a message.
    pub(crate) fn receiver_is(&mut self, waker: &Waker) {
        let own = self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker));
        self.receiver = if own { Receiver::Driver } else { Receiver::Other(waker.clone()) };
        self.owed = false;
    }

    /// Whether anybody waits for a message.
    pub(crate) fn has_receiver(&self) -> bool {
        !matches!(self.receiver, Receiver::Nobody)
    }

    /// This one waits for room to send.
    pub(crate) fn sender_is(&mut self, waker: &Waker) {
        if !self.send.iter().any(|known| known.will_wake(waker)) {
            self.send.push(waker.clone());
        }
    }

    /// Whether the handler is still to be polled in this wake of the driver.
    pub(crate) fn handler_comes(&mut self, is_next: bool) {
        self.handler_is_next = is_next;
    }

    /// The receiver looks.
    pub(crate) fn receiver_looks(&mut self) {
        self.owed = false;
    }

    /// At the end of the driver's wake: one in its task who is not the handler is woken after all.
    pub(crate) fn wake_who_is_owed(&mut self) {
        if std::mem::take(&mut self.owed) {
            self.driver.iter().for_each(Waker::wake_by_ref);
        }
    }

    /// Wakes who waits for a message, unless it is a handler that is polled next anyway.
    pub(crate) fn wake_receiver(&mut self) {
        match std::mem::take(&mut self.receiver) {
            Receiver::Nobody => {}
            Receiver::Driver if self.handler_is_next => self.owed = true,
            Receiver::Driver => self.driver.iter().for_each(Waker::wake_by_ref),
            Receiver::Other(waker) => waker.wake(),
        }
    }

    pub(crate) fn wake_senders(&mut self) {
        self.send.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn wake_all(&mut self) {
        self.handler_is_next = false;
        self.wake_receiver();
        self.wake_senders();
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

    #[test]
    fn a_handler_is_woken_unless_it_is_polled_next() {
        let task = Arc::new(Task::default());
        let waker = Waker::from(task.clone());
        let mut wakers = Wakers::default();
        assert!(wakers.driver_is(&waker));
        for (is_next, wakes) in [(true, 0), (false, 1)] {
            wakers.receiver_is(&waker);
            wakers.handler_comes(is_next);
            wakers.wake_receiver();
            assert_eq!((woken(&task), wakers.has_receiver()), (wakes, false));
        }
        // What is over is told to everybody.
        wakers.receiver_is(&waker);
        wakers.handler_comes(true);
        wakers.wake_all();
        assert_eq!(woken(&task), 2);
    }

    #[test]
    fn one_that_waits_elsewhere_is_woken_in_any_case() {
        let (driver, other) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let mut wakers = Wakers::default();
        wakers.driver_is(&driver.clone().into());
        wakers.receiver_is(&other.clone().into());
        wakers.handler_comes(true);
        wakers.wake_receiver();
        assert_eq!((woken(&driver), woken(&other)), (0, 1));
    }

    #[test]
    fn who_waits_in_the_task_that_the_driver_has_left_is_woken_there() {
        let (before, now) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let mut wakers = Wakers::default();
        wakers.driver_is(&before.clone().into());
        wakers.receiver_is(&before.clone().into());
        assert!(wakers.driver_is(&now.clone().into()));
        wakers.wake_receiver();
        assert_eq!((woken(&before), woken(&now)), (1, 0));
    }
}
