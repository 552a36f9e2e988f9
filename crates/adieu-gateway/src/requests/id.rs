//! The id of a request: what the log says of it, its answer and what the backend is asked about it
//! have the same one.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::random::random;

/// The field that proxies and servers have agreed on without a standard.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id at most that somebody else has made.
const LONGEST: usize = 128;

/// Makes ids: chance for each process, and a number for each request.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        RequestIds { process: u64::from_ne_bytes(random()), next: AtomicU64::new(1) }
    }
}

impl RequestIds {
    /// The id of a request: what a proxy or its client has called it, if that can stand in a log,
    /// or a new one. The fields have this one and no other afterwards.
    pub(super) fn of(&self, headers: &mut HeaderMap) -> HeaderValue {
        let mut given = headers.get_all(REQUEST_ID).iter();
        if let (Some(id), None) = (given.next(), given.next())
            && is_plain(id.as_bytes())
        {
            return id.clone();
        }
        let id = self.make();
        headers.insert(REQUEST_ID, id.clone());
        id
    }

    fn make(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = HeaderValue::from_str(&format!("{:016x}-{number:x}", self.process));
        id.unwrap_or_else(|_| unreachable!("hexadecimal digits"))
    }
}

/// Whether an id of somebody else is one: no quotes, no control characters, not much of it.
fn is_plain(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@~".contains(byte);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(ids: &[&str]) -> HeaderMap {
        ids.iter().map(|id| (REQUEST_ID, HeaderValue::from_str(id).unwrap())).collect()
    }

    #[test]
    fn an_id_that_can_stand_in_a_log_is_kept_and_another_is_replaced() {
        let ids = RequestIds::default();
        for kept in ["a", "7b2f-11", "Root=1-67891233-abcdef012345678912345678"] {
            assert_eq!(ids.of(&mut fields(&[kept])), kept);
        }
        let long = "x".repeat(LONGEST + 1);
        for replaced in [&["a b"][..], &["\"a\""], &[""], &[&long], &["a", "b"], &[]] {
            let mut headers = fields(replaced);
            let id = ids.of(&mut headers);
            assert!(is_plain(id.as_bytes()), "{replaced:?} gives {id:?}");
            assert_eq!(headers.get_all(REQUEST_ID).iter().collect::<Vec<_>>(), [&id]);
        }
        assert_ne!(ids.of(&mut HeaderMap::new()), ids.of(&mut HeaderMap::new()));
    }
}
