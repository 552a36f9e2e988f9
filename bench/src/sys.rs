//! The system calls that the standard library has no function for, each behind a safe one. All
//! `unsafe` of this workspace is here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// As long as a burst of connects is here; Linux cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Something to read, or an end.
pub const IN: u32 = libc::EPOLLIN as u32;
/// Room to write.
pub const OUT: u32 = libc::EPOLLOUT as u32;

/// What happened to one descriptor.
pub type Event = libc::epoll_event;

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A second `listen` on a socket changes its backlog.
pub fn longer_backlog(listener: &TcpListener) {
    // SAFETY: takes no memory.
    let _ = unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
}

/// An epoll instance, level-triggered.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// A new one.
    ///
    /// # Errors
    /// As the system says.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no memory; the new descriptor belongs to nobody else.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches a descriptor; closed, it is forgotten.
    ///
    /// # Errors
    /// As the system says.
    pub fn add(&self, fd: RawFd, interest: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, token)
    }

    /// Changes what is watched.
    ///
    /// # Errors
    /// As the system says.
    pub fn change(&self, fd: RawFd, interest: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest, token)
    }

    /// Watches a descriptor no more, though it stays open.
    ///
    /// # Errors
    /// As the system says.
    pub fn forget(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, operation: i32, fd: RawFd, interest: u32, token: u64) -> io::Result<()> {
        let mut event = Event { events: interest, u64: token };
        let epoll = self.0.as_raw_fd();
        // SAFETY: `event` lives through the call.
        checked(unsafe { libc::epoll_ctl(epoll, operation, fd, &raw mut event) }).map(drop)
    }

    /// Waits at most so long (`None`: for ever); gives how many events there are.
    ///
    /// # Errors
    /// As the system says; an interrupt is no error and no event.
    pub fn wait(&self, events: &mut [Event], limit: Option<Duration>) -> io::Result<usize> {
        let limit = limit.map_or(-1, |limit| limit.as_millis() as i32);
        let (at, room) = (events.as_mut_ptr(), events.len() as i32);
        // SAFETY: there is room for `room` events at `at`.
        match checked(unsafe { libc::epoll_wait(self.0.as_raw_fd(), at, room, limit) }) {
            Ok(n) => Ok(n as usize),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Room for events.
#[must_use]
pub fn events(room: usize) -> Vec<Event> {
    vec![Event { events: 0, u64: 0 }; room]
}

/// Begins to connect from `from` (any free port of it) and does not wait.
///
/// # Errors
/// As the system says.
pub fn connect(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no memory; the new descriptor belongs to nobody else.
    let fd = checked(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
    let stream = unsafe { TcpStream::from_raw_fd(fd) };
    // The port is chosen at connect, when the other end is known: 28,000 for each pair of
    // addresses instead of 28,000 in all.
    option(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT)?;
    option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let (from, to) = (address(SocketAddrV4::new(from, 0)), address(to));
    // SAFETY: both addresses live through the calls and are `size` long.
    checked(unsafe { libc::bind(fd, (&raw const from).cast(), size) })?;
    match checked(unsafe { libc::connect(fd, (&raw const to).cast(), size) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(stream),
    }
}

fn option(fd: RawFd, level: i32, name: i32) -> io::Result<()> {
    let on: i32 = 1;
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `on` lives through the call and is `size` long.
    checked(unsafe { libc::setsockopt(fd, level, name, (&raw const on).cast(), size) }).map(drop)
}

fn address(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*to.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

/// Confines the calling thread, and what it starts, to one core.
///
/// # Errors
/// As the system says.
pub fn pin(core: usize) -> io::Result<()> {
    // SAFETY: a set of zeros is an empty set; it lives through the call.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    unsafe { libc::CPU_SET(core, &mut set) };
    checked(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }).map(drop)
}

/// Goes before other processes, as does what is started from here. Only root may.
///
/// # Errors
/// As the system says.
pub fn prefer() -> io::Result<()> {
    // SAFETY: takes no memory.
    checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -15) }).map(drop)
}

/// CPU time of the calling thread.
#[must_use]
pub fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Opens as many files as the system lets: 10,000 connections and some more are needed.
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through both calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    limit.rlim_cur
}

/// As Ctrl+C does.
pub fn interrupt(pid: u32) {
    // SAFETY: takes no memory.
    unsafe { libc::kill(pid as i32, libc::SIGINT) };
}

/// The system's allocator, with a count of the bytes that are in use ([`heap`]).
#[derive(Debug)]
pub struct Counting;

static HEAP: AtomicI64 = AtomicI64::new(0);

/// Bytes of the heap that are in use, where [`Counting`] is the allocator.
#[must_use]
pub fn heap() -> i64 {
    HEAP.load(Ordering::Relaxed)
}

// SAFETY: each call goes to the system's allocator as it came; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: what the caller has promised is promised on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}
