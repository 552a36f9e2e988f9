//! The store on the disk: what was said to be committed is there, whatever happens to the process.

mod alike;
mod fences;
mod to_many;
mod values;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adieu_gateway::session::wire::Tag;
use adieu_gateway::session::{Batch, Change, Contents};
use adieu_gateway::store::{Backend, Disk, Store, StoreError};
use bytes::Bytes;
use testkit::Random;
use values::{Kept, id, number, put_event, put_message, put_session};

/// Where a child keeps its store.
const CHILD: &str = "ADIEU_TEST_STORE";

/// Callers of the child.
const CALLERS: u8 = 8;

/// A directory of its own for each test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("adieu-store-{}-{name}-{n}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&dir);
        Scratch(dir)
    }
}

impl Scratch {
    fn file(&self) -> PathBuf {
        self.0.join("adieu.redb")
    }

    /// A directory that has this store file.
    fn with(name: &str, bytes: &[u8]) -> Self {
        let scratch = Scratch::new(name);
        std::fs::create_dir_all(&scratch.0).unwrap();
        std::fs::write(scratch.file(), bytes).unwrap();
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Of this run, or as told.
fn random() -> Random {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let told = std::env::var("ADIEU_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = told.unwrap_or(since.as_nanos() as u64);
    println!("ADIEU_SEED={seed}");
    Random::new(seed)
}

/// A message, its event and the session's row: all or none.
fn step(caller: u8, n: u64) -> Batch {
    vec![
        put_session(id(caller), n),
        put_message(id(caller), n, &number(n)),
        put_event(vec![caller].into(), n, &number(n)),
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

/// No test: a second process, which opens the store and says what came of it.
#[test]
fn child_that_opens_it() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let opened = Disk::open(Path::new(&dir)).map(|_| ());
    println!("\n{}", opened.map_or_else(|error| error.to_string(), |()| "it opened".to_owned()));
}

/// This test binary again, as a child that does what this function says.
fn child(what: &str, dir: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", what, "--nocapture"]).env(CHILD, dir);
    child.stdout(Stdio::piped()).stderr(Stdio::null());
    child
}

/// What a second process says that tries to open it.
fn opened_by_another(dir: &Path) -> String {
    let said = child("child_that_opens_it", dir).output().unwrap();
    String::from_utf8(said.stdout).unwrap()
}

/// Lets a child commit for a while, kills it, and gives the highest step of each caller that it
/// had said.
fn commit_and_kill(dir: &Path, after: Duration) -> Vec<u64> {
    let mut child = child("child_that_commits_until_it_is_killed", dir).spawn().unwrap();
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
    let mut random = random();
    let mut committed = 0;
    for round in 0..20u32 {
        let after = Duration::from_micros(random.below(60_000));
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
            let row = contents.sessions.get(&id(caller)).map(|(_, counters)| counters.received);
            assert_eq!(row, (last > 0).then_some(last));
            let said = said[usize::from(caller)];
            assert!(last >= said, "round {round}: {said} was said, {last} is there");
        }
        committed = contents.messages.len();
    }
    println!("20 rounds, {committed} batches committed");
}

#[test]
fn a_first_start_that_was_killed_does_not_block_the_next() {
    let mut random = random();
    let mut made = 0;
    for _ in 0..20 {
        let scratch = Scratch::new("first");
        let mut child = child("child_that_opens_it", &scratch.0).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        made += u32::from(scratch.file().exists());
        assert_eq!(Disk::open(&scratch.0).unwrap().load().unwrap(), Contents::default());
    }
    println!("{made} of 20 had made it");
    let scratch = Scratch::new("half");
    std::fs::create_dir_all(&scratch.0).unwrap();
    std::fs::write(scratch.0.join("adieu.redb.new"), "half of a store").unwrap();
    assert_eq!(Disk::open(&scratch.0).unwrap().load().unwrap(), Contents::default());
    let left: Vec<_> = std::fs::read_dir(&scratch.0).unwrap().map(|of| of.unwrap()).collect();
    assert_eq!(left.len(), 1, "only the store is left: {left:?}");
}

#[test]
fn one_process_at_a_time_has_it_open() {
    let scratch = Scratch::new("twice");
    let (store, _) = Store::start(Disk::open(&scratch.0).unwrap()).unwrap();
    let error = Disk::open(&scratch.0).unwrap_err();
    assert_eq!(error, StoreError::InUse(scratch.0.clone()));
    assert!(error.to_string().contains("stop that one first"), "{error}");
    let said = opened_by_another(&scratch.0);
    assert!(said.contains(&error.to_string()), "{said}");
    // Once it is closed the other one has it, though a way to it is left here.
    let left = store.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.commit(step(1, 1))).unwrap();
    runtime.block_on(store.close()).unwrap();
    let said = opened_by_another(&scratch.0);
    assert!(said.contains("it opened"), "{said}");
    assert_eq!(runtime.block_on(left.commit(step(1, 2))), Err(StoreError::Closed));
    let contents = Disk::open(&scratch.0).unwrap().load().unwrap();
    assert_eq!(contents.messages.len(), 1);
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("owner");
    let dir = scratch.0.join("made/too");
    Disk::open(&dir).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.join("adieu.redb")), 0o600);
    for made in [&*dir, dir.parent().unwrap(), &scratch.0] {
        assert_eq!(mode(made), 0o700, "{}", made.display());
    }
    // A directory that somebody made keeps the mode that was chosen for it.
    let chosen = Scratch::new("chosen");
    std::fs::create_dir(&chosen.0).unwrap();
    std::fs::set_permissions(&chosen.0, PermissionsExt::from_mode(0o750)).unwrap();
    Disk::open(&chosen.0).unwrap();
    assert_eq!(mode(&chosen.0), 0o750);
}

