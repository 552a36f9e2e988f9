//! A server for `adieu check`: nothing but defaults, an echo, and the convention of docs/check.md,
//! by which a check asks for what only a server can do.
//!
//! `adieu check ws://127.0.0.1:9001/ --cmd "target/release/examples/checked 127.0.0.1:9001"`
//! With `--features deflate` and `--compress` behind the address, messages are compressed; with
//! `--features http2` and `--http2 CERT KEY` it serves TLS and HTTP/2 as well, with `--http2` alone
//! HTTP/2 by prior knowledge.

use std::process::ExitCode;

use adieu::{Close, CloseCode, Config, Handler, Server, Socket};

/// Bytes of each message that is asked for.
const MESSAGE: usize = 16 * 1024;

async fn handler(mut socket: Socket) -> Close {
    while let Some(message) = socket.recv().await {
        let asked = message.as_text().and_then(|text| text.strip_prefix("adieu-check:"));
        let sent = match asked.and_then(|asked| asked.split_once(' ')) {
            Some(("send", bytes)) => send(&socket, bytes.parse().unwrap_or(0)).await,
            Some(("close", code)) => return close(code),
            _ if asked == Some("panic") => panic!("as the check asked"),
            _ => socket.send(message).await,
        };
        if sent.is_err() {
            break;
        }
    }
    CloseCode::NORMAL.into()
}

async fn send(socket: &Socket, mut bytes: usize) -> Result<(), adieu::Closed> {
    while bytes > 0 {
        let part = bytes.min(MESSAGE);
        socket.send(vec![0x55; part]).await?;
        bytes -= part;
    }
    Ok(())
}

fn close(asked: &str) -> Close {
    let (code, reason) = asked.split_once(' ').unwrap_or((asked, ""));
    let code = code.parse().unwrap_or(1000);
    Close::new(code, reason).unwrap_or(CloseCode::INTERNAL_ERROR.into())
}

/// SIGTERM, or Ctrl-C.
async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// The defaults, with compression if it is asked for.
fn config(compress: bool) -> Config {
    #[cfg(feature = "deflate")]
    let config = Config { deflate: compress.then(adieu::Deflate::default), ..Config::default() };
    #[cfg(not(feature = "deflate"))]
    let config = Config::default();
    if compress && !cfg!(feature = "deflate") {
        eprintln!("--compress needs the feature deflate: build with --features deflate");
        std::process::exit(2);
    }
    config
}

/// The same server over HTTP/2, with the files of a certificate and its key over TLS.
#[cfg(feature = "http2")]
fn over_http2<H: Handler>(server: Server<H>, files: &[String]) -> std::io::Result<Server<H>> {
    #[cfg(feature = "tls")]
    if let [cert, key] = files {
        return Ok(server.tls(adieu::tls::server_config(cert, key)?).http2(true));
    }
    match files {
        [] => Ok(server.http2_cleartext(true)),
        _ => Err(std::io::Error::other("--http2 [CERT KEY], with the feature tls")),
    }
}

#[cfg(not(feature = "http2"))]
fn over_http2<H: Handler>(_: Server<H>, _: &[String]) -> std::io::Result<Server<H>> {
    Err(std::io::Error::other("--http2 needs the feature http2: build with --features http2,tls"))
}

#[tokio::main]
async fn main() -> std::io::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let addr = words.first().map_or("127.0.0.1:9001", String::as_str);
    let option = words.get(1).map(String::as_str);
    let listener = adieu::listen(addr).await?;
    println!("checked is listening on ws://{}/", listener.local_addr()?);
    let config = config(option == Some("--compress"));
    let mut server = Server::new(handler).config(config).drain_when(signal());
    if option == Some("--http2") {
        server = over_http2(server, &words[2..])?;
    }
    let drained = server.serve_on(listener).await?;
    println!("{drained}");
    Ok(if drained.given_up == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
