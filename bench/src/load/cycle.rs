//! Connect cycles: TCP, upgrade, end; so many at a time, one after the other.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::frames;
use crate::load::dial::{self, PATIENCE, wrong};
use crate::sys::{self, Epoll, Event};

/// How many are under way at a time.
const AT_A_TIME: usize = 32;

/// How a cycle ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The client's Close, answered, then the server's FIN.
    Close,
    /// The client's FIN without a Close, then the server's.
    Fin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Asked,
    Ending { answered: bool },
}

struct Cycle {
    tcp: TcpStream,
    stage: Stage,
}

/// Runs cycles against a server.
pub struct Cycles {
    port: u16,
    by: By,
    close: Vec<u8>,
    request: Vec<u8>,
    epoll: Epoll,
    slots: Vec<Option<Cycle>>,
    begun: usize,
    done: usize,
}

impl Cycles {
    /// Ready to run.
    ///
    /// # Errors
    /// As the system says.
    pub fn new(port: u16, by: By) -> io::Result<Self> {
        let close = frames::client_close(1000);
        let (request, epoll) = (frames::upgrade_request(), Epoll::new()?);
        let slots = (0..AT_A_TIME).map(|_| None).collect();
        Ok(Cycles { port, by, close, request, epoll, slots, begun: 0, done: 0 })
    }

    /// Begins cycles for so long, finishes those that have begun, and gives how many there were.
    ///
    /// # Errors
    /// If one does not go as it should.
    pub fn run(&mut self, length: Duration) -> io::Result<usize> {
        let began = Instant::now();
        let mut events: Vec<Event> = sys::events(AT_A_TIME);
        self.done = 0;
        let mut busy = AT_A_TIME;
        (0..AT_A_TIME).try_for_each(|slot| self.begin(slot))?;
        while busy > 0 {
            let n = self.epoll.wait(&mut events, Some(Duration::from_secs(1)))?;
            for event in &events[..n] {
                let slot = event.u64 as usize;
                if self.on(slot)? {
                    self.slots[slot] = None;
                    self.done += 1;
                    if began.elapsed() < length {
                        self.begin(slot)?;
                    } else {
                        busy -= 1;
                    }
                }
            }
            if began.elapsed() > length + PATIENCE {
                return Err(wrong(format!("{busy} cycles do not end")));
            }
        }
        Ok(self.done)
    }

    fn begin(&mut self, slot: usize) -> io::Result<()> {
        let mut tcp = dial::begin(self.port, self.begun)?;
        self.begun += 1;
        // On loopback a connection is there at once, as a rule.
        let asked = tcp.write(&self.request).is_ok_and(|n| n == self.request.len());
        let (stage, interest) =
            if asked { (Stage::Asked, sys::IN) } else { (Stage::Connecting, sys::OUT) };
        self.epoll.add(tcp.as_raw_fd(), interest, slot as u64)?;
        self.slots[slot] = Some(Cycle { tcp, stage });
        Ok(())
    }

    /// Goes on with a cycle; says whether it is over.
    fn on(&mut self, slot: usize) -> io::Result<bool> {
        let Some(cycle) = &mut self.slots[slot] else { return Ok(false) };
        if cycle.stage == Stage::Connecting {
            cycle.tcp.write_all(&self.request)?;
            cycle.stage = Stage::Asked;
            self.epoll.change(cycle.tcp.as_raw_fd(), sys::IN, slot as u64)?;
            return Ok(false);
        }
        let mut buffer = [0; 2048];
        let n = match cycle.tcp.read(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let got = &buffer[..n];
        match cycle.stage {
            // On loopback a short head arrives in one piece.
            Stage::Asked if dial::head_end(got) == Some(n) && got.starts_with(b"HTTP/1.1 101") => {
                match self.by {
                    By::Close => cycle.tcp.write_all(&self.close)?,
                    By::Fin => cycle.tcp.shutdown(Shutdown::Write)?,
                }
                cycle.stage = Stage::Ending { answered: self.by == By::Fin };
                Ok(false)
            }
            // A Close as an answer to our FIN is unusual, but no fault.
            Stage::Ending { .. } if got.first() == Some(&frames::CLOSE) => {
                cycle.stage = Stage::Ending { answered: true };
                Ok(false)
            }
            Stage::Ending { answered: true } if n == 0 => Ok(true),
            _ => Err(wrong(format!("a cycle went wrong at {:?}", String::from_utf8_lossy(got)))),
        }
    }
}
