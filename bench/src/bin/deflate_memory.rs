//! What a connection that compresses keeps, in bytes of the heap of a server of its own process:
//! after the handshake, after one message of 1 KiB each way, after many, and when it has been idle
//! for more than ten seconds and then heard a Pong. `deflate_memory` measures; `deflate_memory
//! serve SETTING` is the server.

use std::io::{self, BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use adieu::{Closed, Config, Deflate, Server, Socket, WindowBits};
use bench::load::deflate::Deflated;
use bench::sys;

#[global_allocator]
static HEAP: sys::Counting = sys::Counting;

/// Connections of each server.
const CONNECTIONS: usize = 400;

/// Bytes of a message; so many fill all histories.
const MESSAGE: usize = 1024;
const MANY: usize = 12;

/// Longer than the time after which sent text is forgotten, and shorter than that of a Ping.
const IDLE: Duration = Duration::from_millis(10_500);

const SETTINGS: [&str; 4] = ["off", "alone", "history", "both"];

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(&std::env::args().nth(2).unwrap_or_default()),
        _ => measure(),
    }
}

/// All servers at once: they are idle at the same time.
fn measure() -> io::Result<()> {
    sys::raise_open_files();
    let mut all = Vec::new();
    for setting in SETTINGS {
        for speaks in [true, false] {
            all.push(Row::new(setting, speaks)?);
        }
    }
    for row in &mut all {
        row.speak()?;
    }
    std::thread::sleep(IDLE);
    println!("bytes of the heap for each of {CONNECTIONS} connections");
    let heads = ["setting", "opened", "one message", "many", "idle"];
    println!("{:<24}{:>12}{:>12}{:>12}{:>12}", heads[0], heads[1], heads[2], heads[3], heads[4]);
    for row in &mut all {
        row.end()?;
        let title = format!("{}{}", row.setting, if row.speaks { "" } else { ", says nothing" });
        print!("{title:<24}");
        row.figures.iter().for_each(|figure| print!("{figure:>12.0}"));
        println!();
    }
    Ok(())
}

/// One server, and what each of its connections keeps at each point.
struct Row {
    setting: &'static str,
    speaks: bool,
    server: Serving,
    load: Deflated,
    base: i64,
    figures: Vec<f64>,
}

impl Row {
    fn new(setting: &'static str, speaks: bool) -> io::Result<Self> {
        let mut server = Serving::start(setting)?;
        // What is a thread's and not a connection's comes first.
        Deflated::open(server.port, 4, MESSAGE)?.sample(Duration::ZERO)?;
        let base = server.heap()?;
        let load = Deflated::open(server.port, CONNECTIONS, MESSAGE)?;
        let mut row = Row { setting, speaks, server, load, base, figures: Vec::new() };
        row.note()?;
        Ok(row)
    }

    fn speak(&mut self) -> io::Result<()> {
        for times in [1, MANY] {
            for _ in 0..if self.speaks { times } else { 0 } {
                self.load.sample(Duration::ZERO)?;
            }
            self.note()?;
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.load.pong_each()?;
        self.note()
    }

    fn note(&mut self) -> io::Result<()> {
        let heap = self.server.heap()? - self.base;
        self.figures.push(heap as f64 / CONNECTIONS as f64);
        Ok(())
    }
}

/// The process of a server.
struct Serving {
    child: Child,
    ask: ChildStdin,
    told: BufReader<ChildStdout>,
    port: u16,
}

impl Serving {
    fn start(setting: &str) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", setting]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (ask, told) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        let mut serving = Serving { child, ask, told: BufReader::new(told), port: 0 };
        serving.port = serving.line()? as u16;
        Ok(serving)
    }

    /// Bytes in use, once they stay the same.
    fn heap(&mut self) -> io::Result<i64> {
        let (mut before, mut same) = (0, 0);
        loop {
            self.ask.write_all(b"\n")?;
            let now = self.line()?;
            same = if now == before { same + 1 } else { 0 };
            if same == 5 {
                return Ok(now);
            }
            before = now;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn line(&mut self) -> io::Result<i64> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        line.trim().parse().map_err(io::Error::other)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(setting: &str) -> io::Result<()> {
    let default = Deflate::default();
    let deflate = match setting {
        "alone" => Some(Deflate { history: 0, ..default }),
        "history" => Some(default),
        "both" => Some(Deflate { client_window_bits: WindowBits::new(12), ..default }),
        _ => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = adieu::listen("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        // A line asks for the number of bytes; the end of the input ends this.
        std::thread::spawn(|| {
            for _ in io::stdin().lines() {
                println!("{}", sys::heap());
            }
            std::process::exit(0);
        });
        let config = Config { deflate, ..Config::default() };
        Server::new(echo).config(config).serve_on(listener).await.map(drop)
    })
}

async fn echo(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}
