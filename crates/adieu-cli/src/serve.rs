//! `adieu serve`: runs the gateway until a signal ends it.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use adieu::{Drain, Endpoint};
use adieu_gateway::gateway::Gateway;
use adieu_gateway::serve::{Site, serve};

use crate::{Serve, sessions};

/// Exit code when not every connection ended cleanly.
const NOT_CLEAN: u8 = 3;

/// How often the progress of a goodbye is shown.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// Serves until it is told to stop.
pub(crate) async fn run(options: &Serve) -> Result<ExitCode, String> {
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(cert), Some(key)) => {
            Some(adieu::tls::server_config(cert, key).map_err(|e| format!("TLS: {e}"))?)
        }
        _ => None,
    };
    let access = sessions::access()?;
    let listen = options.listen;
    let cannot = |e| {
        format!("cannot listen on {listen}: {e}; choose another address with --listen ADDR:PORT")
    };
    // First of all: where the port is taken, no session is touched.
    let listener = adieu::listen(listen).await.map_err(cannot)?;
    let gateway = options.sessions.start().await?;
    let address = listener.local_addr().map_err(cannot)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("adieu is listening on {scheme}://{address}/");
    println!("Open it in a browser, then refresh, leave, close. Ctrl-C ends it.");
    let drain = Drain::new();
    tokio::spawn(stop_on_signal(gateway.clone(), drain.clone()));
    let site =
        Site { endpoint: endpoint(options), origins: options.sessions.origins(), access, tls };
    let drained = serve(listener, &gateway, site, &drain).await;
    let drained = drained.map_err(|error| error.to_string())?;
    println!("{drained}.");
    gateway.stop().await.map_err(|error| error.to_string())?;
    Ok(if drained.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(NOT_CLEAN) })
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
async fn stop_on_signal(gateway: Gateway, drain: Drain) {
    signal().await;
    // Each hears when to come back, before its Close.
    if let Err(error) = gateway.tell_closing().await {
        tracing::error!("{error}");
    }
    drain.start();
    let told = tokio::spawn(tell_progress(drain.clone()));
    signal().await;
    told.abort();
    eprintln!("adieu: letting go of everything at once");
    drain.force();
    signal().await;
    std::process::exit(130);
}

/// Shows on a terminal how far the goodbye is.
async fn tell_progress(drain: Drain) {
    let live = drain.connections();
    if live == 0 {
        return;
    }
    let plural = if live == 1 { "connection" } else { "connections" };
    println!("Saying goodbye to {live} {plural}; Ctrl-C again to let go at once.");
    let mut progress = drain.watch();
    while std::io::stdout().is_terminal() && progress.changed().await.is_ok() {
        let left = progress.borrow_and_update().connections;
        print!("\r{left} of {live} left   {}", if left == 0 { "\n" } else { "" });
        // A terminal that is gone has nobody to show it to.
        let _ = std::io::stdout().flush();
        tokio::time::sleep(SHOW_EVERY).await;
    }
}

/// Ctrl-C, or SIGTERM where there is one.
pub(crate) async fn signal() {
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = ctrl_c => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    ctrl_c.await;
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
        let gateway = runtime.block_on(options.sessions.start()).unwrap();
        let site = Site {
            endpoint: endpoint(&options),
            origins: Origins::default(),
            access: Access::new(Some(KEY)).unwrap(),
            tls: None,
        };
        let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = drain.clone();
        let serving = runtime.spawn(async move { serve(listener, &gateway, site, &serving).await });

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
