//! Flow control (RFC 9113 §5.2): what each side may still send, on the connection or on a stream.

/// The largest window, and the largest increment of one (RFC 9113 §6.9.1).
pub(super) const LARGEST: i64 = (1 << 31) - 1;
/// The window of a connection, and of a stream where no setting says otherwise (§6.9.2).
pub(super) const DEFAULT: u32 = 65_535;

/// The two windows of a connection or of a stream.
#[derive(Debug)]
pub(super) struct Window {
    /// What we may send. Less than zero after the server has made its initial window smaller, or
    /// if a test sent more.
    pub(super) send: i64,
    /// What the server may send.
    pub(super) receive: i64,
    /// What came and was not given back.
    pub(super) taken: u32,
    /// Nothing is given back by itself.
    pub(super) held: bool,
    /// What the server could send at first.
    size: u32,
}

impl Window {
    pub(super) fn new(send: u32, receive: u32) -> Self {
        let (send, size) = (i64::from(send), receive);
        Window { send, receive: i64::from(receive), taken: 0, held: false, size }
    }

    /// We sent so much.
    pub(super) fn sent(&mut self, len: usize) {
        self.send -= len as i64;
    }

    /// So much came; whether the window allowed it.
    #[must_use]
    pub(super) fn came(&mut self, len: usize) -> bool {
        self.receive -= len as i64;
        self.taken += len as u32;
        len == 0 || self.receive >= 0
    }

    /// What has to be given back now: nothing before half of the window is used up, as most
    /// clients do.
    pub(super) fn due(&self) -> u32 {
        let due = !self.held && self.taken >= (self.size / 2).max(1);
        if due { self.taken } else { 0 }
    }

    /// The server was given so much.
    pub(super) fn gave(&mut self, increment: u32) {
        self.receive += i64::from(increment);
        self.taken = self.taken.saturating_sub(increment);
    }
}
