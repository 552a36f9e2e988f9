//! Echo in a closed loop with compressed text. Each message is another one, each connection has one
//! in flight, and every answer is inflated and compared.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::frames;
use crate::load::dial::{self, PATIENCE, wrong};
use crate::sys::{self, Epoll, Event};

/// The four bytes that are taken off (RFC 7692 §7.2.1).
const SYNC: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// RSV1: the message is compressed.
const COMPRESSED: u8 = 0x40;

/// What a browser's zlib has.
const LEVEL: u32 = 6;

/// What happened in a sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Messages that came back.
    pub messages: u64,
    /// Bytes that the server sent and received, frames and all.
    pub bytes_out: u64,
    /// The same that it received.
    pub bytes_in: u64,
    /// From the first byte sent to the last one back.
    pub wall: Duration,
    /// CPU time of this thread.
    pub cpu: Duration,
}

/// Connections under load.
pub struct Deflated {
    epoll: Epoll,
    conns: Vec<Conn>,
    texts: Texts,
    size: usize,
    buffer: Vec<u8>,
    events: Vec<Event>,
    bytes_out: u64,
    bytes_in: u64,
}

struct Conn {
    tcp: TcpStream,
    agreed: Agreed,
    /// A stream for all messages, or anew for each.
    pack: Compress,
    unpack: Decompress,
    /// What is under way, and the answer as far as it is here.
    text: Vec<u8>,
    arrived: Vec<u8>,
}

/// What the server has answered to the offer of Chromium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Agreed {
    compresses: bool,
    server_alone: bool,
    client_alone: bool,
    client_bits: u8,
}

impl Agreed {
    fn read(head: &str) -> Self {
        let field = frames::field(head, "sec-websocket-extensions").unwrap_or_default();
        let bits = field.split_once("client_max_window_bits=").map(|(_, bits)| bits);
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        let bits = bits.and_then(|bits| digits(bits).parse().ok());
        Agreed {
            compresses: field.contains("permessage-deflate"),
            server_alone: field.contains("server_no_context_takeover"),
            client_alone: field.contains("client_no_context_takeover"),
            client_bits: bits.unwrap_or(15),
        }
    }
}

impl Deflated {
    /// Opens the connections; a message has so many bytes.
    ///
    /// # Errors
    /// If not all could be opened.
    pub fn open(port: u16, connections: usize, size: usize) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let mut conns = Vec::new();
        for (tcp, head) in dial::open_with_heads(port, connections)? {
            epoll.add(tcp.as_raw_fd(), sys::IN, conns.len() as u64)?;
            let agreed = Agreed::read(&head);
            let bits = agreed.client_bits.max(9);
            let pack = Compress::new_with_window_bits(Compression::new(LEVEL), false, bits);
            let unpack = Decompress::new(false);
            conns.push(Conn { tcp, agreed, pack, unpack, text: Vec::new(), arrived: Vec::new() });
        }
        Ok(Deflated {
            epoll,
            conns,
            texts: Texts::default(),
            size,
            buffer: vec![0; 256 * 1024],
            events: sys::events(64),
            bytes_out: 0,
            bytes_in: 0,
        })
    }

    /// Keeps all connections busy for so long, then waits until everything is back.
    ///
    /// # Errors
    /// If a connection ends, or brings what was not sent.
    pub fn sample(&mut self, length: Duration) -> io::Result<Sample> {
        let (began, cpu) = (Instant::now(), sys::thread_cpu());
        (self.bytes_out, self.bytes_in) = (0, 0);
        let (mut sent, mut back) = (0, 0);
        for at in 0..self.conns.len() {
            self.send(at)?;
            sent += 1;
        }
        while back < sent {
            for event in 0..self.epoll.wait(&mut self.events, Some(Duration::from_secs(1)))? {
                let at = self.events[event].u64 as usize;
                if self.receive(at)? {
                    back += 1;
                    if began.elapsed() < length {
                        self.send(at)?;
                        sent += 1;
                    }
                }
            }
            if began.elapsed() > length + PATIENCE {
                return Err(wrong(format!("{} messages did not come back", sent - back)));
            }
        }
        let (bytes_out, bytes_in) = (self.bytes_out, self.bytes_in);
        let (wall, cpu) = (began.elapsed(), sys::thread_cpu() - cpu);
        Ok(Sample { messages: back, bytes_out, bytes_in, wall, cpu })
    }

    /// Sends a Pong on each that nobody has asked for: it is heard, and not answered.
    ///
    /// # Errors
    /// If a connection is broken.
    pub fn pong_each(&mut self) -> io::Result<()> {
        let pong = frames::client_frame(frames::PONG, b"");
        self.conns.iter_mut().try_for_each(|conn| conn.tcp.write_all(&pong))
    }

    fn send(&mut self, at: usize) -> io::Result<()> {
        let conn = &mut self.conns[at];
        conn.text = self.texts.next(self.size);
        let frame = conn.frame()?;
        self.bytes_in += frame.len() as u64;
        // One message is far below what a socket takes.
        conn.tcp.write_all(&frame)
    }

    /// Reads; says whether the answer is whole, and compares it.
    fn receive(&mut self, at: usize) -> io::Result<bool> {
        let conn = &mut self.conns[at];
        let n = match conn.tcp.read(&mut self.buffer) {
            Ok(0) => return Err(wrong("a server hung up under load".into())),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        self.bytes_out += n as u64;
        conn.arrived.extend_from_slice(&self.buffer[..n]);
        conn.is_answered()
    }
}

