//! What a start says: where the gateway listens, where its page is, and how to log in.

use std::fmt;
use std::net::SocketAddr;

use adieu_gateway::http::{Access, LOGIN_LASTS};

use crate::Serve;
use crate::listen::Bound;
use crate::say::{a_person_reads, say, warn};
use crate::sessions::KEY;

/// Says it.
pub(crate) fn say_hello(options: &Serve, bound: &[Bound], access: &Access, tls: bool) {
    let scheme = if tls { "https" } else { "http" };
    for Bound { name, addr, .. } in bound {
        match addr {
            Some(_) => say(format_args!("adieu is listening on {scheme}://{name}/")),
            None => say(format_args!("adieu is listening on {name}")),
        }
    }
    let address = bound.iter().find_map(|bound| bound.addr);
    let page = match (options.sessions.public_url(), address) {
        (Some(public), _) => Some(format!("{public}/")),
        (None, Some(addr)) => Some(format!("{scheme}://{}/", Reachable(addr))),
        (None, None) => None,
    };
    match &page {
        Some(page) => say(format_args!(
            "The page is {page} in a browser: refresh it, leave it, close it. Ctrl-C ends adieu."
        )),
        None => say("The page is where your proxy has it. Ctrl-C ends adieu."),
    }
    if access.has_key() {
        return say_how_to_log_in(page.as_deref(), access);
    }
    if options.sessions.has_backend() {
        warn(format_args!(
            "without {KEY} the page and the API are served to this machine only; a proxy on this \
             machine that does not say that it is a proxy opens them to everybody: set a key"
        ));
    }
    if let Some(Bound { name, .. }) = bound.iter().find(|bound| bound.addr.is_none()) {
        warn(format_args!(
            "over {name} nobody gets the page and the API without {KEY}, because the clients \
             behind the proxy are not known: set a key"
        ));
    }
}

fn say_how_to_log_in(page: Option<&str>, access: &Access) {
    say(format_args!(
        "The page and the API ask for a password, any user name will do: it is what {KEY} was set \
         to."
    ));
    // A file is read by others as well, and later.
    let Some(page) = page.filter(|_| a_person_reads()) else { return };
    if let Some(link) = access.login_link() {
        let (minutes, page) = (LOGIN_LASTS.as_secs() / 60, page.trim_end_matches('/'));
        say(format_args!(
            "This link logs a browser in, once, within {minutes} minutes: {page}{link}"
        ));
    }
}

/// An address that a browser on this machine can open: "all addresses" is none.
struct Reachable(SocketAddr);

impl fmt::Display for Reachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.ip().is_unspecified() {
            return write!(f, "localhost:{}", self.0.port());
        }
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_at_localhost() {
        for (addr, shown) in [
            ("[::]:8080", "localhost:8080"),
            ("0.0.0.0:80", "localhost:80"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(Reachable(addr.parse().unwrap()).to_string(), shown);
        }
    }
}
