//! WebKitGTK's MiniBrowser, through WebKitWebDriver, on an X server without a screen.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process;

use serde_json::{Value, json};

use crate::browser::Engine;
use crate::command::{Command, Remote};
use crate::error::{Error, Result};
use crate::instance::{Instance, find_program, is_file};
use crate::webdriver::WebDriver;
use crate::xvfb::{self, XVFB};

const DRIVER: &str = "WebKitWebDriver";
const PACKAGES: &str = "webkit2gtk-driver xvfb";

/// Between choosing a free port and the driver's use of it, another program may take it.
const PORT_ATTEMPTS: u32 = 5;

/// What MiniBrowser needs on a machine without a display, a GPU or a session bus. Its sandbox
/// wants user namespaces, which containers seldom have. Compositing stays on: without it a
/// screenshot never comes.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS", "1"),
    ("LIBGL_ALWAYS_SOFTWARE", "1"),
    ("NO_AT_BRIDGE", "1"),
    ("GDK_BACKEND", "x11"),
];

/// A running MiniBrowser.
pub(crate) struct WebKit {
    driver: WebDriver,
    instance: Instance,
}

impl WebKit {
    pub(crate) fn start() -> Result<WebKit> {
        let program = find_program(DRIVER, PACKAGES)?;
        let browser = find_minibrowser()?;
        let mut instance = Instance::new("webkit")?;
        let display = xvfb::start(&mut instance)?;
        let server = start_driver(&mut instance, &program, &display)?;
        let capabilities = json!({
            "browserName": "MiniBrowser",
            "webkitgtk:browserOptions": { "binary": browser, "args": ["--automation"] },
        });
        let driver = WebDriver::new_session(server, &capabilities)?;
        Ok(WebKit { driver, instance })
    }
}

fn start_driver(instance: &mut Instance, program: &PathBuf, display: &str) -> Result<SocketAddr> {
    let mut attempt = 1;
    loop {
        let server = free_address()?;
        let mut command = process::Command::new(program);
        command.arg(format!("--port={}", server.port())).env("DISPLAY", display);
        command.envs(ENVIRONMENT.iter().copied());
        instance.spawn(DRIVER, &mut command)?;
        let ready = instance.wait_while_running(DRIVER, "the readiness", |_| {
            WebDriver::is_ready(server).then_some(())
        });
        match ready {
            Ok(()) => return Ok(server),
            Err(Error::Exited { .. }) if attempt < PORT_ATTEMPTS => attempt += 1,
            Err(e) => return Err(e),
        }
        instance.forget(DRIVER);
    }
}

fn free_address() -> Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(Error::io("find a free port"))
}

/// MiniBrowser is no program for people, so it is not on the `PATH` but beside the library.
fn find_minibrowser() -> Result<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    libraries
        .flat_map(|entry| {
            ["webkit2gtk-4.1", "webkit2gtk-4.0"].map(|version| entry.path().join(version))
        })
        .map(|directory| directory.join("MiniBrowser"))
        .find(|candidate| is_file(candidate))
        .ok_or_else(|| Error::NotInstalled { program: "MiniBrowser".into(), package: PACKAGES })
}

impl Drop for WebKit {
    fn drop(&mut self) {
        if let Err(e) = xvfb::stop(&self.instance) {
            eprintln!("{e}");
        }
    }
}

impl Remote for WebKit {
    fn call(&mut self, command: Command, parameters: Value) -> Result<Value> {
        self.driver.call(command, parameters)
    }
}

impl Engine for WebKit {
    fn instance(&mut self) -> &mut Instance {
        &mut self.instance
    }

    fn helpers(&self) -> &'static [&'static str] {
        &[DRIVER, XVFB]
    }

    fn version(&self) -> String {
        self.driver.capabilities["browserVersion"].as_str().unwrap_or("?").to_owned()
    }

    fn set_viewport(&mut self, width: u32, height: u32) -> Result<()> {
        let rect = json!({ "width": width, "height": height });
        self.call(Command::SetWindowRect, rect).map(drop)
    }

    fn emulate_dark(&mut self, _dark: bool) -> Result<()> {
        Err(Error::Unsupported("be told which colours a person prefers"))
    }

    /// The driver has no command for the console, and MiniBrowser writes it to its output only
    /// while nothing drives it.
    fn script_errors(&mut self) -> Result<Vec<String>> {
        Err(Error::Unsupported("tell the errors of scripts"))
    }
}
