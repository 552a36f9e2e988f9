//! One interface to the three browsers.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::command::{Command, Remote};
use crate::error::{Error, Result};
use crate::firefox::Firefox;
use crate::instance::{Instance, START_LIMIT};
use crate::processes;
use crate::wait::wait_for;
use crate::webkit::WebKit;

/// For what takes a browser only a moment, on a machine that may be busy.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Chromium, through chromedriver.
    Chromium,
    /// Firefox ESR, through Marionette.
    Firefox,
    /// WebKitGTK's MiniBrowser, through WebKitWebDriver. Its network stack is libsoup, not
    /// Apple's: what it does on the wire says little about Safari.
    WebKit,
}

impl Kind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Kind; 3] = [Kind::Chromium, Kind::Firefox, Kind::WebKit];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Chromium => "Chromium",
            Kind::Firefox => "Firefox",
            Kind::WebKit => "WebKitGTK",
        }
    }

    /// The name in file names.
    pub fn id(self) -> &'static str {
        match self {
            Kind::Chromium => "chromium",
            Kind::Firefox => "firefox",
            Kind::WebKit => "webkit",
        }
    }
}

/// A tab, as its browser names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tab(String);

impl fmt::Display for Tab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What differs from browser to browser.
pub(crate) trait Engine: Remote + Send {
    fn instance(&mut self) -> &mut Instance;
    /// The programs of the instance that are not the browser: its driver, its X server.
    fn helpers(&self) -> &'static [&'static str];
    fn version(&self) -> String;
    /// Makes the page area of the current tab as large as this.
    fn set_viewport(&mut self, width: u32, height: u32) -> Result<()>;
    fn emulate_dark(&mut self, dark: bool) -> Result<()>;
    fn script_errors(&mut self) -> Result<Vec<String>>;
}

/// A running browser with directories and ports of its own.
///
/// Commands go to the current tab, as in WebDriver. Dropping it kills every process of it and
/// removes its directories.
///
/// ```no_run
/// use browser::{Browser, Kind};
///
/// let mut firefox = Browser::start(Kind::Firefox)?;
/// firefox.navigate("http://127.0.0.1:8080/")?;
/// let title = firefox.execute("return document.title", &[])?;
/// println!("{} shows {title}", firefox.version());
/// # Ok::<(), browser::Error>(())
/// ```
pub struct Browser {
    kind: Kind,
    engine: Box<dyn Engine>,
}

impl Browser {
    /// Starts a browser, headless, with nothing remembered, and with one blank tab.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] if it is not on this machine, otherwise whatever kept it from
    /// starting.
    pub fn start(kind: Kind) -> Result<Browser> {
        let engine: Box<dyn Engine> = match kind {
            Kind::Chromium => Box::new(Chromium::start()?),
            Kind::Firefox => Box::new(Firefox::start()?),
            Kind::WebKit => Box::new(WebKit::start()?),
        };
        Ok(Browser { kind, engine })
    }

    /// Which browser it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Name and full version, as the browser itself says.
    pub fn version(&self) -> String {
        format!("{} {}", self.kind.name(), self.engine.version())
    }

    /// Opens an address in the current tab, and returns when it is loaded.
    ///
    /// # Errors
    /// Whatever the driver says, as for all that follow.
    pub fn navigate(&mut self, url: &str) -> Result<()> {
        self.engine.call(Command::NavigateTo, json!({ "url": url })).map(drop)
    }

