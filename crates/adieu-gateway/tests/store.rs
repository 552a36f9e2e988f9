//! The store on the disk: what was said to be committed is there, whatever happens to the process.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use adieu_gateway::session::SessionId;
use adieu_gateway::store::{Backend, Batch, Change, Contents, Disk, Memory, Store, StoreError};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

/// Where the child that is killed keeps its store.
const CHILD: &str = "ADIEU_TEST_STORE";

/// Callers of the child.
const CALLERS: u8 = 8;

/// A directory of its own for each test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("adieu-store-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn id(n: u8) -> SessionId {
    SessionId::new([n; 16])
}

fn number(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.to_be_bytes())
}

/// A message, its event and the session's row: all or none.
fn step(caller: u8, n: u64) -> Batch {
    vec![
        Change::PutSession { id: id(caller), session: number(n) },
        Change::PutMessage { id: id(caller), sequence: n, message: number(n) },
        Change::PutEvent { stream: vec![caller].into(), sequence: n, event: number(n) },
    ]
}

/// No test: what the test below starts and kills. It says each step once it is committed.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let (store, contents) = Store::start(Disk::open(Path::new(&dir)).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let store = store.clone();
            let last =
                contents.messages.range((id(caller), 0)..=(id(caller), u64::MAX)).next_back();
            let first = last.map_or(1, |((_, n), _)| n + 1);
            callers.spawn(async move {
                for n in first.. {
                    store.commit(step(caller, n)).await.unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "\ncommitted {caller} {n}.").unwrap();
                    out.flush().unwrap();
                }
            });
        }
        callers.join_all().await;
    });
}

/// Lets a child commit for a while, kills it, and gives the highest step of each caller that it
/// had said.
fn commit_and_kill(dir: &Path, after: Duration) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = vec![0; usize::from(CALLERS)];
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // The time begins with the first step: a child that is killed before that proves nothing.
    let mut first: Option<Instant> = None;
    while first.is_none_or(|first| first.elapsed() < after) {
        let line = lines.next().expect("the child goes on until it is killed");
        if let Some((caller, n)) = step_said(&line) {
            said[caller] = n;
            first.get_or_insert_with(Instant::now);
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said and we had not read; its last line may be cut.
    for (caller, n) in lines.filter_map(|line| step_said(&line)) {
        said[caller] = said[caller].max(n);
    }
    said
}

/// A caller and the step that it says is committed.
fn step_said(line: &str) -> Option<(usize, u64)> {
    let (caller, n) = line.strip_prefix("committed ")?.strip_suffix('.')?.split_once(' ')?;
    Some((caller.parse().ok()?, n.parse().ok()?))
}

#[test]
fn what_was_said_to_be_committed_survives_kill_9_and_nothing_is_half_there() {
    let scratch = Scratch::new("killed");
    let seed = std::process::id();
    println!("seed {seed}");
    let mut committed = 0;
    for round in 0..20u32 {
        let after = Duration::from_millis(u64::from(seed.wrapping_mul(round + 7) % 60));
        let said = commit_and_kill(&scratch.0, after);
        let contents = Disk::open(&scratch.0).unwrap().load().unwrap();
        for caller in 0..CALLERS {
            let of = (id(caller), 0)..=(id(caller), u64::MAX);
            let messages: Vec<u64> = contents.messages.range(of).map(|((_, n), _)| *n).collect();
            let stream = Bytes::from(vec![caller]);
            let of = (stream.clone(), 0)..=(stream, u64::MAX);
            let events: Vec<u64> = contents.events.range(of).map(|((_, n), _)| *n).collect();
            let last = messages.len() as u64;
            assert!(messages.iter().copied().eq(1..=last), "round {round}: {messages:?}");
            assert_eq!(events, messages, "round {round}: a batch is half there");
            assert_eq!(
                contents.sessions.get(&id(caller)).cloned(),
                (last > 0).then(|| number(last))
            );
            let said = said[usize::from(caller)];
            assert!(last >= said, "round {round}: {said} was said, {last} is there");
        }
        committed = contents.messages.len();
    }
    println!("20 rounds, {committed} batches committed");
}

#[test]
fn one_process_at_a_time_has_it_open() {
    let scratch = Scratch::new("twice");
    let _open = Disk::open(&scratch.0).unwrap();
    let error = Disk::open(&scratch.0).unwrap_err();
    assert_eq!(error, StoreError::InUse(scratch.0.clone()));
    assert!(error.to_string().contains("stop that one first"), "{error}");
}

#[test]
fn a_damaged_file_is_told_and_left_as_it_is() {
    let scratch = Scratch::new("damaged");
    std::fs::create_dir_all(&scratch.0).unwrap();
    let file = scratch.0.join("adieu.redb");
    std::fs::write(&file, "a letter to my aunt, ".repeat(1000)).unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = Disk::open(&scratch.0).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(..)), "{error}");
    assert!(error.to_string().contains("adieu.redb"), "{error}");
    assert!(std::fs::read(&file).unwrap() == before, "it was changed");
}

