//! When the gateway stops: the last events are told while the backend takes them.

use std::time::Duration;

use super::options::STILL_TAKING;
use super::{Deliveries, Left, now};
use crate::hook::backend::FAR;

/// What the backend refused is tried once more within this time.
const ONCE_MORE: Duration = Duration::from_secs(1);

impl Deliveries {
    /// Ready when nothing waits.
    pub(crate) async fn settled(&self) {
        self.until(|left| left == Left::default()).await;
    }

    /// Waits while the backend takes events: until nothing waits, until it has taken nothing for
    /// 2 s (and, while a request is open, for as long as an answer may take), or until
    /// the limit. What is left then, and will be told by the next start if the store outlives the
    /// process.
    pub async fn finish(&self, limit: Duration) -> Left {
        let Some(answer) = self.backend.as_ref().map(crate::hook::Backend::timeout) else {
            return Left::default();
        };
        self.state().scheduler.hurry(now().at, ONCE_MORE);
        self.sooner.notify_one();
        let stalled = async {
            let began = now().at;
            loop {
                let (since, patience) = {
                    let state = self.state();
                    let busy = state.scheduler.in_flight() > 0;
                    let answer = if busy { answer } else { Duration::ZERO };
                    let patience = STILL_TAKING.saturating_add(answer);
                    (state.scheduler.last_taken.max(began), patience)
                };
                // A time that no clock reaches ends with the limit.
                let until = since.checked_add(patience).unwrap_or(since + FAR);
                if now().at >= until || self.state().closed {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = self.settled.notified() => {}
                }
            }
        };
        let over = async {
            tokio::select! { () = self.settled() => {}, () = stalled => {} }
        };
        let _ = tokio::time::timeout(limit, over).await;
        self.state().scheduler.left()
    }

    async fn until(&self, is: impl Fn(Left) -> bool) {
        loop {
            // First the place among those who are told, then the look: nothing is missed.
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if is(self.state().scheduler.left()) {
                return;
            }
            settled.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;

    use super::super::{Answered, DeliveryOptions, EventLog};
    use super::*;
    use crate::hook::{Backend, BackendOptions, EventFormat, Secret};
    use crate::session::event::{Data, Event, EventType, session_stream};
    use crate::session::{Batch, SessionId, Timestamp};

    /// Nothing outlives this test.
    #[derive(Clone)]
    struct Forgets;

    impl EventLog for Forgets {
        async fn answered(&self, _: Vec<Answered>) -> bool {
            true
        }

        async fn write(&self, _: Batch) -> bool {
            true
        }
    }

    /// Deliveries to a backend on loopback that takes as many events, one at a time.
    async fn deliveries(takes: usize, answer_within: Duration) -> Arc<Deliveries> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (taken, turn) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Mutex::new(())));
        let hook = move || {
            let (taken, turn) = (taken.clone(), turn.clone());
            async move {
                let _turn = turn.lock().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
                let well = taken.fetch_add(1, Ordering::SeqCst) < takes;
                if well { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }
            }
        };
        let app = Router::new().route("/", post(hook));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let backend = Backend::new(BackendOptions {
            url,
            secret: Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
            timeout: answer_within,
            tls: no_tls(),
            format: EventFormat::Structured,
            batches: false,
        });
        Arc::new(Deliveries::new(Some(backend.unwrap()), DeliveryOptions::default()))
    }

    fn no_tls() -> Arc<adieu::tls::rustls::ClientConfig> {
        let provider = Arc::new(adieu::tls::rustls::crypto::ring::default_provider());
        let config = adieu::tls::rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        Arc::new(
            config
                .with_root_certificates(adieu::tls::rustls::RootCertStore::empty())
                .with_no_client_auth(),
        )
    }

    fn push(deliveries: &Arc<Deliveries>, session: u8, sequence: u64, r#type: EventType) {
        let id = SessionId::new([session; 16]);
        let event = Event {
            id: format!("{session}_{sequence}"),
            r#type,
            session_id: id,
            user: None,
            meta: None,
            generation: 1,
            sequence: Some(sequence),
            time: Timestamp::from(std::time::SystemTime::now()),
            data: Data::Resumed,
        };
        deliveries.push(&Forgets, session_stream(id), sequence, Arc::new(event), None);
    }

    #[tokio::test]
    async fn a_stop_waits_as_long_as_events_are_being_taken() {
        let deliveries = deliveries(usize::MAX, Duration::MAX).await;
        for session in 0..200 {
            push(&deliveries, session, 1, EventType::Message);
            push(&deliveries, session, 2, EventType::SessionEnded);
        }
        let left = deliveries.finish(Duration::MAX).await;
        assert_eq!(left, Left::default());
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_a_backend_that_takes_no_more_and_says_what_is_left() {
        let deliveries = deliveries(10, Duration::from_secs(1)).await;
        for session in 0..20 {
            push(&deliveries, session, 1, EventType::SessionEnded);
        }
        push(&deliveries, 99, 1, EventType::Message);
        let left = deliveries.finish(Duration::from_secs(3600)).await;
        // Whether the message was among those that were taken is a matter of chance.
        assert_eq!(left.lifecycle + left.messages, 11);
        assert!(left.lifecycle >= 10);
        // Nor for longer than it is told to.
        let left = deliveries.finish(Duration::ZERO).await;
        assert_eq!(left.lifecycle + left.messages, 11);
    }
}
