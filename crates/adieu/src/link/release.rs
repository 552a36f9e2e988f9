//! How a connection lets go of its transport: what it knew last is told, and the report is written.

use std::task::{Context, Poll};

use adieu_proto::{PeerEnd, Scratch, TransportEvent};

use crate::link::state::State;
use crate::now;
use crate::transport::{AnyTransport, Read, Transport};

/// Reads at the very end, when a peer that never ended has sent something meanwhile.
const LAST_READS: usize = 16;

impl State {
    /// Gives up the transport, to be dropped where no lock is held, and has the report written.
    pub(super) fn disconnect(&mut self, scratch: &mut Scratch) -> AnyTransport {
        if self.transport.was_reset_behind_end() {
            self.tell(TransportEvent::PeerEnded(PeerEnd::Reset, None), scratch);
        }
        if let Some(error) = self.transport.take_write_error() {
            self.tell(TransportEvent::WriteFailed(Some(error)), scratch);
        }
        let close_notify = self.transport.close_notify();
        let unacknowledged = self.unacknowledged(scratch);
        // A close with unread input would send an RST and lose what is under way to the peer.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..LAST_READS {
            if self.read_over || self.drop_one_read(&mut cx, scratch).is_pending() {
                break;
            }
        }
        if self.connection.status().gave_up() {
            self.transport.abort();
        }
        if let Some(http2) = self.transport.http2() {
            self.tell(TransportEvent::Http2(http2), scratch);
        }
        let kind = self.transport.kind();
        let released = self.transport.release();
        self.tell(TransportEvent::Released { kind, unacknowledged, close_notify }, scratch);
        released
    }

    fn drop_one_read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let buffer = self.connection.read_buffer(scratch);
        let read = std::task::ready!(self.transport.poll_read(cx, buffer));
        if let Read::Over(over) = read {
            self.read_over = true;
            if self.transport.is_multiplexed() {
                // It came with the last that was read.
                self.tell(TransportEvent::PeerEnded(over.how, None), scratch);
            }
        }
        Poll::Ready(())
    }

    /// Bytes that left and were not acknowledged, where that is known. What left just now may
    /// still be acknowledged: unknown.
    fn unacknowledged(&mut self, scratch: &mut Scratch) -> Option<u64> {
        let evidence = self.transport.evidence()?;
        let now = now();
        // The report tells the round trip.
        self.connection.handle_timeout(now, Some(evidence), scratch);
        let bytes = evidence.outstanding;
        let known = bytes == 0 || now - self.last_write > evidence.rto;
        known.then_some(bytes)
    }
}
