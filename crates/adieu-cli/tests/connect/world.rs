//! The command, and what it says.

use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use testkit::{Frame, Listener, Peer};

/// The command, with nothing of the environment that would change what it does.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adieu"));
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "RUST_LOG"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.arg("connect").args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// It runs, and its input stays open until it is dropped.
pub(crate) fn connect(args: &[&str]) -> Child {
    command(args).spawn().expect("adieu runs")
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Said { out, err, code: output.status.code() }
    }
}

/// Waits for the end. The input stays open meanwhile: it is not what ends it.
pub(crate) fn ended(mut child: Child) -> Said {
    let stdin = child.stdin.take();
    let output = child.wait_with_output().expect("an end");
    drop(stdin);
    output.into()
}

/// A run against nothing that has to be played.
pub(crate) fn run(args: &[&str]) -> Said {
    ended(connect(args))
}

/// A run against a server that does this with its only client.
pub(crate) fn served(args: &[&str], serve: impl FnOnce(Peer)) -> Said {
    let listener = Listener::bind();
    let url = listener.url();
    let client = connect(&[&[url.as_str()], args].concat());
    serve(listener.accept());
    ended(client)
}

/// A server that opens the WebSocket, then does this.
pub(crate) fn opened(args: &[&str], serve: impl FnOnce(&mut Peer)) -> Said {
    served(args, |mut server| {
        server.answer_101();
        serve(&mut server);
    })
}

/// Says a Close, hears the answer, and ends TCP as a server has to.
pub(crate) fn close(server: &mut Peer, close: &Frame) {
    server.send(close);
    let _ = server.read_frame();
    server.fin();
}

/// Answers the request with this and ends TCP.
pub(crate) fn refuse(mut server: Peer, answer: impl AsRef<[u8]>) {
    let _ = server.read_head();
    server.write(answer);
    server.fin();
    let _ = server.read_to_end();
}

/// The ending as a script reads it: the last line of what `--json` says.
pub(crate) fn json(said: &Said) -> serde_json::Value {
    let line = said.err.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// An address at which nothing listens.
pub(crate) fn closed_port() -> std::net::SocketAddr {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    free.local_addr().expect("its address")
}

/// Reads on a thread of its own until it ends, so that nobody waits for a reader.
pub(crate) fn read_all(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        // A terminal ends with an error.
        let _ = from.read_to_end(&mut all);
        all
    })
}
