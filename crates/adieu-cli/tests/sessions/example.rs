//! The examples of a backend, which people copy.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use adieu_gateway::hook::Secret;
use serde_json::json;

use crate::world::{API_KEY, Backend, Gateway, Page, request};

/// How long a line of a backend may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running example; killed when it is dropped.
struct Example {
    process: Child,
    lines: mpsc::Receiver<String>,
    port: u16,
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(program: &str, file: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(format!("{}/examples/{file}", env!("CARGO_MANIFEST_DIR")));
    command.env("PORT", "0").env("ADIEU_API_KEY", API_KEY);
    command.env_remove("ADIEU_BACKEND_SECRET").stdout(Stdio::piped());
    command
}

impl Example {
    fn start(program: &str, file: &str, gateway: &str, secret: &str) -> Self {
        let mut command = command(program, file);
        command.env("ADIEU_BACKEND_SECRET", secret).env("GATEWAY", format!("http://{gateway}"));
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let (tell, lines) = mpsc::channel();
        let out = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let mut example = Example { process, lines, port: 0 };
        example.port = example.line().rsplit(' ').next().unwrap().parse().unwrap();
        example
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line of the backend")
    }

    /// Sends something that claims to be an event.
    async fn told(&self, id: &str, time: u64, signature: &str, body: &str) -> (u16, String) {
        let addr = format!("127.0.0.1:{}", self.port).parse().unwrap();
        let fields = format!(
            "webhook-id: {id}\r\nwebhook-timestamp: {time}\r\nwebhook-signature: {signature}\r\n"
        );
        request(addr, "POST", "/", &fields, body).await
    }
}

/// An address where nobody listens.
fn free_address() -> SocketAddr {
    TcpListener::bind(testkit::own_address()).unwrap().local_addr().unwrap()
}

/// The example hears of two people, answers one, and brings what that one says to the other.
async fn hears_and_answers(program: &str, file: &str) {
    // Its port is not known before, and the gateway's is not either: a free one of a moment ago.
    let free = free_address();
    let example = Example::start(program, file, &free.to_string(), Backend::SECRET);
    let url = format!("http://127.0.0.1:{}/", example.port);
    let gateway = Gateway::start_told_at(&free.to_string(), &url);
    let mut page = Page::of("anna");
    page.connect(&gateway.url()).await;
    page.say("hello").await;
    page.receive(1).await;
    assert_eq!(page.received, ["echo: hello"]);
    let mut other = Page::of("ben");
    other.connect(&gateway.url()).await;
    page.say("@ben how are you?").await;
    other.receive(1).await;
    assert_eq!(other.received, ["anna: how are you?"]);
    page.close(1000).await;
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.starts_with("session.ended")) {
        let line = example.line();
        // The user's events have an order of their own.
        if !line.starts_with("user.") && !line.contains(" ben ") {
            said.push(line);
        }
    }
    assert!(said[0].starts_with(&format!("session.started {} anna", page.session)), "{said:?}");
    assert!(said[1].ends_with("anna hello"), "{said:?}");
    assert!(said[3].replace(": ", ":").contains(r#""cause":"left""#), "{said:?}");
}

/// What a person is called and says cannot become another request than the one that is meant.
async fn takes_a_name_for_a_name(program: &str, file: &str) {
    let free = free_address();
    let example = Example::start(program, file, &free.to_string(), Backend::SECRET);
    let url = format!("http://127.0.0.1:{}/", example.port);
    let gateway = Gateway::start_told_at(&free.to_string(), &url);
    // In a path the first is a step up, and the second begins a message to many.
    let many = r#"{"to":[{"userId":"ben"}],"x""#;
    let mut dots = Page::of("..");
    dots.connect(&gateway.url()).await;
    let mut ben = Page::of("ben");
    ben.connect(&gateway.url()).await;
    let mut forger = Page::of("%7B%22to%22:%5B%7B%22userId%22:%22ben%22%7D%5D,%22x%22");
    forger.connect(&gateway.url()).await;
    forger.say(r#"@.. 1,"text":"anna: a message that anna has not sent"}"#).await;
    dots.receive(1).await;
    let said = r#"1,"text":"anna: a message that anna has not sent"}"#;
    assert_eq!(dots.received, [format!("{many}: {said}")]);
    forger.say("@ben hello").await;
    ben.receive(1).await;
    assert_eq!(ben.received, [format!("{many}: hello")]);
}

/// The example believes what is signed by one of its secrets, is not old, and was not told before.
async fn is_careful(program: &str, file: &str) {
    let refused = |secret: &str| {
        let output = command(program, file).env("ADIEU_BACKEND_SECRET", secret).output().unwrap();
        assert!(!output.status.success(), "{secret:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("ADIEU_BACKEND_SECRET is missing or malformed"), "{said}");
    };
    for none in ["", "whsec_", "secret", "whsec_***", &format!("{} whsec_", Backend::SECRET)] {
        refused(none);
    }
    let old = "whsec_dGhlIG9sZCBvbmUgaXMgMzIgYnl0ZXMgbG9uZyBub3c=";
    let gone = free_address();
    let both = format!("{old} {}", Backend::SECRET);
    let example = Example::start(program, file, &gone.to_string(), &both);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let event = |id: &str, text: &str| {
        json!({ "specversion": "1.0", "id": id, "source": "/adieu", "type": "message",
                "sessionid": "s", "userid": "anna", "data": text })
        .to_string()
    };
    let signed = async |secret: &str, id: &str, time: u64, body: &str| {
        let signature = Secret::read(secret).unwrap().sign(id, time, body.as_bytes());
        example.told(id, time, &signature, body).await
    };
    let hello = event("a", "hello");
    for secret in [old, Backend::SECRET] {
        let (status, said) = signed(secret, "a", now, &hello).await;
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!((status, &said), (200, &json!({ "send": [{ "text": "echo: hello" }] })));
    }
    // No gateway is there that could bring it to Ben.
    let (status, _) = signed(old, "b", now, &event("b", "@ben hello")).await;
    assert_eq!(status, 200, "it survives the gateway's absence");
    assert_eq!(signed(old, "a", now - 3_600, &hello).await.0, 401, "a replay");
    assert_eq!(signed(old, "a", now + 3_600, &hello).await.0, 401);
    let other = "whsec_YW5vdGhlciBvbmUgb2YgMzIgYnl0ZXMgaGVyZSBub3c=";
    assert_eq!(signed(other, "a", now, &hello).await.0, 401);
    for signature in ["", "v1,", "v1", "v2,AAAA", "\u{e9}"] {
        let (status, said) = example.told("a", now, signature, &hello).await;
        assert_eq!(status, 401, "{signature:?}");
        assert!(!said.contains("reason"), "no verdict on a person: {said}");
    }
    let batch = format!("[{hello},{}]", event("e", "again"));
    let (status, said) = signed(old, "batch_1", now, &batch).await;
    let verdict = |id: &str, text: &str| {
        let send = json!([{ "text": format!("echo: {text}") }]);
        json!({ "id": id, "status": 200, "send": send })
    };
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, said), (200, json!([verdict("a", "hello"), verdict("e", "again")])));
    let (status, _) = signed(old, "c", now, &"x".repeat(8 * 1024 * 1024)).await;
    assert_eq!(status, 413);
    let (status, _) = signed(old, "c", now, "{oops").await;
    assert_eq!(status, 500, "it is told again");
    // It lives, and has heard each event once.
    assert_eq!(signed(old, "d", now, &event("d", "last")).await.0, 200);
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.ends_with("last")) {
        said.push(example.line());
    }
    // It may write down what went wrong, too.
    said.retain(|line| line.starts_with("message"));
    let want = ["hello", "@ben hello", "again", "last"];
    assert_eq!(said, want.map(|text| format!("message s anna {text}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_in_node_hears_and_answers() {
    hears_and_answers("node", "backend.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_in_python_hears_and_answers() {
    hears_and_answers("python3", "backend.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_in_node_takes_a_name_for_a_name() {
    takes_a_name_for_a_name("node", "backend.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_in_python_takes_a_name_for_a_name() {
    takes_a_name_for_a_name("python3", "backend.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_in_node_is_careful() {
    is_careful("node", "backend.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_in_python_is_careful() {
    is_careful("python3", "backend.py").await;
}

#[test]
fn a_backend_whose_port_is_taken_says_so_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (program, file) in [("node", "backend.mjs"), ("python3", "backend.py")] {
        let mut backend = command(program, file);
        backend.env("PORT", &port).env("ADIEU_BACKEND_SECRET", Backend::SECRET);
        let output = backend.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{program}: {said}");
        assert!(said.starts_with(&format!("cannot listen on port {port}: ")), "{program}: {said}");
        assert_eq!(said.lines().count(), 1, "{program}: {said}");
    }
}
