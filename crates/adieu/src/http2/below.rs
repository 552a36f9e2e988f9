//! What is known of an HTTP/2 connection below its streams, recorded once: how it ended, what a
//! GOAWAY said, and what of each stream's bytes has left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use adieu_proto::{End, Evidence, Http2ErrorCode, PeerEnd, TransportError};

use super::frames::Seen;
use crate::now;
use crate::transport::Over;

/// One connection, shared by what reads and writes it and by its streams.
#[derive(Debug)]
pub(crate) struct Below {
    /// Its number in this process.
    id: u64,
    facts: Mutex<Facts>,
    /// Whether it is looked what the peer's kernel has acknowledged, which is a system call.
    watched: AtomicBool,
}

#[derive(Debug)]
struct Facts {
    goaway: Option<GoAway>,
    /// The peer's first SETTINGS came.
    has_settings: bool,
    close_notify: Option<bool>,
    end: Option<End>,
    error: Option<TransportError>,
    /// When bytes of the peer came last.
    heard: Instant,
    /// What the peer's kernel has acknowledged, as far as was looked.
    acked: Option<Acked>,
    /// All was read that had arrived when the server began to stop.
    dry: bool,
    streams: HashMap<u32, Arc<BelowStream>>,
}

/// What the peer's kernel has taken of our bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acked {
    /// So many bytes, in all.
    bytes: u64,
    /// Others waited in our kernel: what is sent now stands behind them.
    others_wait: bool,
}

impl Acked {
    pub(super) fn of(evidence: &Evidence) -> Self {
        Acked { bytes: evidence.acked, others_wait: evidence.outstanding > 0 }
    }

    /// Whether what was sent then may still be on its way, for the peer has taken what stood before
    /// it, and nothing else, since.
    pub(super) fn moves_on(self, now: Self) -> bool {
        self.others_wait && now.bytes > self.bytes
    }
}

/// The peer's last GOAWAY.
#[derive(Clone, Copy, Debug)]
struct GoAway {
    /// The last stream of ours that the peer has processed, or may have.
    last: u32,
    code: Http2ErrorCode,
}

/// One stream below the library: what of our DATA has left, and whether the peer's is over.
#[derive(Debug, Default)]
pub(crate) struct BelowStream {
    left: AtomicU64,
    peer_finished: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl BelowStream {
    /// Bytes of DATA that the transport has taken, and that it holds no more.
    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Acquire)
    }

    /// Whether the peer's END_STREAM has come. The library forgets it where the connection fails
    /// before the stream is read to its end.
    pub(crate) fn peer_finished(&self) -> bool {
        self.peer_finished.load(Ordering::Acquire)
    }

    /// Wakes this task when more has left.
    pub(crate) fn wakes(&self, cx: &Context<'_>) {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Ready when so many have left.
    pub(super) fn poll_left(&self, cx: &Context<'_>, bytes: u64) -> Poll<()> {
        self.wakes(cx);
        if self.left() >= bytes { Poll::Ready(()) } else { Poll::Pending }
    }

    fn leaves(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// For a client.
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "a client asks over TLS alone"))]
impl Below {
    /// As a client: whether the server has said that it did not process this stream, and will not
    /// (RFC 9113 §6.8).
    pub(crate) fn leaves_out(&self, stream: u32) -> bool {
        self.facts().goaway.is_some_and(|goaway| stream > goaway.last)
    }

    /// How many streams are open whose DATA is counted.
    pub(crate) fn streams(&self) -> usize {
        self.facts().streams.len()
    }

    /// Whether the peer's first SETTINGS came.
    pub(crate) fn has_settings(&self) -> bool {
        self.facts().has_settings
    }
}

impl Below {
    /// A connection that a server has taken.
    pub(super) fn of_server() -> Arc<Self> {
        Self::new(false)
    }

    /// A connection that a client has made. No drain of a server waits for it.
    #[cfg(feature = "tls")]
    pub(crate) fn of_client() -> Arc<Self> {
        Self::new(true)
    }

    fn new(dry: bool) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let facts = Facts {
            goaway: None,
            has_settings: false,
            close_notify: None,
            end: None,
            error: None,
            heard: now(),
            acked: None,
            dry,
            streams: HashMap::new(),
        };
        Arc::new(Below {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            facts: Mutex::new(facts),
            watched: AtomicBool::new(false),
        })
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    // For streams.

    /// Whether all was read that had arrived when the server began to stop.
    pub(crate) fn is_dry(&self) -> bool {
        let facts = self.facts();
        facts.dry || facts.end.is_some()
    }

    /// A stream whose DATA is counted from now on.
    pub(crate) fn open(&self, stream: u32) -> Arc<BelowStream> {
        self.facts().streams.entry(stream).or_default().clone()
    }

