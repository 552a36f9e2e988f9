//! URLs of WebSockets, read as browsers read them (the WHATWG URL and WebSockets standards): the
//! crate `url` knows relative references, international names and the odd spellings of addresses,
//! and is what most of Rust's clients read them with. RFC 6455 §3 is stricter in one thing, and so
//! is this: a scheme is followed by `://`, so that a mistyped URL is no name of a host.

use std::fmt;
use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use url::{Host, Position, Url};

/// Why a text is not the URL of a WebSocket. It shows neither the URL's query nor its user and
/// password, for they may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    /// As much of it as may be shown.
    shown: String,
    why: String,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shown, why } = self;
        let with_tls = if cfg!(feature = "tls") { " or wss://host/path" } else { "" };
        write!(
            f,
            "{shown:?} is not the URL of a WebSocket: {why}; it should look like \
             ws://host:port/path{with_tls}"
        )
    }
}

impl std::error::Error for UrlError {}

/// Whom to ask for what. User and password have been taken out of the URL.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// With the scheme `ws` or `wss`, without a user, a password and a fragment.
    url: Url,
    /// What user and password of the URL make: the value of an `Authorization` field.
    pub(super) authorization: Option<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl fmt::Display for Target {
    /// Without the query: it may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url[..Position::AfterPath])
    }
}

impl Target {
    /// `ws://`, `wss://`, and `http://` and `https://` for the same (WHATWG WebSockets §3.1).
    pub(super) fn parse(text: &str) -> Result<Self, UrlError> {
        let refuse = |why: &str| UrlError { shown: shown(text), why: why.to_owned() };
        let trimmed = text.trim_matches(|c: char| c <= ' ');
        let Some((scheme, rest)) = trimmed.split_once("://") else {
            return Err(refuse(&format!("the scheme is missing{BEGIN}")));
        };
        if !SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
            return Err(refuse(&format!("the scheme is {scheme}{BEGIN}")));
        }
        if rest.starts_with(['/', '\\', '?', '#']) {
            return Err(refuse("the host is missing"));
        }
        if has_zone(rest) {
            return Err(refuse(NO_ZONE));
        }
        let url = Url::parse(trimmed).map_err(|error| refuse(&error.to_string()))?;
        // RFC 6455 §3: it would never be sent.
        if url.fragment().is_some() {
            return Err(refuse("it has a fragment (write # as %23)"));
        }
        Self::of(url).map_err(|why| refuse(&why))
    }

    /// Where a `Location` field leads from here (RFC 9110 §10.2.2). Its fragment is for the page
    /// that would be shown.
    pub(super) fn join(&self, location: &str) -> Result<Self, UrlError> {
        let refuse = |why: &str| UrlError { shown: shown(location), why: why.to_owned() };
        let mut url = self.url.join(location).map_err(|error| refuse(&error.to_string()))?;
        if !SCHEMES.contains(&url.scheme()) {
            return Err(refuse(&format!("the scheme is {}{BEGIN}", url.scheme())));
        }
        url.set_fragment(None);
        Self::of(url).map_err(|why| refuse(&why))
    }

    fn of(mut url: Url) -> Result<Self, String> {
        let secure = matches!(url.scheme(), "wss" | "https");
        if secure && !cfg!(feature = "tls") {
            return Err("this program is built without TLS (feature `tls` of adieu)".to_owned());
        }
        let authorization = basic(&url)?;
        let scheme = if secure { "wss" } else { "ws" };
        // These cannot fail: the schemes have hosts, and all are special ones (WHATWG URL §3.1).
        let _ = url.set_scheme(scheme);
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Target { url, authorization })
    }

    /// All of it, to be compared and never shown.
    pub(super) fn whole(&self) -> String {
        self.url.as_str().to_owned()
    }

    pub(super) fn is_secure(&self) -> bool {
        self.url.scheme() == "wss"
    }

    /// Name or address, an IPv6 address without its brackets.
    pub(super) fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            host => host.map(|host| host.to_string()).unwrap_or_default(),
        }
    }

    /// The address, where the host is none to be looked up.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// For the `Host` field: the port only where it is not the scheme's own (RFC 6455 §4.1).
    pub(super) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// Host and port, for a proxy (RFC 9112 §3.2.3: the port is always there).
    pub(super) fn host_and_port(&self) -> String {
        let host = &self.url[Position::BeforeHost..Position::AfterHost];
        format!("{host}:{}", self.port())
    }

    /// Path and query.
    pub(super) fn path_and_query(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }

    /// Whether both are of one origin (RFC 6454 §4): scheme, host and port.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }
}

