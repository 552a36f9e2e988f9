//! From the queue to the dead letters, and back.

use std::time::Duration;

use bytes::Bytes;

use super::super::budget::Pool;
use super::super::event::{Kind, Lane};
use super::super::letters::Head;
use super::super::pending::{Now, Pending};
use super::{Job, Scheduler};
use crate::session::{Batch, Change};

impl Scheduler {
    /// The first of a line is given up for now.
    pub(super) fn set_aside(&mut self, now: Now, job: &Job, lane: Lane) -> Batch {
        let Some(mut pending) = self.pop(&job.stream, lane) else { return Batch::new() };
        let Some(trouble) = pending.trouble.take() else { return Batch::new() };
        match lane {
            Lane::Messages => {
                self.counts.rejected += 1;
                tracing::error!(
                    // FAQ: backend-dead-letter
                    "the backend does not take a message: a dead letter after {} tries: {}",
                    trouble.tries,
                    trouble.error
                );
            }
            Lane::Lifecycle => tracing::error!(
                // FAQ: backend-parked
                "the backend does not take an event of a session or a user: parked after {} tries, \
                 to be sent again at the next start or by POST /api/dead-letters/retry: {}",
                trouble.tries,
                trouble.error
            ),
        }
        let head = Head {
            error: trouble.error,
            tries: trouble.tries,
            first_failed_at: trouble.first_failed_at,
            last_tried_at: trouble.last_tried_at,
        };
        if let Some(id) = pending.letter {
            return self.letters.refused(id, head);
        }
        let Pending { event, sequence, .. } = pending;
        let mut batch = self.letters.bury(now.wall, head, event);
        batch.push(Change::DeleteEvent { stream: job.stream.clone(), sequence });
        batch
    }

    /// A dead letter is sent again; false if there is none of this number.
    pub(in super::super) fn retry(&mut self, now: Now, id: u64) -> bool {
        match self.letters.retry(id) {
            None => false,
            Some(None) => true,
            Some(Some(event)) => {
                let kind = Kind::of(event.r#type);
                // A stream of its own: it holds nothing up, and nothing holds it up.
                self.insert(
                    &letter_stream(id),
                    None,
                    Pending {
                        sequence: 0,
                        event,
                        kind,
                        letter: Some(id),
                        came: now.at,
                        age: Duration::ZERO,
                        pool: Pool::Main,
                        trouble: None,
                    },
                    None,
                );
                true
            }
        }
    }

    /// A dead letter is thrown away; what has to be written down. `None`: there is none.
    pub(in super::super) fn discard(&mut self, id: u64) -> Option<Change> {
        let change = self.letters.remove(id)?;
        let key = letter_stream(id);
        for lane in Lane::ALL {
            let waits = self.streams.get(&key).is_some_and(|of| !of.line(lane).in_flight);
            // What is on its way can be taken still.
            if waits && self.pop(&key, lane).is_some() {
                self.plan(&key);
            }
        }
        Some(change)
    }
}

fn letter_stream(id: u64) -> Bytes {
    [b"d", &id.to_be_bytes()[..]].concat().into()
}
