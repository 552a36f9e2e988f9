//! One server, and a primary with a replica: crashes, stops, promotion, settings.
#![cfg(target_os = "linux")]

use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

use rig::{Fsync, Redis, RedisOptions, Reply, wait_until};

fn get(redis: &Redis, key: &str) -> Reply {
    redis.command(&["GET", key])
}

/// Whether a write is refused because the server is full.
fn is_full(redis: &Redis) -> bool {
    redis.command(&["SET", "more", "x"]).error().is_some_and(|error| error.starts_with("OOM"))
}

#[test]
fn after_kill_9_an_append_only_file_has_everything_and_no_file_nothing() {
    if !rig::has("Redis", &["redis-server"]) {
        return;
    }
    for (fsync, is_kept) in
        [(Some(Fsync::Always), true), (Some(Fsync::EverySecond), true), (None, false)]
    {
        let options = RedisOptions::new();
        let options = match fsync {
            Some(fsync) => options.append_only(fsync),
            None => options,
        };
        let mut redis = options.start();
        let (addr, first) = (redis.addr(), redis.process_id());
        assert!(redis.command(&["SET", "a", "1"]).is_ok());
        redis.kill_9();
        assert!(!redis.is_running());
        let refused = redis.try_command(&["PING"]).expect_err("nobody is there");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        redis.restart();
        assert_eq!(redis.addr(), addr);
        assert_ne!(redis.process_id(), first);
        let expected = if is_kept { Reply::Bulk(b"1".to_vec()) } else { Reply::Nil };
        assert_eq!(get(&redis, "a"), expected, "{fsync:?}");
    }
}

