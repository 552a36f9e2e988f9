//! Holds a handler until the peer has done its part.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use testkit::DEADLINE;

/// Two signals: the handler is in front of the gate; the gate is open.
#[derive(Clone)]
pub(crate) struct Gate(Arc<[Signal; 2]>);

type Signal = (Sender<()>, Mutex<Receiver<()>>);

impl Gate {
    pub(crate) fn new() -> Self {
        Gate(Arc::new([0; 2].map(|_| {
            let (tell, told) = channel();
            (tell, Mutex::new(told))
        })))
    }

    /// The handler waits in front of it: its thread blocks, and the driver with it, so that
    /// nothing is read meanwhile.
    pub(crate) fn pass(&self) {
        self.tell(0);
        self.hear(1);
    }

    /// Waits until the handler is in front of it.
    pub(crate) fn is_reached(&self) {
        self.hear(0);
    }

    pub(crate) fn open(&self) {
        self.tell(1);
    }

    fn tell(&self, signal: usize) {
        self.0[signal].0.send(()).expect("somebody hears");
    }

    fn hear(&self, signal: usize) {
        self.0[signal].1.lock().expect("no panic").recv_timeout(DEADLINE).expect("in time");
    }
}
