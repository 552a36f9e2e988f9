//! The log on stderr, as text or as JSON.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
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
    if let Some(word) = std::env::var(EnvFilter::DEFAULT_ENV).ok().as_deref().and_then(no_level) {
        say::warn(format_args!(
            "RUST_LOG: {word:?} is no level, and is taken for the name of a part of the program: \
             other parts log nothing unless they are named, too; the levels are error, warn, info, \
             debug and trace"
        ));
    }
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

/// A word that stands alone and is no level, where no level for the rest stands beside it: with
/// `RUST_LOG=warning` not even errors would be logged.
fn no_level(asked: &str) -> Option<&str> {
    let mut words = asked.split(',').map(str::trim).filter(|word| !word.contains(['=', '[']));
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    match words.clone().any(is_level) {
        true => None,
        false => words.find(|word| !word.is_empty() && !word.starts_with("adieu")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_found() {
        for (asked, word) in [("warning", "warning"), ("verbose", "verbose"), (" warm ", "warm")] {
            assert_eq!(no_level(asked), Some(word), "{asked}");
        }
        for fine in ["", "info", "WARN", "off", "3", "warn,hyper", "adieu_gateway", "hyper=debug"] {
            assert_eq!(no_level(fine), None, "{fine}");
        }
    }
}
