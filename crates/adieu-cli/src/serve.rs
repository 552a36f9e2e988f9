//! `adieu serve`: runs the gateway until a signal ends it.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use adieu::tls::CertificateFiles;
use adieu::{Drain, Endpoint};
use adieu_gateway::gateway::Gateway;
use adieu_gateway::serve::{Handshakes, Site, room_for_connections, serve};

use crate::listen::{Bound, Listen};
use crate::say::{say, say_over, warn};
use crate::service_manager::{self, Phase, ServiceManager};
use crate::signals::{Reloads, Signals};
use crate::{Serve, certificates, greeting, room};

/// Exit code when not every connection ended cleanly.
const NOT_CLEAN: u8 = 3;

/// Exit code when the backend was never told of some events, and nobody will tell it.
const NEVER_TOLD: u8 = 4;

/// How often the progress of a goodbye is shown.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// Serves until it is told to stop.
pub(crate) async fn run(options: &Serve) -> Result<ExitCode, String> {
    // First of all: a renewal of certificates may ask for a reload before the store is open.
    let reloads = Reloads::new();
    let files = options.certificate()?;
    let tls = files.as_ref().map(CertificateFiles::server_config).transpose();
    let tls = tls.map_err(|error| format!("TLS: {error}"))?;
    let access = options.sessions.access()?;
    look_for_room(options)?;
    // Before the store: where the port is taken, no session is touched.
    let mut bound = service_manager::listeners()?;
    if bound.is_empty() {
        bound = bind(options).await?;
    } else {
        warn_of_unused(&options.listen, &bound);
    }
    let (gateway, store) = options.sessions.start().await?;
    // Before anybody reads that it listens and sends one.
    let signals = Signals::of_a_server();
    greeting::say_hello(options, &bound, &access, tls.is_some());
    let (listeners, socket_files): (Vec<_>, Vec<_>) =
        bound.into_iter().map(|bound| (bound.listener, bound.file)).unzip();
    let drain = Drain::new();
    let manager = ServiceManager::ready(gateway.clone(), drain.clone());
    let watched = certificates::watch(files, options.tls_look, reloads, manager.clone());
    let watching = tokio::spawn(watched);
    tokio::spawn(stop_on_signal(signals, gateway.clone(), drain.clone(), manager.clone()));
    let handshakes =
        Handshakes { all: options.max_handshakes, each: options.max_handshakes_per_address };
    let origins = options.sessions.origins();
    let Serve { compress, http2, .. } = *options;
    let endpoint = endpoint(options);
    let site = Site { endpoint, origins, access, tls, compress, http2, handshakes, store };
    let drained = serve(listeners, &gateway, site, &drain).await;
    watching.abort();
    drop(socket_files);
    let drained = drained.map_err(|error| error.to_string())?;
    say(format_args!("{drained}."));
    manager.tell(Phase::LastEvents);
    gateway.stop().await.map_err(|error| error.to_string())?;
    Ok(exit_code(drained.is_clean(), gateway.never_told()))
}

async fn bind(options: &Serve) -> Result<Vec<Bound>, String> {
    let mut bound = Vec::new();
    let earlier = |index: usize| &options.listen[..index];
    let mut named = options.listen.iter().enumerate().filter(|(_, it)| !it.takes_a_free_port());
    if let Some((_, twice)) = named.find(|(index, it)| earlier(*index).contains(it)) {
        return Err(format!("--listen {twice} is given twice: leave one of them out"));
    }
    for listen in &options.listen {
        bound.push(listen.bind().await?);
    }
    Ok(bound)
}

/// What a service manager has handed over is all that is listened on.
fn warn_of_unused(asked: &[Listen], bound: &[Bound]) {
    let others = asked.iter().map(Listen::to_string);
    let unused =
        |other: &String| other != Listen::DEFAULT && bound.iter().all(|bound| bound.name != *other);
    for other in others.filter(unused) {
        let here: Vec<&str> = bound.iter().map(|bound| &*bound.name).collect();
        warn(format_args!(
            // FAQ: serve-listen-unused
            "--listen {other} is not used, for the service manager has handed over the socket \
             {}: change its socket unit, or disable it",
            here.join(" and ")
        ));
    }
}

/// The exit code, where all is over.
fn exit_code(clean: bool, never_told: usize) -> ExitCode {
    match never_told {
        0 if clean => ExitCode::SUCCESS,
        0 => ExitCode::from(NOT_CLEAN),
        lost => {
            let events = if lost == 1 { "1 event was" } else { &*format!("{lost} events were") };
            warn(format_args!(
                // FAQ: serve-never-told
                "{events} never told, because the backend did not take them in time; with --data \
                 the next start would tell them"
            ));
            ExitCode::from(NEVER_TOLD)
        }
    }
}

