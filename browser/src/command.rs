//! The WebDriver commands used here, under both names they have.
//!
//! Chromium's and WebKit's drivers take them as HTTP requests (W3C WebDriver §6.3); Firefox takes
//! the same parameters under a name of its own over Marionette.

use serde_json::Value;

use crate::error::Result;

/// A command that all three browsers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are those of the W3C WebDriver standard.
pub enum Command {
    NavigateTo,
    Refresh,
    Back,
    ExecuteScript,
    PerformActions,
    NewWindow,
    CloseWindow,
    SwitchToWindow,
    GetWindowHandle,
    GetWindowHandles,
    SetWindowRect,
    TakeScreenshot,
    DeleteSession,
}

impl Command {
    /// The HTTP method, and the path below `/session/{id}`.
    pub fn endpoint(self) -> (&'static str, &'static str) {
        match self {
            Command::NavigateTo => ("POST", "/url"),
            Command::Refresh => ("POST", "/refresh"),
            Command::Back => ("POST", "/back"),
            Command::ExecuteScript => ("POST", "/execute/sync"),
            Command::PerformActions => ("POST", "/actions"),
            Command::NewWindow => ("POST", "/window/new"),
            Command::CloseWindow => ("DELETE", "/window"),
            Command::SwitchToWindow => ("POST", "/window"),
            Command::GetWindowHandle => ("GET", "/window"),
            Command::GetWindowHandles => ("GET", "/window/handles"),
            Command::SetWindowRect => ("POST", "/window/rect"),
            Command::TakeScreenshot => ("GET", "/screenshot"),
            Command::DeleteSession => ("DELETE", ""),
        }
    }

    /// The name of the command in Marionette.
    pub fn marionette(self) -> &'static str {
        match self {
            Command::NavigateTo => "WebDriver:Navigate",
            Command::Refresh => "WebDriver:Refresh",
            Command::Back => "WebDriver:Back",
            Command::ExecuteScript => "WebDriver:ExecuteScript",
            Command::PerformActions => "WebDriver:PerformActions",
            Command::NewWindow => "WebDriver:NewWindow",
            Command::CloseWindow => "WebDriver:CloseWindow",
            Command::SwitchToWindow => "WebDriver:SwitchToWindow",
            Command::GetWindowHandle => "WebDriver:GetWindowHandle",
            Command::GetWindowHandles => "WebDriver:GetWindowHandles",
            Command::SetWindowRect => "WebDriver:SetWindowRect",
            Command::TakeScreenshot => "WebDriver:TakeScreenshot",
            Command::DeleteSession => "Marionette:Quit",
        }
    }
}

/// A way to give commands to a running browser.
pub(crate) trait Remote {
    /// Gives a command and waits for its answer; both HTTP's and Marionette's envelope is removed.
    fn call(&mut self, command: Command, parameters: Value) -> Result<Value>;
}
