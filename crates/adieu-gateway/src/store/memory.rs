//! A store in memory.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Backend, StoreError};
use crate::session::{Batch, Contents};

/// A store in memory, for tests and for a gateway that need not survive. A clone shares it.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Contents>>);

impl Backend for Memory {
    fn outlives_the_process(&self) -> bool {
        false
    }

    fn load(&self) -> Result<Contents, StoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let mut contents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        batches.iter().flatten().cloned().for_each(|change| contents.apply(change));
        Ok(())
    }
}
