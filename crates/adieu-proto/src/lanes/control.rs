//! The lane of control frames: Pongs and our Ping wait behind nothing else of ours.

use crate::config::defaults::PONG_QUEUE;
use crate::frame::{Opcode, hybi};

/// The first byte of a Ping: a whole frame, for a control frame has no fragments (RFC 6455 §5.5).
const PING: u8 = 0x89;

/// Whole frames that wait, and how much of the first has left.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct ControlLane {
    frames: Vec<u8>,
    gone: usize,
    /// The transport took nothing or not all when it was last asked: from then on only the newest
    /// Pong is kept (§5.5.3).
    blocked: bool,
    /// Bytes that the transport took and holds.
    held: usize,
    /// Bytes that were dropped because nothing can leave any more.
    lost: usize,
    /// Our Ping waits here.
    ping_waits: bool,
    /// The transport holds our Ping.
    ping_held: bool,
}

impl ControlLane {
    /// What waits.
    #[inline]
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.frames[self.gone..]
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that have not left.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        self.frames.len() - self.gone + self.held + self.lost
    }

    /// Whether part of a frame has left: its rest comes before everything else.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.gone > 0
    }

    /// Whether our Ping has not left.
    pub(crate) fn holds_ping(&self) -> bool {
        self.ping_waits || self.ping_held
    }

    /// Queues our Ping. One that still waits asks the same: a second beside it would be no news.
    pub(crate) fn ping(&mut self, mask: Option<[u8; 4]>) {
        if self.ping_waits {
            return;
        }
        hybi::write_frame(&mut self.frames, Opcode::Ping, &[], mask);
        self.ping_waits = true;
    }

    /// Queues a Ping of the application. It is kept as a whole frame and never replaced: how many
    /// there are is bounded where they are counted.
    pub(crate) fn ping_with(&mut self, payload: &[u8], mask: Option<[u8; 4]>) {
        hybi::write_frame(&mut self.frames, Opcode::Ping, payload, mask);
    }

    /// Queues a Pong; while the transport is blocked, or too many wait, it replaces those that do.
    pub(crate) fn pong(&mut self, payload: &[u8], mask: Option<[u8; 4]>) {
        if self.blocked || self.frames.len() + payload.len() > PONG_QUEUE {
            self.keep_pings_only(mask.is_some());
        }
        hybi::write_frame(&mut self.frames, Opcode::Pong, payload, mask);
    }

    /// The transport takes nothing for now.
    pub(crate) fn blocked(&mut self) {
        self.blocked = !self.is_empty();
    }

    /// Drops the Pongs of which nothing has left.
    fn keep_pings_only(&mut self, masked: bool) {
        let mut kept = Vec::new();
        let mut at = 0;
        while at < self.frames.len() {
            let end = at + frame_len(&self.frames[at..], masked);
            if at < self.gone || self.frames[at] == PING {
                kept.extend_from_slice(&self.frames[at..end]);
            }
            at = end;
        }
        self.frames = kept;
    }

    /// The transport has taken so much; `held`: it has not left yet.
    pub(crate) fn advance(&mut self, n: usize, held: bool, masked: bool) {
        self.gone += n;
        if held {
            self.held += n;
        }
        if self.gone == self.frames.len() {
            self.frames.clear();
            self.gone = 0;
            self.blocked = false;
            self.ping_left(held);
        } else {
            self.forget_whole_frames(held, masked);
        }
    }

    /// What the transport held has left.
    pub(crate) fn flushed(&mut self) {
        self.held = 0;
        self.ping_held = false;
    }

    /// Our Ping has left, if it waited, or the transport holds it.
    fn ping_left(&mut self, held: bool) {
        self.ping_held |= held && self.ping_waits;
        self.ping_waits = false;
    }

    fn forget_whole_frames(&mut self, held: bool, masked: bool) {
        let mut whole = 0;
        while whole < self.gone {
            let end = whole + frame_len(&self.frames[whole..], masked);
            if end > self.gone {
                break;
            }
            if is_heartbeat(&self.frames[whole..]) {
                self.ping_left(held);
            }
            whole = end;
        }
        self.frames.drain(..whole);
        self.gone -= whole;
    }

    /// Nothing can leave any more: frees the memory, keeps the count.
    pub(crate) fn discard(&mut self) {
        let lost = self.unsent();
        *self = ControlLane { lost, ..ControlLane::default() };
    }

    /// Our Close has begun to leave: nothing may follow it (§5.5.1). What waits will not leave and
    /// is not missed.
    pub(crate) fn close(&mut self) {
        *self = ControlLane { held: self.held, lost: self.lost, ..ControlLane::default() };
    }
}

/// The length of the frame at the front: a control frame has a short length (§5.5).
fn frame_len(frame: &[u8], masked: bool) -> usize {
    2 + if masked { 4 } else { 0 } + usize::from(frame[1] & 0x7F)
}

/// Whether the frame at the front is the heartbeat's Ping: those of the application have a payload.
fn is_heartbeat(frame: &[u8]) -> bool {
    frame[0] == PING && frame[1] & 0x7F == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_of_the_application_is_not_taken_for_the_heartbeats() {
        let mut lane = ControlLane::default();
        lane.ping_with(b"1", None);
        lane.ping(None);
        lane.pong(b"a", None);
        lane.blocked();
        lane.pong(b"b", None);
        assert_eq!(lane.waiting(), b"\x89\x011\x89\x00\x8A\x01b", "only Pongs are replaced");
        lane.advance(3, false, false);
        assert!(lane.holds_ping(), "the heartbeat's has not left");
        lane.advance(2, false, false);
        assert!(!lane.holds_ping());
    }

    #[test]
    fn each_ping_has_its_pong_until_the_transport_is_blocked() {
        let mut lane = ControlLane::default();
        lane.pong(b"a", None);
        lane.ping(None);
        lane.pong(b"b", None);
        assert_eq!(lane.waiting(), b"\x8A\x01a\x89\x00\x8A\x01b");
        lane.advance(1, false, false);
        lane.blocked();
        lane.pong(b"c", None);
        // The one that has begun to leave stays whole.
        assert_eq!(lane.waiting(), b"\x01a\x89\x00\x8A\x01c");
        assert!(lane.holds_ping());
        lane.advance(4, false, false);
        assert!(!lane.holds_ping());
        lane.pong(b"d", None);
        assert_eq!(lane.waiting(), b"\x8A\x01d");
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut lane = ControlLane::default();
        for _ in 0..1000 {
            lane.pong(&[7; 125], Some([1, 2, 3, 4]));
            assert!(lane.unsent() <= PONG_QUEUE + 131);
        }
    }

    #[test]
    fn what_a_transport_holds_has_not_left() {
        let mut lane = ControlLane::default();
        lane.ping(None);
        lane.advance(2, true, false);
        assert_eq!((lane.unsent(), lane.holds_ping(), lane.is_empty()), (2, true, true));
        lane.flushed();
        assert_eq!((lane.unsent(), lane.holds_ping()), (0, false));
    }
}
