//! The command line of `adieu connect`. Where curl has the same option, it has curl's name.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::resolve::Given;

/// Redirects that `-L` follows: as many as browsers do (WHATWG Fetch, HTTP-redirect fetch).
const REDIRECTS: usize = 20;

/// Whom to talk to, and how.
#[derive(Args, Clone)]
#[command(after_help = Exit::help())]
pub(crate) struct Connect {
    /// The server: ws://[USER:PASSWORD@]HOST[:PORT]/PATH or wss://…
    pub(super) url: String,
    #[command(flatten)]
    pub(super) request: Request,
    #[command(flatten)]
    pub(super) way: Way,
    #[command(flatten)]
    pub(super) tls: Tls,
    #[command(flatten)]
    pub(super) limits: Limits,
    #[command(flatten)]
    pub(super) output: Output,
}

/// What is asked.
#[derive(Args, Clone)]
#[command(next_help_heading = "Request")]
pub(super) struct Request {
    /// Send this field (repeatable). Host, Origin and Sec-WebSocket-Protocol replace what would be
    /// sent; the fields of the handshake itself are refused
    // What stands in it may be secret: it is checked where no error shows it.
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    pub(super) header: Vec<String>,
    /// Offer this subprotocol (repeatable, the preferred one first)
    #[arg(long, value_name = "NAME")]
    pub(super) subprotocol: Vec<String>,
    /// Send this Origin, as a browser's page would
    #[arg(long, value_name = "ORIGIN")]
    pub(super) origin: Option<String>,
    /// Offer compression of what is sent and received (permessage-deflate, RFC 7692)
    #[arg(long, alias = "compressed")]
    pub(super) compress: bool,
    /// Send Authorization: Basic, instead of what the URL has. Other users of this machine may see
    /// it in the list of processes
    #[arg(short, long, value_name = "USER:PASSWORD")]
    pub(super) user: Option<String>,
    /// Follow redirects, 20 at most; never from wss:// to ws://, and without credentials to
    /// another origin
    #[arg(short = 'L', long)]
    pub(super) location: bool,
    /// Follow so many redirects at most
    #[arg(long, value_name = "N", alias = "redirects", alias = "max-redirects")]
    pub(super) max_redirs: Option<usize>,
}

impl Request {
    pub(super) fn redirects(&self) -> usize {
        self.max_redirs.unwrap_or(if self.location { REDIRECTS } else { 0 })
    }
}

/// How the server is reached.
#[derive(Args, Clone)]
#[command(next_help_heading = "Way to the server")]
pub(super) struct Way {
    /// Go through this proxy with CONNECT: http://[USER:PASSWORD@]HOST[:PORT]
    #[arg(short = 'x', long, value_name = "URL", conflicts_with = "proxy_from_env")]
    pub(super) proxy: Option<String>,
    /// Go through the proxy that http_proxy, https_proxy or all_proxy names, but for the hosts in
    /// no_proxy
    #[arg(long)]
    pub(super) proxy_from_env: bool,
    /// Open the WebSocket on a stream of HTTP/2 (RFC 8441), for wss://: where the server takes
    /// none, HTTP/1.1 is spoken
    #[arg(long)]
    pub(super) http2: bool,
    /// Connect to this Unix socket; the URL (ws://) is what is asked of it
    #[cfg(unix)]
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with_all = [
            "proxy", "proxy_from_env", "resolve", "ipv4", "ipv6", "location", "max_redirs", "http2",
        ]
    )]
    pub(super) unix_socket: Option<PathBuf>,
    /// Take this address, or these, for HOST and PORT instead of looking HOST up (repeatable)
    #[arg(long, value_name = "HOST:PORT:ADDR[,ADDR]")]
    pub(super) resolve: Vec<Given>,
    /// Connect to IPv4 addresses only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(super) ipv4: bool,
    /// Connect to IPv6 addresses only
    #[arg(short = '6', long)]
    pub(super) ipv6: bool,
}

/// Whom wss:// trusts, and what it shows.
#[derive(Args, Clone)]
#[command(next_help_heading = "TLS")]
pub(super) struct Tls {
    /// Trust the certificates in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", alias = "ca", conflicts_with = "insecure")]
    pub(super) cacert: Option<PathBuf>,
    /// Trust any certificate
    #[arg(short = 'k', long)]
    pub(super) insecure: bool,
    /// Show the certificates in this file (PEM, our own first) to a server that asks for one
    #[arg(short = 'E', long, value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// The private key of --cert (PEM; default: it stands in the same file)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,
}

/// How long is waited, and how much is taken.
#[derive(Args, Clone)]
#[command(next_help_heading = "Limits")]
pub(super) struct Limits {
    /// Time to connect: names, TCP, proxy, TLS, the handshake and redirects together [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) connect_timeout: Option<Duration>,
    /// Silence after which a Ping is sent; `off` for no Pings [default: 15s]
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(super) ping_interval: Option<Duration>,
    /// Time to answer a Ping; `off` for no limit [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(super) pong_timeout: Option<Duration>,
    /// Time in which what we send has to move on; `off` for no limit [default: 20s]
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(super) write_timeout: Option<Duration>,
    /// Time for the server to answer our Close [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) close_timeout: Option<Duration>,
    /// Bytes of a message at most; k, m and g stand for KiB, MiB and GiB [default: 16m]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(super) max_message: Option<u64>,
}

/// What goes in and out.
#[derive(Args, Clone)]
#[command(next_help_heading = "Input and output")]
pub(super) struct Output {
    /// Bytes in both directions, as they are: what is read of stdin is sent as binary messages (64
    /// KiB at most each), and the bytes of messages are written to stdout with nothing between.
    /// Default: lines of stdin are sent as text, a text is written with a line's end, and of a
    /// binary message its length
    #[arg(short = 'b', long, conflicts_with = "hex")]
    pub(super) binary: bool,
    /// Write binary messages as hexadecimal digits, a line each. --binary does so on a terminal
    #[arg(long)]
    pub(super) hex: bool,
    /// Read nothing of stdin: go on until the server ends, or Ctrl-C. Default: the end of stdin
    /// closes the connection
    #[arg(short = 'n', long)]
    pub(super) no_input: bool,
    /// Write the ending as one line of JSON to stderr, and nothing else there but what -v asks for
    #[arg(long)]
    pub(super) json: bool,
    /// Write the head of the server's answer to stderr, and show secrets in heads
    #[arg(short, long)]
    pub(super) verbose: bool,
}

/// More is a mistake, and could not be added to a date.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a length of time is needed, like 500ms, 15s or 2m"))?;
    if time.is_zero() || time > LONGEST {
        return Err("a length of time above 0 and below a year is needed, like 500ms or 15s".into());
    }
    Ok(time)
}

fn time_or_off(text: &str) -> Result<Duration, String> {
    if text == "off" { Ok(Duration::MAX) } else { time(text) }
}

fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "a number of bytes is needed, at least 1, like 4096, 64k, 16m or 1g".to_owned();
    let (number, shift) = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
        Some(b'k') => (&text[..text.len() - 1], 10),
        Some(b'm') => (&text[..text.len() - 1], 20),
        Some(b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_bytes_may_have_a_letter() {
        for (text, want) in [("1", 1), ("64k", 65536), ("16M", 16 << 20), ("1g", 1 << 30)] {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        for wrong in ["", "0", "k", "-1", "1.5m", "1kb", "99999999999g"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_length_of_time_has_a_unit() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time_or_off("off"), Ok(Duration::MAX));
        for wrong in ["", "10", "0s", "off", "2years"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
