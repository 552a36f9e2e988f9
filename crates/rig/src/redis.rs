//! One `redis-server`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::process::Process;
use crate::reserve::Port;
use crate::resp::{Connection, Reply};
use crate::{tls, wait_for, wait_until};

/// How often another port is tried when somebody else was quicker.
const TRIES: usize = 20;

/// How long a single look waits for a server that may stand still.
const GLANCE: Duration = Duration::from_secs(1);

/// When the append-only file is synced to the disk. All of these call `write` before the answer
/// goes out, but for what one turn of the server's loop has gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before the answer.
    Always,
    /// Each second.
    EverySecond,
    /// When the kernel likes to.
    ByTheKernel,
}

/// How a server is to be.
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisOptions {
    bind: IpAddr,
    append_only: Option<Fsync>,
    replica_of: Option<SocketAddr>,
    password: Option<String>,
    has_tls: bool,
    has_clock: bool,
    is_sentinel: bool,
    is_of_cluster: bool,
    settings: Vec<String>,
}

impl RedisOptions {
    /// A primary without a file: what it has is lost with its process.
    pub fn new() -> Self {
        RedisOptions {
            bind: Ipv4Addr::LOCALHOST.into(),
            append_only: None,
            replica_of: None,
            password: None,
            has_tls: false,
            has_clock: false,
            is_sentinel: false,
            is_of_cluster: false,
            settings: Vec::new(),
        }
    }

    /// With an append-only file.
    pub fn append_only(mut self, fsync: Fsync) -> Self {
        self.append_only = Some(fsync);
        self
    }

    /// A replica of this server. [`RedisOptions::start`] does not wait until it has its data:
    /// [`Redis::wait_linked`] does.
    pub fn replica_of(mut self, primary: SocketAddr) -> Self {
        self.replica_of = Some(primary);
        self
    }

    /// What happens with more than so much memory: `("2mb", "noeviction")`.
    pub fn max_memory(self, bytes: &str, policy: &str) -> Self {
        self.setting("maxmemory", bytes).setting("maxmemory-policy", policy)
    }

