//! Two ends of a connection in simulated time: bytes take their time, buffers fill, and at a
//! place that chance has chosen they are cut, reset, half-closed, stalled or held for ever.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use testkit::{Fault, Random};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes on their way at most: a writer waits for a reader that does not read.
const WINDOW: usize = 32 * 1024;

/// The first bytes of a direction: a handshake and some frames come in the smallest of pieces.
const FIRST: u64 = 4096;

/// What chance does to one direction.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    latency: Duration,
    /// Of the first bytes, those that arrive together at most.
    piece: usize,
    at: u64,
    pub(crate) fault: Fault,
}

impl Weather {
    pub(crate) fn fair(latency: Duration) -> Self {
        Weather { latency, piece: WINDOW, at: 0, fault: Fault::None }
    }

    pub(crate) fn stall(self, long: Duration, at: u64) -> Self {
        Weather { fault: Fault::Stall(long), at, ..self }
    }

    pub(crate) fn random(random: &mut Random) -> Self {
        // A stall is anything up to a minute.
        let stall = Duration::from_millis(random.size(60_000));
        let fault = match random.below(12) {
            0 => Fault::Cut,
            1 | 2 => Fault::Reset,
            3 => Fault::HalfClose,
            4 | 5 => Fault::Stall(stall),
            6 => Fault::Hold,
            _ => Fault::None,
        };
        let latency = Duration::from_micros(random.size(500_000));
        let piece = 1 + random.size(WINDOW as u64) as usize;
        Weather { latency, piece, at: random.size(100_000), fault }
    }
}

/// One direction.
#[derive(Debug)]
struct Pipe {
    weather: Weather,
    /// What is under way, each with its time of arrival.
    segments: VecDeque<(Instant, VecDeque<u8>)>,
    under_way: usize,
    /// When the last of it arrives.
    last: Instant,
    passed: u64,
    /// A FIN follows everything.
    fin: bool,
    /// Nothing passes any more, and nobody is told.
    held: bool,
    reset: bool,
    /// Nobody reads any more.
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Link = Arc<Mutex<[Pipe; 2]>>;

/// One end; dropping it is what closing a socket is.
pub(crate) struct Stream {
    link: Link,
    /// Which of the two directions is ours to write.
    out: usize,
    sleep: Option<Pin<Box<Sleep>>>,
    told_reset: bool,
    /// Everything that our side has written.
    written: Arc<Mutex<Vec<u8>>>,
}

/// The client's end, the server's end.
pub(crate) fn link(weather: [Weather; 2]) -> (Stream, Stream) {
    let link = Arc::new(Mutex::new(weather.map(|weather| Pipe {
        weather,
        segments: VecDeque::new(),
        under_way: 0,
        last: Instant::now(),
        passed: 0,
        fin: false,
        held: false,
        reset: false,
        reader_gone: false,
        reader: None,
        writer: None,
    })));
    let end = |out| Stream {
        link: link.clone(),
        out,
        sleep: None,
        told_reset: false,
        written: Arc::default(),
    };
    (end(0), end(1))
}

fn lock(link: &Link) -> MutexGuard<'_, [Pipe; 2]> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipe {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    /// Sends what fits; how much that was.
    fn send(&mut self, bytes: &[u8]) -> usize {
        let most = bytes.len().min(WINDOW - self.under_way);
        let piece = if self.passed < FIRST { self.weather.piece } else { WINDOW };
        for piece in bytes[..most].chunks(piece) {
            // Bytes keep their order, and a piece of its own comes a moment later.
            self.last = (Instant::now() + self.weather.latency).max(self.last);
            self.last += Duration::from_micros(10);
            self.segments.push_back((self.last, piece.iter().copied().collect()));
            self.under_way += piece.len();
        }
        most
    }

    /// Bytes may pass up to the place of the fault.
    fn until_fault(&self) -> usize {
        match self.weather.fault {
            Fault::None => usize::MAX,
            _ => usize::try_from(self.weather.at.saturating_sub(self.passed)).unwrap_or(usize::MAX),
        }
    }