/// Whether the host is an IPv6 address with a zone, as in `[fe80::1%25eth0]` (RFC 6874).
fn has_zone(rest: &str) -> bool {
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.strip_prefix('[')
        .and_then(|host| host.split_once(']'))
        .is_some_and(|(ip, _)| ip.contains('%'))
}

/// The WHATWG URL standard leaves zones out on purpose (§3.5), and so no browser knows them.
const NO_ZONE: &str = "an address in a URL cannot name a network interface; write a name instead, \
                       and give the address with its scope to `Client::resolve`";

/// A name by which it can be compared with others: international names in ASCII, in small letters,
/// without the dot that may stand at the end (RFC 1034 §3.1).
pub(super) fn canonical_name(name: &str) -> String {
    let parsed = Host::parse(name).map(|host| host.to_string());
    let ascii = parsed.unwrap_or_else(|_| name.to_ascii_lowercase());
    let bare = ascii.trim_start_matches('[').trim_end_matches([']', '.']);
    bare.to_owned()
}

const BEGIN: &str = ": begin with ws:// or wss://";

const SCHEMES: [&str; 4] = ["ws", "wss", "http", "https"];

/// User and password of a URL as the value of a field (RFC 7617).
pub(super) fn basic(url: &Url) -> Result<Option<String>, String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let user: Vec<u8> = percent_decode_str(url.username()).collect();
    let password: Vec<u8> = percent_decode_str(url.password().unwrap_or_default()).collect();
    basic_of(&user, &password).map(Some).map_err(str::to_owned)
}

/// User and password as the value of a field (RFC 7617).
pub(super) fn basic_of(user: &[u8], password: &[u8]) -> Result<String, &'static str> {
    // §2: the first colon ends the user.
    if user.contains(&b':') {
        return Err("the user has a colon, which Basic authentication cannot say");
    }
    if user.iter().chain(password).any(u8::is_ascii_control) {
        return Err("the user or the password has a control character");
    }
    let both = [user, b":", password].concat();
    Ok(format!("Basic {}", STANDARD.encode(both)))
}