#[test]
fn a_stopped_server_executes_later_what_its_client_gave_up_on() {
    if !rig::has("Redis", &["redis-server"]) {
        return;
    }
    let mut redis = RedisOptions::new().start();
    redis.stop();
    let late = redis.try_command(&["SET", "a", "late"]).expect_err("it stands still");
    assert!(matches!(late.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{late}");
    redis.cont();
    wait_until("the command is executed", || get(&redis, "a") == Reply::Bulk(b"late".to_vec()));
    // And once more: what the kernel says of the first stop must not be taken for the second.
    redis.stop();
    assert!(redis.try_command(&["PING"]).is_err());
    redis.cont();
    assert_eq!(redis.command(&["PING"]).text(), "PONG");
}

#[test]
fn a_replica_that_stood_still_lacks_what_was_written_and_is_promoted_without_it() {
    if !rig::has("Redis", &["redis-server"]) {
        return;
    }
    let mut primary = RedisOptions::new().start();
    let mut replica = RedisOptions::new().replica_of(primary.addr()).start();
    replica.wait_linked();
    let mut client = primary.connection().expect("a connection");
    client.command(&["SET", "before", "1"]).expect("OK");
    assert_eq!(client.command(&["WAIT", "1", "0"]).expect("a number").integer(), 1);
    assert!(replica.command(&["SET", "a", "1"]).error().is_some_and(|e| e.contains("READONLY")));

    replica.stop();
    // More than the sockets hold: what the kernel has would still arrive after the death of the
    // primary.
    let much = "x".repeat(1 << 20);
    for number in 0..32 {
        let key = format!("meanwhile-{number}");
        assert!(client.command(&["SET", &key, &much]).expect("OK").is_ok());
    }
    assert_eq!(client.command(&["WAIT", "1", "100"]).expect("a number").integer(), 0);
    primary.kill_9();
    replica.cont();
    replica.promote();
    assert_eq!(replica.info("replication")["role"], "master");
    assert_eq!(get(&replica, "before").text(), "1");
    assert_eq!(get(&replica, "meanwhile-31"), Reply::Nil);
    assert!(replica.command(&["SET", "a", "1"]).is_ok());

    // The old primary comes back and follows the new one.
    primary.restart();
    primary.follow(replica.addr());
    primary.wait_linked();
    assert_eq!(get(&primary, "a").text(), "1");
}

#[test]
fn a_server_is_full_evicts_and_has_room_again() {
    if !rig::has("Redis", &["redis-server"]) {
        return;
    }
    let redis = RedisOptions::new().max_memory("100mb", "noeviction").start();
    assert!(redis.command(&["SET", "a", "1"]).is_ok());
    redis.config_set("maxmemory", "1");
    assert!(is_full(&redis));
    assert_eq!(get(&redis, "a").text(), "1");
    redis.config_set("maxmemory-policy", "allkeys-random");
    // What the server itself needs is more than one byte: it throws away all keys for it.
    let _ = redis.command(&["SET", "more", "x"]);
    assert_eq!(get(&redis, "a"), Reply::Nil);
    redis.config_set("maxmemory", "0");
    assert!(redis.command(&["SET", "a", "1"]).is_ok());
}

#[test]
fn passwords_users_and_tls_are_asked_for() {
    if !rig::has("Redis", &["redis-server", "redis-cli"]) {
        return;
    }
    let options = RedisOptions::new().password("secret").user("reader", "pw", "~* -@all +get");
    let redis = options.clone().tls().start();
    assert!(redis.command(&["SET", "a", "1"]).is_ok());
    let mut nobody = rig::Connection::open(redis.addr()).expect("a connection");
    let mut said = |args: &[&str]| nobody.command(args).expect("an answer");
    assert!(said(&["GET", "a"]).error().is_some_and(|error| error.starts_with("NOAUTH")));
    assert!(said(&["AUTH", "reader", "wrong"]).error().is_some());
    assert!(said(&["AUTH", "reader", "pw"]).is_ok());
    assert_eq!(said(&["GET", "a"]).text(), "1");
    assert!(said(&["SET", "a", "2"]).error().is_some_and(|error| error.starts_with("NOPERM")));
    let replica = options.replica_of(redis.addr()).start();
    replica.wait_linked();

    let cli = |trust: &[&str]| {
        let addr = redis.tls_addr();
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", &addr.ip().to_string(), "-p", &addr.port().to_string(), "--tls"]);
        cli.args(trust).args(["--no-auth-warning", "-a", "secret", "GET", "a"]);
        String::from_utf8_lossy(&cli.output().expect("redis-cli").stdout).trim().to_owned()
    };
    assert_eq!(cli(&["--cacert", &redis.certificate().display().to_string()]), "1");
    assert_eq!(cli(&[]), "", "a certificate that nobody trusts");
}

#[test]
fn the_wall_clock_jumps_and_nothing_else() {
    if !rig::has("Redis", &["redis-server", "cc"]) {
        return;
    }
    const HOUR: i64 = 3_600;
    let mut redis = RedisOptions::new().append_only(Fsync::Always).clock().start();
    let time = |redis: &Redis| redis.command(&["TIME"]).items()[0].integer();
    let in_script = |redis: &Redis| {
        let script = "return redis.call('TIME')";
        redis.command(&["EVAL", script, "0"]).items()[0].integer()
    };
    let before = time(&redis);
    assert!(redis.command(&["SET", "short", "1", "EX", "600"]).is_ok());
    assert!(redis.command(&["SET", "long", "1", "EX", "36000"]).is_ok());
    redis.set_clock(HOUR * 1_000);
    assert!((HOUR..HOUR + 600).contains(&(time(&redis) - before)));
    assert!((HOUR..HOUR + 600).contains(&(in_script(&redis) - before)));
    assert_eq!(get(&redis, "short"), Reply::Nil, "its time is over");
    assert_eq!(get(&redis, "long").text(), "1");
    redis.set_clock(-HOUR * 1_000);
    assert!((-HOUR..-HOUR + 600).contains(&(time(&redis) - before)));
    redis.restart();
    assert!((-HOUR..-HOUR + 600).contains(&(time(&redis) - before)), "also after a restart");
    // Waits of the server itself go by the clock that does not jump.
    let mut client = redis.connection().expect("a connection");
    client.send(&["BLPOP", "nothing", "0.2"]).expect("it is sent");
    client.patience(Duration::from_secs(60)).expect("a time-out");
    assert_eq!(client.answer().expect("an answer"), Reply::Nil);
}

#[test]
fn servers_beside_each_other_have_ports_and_files_of_their_own() {
    if !rig::has("Redis", &["redis-server"]) {
        return;
    }
    let mut servers: Vec<Redis> = std::thread::scope(|scope| {
        let starting: Vec<_> =
            (0..6).map(|_| scope.spawn(|| RedisOptions::new().start())).collect();
        starting.into_iter().map(|one| one.join().expect("a server")).collect()
    });
    // The threads that started them are over.
    assert!(servers.iter_mut().all(Redis::is_running));
    for (number, server) in servers.iter().enumerate() {
        assert!(server.command(&["SET", "who", &number.to_string()]).is_ok());
    }
    for (number, server) in servers.iter().enumerate() {
        assert_eq!(get(server, "who").integer(), i64::try_from(number).expect("a small number"));
    }
    let first = servers.remove(0);
    let (addr, id) = (first.addr(), first.process_id());
    drop(first);
    assert!(std::net::TcpStream::connect(addr).is_err(), "it is gone");
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
}

#[test]
fn a_server_dies_with_a_test_process_that_is_killed() {
    const NAME: &str = "a_server_dies_with_a_test_process_that_is_killed";
    const INSIDE: &str = "RIG_WRITES_PROCESS_ID_TO";
    if !rig::has("a test process that is killed", &["redis-server"]) {
        return;
    }
    if let Some(file) = std::env::var_os(INSIDE) {
        let redis = RedisOptions::new().start();
        std::fs::write(file, format!("{}.", redis.process_id())).expect("it is written");
        std::thread::sleep(rig::DEADLINE);
        return;
    }
    let directory = rig::Directory::new();
    let file = directory.file("id");
    let mut this = Command::new(std::env::current_exe().expect("this program"));
    // Its own directory is left behind by the kill: it is made below ours.
    this.args([NAME, "--exact"]).env(INSIDE, &file).env("TMPDIR", directory.path());
    let mut process = rig::Process::start(this, &directory.file("log"));
    let id = rig::wait_for("its server runs", || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.strip_suffix('.').map(str::to_owned)
    });
    let server = std::path::PathBuf::from(format!("/proc/{id}"));
    assert!(server.exists());
    process.kill_9();
    // In a container nobody may reap it: then it is a zombie, without memory and sockets.
    wait_until("the server is gone", || {
        std::fs::read_to_string(server.join("cmdline")).unwrap_or_default().is_empty()
    });
}
