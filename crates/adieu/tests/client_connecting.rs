//! How a client connects, over real sockets: addresses, the one deadline, interim answers,
//! refusals, redirects, proxies, and streams of the caller's own.

mod scripted;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adieu::{Cause, Client, Config, ConnectError, HandshakeError, ProxyError, Socket};
use scripted::{Scripted, agreed, proxy, read_head, redirect};
use testkit::DEADLINE;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

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

#[tokio::test]
async fn a_resolver_of_the_callers_own_is_asked_for_names() {
    let server = Scripted::start(agreed).await;
    let (port, good) = (closed_port().await.port(), server.addr);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let client = Client::new().resolver(move |name, for_port| {
        seen.lock().unwrap().push((name.clone(), for_port));
        async move {
            match name.as_str() {
                // A service of many machines, of which only the last is up.
                "forty.test" => {
                    let down = (2..=40).map(|n| SocketAddr::from(([127, 0, 0, n], port)));
                    Ok(down.chain([good]).collect())
                }
                // Port 0 stands for the URL's.
                "zero.test" => Ok(vec![(good.ip(), 0).into()]),
                "none.test" => Ok(Vec::new()),
                _ => Err(std::io::Error::other("the directory is closed")),
            }
        }
    });
    connect(&client, "ws://forty.test:81/").await.unwrap();
    connect(&client, &format!("ws://zero.test:{}/", good.port())).await.unwrap();
    let none = connect(&client, "ws://none.test/").await.unwrap_err();
    assert_eq!(none.to_string(), "cannot connect: the name none.test has no address");
    let error = connect(&client, "ws://other.test/").await.unwrap_err();
    let says = "cannot connect: the name other.test was not found: the directory is closed";
    assert_eq!(error.to_string(), says);
    // What the caller gives for a name goes before.
    connect(&client.clone().resolve("other.test", [good]), "ws://other.test/").await.unwrap();
    let asked = asked.lock().unwrap();
    let want =
        [("forty.test", 81), ("zero.test", good.port()), ("none.test", 80), ("other.test", 80)];
    assert!(asked.iter().map(|(name, port)| (name.as_str(), *port)).eq(want), "{asked:?}");
}

