//! Where to listen, as people write it.

mod unix;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use adieu_gateway::serve::Listener;

/// What the address of a Unix socket begins with.
const UNIX: &str = "unix:";

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// A host and a port. A host that is left out means all addresses of this machine.
    Tcp { host: String, port: u16 },
    /// A Unix socket at this path.
    Unix(PathBuf),
}

/// A listener, and what was made for it.
pub(crate) struct Bound {
    pub(crate) listener: Listener,
    /// Where that is, as it is shown.
    pub(crate) name: String,
    /// The address of TCP.
    pub(crate) addr: Option<SocketAddr>,
    /// The file of a Unix socket, which goes when this is dropped.
    pub(crate) file: Option<unix::SocketFile>,
}

impl Listen {
    /// If nobody says otherwise.
    pub(crate) const DEFAULT: &str = "127.0.0.1:8080";

    /// Whether it is another port each time.
    pub(crate) fn takes_a_free_port(&self) -> bool {
        matches!(self, Listen::Tcp { port: 0, .. })
    }

    /// Listens.
    ///
    /// # Errors
    /// Names the address, what is wrong with it, and what to do.
    pub(crate) async fn bind(&self) -> Result<Bound, String> {
        match self {
            Listen::Tcp { host, port } => {
                let cannot = |error| {
                    // FAQ: serve-listen
                    format!(
                        "cannot listen on {self}: {error}; choose another address with --listen \
                         ADDR:PORT"
                    )
                };
                let addresses = addresses(host, *port).await.map_err(cannot)?;
                let listener = adieu::listen(&*addresses).await.map_err(cannot)?;
                let addr = listener.local_addr().map_err(cannot)?;
                let name = addr.to_string();
                Ok(Bound { listener: listener.into(), name, addr: Some(addr), file: None })
            }
            Listen::Unix(path) => {
                let bound = unix::bind(path).await;
                let (listener, file) =
                    bound.map_err(|error| format!("cannot listen on {self}: {error}"))?;
                Ok(Bound { listener, name: self.to_string(), addr: None, file: Some(file) })
            }
        }
    }
}

/// All addresses that a host and a port stand for; the first that can be listened on is taken.
async fn addresses(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    if host.is_empty() {
        // Where there is no IPv6, the second.
        let (all6, all4) = (Ipv6Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
        return Ok(vec![(all6, port).into(), (all4, port).into()]);
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp { host, port } => write!(f, "{host}:{port}"),
            Listen::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| {
            format!("{why}; write it like 127.0.0.1:8080, localhost:8080, [::1]:8080 or :8080")
        };
        if let Some(path) = text.strip_prefix(UNIX) {
            // Without a slash it may be the port of a host of this name.
            let has_slash = path.contains('/') && !path.ends_with('/');
            let why = || {
                format!("{path:?} is no path of a socket; write it like unix:/run/adieu/adieu.sock")
            };
            return if has_slash { Ok(Listen::Unix(path.into())) } else { Err(why()) };
        }
        // The colons of an IPv6 address are in brackets.
        let after = text.rfind(']').map_or(0, |at| at + 1);
        let Some(colon) = text[after..].rfind(':') else {
            return Err(wrong("a port is missing".into()));
        };
        let (host, port) = text.split_at(after + colon);
        let bare = !host.starts_with('[') && host.contains(':');
        let brackets =
            host.starts_with('[') && host[1..].trim_end_matches(']').parse::<Ipv6Addr>().is_err();
        if bare || brackets || host.contains('/') {
            return Err(wrong(format!("{host:?} is no host")));
        }
        let port = port[1..].parse().map_err(|_| {
            wrong(format!("{:?} is no port, which is a number up to 65535", &port[1..]))
        })?;
        Ok(Listen::Tcp { host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn stands_for(text: &str) -> Vec<SocketAddr> {
        match text.parse().unwrap() {
            Listen::Tcp { host, port } => addresses(&host, port).await.unwrap(),
            Listen::Unix(path) => panic!("{path:?}"),
        }
    }

    #[tokio::test]
    async fn a_host_that_is_left_out_is_every_address() {
        let all = ["[::]:8080".parse().unwrap(), "0.0.0.0:8080".parse().unwrap()];
        assert_eq!(stands_for(":8080").await, all);
        for text in ["[::1]:0", "127.0.0.1:80"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
            assert_eq!(stands_for(text).await, [text.parse().unwrap()]);
        }
    }

    #[test]
    fn a_unix_socket_has_a_path() {
        for text in ["unix:/run/adieu.sock", "unix:./adieu.sock"] {
            let listen: Listen = text.parse().unwrap();
            assert!(matches!(listen, Listen::Unix(_)), "{text}");
            assert_eq!(listen.to_string(), text);
        }
        for wrong in ["unix:", "unix:8080", "unix:/run/"] {
            let said = wrong.parse::<Listen>().unwrap_err();
            assert!(said.contains("unix:/run/adieu/adieu.sock"), "{wrong}: {said}");
        }
    }
}
