//! The gateway: what a message costs that goes to a backend and comes back, and what a session
//! costs that is idle. `gateway MODE`; prints its port. Sessions are in memory; its backend is a
//! process of its own, which says each message back through the API.

use std::process::{Command, Stdio};
use std::time::Duration;

use adieu_gateway::gateway::{Gateway, Options};
use adieu_gateway::hook::{Backend, BackendOptions, DeliveryOptions, EventFormat, Secret};
use adieu_gateway::http::{self, Access, Origins};
use adieu_gateway::session::hub::Settings;
use adieu_gateway::store::Memory;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use bench::peer;
use http_body_util::Full;
use hyper::Request;
use hyper::service::{Service, service_fn};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEY: &str = "a-key-for-the-measurements";

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    if word == "backend" {
        let gateway = std::env::args().nth(2).expect("the gateway's port");
        return runtime.block_on(backend(&gateway));
    }
    runtime.block_on(gateway());
}

async fn gateway() {
    let listener = adieu::listen("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["backend", &port.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a backend");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().expect("its output"));
    std::io::BufRead::read_line(&mut out, &mut line).expect("its port");
    let options = BackendOptions {
        url: format!("http://127.0.0.1:{}/", line.trim()),
        secret: Secret::read(SECRET).expect("a secret"),
        timeout: Duration::from_secs(10),
        tls: adieu::tls::client_config().expect("certificates"),
        format: EventFormat::Binary,
        batches: false,
    };
    let options = Options {
        sessions: Settings::default(),
        backend: Some(Backend::new(options).expect("an address")),
        deliveries: DeliveryOptions::default(),
        ask_resume: false,
        drain_window: Duration::ZERO,
    };
    let gateway = Gateway::start(Memory::default(), options).await.expect("a gateway");
    let access = Access::new(Some(KEY)).expect("a key");
    let endpoint = adieu::Endpoint::new();
    let app = http::websocket(gateway.clone(), endpoint, Origins::default(), false);
    let app = app.merge(http::api(gateway, access));
    println!("{port}");
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        tokio::spawn(serve(tcp, app.clone()));
    }
}

/// The generator asks for `/`.
async fn serve(tcp: tokio::net::TcpStream, app: Router) {
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        if request.uri().path() == "/" {
            *request.uri_mut() = Uri::from_static("/ws");
        }
        app.call(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(tcp), service)
        .with_upgrades();
    let _ = served.await;
}

type Api = (Client<HttpConnector, Full<Bytes>>, String);

async fn backend(gateway: &str) {
    let listener = peer::listen();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let api: Api = (client, format!("http://127.0.0.1:{gateway}/api/sessions"));
    let app = Router::new().route("/", post(hook)).with_state(api);
    // The gateway that has started it ends it by its own end.
    tokio::spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if std::os::unix::process::parent_id() == 1 {
                std::process::exit(0);
            }
        }
    });
    axum::serve(listener, app).await.expect("it serves");
}

async fn hook(State((client, api)): State<Api>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if field("ce-type") == Some("message") {
        let session = field("ce-sessionid").expect("a session");
        let request = Request::post(format!("{api}/{session}/messages"))
            .header("authorization", format!("Bearer {KEY}"))
            .header("content-type", field("content-type").expect("a type"))
            .body(Full::new(body));
        let sent = client.request(request.expect("a request")).await;
        assert!(sent.is_ok_and(|answer| answer.status() == StatusCode::ACCEPTED));
    }
    StatusCode::NO_CONTENT
}
