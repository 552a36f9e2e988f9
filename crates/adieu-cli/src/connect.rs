//! `adieu connect`: a terminal as a WebSocket client. Lines go in, messages come out, and at the
//! end it says how it ended.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use adieu::{Client, CloseCode, ConnectError, Ending, Message, Sender, Socket};
use clap::Args;
use tokio::sync::mpsc;

use adieu_check::trust;

/// Lines that were read and not sent yet; more stay with whoever writes them.
const LINES: usize = 16;

/// No connection was to be had: neither a clean end nor another.
const CANNOT: u8 = 2;

/// Whom to talk to.
#[derive(Args, Clone)]
pub(crate) struct Connect {
    /// The server: ws://HOST[:PORT]/PATH or wss://…
    url: String,
    /// Offer this subprotocol; may be given several times, the preferred one first
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,
    /// Send this field with the request; may be given several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = field)]
    header: Vec<(String, String)>,
    /// Trust the certificates in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long)]
    insecure: bool,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a field looks like `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Runs until either side ends. Exit code 0: cleanly; 1: in another way; 2: never connected.
pub(crate) async fn run(options: &Connect) -> ExitCode {
    let socket = match open(options).await {
        Ok(socket) => socket,
        Err(why) => {
            eprintln!("adieu connect: {why}");
            return ExitCode::from(CANNOT);
        }
    };
    eprintln!("{}", greeting(&socket));
    let ending = talk(socket).await;
    eprintln!("{ending}.");
    if ending.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn open(options: &Connect) -> Result<Socket, String> {
    let mut client = Client::new();
    for (name, value) in &options.header {
        client = client.header(name, value);
    }
    for name in &options.subprotocol {
        client = client.subprotocol(name);
    }
    if options.ca.is_some() || options.insecure {
        client = client.tls(trust::client_config(options.ca.as_ref(), options.insecure)?);
    }
    client.connect(&options.url).await.map_err(|error| match error {
        ConnectError::Handshake(error, ending) => format!("{error}. {ending}."),
        // The error names each address; of the URL, user and query are secrets.
        ConnectError::Io(_) => format!("{error}; is a server running there?"),
        error => error.to_string(),
    })
}

fn greeting(socket: &Socket) -> String {
    let subprotocol = socket.subprotocol().map(|name| format!(", subprotocol {name}"));
    format!(
        "Connected to {}{}. Lines are sent as text; the end of input or Ctrl-C says goodbye.",
        socket.peer(),
        subprotocol.unwrap_or_default()
    )
}

/// Passes lines and messages on until the connection is over.
async fn talk(mut socket: Socket) -> Ending {
    let typing = tokio::spawn(type_lines(socket.sender()));
    let mut leave = std::pin::pin!(crate::stop_signal());
    let mut left = false;
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(message) => show(&message),
                None => break,
            },
            () = &mut leave, if !left => {
                left = true;
                socket.sender().close(CloseCode::NORMAL);
            }
        }
    }
    typing.abort();
    socket.ended().await
}

/// Sends the lines of standard input, then says goodbye.
async fn type_lines(sender: Sender) {
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        if sender.send(line).await.is_err() {
            return;
        }
    }
    sender.close(CloseCode::NORMAL);
}

/// Standard input, line by line. A thread reads it that the program's end does not wait for.
fn lines() -> mpsc::Receiver<String> {
    let (to, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if to.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn show(message: &Message) {
    let mut out = std::io::stdout().lock();
    // Nobody to print for is no reason to stop listening.
    let _ = match message.as_text() {
        Some(text) => writeln!(out, "{text}"),
        None => writeln!(out, "[binary, {} bytes]", message.len()),
    };
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_name_and_a_value() {
        let it = field("Authorization: Bearer a:b").unwrap();
        assert_eq!(it, ("Authorization".to_owned(), "Bearer a:b".to_owned()));
        assert!(field("nothing").is_err());
    }
}
