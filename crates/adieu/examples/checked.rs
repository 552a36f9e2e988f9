//! A server for `adieu check`: nothing but defaults, an echo, and the convention of docs/check.md,
//! by which a check asks for what only a server can do.
//!
//! `adieu check ws://127.0.0.1:9001/ --cmd "target/release/examples/checked 127.0.0.1:9001"`
//! With `--features deflate` and `--compress` behind the address, messages are compressed.

use std::process::ExitCode;

use adieu::{Close, CloseCode, Config, Server, Socket};

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

#[tokio::main]
async fn main() -> std::io::Result<ExitCode> {
    let mut words = std::env::args().skip(1);
    let addr = words.next().unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let config = config(words.next().as_deref() == Some("--compress"));
    let listener = adieu::listen(&addr).await?;
    println!("checked is listening on ws://{}/", listener.local_addr()?);
    let server = Server::new(handler).config(config).drain_when(signal());
    let drained = server.serve_on(listener).await?;
    println!("{drained}");
    Ok(if drained.given_up == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
