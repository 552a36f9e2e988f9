//! In which order it is written down what has become of events.

use std::sync::Mutex;

use tokio::sync::Semaphore;

use super::super::letters::Head;
use super::super::worker::Open;
use super::super::{Answered, Deliveries, EventLog, now};
use super::*;
use crate::session::Batch;

/// A log that writes as often as it may.
#[derive(Clone)]
struct Slow {
    may: Arc<Semaphore>,
    written: Arc<Mutex<Batch>>,
}

impl EventLog for Slow {
    async fn answered(&self, _: Vec<Answered>) -> bool {
        true
    }

    async fn write(&self, mut batch: Batch) -> bool {
        self.may.acquire().await.unwrap().forget();
        self.written.lock().unwrap().append(&mut batch);
        true
    }
}

fn poison() -> Arc<Event> {
    Arc::new(Event {
        id: "1.1".into(),
        r#type: Message,
        session_id: SessionId::new([1; 16]),
        user: None,
        meta: None,
        generation: 1,
        sequence: Some(1),
        time: Timestamp(1),
        data: Data::Text("poison".into()),
    })
}

/// A dead letter that is decided and not written down yet; its number.
fn decide(deliveries: &Deliveries) -> u64 {
    let at = Timestamp(1_000);
    let head = Head { error: "no".into(), tries: 5, first_failed_at: at, last_tried_at: at };
    let mut state = deliveries.state();
    let batch = state.scheduler.letters.bury(at, head, poison());
    assert!(state.decided(batch));
    1_000
}

#[tokio::test]
async fn a_dead_letter_is_written_down_before_it_is_discarded() {
    for under_way in [false, true] {
        let deliveries = Arc::new(Deliveries::new(None, options()));
        let log = Slow { may: Arc::new(Semaphore::new(0)), written: Arc::default() };
        let id = decide(&deliveries);
        let mut writes = std::pin::pin!(deliveries.write_down(&log));
        if under_way {
            tokio::select! {
                biased;
                _ = &mut writes => panic!("the log may not write"),
                () = std::future::ready(()) => {}
            }
        }
        let mut discards = std::pin::pin!(deliveries.discard(&log, id));
        tokio::select! {
            biased;
            _ = &mut discards => panic!("the letter is not written down"),
            () = std::future::ready(()) => {}
        }
        log.may.add_permits(1);
        let (change, _) =
            if under_way { tokio::join!(discards, writes) } else { (discards.await, true) };
        let written = log.written.lock().unwrap();
        assert!(matches!(written[..], [Change::PutDeadLetter { id: 1_000, .. }]), "{written:?}");
        assert_eq!(change, Some(Change::DeleteDeadLetter { id }));
    }
}

#[tokio::test]
async fn a_task_that_panics_gives_its_slot_back_and_its_event_is_tried_again() {
    let deliveries = Arc::new(Deliveries::new(None, options()));
    let log = Slow { may: Arc::new(Semaphore::new(0)), written: Arc::default() };
    deliveries.push(&log, Bytes::from_static(b"1"), 1, poison(), None);
    let request = deliveries.state().scheduler.poll(now().at).remove(0);
    let mut settled = std::pin::pin!(deliveries.settled.notified());
    settled.as_mut().enable();
    let open = Open::new(&deliveries, &log, request);
    let task = tokio::spawn(async move {
        let _open = open;
        panic!("a mistake");
    });
    assert!(task.await.unwrap_err().is_panic());
    settled.await;
    let mut state = deliveries.state();
    assert_eq!((state.scheduler.in_flight(), state.scheduler.counts().failed), (0, 1));
    let later = state.scheduler.poll(now().at + MINUTE);
    assert_eq!(later.len(), 1, "it is sent again");
}
