//! How a client connects, over real sockets: addresses, the one deadline, interim answers,
//! refusals, redirects, proxies, and streams of the caller's own.

mod scripted;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::{Client, Config, ConnectError, HandshakeError, ProxyError, Socket};
use scripted::{agreed, read_head};
use testkit::DEADLINE;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A server that answers each connection's request with what `answer` makes of its head; an answer
/// ends with TCP's end unless it is a 101.
struct Scripted {
    addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let (answer, seen) = (answer.clone(), seen.clone());
                tokio::spawn(async move {
                    let head = read_head(&mut tcp).await;
                    let text = answer(&head);
                    seen.lock().unwrap().push(head);
                    let _ = tcp.write_all(text.as_bytes()).await;
                    if text.contains(" 101 ") {
                        // The client's Close, and its end.
                        let _ = tcp.read(&mut [0; 64]).await;
                    }
                });
            }
        });
        Scripted { addr, heads }
    }

    fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.addr)
    }

    fn head(&self, n: usize) -> String {
        self.heads.lock().unwrap()[n].clone()
    }
}

async fn connect(client: &Client, url: &str) -> Result<Socket, ConnectError> {
    timeout(DEADLINE, client.connect(url)).await.expect("connect returns")
}

/// An address at which nothing listens.
async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_refused_address_is_followed_by_the_next() {
    let server = Scripted::start(agreed).await;
    let client = Client::new().resolve("many.test", [closed_port().await, server.addr]);
    let socket = connect(&client, "ws://many.test/").await.unwrap();
    assert_eq!(socket.peer().addr(), Some(server.addr));
    assert!(server.head(0).contains("Host: many.test\r\n"));
    let closed = [closed_port().await, closed_port().await];
    let error = connect(&Client::new().resolve("many.test", closed), "ws://many.test/").await;
    let error = error.unwrap_err().to_string();
    assert!(closed.iter().all(|address| error.contains(&address.to_string())), "{error}");
}

/// In the runtime's own time, over a stream in memory: nothing depends on how busy the machine is.
#[tokio::test(start_paused = true)]
async fn the_deadline_is_the_deadline_of_the_linger_too() {
    // The peer neither answers nor ends: with a linger of its own this takes an hour.
    let (ours, _theirs) = tokio::io::duplex(1024);
    let config = Config { linger: Duration::from_secs(3600), ..Config::default() };
    let handshake_timeout = config.handshake_timeout;
    let start = tokio::time::Instant::now();
    let error = Client::new().config(config).connect_with(ours, "ws://h/").await.unwrap_err();
    assert_eq!(start.elapsed(), handshake_timeout);
    assert!(error.is_timeout(), "{error}");
    assert!(matches!(error, ConnectError::Handshake(HandshakeError::TimedOut, _)), "{error}");
}

