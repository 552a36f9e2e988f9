//! What the servers share: the convention of docs/check.md, and SIGTERM.

/// Bytes of each message that is asked for.
pub const MESSAGE: usize = 16 * 1024;

/// What a text message asks for.
pub enum Asked {
    /// Send so many bytes.
    Send(usize),
    /// Close with this code and reason.
    Close(u16, String),
    /// Panic.
    Panic,
    /// Say it back.
    Echo,
}

/// Reads a text message.
pub fn asked(text: &str) -> Asked {
    let Some(asked) = text.strip_prefix("adieu-check:") else { return Asked::Echo };
    let (verb, rest) = asked.split_once(' ').unwrap_or((asked, ""));
    match verb {
        "send" => Asked::Send(rest.parse().unwrap_or(0)),
        "close" => {
            let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            Asked::Close(code.parse().unwrap_or(1000), reason.to_owned())
        }
        "panic" => Asked::Panic,
        _ => Asked::Echo,
    }
}

/// The messages of `send N`.
pub fn parts(bytes: usize) -> impl Iterator<Item = Vec<u8>> {
    let part = move |begun: usize| vec![0x55; MESSAGE.min(bytes - begun)];
    (0..bytes).step_by(MESSAGE).map(part)
}

/// The address to listen on: the first argument is the port.
pub fn addr() -> String {
    let port = std::env::args().nth(1).unwrap_or_else(|| "9001".to_owned());
    format!("127.0.0.1:{port}")
}

/// SIGTERM.
pub async fn sigterm() {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::terminate()).expect("a handler for SIGTERM").recv().await;
}
