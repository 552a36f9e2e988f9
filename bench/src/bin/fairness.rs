//! How long other tasks of a single-threaded runtime have to wait while Adieu is busy: a timer
//! beside a busy connection, a busy `Sender`, a broadcast and a drain. `cargo xtask fairness` runs
//! it.
//!
//! Each case has a runtime of its own, and clients that are processes of their own: this program
//! again, started with the name of a load and a port. They are confined to the other core.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu::{
    Closed, Drain, Endpoint, Group, Handler, Message, Sender, Server, SlowConsumer, Socket,
};
use bench::lateness::{Clock, Lateness, STEP};
use bench::load::dial::{self, PATIENCE, wrong};
use bench::load::echo::{Echo, Spec};
use bench::load::many::Many;
use bench::server::{GENERATOR_CORE, SERVER_CORE};
use bench::{frames, machine, sys};
use tokio::sync::{Notify, mpsc};

/// The cases that have no end of their own take so long.
const LENGTH: Duration = Duration::from_secs(2);

/// Until code is warm and buffers have their size.
const WARM_UP: Duration = Duration::from_millis(100);

/// The load of the busy connection. The peer waits for echoes: now and then there is nothing to
/// read.
const BUSY: Spec = Spec { size: 1024, text: false, connections: 1, in_flight: 64 };

/// The load of the full connection: more is in flight than the sockets hold, so that there is
/// always something to read.
const FULL: Spec = Spec { in_flight: 8192, ..BUSY };

/// Bytes of each message of the busy `Sender`.
const SENT: usize = 1000;

/// Connections of a broadcast and of a drain.
const MANY: usize = 10_000;

/// A server with `MANY` connections opens some files more.
const FILES: u64 = MANY as u64 + 100;

/// Broadcasts, one after the other.
const BROADCASTS: usize = 10;

/// Bytes of a broadcast message.
const BROADCAST: usize = 20;

/// Drains, each of a server of its own.
const DRAINS: usize = 3;

/// The names of the loads on the command line.
const ECHO: &str = "echo";
const FLOOD: &str = "flood";
const READ: &str = "read";
const MEMBERS: &str = "members";
const STORM: &str = "storm";

const KEPT: &str = "../docs/fairness.txt";

const USAGE: &str = "\
Measures how late a timer is beside a busy Adieu on the same single-threaded runtime.

  --keep   write the table to docs/fairness.txt too
";

/// A load, in a process of its own. It is told when to begin and tells when it is done, each with
/// a line.
struct Client {
    child: Child,
    said: mpsc::UnboundedReceiver<String>,
}

