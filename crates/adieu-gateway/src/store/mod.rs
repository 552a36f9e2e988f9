//! What outlives the process: sessions, unacknowledged messages, undelivered events. A batch of
//! changes is committed whole or not at all, and is on the disk when that is said.

mod directory;
mod disk;
mod error;
mod events;
mod file;
mod layout;
mod memory;
mod payloads;
mod queue;
mod row;
mod table;
mod watch;
mod write_back;
mod writer;

pub use disk::Disk;
pub use error::StoreError;
pub use memory::Memory;
pub use watch::{StoreLost, StoreWatch};
pub use writer::Store;

use crate::session::fence::Refused;
use crate::session::{Batch, Contents, SessionId};

/// Sessions whose changes in a batch were not made, and why.
pub type Refusals = Vec<(SessionId, Refused)>;

/// Where the changes go. One thread calls it ([`Store`]).
pub trait Backend: Send + 'static {
    /// All that is there, at the start.
    ///
    /// # Errors
    /// If it cannot be read.
    fn load(&self) -> Result<Contents, StoreError>;

    /// Whether what is committed is there for the next process.
    fn outlives_the_process(&self) -> bool {
        true
    }

    /// Makes these batches durable, in order and in one step; says for each what of it was
    /// refused ([`Change::Write`](crate::session::Change::Write)).
    ///
    /// # Errors
    /// If it is not sure that they are. Nothing may be committed after that.
    fn commit(&mut self, batches: &[Batch]) -> Result<Vec<Refusals>, StoreError>;

    /// Lets go of it: when this returns, another process can open it.
    ///
    /// # Errors
    /// If it was not closed as it should be. What was committed is durable none the less.
    fn close(self) -> Result<(), StoreError>
    where
        Self: Sized,
    {
        Ok(())
    }
}
