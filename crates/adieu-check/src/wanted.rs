//! Which checks are run: all, or those that the user names.

use super::http2::advertised;
use super::report::About;
use super::shutdown::Mix;
use super::{churn, closing, deflate, loaded, old, violations};

/// What can be seen while the server runs, in the order of the report.
const CONNECTIONS: [About; 17] = [
    closing::CLOSE,
    closing::LAST,
    loaded::UPLOAD,
    loaded::BACKLOG,
    violations::BARE,
    violations::IN_FLIGHT,
    churn::REFRESH,
    churn::RECONNECT,
    old::OLD,
    advertised::HTTP2,
    deflate::OFFERS,
    deflate::MESSAGES,
    deflate::ERRORS,
    deflate::CUT,
    closing::MUTE,
    deflate::BOMB,
    closing::PANIC,
];

/// The names of all checks.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    CONNECTIONS.into_iter().chain(Mix::ALL.map(Mix::about)).map(|about| about.id)
}

/// The checks that the user asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted(Vec<String>);

impl Wanted {
    /// These; all if none is named.
    pub(crate) fn new(ids: &[String]) -> Self {
        Wanted(ids.to_vec())
    }

    /// Whether this one is run.
    pub(crate) fn has(&self, about: About) -> bool {
        self.0.is_empty() || self.0.iter().any(|id| id == about.id)
    }

    /// The shutdowns that are run.
    pub(crate) fn shutdowns(&self) -> impl Iterator<Item = Mix> {
        Mix::ALL.into_iter().filter(|mix| self.has(mix.about()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_wanted_unless_some_are_named() {
        let all = Wanted::new(&[]);
        assert!(CONNECTIONS.into_iter().all(|about| all.has(about)));
        assert_eq!(all.shutdowns().collect::<Vec<_>>(), Mix::ALL);
        let some = Wanted::new(&["close".to_owned(), "shutdown_busy".to_owned()]);
        let of_connections = CONNECTIONS.into_iter().filter(|about| some.has(*about));
        assert_eq!(of_connections.map(|about| about.id).collect::<Vec<_>>(), ["close"]);
        assert_eq!(some.shutdowns().collect::<Vec<_>>(), [Mix::Busy]);
    }

    #[test]
    fn each_check_has_a_name_of_its_own() {
        let mut names: Vec<_> = ids().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CONNECTIONS.len() + Mix::ALL.len());
    }
}