#[test]
fn a_file_of_a_later_version_is_told_and_left_as_it_is() {
    let scratch = Scratch::new("newer");
    let mut disk = Disk::open(&scratch.0).unwrap();
    // As a later version would have left it.
    let format =
        Change::PutMeta { name: "format".into(), value: 2u32.to_be_bytes().to_vec().into() };
    disk.commit(&[vec![format]]).unwrap();
    drop(disk);
    let error = Disk::open(&scratch.0).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let scratch = Scratch::new("file");
    std::fs::write(&scratch.0, "a file where a directory should be").unwrap();
    let error = Disk::open(&scratch.0).unwrap_err();
    assert!(matches!(error, StoreError::Unusable(..)), "{error}");
    std::fs::remove_file(&scratch.0).unwrap();
}

#[test]
fn many_callers_share_a_commit() {
    let scratch = Scratch::new("many");
    let (store, _) = Store::start(Disk::open(&scratch.0).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (callers, steps) = (64u8, 50u64);
    let started = Instant::now();
    runtime.block_on(async {
        let mut all = tokio::task::JoinSet::new();
        for caller in 0..callers {
            let store = store.clone();
            all.spawn(async move {
                for n in 1..=steps {
                    store.commit(step(caller, n)).await.unwrap();
                }
            });
        }
        all.join_all().await;
    });
    let batches = f64::from(callers) * steps as f64;
    let rate = batches / started.elapsed().as_secs_f64();
    println!("{rate:.0} durable batches a second from {callers} callers, {:.0} rows", 3.0 * rate);
    drop(store);
}

fn change() -> impl Strategy<Value = Change> {
    let (session, sequence) = (0..3u8, 0..5u64);
    let bytes = vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    (0..7u8, session, sequence, bytes).prop_map(|(what, session, sequence, bytes)| {
        let (id, stream) = (id(session), Bytes::from(vec![session; usize::from(session)]));
        match what {
            0 => Change::PutSession { id, session: bytes },
            1 => Change::DeleteSession { id },
            2 => Change::PutMessage { id, sequence, message: bytes },
            3 => Change::TrimMessages { id, up_to: sequence },
            4 => Change::PutEvent { stream, sequence, event: bytes },
            5 => Change::DeleteEvent { stream, sequence },
            _ => Change::PutMeta { name: format!("name {sequence}"), value: bytes },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn the_disk_holds_what_memory_does(batches in vec(vec(change(), 0..12), 0..8)) {
        let scratch = Scratch::new("alike");
        let mut memory = Memory::default();
        {
            let mut disk = Disk::open(&scratch.0).unwrap();
            for group in batches.chunks(2) {
                memory.commit(group).unwrap();
                disk.commit(group).unwrap();
            }
        }
        let contents: Contents = Disk::open(&scratch.0).unwrap().load().unwrap();
        prop_assert_eq!(contents, memory.load().unwrap());
    }
}
