//! A session that another owner has claimed in the store: this gateway acknowledges nothing more of
//! it, says so to its client, and goes on with all other sessions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::{Client, Endpoint, Message, Socket};
use adieu_gateway::gateway::{Gateway, Options};
use adieu_gateway::http::{self, Origins};
use adieu_gateway::session::fence::Fence;
use adieu_gateway::session::{Batch, Contents, SessionId};
use adieu_gateway::store::{Backend, Refusals, StoreError};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// A store that others write to as well.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Contents>>);

impl Backend for Shared {
    fn load(&self) -> Result<Contents, StoreError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn commit(&mut self, batches: &[Batch]) -> Result<Vec<Refusals>, StoreError> {
        let mut kept = self.0.lock().unwrap();
        Ok(batches.iter().map(|batch| kept.commit(batch.clone())).collect())
    }
}

impl Shared {
    /// Another owner claims a session; or its last write is lost.
    fn changed(&self, id: SessionId, change: impl Fn(Fence) -> Fence) {
        let mut kept = self.0.lock().unwrap();
        let after = kept.fences[&id];
        kept.fences.insert(id, change(after));
    }

    fn received(&self, id: SessionId) -> u64 {
        self.0.lock().unwrap().sessions[&id].1.received
    }
}

async fn start(store: &Shared) -> (Gateway, String) {
    let gateway = Gateway::start(store.clone(), Options::default()).await.unwrap();
    let app = http::websocket(gateway.clone(), Endpoint::new(), Origins::default(), false, false);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (gateway, url)
}

/// A client, what it reads, and its session.
struct Page(Socket, SessionId);

impl Page {
    async fn connect(url: &str) -> Self {
        let mut socket = Client::new().subprotocol("adieu.v1").connect(url).await.unwrap();
        let connected = read(&mut socket).await.expect("an answer");
        assert_eq!(connected["type"], "connected");
        let id = connected["sessionId"].as_str().unwrap().parse().unwrap();
        Page(socket, id)
    }

    async fn say(&mut self, sequence_id: u64) {
        let text = format!(r#"{{"type":"message","sequenceId":{sequence_id},"text":"a"}}"#);
        self.0.send(Message::from(text)).await.unwrap();
    }
}

/// What comes next; `None` behind the end.
async fn read(socket: &mut Socket) -> Option<Value> {
    let message = tokio::time::timeout(PATIENCE, socket.recv()).await.expect("in time")?;
    Some(serde_json::from_str(message.as_text().expect("text")).unwrap())
}

/// After a change to the fence of one session: nothing is acknowledged to its client, which hears
/// this code, and another session goes on.
async fn lets_go(change: impl Fn(Fence) -> Fence, code: u16) {
    let store = Shared::default();
    let (gateway, url) = start(&store).await;
    let (mut taken, mut other) = (Page::connect(&url).await, Page::connect(&url).await);
    store.changed(taken.1, change);
    taken.say(1).await;
    other.say(1).await;
    assert_eq!(read(&mut taken.0).await, None, "nothing is acknowledged");
    let ending = taken.0.ended().await;
    let theirs = ending.closing_handshake.received().and_then(|close| close.code());
    assert_eq!(theirs.map(|code| code.get()), Some(code), "{ending}");
    assert_eq!(store.received(taken.1), 0, "nothing is written");
    let acknowledged = read(&mut other.0).await.unwrap();
    assert_eq!(
        (&acknowledged["type"], &acknowledged["sequenceId"]),
        (&"sequenceAck".into(), &1.into())
    );
    assert_eq!(store.received(other.1), 1);
    gateway.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_that_another_owner_has_claimed_is_let_go() {
    lets_go(|kept| Fence { epoch: kept.epoch + 1, nonce: 99 }, 4002).await;
}

#[tokio::test]
async fn a_session_whose_last_write_the_store_has_lost_is_let_go_and_its_client_comes_back() {
    lets_go(|kept| Fence { nonce: kept.nonce ^ 1, ..kept }, 1013).await;
}

#[tokio::test]
async fn a_gateway_that_starts_claims_what_the_one_before_it_left() {
    let store = Shared::default();
    let (before, url) = start(&store).await;
    let mut page = Page::connect(&url).await;
    // A second gateway on the same store, as where a lock of files does not hold.
    let (gateway, _) = start(&store).await;
    page.say(1).await;
    assert_eq!(read(&mut page.0).await, None, "the first does not acknowledge it");
    assert_eq!(store.received(page.1), 0);
    before.stop().await.unwrap();
    gateway.stop().await.unwrap();
}