impl Client {
    /// Starts it on its core and waits until it has opened its connections.
    async fn ready(load: &str, port: u16) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([load, &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A child inherits the core of its parent.
        sys::pin(GENERATOR_CORE)?;
        let spawned = command.spawn();
        sys::pin(SERVER_CORE)?;
        let mut child = spawned?;
        let out = child.stdout.take().expect("it is piped");
        let (say, said) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| say.send(line))
        });
        let mut client = Client { child, said };
        client.says().await?;
        Ok(client)
    }

    fn go(&mut self) -> io::Result<()> {
        self.child.stdin.as_mut().expect("it is piped").write_all(b"go\n")
    }

    /// The next line that it says.
    async fn says(&mut self) -> io::Result<String> {
        self.said.recv().await.ok_or_else(|| wrong("a client failed".into()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a load, in the process of a client.
fn load(name: &str, port: u16) -> io::Result<()> {
    sys::raise_open_files();
    match name {
        ECHO => echoes(port, BUSY),
        FLOOD => echoes(port, FULL),
        READ => {
            let mut all = dial::open(port, 1)?;
            rounds(|| read(&mut all[0]))
        }
        MEMBERS => {
            let payload = frames::binary(BROADCAST);
            let frame = frames::client_frame(frames::BINARY, &payload);
            let answer = frames::server_frame(frames::BINARY, &payload).len();
            let mut members = Many::new(dial::open(port, MANY)?)?;
            rounds(|| members.publish(&frame, answer).map(|_| MANY as u64))
        }
        STORM => {
            let mut many = Some(Many::new(dial::open(port, MANY)?)?);
            let trigger = frames::client_frame(frames::TEXT, b"drain");
            rounds(|| match many.take() {
                Some(many) => many.storm(&trigger).map(|_| MANY as u64),
                None => Err(wrong("a storm ends all connections".into())),
            })
        }
        other => Err(wrong(format!("no load {other}\n\n{USAGE}"))),
    }
}

/// Says that it is ready, then does its work for each line that it hears, until the process that
/// has started it ends. Says how much was done.
fn rounds(mut work: impl FnMut() -> io::Result<u64>) -> io::Result<()> {
    println!("ready");
    for line in io::stdin().lines() {
        line?;
        println!("{}", work()?);
    }
    Ok(())
}

fn echoes(port: u16, spec: Spec) -> io::Result<()> {
    let mut echo = Echo::open(port, spec, false)?;
    // The warm-up is verified.
    echo.sample(WARM_UP)?;
    echo.verify(false);
    rounds(|| Ok(echo.sample(LENGTH)?.messages))
}

/// Reads all that comes, as fast as it can, until the server ends the connection.
fn read(tcp: &mut TcpStream) -> io::Result<u64> {
    tcp.set_nonblocking(false)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let (mut buffer, mut all) = (vec![0; 1024 * 1024], 0);
    loop {
        match tcp.read(&mut buffer)? {
            0 => return Ok(all),
            n => all += n as u64,
        }
    }
}

/// Serves on this runtime; gives the port.
async fn serve(server: Server<impl Handler>) -> io::Result<u16> {
    let listener = adieu::listen("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(server.serve_on(listener));
    Ok(port)
}

/// What a case gives: how late the timer was, and what was done meanwhile.
type Case = io::Result<(Lateness, String)>;

/// Nothing but the timer: what the machine and tokio's timer do by themselves.
async fn idle() -> Case {
    let clock = Clock::start();
    tokio::time::sleep(LENGTH).await;
    Ok((clock.stop().await, "nothing".into()))
}

async fn echo(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

/// One connection whose peer never lets it rest.
async fn connection(load: &str, spec: Spec) -> Case {
    let mut client = Client::ready(load, serve(Server::new(echo)).await?).await?;
    let clock = Clock::start();
    client.go()?;
    let messages = client.says().await?;
    let late = clock.stop().await;
    Ok((late, format!("{messages} echoes of {} B, {} in flight", spec.size, spec.in_flight)))
}

/// One task that sends all the time. The reader is fast, so that there is nearly always room.
async fn busy_sender() -> Case {
    let (give, mut given) = mpsc::unbounded_channel();
    let handler = move |socket: Socket| {
        let give = give.clone();
        async move {
            let _ = give.send(socket.sender());
            socket.ended().await;
        }
    };
    let mut client = Client::ready(READ, serve(Server::new(handler)).await?).await?;
    let sender = given.recv().await.ok_or_else(|| wrong("no connection".into()))?;
    client.go()?;
    let clock = Clock::start();
    let sent = tokio::spawn(send_for(LENGTH, sender)).await?;
    let late = clock.stop().await;
    let sent = sent.map_err(|_| wrong("the connection ended under load".into()))?;
    Ok((late, format!("{sent} messages of {SENT} B sent")))
}

/// Looks at the time itself: nobody else may have a turn to stop it.
async fn send_for(length: Duration, sender: Sender) -> Result<u64, Closed> {
    let message = Message::from(frames::binary(SENT));
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < length {
        sender.send(message.clone()).await?;
        sent += 1;
    }
    Ok(sent)
}

/// Broadcasts, from each one's trigger until all members have it; the times between do not count.
async fn broadcast() -> Case {
    let room = Group::new(SlowConsumer::Wait);
    let members = room.clone();
    let handler = move |mut socket: Socket| {
        let room = room.clone();
        async move {
            let _member = room.join(&socket);
            while let Some(message) = socket.recv().await {
                room.broadcast(message).await;
            }
        }
    };
    let mut client = Client::ready(MEMBERS, serve(Server::new(handler)).await?).await?;
    while members.len() < MANY {
        tokio::time::sleep(STEP).await;
    }
    let (mut late, mut lasted) = (Lateness::default(), Duration::ZERO);
    for _ in 0..BROADCASTS {
        let (clock, began) = (Clock::start(), Instant::now());
        client.go()?;
        client.says().await?;
        lasted += began.elapsed();
        late = late.and(&clock.stop().await);
    }
    let each = lasted.as_millis() / BROADCASTS as u128;
    Ok((late, format!("{BROADCASTS} broadcasts of {BROADCAST} B to {MANY}, {each} ms each")))
}

/// Drains, from each one's trigger until all connections are over.
async fn drains() -> Case {
    let (mut late, mut lasted) = (Lateness::default(), Duration::ZERO);
    for _ in 0..DRAINS {
        let (span, took) = drain().await?;
        lasted += took;
        late = late.and(&span);
    }
    let each = lasted.as_millis() / DRAINS as u128;
    Ok((late, format!("{DRAINS} drains of {MANY}, {each} ms each")))
}

async fn drain() -> io::Result<(Lateness, Duration)> {
    let (drain, stop) = (Drain::new(), Arc::new(Notify::new()));
    let stopped = stop.clone();
    let handler = move |mut socket: Socket| {
        let stop = stop.clone();
        async move {
            while socket.recv().await.is_some() {
                stop.notify_one();
            }
        }
    };
    let server = Server::with(Endpoint::new().drain(drain.clone()), handler);
    let mut client = Client::ready(STORM, serve(server).await?).await?;
    let (clock, began) = (Clock::start(), Instant::now());
    client.go()?;
    stopped.notified().await;
    drain.start();
    let drained = drain.finished().await;
    client.says().await?;
    let lasted = began.elapsed();
    let late = clock.stop().await;
    if drained.is_clean() { Ok((late, lasted)) } else { Err(wrong(drained.to_string())) }
}

/// Measures a case; gives its line of the table.
fn line(name: &str, case: impl Future<Output = Case>) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let measured = runtime.and_then(|runtime| runtime.block_on(case));
    let (late, meanwhile) = measured.map_err(|error| format!("{name}: {error}"))?;
    let [median, most, worst] = [0.5, 0.99, 1.0].map(|share| late.millis(share));
    let (n, waited) = (late.deadlines(), late.waited.as_secs_f64() * 1e3);
    Ok(format!(
        "{name:<16} {n:>9} {median:>9.1} {most:>9.1} {worst:>9.1} {waited:>9.1}  {meanwhile}\n"
    ))
}

/// What stands above the table.
fn head() -> String {
    let machine = machine::describe();
    let said = |name: &str| machine[name].as_str().unwrap_or_default().to_owned();
    let (cpu, kernel, rustc) = (said("cpu"), said("kernel"), said("rustc"));
    let mut text = String::from(
        "\
# How late a timer is beside Adieu on one single-threaded runtime: cargo xtask fairness
# (bench/src/bin/fairness.rs)
# A task sleeps to deadlines that lie 5 ms apart. \"median\", \"99 %\" and \"worst\" say how many ms
# behind its deadline it woke. A deadline that passed while the task had no turn counts too.
# \"taken\" is for how many ms in all other processes had the core: so much is not Adieu's doing.
# The idle rows, measured first and last, show the machine. A timer of tokio is up to 2 ms late by
# itself, since it goes in steps of 1 ms.
",
    );
    let _ = writeln!(text, "# {cpu}, Linux {kernel}, {rustc}\n");
    let _ = writeln!(
        text,
        "{:<16} {:>9} {:>9} {:>9} {:>9} {:>9}  meanwhile",
        "beside", "deadlines", "median", "99 %", "worst", "taken"
    );
    text
}

fn measure(keep: bool) -> Result<(), String> {
    sys::pin(SERVER_CORE).map_err(|error| error.to_string())?;
    let files = sys::raise_open_files();
    if files < FILES {
        return Err(format!("{files} open files are allowed; {FILES} are needed (ulimit -n)"));
    }
    let mut table = head();
    print!("{table}");
    let mut add = |line: Result<String, String>| {
        let line = line?;
        print!("{line}");
        table += &line;
        Ok::<_, String>(())
    };
    add(line("idle", idle()))?;
    add(line("busy connection", connection(ECHO, BUSY)))?;
    add(line("full connection", connection(FLOOD, FULL)))?;
    add(line("busy Sender", busy_sender()))?;
    add(line("broadcast", broadcast()))?;
    add(line("drain", drains()))?;
    add(line("idle", idle()))?;
    if keep {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT);
        fs::write(&file, &table).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        [] => measure(false),
        ["--keep"] => measure(true),
        [name, port] => match port.parse() {
            Ok(port) => load(name, port).map_err(|error| error.to_string()),
            Err(_) => Err(USAGE.to_owned()),
        },
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
