//! Sends what the scheduler says, and comes back when it is time.

use std::sync::Arc;

use super::failure::{Failure, FailureKind};
use super::scheduler::{Job, Request};
use super::{Answered, Deliveries, EventLog, now};
use crate::hook::{Answer, Backend, NotTaken};
use crate::session::Batch;

impl Deliveries {
    /// Sends what may be sent now.
    pub(super) fn go_on<L: EventLog>(self: &Arc<Self>, log: &L) {
        for request in self.next_requests(log) {
            self.start(log, request);
        }
    }

    fn start<L: EventLog>(self: &Arc<Self>, log: &L, request: Request) {
        if let Some(backend) = self.backend.clone() {
            tokio::spawn(self.clone().work(log.clone(), backend, request));
        }
    }

    /// What may be sent now; the timer is set for what follows.
    fn next_requests<L: EventLog>(self: &Arc<Self>, log: &L) -> Vec<Request> {
        let mut state = self.state();
        if state.closed || self.backend.is_none() {
            return Vec::new();
        }
        let now = now().at;
        let requests = state.scheduler.poll(now);
        let Some(wake) = state.scheduler.next_wake(now) else { return requests };
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
        requests
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

    /// Sends a request, and what may be sent when that is done.
    async fn work<L: EventLog>(self: Arc<Self>, log: L, backend: Backend, request: Request) {
        let mut open = Open::new(&self, &log, request);
        loop {
            let request = &open.request;
            let (mut results, mut answers) = (Vec::with_capacity(request.jobs.len()), Vec::new());
            for (job, result) in request.jobs.iter().zip(send(&backend, &request.jobs).await) {
                let answer = result.map_err(Failure::from);
                results.push(answer.map(|answer| answers.extend(to_do(job, answer))));
            }
            // Events that are written off with what is done of their answers.
            let written: Batch =
                answers.iter().flat_map(|answered| answered.written_off.clone()).collect();
            // Before the next event of a session is sent: answers keep their order.
            // What was decided of a dead letter before is written down before.
            let answered =
                answers.is_empty() || self.write_down(&log).await && log.answered(answers).await;
            if !answered {
                return self.close();
            }
            let writes = {
                let mut state = self.state();
                open.done = true;
                let mut batch = state.scheduler.done(now(), &open.request, results);
                if !written.is_empty() {
                    batch.retain(|change| !written.contains(change));
                }
                state.decided(batch)
            };
            self.tell_freed();
            self.settled.notify_waiters();
            let mut requests = self.next_requests(&log).into_iter();
            let next = requests.next();
            for request in requests {
                self.start(&log, request);
            }
            if writes && !self.write_down(&log).await {
                return self.close();
            }
            match next {
                Some(next) => open = Open::new(&self, &log, next),
                None => return,
            }
        }
    }
}

/// A request that is open. If the task that sends it panics, its slot is given back all the same,
/// and its events are tried again.
pub(super) struct Open<L: EventLog> {
    deliveries: Arc<Deliveries>,
    log: L,
    request: Request,
    done: bool,
}

impl<L: EventLog> Open<L> {
    pub(super) fn new(deliveries: &Arc<Deliveries>, log: &L, request: Request) -> Self {
        Open { deliveries: deliveries.clone(), log: log.clone(), request, done: false }
    }
}

impl<L: EventLog> Drop for Open<L> {
    fn drop(&mut self) {
        // A runtime that ends drops its tasks, too: nothing is sent after that.
        if self.done || !std::thread::panicking() {
            return;
        }
        let (deliveries, log) = (self.deliveries.clone(), self.log.clone());
        let request = self.request.clone();
        tokio::spawn(async move {
            let why = "a mistake of the gateway: the task that delivered it has panicked";
            let failure = || Failure { kind: FailureKind::NoAnswer, why: why.into() };
            let results = request.jobs.iter().map(|_| Err(failure())).collect();
            let writes = {
                let mut state = deliveries.state();
                let batch = state.scheduler.done(now(), &request, results);
                state.decided(batch)
            };
            deliveries.settled.notify_waiters();
            deliveries.go_on(&log);
            if writes && !deliveries.write_down(&log).await {
                deliveries.close();
            }
        });
    }
}

/// What an answer asks for, with what says that its event is taken; `None` if it asks for nothing.
fn to_do(job: &Job, answer: Answer) -> Option<Answered> {
    let asks = !answer.send.is_empty() || answer.close.is_some();
    asks.then(|| {
        let written_off = vec![job.written_off.clone()];
        Answered { event: job.event.clone(), answer, written_off }
    })
}

impl Deliveries {
    /// The log is closed: another start delivers what is left.
    fn close(&self) {
        self.state().closed = true;
        self.settled.notify_waiters();
    }
}

/// What became of each.
async fn send(backend: &Backend, jobs: &[Job]) -> Vec<Result<Answer, NotTaken>> {
    match jobs {
        [job] if !backend.batches() => vec![backend.deliver(&job.event).await],
        jobs => {
            let events: Vec<_> = jobs.iter().map(|job| job.event.clone()).collect();
            backend.deliver_batch(&events).await
        }
    }
}
