//! What a connection that compresses keeps: plain bytes and counts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::compress::{self, Compression};
use super::history::History;
use super::inflate::{Inflation, Step};
use super::zlib::{Contexts, Tuning};
use super::{Budget, Deflate, PerMessageDeflate, STEP, WindowBits};
use crate::error::ProtocolError;
use crate::message::Message;

/// The text that was sent is forgotten after so long without a message: it is worth little by then.
const FORGET_AFTER: Duration = Duration::from_secs(10);

/// Payload bytes of the messages that were compressed, before and after. Messages that were sent as
/// they are are not among them.
///
/// ```
/// let compressed = adieu_proto::Compressed { sent: 1000, sent_as: 250, ..Default::default() };
/// assert_eq!(compressed.to_string(), "sent 1000 bytes as 250, received 0 bytes as 0");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Compressed {
    /// Bytes that our application sent.
    pub sent: u64,
    /// What they were compressed to.
    pub sent_as: u64,
    /// Bytes that the peer's application sent.
    pub received: u64,
    /// What they were compressed to.
    pub received_as: u64,
}

impl std::fmt::Display for Compressed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Compressed { sent, sent_as, received, received_as } = self;
        write!(f, "sent {sent} bytes as {sent_as}, received {received} bytes as {received_as}")
    }
}

/// The state of one connection.
#[derive(Clone, Hash)]
pub(crate) struct State {
    tuning: Tuning,
    binary: bool,
    min_with_history: usize,
    min_without_history: usize,
    sent: History,
    received: History,
    pub(crate) counts: Compressed,
    /// When the connection was heard last, as far as is known here, and when its last compressed
    /// message was sent.
    heard: Instant,
    used: Instant,
    /// What may still be inflated until the others have had their turn, and since when.
    budget: Budget,
    budget_since: Instant,
    /// What goes on later.
    busy: Option<Box<Busy>>,
}

/// A message of the peer, inflated.
pub(crate) struct Inflated {
    pub(crate) text: bool,
    pub(crate) bytes: Vec<u8>,
}

/// Work that goes on when the others have had their turn.
#[derive(Clone, Default, Hash)]
pub(super) struct Busy {
    /// The message that is being inflated.
    inflation: Option<Inflation>,
    /// Bytes of the peer that came behind it.
    rest: Vec<u8>,
    /// Whether frames of the peer wait here.
    holds_input: bool,
    /// Messages to be sent, the first of which is being compressed.
    jobs: VecDeque<Job>,
}

/// A message that is sent when the one before it is compressed.
#[derive(Clone)]
struct Job {
    message: Message,
    compression: Option<Compression>,
}

impl std::hash::Hash for Job {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.message.as_text().is_some(), self.message.as_bytes(), &self.compression).hash(state);
    }
}

impl State {
    /// `is_server`: whose side this is.
    pub(crate) fn new(
        agreed: PerMessageDeflate,
        options: &Deflate,
        is_server: bool,
        now: Instant,
    ) -> Self {
        let server = (agreed.server_no_context_takeover, agreed.server_max_window_bits);
        let client = (agreed.client_no_context_takeover, agreed.client_max_window_bits);
        let (ours, theirs) = if is_server { (server, client) } else { (client, server) };
        let bits = ours.1.map_or(15, WindowBits::get);
        let keeps = if ours.0 { 0 } else { options.keeps(bits) };
        let window = if theirs.0 { 0 } else { 1 << theirs.1.map_or(15, WindowBits::get) };
        State {
            tuning: options.tuning(bits),
            binary: options.binary,
            min_with_history: options.min_with_history,
            min_without_history: options.min_without_history,
            sent: History::new(keeps),
            received: History::new(window),
            counts: Compressed::default(),
            heard: now,
            used: now,
            budget: Budget::FULL,
            budget_since: now,
            busy: None,
        }
    }

    // Sending.