    /// Nobody will read or write any more.
    fn break_off(&mut self) {
        (self.reset, self.under_way) = (true, 0);
        self.segments = VecDeque::new();
        self.wake();
    }
}

/// The fault of a direction, at its place.
fn suffer(pipes: &mut [Pipe; 2], which: usize) {
    match std::mem::replace(&mut pipes[which].weather.fault, Fault::None) {
        Fault::None => {}
        Fault::Hold => pipes[which].held = true,
        Fault::HalfClose => {
            let pipe = &mut pipes[which];
            (pipe.fin, pipe.reader_gone, pipe.under_way) = (true, true, 0);
            pipe.segments = VecDeque::new();
            pipe.wake();
        }
        Fault::Stall(long) => {
            let pipe = &mut pipes[which];
            pipe.segments.iter_mut().for_each(|(at, _)| *at += long);
            pipe.last += long;
        }
        Fault::Cut => pipes.iter_mut().for_each(|pipe| {
            (pipe.fin, pipe.reader_gone, pipe.under_way) = (true, true, 0);
            pipe.segments = VecDeque::new();
            pipe.wake();
        }),
        Fault::Reset => pipes.iter_mut().for_each(Pipe::break_off),
    }
}

impl Stream {
    /// Everything that this end has written, also when it is gone.
    pub(crate) fn written(&self) -> Arc<Mutex<Vec<u8>>> {
        self.written.clone()
    }

    /// From now on nothing passes, in either direction, and nobody is told.
    pub(crate) fn vanish(&self) {
        lock(&self.link).iter_mut().for_each(|pipe| pipe.held = true);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let which = 1 - this.out;
        let mut pipes = lock(&this.link);
        if !pipes[which].segments.is_empty() && pipes[which].until_fault() == 0 {
            suffer(&mut pipes, which);
        }
        let pipe = &mut pipes[which];
        if pipe.reset {
            // Once it is an error, then it looks like a FIN, as on Linux.
            let first = !std::mem::replace(&mut this.told_reset, true);
            let error = first.then(|| io::Error::from(io::ErrorKind::ConnectionReset));
            return Poll::Ready(error.map_or(Ok(()), Err));
        }
        let most = pipe.until_fault().min(buf.remaining());
        let arrival = pipe.segments.front().map(|(at, _)| *at).filter(|_| !pipe.held);
        match arrival {
            Some(at) if at <= Instant::now() => {
                let (_, bytes) = &mut pipe.segments[0];
                let n = most.min(bytes.len());
                buf.put_slice(&bytes.drain(..n).collect::<Vec<_>>());
                if bytes.is_empty() {
                    pipe.segments.pop_front();
                }
                pipe.under_way -= n;
                pipe.passed += n as u64;
                pipe.writer.take().into_iter().for_each(Waker::wake);
                return Poll::Ready(Ok(()));
            }
            None if pipe.fin && !pipe.held && pipe.segments.is_empty() => {
                return Poll::Ready(Ok(()));
            }
            _ => pipe.reader = Some(cx.waker().clone()),
        }
        drop(pipes);
        let Some(at) = arrival else { return Poll::Pending };
        let sleep = this.sleep.insert(Box::pin(sleep_until(at)));
        if sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let pipe = &mut lock(&this.link)[this.out];
        if pipe.reset && !std::mem::replace(&mut this.told_reset, true) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.reset || pipe.fin || pipe.reader_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let sent = pipe.send(bytes);
        if sent == 0 && !bytes.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        this.written.lock().unwrap_or_else(PoisonError::into_inner).extend(&bytes[..sent]);
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pipe = &mut lock(&self.link)[self.out];
        pipe.fin = true;
        pipe.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    /// As close(2): a FIN behind what was written, or an RST if something came that was not read.
    fn drop(&mut self) {
        let mut pipes = lock(&self.link);
        let incoming = &mut pipes[1 - self.out];
        if incoming.under_way > 0 && !incoming.held {
            return pipes.iter_mut().for_each(Pipe::break_off);
        }
        incoming.reader_gone = true;
        incoming.wake();
        pipes[self.out].fin = true;
        pipes[self.out].wake();
    }
}
