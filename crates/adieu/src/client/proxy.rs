//! HTTP proxies: CONNECT (RFC 9110 §9.3.6), and which proxy the environment names.

use std::io;
use std::net::IpAddr;

use adieu_proto::{Answer, AnswerReader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::dial::{Deadline, Resolver, dial};
use super::error::ProxyError;
use super::url::{Target, basic, canonical_name, shown};
use crate::proxy::Cidr;

/// Bytes of a proxy's answer that are read at a time.
const READ: usize = 4 * 1024;

/// Which proxy is asked.
#[derive(Clone, Default)]
pub(super) enum Proxies {
    #[default]
    None,
    All(String),
    Environment(Environment),
}

/// What the environment names.
#[derive(Clone, Default)]
pub(super) struct Environment {
    plain: Option<String>,
    secure: Option<String>,
    none: String,
}

impl Environment {
    /// Small letters go before large ones, as with curl. `HTTP_PROXY` is not read in a CGI program:
    /// there a request's `Proxy` field sets it ("httpoxy", CVE-2016-5385).
    pub(super) fn of(var: impl Fn(&str) -> Option<String>) -> Self {
        let either = |small: &str, large: &str| var(small).or_else(|| var(large));
        let filled = |value: &String| !value.is_empty();
        let is_cgi = var("REQUEST_METHOD").is_some_and(|method| filled(&method));
        let all = || either("all_proxy", "ALL_PROXY");
        let http = var("http_proxy").or_else(|| var("HTTP_PROXY").filter(|_| !is_cgi));
        Environment {
            plain: http.or_else(all).filter(filled),
            secure: either("https_proxy", "HTTPS_PROXY").or_else(all).filter(filled),
            none: either("no_proxy", "NO_PROXY").unwrap_or_default(),
        }
    }

    fn proxy(&self, target: &Target) -> Option<&str> {
        let proxy = if target.is_secure() { &self.secure } else { &self.plain };
        proxy.as_deref().filter(|_| !self.spares(target))
    }

    /// Whether `NO_PROXY` names the target: its name or a domain that it is in, with or without a
    /// dot in front; its address or a prefix of it; each with or without a port; or `*`.
    fn spares(&self, target: &Target) -> bool {
        let host = canonical_name(&target.host());
        let (address, port) = (target.address(), target.port());
        let entries = self.none.split([',', ' ']).map(str::trim).filter(|e| !e.is_empty());
        entries.map(str::to_ascii_lowercase).any(|entry| {
            let (name, only) = split_port(&entry);
            only.is_none_or(|only| only == port) && matches_host(name, host.as_str(), address)
        })
    }
}

fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn matches_host(entry: &str, host: &str, address: Option<IpAddr>) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some(address) = address {
        let bare = entry.trim_start_matches('[').trim_end_matches(']');
        return bare.parse::<Cidr>().is_ok_and(|cidr| cidr.contains(address));
    }
    let domain = canonical_name(entry.trim_start_matches("*.").trim_start_matches('.'));
    host.strip_suffix(&domain).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

impl Proxies {
    /// The proxy for a target.
    pub(super) fn choose(&self, target: &Target) -> Result<Option<Proxy>, ProxyError> {
        let url = match self {
            Proxies::None => None,
            Proxies::All(url) => Some(url.as_str()),
            Proxies::Environment(environment) => environment.proxy(target),
        };
        url.map(Proxy::parse).transpose()
    }
}

/// A proxy that makes tunnels.
pub(super) struct Proxy {
    host: String,
    port: u16,
    authorization: Option<String>,
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, ProxyError> {
        let refuse = |why: &str| ProxyError::Url(format!("{:?}: {why}", shown(text)));
        let with_scheme =
            if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&with_scheme).map_err(|error| refuse(&error.to_string()))?;
        match url.scheme() {
            "http" => {}
            other => {
                return Err(refuse(&format!("only http:// proxies are spoken to, not {other}://")));
            }
        }
        let authorization = basic(&url).map_err(|why| refuse(&why))?;
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Proxy { host, port: url.port_or_known_default().unwrap_or(80), authorization })
    }

    /// Connects to the proxy and has it make a tunnel to the target, whose name it looks up.
    pub(super) async fn tunnel(
        &self,
        target: &Target,
        resolver: &Resolver,
        deadline: &Deadline,
        max_head: usize,
    ) -> Result<TcpStream, ProxyError> {
        let tcp = dial(resolver, &self.host, self.port, deadline).await;
        let mut tcp = tcp.map_err(ProxyError::Io)?;
        let mut reader = AnswerReader::to_connect(max_head);
        let asked = deadline
            .within(async { Ok(self.ask(&mut tcp, &mut reader, target).await) }, || {
                format!("no answer from the proxy {}:{}", self.host, self.port)
            });
        match asked.await {
            Ok(answered) => answered?,
            Err(error) => return Err(cut_short(&mut reader, false, error)),
        }
        Ok(tcp)
    }

    async fn ask(
        &self,
        tcp: &mut TcpStream,
        reader: &mut AnswerReader,
        target: &Target,
    ) -> Result<(), ProxyError> {
        let to = target.host_and_port();
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some(value) = &self.authorization {
            request.extend(["Proxy-Authorization: ", value, "\r\n"]);
        }
        request += "\r\n";
        // A proxy that refuses may do so, and end, before it reads. Its answer is there then.
        let written = tcp.write_all(request.as_bytes()).await;
        let mut bytes = [0; READ];
        loop {
            let n = match tcp.read(&mut bytes).await {
                Ok(0) => {
                    let why = written.err().unwrap_or_else(ended);
                    return Err(cut_short(reader, true, why));
                }
                Ok(n) => n,
                Err(error) => return Err(cut_short(reader, false, error)),
            };
            match reader.push(&bytes[..n]).map_err(ProxyError::Answer)? {
                None => {}
                Some(Answer::Refused(refusal)) => {
                    return Err(ProxyError::Refused(Box::new(refusal)));
                }
                Some(Answer::Agreed { rest, .. }) if rest.is_empty() => return Ok(()),
                Some(_) => return Err(ProxyError::UnexpectedBytes),
            }
        }
    }
}

