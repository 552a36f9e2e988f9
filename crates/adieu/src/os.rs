//! What the operating system knows of a TCP connection: the one file that needs `unsafe`.
//!
//! Linux tells how many bytes the peer's kernel has acknowledged and when it was last heard. That
//! is the difference between a peer that reads slowly, one that does not read, and one that is
//! gone. Elsewhere nothing is known, and nothing is guessed.
#![allow(unsafe_code, reason = "getsockopt and ioctl, nowhere else")]

use std::time::Duration;

use tokio::net::TcpStream;

/// What the kernel knows of the peer's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    /// Bytes of ours that the peer's kernel has acknowledged, in all.
    pub(crate) acked: u64,
    /// Bytes of ours that the kernel holds: not sent, or sent and not acknowledged.
    pub(crate) outstanding: u64,
    /// Since the peer's kernel last acknowledged anything, a repeated window probe included.
    pub(crate) last_heard: Duration,
    /// The kernel's retransmission time-out.
    pub(crate) rto: Duration,
    /// Smoothed round-trip time.
    pub(crate) rtt: Duration,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::mem::{MaybeUninit, size_of};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use tokio::net::TcpStream;

    use super::TcpInfo;

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
    }

    pub(super) fn tcp_info(tcp: &TcpStream) -> Option<TcpInfo> {
        let fd = tcp.as_raw_fd();
        let mut raw = MaybeUninit::<RawTcpInfo>::zeroed();
        let mut len = size_of::<RawTcpInfo>() as libc::socklen_t;
        // SAFETY: `raw` is valid for `len` bytes of writing, and any bit pattern is a value.
        let result = unsafe {
            libc::getsockopt(
                fd,
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                raw.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        // Before Linux 4.1 there is no count of acknowledged bytes: then nothing is known.
        if result != 0 || (len as usize) < size_of::<RawTcpInfo>() {
            return None;
        }
        // SAFETY: zeroed to begin with and filled by the kernel; integers only.
        let raw = unsafe { raw.assume_init() };
        let mut outstanding: libc::c_int = 0;
        // SAFETY: SIOCOUTQ (TIOCOUTQ) writes one int.
        let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut outstanding) };
        if result != 0 {
            return None;
        }
        Some(TcpInfo {
            acked: raw.bytes_acked,
            outstanding: u64::try_from(outstanding).unwrap_or(0),
            last_heard: Duration::from_millis(u64::from(raw.last_ack_recv)),
            rto: Duration::from_micros(u64::from(raw.rto)),
            rtt: Duration::from_micros(u64::from(raw.rtt)),
        })
    }
}

/// What the kernel knows; `None` where it does not say.
pub(crate) fn tcp_info(tcp: &TcpStream) -> Option<TcpInfo> {
    #[cfg(target_os = "linux")]
    return linux::tcp_info(tcp);
    #[cfg(not(target_os = "linux"))]
    return None;
}
