//! The library's client, as the command line wants it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use adieu::tls::rustls::ClientConfig;
use adieu::tls::with_client_certificate;
use adieu::{Client, Config, ConnectError, Deflate, Ended, Socket};
use adieu_check::trust;

use super::exit::Exit;
use super::options::{Connect, Request, Tls};
use super::report;
use super::resolve::{self, Resolver};

/// Why there is no connection.
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// In words, without a secret.
    pub(super) why: String,
    pub(super) error: Option<ConnectError>,
}

impl Failure {
    fn new(exit: Exit, why: impl Into<String>) -> Self {
        Failure { exit, why: why.into(), error: None }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = Exit::of_error(&error);
        let why = format!("{error}{}", help(exit, &error));
        Failure { exit, why, error: Some(error) }
    }
}

/// What to do, where that is known.
fn help(exit: Exit, error: &ConnectError) -> &'static str {
    match exit {
        Exit::Unreached => match error {
            ConnectError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                "; is the name spelled right?"
            }
            ConnectError::Io(_) => "; is a server running there?",
            _ => "",
        },
        Exit::Tls if is_untrusted(&error.to_string()) => {
            "; --cacert FILE trusts the certificates in a file, --insecure any"
        }
        Exit::Refused if matches!(error, ConnectError::Handshake(..)) && redirects(error) => {
            "; -L follows redirects"
        }
        _ => "",
    }
}

/// Whether a certificate would do if somebody said that it does. These are rustls' words.
fn is_untrusted(error: &str) -> bool {
    ["UnknownIssuer", "CaUsedAsEndEntity"].iter().any(|word| error.contains(word))
}

/// Whether the answer is a redirect that can be followed: with `-L` it was not for want of a
/// `Location` that is text.
fn redirects(error: &ConnectError) -> bool {
    let answer = error.refusal().filter(|it| report::is_redirect(it.status));
    answer.is_some_and(|it| it.header("Location").is_some())
}

/// Connects.
pub(super) async fn open(options: &Connect) -> Result<Socket, Failure> {
    let client = client(options)?;
    if options.way.http2 && !is_secure(&options.url) {
        // FAQ: connect-http2
        let why = "--http2 is for TLS, in which the server chooses HTTP/2: begin the URL with \
                   wss://, or leave --http2 out";
        return Err(Failure::new(Exit::Usage, why));
    }
    let asked_first = options.way.proxy.as_ref().unwrap_or(&options.url);
    if let Some(why) = resolve::unwanted(&options.way, asked_first) {
        return Err(Failure::new(Exit::Unreached, format!("cannot connect: {why}")));
    }
    #[cfg(unix)]
    if let Some(path) = &options.way.unix_socket {
        if is_secure(&options.url) {
            // FAQ: connect-unix-socket
            let why = "through --unix-socket nothing is encrypted: the URL has to begin with ws://";
            return Err(Failure::new(Exit::Usage, why));
        }
        return Ok(client.connect_unix(path, &options.url).await?);
    }
    Ok(client.connect(&options.url).await?)
}

/// Whether a URL asks for TLS.
fn is_secure(url: &str) -> bool {
    let scheme = url.trim_start().get(..6).unwrap_or_default();
    scheme.eq_ignore_ascii_case("wss://") || scheme.eq_ignore_ascii_case("https:")
}

fn client(options: &Connect) -> Result<Client, Failure> {
    let mut client = asking(&options.request)?.config(config(options)).http2(options.way.http2);
    client = client.redirects(options.request.redirects());
    if let Some(proxy) = &options.way.proxy {
        client = client.proxy(proxy);
    }
    if options.way.proxy_from_env {
        client = client.proxy_from_env();
    }
    if let Some(resolver) = Resolver::of(&options.way) {
        client = client.resolver(move |host, port| resolver.clone().addresses(host, port));
    }
    if let Some(tls) = tls(&options.tls)? {
        client = client.tls(tls);
    }
    if options.output.verbose {
        client = client.on_end(|ended: Ended<'_>| report::redirect(ended.ending));
    }
    Ok(client)
}

/// What of the options stands in the request. No error shows a value: it may be secret.
fn asking(request: &Request) -> Result<Client, Failure> {
    let mut client = Client::new();
    for field in &request.header {
        let (name, value) = field.split_once(':').ok_or_else(|| {
            // FAQ: connect-header
            Failure::new(Exit::Usage, "a --header looks like 'Name: value': one has no colon")
        })?;
        client = client.header(name.trim(), value.trim());
    }
    for name in &request.subprotocol {
        client = client.subprotocol(name);
    }
    if let Some(origin) = &request.origin {
        client = client.header("Origin", origin);
    }
    if let Some(both) = &request.user {
        let (user, password) = both.split_once(':').unwrap_or((both, ""));
        client = client.basic_auth(user, password);
    }
    Ok(client)
}

fn config(options: &Connect) -> Config {
    let Connect { limits, request: Request { compress, .. }, .. } = options;
    // With --binary all that is sent is binary.
    let deflate = || Deflate { binary: options.output.binary, ..Deflate::default() };
    let default = Config::default();
    let interval = limits.ping_interval.map(|length| (length != std::time::Duration::MAX, length));
    Config {
        handshake_timeout: limits.connect_timeout.unwrap_or(default.handshake_timeout),
        ping_interval: interval.map_or(default.ping_interval, |(on, length)| on.then_some(length)),
        pong_timeout: limits.pong_timeout.unwrap_or(default.pong_timeout),
        write_timeout: limits.write_timeout.unwrap_or(default.write_timeout),
        close_timeout: limits.close_timeout.unwrap_or(default.close_timeout),
        max_message: limits.max_message.unwrap_or(default.max_message),
        deflate: compress.then(deflate),
        ..default
    }
}

/// `None` if the system is trusted and nothing is shown: then the library does what it does.
fn tls(options: &Tls) -> Result<Option<Arc<ClientConfig>>, Failure> {
    if options.cacert.is_none() && !options.insecure && options.cert.is_none() {
        return Ok(None);
    }
    // Without a file of ours, it is the system that has no certificates.
    let exit = if options.cacert.is_some() { Exit::Usage } else { Exit::Tls };
    let trusting = trust::client_config(options.cacert.as_ref(), options.insecure)
        .map_err(|why| Failure::new(exit, why))?;
    let Some(cert) = &options.cert else { return Ok(Some(trusting)) };
    let key: &Path = options.key.as_ref().unwrap_or(cert);
    let showing = with_client_certificate(&trusting, cert, key);
    let showing = showing.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    Ok(Some(showing))
}
