//! The same in simulated time, with the defaults of a server: hours in seconds, one connection
//! after another, each of which its seed brings again to the letter.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adieu::{Cause, Drain, Ending, Endpoint, Server};
use testkit::{Frame, Head, Random, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};

use crate::link::{Stream, Weather, link};
use crate::{Going, Part, env, handler, heap, seed};

/// Connections, unless the environment says another number.
const CONNECTIONS: u64 = 1200;

/// When its client is gone, or nobody is there any more, a connection is over within this time:
/// the longest stall, and every deadline there is, one after the other.
const OVER: Duration = Duration::from_secs(180);

/// Longer than any client of these tests lives.
const LONGEST: Duration = Duration::from_secs(48 * 3600);

/// What one simulated connection came to.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    endings: Vec<Ending>,
    /// Everything that the server has written.
    written: Vec<u8>,
    lasted: Duration,
}

/// Reads frames and answers Pings and a Close, until nothing comes any more, or for so long.
async fn listen(stream: &mut Stream, mut bytes: Vec<u8>, patience: Duration) {
    let (until, mut chunk) = (Instant::now() + patience, vec![0; 4096]);
    loop {
        while let Some((frame, len)) = Frame::parse(&bytes) {
            bytes.drain(..len);
            let answer = match frame.opcode {
                0x8 => frame,
                0x9 => Frame::pong(&frame.payload),
                _ => continue,
            };
            if stream.write_all(&answer.masked()).await.is_err() {
                return;
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        match timeout(left, stream.read(&mut chunk)).await {
            Ok(Ok(n)) if n > 0 => bytes.extend(&chunk[..n]),
            _ => return,
        }
    }
}

/// Opens. What followed the head of the answer; `None` if there was no 101.
async fn open(stream: &mut Stream, path: &str) -> Option<Vec<u8>> {
    stream.write_all(&Request::rfc6455().target(path).bytes()).await.ok()?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 1024]);
    loop {
        if let Some((head, len)) = Head::parse(&bytes) {
            return (head.status() == 101).then(|| bytes.split_off(len));
        }
        // Longer than the server's patience with a handshake.
        let read = timeout(Duration::from_secs(100), stream.read(&mut chunk)).await;
        let n = read.ok()?.ok().filter(|n| *n > 0)?;
        bytes.extend(&chunk[..n]);
    }
}

/// A client's life: what it says, in bursts with pauses, and how it goes.
async fn live(mut stream: Stream, random: &mut Random) {
    let part = Part::random(random);
    let Some(rest) = open(&mut stream, part.path).await else { return };
    // Some stay for hours, and answer each Ping.
    let stay = Duration::from_millis(random.size(24 * 3600 * 1000));
    let patience = if random.once_in(2) { stay } else { Duration::from_secs(60) };
    let mut bytes = part.bytes();
    while !bytes.is_empty() {
        let burst = (1 + random.size(20_000) as usize).min(bytes.len());
        let pause = Duration::from_millis(random.size(20_000));
        let write = stream.write_all(&bytes[..burst]);
        // It does not read meanwhile: a server that talks may wait for it.
        if !matches!(timeout(pause, write).await, Ok(Ok(()))) {
            break;
        }
        bytes.drain(..burst);
        sleep(pause).await;
    }
    if random.once_in(16) {
        stream.vanish();
        return sleep(OVER).await;
    }
    match part.going {
        Going::Go | Going::CloseAndGo => {}
        Going::Fin => {
            let _ = stream.shutdown().await;
            listen(&mut stream, rest, patience).await;
        }
        Going::Close | Going::Listen => listen(&mut stream, rest, patience).await,
    }
}

/// Time stands still while anything can go on, and then jumps.
fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}

/// One connection from its first byte to its account.
fn simulate(seed: u64) -> Outcome {
    let runtime = runtime();
    let outcome = runtime.block_on(async {
        let mut random = Random::new(seed);
        let endings: Arc<Mutex<Vec<Ending>>> = Arc::default();
        let (tell, drain) = (endings.clone(), Drain::new());
        let endpoint = Endpoint::new().drain(drain.clone()).on_end(move |ended| {
            tell.lock().unwrap_or_else(PoisonError::into_inner).push(ended.ending.clone());
        });
        let server = Server::with(endpoint, handler);
        let weather = [Weather::random(&mut random), Weather::random(&mut random)];
        let (client, stream) = link(weather);
        let (written, started) = (stream.written(), Instant::now());
        let serving = tokio::spawn(server.connection(stream));
        if random.once_in(8) {
            // The server stops while they are at it.
            let (when, drain) = (Duration::from_millis(random.size(60_000)), drain.clone());
            tokio::spawn(async move {
                sleep(when).await;
                drain.start();
            });
        }
        let living = timeout(LONGEST, live(client, &mut random)).await;
        living.expect("no client lives so long");
        let served = timeout(OVER, serving).await;
        served.expect("it is over when its client is").expect("no panic reaches the task");
        assert_eq!(drain.connections(), 0, "it is forgotten");
        let endings = endings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let written = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Outcome { endings, written, lasted: started.elapsed() }
    });
    assert!(runtime.metrics().num_alive_tasks() <= 1, "only what stops the server may be waiting");
    outcome
}

