//! Names that the command line gives addresses for, and the family of addresses that it wants.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use adieu::http::Uri;

use super::options::Way;

/// `HOST:PORT:ADDR[,ADDR]`: addresses of a name at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it looks like example.org:443:192.0.2.1 or [2001:db8::1]:443:[2001:db8::2]";
        let end = if text.starts_with('[') { text.find(']').ok_or_else(wrong)? } else { 0 };
        let colon = end + text[end..].find(':').ok_or_else(wrong)?;
        let (port, addresses) = text[colon + 1..].split_once(':').ok_or_else(wrong)?;
        let addresses: Result<_, _> = addresses.split(',').map(|a| bare(a).parse()).collect();
        Ok(Given {
            host: bare(&text[..colon]).to_owned(),
            port: port.parse().map_err(|_| wrong())?,
            addresses: addresses.map_err(|_| wrong())?,
        })
    }
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Whether only IPv6 addresses are wanted, or only the others.
fn only_ipv6(way: &Way) -> Option<bool> {
    if way.ipv6 { Some(true) } else { way.ipv4.then_some(false) }
}

/// Why this URL, of a server or a proxy, leads nowhere: its host is an address, which is never
/// looked up, of the family that is not wanted.
pub(super) fn unwanted(way: &Way, url: &str) -> Option<String> {
    let only_ipv6 = only_ipv6(way)?;
    let url: Uri = url.trim().parse().ok()?;
    let address: IpAddr = bare(url.host()?).parse().ok()?;
    let family = if only_ipv6 { "IPv6" } else { "IPv4" };
    (address.is_ipv6() != only_ipv6).then(|| format!("{address} is no {family} address"))
}

/// What the command line says of names.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    given: Vec<Given>,
    /// Whether only IPv6 addresses are wanted, or only the others.
    only_ipv6: Option<bool>,
}

impl Resolver {
    /// `None` if names are looked up as always.
    pub(super) fn of(way: &Way) -> Option<Self> {
        let only_ipv6 = only_ipv6(way);
        let asked = only_ipv6.is_some() || !way.resolve.is_empty();
        asked.then(|| Resolver { given: way.resolve.clone(), only_ipv6 })
    }

    /// The addresses of a host that are wanted.
    pub(super) async fn addresses(self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut found: Vec<SocketAddr> = match self.given(&host, port) {
            Some(given) => given.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
            None => tokio::net::lookup_host((host.as_str(), port)).await?.collect(),
        };
        if let Some(only_ipv6) = self.only_ipv6 {
            found.retain(|address| address.is_ipv6() == only_ipv6);
            if found.is_empty() {
                let family = if only_ipv6 { "IPv6" } else { "IPv4" };
                let text = format!("it has no {family} address");
                return Err(io::Error::new(io::ErrorKind::NotFound, text));
            }
        }
        Ok(found)
    }

    /// The last that is given for a host and a port.
    fn given(&self, host: &str, port: u16) -> Option<&Given> {
        let matches = |g: &&Given| g.port == port && g.host.eq_ignore_ascii_case(host);
        self.given.iter().rev().find(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_as_curl_writes_them() {
        let given = |text: &str| {
            let it: Given = text.parse().ok()?;
            Some((it.host, it.port, it.addresses.iter().map(ToString::to_string).collect()))
        };
        let is = |host: &str, port, addresses: &[&str]| {
            let addresses: Vec<String> = addresses.iter().map(|&a| a.to_owned()).collect();
            Some((host.to_owned(), port, addresses))
        };
        assert_eq!(given("a.example:80:192.0.2.1"), is("a.example", 80, &["192.0.2.1"]));
        assert_eq!(given("a:80:::1,192.0.2.1"), is("a", 80, &["::1", "192.0.2.1"]));
        assert_eq!(given("[::1]:80:[::2]"), is("::1", 80, &["::2"]));
        for wrong in ["", "a", "a:80", "a:80:", "a:x:::1", "a:80:b", "[::1:80:::1", "a:99999:::1"] {
            assert_eq!(given(wrong), None, "{wrong}");
        }
    }
}