    /// The stream is over.
    pub(crate) fn forget(&self, stream: u32) {
        self.facts().streams.remove(&stream);
    }

    /// The code of the peer's last GOAWAY.
    pub(crate) fn goaway(&self) -> Option<Http2ErrorCode> {
        self.facts().goaway.map(|goaway| goaway.code)
    }

    /// How the connection ended, if it did.
    pub(crate) fn end(&self) -> Option<End> {
        self.facts().end
    }

    /// Whether the peer's close_notify came; `None` without TLS, and while the connection is open.
    pub(crate) fn close_notify(&self) -> Option<bool> {
        self.facts().close_notify
    }

    /// The same as the end of a stream that it ended.
    pub(crate) fn over(&self) -> Option<Over> {
        let facts = self.facts();
        let how = match facts.end? {
            End::Finished | End::FinishedThenReset => PeerEnd::Finished,
            End::Reset => PeerEnd::Reset,
            End::Lost | End::LetGo(_) => PeerEnd::Lost,
            _ => PeerEnd::Unknown,
        };
        Some(Over { how, then_reset: false, error: facts.error.clone() })
    }

    // For what reads and writes the connection.

    /// From now on it is looked what the peer's kernel acknowledges.
    pub(super) fn watch(&self) {
        self.watched.store(true, Ordering::Release);
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// While the server stops, nothing is left to read.
    pub(super) fn reads_dry(&self) {
        self.facts().dry = true;
    }

    /// What the peer's kernel has acknowledged.
    pub(super) fn saw(&self, acked: Acked) {
        self.facts().acked = Some(acked);
    }

    /// The same, if it was looked.
    pub(super) fn acked(&self) -> Option<Acked> {
        self.facts().acked
    }

    /// Bytes of the peer came.
    pub(super) fn is_heard(&self) {
        self.facts().heard = now();
    }

    /// When bytes of the peer came last.
    pub(crate) fn heard(&self) -> Instant {
        self.facts().heard
    }

    /// The peer's END_STREAM on this stream.
    pub(super) fn peer_finishes(&self, stream: u32) {
        if let Some(stream) = self.facts().streams.get(&stream) {
            stream.peer_finished.store(true, Ordering::Release);
        }
    }

    /// A GOAWAY of the peer.
    pub(super) fn says_goaway(&self, last: u32, code: Http2ErrorCode) {
        self.facts().goaway = Some(GoAway { last, code });
    }

    /// SETTINGS of the peer.
    pub(super) fn says_settings(&self) {
        self.facts().has_settings = true;
    }

    /// The peer's close_notify came.
    pub(super) fn says_close_notify(&self) {
        self.facts().close_notify = Some(true);
        self.ends(End::Finished);
    }

    /// The connection is over: nothing of its streams leaves any more.
    fn ends(&self, end: End) {
        let mut facts = self.facts();
        facts.end.get_or_insert(end);
        let streams: Vec<_> = facts.streams.values().cloned().collect();
        drop(facts);
        streams.iter().for_each(|stream| stream.wake());
    }

    /// The peer's direction ended. `close_notify`: whether it came, where that is known.
    pub(super) fn peer_ended(&self, over: &Over, close_notify: Option<bool>) {
        let end = match over.how {
            PeerEnd::Finished if over.then_reset => End::FinishedThenReset,
            PeerEnd::Finished => End::Finished,
            PeerEnd::Reset => End::Reset,
            PeerEnd::Lost => End::Lost,
            PeerEnd::Unknown => End::Unknown,
        };
        let mut facts = self.facts();
        facts.close_notify = facts.close_notify.or(close_notify);
        if facts.error.is_none() {
            facts.error.clone_from(&over.error);
        }
        drop(facts);
        self.ends(end);
    }

    /// It failed in another way, with this error.
    pub(crate) fn fails(&self, error: TransportError) {
        self.facts().error.get_or_insert(error);
        self.ends(End::Unknown);
    }

    /// Our side lets go of it.
    pub(crate) fn lets_go(&self, end: End) {
        self.ends(end);
    }

    /// These have left.
    pub(super) fn left(&self, seen: &mut Vec<Seen>) {
        if seen.is_empty() {
            return;
        }
        let facts = self.facts();
        let of = |stream| facts.streams.get(&stream).cloned();
        let left: Vec<_> = seen
            .drain(..)
            .filter_map(|seen| match seen {
                Seen::Data { stream, bytes, .. } => Some((of(stream)?, bytes)),
                Seen::GoAway { .. } | Seen::Settings => None,
            })
            .collect();
        drop(facts);
        left.iter().for_each(|(stream, bytes)| stream.leaves(*bytes));
    }
}
