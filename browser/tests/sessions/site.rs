//! The site: its pages, the client, and another page to go to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::extract::{Path as InPath, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::first_visit::Plan;

const PAGE: &str = include_str!("page.html");
const KEPT: &str = include_str!("kept.js");
const VISIT: &str = include_str!("visit.html");
const TOKEN: &str = include_str!("token.html");
const PLAIN: &str = include_str!("plain.html");
const WORDS: &str = include_str!("words.html");
const REACT: &str = include_str!("react.html");

pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    state: Served,
}

#[derive(Clone, Default)]
struct Served(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The first visits that are to be made, and how many have begun.
    plan: Mutex<Option<Plan>>,
    visits: AtomicUsize,
    /// How many tokens were given out.
    tokens: AtomicUsize,
}

impl Site {
    pub(crate) async fn serve() -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let script = client("index.js");
        let state = Served::default();
        let js = |text: String| async move || ([(CONTENT_TYPE, "text/javascript")], text);
        let app = Router::new()
            .route("/", get(async || Html(PAGE)))
            .route("/client.js", get(js(script)))
            .route("/kept.js", get(js(KEPT.to_owned())))
            .route("/away", get(async || Html("<!doctype html><title>Away</title><p>Elsewhere.")))
            .route("/visit", get(async || Html(VISIT)))
            .route("/visit/next", get(next_visit))
            .route("/visit/{visit}/{load}", get(refresh))
            .route("/token", get(page_with_token))
            .route("/token/fresh", get(async |State(site): State<Served>| site.token()))
            .route("/login/{user}", get(log_in))
            .route("/plain", get(async || Html(PLAIN)))
            .route("/words", get(async || Html(WORDS)))
            .route("/react", get(async || Html(REACT)))
            .route("/react.js", get(async || ([(CONTENT_TYPE, "text/javascript")], react())))
            .with_state(state.clone());
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Site { addr, state }
    }

    /// What tabs at `/visit/next` do from now on.
    pub(crate) fn plan(&self, plan: Plan) {
        *self.state.0.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
        self.state.0.visits.store(0, Ordering::Relaxed);
    }
}

impl Served {
    fn plan(&self) -> Plan {
        let plan = self.0.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.clone().expect("the test has made a plan")
    }

    /// Another one each time, and all of them anna's.
    fn token(&self) -> String {
        format!("anna.{}", self.0.tokens.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

async fn next_visit(State(site): State<Served>) -> Redirect {
    let visit = site.0.visits.fetch_add(1, Ordering::Relaxed);
    let url = site.plan().page(visit).unwrap_or_else(|| "/away".to_owned());
    Redirect::to(&url)
}

/// Answers when the page is to be refreshed, or at once that it is not.
async fn refresh(
    State(site): State<Served>,
    InPath((visit, load)): InPath<(usize, usize)>,
) -> &'static str {
    match site.plan().refresh(visit, load) {
        Some(after) => {
            tokio::time::sleep(after).await;
            "refresh"
        }
        None => "stay",
    }
}

/// A page into which a framework has written a token, another one each time.
async fn page_with_token(State(site): State<Served>) -> Response {
    let page = TOKEN.replace("%TOKEN%", &site.token());
    ([(CACHE_CONTROL, "no-store")], Html(page)).into_response()
}

async fn log_in(InPath(user): InPath<String>) -> Response {
    let cookie = format!("login={user}; Path=/; SameSite=Lax");
    let page = format!("<!doctype html><title>Login</title><p>You are {user}.");
    ([(SET_COOKIE, cookie)], Html(page)).into_response()
}

fn client_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../client")
}

/// As `npm run build` made it.
fn client(file: &str) -> String {
    let file = client_dir().join("dist").join(file);
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run npm run build there", file.display()))
}

/// The page with React in it, in React's development build: only that has a StrictMode. React and
/// esbuild are those that `npm ci` installed for the client, at the versions of its lock file.
fn react() -> &'static str {
    static BUNDLE: OnceLock<String> = OnceLock::new();
    BUNDLE.get_or_init(bundle)
}

fn bundle() -> String {
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions/react.jsx");
    let modules = client_dir().join("node_modules");
    let bundled = Command::new(modules.join(".bin/esbuild"))
        .arg(app)
        .args(["--bundle", "--format=esm", "--target=es2022", "--jsx=automatic"])
        .arg(format!("--alias:@adieu/client={}", client_dir().join("dist/index.js").display()))
        .arg(format!(
            "--alias:@adieu/client/react={}",
            client_dir().join("dist/react.js").display()
        ))
        .env("NODE_PATH", &modules)
        .output()
        .unwrap_or_else(|error| panic!("esbuild: {error}; run npm ci and npm run build in client"));
    let said = String::from_utf8_lossy(&bundled.stderr);
    assert!(bundled.status.success(), "esbuild: {said}");
    String::from_utf8(bundled.stdout).unwrap()
}
