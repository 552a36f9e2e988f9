//! What the operating system knows of a TCP connection: the one file that needs `unsafe`.
//!
//! Linux tells how many bytes the peer's kernel has acknowledged and when it was last heard. That
//! is the difference between a peer that reads slowly, one that does not read, and one that is
//! gone. Elsewhere nothing is known, and nothing is guessed: `linux` and `elsewhere` below have the
//! same functions.
#![allow(unsafe_code, reason = "getsockopt and ioctl, nowhere else")]

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adieu_proto::{Config, Evidence, defaults};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

#[cfg(not(target_os = "linux"))]
use elsewhere as system;
#[cfg(target_os = "linux")]
use linux as system;

/// The hixie versions have no Ping: the kernel asks instead, and gives up after this. Linux
/// ignores the count of probes where a user time-out is set, so the idle time has to be well
/// below it.
const HIXIE_USER_TIMEOUT: Duration = Duration::from_secs(25);
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Whether this system gives evidence of bytes that left. Where it did once, it always does.
pub(crate) fn tells(tcp: &TcpStream) -> bool {
    static TELLS: AtomicBool = AtomicBool::new(false);
    if !TELLS.load(Ordering::Relaxed) {
        TELLS.store(evidence(tcp).is_some(), Ordering::Relaxed);
    }
    TELLS.load(Ordering::Relaxed)
}

/// The options of each TCP connection: small frames do not wait for acknowledgements (TCP_NODELAY,
/// RFC 9293 §3.7.4), and TCP_USER_TIMEOUT (RFC 5482), a backstop behind our own clocks, which know
/// more: data that the peer's kernel does not acknowledge, or has no room for, for so long ends the
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// `None`: the system's own limit.
    user_timeout: Option<Duration>,
}

impl Options {
    /// The options that follow from the settings. TCP_USER_TIMEOUT is longer than the write
    /// deadline (twice, for its first look may come late) or the pong deadline, and what follows
    /// them until we let go; otherwise the kernel would give up on a peer that is
    /// there and does not read, and that would be told as a peer that is gone. A clock that is
    /// switched off, or longer than the kernel can count, leaves it to the system.
    pub(crate) fn of(config: &Config) -> Self {
        let write = config.write_timeout.checked_mul(2);
        let pong = config.pong_timeout.checked_add(defaults::READS_IN_SILENCE);
        let longest = write.zip(pong).map(|(write, pong)| write.max(pong));
        let end = config.drain_timeout.min(defaults::LONGEST_WAIT).checked_add(config.linger);
        let whole = longest.zip(end).and_then(|(open, end)| open.checked_add(end));
        let whole = whole.map(|length| Duration::from_secs(length.as_secs() + 1));
        // The kernel counts milliseconds in an int.
        Options { user_timeout: whole.filter(|length| length.as_millis() <= i32::MAX as u128) }
    }

    /// Sets them. On Linux the connections of a listener have both from it.
    pub(crate) fn set<'s>(self, socket: impl Into<SockRef<'s>>) -> io::Result<()> {
        let socket = socket.into();
        socket.set_tcp_nodelay(true)?;
        system::set_user_timeout(&socket, self.user_timeout)
    }
}

/// Whether connections of this listener need no more options than they have from it.
pub(crate) fn has_options(listener: &TcpListener, options: Options) -> bool {
    system::has_options(&SockRef::from(listener), options.user_timeout)
}

/// Writes the last bytes before our FIN, which comes at once: they leave in one segment
/// (MSG_MORE, send(2)) where the system can do that.
pub(crate) fn write_before_fin(tcp: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    system::write_before_fin(tcp, slices)
}

/// Has the kernel ask whether the peer is there.
pub(crate) fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(KEEP_ALIVE_IDLE).with_interval(KEEP_ALIVE_INTERVAL);
    system::set_user_timeout(&SockRef::from(tcp), Some(HIXIE_USER_TIMEOUT))?;
    SockRef::from(tcp).set_tcp_keepalive(&probes)
}

/// What the kernel knows; `None` where it does not say.
pub(crate) fn evidence(tcp: &TcpStream) -> Option<Evidence> {
    system::evidence(tcp)
}

/// Whether the connection is over in both directions; `None` where the system does not say. After
/// the peer's FIN alone it is not (CLOSE-WAIT, RFC 9293 §3.3.2); after an RST it is.
pub(crate) fn is_closed(tcp: &TcpStream) -> Option<bool> {
    system::is_closed(tcp)
}

/// Bytes that wait in the kernel to be read (FIONREAD); `None` where it does not say.
pub(crate) fn unread(tcp: &TcpStream) -> Option<usize> {
    system::unread(tcp)
}

/// Whether EPIPE behind the peer's FIN can only mean an RST. On Linux it does: any other end of the
/// connection has an error of its own, which comes first. Others give EPIPE for each of them.
pub(crate) const EPIPE_MEANS_RST: bool = system::EPIPE_MEANS_RST;

