//! Where to listen, as people write it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A host and a port. A host that is left out means all addresses of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    host: String,
    port: u16,
}

impl Listen {
    /// All addresses that it stands for; the first that can be listened on is taken.
    pub(crate) async fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        if self.host.is_empty() {
            // Where there is no IPv6, the second.
            let (all6, all4) = (Ipv6Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
            return Ok(vec![(all6, self.port).into(), (all4, self.port).into()]);
        }
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        Ok(tokio::net::lookup_host((host, self.port)).await?.collect())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| {
            format!("{why}; write it like 127.0.0.1:8080, localhost:8080, [::1]:8080 or :8080")
        };
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
        Ok(Listen { host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_that_is_left_out_is_every_address() {
        let addresses = ":8080".parse::<Listen>().unwrap().addresses().await.unwrap();
        assert_eq!(addresses, ["[::]:8080".parse().unwrap(), "0.0.0.0:8080".parse().unwrap()]);
        for (text, address) in [("[::1]:0", "[::1]:0"), ("127.0.0.1:80", "127.0.0.1:80")] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.to_string(), text);
            assert_eq!(listen.addresses().await.unwrap(), [address.parse().unwrap()]);
        }
    }
}
