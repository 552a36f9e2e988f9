//! The certificate of the server, which is read anew when its files have changed: by themselves,
//! and at a signal.

use std::sync::Arc;
use std::time::Duration;

use adieu::tls::CertificateFiles;

use crate::say::say;
use crate::service_manager::{Phase, ServiceManager};
use crate::signals::Reloads;

/// How often the files are looked at, if nobody says otherwise. They are a few kilobytes, and
/// certificates are renewed days before they end.
pub(crate) const LOOK_EVERY: &str = "10s";

/// The files are small: to read them takes so long only where something is wrong.
const SLOW: Duration = Duration::from_secs(1);

/// What is wrong with the files, if anything is.
#[derive(Debug, Default)]
struct Trouble {
    /// What was told.
    told: Option<String>,
    /// What was wrong at the last look, and not told: they may be about to be replaced, one after
    /// the other.
    doubted: Option<String>,
}

/// Looks after the files for as long as it is polled.
pub(crate) async fn watch(
    files: Option<CertificateFiles>,
    every: Duration,
    mut asked: Reloads,
    manager: ServiceManager,
) {
    let Some(files) = files.map(Arc::new) else {
        loop {
            asked.next().await;
            manager.tell(Phase::Reloading);
            manager.tell(Phase::Ready);
            // FAQ: serve-sighup
            tracing::warn!("SIGHUP: there is no certificate to read anew (--tls-cert, --tls-key)");
        }
    };
    let mut trouble = Trouble::default();
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(every) => false,
            () = asked.next() => true,
        };
        if asked {
            manager.tell(Phase::Reloading);
        }
        let reading = files.clone();
        // They may be on a network.
        let mut read = tokio::task::spawn_blocking(move || reading.reload());
        let in_time = tokio::time::timeout(every.max(SLOW), &mut read).await;
        let read = match in_time {
            Ok(read) => read,
            Err(_) => {
                trouble.tell(too_slow(&files), true);
                // Who waits for the reload has heard of it.
                if asked {
                    manager.tell(Phase::Ready);
                }
                read.await
            }
        };
        let Ok(read) = read else { return };
        match read {
            Ok(new) => {
                trouble = Trouble::default();
                say_served(&files, new, asked);
            }
            Err(error) => trouble.tell(error.to_string(), asked),
        }
        if asked {
            manager.tell(Phase::Ready);
        }
    }
}

fn too_slow(files: &CertificateFiles) -> String {
    let (cert, key) = (files.cert().display(), files.key().display());
    format!("{cert} and {key} could not be read yet: is the file system well that they are in?")
}

fn say_served(files: &CertificateFiles, new: bool, asked: bool) {
    let cert = files.cert().display();
    if new {
        say(format_args!("{cert} was read anew: new connections get its certificate."));
    } else if asked {
        say(format_args!("{cert} is as it was."));
    }
}

impl Trouble {
    /// Tells what is wrong, when it is seen for the second time or somebody has asked; once.
    fn tell(&mut self, why: String, asked: bool) {
        if !asked && self.told.as_ref() == Some(&why) {
            self.doubted = None;
        } else if asked || self.doubted.as_ref() == Some(&why) {
            // FAQ: tls-certificate-stays
            tracing::error!("TLS: {why}; the certificate of before is served on");
            *self = Trouble { told: Some(why), doubted: None };
        } else {
            self.doubted = Some(why);
        }
    }
}
