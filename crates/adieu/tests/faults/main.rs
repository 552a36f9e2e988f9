//! Chance as an opponent: connections that are cut, reset, half-closed, stalled and split at
//! random, over real sockets and in simulated time. Whatever happens, each gives one account and
//! leaves nothing behind.
//!
//! The seed is printed; `ADIEU_SEED` plays it again, and `ADIEU_FAULTS` says how many connections
//! there are. Takes some 30 s on two cores.
#![cfg(target_os = "linux")]

#[path = "../support/heap.rs"]
mod heap;
mod link;
mod real;
mod simulated;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, SystemTime};

use adieu::{Message, Socket};
use testkit::Random;

/// A number of the environment.
fn env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// The seed of this run; another one each time, unless it is given.
fn seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    env("ADIEU_SEED").unwrap_or_else(|| since.expect("a time").as_nanos() as u64)
}

/// What the handlers of these servers do.
const PATHS: [&str; 8] =
    ["/echo", "/echo", "/echo", "/talks", "/closes", "/panics", "/drops", "/never-reads"];

/// A handler of each kind, as the path says. All of them come to an end.
async fn handler(mut socket: Socket) {
    let path = socket.request().map(|request| request.path().to_owned()).unwrap_or_default();
    match path.as_str() {
        "/talks" => {
            for _ in 0..200 {
                if socket.send(Message::from(vec![b'x'; 4000])).await.is_err() {
                    break;
                }
            }
        }
        "/closes" => {
            let _ = socket.send("that is all").await;
            let _ = socket.recv().await;
            socket.close(adieu::Close::new(4000, "closed").expect("a code")).await;
        }
        "/panics" => {
            let _ = socket.recv().await;
            // Not `panic!`: thousands of them would be printed.
            std::panic::resume_unwind(Box::new("as the test wants it"));
        }
        "/drops" => {
            let _ = socket.recv().await;
            drop(socket);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        "/never-reads" => {
            let ended = socket.sender();
            ended.ended().await;
        }
        _ => support::echo(socket).await,
    }
}

/// How a client of these tests goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    /// Says goodbye, and reads to the end.
    Close,
    /// Says goodbye and is gone.
    CloseAndGo,
    /// Half-closes, and reads to the end.
    Fin,
    /// Is gone.
    Go,
    /// Says nothing more, and reads to the end.
    Listen,
}

/// What a client says, and how it goes: as chance will have it.
#[derive(Debug)]
struct Part {
    path: &'static str,
    /// Sizes of its messages.
    messages: Vec<usize>,
    going: Going,
    /// Bytes of its first frames that it sends; the rest is missing.
    cut: Option<usize>,
}

impl Part {
    fn random(random: &mut Random) -> Self {
        let path = PATHS[random.below(PATHS.len() as u64) as usize];
        let count = random.below(12);
        let messages = (0..count).map(|_| random.size(40_000) as usize).collect();
        let going = match random.below(10) {
            0..=3 => Going::Close,
            4 | 5 => Going::CloseAndGo,
            6 => Going::Fin,
            7 => Going::Go,
            _ => Going::Listen,
        };
        let cut = random.once_in(8).then(|| random.below(2000) as usize);
        Part { path, messages, going, cut }
    }

    /// The bytes behind its request.
    fn bytes(&self) -> Vec<u8> {
        use testkit::Frame;
        let messages = self.messages.iter().map(|len| Frame::binary(vec![7; *len]).masked());
        let mut bytes: Vec<u8> = messages.flatten().collect();
        if matches!(self.going, Going::Close | Going::CloseAndGo) {
            bytes.extend(Frame::close(1000, "bye").masked());
        }
        bytes.truncate(self.cut.unwrap_or(usize::MAX));
        bytes
    }
}