    /// The default user has this password. A replica offers it to its primary.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.setting("requirepass", password).setting("masterauth", password)
    }

    /// Another user, with rules such as `~* &* +@all -@dangerous`.
    pub fn user(self, name: &str, password: &str, rules: &str) -> Self {
        self.setting("user", &format!("{name} on >{password} {rules}"))
    }

    /// Listens with TLS too, with a certificate that signs itself: [`Redis::tls_addr`].
    pub fn tls(mut self) -> Self {
        self.has_tls = true;
        self
    }

    /// Has a wall clock of its own, for [`Redis::set_clock`].
    pub fn clock(mut self) -> Self {
        self.has_clock = true;
        self
    }

    /// Listens at this address of the machine, for who is in another network namespace.
    pub fn bind(mut self, address: IpAddr) -> Self {
        self.bind = address;
        self
    }

    /// Any line of `redis.conf`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("{name} {value}"));
        self
    }

    /// The password, for those that watch it.
    pub(crate) fn secret(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Runs as a sentinel.
    pub(crate) fn sentinel(mut self) -> Self {
        self.is_sentinel = true;
        self
    }

    /// Runs as a node of a Cluster.
    pub(crate) fn of_cluster(mut self) -> Self {
        self.is_of_cluster = true;
        self.setting("cluster-enabled", "yes").setting("cluster-config-file", "nodes.conf")
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(self) -> Redis {
        for _ in 0..TRIES {
            if let Some(redis) = self.try_start() {
                return redis;
            }
        }
        panic!("no port was free, {TRIES} times");
    }

    /// `None` if somebody else has the port.
    fn try_start(&self) -> Option<Redis> {
        let directory = Directory::new();
        let port = Port::take();
        let tls_port = self.has_tls.then(Port::take);
        let bus = self.is_of_cluster.then(Port::take);
        let config =
            directory.write("redis.conf", &self.config(&directory, &port, &bus, &tls_port));
        let clock = self.has_clock.then(|| Clock::make(directory.path()));
        let mut redis = Redis {
            process: run(&directory, &config, self.is_sentinel, clock.as_ref()),
            addr: (self.bind, port.number()).into(),
            password: self.password.clone(),
            is_sentinel: self.is_sentinel,
            clock,
            tls_port,
            bus,
            _port: port,
            config,
            directory,
        };
        redis.wait_ready().then_some(redis)
    }

    fn config(
        &self,
        directory: &Directory,
        port: &Port,
        bus: &Option<Port>,
        tls_port: &Option<Port>,
    ) -> String {
        let mut text = String::new();
        let mut line = |line: String| writeln!(text, "{line}").expect("a string grows");
        line(format!("port {}", port.number()));
        line(format!("bind {}", self.bind));
        line(format!("dir {}", directory.path().display()));
        line("protected-mode no".into());
        line("daemonize no".into());
        if !self.is_sentinel {
            line("save \"\"".into());
            // A replica that connects does not wait 5 s for others to come.
            line("repl-diskless-sync-delay 0".into());
        }
        if let Some(fsync) = self.append_only {
            let when = match fsync {
                Fsync::Always => "always",
                Fsync::EverySecond => "everysec",
                Fsync::ByTheKernel => "no",
            };
            line(format!("appendonly yes\nappendfsync {when}"));
        }
        if let Some(primary) = self.replica_of {
            line(format!("replicaof {} {}", primary.ip(), primary.port()));
        }
        if let Some(bus) = bus {
            line(format!("cluster-port {}", bus.number()));
        }
        if let Some(port) = tls_port {
            let (certificate, key) = tls::certificate(directory);
            let (certificate, key) = (certificate.display(), key.display());
            line(format!("tls-port {}\ntls-auth-clients no", port.number()));
            line(format!("tls-cert-file {certificate}\ntls-key-file {key}"));
            line(format!("tls-ca-cert-file {certificate}"));
        }
        self.settings.iter().for_each(|setting| line(setting.clone()));
        text
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        RedisOptions::new()
    }
}

fn run(directory: &Directory, config: &Path, is_sentinel: bool, clock: Option<&Clock>) -> Process {
    let mut command = Command::new("redis-server");
    command.arg(config).args(is_sentinel.then_some("--sentinel"));
    if let Some(clock) = clock {
        clock.give_to(&mut command);
    }
    Process::start(command, &directory.file("log"))
}

/// A server that runs, stands still, or is down. Its port and directory are its own until it is
/// dropped.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    addr: SocketAddr,
    password: Option<String>,
    is_sentinel: bool,
    clock: Option<Clock>,
    tls_port: Option<Port>,
    bus: Option<Port>,
    _port: Port,
    config: PathBuf,
    // Dropped last: the process writes into it.
    directory: Directory,
}

impl Redis {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens with TLS.
    ///
    /// # Panics
    /// Without [`RedisOptions::tls`].
    #[must_use]
    pub fn tls_addr(&self) -> SocketAddr {
        let port = self.tls_port.as_ref().expect("a server with TLS").number();
        (self.addr.ip(), port).into()
    }

