//! What the gateway counts, as OpenMetrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::hook::{BackendCounts, Waiting};
use crate::session::Departure;
use crate::session::command::Full;
use crate::session::ending::{Compressed, ConnectionEnding};
use crate::session::shard::Counts;
use crate::session::transition::{Transition, TransitionKind};
use crate::session::wire::NotResumed;

/// Close codes that have a label of their own; what a peer makes up would make a series each.
const CODES: std::ops::RangeInclusive<u16> = 1000..=1015;

/// Seconds: heard at once, within a round trip, by the clocks of liveness (25 s by default).
const LATENCIES: [f64; 7] = [0.0, 0.1, 1.0, 5.0, 15.0, 30.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabels {
    initiator: &'static str,
    mechanism: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResumeLabels {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

/// Bytes of messages, by direction.
type Bytes = Family<DirectionLabels, Counter>;

/// A file of the store that is not known: there is none, or it was not looked at yet.
const NO_FILE: u64 = u64::MAX;

/// The size of the store's file, where there is one.
#[derive(Clone, Debug)]
struct FileSize(Arc<AtomicU64>);

impl Collector for FileSize {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bytes = self.0.load(Ordering::Relaxed);
        if bytes == NO_FILE {
            return Ok(());
        }
        let gauge = ConstGauge::new(bytes);
        let help = "Size of the file that the sessions are in";
        let kind = gauge.metric_type();
        gauge.encode(encoder.encode_descriptor("store_file", help, Some(&Unit::Bytes), kind)?)
    }
}

/// The sessions, where their number is known.
#[derive(Clone, Debug, Default)]
struct SessionCounts(Arc<Mutex<Option<Counts>>>);

impl Collector for SessionCounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Counts { attached, away, users, kept }) = *counts else { return Ok(()) };
        for (name, help, count) in [
            ("sessions_attached", "Sessions whose connection is open", attached),
            ("sessions_away", "Sessions that may come back", away),
            ("users", "Users with a session", users),
            ("kept_bytes", "Bytes of messages that clients have not acknowledged", kept),
        ] {
            let gauge = ConstGauge::new(count as u64);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

/// What one node of many knows of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeFigures {
    pub(crate) nodes: usize,
    pub(crate) lease_left: Duration,
    pub(crate) latency: Duration,
    pub(crate) replicas: usize,
}

/// The same, where there are many.
#[derive(Clone, Debug, Default)]
struct Node(Arc<Mutex<Option<NodeFigures>>>);

impl Collector for Node {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let figures = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(NodeFigures { nodes, lease_left, latency, replicas }) = figures else {
            return Ok(());
        };
        let (lease, latency) = (lease_left.as_secs_f64(), latency.as_secs_f64());
        for (name, help, value) in [
            ("nodes", "Nodes that share the engine and live", nodes as f64),
            ("engine_replicas", "Replicas that follow the engine", replicas as f64),
            ("node_lease_seconds", "How long the lease of this node still is", lease),
            ("engine_latency_seconds", "How long the engine took for the last renewal", latency),
        ] {
            let gauge = ConstGauge::new(value);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    endings: Family<EndingLabels, Counter>,
    compressed: Counter,
    before_compression: Bytes,
    after_compression: Bytes,
    refused: Family<RefusedLabels, Counter>,
    detection: Histogram,
    refreshes: Counter,
    resumes: Family<ResumeLabels, Counter>,
    sessions_ended: Family<CauseLabels, Counter>,
    sessions_started: Counter,
    full: Family<LimitLabels, Counter>,
    sessions: SessionCounts,
    queued: Gauge,
    queued_bytes: Gauge,
    delivered: Gauge<u64, AtomicU64>,
    failed: Gauge<u64, AtomicU64>,
    rejected: Gauge<u64, AtomicU64>,
    lifecycle_queued: Gauge,
    dropped: Gauge<u64, AtomicU64>,
    dead_letters: Gauge,
    dead_letters_bytes: Gauge,
    let_go: Gauge<u64, AtomicU64>,
    parked: Gauge,
    reachable: Gauge,
    bad_signatures: Gauge<u64, AtomicU64>,
    bad_answers: Gauge<u64, AtomicU64>,
    connections_died: Gauge<u64, AtomicU64>,
    draining: Gauge,
    store_file: FileSize,
    node: Node,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("adieu"),
            endings: Family::default(),
            compressed: Counter::default(),
            before_compression: Bytes::default(),
            after_compression: Bytes::default(),
            refused: Family::default(),
            detection: Histogram::new(LATENCIES),
            refreshes: Counter::default(),
            resumes: Family::default(),
            sessions_ended: Family::default(),
            sessions_started: Counter::default(),
            full: Family::default(),
            sessions: SessionCounts::default(),
            queued: Gauge::default(),
            queued_bytes: Gauge::default(),
            delivered: Gauge::default(),
            failed: Gauge::default(),
            rejected: Gauge::default(),
            lifecycle_queued: Gauge::default(),
            dropped: Gauge::default(),
            dead_letters: Gauge::default(),
            dead_letters_bytes: Gauge::default(),
            let_go: Gauge::default(),
            parked: Gauge::default(),
            reachable: Gauge::default(),
            bad_signatures: Gauge::default(),
            bad_answers: Gauge::default(),
            connections_died: Gauge::default(),
            draining: Gauge::default(),
            store_file: FileSize(Arc::new(AtomicU64::new(NO_FILE))),
            node: Node::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let Metrics { registry, .. } = self;
        registry.register(
            "connection_endings",
            "WebSockets that ended, by which side began it, by what, and the Close code",
            self.endings.clone(),
        );
        registry.register(
            "refused",
            "Requests and connections of strangers that were refused, by what",
            self.refused.clone(),
        );
        registry.register_with_unit(
            "detection_latency",
            "Between a client's last byte and the moment its end was noticed",
            Unit::Seconds,
            self.detection.clone(),
        );
        registry.register(
            "refreshes",
            "Sessions that were back after their page had gone with 1001 or 4001",
            self.refreshes.clone(),
        );
        registry.register(
            "session_resumes",
            "Tries to come back to a session, by result and why not",
            self.resumes.clone(),
        );
        registry.register(
            "sessions_ended",
            "Sessions that are over, by cause",
            self.sessions_ended.clone(),
        );
        registry.register("sessions_started", "Sessions that began", self.sessions_started.clone());
        registry.register(
            "limit_reached",
            "Sessions and messages that were not taken, by the limit that did not allow them",
            self.full.clone(),
        );
        registry.register_collector(Box::new(self.sessions.clone()));
        registry.register_collector(Box::new(self.store_file.clone()));
        registry.register_collector(Box::new(self.node.clone()));
        self.register_compression();
        self.register_deliveries();
        self.registry.register("draining", "1 while it stops", self.draining.clone());
    }

    fn register_compression(&mut self) {
        let Metrics { registry, .. } = self;
        registry.register(
            "compressed_connections",
            "WebSockets that ended and on which compression was agreed",
            self.compressed.clone(),
        );
        registry.register_with_unit(
            "compressed_messages_before",
            "Payloads of compressed messages before compression, counted when their WebSocket ends",
            Unit::Bytes,
            self.before_compression.clone(),
        );
        registry.register_with_unit(
            "compressed_messages_after",
            "The same payloads as they are on the wire",
            Unit::Bytes,
            self.after_compression.clone(),
        );
    }

    fn register_deliveries(&mut self) {
        let Metrics { registry, .. } = self;
        registry.register("events_queued", "Events that wait for the backend", self.queued.clone());
        registry.register(
            "events_queued_bytes",
            "Bytes of the events that wait for the backend",
            self.queued_bytes.clone(),
        );
        registry.register(
            "events_delivered",
            "Events that the backend has taken since the start",
            self.delivered.clone(),
        );
        registry.register(
            "event_failures",
            "Tries to deliver an event that failed since the start",
            self.failed.clone(),
        );
        registry.register(
            "events_rejected",
            "Messages that became dead letters since the start",
            self.rejected.clone(),
        );
        registry.register(
            "lifecycle_events_queued",
            "Events of sessions, users and connections that wait for the backend",
            self.lifecycle_queued.clone(),
        );
        registry.register(
            "connection_events_dropped",
            "Events connection.lost and .resumed dropped since the start: too many waited",
            self.dropped.clone(),
        );
        registry.register(
            "dead_letters",
            "Messages that the backend would not take, and that are kept",
            self.dead_letters.clone(),
        );
        registry.register(
            "dead_letters_bytes",
            "Bytes of the dead letters that may be let go",
            self.dead_letters_bytes.clone(),
        );
        registry.register(
            "dead_letters_let_go",
            "Dead letters let go since the start: there were too many",
            self.let_go.clone(),
        );
        registry.register(
            "events_parked",
            "Events of sessions and users that the backend would not take for a day: look at them",
            self.parked.clone(),
        );
        registry.register(
            "backend_reachable",
            "1 if the backend could be connected to when it was last tried",
            self.reachable.clone(),
        );
        registry.register(
            "backend_bad_signatures",
            "Answers of the backend since the start that mean it does not accept our signature",
            self.bad_signatures.clone(),
        );
        registry.register(
            "backend_bad_answers",
            "Answers of the backend since the start that were malformed",
            self.bad_answers.clone(),
        );
        registry.register(
            "backend_connections_died",
            "Kept connections that had died when a request went out, which was sent once more",
            self.connections_died.clone(),
        );
    }

    /// A WebSocket of a client has ended.
    pub fn ending(&self, ending: &ConnectionEnding) {
        let code = match ending.code {
            None => "none".to_owned(),
            Some(code) if CODES.contains(&code) => code.to_string(),
            Some(4001..=4005) => ending.code.unwrap_or_default().to_string(),
            Some(3000..=3999) => "3xxx".to_owned(),
            Some(4000..=4999) => "4xxx".to_owned(),
            Some(_) => "other".to_owned(),
        };
        if let Some(latency) = ending.detection_latency_ms {
            self.detection.observe(Duration::from_millis(latency).as_secs_f64());
        }
        if let Some(compressed) = &ending.compressed {
            self.compressed(compressed);
        }
        let (initiator, mechanism) = (ending.initiator.word(), ending.mechanism.word());
        self.endings.get_or_create(&EndingLabels { initiator, mechanism, code }).inc();
    }

    fn compressed(&self, bytes: &Compressed) {
        self.compressed.inc();
        let count = |direction, before, after| {
            let labels = DirectionLabels { direction };
            self.before_compression.get_or_create(&labels).inc_by(before);
            self.after_compression.get_or_create(&labels).inc_by(after);
        };
        count("to_client", bytes.sent, bytes.sent_as);
        count("from_client", bytes.received, bytes.received_as);
    }

    /// A request or a connection was refused by a rule of this name.
    pub(crate) fn refused(&self, by: &'static str) {
        self.refused.get_or_create(&RefusedLabels { by }).inc();
    }

    /// The store's file has this many bytes.
    pub(crate) fn store_file(&self, bytes: u64) {
        self.store_file.0.store(bytes, Ordering::Relaxed);
    }

    /// How this node is, where there are many.
    pub(crate) fn node(&self, figures: NodeFigures) {
        *self.node.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures);
    }

    /// A client wanted to come back.
    pub(crate) fn resume(&self, result: Result<(), NotResumed>) {
        let labels = match result {
            Ok(()) => ResumeLabels { result: "resumed", reason: "" },
            Err(reason) => ResumeLabels { result: "new_session", reason: reason.word() },
        };
        self.resumes.get_or_create(&labels).inc();
    }

    pub(crate) fn transition(&self, transition: &Transition) {
        match &transition.kind {
            TransitionKind::Started { .. } => {
                self.sessions_started.inc();
            }
            TransitionKind::Resumed { after: Some(Departure::Hidden), .. } => {
                self.refreshes.inc();
            }
            TransitionKind::Ended { ending } => {
                let cause = ending.cause.word();
                self.sessions_ended.get_or_create(&CauseLabels { cause }).inc();
            }
            TransitionKind::Away { .. } | TransitionKind::Resumed { .. } => {}
        }
    }

    /// A limit did not allow something, once for each of these.
    pub(crate) fn full(&self, all: &[Full]) {
        for full in all {
            self.full.get_or_create(&LimitLabels { limit: full.word() }).inc();
        }
    }

    pub(crate) fn draining(&self) {
        self.draining.set(1);
    }

    /// All of them as OpenMetrics text. What is not known is left out.
    #[must_use]
    pub fn encode(
        &self,
        counts: Option<Counts>,
        waiting: Waiting,
        backend: BackendCounts,
    ) -> String {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        *self.sessions.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        self.queued.set(number(waiting.events));
        self.queued_bytes.set(number(waiting.bytes));
        self.delivered.set(waiting.delivered);
        self.failed.set(waiting.failed);
        self.rejected.set(waiting.rejected);
        self.lifecycle_queued.set(number(waiting.lifecycle));
        self.dropped.set(waiting.dropped);
        self.dead_letters.set(number(waiting.dead_letters));
        self.dead_letters_bytes.set(number(waiting.dead_letter_bytes));
        self.let_go.set(waiting.let_go);
        self.parked.set(number(waiting.parked));
        self.reachable.set(i64::from(waiting.reachable));
        self.bad_signatures.set(backend.bad_signatures);
        self.bad_answers.set(backend.bad_answers);
        self.connections_died.set(backend.connections_died);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let metrics = Metrics::default();
        let unknown = metrics.encode(None, Waiting::default(), BackendCounts::default());
        for name in ["sessions_attached", "sessions_away", "adieu_users", "store_file"] {
            assert!(!unknown.contains(name), "{name}: {unknown}");
        }
        metrics.store_file(7);
        let counts = Counts { attached: 1, away: 2, users: 3, kept: 4 };
        let known = metrics.encode(Some(counts), Waiting::default(), BackendCounts::default());
        for line in [
            "\nadieu_sessions_attached 1\n",
            "\nadieu_sessions_away 2\n",
            "\nadieu_users 3\n",
            "\nadieu_store_file_bytes 7\n",
        ] {
            assert!(known.contains(line), "{line}: {known}");
        }
    }
}