/// Systems that tell none of this.
#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io::{self, IoSlice};
    use std::time::Duration;

    use adieu_proto::Evidence;
    use socket2::SockRef;
    use tokio::net::TcpStream;

    pub(super) const EPIPE_MEANS_RST: bool = false;

    pub(super) fn set_user_timeout(_: &SockRef<'_>, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn has_options(_: &SockRef<'_>, _: Option<Duration>) -> bool {
        false
    }

    pub(super) fn write_before_fin(tcp: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        tcp.try_write_vectored(slices)
    }

    pub(super) fn evidence(_: &TcpStream) -> Option<Evidence> {
        None
    }

    pub(super) fn is_closed(_: &TcpStream) -> Option<bool> {
        None
    }

    pub(super) fn unread(_: &TcpStream) -> Option<usize> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSlice};
    use std::mem::{MaybeUninit, offset_of, size_of};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use adieu_proto::Evidence;
    use socket2::SockRef;
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    pub(super) const EPIPE_MEANS_RST: bool = true;

    /// Linux waits at least this long before it sends again.
    const RTO_MIN: Duration = Duration::from_millis(200);

    /// `struct tcp_info` of linux/tcp.h up to the fields used here. The kernel fills what it
    /// knows and says how much that is; fields are only ever appended to it.
    #[repr(C)]
    struct RawTcpInfo {
        flags: [u8; 8],
        rto: u32,
        ato: u32,
        snd_mss: u32,
        rcv_mss: u32,
        unacked: u32,
        sacked: u32,
        lost: u32,
        retrans: u32,
        fackets: u32,
        last_data_sent: u32,
        last_ack_sent: u32,
        last_data_recv: u32,
        last_ack_recv: u32,
        pmtu: u32,
        rcv_ssthresh: u32,
        rtt: u32,
        rttvar: u32,
        snd_ssthresh: u32,
        snd_cwnd: u32,
        advmss: u32,
        reordering: u32,
        rcv_rtt: u32,
        rcv_space: u32,
        total_retrans: u32,
        pacing_rate: u64,
        max_pacing_rate: u64,
        bytes_acked: u64,
        bytes_received: u64,
        segments: [u32; 2],
        notsent_bytes: u32,
        min_rtt: u32,
        data_segments: [u32; 2],
        delivery_rate: u64,
        times: [u64; 3],
        delivered: [u32; 2],
        bytes_sent: u64,
        bytes_retrans: u64,
        dsack_dups: u32,
        reord_seen: u32,
        rcv_ooopack: u32,
        snd_wnd: u32,
    }

    /// Linux 4.1 and newer count acknowledged bytes.
    const WITH_BYTES_ACKED: usize = offset_of!(RawTcpInfo, bytes_acked) + size_of::<u64>();

    /// Linux 5.4 and newer tell the peer's window.
    const WITH_WINDOW: usize = offset_of!(RawTcpInfo, snd_wnd) + size_of::<u32>();

    // As linux/tcp.h has them, on every architecture.
    const _: () = assert!(WITH_BYTES_ACKED == 128 && WITH_WINDOW == 232);

    pub(super) fn set_user_timeout(
        socket: &SockRef<'_>,
        length: Option<Duration>,
    ) -> io::Result<()> {
        socket.set_tcp_user_timeout(length)
    }

    pub(super) fn has_options(listener: &SockRef<'_>, user_timeout: Option<Duration>) -> bool {
        let same = listener.tcp_user_timeout().is_ok_and(|length| length == user_timeout);
        same && matches!(listener.tcp_nodelay(), Ok(true))
    }

    pub(super) fn write_before_fin(tcp: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        tcp.try_io(Interest::WRITABLE, || match slices {
            // send(2) does less than sendmsg(2).
            [bytes] => SockRef::from(tcp).send_with_flags(bytes, libc::MSG_MORE),
            _ => SockRef::from(tcp).send_vectored_with_flags(slices, libc::MSG_MORE),
        })
    }

    /// What the kernel tells, and how many bytes that is.
    fn info(tcp: &TcpStream) -> Option<(RawTcpInfo, usize)> {
        let mut raw = MaybeUninit::<RawTcpInfo>::zeroed();
        let mut len = size_of::<RawTcpInfo>() as libc::socklen_t;
        // SAFETY: `raw` is valid for `len` bytes of writing, and any bit pattern is a value.
        let result = unsafe {
            libc::getsockopt(
                tcp.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                raw.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        // SAFETY: zeroed to begin with and filled by the kernel; integers only.
        let raw = unsafe { raw.assume_init() };
        (result == 0).then_some((raw, len as usize))
    }

    /// Segments that were sent, whatever they carry.
    #[cfg(test)]
    pub(super) fn segments_sent(tcp: &TcpStream) -> u32 {
        info(tcp).unwrap().0.segments[0]
    }

    pub(super) fn evidence(tcp: &TcpStream) -> Option<Evidence> {
        // Without a count of acknowledged bytes nothing is known.
        let (raw, len) = info(tcp).filter(|(_, len)| *len >= WITH_BYTES_ACKED)?;
        let outstanding = outstanding(tcp)?;
        let micros = |n: u32| Duration::from_micros(u64::from(n));
        Some(Evidence {
            acked: raw.bytes_acked,
            outstanding,
            unsent: u64::from(raw.notsent_bytes),
            last_ack: Duration::from_millis(u64::from(raw.last_ack_recv)),
            last_sent: Duration::from_millis(u64::from(raw.last_data_sent)),
            window: (len >= WITH_WINDOW).then_some(raw.snd_wnd),
            // The kernel's own figure doubles with each retransmission (RFC 6298 §2.3, §5.5).
            rto: RTO_MIN.max(micros(raw.rtt) + 4 * micros(raw.rttvar)),
            round_trip: micros(raw.rtt),
        })
    }

    /// TCP_CLOSE of linux/tcp_states.h; the state is the first byte of `tcp_info`.
    const CLOSE: u8 = 7;

    pub(super) fn is_closed(tcp: &TcpStream) -> Option<bool> {
        info(tcp).map(|(raw, _)| raw.flags[0] == CLOSE)
    }

    /// Bytes that were sent or wait for it, and are not acknowledged; our FIN is one of them.
    fn outstanding(tcp: &TcpStream) -> Option<u64> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: SIOCOUTQ (TIOCOUTQ) writes one int.
        let result = unsafe { libc::ioctl(tcp.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        u64::try_from(bytes).ok().filter(|_| result == 0)
    }

    pub(super) fn unread(tcp: &TcpStream) -> Option<usize> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int.
        let result = unsafe { libc::ioctl(tcp.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        usize::try_from(bytes).ok().filter(|_| result == 0)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::io::Interest;

    use super::*;

    #[tokio::test]
    async fn what_a_reset_threw_away_stays_unacknowledged() {
        let listener = crate::listen("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        drop(client);
        tcp.readable().await.unwrap();
        assert_eq!(tcp.try_read(&mut [0]).unwrap(), 0, "its FIN");
        assert_eq!(evidence(&tcp).unwrap().outstanding, 0);
        // Sent, and answered by an RST.
        assert_eq!(tcp.try_write(&[0; 100]).unwrap(), 100);
        tcp.ready(Interest::ERROR).await.unwrap();
        assert_eq!(evidence(&tcp).unwrap().outstanding, 100);
    }

    #[tokio::test]
    async fn connections_have_their_options_from_the_listener() {
        let listener = crate::listen("127.0.0.1:0").await.unwrap();
        let options = Options::of(&Config::default());
        assert!(has_options(&listener, options));
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let tcp = SockRef::from(&tcp);
        assert!(tcp.tcp_nodelay().unwrap());
        assert_eq!(tcp.tcp_user_timeout().unwrap(), options.user_timeout);
    }

    #[test]
    fn the_kernels_patience_follows_the_settings() {
        let of = |config: Config| Options::of(&config).user_timeout.map(|t| t.as_secs());
        let seconds = Duration::from_secs;
        assert_eq!(of(Config::default()), Some(52));
        assert_eq!(of(Config { write_timeout: seconds(80), ..Config::default() }), Some(172));
        assert_eq!(of(Config { pong_timeout: seconds(60), ..Config::default() }), Some(82));
        let longest = |write_timeout| of(Config { write_timeout, ..Config::default() });
        assert_eq!(longest(Duration::MAX), None);
        assert_eq!(longest(seconds(10_000_000)), None, "the kernel cannot count so far");
    }

    #[tokio::test]
    async fn a_listener_of_others_is_told_from_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(!has_options(&listener, Options::of(&Config::default())));
    }

    #[tokio::test]
    async fn the_last_bytes_and_the_fin_leave_in_one_segment() {
        // The kernel sends what waits after 200 ms: a process that is stopped in between tries
        // again.
        for _ in 0..5 {
            let listener = crate::listen("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (tcp, _) = listener.accept().await.unwrap();
            tcp.writable().await.unwrap();
            let before = linux::segments_sent(&tcp);
            let slices = [IoSlice::new(b"good"), IoSlice::new(b"bye")];
            assert_eq!(write_before_fin(&tcp, &slices).unwrap(), 7);
            SockRef::from(&tcp).shutdown(std::net::Shutdown::Write).unwrap();
            let sent = linux::segments_sent(&tcp) - before;
            client.readable().await.unwrap();
            let mut read = [0; 8];
            assert_eq!(client.try_read(&mut read).unwrap(), 7);
            assert_eq!(&read[..7], b"goodbye");
            if sent == 1 {
                return;
            }
        }
        panic!("always two segments");
    }
}
