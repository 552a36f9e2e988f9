//! How late a timer is beside other work on the same single-threaded runtime: what a task has to
//! wait that does no more than sleep.

use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::load::rate::percentile;

/// From one deadline to the next.
pub const STEP: Duration = Duration::from_millis(5);

/// A task that sleeps from deadline to deadline, until it is stopped.
pub struct Clock {
    task: JoinHandle<Vec<Duration>>,
    stop: Arc<OnceLock<Instant>>,
    waited: Duration,
}

/// How late it woke.
#[derive(Clone, Debug, Default)]
pub struct Lateness {
    /// Behind each deadline, shortest first.
    late: Vec<Duration>,
    /// How long this thread could have run while another process had its core. So much of the
    /// lateness is not the runtime's.
    pub waited: Duration,
}

impl Clock {
    /// Starts it on the runtime of the caller.
    #[must_use]
    pub fn start() -> Self {
        let stop = Arc::default();
        let task = tokio::spawn(tick(Instant::now(), Arc::clone(&stop)));
        Clock { task, stop, waited: waited() }
    }

    /// No deadline after this moment counts.
    ///
    /// # Panics
    /// If the runtime has dropped its task.
    pub async fn stop(self) -> Lateness {
        self.stop.get_or_init(Instant::now);
        let waited = waited().saturating_sub(self.waited);
        let mut late = self.task.await.expect("nobody cancels it");
        late.sort_unstable();
        Lateness { late, waited }
    }
}

/// Gives the lateness of every deadline. A sleep that lasts too long misses those that follow: each
/// of them is late too, else one that lasts for seconds would count as a single bad wake.
async fn tick(from: Instant, stop: Arc<OnceLock<Instant>>) -> Vec<Duration> {
    let mut late = Vec::new();
    let mut due = from + STEP;
    loop {
        tokio::time::sleep_until(due.into()).await;
        let (now, last) = (Instant::now(), stop.get());
        while due <= now {
            if last.is_some_and(|last| due > *last) {
                return late;
            }
            late.push(now - due);
            due += STEP;
        }
    }
}

/// How long this thread has waited for a core so far: the second figure of `schedstat`.
fn waited() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().nth(1).and_then(|waited| waited.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

impl Lateness {
    /// Together with what was measured in another span.
    #[must_use]
    pub fn and(mut self, other: &Lateness) -> Self {
        self.late.extend(&other.late);
        self.late.sort_unstable();
        self.waited += other.waited;
        self
    }

    /// How many deadlines there were.
    #[must_use]
    pub fn deadlines(&self) -> usize {
        self.late.len()
    }

    /// This share of the deadlines was not later, in ms. 1 gives the latest.
    #[must_use]
    pub fn millis(&self, share: f64) -> f64 {
        match self.late.is_empty() {
            true => f64::NAN,
            false => percentile(&self.late, share).as_secs_f64() * 1e3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_blocks_the_thread_makes_every_deadline_meanwhile_late() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let lateness = runtime.block_on(async {
            let clock = Clock::start();
            std::thread::sleep(STEP * 10);
            clock.stop().await
        });
        assert!(lateness.deadlines() >= 10, "{lateness:?}");
        assert!(lateness.millis(1.0) >= 45.0 && lateness.millis(0.5) >= 20.0, "{lateness:?}");
    }

    #[test]
    fn spans_are_added_up() {
        let span = |millis: &[u64]| Lateness {
            late: millis.iter().copied().map(Duration::from_millis).collect(),
            waited: Duration::from_millis(1),
        };
        let both = span(&[2, 9]).and(&span(&[1]));
        assert_eq!((both.deadlines(), both.waited), (3, Duration::from_millis(2)));
        assert_eq!((both.millis(0.5), both.millis(1.0)), (2.0, 9.0));
        assert!(Lateness::default().millis(0.5).is_nan());
    }
}
