//! What redb writes while it is not sure yet that the store is good: it is kept in memory, so that
//! a file that cannot be used stays as it is, to the byte.

use std::io;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::layout::behind;

/// What redb thinks was done to a file. It is little when it opens one: it writes its header, some
/// pages, and syncs in between.
#[derive(Debug)]
pub(super) struct WriteBack {
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

impl WriteBack {
    pub(super) fn new(there: u64) -> Self {
        WriteBack { there, len: there, steps: Vec::new() }
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

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};

    use testkit::Random;

    use super::*;
    use crate::store::layout::PAGE;

    fn file_of(bytes: &[u8]) -> (FileBackend, File) {
        let name =
            format!("adieu-write-back-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        // It lives as long as it is open.
        std::fs::remove_file(path).unwrap();
        let backend = FileBackend::new(file.try_clone().unwrap()).unwrap();
        backend.write(0, bytes).unwrap();
        (backend, file)
    }

    fn numbers(random: &mut Random, most: u64) -> Vec<u8> {
        (0..=random.below(most)).map(|_| random.next() as u8).collect()
    }

    #[test]
    fn what_is_held_back_reads_as_if_it_were_there_and_then_is() {
        let mut random = Random::new(7);
        for _ in 0..50 {
            let mut model = numbers(&mut random, 300);
            let (backend, file) = file_of(&[&vec![b'-'; PAGE as usize], &*model].concat());
            let mut write_back = WriteBack::new(model.len() as u64);
            for _ in 0..20 {
                if random.once_in(4) {
                    let len = random.below(400);
                    model.resize(len as usize, 0);
                    write_back.set_len(len);
                } else {
                    let (at, data) = (random.below(350) as usize, numbers(&mut random, 60));
                    model.resize(model.len().max(at + data.len()), 0);
                    model[at..][..data.len()].copy_from_slice(&data);
                    write_back.write(at as u64, &data);
                }
                write_back.sync();
                let from = random.below(model.len() as u64 + 1) as usize;
                let mut part = vec![1; random.below((model.len() - from) as u64 + 1) as usize];
                write_back.read(&backend, from as u64, &mut part).unwrap();
                assert_eq!(part, model[from..][..part.len()]);
                let beyond =
                    write_back.read(&backend, from as u64, &mut vec![0; model.len() - from + 1]);
                assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            }
            assert_eq!(write_back.len(), model.len() as u64);
            write_back.write_to(&backend).unwrap();
            let mut all = vec![0; model.len()];
            backend.read(PAGE, &mut all).unwrap();
            assert_eq!(all, model);
            assert_eq!(file.metadata().unwrap().len(), PAGE + model.len() as u64);
        }
    }
}