/// Connections are what a gateway is for: says where the system allows hardly any.
fn look_for_room(options: &Serve) -> Result<(), String> {
    let room = room_for_connections();
    if room == 0 {
        // FAQ: serve-no-room
        return Err(format!(
            "cannot serve: {}, so that no connection would have a descriptor beside those that \
             are kept; raise it to 1024 or more",
            room::limit()
        ));
    }
    if let Some(max) = options.max_connections.filter(|max| *max > room) {
        warn(format_args!(
            "--max-connections {max} cannot be reached: ulimit -n leaves room for {room} \
             connections; raise it to {} or more",
            max.saturating_add(512)
        ));
    }
    Ok(())
}

impl Serve {
    /// The files of the certificate, if there is one.
    fn certificate(&self) -> Result<Option<CertificateFiles>, String> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        CertificateFiles::open(cert, key).map(Some).map_err(|error| format!("TLS: {error}"))
    }
}

/// What the options say of WebSockets.
fn endpoint(options: &Serve) -> Endpoint {
    let endpoint = Endpoint::new().trust_proxies(options.trust_proxy.iter().copied());
    match options.max_connections {
        Some(max) => endpoint.max_connections(max),
        None => endpoint,
    }
}

/// The first signal ends all well, the second at once.
async fn stop_on_signal(
    mut signals: Signals,
    gateway: Gateway,
    drain: Drain,
    manager: ServiceManager,
) {
    signals.stop().await;
    manager.tell(Phase::Stopping);
    // Each hears when to come back, before its Close.
    if let Err(error) = gateway.tell_closing().await {
        tracing::error!("{error}");
    }
    drain.start();
    let told = tokio::spawn(tell_progress(drain.clone()));
    signals.insist().await;
    told.abort();
    warn("letting go of everything at once");
    drain.force();
    signals.insist().await;
    std::process::exit(130);
}

/// Shows on a terminal how far the goodbye is.
async fn tell_progress(drain: Drain) {
    let live = drain.connections();
    if live == 0 {
        return;
    }
    let plural = if live == 1 { "connection" } else { "connections" };
    say(format_args!("Saying goodbye to {live} {plural}; Ctrl-C again to let go at once."));
    let mut progress = drain.watch();
    while std::io::stdout().is_terminal() && progress.changed().await.is_ok() {
        let left = progress.borrow_and_update().connections;
        let end = if left == 0 { "\n" } else { "" };
        say_over(format_args!("{left} of {live} left   {end}"));
        tokio::time::sleep(SHOW_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use adieu_gateway::http::{Access, Origins};

    use super::*;

    const KEY: &str = "a-key-of-many-characters";

    #[test]
    fn options_limit_connections_and_trust_proxies() {
        let text = ["adieu", "serve", "--max-connections", "1", "--trust-proxy", "127.0.0.0/8"];
        let cli = <crate::Cli as clap::Parser>::try_parse_from(text).unwrap();
        let Some(crate::Command::Serve(options)) = cli.command else { panic!("serve") };
        let drain = Drain::new();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (gateway, _) = runtime.block_on(options.sessions.start()).unwrap();
        let site = Site {
            endpoint: endpoint(&options),
            origins: Origins::default(),
            access: Access::new(Some(KEY)).unwrap(),
            tls: None,
            compress: false,
            http2: false,
            handshakes: Handshakes::default(),
            store: None,
        };
        let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = drain.clone();
        let serving =
            runtime.spawn(async move { serve([listener.into()], &gateway, site, &serving).await });

        let bearer = format!("Bearer {KEY}");
        let request = testkit::Request::rfc6455()
            .field("X-Forwarded-For", "203.0.113.7")
            .field("Authorization", &bearer);
        let mut peer = testkit::Peer::open_with(addr, &request);
        let mut second = testkit::Peer::connect(addr);
        second.write(request.bytes());
        let head = second.read_head();
        assert_eq!((head.status(), head.field("Retry-After")), (503, Some("5")));
        second.read_to_end();
        let via = format!("203.0.113.7 (via {})", peer.local_addr());
        // The 101 is out before the handler, which lists the connection, has begun.
        testkit::wait_until("the connection is listed by its client's address", || {
            let mut list = testkit::Peer::connect(addr);
            list.write(format!(
                "GET /endings HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\
                 Connection: close\r\n\r\n"
            ));
            assert_eq!(list.read_head().status(), 200);
            list.read_to_end().text().contains(&via)
        });

        drain.start();
        while peer.read_frame().close_code().is_none() {}
        peer.send(&testkit::Frame::close(1001, ""));
        peer.read_to_end();
        drop(peer);
        assert_eq!(runtime.block_on(serving).unwrap().unwrap().clean, 1);
    }
}
