//! Sessions over real sockets, with a gateway that says what the test says. What a real one does is
//! tested where it is (`crates/adieu-cli/tests/sessions`).

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::session::{Event, NotFinal, Saved, SendError, Session, Store};
use adieu::{Close, CloseCode, Closed, ConnectError, Message, Server, Socket};
use tokio::sync::mpsc;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that hands out its connections.
struct Gateway {
    url: String,
    accepted: mpsc::UnboundedReceiver<Conversation>,
}

/// A connection, and what it offered.
struct Conversation {
    socket: Socket,
    offered: Vec<String>,
}

impl Gateway {
    async fn start(subprotocols: &[&str]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let (accept, accepted) = mpsc::unbounded_channel();
        let handler = move |socket: Socket| {
            let accept = accept.clone();
            async move {
                let offered = socket.request().unwrap().subprotocols();
                let offered = offered.map(str::to_owned).collect();
                let sender = socket.sender();
                let _ = accept.send(Conversation { socket, offered });
                sender.ended().await;
                Ok::<(), Closed>(())
            }
        };
        let server = Server::new(handler).subprotocols(subprotocols.iter().copied());
        tokio::spawn(server.serve_on(listener));
        Gateway { url, accepted }
    }

    async fn accept(&mut self) -> Conversation {
        let accepted = tokio::time::timeout(PATIENCE, self.accepted.recv()).await;
        accepted.expect("a connection in time").expect("a server")
    }
}

impl Conversation {
    async fn say(&self, text: &str) {
        self.socket.send(text).await.unwrap();
    }

    async fn connected(&self, generation: u32) {
        let resumed = generation > 1;
        self.say(&format!(
            r#"{{"type":"connected","sessionId":"s","reconnectionToken":"t{generation}",
            "generation":{generation},"resumed":{resumed},"window":15000,"sequenceAck":0,
            "heartbeat":0}}"#
        ))
        .await;
    }

    async fn hear(&mut self) -> String {
        let heard = tokio::time::timeout(PATIENCE, self.socket.recv()).await.expect("a word");
        heard.expect("an open connection").as_text().unwrap().to_owned()
    }

    /// The Close that the client ends it with.
    async fn closed_by_client(mut self) -> u16 {
        while self.socket.recv().await.is_some() {}
        let ending = tokio::time::timeout(PATIENCE, self.socket.ended()).await.unwrap();
        let close = ending.closing_handshake.received().and_then(Close::code);
        close.expect("a Close").get()
    }
}

async fn next(session: &mut Session) -> Event {
    let next = tokio::time::timeout(PATIENCE, session.next()).await;
    next.expect("an event in time").expect("no end yet")
}

#[tokio::test]
async fn an_application_s_credential_is_asked_for_each_connection() {
    let mut gateway = Gateway::start(&["adieu.v1"]).await;
    let asked = Arc::new(Mutex::new(0));
    let auth = move || {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        let answer = match *asked {
            1 => Err("no credential yet"),
            n => Ok(format!("credential {n}")),
        };
        async move { answer }
    };
    let mut session = Session::builder(&gateway.url).auth(auth).connect().unwrap();
    let Event::Interrupted { code: 1006, reason, .. } = next(&mut session).await else { panic!() };
    assert_eq!(reason, "auth: no credential yet");
    let conversation = gateway.accept().await;
    assert_eq!(conversation.offered.last().unwrap(), "adieu.auth.Y3JlZGVudGlhbCAy");
    conversation.connected(1).await;
    next(&mut session).await;
    conversation.socket.close(CloseCode::GOING_AWAY).await;
    let conversation = gateway.accept().await;
    assert_eq!(conversation.offered.last().unwrap(), "adieu.auth.Y3JlZGVudGlhbCAz");
    assert_eq!(conversation.offered[1], "adieu.resume.t1.0.-.0");
}

#[tokio::test]
async fn a_server_that_does_not_speak_it_is_not_tried_again() {
    let gateway = Gateway::start(&["chat"]).await;
    let mut session = Session::connect(&gateway.url).unwrap();
    assert_eq!(session.recv().await, None);
    let ended = session.ended().unwrap();
    assert_eq!((ended.reason.word(), ended.restarts), ("unsupported", false));
    assert_eq!(session.next().await, None);
    assert_eq!(session.send("late"), Err(SendError::Over));
}

/// Remembers what it was told to keep.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<(Option<String>, bool)>>);

impl Store for Notes {
    fn keep(&mut self, saved: &Saved) -> io::Result<()> {
        let mut notes = self.0.lock().unwrap();
        notes.0 = Some(serde_json::to_string(saved)?);
        if notes.1 { Err(io::Error::other("disk full")) } else { Ok(()) }
    }

    fn forget(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().0 = None;
        Ok(())
    }
}