#[tokio::test]
async fn on_end_hears_once_of_each_connection_on_which_a_request_was_sent() {
    let server = Scripted::start(|head| match head.split(' ').nth(1) {
        Some("/moved") => redirect("/no"),
        Some("/no") => "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => agreed(head),
    })
    .await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let client = Client::new().redirects(1).on_end(move |ended| {
        let _ = tell.send((ended.peer.addr(), ended.ending.cause.clone()));
    });
    // Nobody is there, so nothing ends.
    let closed = format!("ws://{}/", closed_port().await);
    connect(&client, &closed).await.unwrap_err();
    connect(&client, &server.url("/moved")).await.unwrap_err();
    let socket = connect(&client, &server.url("/")).await.unwrap();
    let ending = timeout(DEADLINE, socket.close(adieu::CloseCode::NORMAL)).await.unwrap();
    drop(client);
    let mut causes = Vec::new();
    while let Some((peer, cause)) = timeout(DEADLINE, told.recv()).await.unwrap() {
        assert_eq!(peer, Some(server.addr));
        causes.push(cause);
    }
    let status = |cause: &Cause| match cause {
        Cause::Handshake(error) => error.refusal().map(|refusal| refusal.status),
        _ => None,
    };
    assert_eq!(causes.iter().map(status).collect::<Vec<_>>(), [Some(302), Some(403), None]);
    assert_eq!(causes[2], ending.cause);
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

#[tokio::test]
async fn a_proxy_makes_a_tunnel() {
    let server = Scripted::start(agreed).await;
    let (proxy, asked) = proxy(server.addr).await;
    let client = Client::new().proxy(format!("http://Aladdin:open%20sesame@{proxy}"));
    connect(&client, &server.url("/x")).await.unwrap();
    let asked = asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", server.addr)), "{asked}");
    let field = "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    assert!(asked.contains(field), "{asked}");
    assert!(!server.head(0).contains("Proxy-Authorization"));
}

#[tokio::test]
async fn the_proxy_is_told_the_name_as_the_url_standard_writes_it() {
    let server = Scripted::start(agreed).await;
    let (proxy, asked) = proxy(server.addr).await;
    let client = Client::new().proxy(format!("http://{proxy}"));
    let hosts = [
        ("[0:0::1]:81", "[::1]:81", "[::1]:81"),
        ("[::1]", "[::1]:80", "[::1]"),
        ("b\u{fc}cher.test", "xn--bcher-kva.test:80", "xn--bcher-kva.test"),
        ("Server.test.:80", "server.test.:80", "server.test."),
    ];
    for (n, (host, connect_to, in_host)) in hosts.into_iter().enumerate() {
        connect(&client, &format!("ws://{host}/")).await.unwrap();
        let asked = asked.lock().unwrap()[n].clone();
        let want = format!("CONNECT {connect_to} HTTP/1.1\r\nHost: {connect_to}\r\n");
        assert!(asked.starts_with(&want), "{asked}");
        let head = server.head(n);
        assert!(head.contains(&format!("\r\nHost: {in_host}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn an_address_of_ipv6_is_connected_to_directly_and_as_a_proxy() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        testkit::skipped("an address of IPv6", "this machine has none");
        return;
    };
    let server = Scripted::on(listener, |head| match head.split(' ').next() {
        Some("CONNECT") => "HTTP/1.1 403 Forbidden\r\n\r\nnot here".to_owned(),
        _ => agreed(head),
    });
    let socket = connect(&Client::new(), &server.url("/")).await.unwrap();
    assert_eq!(socket.peer().addr(), Some(server.addr));
    let head = server.head(0);
    assert!(head.contains(&format!("\r\nHost: [::1]:{}\r\n", server.addr.port())), "{head}");
    let client = Client::new().proxy(format!("http://{}", server.addr));
    let error = connect(&client, "ws://server.test/").await.unwrap_err();
    assert!(matches!(error, ConnectError::Proxy(ProxyError::Refused(_))), "{error}");
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

#[tokio::test]
async fn an_answer_of_a_proxy_that_is_too_long_or_goes_on_is_an_error_that_says_so() {
    async fn error_of(answer: String) -> ConnectError {
        let proxy = Scripted::start(move |_| answer.clone()).await;
        let client = Client::new().proxy(format!("http://{}", proxy.addr));
        connect(&client, "ws://server.test/").await.unwrap_err()
    }
    // Whose server speaks first is no server of WebSockets.
    let error = error_of("HTTP/1.1 200 Made\r\n\r\n220 mail.test ESMTP\r\n".to_owned()).await;
    assert!(matches!(error, ConnectError::Proxy(ProxyError::UnexpectedBytes)), "{error}");
    let fields = "X-Long: ".to_owned() + &"x".repeat(100_000);
    let reason = "HTTP/1.1 200 ".to_owned() + &"x".repeat(100_000);
    for head in [format!("HTTP/1.1 200 Made\r\n{fields}"), reason] {
        let error = error_of(head).await;
        let long = matches!(
            error,
            ConnectError::Proxy(ProxyError::Answer(HandshakeError::HeadTooLong(_)))
        );
        assert!(long, "{error}");
    }
    // What is no HTTP is known by its first bytes.
    let error = error_of("SSH-2.0-OpenSSH\r\n".to_owned()).await;
    let bad = ProxyError::Answer(HandshakeError::BadHttp("answer"));
    assert_eq!(error.to_string(), ConnectError::Proxy(bad).to_string());
    for framing in ["Content-Length: 10000000", "Connection: close"] {
        let page = format!("HTTP/1.1 502 No\r\n{framing}\r\n\r\n{}", "x".repeat(10_000_000));
        let error = error_of(page).await;
        let ConnectError::Proxy(ProxyError::Refused(refusal)) = error else { panic!("{error}") };
        assert_eq!(refusal.body.len(), adieu::defaults::MAX_REFUSAL_BODY);
        assert!(!refusal.body_is_whole);
    }
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
    let error = client.connect_unix(&path, "ws://localhost/").await.unwrap_err();
    assert!(matches!(error, ConnectError::Io(_)), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

/// A function of a program that does other things than WebSockets as well.
async fn asks(url: &str) -> std::io::Result<()> {
    let socket = connect(&Client::new(), url).await?;
    let sender = socket.sender();
    socket.close(1000).await;
    sender.send("too late").await?;
    Ok(())
}

#[tokio::test]
async fn every_error_fits_into_a_function_of_std_io() {
    use std::io::ErrorKind;

    let refusing =
        Scripted::start(|_| "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".to_owned()).await;
    let error = asks(&refusing.url("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    let inside = error.get_ref().and_then(|error| error.downcast_ref::<ConnectError>());
    let refusal = inside.and_then(ConnectError::refusal).expect("a refusal");
    assert_eq!(refusal.status, 401);

    let agreeing = Scripted::start(agreed).await;
    let error = asks(&agreeing.url("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(error.get_ref().is_some_and(|error| error.is::<adieu::Closed>()), "{error}");

    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let nobody = format!("ws://{}/", free.local_addr().unwrap());
    drop(free);
    let error = asks(&nobody).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    let error = asks("not a URL").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}
