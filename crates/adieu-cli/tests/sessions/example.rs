//! The example of a backend, in Node, as the README has it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::world::{API_KEY, Backend, Gateway, Page, request};

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_of_the_readme_hears_and_answers() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/backend.mjs");
    let text = std::fs::read_to_string(example).unwrap();
    assert!(text.lines().count() < 40, "it is to be small");
    // Its port is not known before, and the gateway's is not either: a free one of a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut node = Command::new("node");
    node.arg(example).env("ADIEU_BACKEND_SECRET", Backend::SECRET).env("PORT", "0");
    node.env("ADIEU_API_KEY", API_KEY).env("GATEWAY", format!("http://{free}"));
    let mut node = node.stdout(Stdio::piped()).spawn().expect("node is installed");
    let (tell, lines) = mpsc::channel();
    let out = BufReader::new(node.stdout.take().unwrap());
    std::thread::spawn(move || {
        out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    let line = || lines.recv_timeout(Duration::from_secs(20)).expect("a line of the backend");
    let port = line().rsplit(' ').next().unwrap().to_owned();
    let url = format!("http://127.0.0.1:{port}/");
    let gateway = Gateway::start_told_at(&free.to_string(), &url);
    let mut page = Page::of("anna");
    page.connect(&gateway.url()).await;
    page.say("hello").await;
    page.receive(1).await;
    assert_eq!(page.received, ["echo: hello"]);
    page.close(1000).await;
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.starts_with("session.ended")) {
        let line = line();
        // The user's events have an order of their own.
        if !line.starts_with("user.") {
            said.push(line);
        }
    }
    assert!(said[0].starts_with(&format!("session.started {} anna", page.session)), "{said:?}");
    assert!(said[1].ends_with("anna hello") && said[2].contains(r#""cause":"left""#), "{said:?}");
    let addr = format!("127.0.0.1:{port}").parse().unwrap();
    let (status, _) = request(addr, "POST", "/", "webhook-id: a\r\n", "forged").await;
    assert_eq!(status, 401, "what is not signed is not believed");
    node.kill().unwrap();
    node.wait().unwrap();
}