/// A store file with something in each table and more than one page of most, as it is once it was
/// closed and as it is left by `kill -9`, and what is in both.
fn images() -> ([Vec<u8>; 2], Contents) {
    let scratch = Scratch::new("images");
    let (mut disk, mut memory) = (Disk::open(&scratch.0).unwrap(), Kept::default());
    for n in 1..=60u64 {
        let large = Bytes::from(vec![n as u8; 40 * n as usize]);
        let mut batch = step((n % 4) as u8, n);
        batch.push(put_message(id(9), n, &large));
        batch.push(Change::PutMeta { name: format!("name {}", n % 20), value: number(n) });
        let (id, up_to) = (id((n % 4) as u8), n.saturating_sub(20));
        batch.push(Change::TrimMessages { id, up_to, tag: Tag::default() });
        memory.commit(std::slice::from_ref(&batch));
        disk.commit(&[batch]).unwrap();
    }
    // What a process wrote is there if it is killed: what is in the file now is what is left.
    let killed = std::fs::read(scratch.file()).unwrap();
    disk.close().unwrap();
    ([std::fs::read(scratch.file()).unwrap(), killed], memory.0.clone())
}

/// Opens and loads a store of these bytes: what is in it is right, or an error is told and the file
/// is as it was. Says whether it loaded.
fn right_or_told(bytes: &[u8], right: &Contents, what: &str) -> bool {
    let scratch = Scratch::with("harmed", bytes);
    let loaded = Disk::open(&scratch.0).and_then(|disk| disk.load());
    assert!(std::fs::read(scratch.file()).unwrap() == bytes, "{what}: it was changed");
    match &loaded {
        Ok(contents) => assert!(contents == right, "{what}: loaded something else"),
        Err(StoreError::Damaged(..)) => {}
        Err(error) => panic!("{what}: {error}"),
    }
    loaded.is_ok()
}

#[test]
fn a_damaged_bit_is_told_or_harmless() {
    let (images, right) = images();
    let mut random = random();
    for (image, kind) in images.iter().zip(["closed", "killed"]) {
        assert!(right_or_told(image, &right, kind));
        let mut harmless = 0;
        let flips = 400;
        for n in 0..flips {
            // All that is beside the tables is in the first pages.
            let bytes = if n % 4 == 0 { 2 * 4096 } else { image.len() as u64 };
            let (at, bit) = (random.below(bytes) as usize, random.below(8));
            let mut harmed = image.clone();
            harmed[at] ^= 1 << bit;
            let what = format!("{kind}, bit {bit} of byte {at}");
            harmless += u32::from(right_or_told(&harmed, &right, &what));
        }
        println!("{kind}: {harmless} of {flips} flips changed nothing that matters");
    }
}