/// Nothing more comes of the answer: what came of a refusal says more than why.
fn cut_short(reader: &mut AnswerReader, finished: bool, why: io::Error) -> ProxyError {
    match reader.end(finished) {
        Some(refusal) => ProxyError::Refused(Box::new(refusal)),
        None => ProxyError::Io(why),
    }
}

fn ended() -> io::Error {
    let text = "the proxy ended the connection before it had answered";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(vars: &[(&str, &str)]) -> Environment {
        let of = |name: &str| vars.iter().find(|(n, _)| *n == name);
        Environment::of(|name| of(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let target = |text| Target::parse(text).unwrap();
        let proxy =
            |vars: &[(&str, &str)], url| environment(vars).proxy(&target(url)).map(str::to_owned);
        let ws = "ws://h/";
        assert_eq!(proxy(&[("http_proxy", "a"), ("HTTP_PROXY", "b")], ws), Some("a".into()));
        assert_eq!(proxy(&[("HTTP_PROXY", "b")], ws), Some("b".into()));
        let cgi = [("HTTP_PROXY", "b"), ("REQUEST_METHOD", "GET")];
        assert_eq!(proxy(&cgi, ws), None, "httpoxy");
        assert_eq!(proxy(&[("https_proxy", "s")], ws), None);
        assert_eq!(proxy(&[("ALL_PROXY", "c")], ws), Some("c".into()));
        assert_eq!(proxy(&[("http_proxy", ""), ("ALL_PROXY", "c")], ws), None);
    }

    #[test]
    fn no_proxy_names_domains_addresses_and_ports() {
        let spares = |none: &str, url: &str| {
            let vars = [("http_proxy", "p"), ("no_proxy", none)];
            environment(&vars).proxy(&Target::parse(url).unwrap()).is_none()
        };
        for (none, url, want) in [
            ("", "ws://a.example/", false),
            ("*", "ws://a.example/", true),
            ("example", "ws://a.example/", true),
            (".example", "ws://a.example/", true),
            ("x, A.Example", "ws://a.example/", true),
            ("ample", "ws://a.example/", false),
            ("a.example.", "ws://a.example/", true),
            ("a.example", "ws://a.example./", true),
            ("b\u{fc}cher.example", "ws://b\u{fc}cher.example/", true),
            ("*.example", "ws://a.example/", true),
            (".", "ws://a.example/", false),
            ("a.example:81", "ws://a.example/", false),
            ("a.example:80", "ws://a.example/", true),
            ("127.0.0.1", "ws://127.0.0.1:9/", true),
            ("127.0.0.0/8", "ws://127.1.2.3/", true),
            ("10.0.0.0/8", "ws://127.1.2.3/", false),
            ("::1", "ws://[::1]/", true),
            ("[::1]:80", "ws://[::1]/", true),
        ] {
            assert_eq!(spares(none, url), want, "{none} {url}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_spoken_to_is_refused_without_its_password() {
        for url in ["socks5://u:secret@p:1", "https://u:secret@p:1", "http://u:secret@p:x"] {
            let error = Proxy::parse(url).err().expect("an error").to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let proxy = Proxy::parse("u:p@h:3128").unwrap();
        assert_eq!((&*proxy.host, proxy.port), ("h", 3128));
        assert_eq!(proxy.authorization.as_deref(), Some("Basic dTpw"));
    }
    /// A proxy that has too much to do answers who has asked nothing, and resets.
    #[tokio::test]
    async fn an_answer_from_before_the_question_is_heard() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(ours, listener.accept());
        let (mut ours, (mut theirs, _)) = (ours.unwrap(), theirs.unwrap());
        let answer = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 7\r\n\r\nfull";
        theirs.write_all(answer).await.unwrap();
        socket2::SockRef::from(&theirs).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(theirs);
        ours.ready(tokio::io::Interest::ERROR).await.unwrap();
        let proxy = Proxy::parse("p").unwrap();
        let target = Target::parse("ws://h/").unwrap();
        let error = proxy.ask(&mut ours, &mut AnswerReader::to_connect(1000), &target).await;
        let Err(ProxyError::Refused(refusal)) = error else { panic!("{error:?}") };
        assert_eq!((refusal.status, &*refusal.body_text()), (503, "full"));
    }
}
