//! Origins (RFC 6454): what a browser says of a page's site, and what an operator writes of it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A scheme, a host and a port. Two that write the port of their scheme differently are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    /// `None` where the scheme has no port of its own and none is written.
    port: Option<u16>,
}

impl Origin {
    /// What the field `Origin` says; `None` for `null` and for nonsense.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Self::of(scheme, authority)
    }

    /// The origin of this scheme that the field `Host` names.
    pub(super) fn of(scheme: &str, authority: &str) -> Option<Self> {
        let scheme = scheme.to_ascii_lowercase();
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (host, port) = split_port(authority)?;
        let port = port.or_else(|| default_port(&scheme));
        let host = host.to_ascii_lowercase();
        (is_scheme && is_host(&host)).then_some(Origin { scheme, host, port })
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether a request to this `Host` is one to this origin itself.
    pub(super) fn is_at(&self, host: &str) -> bool {
        Self::of(&self.scheme, host).as_ref() == Some(self)
    }

    /// Whether this `Host` names the same host, whatever the port: behind a proxy that is another.
    pub(super) fn has_host(&self, host: &str) -> bool {
        Self::of(&self.scheme, host).is_some_and(|named| named.host == self.host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port.filter(|port| default_port(&self.scheme) != Some(*port)) {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// RFC 6454 §4: a port that is not written is that of the scheme.
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// `None` if what is behind the colon is no port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    // The colons of an IPv6 address are in brackets.
    let after = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after..].rfind(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(after + colon);
            let digits = port[1..].bytes().all(|byte| byte.is_ascii_digit());
            Some((host, Some(port[1..].parse().ok().filter(|_| digits)?)))
        }
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !host.is_empty() && host.bytes().all(of_name)
}

/// A site whose pages may connect, as `--allow-origin` takes it: `https://example.com`,
/// `https://*.example.com` for all of its sub-domains, or `*` for any site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin(Allowed);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    Any,
    One(Origin),
    /// All names under the origin's host, and not that host.
    SubDomains(Origin),
}

impl AllowedOrigin {
    /// Whether a page of any site may connect.
    pub(super) fn is_any(&self) -> bool {
        self.0 == Allowed::Any
    }

    pub(super) fn allows(&self, origin: &Origin) -> bool {
        match &self.0 {
            Allowed::Any => true,
            Allowed::One(one) => one == origin,
            Allowed::SubDomains(of) => {
                let name = origin.host.strip_suffix(&*of.host).and_then(|n| n.strip_suffix('.'));
                let here = (&origin.scheme, origin.port) == (&of.scheme, of.port);
                here && name.is_some_and(|name| !name.is_empty())
            }
        }
    }
}

impl FromStr for AllowedOrigin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        if text == "*" {
            return Ok(AllowedOrigin(Allowed::Any));
        }
        let (scheme, authority) = parts(text)?;
        let Some(under) = authority.strip_prefix("*.") else {
            if authority.contains('*') {
                let why = "a * stands for whole sub-domains, in front of a name";
                let any = "for all sub-domains of a site write https://*.example.com, for any \
                           site --allow-origin '*'";
                return Err(BadOrigin::new(text, why, any));
            }
            return read(text, scheme, authority).map(Allowed::One).map(AllowedOrigin);
        };
        read(text, scheme, under).map(Allowed::SubDomains).map(AllowedOrigin)
    }
}

/// Where people reach the gateway, as `--public-url` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(pub(super) Origin);

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PublicUrl {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let (scheme, authority) = parts(text)?;
        let url = read(text, scheme, authority)?;
        if default_port(&url.scheme).is_none() {
            let why = format!("the gateway is not reached by the scheme {scheme:?}");
            return Err(BadOrigin::new(text, &why, "write https:// or http://"));
        }
        Ok(PublicUrl(url))
    }
}

/// An origin that matches no page: what is wrong with it, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOrigin(String);

impl BadOrigin {
    fn new(text: &str, why: &str, instead: &str) -> Self {
        // FAQ: serve-origin
        BadOrigin(format!("{text:?} is not the origin of a site: {why}; {instead}"))
    }
}

impl fmt::Display for BadOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadOrigin {}

/// The scheme and what is behind it, without a slash at the end.
fn parts(text: &str) -> Result<(&str, &str), BadOrigin> {
    let wrong = |why: &str, instead: &str| Err(BadOrigin::new(text, why, instead));
    if text == "null" {
        let instead = "only --allow-origin '*' lets those in";
        return wrong("sandboxed pages and files send it, of whatever site", instead);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let looks =
            text.split(':').next().is_some_and(|host| is_host(host.trim_start_matches("*.")));
        let example = if looks { text } else { "example.com" };
        return wrong("it has no scheme", &format!("write https://{example}"));
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if let Some(at) = rest.find(['/', '?', '#']) {
        let (authority, path) = rest.split_at(at);
        let authority = if authority.is_empty() { "example.com" } else { authority };
        let why = format!("it has no path, and {path:?} stands behind it");
        return wrong(&why, &format!("write {scheme}://{authority}"));
    }
    if let Some((_, host)) = rest.rsplit_once('@') {
        return wrong("it has no user", &format!("write {scheme}://{host}"));
    }
    if let Some(of_page) = match &*scheme.to_ascii_lowercase() {
        "ws" => Some("http"),
        "wss" => Some("https"),
        _ => None,
    } {
        let why = "it is that of a page, which no WebSocket's URL is";
        return wrong(why, &format!("write {of_page}://{rest}"));
    }
    Ok((scheme, rest))
}

fn read(text: &str, scheme: &str, authority: &str) -> Result<Origin, BadOrigin> {
    Origin::of(scheme, authority).ok_or_else(|| {
        let (why, instead) = if !authority.is_ascii() {
            ("browsers write such a name in ASCII", "write it as they do, like https://xn--…")
        } else if split_port(authority).is_none() {
            ("a port is a number up to 65535", "write it like https://example.com:8443")
        } else {
            ("no host stands there", "write it like https://example.com")
        };
        BadOrigin::new(text, why, instead)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_without_the_port_of_its_scheme() {
        for (text, written) in [
            ("HTTPS://Example.com:443", "https://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("https://example.com:80", "https://example.com:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(Origin::read(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_no_origin_is_none() {
        for text in [
            "null",
            "",
            "https://",
            "https://a b",
            "https://a:99999",
            "https://a:+80",
            "https://a:",
            "https://[::1",
            "https://a/b",
            "https://a@b",
            "://a",
            "1a://b",
            "https://[::1]x",
        ] {
            assert_eq!(Origin::read(text), None, "{text}");
        }
    }
}