impl Conn {
    fn frame(&mut self) -> io::Result<Vec<u8>> {
        if !self.agreed.compresses {
            return Ok(frames::client_frame(frames::TEXT, &self.text));
        }
        if self.agreed.client_alone {
            self.pack.reset();
        }
        let mut packed = Vec::with_capacity(self.text.len() + 64);
        self.pack
            .compress_vec(&self.text, &mut packed, FlushCompress::Sync)
            .map_err(io::Error::other)?;
        packed.truncate(packed.len() - SYNC.len());
        Ok(frames::client_frame(frames::TEXT | COMPRESSED, &packed))
    }

    fn is_answered(&mut self) -> io::Result<bool> {
        let Some((len, at)) = frames::server_frame_at(&self.arrived) else { return Ok(false) };
        if self.arrived[0] == frames::PING && self.arrived.len() >= len {
            let pong = frames::client_frame(frames::PONG, &self.arrived[at..len]);
            self.arrived.drain(..len);
            self.tcp.write_all(&pong)?;
            return self.is_answered();
        }
        if self.arrived.len() < len {
            return Ok(false);
        }
        let compressed = self.arrived[0] == frames::TEXT | COMPRESSED;
        if self.arrived.len() > len || !(compressed || self.arrived[0] == frames::TEXT) {
            return Err(wrong(format!("not an answer: {:x?}", &self.arrived[..2])));
        }
        let payload = self.arrived.split_off(at);
        self.arrived.clear();
        let text = if compressed { self.inflate(payload)? } else { payload };
        if text == self.text { Ok(true) } else { Err(wrong("not what was sent".into())) }
    }

    fn inflate(&mut self, mut payload: Vec<u8>) -> io::Result<Vec<u8>> {
        payload.extend(SYNC);
        if self.agreed.server_alone {
            self.unpack.reset(false);
        }
        let mut text = Vec::with_capacity(self.text.len() + 64);
        self.unpack
            .decompress_vec(&payload, &mut text, FlushDecompress::Sync)
            .map_err(io::Error::other)?;
        Ok(text)
    }
}

/// Updates as applications send them: JSON whose names come again and whose numbers do not. No two
/// are the same.
#[derive(Debug)]
struct Texts {
    state: u64,
    number: u64,
}

impl Default for Texts {
    fn default() -> Self {
        Texts { state: 0x9e37_79b9_7f4a_7c15, number: 0 }
    }
}

const NAMES: [&str; 18] = [
    "Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo", "Hazel", "Ivy", "Juniper",
    "Larch", "Maple", "Oak", "Pine", "Rowan", "Spruce", "Willow", "Yew",
];

const STATES: [&str; 12] = [
    "opened", "closed", "moved", "read", "sent", "kept", "lost", "found", "named", "marked",
    "shared", "copied",
];

impl Texts {
    fn next(&mut self, size: usize) -> Vec<u8> {
        self.number += 1;
        let mut text = format!("{{\"type\":\"update\",\"number\":{},\"items\":[", self.number);
        while text.len() < size {
            let (name, other) = (NAMES[self.below(18)], NAMES[self.below(18)]);
            let (id, price, more) = (self.below(1_000_000_000), self.below(1000), self.below(100));
            let (quantity, state) = (self.below(500), STATES[self.below(12)]);
            let at = 1_760_000_000_000 + self.below(1_000_000_000);
            text += &format!(
                "{{\"id\":{id},\"name\":\"{name} {other}\",\"price\":{price}.{more:02},\
                 \"quantity\":{quantity},\"state\":\"{state}\",\"at\":{at}}},"
            );
        }
        text.truncate(size);
        text.into_bytes()
    }

    fn below(&mut self, n: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 16) as usize % n
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_text_comes_twice() {
        let mut texts = Texts::default();
        let all: HashSet<Vec<u8>> = (0..10_000).map(|_| texts.next(1024)).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|text| text.len() == 1024));
    }

    #[test]
    fn what_was_agreed_on_is_read_from_the_head() {
        let head = |value: &str| {
            Agreed::read(&format!("HTTP/1.1 101 x\r\nSec-WebSocket-Extensions: {value}\r\n\r\n"))
        };
        let agreed = head("permessage-deflate; client_max_window_bits=12");
        let want = Agreed { compresses: true, client_bits: 12, ..Agreed::default() };
        assert_eq!(agreed, want);
        let agreed = head("permessage-deflate; server_no_context_takeover");
        assert!(agreed.server_alone && !agreed.client_alone && agreed.client_bits == 15);
        assert!(!Agreed::read("HTTP/1.1 101 x\r\n\r\n").compresses);
    }
}
