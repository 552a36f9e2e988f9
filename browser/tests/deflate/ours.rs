//! Our server and our client, and what they are set to.

use std::time::Duration;

use adieu::{Client, CloseCode, Config, Deflate, Ending, Server, Socket, WindowBits};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::talk::{Talk, talk};

/// Until a peer that was started is connected.
const PATIENCE: Duration = Duration::from_secs(120);

/// How our side is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ours {
    /// As one line switches it on: bytes are not compressed, and as a server each message of the
    /// client stands alone.
    Default,
    /// All is compressed, however short, and as a server in both directions with the text before:
    /// with a window of 12 bits for the client.
    Symmetric,
    /// All is compressed, and as a client each message of the server stands alone.
    Alone,
}

impl Ours {
    /// A sentence for the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ours::Default => "ours has its defaults",
            Ours::Symmetric => "ours has client_window_bits = 12 and compresses all messages",
            Ours::Alone => "ours has server_no_context_takeover and compresses all messages",
        }
    }

    fn config(self) -> Config {
        let all = Deflate {
            binary: true,
            min_with_history: 1,
            min_without_history: 1,
            ..Deflate::default()
        };
        let deflate = match self {
            Ours::Default => Deflate::default(),
            Ours::Symmetric => Deflate { client_window_bits: WindowBits::new(12), ..all },
            Ours::Alone => Deflate { server_no_context_takeover: true, ..all },
        };
        Config { deflate: Some(deflate), ..Config::default() }
    }
}

/// A talk and how its connection ended.
pub(crate) type Outcome = Result<(Talk, Ending), String>;

/// Which messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) count: usize,
}

enum News {
    Connected,
    Done(Box<Outcome>),
}

/// Our server, for one client.
pub(crate) struct Served {
    pub(crate) url: String,
    news: UnboundedReceiver<News>,
}

/// Starts it; it ends with its runtime.
pub(crate) async fn serve(ours: Ours, plan: Plan) -> Served {
    let listener = adieu::listen("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    let (tell, news) = unbounded_channel();
    let server = Server::new(move |socket| answer(socket, plan, tell.clone()));
    tokio::spawn(server.config(ours.config()).serve_on(listener));
    Served { url, news }
}

async fn answer(mut socket: Socket, plan: Plan, tell: UnboundedSender<News>) {
    drop(tell.send(News::Connected));
    let offered = socket.request().and_then(|request| request.header("sec-websocket-extensions"));
    let offered = offered.unwrap_or_default().to_owned();
    let outcome = match talk(&mut socket, plan.seed, plan.count).await {
        // The client closes.
        Ok(talk) => match socket.recv().await {
            None => Ok((Talk { offered, ..talk }, socket.ended().await)),
            Some(more) => Err(format!("{more:?} came behind the tally")),
        },
        Err(why) => Err(format!("{why}: {}", socket.close(CloseCode::NORMAL).await)),
    };
    drop(tell.send(News::Done(Box::new(outcome))));
}

impl Served {
    /// What came of it.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        let connected = tokio::time::timeout(PATIENCE, self.news.recv()).await;
        connected.map_err(|_| "the client does not connect")?;
        match self.news.recv().await {
            Some(News::Done(outcome)) => *outcome,
            _ => Err("the client connected twice".into()),
        }
    }
}

/// Our client, with this server.
pub(crate) async fn ask(ours: Ours, url: &str, plan: Plan) -> Outcome {
    let client = Client::new().config(ours.config());
    let mut socket = client.connect(url).await.map_err(|error| error.to_string())?;
    let talk = talk(&mut socket, plan.seed, plan.count).await;
    let ending = socket.close(CloseCode::NORMAL).await;
    talk.map(|talk| (talk, ending.clone())).map_err(|why| format!("{why}: {ending}"))
}
