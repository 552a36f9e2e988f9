//! How a person gets in: what the start says, and a link that logs in once.

use crate::world::{Adieu, KEY, adieu};

fn with_a_key(options: &[&str]) -> std::process::Command {
    let mut command = adieu(&[&["serve", "--listen", "127.0.0.1:0"], options].concat());
    command.env("ADIEU_API_KEY", KEY);
    command
}

/// The path and query of the link that it has said.
fn link(gateway: &Adieu) -> String {
    gateway.until_said("This link logs a browser in");
    gateway.until("the whole link", |gateway| {
        gateway.said().split_once("/login?token=").is_some_and(|(_, token)| token.contains('\n'))
    });
    let said = gateway.said();
    let (before, token) = said.split_once("/login?token=").unwrap();
    assert!(before.ends_with(&gateway.addr().to_string()), "{said}");
    format!("/login?token={}", token.lines().next().unwrap().trim())
}

#[test]
fn on_a_terminal_a_link_logs_a_browser_in_once() {
    let gateway = Adieu::on_a_terminal(with_a_key(&[]));
    let link = link(&gateway);
    assert_eq!(gateway.get("/", "").status(), 401);
    assert_eq!(gateway.get(&link, "Sec-Purpose: prefetch\r\n").status(), 204);
    let answer = gateway.get(&link, "");
    assert_eq!((answer.status(), answer.field("location")), (303, Some("/")));
    assert_eq!(answer.field("referrer-policy"), Some("no-referrer"));
    let cookie = answer.field("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert_eq!(gateway.get("/", &cookie).status(), 200);
    let again = gateway.get(&link, "");
    assert_eq!((again.status(), again.field("set-cookie")), (401, None));
    assert!(again.body.contains("ADIEU_API_KEY"), "{again:?}");
    gateway.until_error("a login link that is not good any more");
    let token = link.split_once('=').unwrap().1;
    assert!(!gateway.errors().contains(token), "{}", gateway.errors());
}

#[test]
fn what_is_kept_has_no_link_and_neither_has_a_gateway_without_a_key() {
    let mut gateway = Adieu::spawn(with_a_key(&[]));
    gateway.stop();
    let said = gateway.said();
    assert!(said.contains("password") && !said.contains("/login"), "{said}");
    assert!(!said.contains(KEY), "{said}");
    let gateway = Adieu::on_a_terminal(adieu(&["serve", "--listen", "127.0.0.1:0"]));
    assert!(!gateway.said().contains("/login"), "{}", gateway.said());
    assert_eq!(gateway.get("/login?token=", "").status(), 401);
}

#[test]
fn the_start_says_where_the_page_is() {
    let local = Adieu::spawn(adieu(&["serve", "--listen", ":0"]));
    let port = local.addr().port();
    let page = format!("The page is http://localhost:{port}/ in a browser");
    assert!(local.said().contains(&page), "{}", local.said());
    let public = Adieu::serve(&["--public-url", "https://chat.example.com"]);
    let page = "The page is https://chat.example.com/ in a browser";
    assert!(public.said().contains(page), "{}", public.said());
}
