//! A server of our own for what `adieu serve` never does: pages of a few bytes, answers that leave
//! a page where it is, and WebSockets that are ended badly or not at all.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use browser::wait::wait_for;
use browser::{Error, Result};
use testkit::{Frame, Head, accept_key};

/// The longest that a browser was seen to wait is 60 s (Chromium, whose page stays open).
const PATIENCE: Duration = Duration::from_secs(90);

const HTML: &str = "Content-Type: text/html\r\n";

/// What a server saw of the end that its browser made.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Which server.
    pub(crate) path: String,
    /// The code of the browser's Close; `None` if it sent none, or an empty one.
    pub(crate) code: Option<u16>,
    /// From that Close to the browser's FIN or RST, where the server never ends TCP itself.
    pub(crate) waited: Option<Duration>,
}

/// The server. Its threads end with the test process: they own nothing but sockets.
pub(crate) struct Site {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// The path of each request.
    requests: Vec<String>,
    heard: Vec<Heard>,
}

/// What was seen before a thread failed is still right.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    pub(crate) fn start() -> Result<Site> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("find a free port"))?;
        let addr = listener.local_addr().map_err(Error::io("find a free port"))?;
        let kept = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                // A browser that goes away in the middle ends one request, not the site.
                thread::spawn(move || drop(serve(stream, &kept)));
            }
        });
        Ok(Site { addr, seen })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// How often a path was asked for.
    pub(crate) fn asked_for(&self, path: &str) -> usize {
        lock(&self.seen).requests.iter().filter(|asked| *asked == path).count()
    }

    /// Waits for what one of the servers heard at the end of its connections, from the first to
    /// the one with this number.
    pub(crate) fn heard(&self, path: &str, number: usize) -> Result<Vec<Heard>> {
        wait_for(format_args!("the end of connection {number} at {path}"), PATIENCE, || {
            let seen = lock(&self.seen);
            let heard = seen.heard.iter().filter(|heard| heard.path == path);
            let heard: Vec<Heard> = heard.cloned().collect();
            Ok((heard.len() >= number).then_some(heard))
        })
    }

    /// Waits until a path was asked for so often.
    pub(crate) fn wait_until_asked(&self, path: &str, times: usize) -> Result<()> {
        wait_for(format_args!("request {times} for {path}"), PATIENCE, || {
            Ok((self.asked_for(path) >= times).then_some(()))
        })
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Seen>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut input = Vec::new();
    let head = read_until(&mut stream, &mut input, Head::parse)?;
    let path = head.first_line().split(' ').nth(1).unwrap_or("/").to_owned();
    lock(seen).requests.push(path.clone());
    match path.as_str() {
        "/nothing" => stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
        "/file" => {
            answer(&stream, "Content-Disposition: attachment; filename=file.txt\r\n", "text")
        }
        "/ws/refuses" => stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        "/favicon.ico" => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        socket if socket.starts_with("/ws/") => {
            let key = accept_key(head.field("Sec-WebSocket-Key").unwrap_or_default());
            write!(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {key}\r\n\r\n"
            )?;
            web_socket(stream, input, path, seen)
        }
        "/careful" => answer(&stream, HTML, &careful_page()),
        _ => answer(&stream, HTML, "<!doctype html><title>plain</title>"),
    }
}

/// A page with the script that `docs/endings.md` advises.
fn careful_page() -> String {
    let document = include_str!("../../../docs/endings.md");
    let (_, script) = document.split_once("```js\n").expect("a script in docs/endings.md");
    let (script, _) = script.split_once("```").expect("the end of the script");
    let ours = script.replace("\"wss://example.com/\"", "`ws://${location.host}/ws/careful`");
    assert_ne!(ours, script, "the script names its server");
    format!("<!doctype html><title>careful</title><body><script>{ours}</script>")
}

fn answer(mut stream: &TcpStream, fields: &str, body: &str) -> io::Result<()> {
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\n{fields}Connection: close\r\nContent-Length: {len}\r\n\r\n{body}"
    )
}

/// Ends a WebSocket as its path says.
fn web_socket(
    mut stream: TcpStream,
    mut input: Vec<u8>,
    path: String,
    seen: &Mutex<Seen>,
) -> io::Result<()> {
    match path.as_str() {
        // Firefox fires no `open` for a connection that ends right behind the answer.
        "/ws/fin" => {
            read_until(&mut stream, &mut input, Frame::parse)?;
            stream.shutdown(Shutdown::Write)?;
            to_the_end(&mut stream).map(drop)
        }
        // A socket that is closed while it has unread input says RST.
        "/ws/rst" => stream.peek(&mut [0]).map(drop),
        "/ws/closes" => {
            read_until(&mut stream, &mut input, Frame::parse)?;
            stream.write_all(&Frame::close(1001, "").unmasked())?;
            read_close(&mut stream, &mut input).map(drop)
        }
        "/ws/answers" | "/ws/careful" => {
            let close = read_close(&mut stream, &mut input)?;
            lock(seen).heard.push(Heard { path, code: close.close_code(), waited: None });
            stream.write_all(&close.unmasked())?;
            stream.shutdown(Shutdown::Write)?;
            to_the_end(&mut stream).map(drop)
        }
        // They never end TCP.
        _ => {
            let close = read_close(&mut stream, &mut input);
            let came = Instant::now();
            if let (Ok(close), "/ws/answers-only") = (&close, path.as_str()) {
                stream.write_all(&close.unmasked())?;
            }
            let waited = match close {
                Ok(_) => to_the_end(&mut stream)?.then(|| came.elapsed()),
                Err(_) => None,
            };
            let code = close.ok().and_then(|close| close.close_code());
            lock(seen).heard.push(Heard { path, code, waited });
            Ok(())
        }
    }
}

fn read_close(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Frame> {
    loop {
        let frame = read_until(stream, input, Frame::parse)?;
        if frame.opcode == 0x8 {
            return Ok(frame);
        }
    }
}

/// Reads until `parse` finds something at the front.
fn read_until<T>(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    parse: impl Fn(&[u8]) -> Option<(T, usize)>,
) -> io::Result<T> {
    loop {
        if let Some((found, len)) = parse(input) {
            input.drain(..len);
            return Ok(found);
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => input.extend_from_slice(&chunk[..n]),
        }
    }
}

/// Whether the other side ended TCP, with a FIN or an RST; if not, patience did.
fn to_the_end(stream: &mut TcpStream) -> io::Result<bool> {
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(true),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        }
    }
}
