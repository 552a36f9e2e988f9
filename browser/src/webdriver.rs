//! A session with a W3C WebDriver server, over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::command::{Command, Remote};
use crate::error::{Error, Result};
use crate::http;

/// For one command. Page loads are limited to half of it, so that a slow page is reported by the
/// driver, which can say more about it.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// For starting the browser, on a machine that may be busy with another one.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A session: one running browser.
pub(crate) struct WebDriver {
    server: SocketAddr,
    session: String,
    /// What the browser says about itself.
    pub(crate) capabilities: Value,
}

impl WebDriver {
    /// Whether a WebDriver server accepts sessions at this address.
    pub(crate) fn is_ready(server: SocketAddr) -> bool {
        http::request(server, "GET", "/status", None, Duration::from_secs(5))
            .and_then(|response| response.json("/status"))
            .is_ok_and(|status| status["value"]["ready"] == json!(true))
    }

    /// Starts the browser that `capabilities` describe.
    pub(crate) fn new_session(server: SocketAddr, capabilities: &Value) -> Result<WebDriver> {
        let body = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let mut created = exchange(server, "POST", "/session", Some(&body), START_LIMIT)?;
        let session = created["sessionId"]
            .as_str()
            .ok_or_else(|| Error::malformed("POST /session", &created))?
            .to_owned();
        let capabilities = created["capabilities"].take();
        let mut driver = WebDriver { server, session, capabilities };
        let half = u64::try_from(COMMAND_LIMIT.as_millis() / 2).unwrap_or(u64::MAX);
        driver.post("/timeouts", &json!({ "pageLoad": half, "script": half }))?;
        Ok(driver)
    }

    /// Posts to an endpoint of the session that is not in the standard.
    pub(crate) fn post(&mut self, endpoint: &str, parameters: &Value) -> Result<Value> {
        self.exchange("POST", endpoint, Some(parameters))
    }

    fn exchange(&self, method: &str, endpoint: &str, body: Option<&Value>) -> Result<Value> {
        let path = format!("/session/{}{endpoint}", self.session);
        exchange(self.server, method, &path, body, COMMAND_LIMIT)
    }
}

impl Remote for WebDriver {
    fn call(&mut self, command: Command, parameters: Value) -> Result<Value> {
        let (method, endpoint) = command.endpoint();
        let body = (method == "POST").then_some(&parameters);
        self.exchange(method, endpoint, body)
    }
}

/// One command and its answer (W3C WebDriver §6.3: always an object with `value`).
fn exchange(
    server: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
    limit: Duration,
) -> Result<Value> {
    let response = http::request(server, method, path, body, limit)?;
    let mut answer = response.json(path)?;
    if response.status == 200 {
        return Ok(answer["value"].take());
    }
    let value = &answer["value"];
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    Err(Error::Driver {
        command: format!("{method} {path}"),
        message: format!("{} ({}): {}", text("error"), response.status, text("message")),
    })
}
