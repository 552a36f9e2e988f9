//! What waits to leave, frame by frame. Control frames leave at the next frame boundary, before
//! data that waits, and never once our Close has begun to leave (RFC 6455 §5.5.1, §5.5.2).

use std::collections::VecDeque;

use crate::wire::Frame;

/// A frame and its length in bytes.
type Sized = (Frame, u64);

/// What our side has queued and what has not left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    /// Heads, messages, our Close.
    data: VecDeque<Sized>,
    /// Pongs and our Ping.
    control: VecDeque<Sized>,
    /// How much of a frame the transport has taken that it did not take whole.
    begun: u64,
    /// Whether that is a control frame.
    begun_control: bool,
    /// Whether the transport has taken a part of our Close.
    close_begun: bool,
    /// A control frame waited when the transport said that it takes nothing, and one has waited
    /// ever since.
    refused: bool,
    /// What the transport took and holds: whole frames, and all bytes.
    held: Vec<Frame>,
    held_bytes: u64,
}

fn is_control(frame: &Frame) -> bool {
    matches!(frame, Frame::Ping | Frame::Pong(_))
}

impl Outbox {
    pub(crate) fn add(&mut self, frame: Frame, len: u64) {
        let lane = if is_control(&frame) { &mut self.control } else { &mut self.data };
        lane.push_back((frame, len));
    }

    /// The answer to a Ping. To a transport that took nothing before only the newest is given
    /// (§5.5.3).
    pub(crate) fn answer(&mut self, frame: Frame, len: u64) {
        if self.refused {
            let begun = self.begun_control && self.begun > 0;
            let mut index = 0;
            self.control.retain(|(frame, _)| {
                index += 1;
                (begun && index == 1) || *frame == Frame::Ping
            });
        }
        self.add(frame, len);
    }

    /// Whether a control frame may still leave.
    pub(crate) fn takes_control(&self) -> bool {
        !self.close_begun
    }

    /// Bytes that the transport has not taken.
    pub(crate) fn waiting(&self) -> u64 {
        self.data.iter().chain(&self.control).map(|(_, len)| len).sum::<u64>() - self.begun
    }

    /// Bytes that the transport took and that have not left.
    pub(crate) fn held(&self) -> u64 {
        self.held_bytes
    }

    /// Messages that have not left whole.
    pub(crate) fn messages(&self) -> u64 {
        let waiting = self.data.iter().map(|(frame, _)| frame);
        let is_text = |frame: &&Frame| matches!(frame, Frame::Text(_));
        waiting.chain(&self.held).filter(is_text).count() as u64
    }

    /// Whether our Ping was not taken whole.
    pub(crate) fn has_waiting_ping(&self) -> bool {
        self.control.iter().any(|(frame, _)| *frame == Frame::Ping)
    }

    /// Whether our Ping has not left.
    pub(crate) fn has_ping(&self) -> bool {
        self.has_waiting_ping() || self.held.contains(&Frame::Ping)
    }

    /// The transport says that it takes nothing for now.
    pub(crate) fn blocked(&mut self) {
        self.refused = !self.control.is_empty();
    }

    /// The transport takes so many bytes, and holds them or not; gives the frames that it has
    /// taken whole by now.
    pub(crate) fn take(&mut self, n: u64, holds: bool) -> Vec<Frame> {
        let mut left = n.min(self.waiting());
        let mut whole = Vec::new();
        if holds {
            self.held_bytes += left;
        }
        while left > 0 {
            let Some((frame, len)) = self.front().cloned() else { break };
            let step = left.min(len - self.begun);
            left -= step;
            self.begun += step;
            self.begun_control = is_control(&frame);
            self.close_begun |= matches!(frame, Frame::Close(_));
            if self.begun == len {
                self.begun = 0;
                let lane = if self.begun_control { &mut self.control } else { &mut self.data };
                lane.pop_front();
                if holds {
                    self.held.push(frame.clone());
                }
                whole.push(frame);
            }
        }
        self.refused &= !self.control.is_empty();
        whole
    }

    /// The frame whose bytes leave next.
    fn front(&self) -> Option<&Sized> {
        let data = self.data.front();
        // Within the opening handshake there are no frames.
        let opening = data.is_some_and(|(f, _)| matches!(f, Frame::Head(_) | Frame::Challenge));
        let data_first = if self.begun > 0 { !self.begun_control } else { opening };
        if data_first { data } else { self.control.front().or(data) }
    }

    /// What the transport holds leaves.
    pub(crate) fn flush(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
    }
}
