//! The log on stderr, as text or as JSON.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::say;

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// An object in each line, of stdout too
    Json,
}

/// Logs to stderr from now on what `RUST_LOG` asks for; colours are for a terminal.
pub(crate) fn start(format: LogFormat) {
    say::set_format(format);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter())
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // It would say so on stderr, which may be what is gone.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => {
            subscriber.json().flatten_event(true).with_current_span(false).init();
            // A panic would be the only line that is no JSON.
            std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        }
    }
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|error| {
        let asked = std::env::var_os(EnvFilter::DEFAULT_ENV).filter(|asked| !asked.is_empty());
        if let Some(asked) = asked {
            say::warn(format_args!(
                "RUST_LOG={} cannot be read ({error}): warnings are logged; write it like info, or \
                 like warn,adieu_gateway=debug",
                asked.to_string_lossy()
            ));
        }
        EnvFilter::new("warn")
    })
}