    /// Whether this message is to be compressed.
    pub(crate) fn wants(&self, message: &Message) -> bool {
        let least =
            if self.sent.is_empty() { self.min_without_history } else { self.min_with_history };
        (self.binary || message.as_text().is_some()) && message.len() >= least.max(1)
    }

    /// Whether a message that was compressed alone, with the largest window, may be sent to this
    /// peer, and is worth it.
    pub(crate) fn takes_shared(&self, message: &Message) -> bool {
        let fits = self.tuning.bits == 15 && message.len() <= STEP;
        let kind = self.binary || message.as_text().is_some();
        fits && kind && message.len() >= self.min_without_history.max(1)
    }

    /// Whether the peer has asked for a window below the largest.
    pub(crate) fn has_smaller_window(&self) -> bool {
        self.tuning.bits < 15
    }

    /// Compresses a message of one step at most; the bytes are in `contexts`.
    pub(crate) fn compress<'c>(
        &mut self,
        payload: &[u8],
        contexts: &'c mut Contexts,
    ) -> Option<&'c [u8]> {
        let len = compress::at_once(payload, &self.sent, self.tuning, contexts)?;
        self.was_sent(payload, len);
        Some(&contexts.out[..len])
    }

    /// Compresses a message alone, as all peers with the largest window may be sent it.
    pub(crate) fn compress_alone(
        &self,
        payload: &[u8],
        contexts: &mut Contexts,
    ) -> Option<Vec<u8>> {
        let len = compress::at_once(payload, &History::default(), self.tuning, contexts)?;
        Some(contexts.out[..len].to_vec())
    }

    /// A compressed message goes out: later ones may refer to it.
    pub(crate) fn was_sent(&mut self, payload: &[u8], len: usize) {
        self.sent.push(payload);
        self.used = self.heard;
        self.counts.sent += payload.len() as u64;
        self.counts.sent_as += len as u64;
    }

    /// Queues a message behind those that wait.
    pub(crate) fn push_job(&mut self, message: Message, compress: bool) {
        let compression = compress.then(Compression::default);
        self.busy().jobs.push_back(Job { message, compression });
    }

    /// Whether work waits for its turn.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Whether messages wait for one that is being compressed.
    pub(crate) fn has_jobs(&self) -> bool {
        self.busy.as_ref().is_some_and(|busy| !busy.jobs.is_empty())
    }

    /// The message that is being compressed, or waits first, if it is ready to be sent, and its
    /// compressed form, if it has one.
    pub(crate) fn next_job(
        &mut self,
        budget: &mut Budget,
        contexts: &mut Contexts,
    ) -> Option<(Message, Option<Vec<u8>>)> {
        let job = self.busy.as_mut()?.jobs.front_mut()?;
        let Some(compression) = &mut job.compression else {
            return self.take_job().map(|message| (message, None));
        };
        let payload = job.message.as_bytes();
        let step = compression.step(payload, &self.sent, self.tuning, budget, contexts);
        let packed = match step {
            compress::Step::GoesOn => return None,
            compress::Step::NotSmaller => None,
            compress::Step::Done(packed) => Some(packed),
        };
        let message = self.take_job()?;
        if let Some(packed) = &packed {
            self.was_sent(message.as_bytes(), packed.len());
        }
        Some((message, packed))
    }

    /// The first message that waits, given up as far as it is compressed.
    pub(crate) fn take_job(&mut self) -> Option<Message> {
        let job = self.busy.as_mut()?.jobs.pop_front()?;
        self.forget_busy_when_done();
        Some(job.message)
    }

    // Receiving.

    /// Whether no time is left to inflate until the others have had their turn. A driver gives all
    /// calls of one turn the same time.
    pub(crate) fn time_is_up(&mut self, now: Instant) -> bool {
        if self.budget_since != now {
            self.renew_budget(now);
        }
        self.budget.is_used_up()
    }

    /// The others have had their turn.
    pub(crate) fn renew_budget(&mut self, now: Instant) {
        (self.budget, self.budget_since) = (Budget::FULL, now);
    }

    /// Inflates a message, as far as its time allows. If that is not all of it, it is kept for
    /// [`inflate_on`](Self::inflate_on).
    pub(crate) fn inflate(
        &mut self,
        text: bool,
        payload: &[u8],
        limit: u64,
        contexts: &mut Contexts,
    ) -> Result<Option<Inflated>, ProtocolError> {
        let mut inflation = Inflation::new(text);
        match inflation.step(payload, &self.received, limit, &mut self.budget, contexts)? {
            Step::Done(bytes) => Ok(Some(self.was_received(text, bytes, payload.len()))),
            Step::GoesOn => {
                inflation.keep_payload(payload);
                self.busy().inflation = Some(inflation);
                Ok(None)
            }
        }
    }

    /// Goes on with the message that is being inflated; `None` if there is none or it is not whole.
    pub(crate) fn inflate_on(
        &mut self,
        limit: u64,
        contexts: &mut Contexts,
    ) -> Result<Option<Inflated>, ProtocolError> {
        let inflation = self.busy.as_mut().and_then(|busy| busy.inflation.take());
        let Some(mut inflation) = inflation else { return Ok(None) };
        match inflation.go_on(&self.received, limit, &mut self.budget, contexts)? {
            Step::Done(bytes) => {
                let len = inflation.payload_len();
                Ok(Some(self.was_received(inflation.text, bytes, len)))
            }
            Step::GoesOn => {
                self.busy().inflation = Some(inflation);
                Ok(None)
            }
        }
    }

    /// Later messages may refer to it.
    fn was_received(&mut self, text: bool, bytes: Vec<u8>, len: usize) -> Inflated {
        self.received.push(&bytes);
        self.counts.received += bytes.len() as u64;
        self.counts.received_as += len as u64;
        Inflated { text, bytes }
    }

    /// Whether a message is being inflated.
    pub(crate) fn is_inflating(&self) -> bool {
        self.busy.as_ref().is_some_and(|busy| busy.inflation.is_some())
    }

    /// Nobody reads the message that is being inflated.
    pub(crate) fn stop_inflating(&mut self) {
        if let Some(busy) = &mut self.busy {
            busy.inflation = None;
        }
    }

    /// The peer's bytes that waited; from now on none does.
    pub(crate) fn release_input(&mut self) -> Vec<u8> {
        let Some(busy) = &mut self.busy else { return Vec::new() };
        busy.holds_input = false;
        let rest = std::mem::take(&mut busy.rest);
        self.forget_busy_when_done();
        rest
    }

    /// Bytes of the peer that wait here.
    pub(crate) fn held(&self) -> usize {
        let held =
            |busy: &Busy| busy.rest.len() + busy.inflation.as_ref().map_or(0, Inflation::held);
        self.busy.as_deref().map_or(0, held)
    }

    /// Whether frames of the peer wait here.
    pub(crate) fn holds_input(&self) -> bool {
        self.busy.as_ref().is_some_and(|busy| busy.holds_input)
    }

    /// The peer's bytes wait from now on, these first.
    pub(crate) fn hold_input(&mut self, bytes: &[u8]) {
        let busy = self.busy();
        busy.holds_input = true;
        busy.rest.extend_from_slice(bytes);
    }

    fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    fn forget_busy_when_done(&mut self) {
        self.busy.take_if(|busy| busy.jobs.is_empty() && !busy.holds_input);
    }

    // Time.

    /// The connection was heard, or one of its clocks ran out: what nobody has used for a while is
    /// freed. The time of a message is known as that of the last such moment before it.
    pub(crate) fn passes(&mut self, now: Instant) {
        self.heard = now;
        if now.saturating_duration_since(self.used) >= FORGET_AFTER && !self.has_jobs() {
            self.sent.forget();
        }
    }
}