/// What holds however chance has dealt.
fn check(outcome: &Outcome) {
    let [ending] = &outcome.endings[..] else { panic!("not one account: {outcome:?}") };
    assert_eq!(ending.opened(), !matches!(ending.cause, Cause::Handshake(_)), "{ending}");
    let Some((head, len)) = Head::parse(&outcome.written) else {
        assert!(!ending.opened(), "opened without an answer: {ending}");
        return;
    };
    if head.status() != 101 {
        return assert!(!ending.opened(), "{ending}");
    }
    // At most one Close, nothing behind it, and it is in the account if it is on the wire.
    let (mut rest, mut close) = (&outcome.written[len..], None);
    while let Some((frame, len)) = Frame::parse(rest) {
        assert_eq!(close, None, "{frame:?} behind the Close: {ending}");
        rest = &rest[len..];
        close = (frame.opcode == 0x8).then(|| frame.close_code());
    }
    let said = ending.closing_handshake.sent().map(|close| close.code().map(adieu::CloseCode::get));
    assert_eq!(said, close, "on the wire, and in the account: {ending}");
    assert!(close.is_none() || rest.is_empty(), "bytes behind the Close: {ending}");
    // A frame that is cut is one that never left.
    assert!(rest.is_empty() || ending.unsent.bytes > 0, "{ending}");
}

#[test]
fn whatever_the_weather_each_gives_one_account_and_leaves_nothing() {
    let _alone = heap::alone();
    let (seed, connections) = (seed(), env("ADIEU_FAULTS").unwrap_or(CONNECTIONS));
    let random = Random::new(seed);
    eprintln!("simulated: ADIEU_SEED={seed} ADIEU_FAULTS={connections}");
    let mut simulated = Duration::ZERO;
    let one = |number| {
        let seed = random.fork(number).next();
        let run = AssertUnwindSafe(|| {
            let outcome = simulate(seed);
            check(&outcome);
            // One in a hundred has to be the same again, to the letter.
            if number % 100 == 0 {
                assert_eq!(simulate(seed), outcome, "a seed that does not bring the same again");
            }
            outcome.lasted
        });
        catch_unwind(run).unwrap_or_else(|panic| {
            eprintln!("connection {number}; alone: ADIEU_ONE={seed}");
            resume_unwind(panic)
        })
    };
    if let Some(seed) = env("ADIEU_ONE") {
        let outcome = simulate(seed);
        println!("{:?}", outcome.endings);
        return check(&outcome);
    }
    one(0);
    let started = std::time::Instant::now();
    let (left, ()) = heap::left_by(|| (1..connections).for_each(|n| simulated += one(n)));
    let hours = simulated.as_secs() / 3600;
    println!("{connections} connections, {hours} hours in {:.1?}", started.elapsed());
    assert!(left < 64 * 1024, "{left} bytes were left behind");
}

#[test]
fn in_fair_weather_every_goodbye_is_clean() {
    let _alone = heap::alone();
    let runtime = runtime();
    runtime.block_on(async {
        for latency in [0, 1, 50, 400].map(Duration::from_millis) {
            let (tell, told) = std::sync::mpsc::channel();
            let endpoint = Endpoint::new().on_end(move |ended| {
                tell.send(ended.ending.clone()).expect("somebody hears");
            });
            let server = Server::with(endpoint, handler);
            let (mut client, stream) = link([Weather::fair(latency), Weather::fair(latency)]);
            let serving = tokio::spawn(server.connection(stream));
            let rest = open(&mut client, "/echo").await.expect("a 101");
            let bytes = [Frame::text("hello").masked(), Frame::close(1000, "").masked()].concat();
            client.write_all(&bytes).await.expect("they leave");
            listen(&mut client, rest, OVER).await;
            drop(client);
            serving.await.expect("no panic");
            let ending: Ending = told.recv().expect("an account");
            assert!(ending.is_clean() && ending.cause == Cause::Peer, "{latency:?}: {ending}");
        }
    });
}

#[test]
fn those_who_stay_for_a_day_are_left_in_peace() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let _alone = heap::alone();
    let (seed, connections) = (seed(), env("ADIEU_FAULTS").unwrap_or(CONNECTIONS));
    // A day is 5,760 Pings.
    let clients = 1 + connections / 100;
    eprintln!("a day: ADIEU_SEED={seed}");
    let mut random = Random::new(seed);
    runtime().block_on(async {
        let (tell, told) = std::sync::mpsc::channel();
        let endpoint = Endpoint::new().on_end(move |ended| {
            let _ = tell.send(ended.ending.clone());
        });
        let server = Server::with(endpoint, handler);
        for _ in 0..clients {
            // A slow network, that stands still once for less than the patience with a Pong.
            let mut weather = || {
                let latency = Duration::from_millis(random.size(900));
                let stall = Duration::from_millis(random.size(4000));
                Weather::fair(latency).stall(stall, random.size(20_000))
            };
            let (mut client, stream) = link([weather(), weather()]);
            tokio::spawn(server.connection(stream));
            tokio::spawn(async move {
                let rest = open(&mut client, "/echo").await.expect("a 101");
                listen(&mut client, rest, DAY).await;
                client.write_all(&Frame::close(1000, "").masked()).await.expect("still open");
                listen(&mut client, Vec::new(), OVER).await;
            });
        }
        sleep(DAY - Duration::from_secs(1)).await;
        assert!(told.try_recv().is_err(), "one was not left in peace");
        sleep(2 * OVER).await;
        let endings: Vec<Ending> = told.try_iter().collect();
        assert_eq!(endings.len() as u64, clients);
        let hours: u64 = endings.iter().map(|ending| ending.lasted.as_secs() / 3600).sum();
        println!("{hours} hours");
        let unclean = endings.iter().find(|ending| !ending.is_clean());
        assert!(unclean.is_none() && hours >= 24 * clients, "{hours} hours, {unclean:?}");
    });
}
