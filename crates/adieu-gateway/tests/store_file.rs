//! The file of a store among others: links, left-overs, removed while it is in use, made smaller.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use adieu_gateway::session::wire::{Payload, Tag, Tail};
use adieu_gateway::session::{Change, SessionId};
use adieu_gateway::store::{Backend, Disk};

/// A directory of its own for each test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("adieu-file-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        Scratch(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_others_left_under_the_name_of_a_new_store_is_neither_written_nor_used() {
    for link in [true, false] {
        let scratch = Scratch::new();
        let (victim, new) = (scratch.path("victim"), scratch.path("adieu.redb.new"));
        fs::write(&victim, "precious").unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o666)).unwrap();
        if link {
            symlink(&victim, &new).unwrap();
        } else {
            fs::hard_link(&victim, &new).unwrap();
        }
        Disk::open(&scratch.0).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        let store = fs::symlink_metadata(scratch.path("adieu.redb")).unwrap();
        assert!(store.is_file() && store.permissions().mode() & 0o777 == 0o600);
        assert!(!new.exists());
    }
}

#[test]
fn a_file_that_is_removed_or_replaced_while_it_is_in_use_is_noticed() {
    let scratch = Scratch::new();
    let file = scratch.path("adieu.redb");
    let watch = Disk::open(&scratch.0).unwrap().watch();
    assert_eq!(watch.look().unwrap(), fs::metadata(&file).unwrap().len());
    fs::rename(&file, scratch.path("kept")).unwrap();
    let lost = watch.look().unwrap_err().to_string();
    assert!(lost.contains("adieu.redb was removed"), "{lost}");
    fs::copy(scratch.path("kept"), &file).unwrap();
    let lost = watch.look().unwrap_err().to_string();
    assert!(lost.contains("was replaced"), "{lost}");
    fs::rename(scratch.path("kept"), &file).unwrap();
    watch.look().unwrap();
}

#[test]
fn a_file_that_is_mostly_free_is_made_smaller_at_the_start() {
    let scratch = Scratch::new();
    let mut disk = Disk::open(&scratch.0).unwrap();
    let id = SessionId::new([7; 16]);
    let put = |sequence| {
        let tail = Tail::of(&Payload::Text("x".repeat(64 << 10)));
        vec![Change::PutMessage { id, sequence, tag: Tag::new([1; 6]), key: None, tail }]
    };
    for sequence in 1..=600 {
        disk.commit(&[put(sequence)]).unwrap();
    }
    let kept = |disk: &Disk| disk.load().unwrap().messages.len();
    disk.close().unwrap();
    let size = || fs::metadata(scratch.path("adieu.redb")).unwrap().len();
    let full = size();
    let mut disk = Disk::open(&scratch.0).unwrap();
    assert_eq!((kept(&disk), size()), (600, full), "most of it is used");
    disk.commit(&[vec![Change::TrimMessages { id, up_to: 590, tag: Tag::default() }]]).unwrap();
    disk.close().unwrap();
    let disk = Disk::open(&scratch.0).unwrap();
    assert_eq!(kept(&disk), 10);
    let now = size();
    assert!(now < full / 4, "{now} of {full} bytes");
    disk.close().unwrap();
    assert_eq!(kept(&Disk::open(&scratch.0).unwrap()), 10);
}
