//! The accept loop neither dies nor spins for want of descriptors, and a signal ends the server
//! well: the example `echo` in a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use testkit::{DEADLINE, Frame, Peer, Request, TcpEnd, hixie, wait_until};

/// Descriptors that the process may have: enough to start, and for some twenty connections.
const DESCRIPTORS: usize = 32;

/// More than fit, fewer than the queue of the kernel holds.
const CLIENTS: usize = 60;

/// The example in a process of its own; killed when dropped.
struct Echo {
    child: Child,
    addr: SocketAddr,
    /// Its stderr, line by line: an ending each.
    endings: mpsc::Receiver<String>,
}

impl Echo {
    /// Starts it with so many descriptors.
    fn start(descriptors: usize) -> Self {
        // Cargo has no variable for it, and builds it beside the tests.
        let tests = std::env::current_exe().unwrap();
        let echo = tests.ancestors().nth(2).unwrap().join("examples/echo");
        assert!(echo.exists(), "build it first: cargo build -p adieu --example echo");
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" 127.0.0.1:0")])
            .arg(echo)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let addr = first.trim().strip_prefix("echo is listening on ws://");
        let addr = addr.and_then(|addr| addr.strip_suffix('/')?.parse().ok());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, endings) = mpsc::channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|l| tell.send(l))
        });
        Echo { child, addr: addr.unwrap_or_else(|| panic!("no address: {first:?}")), endings }
    }

    /// How many it has of those that count: what it inherited may lie beyond the limit.
    fn descriptors(&self) -> usize {
        let all = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let numbers = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        numbers.filter(|fd| fd.parse::<usize>().unwrap() < DESCRIPTORS).count()
    }

    /// The time on the processor so far.
    fn busy(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // utime and stime, counted behind the name, which may hold anything (proc(5)).
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2).map(|n| n.parse::<u64>().unwrap());
        // USER_HZ is 100 in what Linux shows.
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    fn ending(&self) -> String {
        self.endings.recv_timeout(DEADLINE).expect("an ending on stderr")
    }

    fn interrupt(&self) {
        let kill = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    fn exited(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the server exits", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn says_hello(peer: &mut Peer) {
    assert_eq!(peer.read_head().status(), 101);
    assert_eq!(peer.read_frame(), Frame::text("hello"));
}

#[test]
fn want_of_descriptors_is_waited_out() {
    let mut echo = Echo::start(DESCRIPTORS);
    let fit = DESCRIPTORS - echo.descriptors();
    assert!((5..CLIENTS - 10).contains(&fit), "{fit} connections fit");
    let hello = [Request::rfc6455().bytes(), Frame::text("hello").masked()].concat();
    let mut waiting: Vec<Peer> = (0..CLIENTS).map(|_| Peer::connect(echo.addr)).collect();
    for peer in &mut waiting {
        peer.write(&hello);
    }
    let mut last = TcpStream::connect(echo.addr).unwrap();
    last.write_all(&hello).unwrap();

    // The first are served, in order, and the limit is reached.
    let mut served: Vec<Peer> = waiting.drain(..fit).collect();
    served.iter_mut().for_each(says_hello);
    assert_eq!(echo.descriptors(), DESCRIPTORS);

    // It does not spin meanwhile, and still serves those who are in.
    let (busy, started) = (echo.busy(), Instant::now());
    while started.elapsed() < Duration::from_secs(1) {
        served[0].send(&Frame::text("again"));
        assert_eq!(served[0].read_frame(), Frame::text("again"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let (busy, waited) = (echo.busy() - busy, started.elapsed());
    assert!(busy < waited / 2, "busy for {busy:?} of {waited:?}");
    last.set_nonblocking(true).unwrap();
    let read = last.read(&mut [0; 64]).map_err(|error| error.kind());
    assert_eq!(read, Err(ErrorKind::WouldBlock), "one too many was served");

    // Some break off in the queue: one accepts them and finds them gone.
    let broken = waiting.len() / 4;
    waiting.drain(..broken).for_each(Peer::reset);

    // Whoever goes makes room for another.
    let mut gone = broken;
    while !waiting.is_empty() {
        let mut peer = served.remove(0);
        peer.send(&Frame::close(1000, ""));
        assert_eq!(peer.read_frame(), Frame::close(1000, ""));
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        drop(peer);
        gone += 1;
        let mut next = waiting.remove(0);
        says_hello(&mut next);
        served.push(next);
    }
    let endings: Vec<String> = (0..gone).map(|_| echo.ending()).collect();
    let resets = endings.iter().filter(|line| line.contains("reset TCP (RST)"));
    assert_eq!(resets.count(), broken, "{endings:#?}");

    // And there is room at last for everybody.
    drop(served.remove(0));
    last.set_nonblocking(false).unwrap();
    last.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = [0; 12];
    last.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    drop((served, last));
    echo.interrupt();
    assert!(echo.exited().success());
}

#[test]
fn ctrl_c_says_goodbye_to_all() {
    let mut echo = Echo::start(1024);
    let mut peers = [Request::rfc6455(), Request::hybi(8), Request::rfc6455()]
        .map(|request| Peer::open_with(echo.addr, &request));
    let mut hixie = Peer::open_with(echo.addr, &Request::hixie76());
    echo.interrupt();
    for peer in &mut peers {
        assert_eq!(peer.read_frame(), Frame::close(1001, ""));
        peer.send(&Frame::close(1001, ""));
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    }
    assert_eq!(hixie.read_exact(2), hixie::CLOSE);
    hixie.write(hixie::CLOSE);
    assert_eq!(hixie.read_to_end().end, TcpEnd::Fin);
    drop((peers, hixie));
    assert!(echo.exited().success());
    let lines: Vec<String> = echo.endings.iter().collect();
    let (last, endings) = lines.split_last().unwrap();
    assert!(last.starts_with("4 connections ended in "), "{last}");
    assert!(last.contains(": 4 cleanly, 0 broken off, 0 given up"), "{last}");
    assert_eq!(endings.len(), 4, "{lines:#?}");
    assert!(endings.iter().all(|line| line.contains("Our server is stopping")), "{lines:#?}");
}
