//! No store.

use super::{Backend, Refusals, StoreError};
use crate::session::{Batch, Contents};

/// Keeps nothing: for a gateway whose sessions need not survive it. They are in the memory of the
/// gateway once, and nothing is written down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Backend for Memory {
    fn outlives_the_process(&self) -> bool {
        false
    }

    fn load(&self) -> Result<Contents, StoreError> {
        Ok(Contents::default())
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<Vec<Refusals>, StoreError> {
        Ok(vec![Refusals::new(); batches.len()])
    }
}
