//! Compression of messages: permessage-deflate (RFC 7692).
//!
//! No connection owns a context of the DEFLATE library, but while a large message is under way:
//! contexts are the thread's ([`zlib`]), and each message starts one anew behind the text that
//! went before ([`history`]). What did not become smaller is sent as it is, and nothing has to be
//! undone.

mod compress;
mod history;
mod inflate;
mod offer;
mod options;
mod state;
mod zlib;

pub use offer::{PerMessageDeflate, WindowBits};
pub(crate) use offer::{accept, check, offer};
pub use options::{Deflate, Refuses};
pub use state::Compressed;
pub(crate) use state::{Inflated, State};
pub(crate) use zlib::Contexts;

/// The largest window of DEFLATE.
const MAX_WINDOW: usize = 32 * 1024;

/// Bytes that are compressed, or that come of inflating, before the other connections of the thread
/// have their turn: about half a millisecond of work.
pub(crate) const STEP: usize = 64 * 1024;

/// The work that may be done until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget(usize);

impl Budget {
    pub(crate) const FULL: Budget = Budget(STEP);

    pub(crate) fn is_used_up(self) -> bool {
        self.0 == 0
    }

    fn left(self) -> usize {
        self.0
    }

    fn spend(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(bytes);
    }
}
