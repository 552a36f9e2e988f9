//! When it is time to close the connection.

use std::sync::OnceLock;

use tokio::sync::Notify;

/// That the connection is to be closed: at the end of the input, at a signal, or because something
/// is wrong with the input.
#[derive(Default)]
pub(super) struct Goodbye {
    due: Notify,
    asked: Notify,
    problem: OnceLock<String>,
}

impl Goodbye {
    /// It is time.
    pub(super) fn say(&self) {
        self.due.notify_one();
    }

    /// It is time, because a signal asks for it.
    pub(super) fn at_signal(&self) {
        self.asked.notify_one();
        self.say();
    }

    /// Waits until a signal asks for the end.
    pub(super) async fn asked_by_signal(&self) {
        self.asked.notified().await;
    }

    /// It is time, because this is wrong. Only the first problem counts.
    pub(super) fn because(&self, problem: String) {
        let _ = self.problem.set(problem);
        self.say();
    }

    /// Waits until it is time.
    pub(super) async fn due(&self) {
        self.due.notified().await;
    }

    /// What was wrong.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.get().map(String::as_str)
    }
}
