//! What the functions cost the engine. The long form: `cargo xtask engine-cost`, which keeps
//! `conformance/engine-cost.txt`.

use std::time::{Duration, Instant};

use adieu_engine::{Claimed, Engine, Taken, Whose};
use adieu_session::command::Purpose;
use adieu_session::event::session_stream;
use adieu_session::{Batch, Change, SLOTS, Slot};
use futures_util::future::join_all;
use testkit::{Random, figure};

use crate::common::{A, B, LONG, NOW, Owned, SOON, Server, chance, claim, next_of};

/// Calls that are under way at a time, as of a node with much to do.
const AT_ONCE: usize = 64;

/// Bytes of a message.
const TEXT: usize = 200;

/// What the main thread of the server has used of its core, in microseconds, and its memory.
struct Meter<'s> {
    server: &'s Server,
    cpu: f64,
    memory: f64,
    began: Instant,
}

impl<'s> Meter<'s> {
    fn start(server: &'s Server) -> Self {
        let (cpu, memory) = (cpu(server), info(server, "memory", "used_memory"));
        Meter { server, cpu, memory, began: Instant::now() }
    }

    /// Microseconds of the main thread for each of so many.
    fn each(&self, count: usize) -> f64 {
        (cpu(self.server) - self.cpu) / count as f64
    }

    fn bytes_each(&self, count: usize) -> f64 {
        (info(self.server, "memory", "used_memory") - self.memory) / count as f64
    }

    fn lasted(&self) -> Duration {
        self.began.elapsed()
    }
}