#[test]
fn damaged_bits_of_the_headers_are_told_or_harmless() {
    let (images, right) = images();
    // Ours has 24 bytes, and 16 in its second sector; redb's has 64, and 256 for its two commits.
    let bytes: Vec<usize> = (0..24).chain(512..528).chain(4096..4096 + 320).collect();
    let mut random = random();
    for (image, kind) in images.iter().zip(["closed", "killed"]) {
        for at in &bytes {
            // The checksums of the commits take all bits alike: one of each byte will do.
            let drawn = random.below(8);
            for bit in if *at < 4096 + 64 { 0..8 } else { drawn..drawn + 1 } {
                let mut harmed = image.clone();
                harmed[*at] ^= 1 << bit;
                right_or_told(&harmed, &right, &format!("{kind}, bit {bit} of byte {at}"));
            }
        }
    }
}

#[test]
fn a_file_that_was_cut_off_is_told_and_left_as_it_is() {
    let (images, right) = images();
    let mut random = random();
    for (image, kind) in images.iter().zip(["closed", "killed"]) {
        let len = image.len() as u64;
        let pages = (0..20).map(|_| random.below(len / 4096) * 4096).collect::<Vec<_>>();
        let any = (0..20).map(|_| random.below(len));
        for len in
            [0, 1, 15, 16, 600, 4095, 4096, 4097, len - 1].into_iter().chain(pages).chain(any)
        {
            right_or_told(&image[..len as usize], &right, &format!("{kind}, cut at {len}"));
        }
    }
}

#[test]
fn a_file_that_is_not_ours_is_told_and_left_as_it_is() {
    let elsewhere = Scratch::new("elsewhere");
    std::fs::create_dir_all(&elsewhere.0).unwrap();
    let theirs = elsewhere.0.join("theirs");
    let database = redb::Database::create(&theirs).unwrap();
    let write = database.begin_write().unwrap();
    let table: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("theirs");
    write.open_table(table).unwrap().insert("one", 1).unwrap();
    write.commit().unwrap();
    drop(database);
    let files = [
        vec![],
        b"\n".to_vec(),
        vec![0; 10_000],
        "a letter to my aunt, ".repeat(1000).into(),
        std::fs::read(theirs).unwrap(),
    ];
    for (n, before) in files.iter().enumerate() {
        let scratch = Scratch::with("theirs", before);
        let error = Disk::open(&scratch.0).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(..)), "{n}: {error}");
        assert!(error.to_string().contains("adieu.redb"), "{n}: {error}");
        assert!(&std::fs::read(scratch.file()).unwrap() == before, "{n}: it was changed");
    }
}

#[test]
fn a_file_of_a_later_version_is_told_and_left_as_it_is() {
    let (images, _) = images();
    for mut later in images {
        later[16..20].copy_from_slice(&4u32.to_be_bytes());
        later[20..24].copy_from_slice(&(!4u32).to_be_bytes());
        // Whatever it has behind that.
        later[4096 + 9] ^= 0xff;
        let scratch = Scratch::with("later", &later);
        let error = Disk::open(&scratch.0).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 4, known: 3, .. }), "{error}");
        assert!(std::fs::read(scratch.file()).unwrap() == later, "it was changed");
    }
}

#[test]
fn a_file_of_an_earlier_version_is_told_and_left_as_it_is() {
    let (images, _) = images();
    for mut earlier in images {
        earlier[16..20].copy_from_slice(&1u32.to_be_bytes());
        earlier[20..24].copy_from_slice(&(!1u32).to_be_bytes());
        let scratch = Scratch::with("earlier", &earlier);
        let error = Disk::open(&scratch.0).unwrap_err();
        assert!(matches!(error, StoreError::Older { found: 1, known: 3, .. }), "{error}");
        assert!(std::fs::read(scratch.file()).unwrap() == earlier, "it was changed");
    }
}

