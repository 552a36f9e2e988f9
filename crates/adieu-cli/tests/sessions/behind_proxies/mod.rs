//! The gateway behind nginx, HAProxy and Caddy, with the snippets of `deploy/`: `cargo xtask
//! deploy` brings the three programs and runs these tests.
#![cfg(target_os = "linux")]

mod proxy;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::world::{Backend, Gateway, Page, Scratch};
use proxy::{CLIENT, Kind, Proxy, SITE};

/// As the snippets have it.
const TIMEOUT: &str = "60s";

/// What the snippets say of the gateway.
const OPTIONS: &[&str] =
    &["--trust-proxy", "127.0.0.1", "--public-url", "https://chat.example.com"];

fn url() -> String {
    format!("wss://{SITE}/ws")
}

/// A page of the site, behind the proxy.
async fn page(proxy: &Proxy, user: &str) -> Page {
    let (way, origin) = (proxy.client().await, Some(format!("https://{SITE}")));
    Page { way, origin, ..Page::of(user) }
}

#[ignore = "cargo xtask deploy brings the proxies"]
#[tokio::test(flavor = "multi_thread")]
async fn messages_close_codes_and_the_clients_address_pass_through_each_proxy() {
    for kind in Kind::ALL {
        println!("{kind:?}");
        let backend = Backend::start().await;
        let gateway = Gateway::start(None, &backend, OPTIONS);
        let proxy = Proxy::start(kind, gateway.addr, TIMEOUT);
        let mut page = page(&proxy, "anna").await;
        page.connect(&url()).await;
        let asked = backend.asked().remove(0);
        let [a, b, c, d] = CLIENT;
        assert_eq!(asked["peer"], format!("{a}.{b}.{c}.{d}"), "{kind:?}: {asked}");
        assert!(asked["via"].as_str().unwrap().starts_with("127.0.0.1:"), "{kind:?}: {asked}");
        page.say("hello").await;
        page.all_acknowledged().await;
        backend.until("it is heard", |it| it.said(&page.session) == ["hello"]).await;
        gateway.send(&page.session, "to you").await;
        page.receive(1).await;
        assert_eq!(page.received, ["to you"]);
        page.close(4321).await;
        let ended = backend.end_of(&page.session).await.json();
        assert_eq!(ended["ending"]["received"]["code"], 4321, "{kind:?}: {ended}");
        assert_eq!(ended["ending"]["clean"], true, "{kind:?}: {ended}");
        // And the other way round.
        page.token = None;
        page.connect(&url()).await;
        let path = format!("/api/sessions/{}?code=4000&reason=over", page.session);
        assert_eq!(gateway.request("DELETE", &path, "").await.0, 204);
        assert_eq!(page.closed_with().await, (4000, "over".to_owned()), "{kind:?}");
    }
}

/// The gateway asks a silent client after 15 s.
#[ignore = "cargo xtask deploy brings the proxies"]
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_outlives_the_timeout_of_each_proxy_because_of_pings() {
    let mut all = JoinSet::new();
    for kind in Kind::ALL {
        all.spawn(async move {
            let backend = Backend::start().await;
            let gateway = Gateway::start(None, &backend, OPTIONS);
            let proxy = Proxy::start(kind, gateway.addr, "30s");
            let mut page = page(&proxy, "anna").await;
            page.connect(&url()).await;
            // Nothing comes of the connection in this time: no message, and no end.
            let silence = tokio::time::timeout(Duration::from_secs(40), page.next_of_any_kind());
            assert!(silence.await.is_err(), "{kind:?} ends a silent connection");
            page.say("still here").await;
            page.all_acknowledged().await;
        });
    }
    for kind in [Kind::Nginx, Kind::Haproxy] {
        all.spawn(async move {
            let backend = Backend::start().await;
            let gateway = Gateway::start(None, &backend, OPTIONS);
            // Shorter than until the first Ping: it is the Ping that keeps it open.
            let proxy = Proxy::start(kind, gateway.addr, "5s");
            let mut page = page(&proxy, "anna").await;
            page.connect(&url()).await;
            assert!(page.next_of_any_kind().await.is_none(), "{kind:?} ends it");
        });
    }
    all.join_all().await;
}

#[ignore = "cargo xtask deploy brings the proxies"]
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_replaced_behind_each_proxy_says_goodbye_and_resumes() {
    for kind in Kind::ALL {
        println!("{kind:?}");
        let (backend, data) = (Backend::start().await, Scratch::new());
        let options = [OPTIONS, &["--drain-window", "1s"]].concat();
        let gateway = Gateway::start(Some(data.path()), &backend, &options);
        let addr = gateway.addr;
        let proxy = Proxy::start(kind, addr, TIMEOUT);
        let mut page = page(&proxy, "anna").await;
        page.connect(&url()).await;
        gateway.terminate();
        assert_eq!(page.closed_with().await.0, 1001, "{kind:?}");
        assert!(page.retry_after.is_some(), "{kind:?}: it is told when to come back");
        // 0: each connection ended cleanly, which is to say that the answer came through.
        assert_eq!(gateway.ended().await.code(), Some(0), "{kind:?}");
        let down = page.try_connect(&url()).await.unwrap_err();
        assert!(down.contains("502") || down.contains("503"), "{kind:?}: {down}");
        let listen = addr.to_string();
        let next = Gateway::start_at(&listen, Some(data.path()), Some(&backend), &options);
        // A proxy may look after its servers only now and then.
        let began = Instant::now();
        let back = loop {
            match page.try_connect(&url()).await {
                Ok(back) => break back,
                Err(why) => assert!(began.elapsed() < testkit::DEADLINE, "{kind:?}: {why}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(back.resumed, "{kind:?}: {back:?}");
        assert_eq!(next.metric("adieu_sessions_attached").await, 1.0);
        assert_eq!(backend.of_type("session.ended").len(), 0, "{kind:?}");
    }
}
