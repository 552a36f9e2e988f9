//! Following redirects (RFC 9110 §15.4): where to, and what of the request goes along.

use std::sync::Arc;

use adieu_proto::{HandshakeError, Refusal};

use super::error::{RedirectError, RedirectProblem};
use super::url::Target;

/// Fields that are for one origin and no other.
const OF_ONE_ORIGIN: [&str; 4] = ["Authorization", "Cookie", "Proxy-Authorization", "Host"];

/// Where the request goes at the moment, and where it has been.
pub(super) struct Journey {
    pub(super) target: Target,
    been: Vec<String>,
    /// It has left the origin of the caller's URL: credentials stay behind for good.
    left_origin: bool,
}

impl Journey {
    pub(super) fn new(target: Target) -> Self {
        Journey { been: vec![target.whole()], target, left_origin: false }
    }

    /// Goes where an error leads, if it is a redirect: whether it did.
    pub(super) fn follow(
        &mut self,
        error: &HandshakeError,
        max: usize,
    ) -> Result<bool, RedirectError> {
        let HandshakeError::RefusedByServer(refusal) = error else { return Ok(false) };
        let Some(location) = location(refusal).filter(|_| max > 0) else { return Ok(false) };
        let refuse = |why| RedirectError { why, refusal: Arc::clone(refusal) };
        let next = self.target.join(location);
        let mut next = next.map_err(|error| refuse(RedirectProblem::Location(error)))?;
        if self.target.is_secure() && !next.is_secure() {
            return Err(refuse(RedirectProblem::Insecure(next.to_string())));
        }
        if self.been.contains(&next.whole()) {
            return Err(refuse(RedirectProblem::Loop(next.to_string())));
        }
        if self.been.len() > max {
            return Err(refuse(RedirectProblem::TooMany(max)));
        }
        if self.target.same_origin(&next) {
            next.authorization = next.authorization.or_else(|| self.target.authorization.take());
        } else {
            self.left_origin = true;
        }
        self.been.push(next.whole());
        self.target = next;
        Ok(true)
    }

    /// Whether a field of the caller's goes along.
    pub(super) fn takes(&self, name: &str) -> bool {
        !self.left_origin || !OF_ONE_ORIGIN.iter().any(|one| one.eq_ignore_ascii_case(name))
    }
}

fn location(refusal: &Refusal) -> Option<&str> {
    let redirects = matches!(refusal.status, 301 | 302 | 303 | 307 | 308);
    refusal.header("location").filter(|_| redirects)
}
