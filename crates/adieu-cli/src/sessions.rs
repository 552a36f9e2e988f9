//! The gateway that follows from what the command line says of sessions.

mod options;

use adieu_gateway::cluster::EngineOptions;
use adieu_gateway::gateway::{Gateway, Options};
use adieu_gateway::hook::{Backend, BackendOptions, DeliveryOptions, Secret};
use adieu_gateway::http::{Access, BadKey, Origins, PublicUrl};
use adieu_gateway::session::command::Limits;
use adieu_gateway::session::{Settings, Waits};
use adieu_gateway::store::{Disk, Memory, StoreWatch};

use adieu_check::trust;

pub(crate) use options::{Sessions, length};

/// Holds the secret that hooks are signed with: what stands on a command line, everybody may read.
const SECRET: &str = "ADIEU_BACKEND_SECRET";

/// Holds the key of the pages and the API.
pub(crate) const KEY: &str = "ADIEU_API_KEY";

impl Sessions {
    /// Starts the gateway; the file of its store, if it has one.
    pub(crate) async fn start(&self) -> Result<(Gateway, Option<StoreWatch>), String> {
        let options = self.options()?;
        let mut file = None;
        let started = match (&self.store.engine, &self.store.data) {
            (Some(url), _) => {
                let volatile = self.store.engine_volatile;
                let engine = EngineOptions { url: url.clone(), volatile };
                Gateway::start_node(&engine, options).await
            }
            (None, None) => Gateway::start(Memory, options).await,
            (None, Some(dir)) => {
                let dir = dir.clone();
                // It reads the whole file.
                let opened = tokio::task::spawn_blocking(move || Disk::open(&dir)).await;
                let disk = opened.map_err(|error| error.to_string())?;
                let disk = disk.map_err(|error| error.to_string())?;
                file = Some(disk.watch());
                Gateway::start(disk, options).await
            }
        };
        Ok((started.map_err(|error| error.to_string())?, file))
    }

    fn options(&self) -> Result<Options, String> {
        let (sessions_per_user, messages_per_user) =
            (self.limits.max_sessions_per_user, self.limits.max_messages_per_user);
        let sessions = Settings {
            waits: self.waits(),
            heartbeat: self.waits.heartbeat,
            tell_connections: self.hooks.tell_connections,
            ask_resume: self.hooks.ask_resume.into(),
            limits: Limits { sessions_per_user, messages_per_user, ..Limits::default() },
            ..Settings::default()
        };
        Ok(Options {
            sessions,
            backend: self.backend()?,
            deliveries: self.deliveries(),
            credential_cookies: self.hooks.credential_cookie.clone(),
            drain_window: self.waits.drain_window,
            ..Options::default()
        })
    }

    fn waits(&self) -> Waits {
        Waits {
            left: self.waits.wait_left,
            hidden: self.waits.wait_hidden,
            lost: self.waits.wait_lost,
            drained: self.waits.wait_drained,
            gateway_down: self.waits.wait_restart,
            user: self.waits.wait_user,
        }
    }

    fn deliveries(&self) -> DeliveryOptions {
        DeliveryOptions {
            concurrency: self.hooks.backend_concurrency,
            patience: self.hooks.backend_patience,
            spread: self.hooks.backend_spread,
            dead_letter_age: self.hooks.dead_letter_age,
            park_after: self.hooks.park_after,
            dead_letter_tries: self.hooks.dead_letter_tries,
        }
    }

    fn backend(&self) -> Result<Option<Backend>, String> {
        let Some(url) = self.hooks.backend.clone() else { return Ok(None) };
        let secret = std::env::var(SECRET).map_err(|_| {
            format!("--backend needs {SECRET}, with which hooks are signed: {}", wrong_secret())
        })?;
        let secret = Secret::read(&secret).map_err(|error| format!("{SECRET}: {error}"))?;
        let tls = trust::client_config(self.hooks.backend_ca.as_ref(), false)?;
        let (timeout, format) = (self.hooks.backend_timeout, self.hooks.event_format);
        let batches = self.hooks.batch;
        Backend::new(BackendOptions { url, secret, timeout, tls, format, batches }).map(Some)
    }

    pub(crate) fn has_backend(&self) -> bool {
        self.hooks.backend.is_some()
    }

    /// Which pages may connect.
    pub(crate) fn origins(&self) -> Origins {
        Origins::new(self.sites.allow_origin.clone(), self.sites.public_url.clone())
    }

    /// Where people reach the gateway, if that is said.
    pub(crate) fn public_url(&self) -> Option<&PublicUrl> {
        self.sites.public_url.as_ref()
    }

    /// Who may see pages and use the API, and how often.
    pub(crate) fn access(&self) -> Result<Access, String> {
        let key = match std::env::var(KEY) {
            Ok(key) => Some(key),
            Err(std::env::VarError::NotPresent) => None,
            // To go on without one would open what was to be closed.
            Err(std::env::VarError::NotUnicode(_)) => return Err(format!("{KEY}: {BadKey}")),
        };
        let access = Access::new(key.as_deref()).map_err(|error| format!("{KEY}: {error}"))?;
        Ok(access.max_requests(self.limits.max_api_requests))
    }
}

fn wrong_secret() -> String {
    adieu_gateway::hook::BadSecret::Missing.to_string()
}