#[tokio::test]
async fn interim_answers_are_skipped() {
    let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let server = Scripted::start(move |head| format!("{hints}{}", agreed(head))).await;
    connect(&Client::new(), &server.url("/")).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_kept_in_each_framing() {
    for (framing, body) in [
        ("Content-Length: 4\r\n\r\nwait", true),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\nw\r\n3\r\nait\r\n0\r\n\r\n", true),
        ("Connection: close\r\n\r\nwait", true),
        ("Content-Length: 9\r\n\r\nwait", false),
    ] {
        let answer = format!("HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\n{framing}");
        let server = Scripted::start(move |_| answer.clone()).await;
        let error = connect(&Client::new(), &server.url("/")).await.unwrap_err();
        let refusal = error.refusal().unwrap_or_else(|| panic!("{framing}: {error}"));
        assert_eq!((refusal.status, refusal.header("retry-after")), (429, Some("7")));
        assert_eq!((&*refusal.body_text(), refusal.body_is_whole), ("wait", body), "{framing}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_given_as_far_as_it_came() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let server = async {
        read_head(&mut theirs).await;
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nhalf";
        theirs.write_all(answer).await.unwrap();
        std::future::pending::<()>().await;
    };
    let client = Client::new();
    let error = tokio::select! {
        opened = client.connect_with(ours, "ws://h/") => opened.unwrap_err(),
        () = server => unreachable!("it waits for ever"),
    };
    let refusal = error.refusal().unwrap_or_else(|| panic!("{error}"));
    assert_eq!((&*refusal.body_text(), refusal.body_is_whole), ("half", false));
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn redirects_are_followed_when_asked_and_leave_credentials_behind() {
    let end = Scripted::start(agreed).await;
    let there = end.url("/end");
    let begin = Scripted::start(move |head| match head.split(' ').nth(1) {
        Some("/a") => redirect("b?x"),
        _ => redirect(&there.replace("ws://", "http://")),
    })
    .await;
    let url = begin.url("/a").replace("ws://", "ws://user:secret@");
    let off = connect(&Client::new(), &url).await.unwrap_err();
    assert_eq!(off.refusal().and_then(|refusal| refusal.header("location")), Some("b?x"));
    let client = Client::new().redirects(2).header("Cookie", "a=b").header("X-Kept", "1");
    connect(&client, &url).await.unwrap();
    let (second, last) = (begin.head(2), end.head(0));
    assert!(second.starts_with("GET /b?x ") && second.contains("Cookie: a=b"), "{second}");
    assert!(second.contains("Authorization: Basic "), "{second}");
    assert!(last.starts_with("GET /end ") && last.contains("X-Kept: 1"), "{last}");
    assert!(!last.contains("Cookie") && !last.contains("Authorization"), "{last}");
}

#[tokio::test]
async fn user_and_password_are_sent_instead_of_the_urls_and_not_to_another_origin() {
    let end = Scripted::start(agreed).await;
    let there = end.url("/").replace("ws://", "http://");
    let begin = Scripted::start(move |_| redirect(&there)).await;
    let url = begin.url("/").replace("ws://", "ws://url:url@");
    let client = Client::new().basic_auth("Aladdin", "open sesame");
    connect(&client.clone().redirects(1), &url).await.unwrap();
    // The example of RFC 7617 §2.
    let field = "\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    assert!(begin.head(0).contains(field), "{}", begin.head(0));
    assert!(!end.head(0).contains("Authorization"), "{}", end.head(0));
    connect(&client.header("authorization", "Bearer x"), &end.url("/")).await.unwrap();
    let head = end.head(1);
    assert!(head.contains("authorization: Bearer x") && !head.contains("Basic"), "{head}");
    let error = connect(&Client::new().basic_auth("a:secret", "secret"), &url).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("colon") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn the_head_of_the_answer_is_kept() {
    let server = Scripted::start(|head| {
        agreed(head).replace("Upgrade: websocket", "Set-Cookie: a=b\r\nUpgrade: websocket")
    })
    .await;
    let socket = connect(&Client::new(), &server.url("/")).await.unwrap();
    let head = socket.response().expect("an answer");
    assert_eq!(head.status_line(), b"HTTP/1.1 101 Switching Protocols");
    assert_eq!(head.header("set-cookie"), Some("a=b"));
}

#[tokio::test]
async fn redirects_in_a_circle_and_without_end_are_errors_that_say_so() {
    let circle = Scripted::start(|head| match head.split(' ').nth(1) {
        Some("/a") => redirect("/b"),
        _ => redirect("/a"),
    })
    .await;
    let error = connect(&Client::new().redirects(9), &circle.url("/a")).await.unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
    assert_eq!(error.refusal().map(|refusal| refusal.status), Some(302));
    let endless = Scripted::start(|head| {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        redirect(&format!("{path}x"))
    })
    .await;
    let error = connect(&Client::new().redirects(3), &endless.url("/")).await.unwrap_err();
    assert!(error.to_string().contains("more than 3 times"), "{error}");
    assert_eq!(endless.heads.lock().unwrap().len(), 4);
}

/// A proxy that makes tunnels, and tells what was asked of it.
async fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let head = read_head(&mut client).await;
            let to = head.split(' ').nth(1).unwrap_or_default().to_owned();
            seen.lock().unwrap().push(head);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (addr, asked)
}

#[tokio::test]
async fn a_proxy_makes_a_tunnel() {
    let server = Scripted::start(agreed).await;
    let (proxy, asked) = proxy().await;
    let client = Client::new().proxy(format!("http://Aladdin:open%20sesame@{proxy}"));
    connect(&client, &server.url("/x")).await.unwrap();
    let asked = asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", server.addr)), "{asked}");
    let field = "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    assert!(asked.contains(field), "{asked}");
    assert!(!server.head(0).contains("Proxy-Authorization"));
}

#[tokio::test]
async fn a_proxy_that_refuses_ends_or_stalls_is_named() {
    let refuses = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 6\r\n\r\nlog in";
    let proxy = Scripted::start(move |_| refuses.to_owned()).await;
    let client = Client::new().proxy(format!("http://{}", proxy.addr));
    let error = connect(&client, "ws://server.test/").await.unwrap_err();
    assert!(error.to_string().contains("the proxy refused"), "{error}");
    let ConnectError::Proxy(ProxyError::Refused(refusal)) = error else { panic!("{error}") };
    assert_eq!((refusal.status, &*refusal.body_text()), (407, "log in"));
    let closes = Scripted::start(|_| String::new()).await;
    let client = Client::new().proxy(format!("http://{}", closes.addr));
    let error = connect(&client, "ws://server.test/").await.unwrap_err();
    assert!(error.to_string().contains("proxy"), "{error}");
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let config = Config { handshake_timeout: Duration::from_millis(50), ..Config::default() };
    let url = format!("http://{}", silent.local_addr().unwrap());
    let error = connect(&Client::new().config(config).proxy(url), "ws://server.test/").await;
    let error = error.unwrap_err();
    assert!(error.is_timeout() && error.to_string().contains("proxy"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn streams_of_the_callers_own_and_unix_sockets() {
    async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
        let head = read_head(&mut stream).await;
        stream.write_all(agreed(&head).as_bytes()).await.unwrap();
        head
    }
    let client = Client::new();
    let (ours, theirs) = tokio::io::duplex(1024);
    let (socket, head) = tokio::join!(client.connect_with(ours, "ws://in.memory/x"), serve(theirs));
    assert!(head.contains("Host: in.memory\r\n"), "{head}");
    assert_eq!(socket.unwrap().peer().addr(), None::<IpAddr>.map(|ip| (ip, 0).into()));
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("client-{}.sock", std::process::id()));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let (socket, head) = tokio::join!(client.connect_unix(&path, "ws://localhost/u"), async {
        serve(listener.accept().await.unwrap().0).await
    });
    socket.unwrap();
    assert!(head.starts_with("GET /u "), "{head}");
    std::fs::remove_file(&path).unwrap();
}
