//! Firefox, through Marionette: no geckodriver is needed, which Debian does not package.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process;

use serde_json::{Value, json};

use crate::browser::Engine;
use crate::command::{Command, Remote};
use crate::error::{Error, Result};
use crate::instance::{Instance, find_program};
use crate::marionette::Marionette;

const PROGRAM: &str = "firefox-esr";

/// Preferences of a Firefox that stays alone: it calls no home, and takes any free port. Everything
/// about connections and the history is left as people have it.
const PREFERENCES: &[(&str, &str)] = &[
    ("marionette.port", "0"),
    ("app.normandy.enabled", "false"),
    ("app.update.enabled", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("browser.startup.page", "0"),
    ("browser.startup.homepage_override.mstone", "\"ignore\""),
    ("browser.tabs.warnOnClose", "false"),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
    ("toolkit.telemetry.reportingpolicy.firstRun", "false"),
];

/// A running Firefox.
pub(crate) struct Firefox {
    marionette: Marionette,
    instance: Instance,
}

impl Firefox {
    pub(crate) fn start() -> Result<Firefox> {
        let firefox = find_program(PROGRAM, "firefox-esr")?;
        let mut instance = Instance::new("firefox")?;
        let profile = instance.path("profile");
        write_profile(&instance)?;
        let mut command = process::Command::new(firefox);
        // System access lets Marionette read the error console and set preferences.
        command.args(["--marionette", "--headless", "--no-remote", "-remote-allow-system-access"]);
        command.arg("-profile").arg(&profile).env("MOZ_CRASHREPORTER_DISABLE", "1");
        instance.spawn(PROGRAM, &mut command)?;
        let port = instance.wait_while_running(PROGRAM, "the Marionette port", |i| {
            fs::read_to_string(i.path("profile/MarionetteActivePort")).ok()?.trim().parse().ok()
        })?;
        let address: (_, u16) = (Ipv4Addr::LOCALHOST, port);
        let marionette = Marionette::connect(SocketAddr::from(address))?;
        Ok(Firefox { marionette, instance })
    }
}

fn write_profile(instance: &Instance) -> Result<()> {
    let lines: String = PREFERENCES
        .iter()
        .map(|(name, value)| format!("user_pref(\"{name}\", {value});\n"))
        .collect();
    fs::create_dir(instance.path("profile"))
        .and_then(|()| fs::write(instance.path("profile/user.js"), lines))
        .map_err(Error::io("write the profile of Firefox"))
}

impl Remote for Firefox {
    fn call(&mut self, command: Command, parameters: Value) -> Result<Value> {
        self.marionette.call(command, parameters)
    }
}

impl Engine for Firefox {
    fn instance(&mut self) -> &mut Instance {
        &mut self.instance
    }

    fn helpers(&self) -> &'static [&'static str] {
        &[]
    }

    fn version(&self) -> String {
        self.marionette.capabilities["browserVersion"].as_str().unwrap_or("?").to_owned()
    }

    fn set_viewport(&mut self, width: u32, height: u32) -> Result<()> {
        let script = "return [outerWidth - innerWidth, outerHeight - innerHeight]";
        let frame = self.call(Command::ExecuteScript, json!({ "script": script, "args": [] }))?;
        let outer = |inner: u32, at: usize| u64::from(inner) + frame[at].as_u64().unwrap_or(0);
        let rect = json!({ "width": outer(width, 0), "height": outer(height, 1) });
        self.call(Command::SetWindowRect, rect).map(drop)
    }

    fn emulate_dark(&mut self, dark: bool) -> Result<()> {
        let name = "layout.css.prefers-color-scheme.content-override";
        let value = if dark { 0 } else { 1 };
        let script = "Services.prefs.setIntPref(arguments[0], arguments[1])";
        self.marionette.privileged(script, &json!([name, value])).map(drop)
    }

    /// The error console holds what all of Firefox reports; errors of pages have a category.
    fn script_errors(&mut self) -> Result<Vec<String>> {
        let script = r#"
            const errors = Services.console.getMessageArray().filter(
                entry => entry instanceof Ci.nsIScriptError
                    && entry.category === "content javascript"
                    && !(entry.flags & Ci.nsIScriptError.warningFlag));
            Services.console.reset();
            return errors.map(entry => `${entry.sourceName}:${entry.lineNumber}: `
                + entry.errorMessage);
        "#;
        let errors = self.marionette.privileged(script, &json!([]))?;
        serde_json::from_value(errors).map_err(|e| Error::malformed("the error console", e))
    }
}