#[test]
fn no_change_reaches_what_the_store_says_of_itself() {
    let scratch = Scratch::new("itself");
    let mut disk = Disk::open(&scratch.0).unwrap();
    let names = ["format", "commits", "store", "meta", ""];
    let put = names.map(|name| Change::PutMeta { name: name.into(), value: number(u64::MAX) });
    disk.commit(&[put.to_vec()]).unwrap();
    disk.close().unwrap();
    let contents = Disk::open(&scratch.0).unwrap().load().unwrap();
    assert_eq!(contents.meta.len(), names.len());
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

/// A file system of its own, of so many KiB; none if this process may not mount one.
struct Small(Scratch);

impl Small {
    fn mount(name: &str, size: u32) -> Option<Self> {
        let scratch = Scratch::new(name);
        std::fs::create_dir_all(&scratch.0).unwrap();
        let small = Small(scratch);
        if small.sized(size, "rw") {
            return Some(small);
        }
        println!("skipped: mounting a small tmpfs is not permitted here");
        None
    }

    fn sized(&self, kib: u32, option: &str) -> bool {
        let option = format!("{option},size={kib}k");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(&self.0.0);
        mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0.0).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_disk_that_is_full_is_told_and_what_was_committed_is_there() {
    let Some(small) = Small::mount("full", 4096) else { return };
    let (store, _) = Store::start(Disk::open(&small.0.0).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let page = |n: u64| {
        let mut batch = step(1, n);
        let message = Bytes::from(vec![n as u8; 10_000]);
        batch.push(put_message(id(2), n, &message));
        batch
    };
    let mut memory = Kept::default();
    let (error, failed) = (1..1000)
        .find_map(|n| match runtime.block_on(store.commit(page(n))) {
            Ok(_) => {
                memory.commit(&[page(n)]);
                None
            }
            Err(error) => Some((error, n)),
        })
        .expect("4 MiB hold no 10 MB");
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(failed > 10, "{failed}");
    assert_eq!(runtime.block_on(store.commit(step(1, failed + 1))), Err(error.clone()));
    assert_eq!(runtime.block_on(store.close()), Err(error));
    // All that was said to be committed, and of the one that failed all or nothing.
    let disk = Disk::open(&small.0.0).unwrap();
    let contents = disk.load().unwrap();
    let without = memory.0.clone();
    memory.commit(&[page(failed)]);
    assert!(contents == without || contents == memory.0.clone());
    drop(disk);
    // It goes on where there is room again.
    assert!(small.sized(16_384, "remount"));
    let mut disk = Disk::open(&small.0.0).unwrap();
    disk.commit(&[page(failed), page(failed + 1)]).unwrap();
    memory.commit(&[page(failed + 1)]);
    disk.close().unwrap();
    assert_eq!(Disk::open(&small.0.0).unwrap().load().unwrap(), memory.0.clone());
}

#[test]
fn a_first_start_on_a_full_disk_is_told_and_the_next_one_succeeds() {
    let Some(small) = Small::mount("full-at-first", 16) else { return };
    let error = Disk::open(&small.0.0).unwrap_err();
    assert!(matches!(error, StoreError::Unusable(..)), "{error}");
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(small.sized(16_384, "remount"));
    assert_eq!(Disk::open(&small.0.0).unwrap().load().unwrap(), Contents::default());
}

/// No test of right or wrong: `cargo test --release -- --ignored --nocapture` says what it costs.
#[test]
#[ignore = "it takes some seconds and measures"]
fn what_opening_a_store_of_100_mb_costs() {
    let scratch = Scratch::new("large");
    let mut disk = Disk::open(&scratch.0).unwrap();
    for group in 0..100u64 {
        let put = |n: u64| put_message(id(group as u8), n, &vec![n as u8; 1000].into());
        disk.commit(&[(0..1000).map(put).collect()]).unwrap();
    }
    disk.close().unwrap();
    let size = std::fs::metadata(scratch.file()).unwrap().len();
    for _ in 0..5 {
        let started = Instant::now();
        let disk = Disk::open(&scratch.0).unwrap();
        let opened = started.elapsed();
        let messages = disk.load().unwrap().messages.len();
        let all = started.elapsed();
        println!("{size} bytes: opened {opened:?}, with {messages} messages loaded {all:?}");
    }
}
