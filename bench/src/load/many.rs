//! Many connections at once: opened and ended in cycles, idle, closed in a storm, told the same.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::frames;
use crate::load::dial::{PATIENCE, wrong};
use crate::sys::{self, Epoll, Event};

/// More than any server says to one connection here.
const BUFFER: usize = 16 * 1024;

/// Open connections, watched together.
pub struct Many {
    epoll: Epoll,
    conns: Vec<TcpStream>,
    events: Vec<Event>,
    buffer: Vec<u8>,
}

/// What a storm of Closes took, from its trigger on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Storm {
    /// Until the last Close was here.
    pub last_close: Duration,
    /// Until the FINs of half of the connections were here.
    pub half_fin: Duration,
    /// Until the last FIN was here.
    pub last_fin: Duration,
    /// Connections that were reset instead.
    pub resets: usize,
}

impl Many {
    /// Watches these.
    ///
    /// # Errors
    /// As the system says.
    pub fn new(conns: Vec<TcpStream>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        for (at, tcp) in conns.iter().enumerate() {
            epoll.add(tcp.as_raw_fd(), sys::IN, at as u64)?;
        }
        Ok(Many { epoll, conns, events: sys::events(1024), buffer: vec![0; BUFFER] })
    }

    /// Sends a frame on each and waits for all answers, each `answer` bytes long.
    ///
    /// # Errors
    /// If a connection ends, or answers are missing.
    pub fn message_each(&mut self, frame: &[u8], answer: usize) -> io::Result<()> {
        // In portions, so that the kernel's buffers stay small, as they are in life.
        const PORTION: usize = 100;
        for from in (0..self.conns.len()).step_by(PORTION) {
            let to = (from + PORTION).min(self.conns.len());
            for tcp in &mut self.conns[from..to] {
                tcp.write_all(frame)?;
            }
            self.gather((to - from) * answer)?;
        }
        Ok(())
    }

    /// Sends a frame on the first one and waits until all have an answer of that length.
    ///
    /// # Errors
    /// If a connection ends, or answers are missing.
    pub fn publish(&mut self, frame: &[u8], answer: usize) -> io::Result<Duration> {
        let began = Instant::now();
        self.conns[0].write_all(frame)?;
        self.gather(self.conns.len() * answer)?;
        Ok(began.elapsed())
    }

    /// Reads so many bytes, from whichever.
    fn gather(&mut self, bytes: usize) -> io::Result<()> {
        let (began, mut missing) = (Instant::now(), bytes);
        while missing > 0 {
            let n = self.epoll.wait(&mut self.events, Some(Duration::from_secs(1)))?;
            for event in &self.events[..n] {
                let at = event.u64 as usize;
                let n = self.conns[at].read(&mut self.buffer)?;
                if n == 0 || n > missing {
                    return Err(wrong(format!("{n} bytes came, of {missing} missing")));
                }
                missing -= n;
            }
            if began.elapsed() > PATIENCE {
                return Err(wrong(format!("{missing} of {bytes} bytes did not come")));
            }
        }
        Ok(())
    }

    /// Sends a trigger on the first one; answers each Close that comes, and waits for all FINs.
    ///
    /// # Errors
    /// If something else comes than a Close 1001, or something is missing.
    pub fn storm(mut self, trigger: &[u8]) -> io::Result<Storm> {
        let answer = frames::client_close(1001);
        let began = Instant::now();
        let mut storm = Storm::default();
        let mut closed = vec![false; self.conns.len()];
        let mut left = self.conns.len();
        self.conns[0].write_all(trigger)?;
        while left > 0 {
            let n = self.epoll.wait(&mut self.events, Some(Duration::from_secs(1)))?;
            for event in &self.events[..n] {
                let at = event.u64 as usize;
                let n = match self.conns[at].read(&mut self.buffer) {
                    Ok(n) => n,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                    Err(_) => {
                        storm.resets += 1;
                        0
                    }
                };
                if n == 0 {
                    storm.last_fin = began.elapsed();
                    if left > self.conns.len() / 2 {
                        storm.half_fin = storm.last_fin;
                    }
                    self.conns[at].shutdown(std::net::Shutdown::Both).ok();
                    self.epoll.forget(self.conns[at].as_raw_fd())?;
                    left -= 1;
                } else if !closed[at] && is_close_1001(&self.buffer[..n]) {
                    closed[at] = true;
                    storm.last_close = began.elapsed();
                    // Who does not wait for it may be gone.
                    let _ = self.conns[at].write(&answer);
                } else {
                    return Err(wrong(format!("not a Close 1001: {:?}", &self.buffer[..n])));
                }
            }
            if began.elapsed() > PATIENCE {
                return Err(wrong(format!("{left} connections are still open")));
            }
        }
        if closed.contains(&false) {
            return Err(wrong("a connection ended without a Close".into()));
        }
        Ok(storm)
    }
}

/// With or without a reason.
fn is_close_1001(bytes: &[u8]) -> bool {
    bytes.first() == Some(&frames::CLOSE) && bytes.get(2..4) == Some(&1001_u16.to_be_bytes())
}
