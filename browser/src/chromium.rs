//! Chromium, through chromedriver.

use std::net::{Ipv4Addr, SocketAddr};
use std::process;

use serde_json::{Value, json};

use crate::browser::Engine;
use crate::command::{Command, Remote};
use crate::error::Result;
use crate::instance::{Instance, find_program};
use crate::webdriver::WebDriver;

const DRIVER: &str = "chromedriver";

/// A running Chromium. The back/forward cache stays on, as people have it: it decides what the
/// wire shows when a page is left.
pub(crate) struct Chromium {
    // Before the instance: a driver that is gone needs no session.
    driver: WebDriver,
    instance: Instance,
}

impl Chromium {
    pub(crate) fn start() -> Result<Chromium> {
        let chromium = find_program("chromium", "chromium")?;
        let chromedriver = find_program(DRIVER, "chromium-driver")?;
        let mut instance = Instance::new("chromium")?;
        instance.spawn(DRIVER, process::Command::new(chromedriver).arg("--port=0"))?;
        let port = instance.wait_while_running(DRIVER, "the port", |i| port_in(&i.log(DRIVER)))?;
        let capabilities = json!({
            "browserName": "chrome",
            // Tests with TLS make their certificates themselves.
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "binary": chromium, "args": arguments(&instance) },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let driver = WebDriver::new_session(server, &capabilities)?;
        Ok(Chromium { driver, instance })
    }

    /// A command of the Chrome DevTools Protocol, which chromedriver passes on.
    fn devtools(&mut self, command: &str, parameters: &Value) -> Result<Value> {
        let call = json!({ "cmd": command, "params": parameters });
        self.driver.post("/goog/cdp/execute", &call)
    }
}

fn arguments(instance: &Instance) -> Vec<String> {
    let quiet = [
        "--headless=new",
        // Chromium refuses to run as root with its sandbox; containers run as root.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // They would be part of every picture.
        "--hide-scrollbars",
    ];
    let profile = format!("--user-data-dir={}", instance.path("profile").display());
    quiet.into_iter().map(str::to_owned).chain([profile]).collect()
}

/// chromedriver chooses a port by itself and says "… started successfully on port 40123."
fn port_in(log: &str) -> Option<u16> {
    let (_, after) = log.split_once("started successfully on port ")?;
    let (digits, _) = after.split_once('.')?;
    digits.parse().ok()
}

impl Remote for Chromium {
    fn call(&mut self, command: Command, parameters: Value) -> Result<Value> {
        self.driver.call(command, parameters)
    }
}

impl Engine for Chromium {
    fn instance(&mut self) -> &mut Instance {
        &mut self.instance
    }

    fn helpers(&self) -> &'static [&'static str] {
        &[DRIVER]
    }

    fn version(&self) -> String {
        self.driver.capabilities["browserVersion"].as_str().unwrap_or("?").to_owned()
    }

    /// A window has a least width; the emulated screen of a telephone has none.
    fn set_viewport(&mut self, width: u32, height: u32) -> Result<()> {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics).map(drop)
    }

    fn emulate_dark(&mut self, dark: bool) -> Result<()> {
        let scheme = if dark { "dark" } else { "light" };
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": feature })).map(drop)
    }

    /// The console's entries, without what the network says: a page without an icon is no error.
    fn script_errors(&mut self) -> Result<Vec<String>> {
        let log = self.driver.post("/se/log", &json!({ "type": "browser" }))?;
        let entries = log.as_array().cloned().unwrap_or_default();
        let errors = entries.iter().filter(|entry| {
            entry["level"] == json!("SEVERE") && entry["source"] != json!("network")
        });
        Ok(errors.filter_map(|entry| Some(entry["message"].as_str()?.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_port_that_chromedriver_chose() {
        let log = "Starting ChromeDriver\nChromeDriver was started successfully on port 40123.\n";
        assert_eq!(port_in(log), Some(40123));
        assert_eq!(port_in("ChromeDriver was started successfully on port 401"), None);
    }
}
