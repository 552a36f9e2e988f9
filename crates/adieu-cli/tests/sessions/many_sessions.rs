//! A start with 100,000 sessions in the store, and the end of all of them within a second: nobody
//! who is served meanwhile waits for that. How much is done in a turn is asserted where the turns
//! are (`adieu-session`, `shard/tests`); here it is the time that an honest client sees.
//! `cargo xtask many-sessions` has the long form.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use adieu_gateway::session::command::{Guest, Settings};
use adieu_gateway::session::shard::IN_ONE_TURN;
use adieu_gateway::session::{
    Change, Command, Key, SessionId, Shard, Slot, Timestamp, Transaction,
};
use adieu_gateway::store::{Backend as _, Disk};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;

use crate::world::{Gateway, HonestClient, Scratch, long_form, report};

const FORM: &str = "many-sessions";

/// For how long the restored sessions are waited for; a quarter more for the last of them.
const WAIT: &str = "4s";

/// Ends that may take so long all in all: far beyond what they take.
const PATIENCE: Duration = Duration::from_secs(600);

fn sessions() -> usize {
    if long_form(FORM) { 100_000 } else { 3_000 }
}

/// A store with so many sessions, each of a user of its own.
fn fill(dir: &Path, count: usize) {
    let now = Timestamp::from(SystemTime::now());
    let mut shard = Shard::new(Key::new(&[7; 32]), Settings::default(), 1);
    let mut disk = Disk::open(dir).unwrap();
    let value = Bytes::from_static(&[7; 32]);
    disk.commit(&[vec![Change::PutMeta { name: "token_key".into(), value }]]).unwrap();
    let mut tx = Transaction::default();
    for n in 0..count as u128 {
        let user = format!("user-{n}");
        // An odd factor, so that they lie in the store as those of random numbers do.
        let random = n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_be_bytes();
        let id = SessionId::in_slot(Slot::of_user(&user), random);
        let guest = Guest { user: Some(user.into()), ..Guest::default() };
        shard.on(now, Command::Start(id, Box::new(guest)), &mut tx);
    }
    shard.write_down(&mut tx);
    // Their beginnings have been told.
    tx.changes.retain(|change| !matches!(change, Change::PutEvent { .. }));
    disk.commit(&[tx.changes]).unwrap();
    disk.close().unwrap();
}

/// The sessions that a backend was told to have ended, and how often any was.
#[derive(Default)]
struct Ended {
    sessions: HashSet<String>,
    times: usize,
}

async fn counting_backend() -> (String, Arc<Mutex<Ended>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let ended = Arc::<Mutex<Ended>>::default();
    let counted = ended.clone();
    let hook = async move |body: Bytes| {
        let event: Value = serde_json::from_slice(&body).unwrap();
        if event["type"] == "session.ended" {
            let mut ended = counted.lock().unwrap();
            ended.times += 1;
            ended.sessions.insert(event["sessionid"].as_str().unwrap().to_owned());
        }
        StatusCode::NO_CONTENT
    };
    let app = Router::new().route("/", post(hook));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, ended)
}

/// How many sessions are away, or over for whatever cause.
async fn away_or_over(gateway: &Gateway) -> usize {
    let (_, text) = gateway.request("GET", "/metrics", "").await;
    let is = |line: &&str| {
        line.starts_with("adieu_sessions_away ") || line.starts_with("adieu_sessions_ended_total{")
    };
    let values =
        text.lines().filter(is).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as usize
}

/// How long this thread has had a core. What it waits for (a disk, a core that others have) is not
/// in it, so that it is the same on a busy machine.
fn on_a_core() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = on_a_core();
    let result = work();
    (result, on_a_core() - before)
}

#[cfg(target_os = "linux")]
#[test]
fn however_many_sessions_end_a_turn_has_a_bounded_part_of_them() {
    let count = sessions();
    let scratch = Scratch::new();
    fill(scratch.path(), count);
    let mut disk = Disk::open(scratch.path()).unwrap();
    let (contents, read) = measured(|| disk.load().unwrap());
    let settings = Settings { tell: true, ..Settings::default() };
    let now = Timestamp::from(SystemTime::now());
    let (restored, restoring) =
        measured(|| Shard::restore(Key::new(&[7; 32]), settings, contents, now, 2));
    let (mut shard, tx) = restored;
    let (_, renewing) = measured(|| disk.commit(&[tx.changes]).unwrap());
    assert_eq!(shard.len(), count);
    let due = now + Duration::from_secs(3600);
    let (mut turns, mut all, mut worst) = (0, Duration::ZERO, Duration::ZERO);
    while !shard.is_empty() {
        let before = shard.len();
        let ((), took) = measured(|| {
            let mut tx = Transaction::default();
            shard.expire(due, &mut tx);
            shard.write_down(&mut tx);
            // The write, the session, its end, and its user's.
            assert!(tx.changes.len() <= 4 * IN_ONE_TURN, "{}", tx.changes.len());
            disk.commit(&[tx.changes]).unwrap();
        });
        assert!(before - shard.len() <= IN_ONE_TURN);
        (turns, all, worst) = (turns + 1, all + took, worst.max(took));
    }
    let mean = all / turns;
    let measured = format!(
        "{count} sessions end in {turns} turns of {IN_ONE_TURN} at most: {mean:.1?} of a core for \
         a turn and its commit, {worst:.1?} at most; at the start {read:.0?} to read them, \
         {restoring:.0?} to restore them and {renewing:.0?} to write down their new deadlines"
    );
    report(FORM, "work in a turn", &measured);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_all_end_at_once_after_a_start_keep_nobody_waiting() {
    let count = sessions();
    let scratch = Scratch::new();
    fill(scratch.path(), count);
    let (url, ended) = counting_backend().await;
    let began = Instant::now();
    let data = scratch.path().to_str().unwrap();
    let options = ["--data", data, "--wait-restart", WAIT];
    let gateway = Gateway::start_with("127.0.0.1:0", &url, &options);
    let listens = began.elapsed();
    let client = HonestClient::start(&gateway).await;
    // On a machine that stands still some are over by now.
    let began = Instant::now();
    while away_or_over(&gateway).await != count {
        assert!(began.elapsed() < PATIENCE, "{} of {count}", away_or_over(&gateway).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let began = Instant::now();
    while ended.lock().unwrap().sessions.len() < count {
        assert!(began.elapsed() < PATIENCE, "{} told", ended.lock().unwrap().sessions.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = began.elapsed();
    assert_eq!(gateway.metric("adieu_sessions_away").await, 0.0);
    let waits = client.stop();
    assert_eq!(ended.lock().unwrap().times, count, "each once");
    let measured = format!(
        "a start with {count} sessions in the store serves after {listens:.2?}; all of them end \
         between 4 s and 5 s after that, and the backend, on the same two cores, is told all \
         within {all:.1?}; {waits}"
    );
    report(FORM, "many sessions", &measured);
}
