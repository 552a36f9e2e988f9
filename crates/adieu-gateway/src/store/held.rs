//! What redb writes while it is not sure yet that the store is good: it is kept in memory, so that
//! a file that cannot be used stays as it is, to the byte.

use std::io;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::file::behind;

/// What was done to a file that has not been done. redb does little when it opens one: it writes its
/// header, some pages and syncs in between.
#[derive(Debug)]
pub(super) struct Held {
    /// What the file has, from where redb's begins.
    there: u64,
    /// What redb thinks that it has.
    len: u64,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

impl Held {
    pub(super) fn new(there: u64) -> Self {
        Held { there, len: there, steps: Vec::new() }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.len = len;
        self.steps.push(Step::SetLen(len));
    }

    pub(super) fn sync(&mut self) {
        self.steps.push(Step::Sync);
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        self.len = self.len.max(offset.saturating_add(data.len() as u64));
        self.steps.push(Step::Write(offset, data.to_vec()));
    }

    /// Reads what would be there.
    pub(super) fn read(&self, file: &FileBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.fill(0);
        let there = self.there.saturating_sub(offset).min(out.len() as u64) as usize;
        file.read(behind(offset)?, &mut out[..there])?;
        self.steps.iter().for_each(|step| step.show(offset, out));
        Ok(())
    }

    /// Does it all, in order: a process that is killed meanwhile leaves what redb recovers from.
    pub(super) fn write_to(self, file: &FileBackend) -> io::Result<()> {
        for step in self.steps {
            match step {
                Step::Write(offset, data) => file.write(behind(offset)?, &data)?,
                Step::SetLen(len) => file.set_len(behind(len)?)?,
                Step::Sync => file.sync_data()?,
            }
        }
        Ok(())
    }
}

impl Step {
    /// Changes what was read from this offset as the step would have changed it.
    fn show(&self, offset: u64, out: &mut [u8]) {
        match self {
            Step::Write(start, data) => {
                let from = (*start).max(offset);
                let until = (start + data.len() as u64).min(offset + out.len() as u64);
                if from < until {
                    let (to, of) = ((from - offset) as usize, (from - start) as usize);
                    let len = (until - from) as usize;
                    out[to..][..len].copy_from_slice(&data[of..][..len]);
                }
            }
            Step::SetLen(len) => {
                let kept = len.saturating_sub(offset).min(out.len() as u64) as usize;
                out[kept..].fill(0);
            }
            Step::Sync => {}
        }
    }
}