    /// The file with the certificate, which is its own authority.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.file("certificate.pem")
    }

    /// The directory with its files: `redis.conf`, `log`, `appendonlydir`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The port of the Cluster's bus.
    pub(crate) fn bus(&self) -> u16 {
        self.bus.as_ref().expect("a node of a Cluster").number()
    }

    /// A connection, authenticated as the default user.
    ///
    /// # Errors
    /// If the server does not accept it.
    pub fn connection(&self) -> io::Result<Connection> {
        let mut connection = Connection::open(self.addr)?;
        self.authenticate(&mut connection)?;
        Ok(connection)
    }

    fn authenticate(&self, connection: &mut Connection) -> io::Result<()> {
        let Some(password) = &self.password else { return Ok(()) };
        let reply = connection.command(&["AUTH", password])?;
        if reply.is_ok() { Ok(()) } else { Err(io::Error::other(format!("AUTH: {reply}"))) }
    }

    /// A command on a connection of its own. An error of the server is an answer too.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    pub fn command(&self, args: &[&str]) -> Reply {
        let reply = self.connection().and_then(|mut connection| connection.command(args));
        reply.unwrap_or_else(|error| panic!("{args:?} at {}: {error}", self.addr))
    }

    /// The same for a server that may be down or stand still: waits for a second at most.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn try_command(&self, args: &[&str]) -> io::Result<Reply> {
        let mut connection = Connection::open(self.addr)?;
        connection.patience(GLANCE)?;
        self.authenticate(&mut connection)?;
        connection.command(args)
    }

    /// A section of `INFO`.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    #[track_caller]
    pub fn info(&self, section: &str) -> BTreeMap<String, String> {
        fields(&self.command(&["INFO", section]).text())
    }

    /// The same for a server that may be down or stand still, or that is loading its file.
    #[must_use]
    pub fn try_info(&self, section: &str) -> Option<BTreeMap<String, String>> {
        match self.try_command(&["INFO", section]) {
            Ok(Reply::Bulk(text)) => Some(fields(&String::from_utf8_lossy(&text))),
            _ => None,
        }
    }

    /// `CONFIG SET`.
    ///
    /// # Panics
    /// If the server refuses it.
    #[track_caller]
    pub fn config_set(&self, name: &str, value: &str) {
        let reply = self.command(&["CONFIG", "SET", name, value]);
        assert!(reply.is_ok(), "CONFIG SET {name} {value}: {reply}");
    }

    /// SIGKILL: the process is gone when this returns.
    pub fn kill_9(&mut self) {
        self.process.kill_9();
    }

    /// SIGSTOP: the process stands still when this returns. Its kernel goes on.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// SIGCONT: it goes on with what has come meanwhile.
    pub fn cont(&mut self) {
        self.process.cont();
    }

    /// The same port, directory and settings; a process that still runs is killed. Waits until it
    /// answers and has read its file.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.start_again();
        let has_port = self.wait_ready();
        assert!(has_port, "somebody took the port of {}", self.addr);
    }

    /// Starts it and waits for nothing.
    fn start_again(&mut self) {
        self.process.kill_9();
        self.process = run(&self.directory, &self.config, self.is_sentinel, self.clock.as_ref());
    }

    /// `REPLICAOF NO ONE`: from now on it is a primary, with what it has.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn promote(&self) {
        let reply = self.command(&["REPLICAOF", "NO", "ONE"]);
        assert!(reply.is_ok(), "REPLICAOF NO ONE: {reply}");
    }

    /// `REPLICAOF`: it throws away what it has and copies this one.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn follow(&self, primary: SocketAddr) {
        let (host, port) = (primary.ip().to_string(), primary.port().to_string());
        let reply = self.command(&["REPLICAOF", &host, &port]);
        assert!(reply.is_ok(), "REPLICAOF: {reply}");
    }

    /// Waits until this replica is connected with its primary and has copied what that one had.
    ///
    /// # Panics
    /// If that does not happen.
    pub fn wait_linked(&self) {
        wait_until("the replica is linked", || {
            let info = self.try_info("replication").unwrap_or_default();
            info.get("master_link_status").is_some_and(|status| status == "up")
        });
    }

    /// Its wall clock is so many milliseconds ahead of the machine's, or behind, from now on. It
    /// stays so after a restart.
    ///
    /// # Panics
    /// Without [`RedisOptions::clock`].
    pub fn set_clock(&self, ahead: i64) {
        self.clock.as_ref().expect("a server with a clock of its own").set(ahead);
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Whether its process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Its process id; another one after each start.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it answers; false if somebody else has the port.
    fn wait_ready(&mut self) -> bool {
        let id = self.process.id().to_string();
        wait_for(&format!("redis-server at {} answers", self.addr), || {
            if !self.process.is_running() {
                let log = self.process.log();
                let is_taken = log.contains("Address already in use");
                assert!(is_taken, "{}", self.process.last_words());
                return Some(false);
            }
            // Who answers is our process, and not another one that was quicker.
            let info = self.try_info("server")?;
            let is_loaded = || {
                let reply = self.try_command(&["PING"]);
                reply.is_ok_and(|reply| reply == Reply::Status("PONG".into()))
            };
            (info.get("process_id") == Some(&id) && is_loaded()).then_some(true)
        })
    }
}

/// The fields of an answer to `INFO`.
fn fields(text: &str) -> BTreeMap<String, String> {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
