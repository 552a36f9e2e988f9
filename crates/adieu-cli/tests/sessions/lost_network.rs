//! The button of the session page that loses the network: nobody says goodbye, and the gateway
//! finds out by itself.

use serde_json::{Value, json};

use crate::world::{API_KEY, Backend, Gateway, Page, request};

/// A client that is there, answers each Ping and says goodbye is not heard any more: its session is
/// told as lost, by the silence, and `/endings` names its user.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_network_is_lost_is_noticed_by_its_silence() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &["--wait-lost", "100ms"]);
    let mut page = Page::of("anna");
    page.connect(&gateway.url()).await;
    let path = format!("/sessions/{}/lose-network", page.session);
    let (status, body) = gateway.request("POST", &path, "").await;
    assert_eq!(status, 204, "{body}");
    page.tell(&json!({ "type": "goodbye" })).await;

    let ended = backend.end_of(&page.session).await.json();
    assert_eq!((&ended["cause"], &ended["initiator"]), (&json!("lost"), &json!("network")));
    assert_eq!(ended["mechanism"], "tcp_timeout", "{ended}");
    assert_eq!(ended["ending"]["received"], Value::Null, "{ended}");
    let (_, endings) = gateway.request("GET", "/endings", "").await;
    let endings: Value = serde_json::from_str(&endings).unwrap();
    let account = &endings["ended"][0];
    assert_eq!(account["sessionId"], json!(page.session), "{account}");
    assert_eq!(account["userId"], "anna", "{account}");
}

/// It is for whom the page is for, and says what is wrong.
#[tokio::test]
async fn only_who_may_see_the_page_loses_the_network_of_a_session() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let mut page = Page::of("anna");
    page.connect(&gateway.url()).await;
    let path = format!("/sessions/{}/lose-network", page.session);
    let (status, _) = request(gateway.addr, "POST", &path, "", "").await;
    assert_eq!(status, 401);
    let foreign = format!(
        "Authorization: Basic {}\r\nOrigin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("me:{API_KEY}"))
    );
    let (status, _) = request(gateway.addr, "POST", &path, &foreign, "").await;
    assert!((401..=403).contains(&status), "{status}: a page of another site");

    let nobody = "/sessions/AAAAAAAAAAAAAAAAAAAAAA/lose-network";
    for (path, status, said) in
        [(nobody, 404, "has no connection now"), ("/sessions/short/lose-network", 400, "short")]
    {
        let (got, body) = gateway.request("POST", path, "").await;
        assert_eq!(got, status, "{path}: {body}");
        assert!(body.contains(said), "{path}: {body}");
    }
    page.close(1000).await;
    backend.end_of(&page.session).await;
    let (status, _) = gateway.request("POST", &path, "").await;
    assert_eq!(status, 404, "its session is over");
}