fn info(server: &Server, section: &str, name: &str) -> f64 {
    let text: String = server.run(&["INFO", section]);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

fn cpu(server: &Server) -> f64 {
    let of = |name| info(server, "cpu", name);
    1e6 * (of("used_cpu_user_main_thread") + of("used_cpu_sys_main_thread"))
}

/// Makes a write of each of these sessions.
async fn write_all(
    engine: &Engine,
    sessions: &mut [Owned],
    random: &mut Random,
    mut changes: impl FnMut(&mut Owned, u64) -> Vec<Change>,
) {
    for some in sessions.chunks_mut(AT_ONCE) {
        let mut batch = Batch::new();
        for one in some.iter_mut() {
            let salt = random.next();
            let changes = changes(one, salt);
            let write = one.batch(changes, salt);
            one.fence = next_of(&write);
            batch.extend(write);
        }
        let me = some[0].me;
        let committed = engine.write(me, &batch, NOW).await.expect("an answer");
        assert_eq!(committed.refused, []);
    }
}

async fn begin(
    server: &Server,
    count: usize,
    users: bool,
    random: &mut Random,
) -> (Engine, Vec<Owned>) {
    let engine = server.loaded().await;
    let user = |n: usize| users.then(|| format!("user{n}"));
    let mut all: Vec<_> = (0..count).map(|n| Owned::new(A, user(n).as_deref(), random)).collect();
    write_all(&engine, &mut all, random, |one, salt| {
        let mut changes = one.beginning(salt);
        // Its events were taken, and its user's.
        changes.retain(|change| !matches!(change, Change::PutEvent { .. }));
        for change in &mut changes {
            if let Change::Join { event, .. } = change {
                *event = None;
            }
        }
        one.counters.events = 0;
        changes
    })
    .await;
    (engine, all)
}

async fn resume_all(engine: &Engine, sessions: &mut [Owned]) -> Vec<Duration> {
    let mut took = Vec::new();
    for some in sessions.chunks_mut(AT_ONCE) {
        let claims = some.iter_mut().map(|one| async move {
            let began = Instant::now();
            let claimed = claim(engine, one.me, one.id, &one.resumption()).await;
            let Ok(Claimed::Owner(snapshot, after)) = claimed else { panic!("{claimed:?}") };
            *one = Owned::given(one.me, *snapshot, Purpose::Attach(0, after));
            began.elapsed()
        });
        took.extend(join_all(claims).await);
    }
    took
}

fn percentile(took: &mut [Duration], percent: usize) -> Duration {
    took.sort_unstable();
    took[(took.len() * percent / 100).min(took.len() - 1)]
}

/// Whether this is the long form: it takes minutes.
fn is_asked() -> bool {
    std::env::var("ADIEU_LONG_FORM").is_ok_and(|form| form == "engine-cost")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_refresh_and_a_message_cost() {
    if !is_asked() {
        return;
    }
    let (server, mut random) = (Server::kept(), chance());
    let (engine, mut all) = begin(&server, 20_000, true, &mut random).await;
    let meter = Meter::start(&server);
    write_all(&engine, &mut all, &mut random, |one, _| {
        one.detach(LONG);
        vec![one.put()]
    })
    .await;
    let detach = meter.each(all.len());
    let meter = Meter::start(&server);
    let mut took = resume_all(&engine, &mut all).await;
    let resume = meter.each(all.len());
    let (p50, p99) = (percentile(&mut took, 50), percentile(&mut took, 99));
    let both = detach + resume;
    figure(
        "a refresh",
        &format!(
            "{both:.0} us: detach {detach:.0}, claim {resume:.0} (p50 {p50:.1?}, p99 {p99:.1?})"
        ),
    );
    let text = "x".repeat(TEXT);
    let meter = Meter::start(&server);
    let mut places = Vec::new();
    for some in all.chunks_mut(AT_ONCE) {
        let mut batch = Batch::new();
        for one in some.iter_mut() {
            let salt = random.next();
            let changes = vec![one.says(&text, salt), one.count()];
            let write = one.batch(changes, salt);
            one.fence = next_of(&write);
            batch.extend(write);
        }
        places.extend(engine.write(A, &batch, NOW).await.expect("an answer").told);
    }
    let commit = meter.each(all.len());
    assert!(places.iter().all(|told| told.whose == Whose::New));
    let meter = Meter::start(&server);
    for some in places.chunks(AT_ONCE) {
        let taken: Vec<_> = some
            .iter()
            .map(|told| Taken {
                stream: told.stream.clone(),
                slot: told.event.session_id.slot(),
                events: vec![(told.place, told.event.id.clone())],
                more_behind: Some(told.place),
            })
            .collect();
        let answers = engine.taken(A, &taken, 32).await;
        assert!(answers.into_iter().all(|answer| answer.is_ok_and(|more| more.is_empty())));
    }
    let taken = meter.each(all.len());
    let both = commit + taken;
    figure("a message", &format!("{both:.0} us: commit {commit:.0}, taken {taken:.0}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_idle_session_takes() {
    if !is_asked() {
        return;
    }
    for users in [false, true] {
        let (server, mut random) = (Server::kept(), chance());
        let engine = server.loaded().await;
        engine.load_functions().await.unwrap();
        let meter = Meter::start(&server);
        let count = 300_000;
        let (_, all) = begin(&server, count, users, &mut random).await;
        let what = if users { "with a user of its own" } else { "without a user" };
        figure("an idle session", &format!("{:.0} bytes {what}", meter.bytes_each(all.len())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_and_what_many_ends_cost() {
    if !is_asked() {
        return;
    }
    const COUNT: usize = 50_000;
    let (server, mut random) = (Server::kept(), chance());
    let (engine, all) = begin(&server, COUNT, true, &mut random).await;
    let slots: Vec<Slot> = (0..SLOTS).map(Slot::new).collect();
    let (meter, mut found) = (Meter::start(&server), 0);
    for some in slots.chunks(8) {
        loop {
            let had = engine.orphan(some, A, 64, SOON).await;
            let had: Vec<_> = had.into_iter().map(|had| had.unwrap().sessions).collect();
            found += had.iter().sum::<usize>();
            if had.iter().all(|had| *had < 64) {
                break;
            }
        }
    }
    assert_eq!(found, COUNT);
    let (each, lasted) = (meter.each(COUNT), meter.lasted());
    figure(
        "50,000 sessions of a dead node have a window",
        &format!("in {lasted:.1?}, {each:.0} us each"),
    );
    // Beside that, people come back.
    let waiting = Owned::begun(&engine, B, None, &mut random).await;
    let beside = server.engine();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let resumes = tokio::spawn(async move {
        let (mut one, mut took) = (waiting, Vec::new());
        while !*stopped.borrow() {
            let began = Instant::now();
            let claimed = claim(&beside, B, one.id, &one.resumption()).await;
            let Ok(Claimed::Owner(snapshot, after)) = claimed else { panic!("{claimed:?}") };
            one = Owned::given(B, *snapshot, Purpose::Attach(0, after));
            took.push(began.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        took
    });
    let (meter, mut ended) = (Meter::start(&server), 0);
    while ended < COUNT {
        for some in slots.chunks(64) {
            let due = engine.sweep(B, some, 8, LONG).await;
            let given: Vec<_> = due.into_iter().flat_map(|due| due.unwrap().sessions).collect();
            let mut all: Vec<_> = given
                .into_iter()
                .map(|snapshot| Owned::given(B, snapshot, Purpose::Expire))
                .collect();
            ended += all.len();
            if !all.is_empty() {
                write_all(&engine, &mut all, &mut random, |one, salt| one.end(salt)).await;
            }
        }
    }
    let (each, lasted) = (meter.each(COUNT), meter.lasted());
    stop.send_replace(true);
    let mut took = resumes.await.unwrap();
    let (p50, p99) = (percentile(&mut took, 50), percentile(&mut took, 99));
    let left: i64 = server.run(&["EVAL", "return #redis.call('KEYS', 'adieu{*}s:*')", "0"]);
    assert_eq!(left, 1, "all are over but the one that is resumed");
    figure(
        "50,000 ends with their events",
        &format!(
            "in {lasted:.1?}, {each:.0} us each; beside it a resume takes p50 {p50:.1?}, p99 \
             {p99:.1?}"
        ),
    );
    assert!(all.iter().all(|one| session_stream(one.id).len() == 17));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_a_resume_takes_beside_ten_thousand_commits_a_second() {
    if !is_asked() {
        return;
    }
    let (server, mut random) = (Server::kept(), chance());
    let (engine, mut all) = begin(&server, 2_000, true, &mut random).await;
    let busy = engine.clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let commits = tokio::spawn(async move {
        let (began, mut made) = (Instant::now(), 0_usize);
        while !*stopped.borrow() {
            write_all(&busy, &mut all[..AT_ONCE], &mut random, |one, _| vec![one.count()]).await;
            made += AT_ONCE;
            let due = Duration::from_micros(100 * made as u64);
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        }
        made as f64 / began.elapsed().as_secs_f64()
    });
    let (beside, mut random) = (server.engine(), chance().fork(1));
    let mut one = Owned::begun(&beside, B, None, &mut random).await;
    let mut took = Vec::new();
    for _ in 0..3_000 {
        let began = Instant::now();
        let claimed = claim(&beside, B, one.id, &one.resumption()).await;
        let Ok(Claimed::Owner(snapshot, after)) = claimed else { panic!("{claimed:?}") };
        one = Owned::given(B, *snapshot, Purpose::Attach(0, after));
        took.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.send_replace(true);
    let rate = commits.await.unwrap();
    let (p50, p99) = (percentile(&mut took, 50), percentile(&mut took, 99));
    figure(
        "a resume beside commits",
        &format!("p50 {p50:.2?}, p99 {p99:.2?} beside {rate:.0} in a second"),
    );
}
