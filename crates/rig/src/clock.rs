//! A wall clock of a process's own, which a test turns.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library that is put in front of libc's.
const SOURCE: &str = include_str!("clock.c");

#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    path: PathBuf,
    ahead: File,
}

impl Clock {
    /// Makes the library in this directory. `cc` is there wherever Rust programs are linked.
    pub(crate) fn make(directory: &Path) -> Self {
        let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
        std::fs::write(&source, SOURCE).expect("the source of the clock");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]);
        let output = cc.output().unwrap_or_else(|error| panic!("`cc` cannot be started: {error}"));
        assert!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
        let path = directory.join("clock");
        let ahead = OpenOptions::new().create(true).truncate(true).write(true).open(&path);
        let clock = Clock { library, path, ahead: ahead.expect("the file of the clock") };
        clock.set(0);
        clock
    }

    /// Has a program that is about to start use it.
    pub(crate) fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("RIG_CLOCK", &self.path);
    }

    /// The clock is so many milliseconds ahead of the machine's, from now on.
    pub(crate) fn set(&self, ahead: i64) {
        // Eight bytes at once: no reader sees half of a number.
        self.ahead.write_all_at(&ahead.to_ne_bytes(), 0).expect("the clock is set");
    }
}