impl Notes {
    fn kept(&self) -> Option<Saved> {
        let notes = self.0.lock().unwrap();
        notes.0.as_ref().map(|text| serde_json::from_str(text).unwrap())
    }
}

#[tokio::test]
async fn what_is_sent_is_kept_before_it_leaves() {
    let mut gateway = Gateway::start(&["adieu.v1"]).await;
    let notes = Notes::default();
    let builder = Session::builder(&gateway.url).store(notes.clone());
    let mut session = builder.connect().unwrap();
    let mut conversation = gateway.accept().await;
    assert!(notes.kept().is_some(), "the nonce, before it is offered");
    conversation.connected(1).await;
    session.sender().send("hello").unwrap();
    let said = conversation.hear().await;
    assert_eq!(said, r#"{"type":"message","sequenceId":1,"text":"hello"}"#);
    let kept = notes.kept().unwrap();
    assert_eq!((kept.session_id(), kept.unacknowledged()), (Some("s"), 1));
    next(&mut session).await;
    notes.0.lock().unwrap().1 = true;
    conversation.say(r#"{"type":"sequenceAck","sequenceId":1}"#).await;
    assert!(session.committed().await);
    assert_eq!(next(&mut session).await, Event::NotKept { error: "disk full".into() });
    // A process that is killed closes nothing; the next one goes on with what was kept.
    let next = Session::builder(&gateway.url).resume(notes.kept()).connect().unwrap();
    let mut other = gateway.accept().await;
    assert_eq!(other.offered[1], "adieu.resume.t1.0.-.1");
    other.connected(2).await;
    let goodbye = tokio::spawn(next.goodbye());
    assert_eq!(other.hear().await, r#"{"type":"goodbye"}"#);
    other.socket.close(CloseCode::NORMAL).await;
    assert_eq!(goodbye.await.unwrap().code, 1000);
    drop(session);
}

#[tokio::test]
async fn a_session_that_is_let_go_or_closed_says_so_in_its_close() {
    let mut gateway = Gateway::start(&["adieu.v1"]).await;
    for dropped in [true, false] {
        let mut session = Session::connect(&gateway.url).unwrap();
        let conversation = gateway.accept().await;
        conversation.connected(1).await;
        next(&mut session).await;
        let closed = tokio::spawn(conversation.closed_by_client());
        if dropped {
            drop(session);
        } else {
            assert_eq!(session.detach().await.unwrap().session_id(), Some("s"));
        }
        assert_eq!(closed.await.unwrap(), 4001, "{dropped}");
    }
    let notes = Notes::default();
    let builder = Session::builder(&gateway.url).store(notes.clone());
    let mut session = builder.connect().unwrap();
    let conversation = gateway.accept().await;
    conversation.connected(1).await;
    let closed = tokio::spawn(conversation.closed_by_client());
    for code in [1001, 4001, 4002, 4004, 4005] {
        let close = Close::new(code, "").unwrap();
        assert_eq!(session.close(close).await, Err(NotFinal(code)));
    }
    let ended = session.close(Close::new(4321, "enough").unwrap()).await.unwrap();
    assert_eq!((ended.reason.word(), ended.code), ("closed", 4321));
    assert_eq!(closed.await.unwrap(), 4321);
    assert_eq!(notes.kept(), None);
}

#[tokio::test]
async fn what_came_before_a_close_is_received_before_the_end_is_told() {
    let mut gateway = Gateway::start(&["adieu.v1"]).await;
    let mut session = Session::connect(&gateway.url).unwrap();
    let conversation = gateway.accept().await;
    conversation.connected(1).await;
    // More than may wait for the application: the rest waits in the connection.
    for id in 1..=600 {
        let text = format!(r#"{{"type":"message","sequenceId":{id},"text":"{id}"}}"#);
        conversation.say(&text).await;
    }
    let close = tokio::spawn(conversation.socket.close(Close::new(4003, "done").unwrap()));
    for id in 1..=600 {
        let received = tokio::time::timeout(PATIENCE, session.recv()).await.expect("a message");
        assert_eq!(received, Some(Message::from(id.to_string())));
    }
    assert_eq!(session.recv().await, None);
    let ended = session.ended().unwrap();
    assert_eq!((ended.reason.word(), ended.code, &*ended.text), ("backend", 4003, "done"));
    assert!(close.await.unwrap().closing_handshake.received().is_some());
}

#[tokio::test]
async fn what_cannot_be_tried_is_refused_at_once() {
    let error = Session::connect("ftp://127.0.0.1/").unwrap_err();
    assert!(matches!(error, ConnectError::Url(_)), "{error}");
    let client = adieu::Client::new().header("X-Bad", "a\r\nb");
    let error = Session::builder("ws://127.0.0.1/").client(client).connect().unwrap_err();
    assert!(matches!(error, ConnectError::Usage(_)), "{error}");
}
