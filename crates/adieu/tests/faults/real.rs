//! Real sockets, real clients, and a proxy that does harm between them and the server.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use adieu::{Client, Close, Config, Server};
use testkit::{FaultProxy, Random, Request, wait_until};

use crate::support::Host;
use crate::{Going, Part, env, handler, heap, seed};

/// Connections, unless the environment says another number.
const CONNECTIONS: u64 = 1500;

/// Clients side by side, each behind a proxy of its own: its n-th connection is the n-th there,
/// so that a seed brings the same meetings again.
const CLIENTS: u64 = 48;

/// The patience of a client that waits for an end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Short deadlines: those who are held have to be noticed within the test's time.
fn impatient() -> Config {
    let ms = Duration::from_millis;
    Config {
        handshake_timeout: ms(500),
        ping_interval: Some(ms(200)),
        pong_timeout: ms(200),
        grace: ms(100),
        write_timeout: ms(400),
        drain_timeout: ms(250),
        close_timeout: ms(300),
        linger: ms(200),
        ..Config::default()
    }
}

/// One client's life. Errors are what it is here for.
fn live(proxy: SocketAddr, random: &mut Random) -> std::io::Result<()> {
    let part = Part::random(random);
    let mut stream = TcpStream::connect(proxy)?;
    stream.set_write_timeout(Some(Duration::from_millis(500)))?;
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    stream.write_all(&Request::rfc6455().target(part.path).bytes())?;
    let mut reader = stream.try_clone()?;
    let going = part.going;
    // It reads beside writing, or both sides might wait for each other for ever.
    let reading = thread::spawn(move || {
        let (mut chunk, started) = (vec![0; 16 * 1024], Instant::now());
        while started.elapsed() < PATIENCE {
            match reader.read(&mut chunk) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    });
    let written = stream.write_all(&part.bytes());
    match going {
        Going::Fin => drop(stream.shutdown(Shutdown::Write)),
        // Shutting down both ends its reading too: it is gone.
        Going::Go | Going::CloseAndGo => drop(stream.shutdown(Shutdown::Both)),
        Going::Close | Going::Listen => {}
    }
    reading.join().expect("a reader");
    written
}

/// A client of ours: its own account is asked for as well.
async fn live_as_adieu(proxy: SocketAddr, random: &mut Random) {
    let path = crate::PATHS[random.below(crate::PATHS.len() as u64) as usize];
    let (count, size) = (random.below(6), random.size(10_000) as usize);
    let (client, url) = (Client::new().config(impatient()), format!("ws://{proxy}{path}"));
    let Ok(socket) = client.connect(&url).await else { return };
    for _ in 0..count {
        if socket.send(vec![3; size]).await.is_err() {
            break;
        }
    }
    let ending = tokio::time::timeout(testkit::DEADLINE, async {
        socket.close(Close::new(1000, "").expect("a code")).await
    });
    ending.await.expect("a client's ending comes as well");
}

/// How often each address occurs.
fn counted(addrs: impl IntoIterator<Item = SocketAddr>) -> HashMap<SocketAddr, usize> {
    let mut counts = HashMap::new();
    for addr in addrs {
        *counts.entry(addr).or_default() += 1;
    }
    counts
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("our descriptors").count()
}

/// So many connections between this many clients and a server, with everything over at the end.
/// Gives what became of them.
fn run(seed: u64, connections: u64) -> HashMap<String, usize> {
    let random = Random::new(seed);
    let host = Host::run(Server::new(handler).config(impatient()));
    let tasks = || host.runtime.metrics().num_alive_tasks();
    let serving = tasks();
    let passed_on = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (random, passed_on, addr) = (random.fork(client), &passed_on, host.addr);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime");
                let proxy = FaultProxy::start(addr, random.fork(0));
                for number in (client..connections).step_by(CLIENTS as usize) {
                    let mut random = random.fork(1 + number);
                    if random.once_in(4) {
                        runtime.block_on(live_as_adieu(proxy.addr(), &mut random));
                    } else {
                        // That it met an error is what the proxy is for.
                        let _ = live(proxy.addr(), &mut random);
                    }
                }
                let ours = proxy.finish();
                passed_on.lock().unwrap_or_else(PoisonError::into_inner).extend(ours);
            });
        }
    });
    let accepted = passed_on.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(accepted.len() as u64 >= connections * 9 / 10, "only {} passed", accepted.len());
    let mut kinds = HashMap::new();
    let accounts = accepted.iter().map(|_| host.account());
    let accounts = accounts.map(|account| {
        let ending = &account.ending;
        let cause = format!("{:?}", ending.cause);
        let cause = cause.split(['(', ' ']).next().unwrap_or_default();
        let end = format!("{:?}", ending.transport.end);
        *kinds.entry(format!("{cause}, {end}")).or_default() += 1;
        account.peer.addr().expect("each has its address, however soon it was gone")
    });
    let accounts = counted(accounts.collect::<Vec<_>>());
    assert_eq!(accounts, counted(accepted), "accepted = accounted, exactly once each");
    wait_until("every task is over", || tasks() == serving);
    let drained = host.finish();
    assert_eq!(drained.clean + drained.broken_off + drained.given_up, 0, "all was over before");
    kinds
}

#[test]
fn accepted_is_accounted_once_and_nothing_is_left_over() {
    let _alone = heap::alone();
    let (seed, connections) = (seed(), env("ADIEU_FAULTS").unwrap_or(CONNECTIONS));
    println!("ADIEU_SEED={seed} ADIEU_FAULTS={connections}");
    // What is set up once, by the libraries and by the test's own harness, is not counted.
    run(seed, 2 * CLIENTS);
    let before = descriptors();
    let started = Instant::now();
    let (left, kinds) = heap::left_by(|| run(seed, connections));
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    println!(
        "{connections} connections in {:.1?}, {left} bytes left: {kinds:#?}",
        started.elapsed()
    );
    wait_until("every descriptor is given back", || descriptors() == before);
    assert!(kinds.len() > 8, "chance was not tried: {kinds:?}");
    assert!(left < 64 * 1024, "{left} bytes were left behind");
}