    /// Reloads the page, and returns when it is loaded.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn refresh(&mut self) -> Result<()> {
        self.engine.call(Command::Refresh, json!({})).map(drop)
    }

    /// Goes back in the history of the tab.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn back(&mut self) -> Result<()> {
        self.engine.call(Command::Back, json!({})).map(drop)
    }

    /// Runs the body of a function in the page; `arguments` are `args`.
    ///
    /// # Errors
    /// Whatever the driver says, including what the script throws.
    pub fn execute(&mut self, script: &str, args: &[Value]) -> Result<Value> {
        self.engine.call(Command::ExecuteScript, json!({ "script": script, "args": args }))
    }

    /// Presses a button of the mouse on what this selector of CSS finds first, as a person does: a
    /// browser lets a page do more then than where a script presses.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the page has no such element, otherwise whatever the driver says.
    pub fn click(&mut self, selector: &str) -> Result<()> {
        let script = r#"
            const element = document.querySelector(arguments[0]);
            element?.scrollIntoView({ block: "center", behavior: "instant" });
            const box = element?.getBoundingClientRect();
            return box && [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)];
        "#;
        let at = self.execute(script, &[json!(selector)])?;
        if at[0].is_null() {
            return Err(Error::malformed("the page", format!("it has no {selector}")));
        }
        let steps = json!([
            { "type": "pointerMove", "x": at[0], "y": at[1], "origin": "viewport", "duration": 0 },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        self.act(&json!({
            "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" },
            "actions": steps,
        }))
    }

    /// Presses a key, named as in W3C WebDriver §17.4.2.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn press_key(&mut self, key: char) -> Result<()> {
        let steps = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.act(&json!({ "type": "key", "id": "keyboard", "actions": steps }))
    }

    fn act(&mut self, input: &Value) -> Result<()> {
        self.engine.call(Command::PerformActions, json!({ "actions": [input] })).map(drop)
    }

    /// All tabs, in no order.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn tabs(&mut self) -> Result<Vec<Tab>> {
        let open = self.engine.call(Command::GetWindowHandles, json!({}))?;
        let handles = open.as_array().ok_or_else(|| Error::malformed("window handles", &open))?;
        handles.iter().map(|handle| tab_named(handle, "window handles")).collect()
    }

    /// Opens a blank tab and makes it the current one.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn new_tab(&mut self) -> Result<Tab> {
        let opened = self.engine.call(Command::NewWindow, json!({ "type": "tab" }))?;
        let tab = tab_named(&opened["handle"], "new window")?;
        self.switch_to(&tab)?;
        Ok(tab)
    }

    /// The current tab.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn current_tab(&mut self) -> Result<Tab> {
        let handle = self.engine.call(Command::GetWindowHandle, json!({}))?;
        tab_named(&handle, "window handle")
    }

    /// Makes a tab the current one.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn switch_to(&mut self, tab: &Tab) -> Result<()> {
        self.engine.call(Command::SwitchToWindow, json!({ "handle": tab.0 })).map(drop)
    }

    /// Closes the current tab and makes another one current. The last tab cannot be closed: that
    /// would end the session; see [`Browser::quit`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] for the last tab, otherwise whatever the driver says.
    pub fn close_tab(&mut self) -> Result<()> {
        let open = self.engine.call(Command::GetWindowHandles, json!({}))?;
        if open.as_array().is_none_or(|handles| handles.len() < 2) {
            return Err(Error::Unsupported("close its last tab"));
        }
        let left = self.engine.call(Command::CloseWindow, json!({}))?;
        self.switch_to(&tab_named(&left[0], "close window")?)
    }

    /// The page area of the current tab as a PNG. WebKitGTK never answers for another tab than its
    /// first.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn screenshot(&mut self) -> Result<Vec<u8>> {
        let encoded = self.engine.call(Command::TakeScreenshot, json!({}))?;
        let text = encoded.as_str().ok_or_else(|| Error::malformed("screenshot", &encoded))?;
        BASE64_STANDARD.decode(text).map_err(|e| Error::malformed("screenshot", e))
    }

    /// Makes the page area of the current tab as large as this. Chromium takes any size; the
    /// others keep to the least width of their window.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn set_viewport(&mut self, width: u32, height: u32) -> Result<()> {
        self.engine.set_viewport(width, height)
    }

    /// Tells pages that the person prefers dark colours, or light ones.
    ///
    /// # Errors
    /// [`Error::Unsupported`] in WebKitGTK, otherwise whatever the driver says.
    pub fn emulate_dark(&mut self, dark: bool) -> Result<()> {
        self.engine.emulate_dark(dark)?;
        let query = "return matchMedia('(prefers-color-scheme: dark)').matches";
        // The process that shows the page hears of it a little later.
        wait_for("the page to see the preferred colours", ANSWER_LIMIT, || {
            Ok((self.execute(query, &[])? == json!(dark)).then_some(()))
        })
    }

    /// The errors that scripts of pages threw, or wrote to the console, since the last call.
    ///
    /// # Errors
    /// [`Error::Unsupported`] in WebKitGTK, otherwise whatever the driver says.
    pub fn script_errors(&mut self) -> Result<Vec<String>> {
        self.engine.script_errors()
    }

    /// All processes of the browser, without its driver and X server.
    pub fn processes(&mut self) -> Vec<u32> {
        let helpers = self.engine.helpers();
        self.engine.instance().processes(helpers)
    }

    /// Kills all processes of the browser in one go, and returns when they are gone.
    ///
    /// # Errors
    /// [`Error::Timeout`] if some of them stay.
    pub fn kill_all(mut self) -> Result<()> {
        let helpers = self.engine.helpers();
        let instance = self.engine.instance();
        processes::kill_until_none(self.kind.name(), || instance.processes(helpers))
    }

    /// Lets the browser quit by itself, and returns when all its processes are gone.
    ///
    /// # Errors
    /// What the driver says, or [`Error::Timeout`] if processes stay.
    pub fn quit(mut self) -> Result<()> {
        self.engine.call(Command::DeleteSession, json!({ "flags": ["eForceQuit"] }))?;
        wait_for(format_args!("{} to quit", self.kind.name()), START_LIMIT, || {
            Ok(self.processes().is_empty().then_some(()))
        })
    }
}

fn tab_named(handle: &Value, from: &str) -> Result<Tab> {
    let name = handle.as_str().ok_or_else(|| Error::malformed(from, handle))?;
    Ok(Tab(name.to_owned()))
}