/// What may be shown of a text that may be no URL: nothing behind a `?` or `#`, and of one with an
/// `@` only the scheme, for what stands where in it is not known.
pub(super) fn shown(text: &str) -> String {
    if text.contains('@') {
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        return format!("{scheme}://…");
    }
    text.split(['?', '#']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether TLS is used, host, port, Host field, path and query.
    fn parts(text: &str) -> Option<(bool, String, u16, String, String)> {
        let it = Target::parse(text).ok()?;
        let (authority, target) = (it.authority().to_owned(), it.path_and_query().to_owned());
        Some((it.is_secure(), it.host(), it.port(), authority, target))
    }

    #[test]
    fn urls_are_read_as_the_rfc_and_browsers_read_them() {
        let cases = [
            ("ws://a", "a", 80, "a", "/"),
            ("ws://a:80/", "a", 80, "a", "/"),
            ("ws://a:8080/x?y", "a", 8080, "a:8080", "/x?y"),
            ("WS://A?y", "a", 80, "a", "/?y"),
            ("http://a:81/x", "a", 81, "a:81", "/x"),
            ("ws://[::1]:81/", "::1", 81, "[::1]:81", "/"),
            ("ws://[::1]/", "::1", 80, "[::1]", "/"),
            ("ws://[0:0::1]/", "::1", 80, "[::1]", "/"),
            ("ws://127.1/", "127.0.0.1", 80, "127.0.0.1", "/"),
            ("ws://h/ws/ethusdt@kline_15m", "h", 80, "h", "/ws/ethusdt@kline_15m"),
            ("ws://h/?email=a@b.c", "h", 80, "h", "/?email=a@b.c"),
            ("ws://h?email=a@b.c", "h", 80, "h", "/?email=a@b.c"),
            ("ws://h/?to=http://x/@", "h", 80, "h", "/?to=http://x/@"),
            ("ws://u:p@h/a@b", "h", 80, "h", "/a@b"),
            (
                "ws://bücher.example/ü x",
                "xn--bcher-kva.example",
                80,
                "xn--bcher-kva.example",
                "/%C3%BC%20x",
            ),
            ("ws://h/a/../b/./c", "h", 80, "h", "/b/c"),
            ("ws://h/%2e%41", "h", 80, "h", "/%2e%41"),
            (" ws://h/x\n", "h", 80, "h", "/x"),
            ("ws://under_score.example./", "under_score.example.", 80, "under_score.example.", "/"),
        ];
        for (text, host, port, authority, target) in cases {
            let want = (false, host.to_owned(), port, authority.to_owned(), target.to_owned());
            assert_eq!(parts(text), Some(want), "{text}");
        }
        for bad in [
            "",
            "a",
            "a:80",
            "localhost:8080/ws",
            "//a/",
            "ws:/a",
            "ws:a",
            "ws://",
            "ws:///x",
            "ws://?x",
            "ws://a:b/",
            "ws://a:65536/",
            "ws://a b/",
            "ws://[::1/",
            "ws://1.2.3.256/",
            "ws://a/#f",
            "ws://a/?x#",
            "ftp://a/",
            "wsss://a/",
            "ws://a%00b/",
            "ws://u%3Ax@h/",
            "ws://u%0a:p@h/",
            "file:///etc/passwd",
            "ws://xn--a/",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}: {:?}", parts(bad));
        }
    }

    #[test]
    fn an_address_with_a_zone_is_refused_with_the_way_out() {
        for url in ["ws://[fe80::1%25eth0]/", "ws://u:p@[fe80::1%eth0]:80/x", "wss://[fe80::1%1]"] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(error.contains("Client::resolve"), "{error}");
        }
        let error = Target::parse("ws://h/[::1%eth0]").err();
        assert_eq!(error, None);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn secure_urls_have_a_port_of_their_own() {
        for text in ["wss://a/x", "https://a/x", "wss://a:443/x"] {
            let want = (true, "a".to_owned(), 443, "a".to_owned(), "/x".to_owned());
            assert_eq!(parts(text), Some(want), "{text}");
        }
        assert_eq!(Target::parse("wss://a/").unwrap().host_and_port(), "a:443");
    }

    #[test]
    fn user_and_password_become_a_field() {
        let of = |text| Target::parse(text).unwrap().authorization;
        let basic = |text: &str| Some(format!("Basic {}", STANDARD.encode(text)));
        assert_eq!(of("ws://h/"), None);
        assert_eq!(of("ws://Aladdin:open%20sesame@h/"), basic("Aladdin:open sesame"));
        assert_eq!(of("ws://u@h/"), basic("u:"));
        assert_eq!(of("ws://:p@h/"), basic(":p"));
        assert_eq!(of("ws://u:p%3a%40%C3%A9@h/"), basic("u:p:@é"));
        assert_eq!(of("ws://u:a@b@h/"), basic("u:a@b"));
    }

    #[test]
    fn a_location_leads_where_rfc_3986_says() {
        let base = Target::parse("ws://u:p@h:81/a/b?c").unwrap();
        let join = |location: &str| base.join(location).map(|it| it.url.to_string()).ok();
        let cases = [
            ("/x", "ws://h:81/x"),
            ("x", "ws://h:81/a/x"),
            ("../x?y", "ws://h:81/x?y"),
            ("?d", "ws://h:81/a/b?d"),
            ("//other/x", "ws://other/x"),
            ("http://other:80/x#part", "ws://other/x"),
            ("#part", "ws://h:81/a/b?c"),
        ];
        for (location, want) in cases {
            assert_eq!(join(location).as_deref(), Some(want), "{location}");
        }
        assert_eq!(join("mailto:a@b"), None);
        assert_eq!(join("http://a:b/"), None);
        assert_eq!(base.join("/x").unwrap().authorization, None);
    }

    #[test]
    fn no_error_shows_a_secret() {
        for text in [
            "ws://user:secret@h:port/x?token=secret",
            "ws://h:port/x?token=secret",
            "ws://user:se?cret@h:port/",
            "ws://user:se/cret@h/#f",
            "user:secret@h",
            "http//h/?secret",
            "ws://h/#secret",
        ] {
            let shown = Target::parse(text).unwrap_err().to_string();
            assert!(!shown.contains("secret") && !shown.contains("cret"), "{shown}");
            assert!(!shown.contains("user:"), "{shown}");
        }
        let target = Target::parse("ws://user:secret@h/path?token=secret").unwrap();
        assert_eq!(target.to_string(), "ws://h/path");
        assert_eq!(format!("{target:?}"), "Target(ws://h/path)");
    }
}
