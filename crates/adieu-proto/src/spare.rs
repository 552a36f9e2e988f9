//! Empty buffers between two uses. An idle connection owns none: it borrows them when there is
//! something to do and gives them back when there is not, so that a thread that drives many
//! connections needs one set, not one for each.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::connection::Output;
use crate::outgoing::Queue;
use crate::pool::Pool;

/// Outputs that fit into a buffer that is kept; a burst's room is freed.
const KEEP_OUTPUTS: usize = 1024;

/// Empty buffers that no connection needs at present
/// ([`Connection::borrow_buffers`](crate::Connection::borrow_buffers)).
#[derive(Debug, Default)]
pub struct Spare {
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) queue: Option<Box<Queue>>,
    pub(crate) pool: Option<Arc<dyn Pool>>,
}

impl Spare {
    /// With a pool for the buffers of large messages.
    #[must_use]
    pub fn with_pool(pool: Arc<dyn Pool>) -> Self {
        Spare { pool: Some(pool), ..Spare::default() }
    }

    /// Lends the pool.
    pub(crate) fn lend_pool(&mut self, pool: &mut Option<Arc<dyn Pool>>) {
        if self.pool.is_some() {
            *pool = self.pool.take();
        }
    }

    /// Keeps the pool for the next.
    pub(crate) fn keep_pool(&mut self, pool: &mut Option<Arc<dyn Pool>>) {
        if pool.is_some() {
            self.pool = pool.take();
        }
    }

    /// Lends the buffer for outputs where there is none.
    pub(crate) fn lend(&mut self, outputs: &mut VecDeque<Output>) {
        if outputs.capacity() == 0 {
            std::mem::swap(outputs, &mut self.outputs);
        }
    }

    /// Keeps the larger of two for the next.
    pub(crate) fn keep(&mut self, outputs: &mut VecDeque<Output>) {
        if outputs.is_empty() {
            let outputs = std::mem::take(outputs);
            if (self.outputs.capacity()..=KEEP_OUTPUTS).contains(&outputs.capacity()) {
                self.outputs = outputs;
            }
        }
    }
}
