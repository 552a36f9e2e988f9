//! Sends what the scheduler says, and comes back when it is time.

use std::sync::Arc;

use super::failure::Failure;
use super::scheduler::Job;
use super::{Deliveries, EventLog, now};
use crate::hook::Backend;

impl Deliveries {
    /// Sends what may be sent now.
    pub(super) fn go_on<L: EventLog>(self: &Arc<Self>, log: &L) {
        for job in self.next_jobs(log) {
            self.start(log, job);
        }
    }

    fn start<L: EventLog>(self: &Arc<Self>, log: &L, job: Job) {
        if let Some(backend) = self.backend.clone() {
            tokio::spawn(self.clone().work(log.clone(), backend, job));
        }
    }

    /// What may be sent now; the timer is set for what follows.
    fn next_jobs<L: EventLog>(self: &Arc<Self>, log: &L) -> Vec<Job> {
        let mut state = self.state();
        if state.closed || self.backend.is_none() {
            return Vec::new();
        }
        let now = now().at;
        let jobs = state.scheduler.poll(now);
        let Some(wake) = state.scheduler.next_wake(now) else { return jobs };
        match state.timer {
            None => {
                state.timer = Some(wake);
                tokio::spawn(self.clone().timer(log.clone()));
            }
            Some(set) if wake < set => {
                state.timer = Some(wake);
                self.sooner.notify_one();
            }
            Some(_) => {}
        }
        jobs
    }

    /// Comes back as long as something waits for its time.
    async fn timer<L: EventLog>(self: Arc<Self>, log: L) {
        loop {
            let wake = {
                let mut state = self.state();
                let wake = state.scheduler.next_wake(now().at).filter(|_| !state.closed);
                state.timer = wake;
                match wake {
                    Some(wake) => wake,
                    None => return,
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(wake.into()) => {}
                () = self.sooner.notified() => {}
            }
            self.go_on(&log);
        }
    }

    /// Sends an event, and what may be sent when that is done.
    async fn work<L: EventLog>(self: Arc<Self>, log: L, backend: Backend, mut job: Job) {
        loop {
            let result = match backend.deliver(&job.event).await {
                Ok(answer) => {
                    // Before the next event of the session is sent: answers keep their order.
                    log.answered(&job.event, answer).await;
                    Ok(())
                }
                Err(error) => Err(Failure::from(error)),
            };
            let batch = self.state().scheduler.done(now(), &job, result);
            self.tell_freed();
            self.settled.notify_waiters();
            let mut jobs = self.next_jobs(&log).into_iter();
            let next = jobs.next();
            for job in jobs {
                self.start(&log, job);
            }
            if !batch.is_empty() && !log.write(batch).await {
                // Another start delivers what is left.
                self.state().closed = true;
                self.settled.notify_waiters();
                return;
            }
            match next {
                Some(next) => job = next,
                None => return,
            }
        }
    }
}
