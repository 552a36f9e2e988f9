//! The request target (RFC 9112 §3.2): in origin-form, or in absolute-form.

use std::borrow::Cow;

use crate::handshake::http::is_authority;

/// The schemes that a request for a WebSocket may name in absolute-form.
const SCHEMES: [&str; 4] = ["http", "https", "ws", "wss"];

/// A request target, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Host and port, in absolute-form.
    pub(super) authority: Option<&'a str>,
    /// Path and query. In absolute-form the path may be empty.
    pub(super) path_and_query: &'a str,
}

impl<'a> Target<'a> {
    pub(super) fn split(target: &'a str) -> Self {
        if target.starts_with('/') {
            return Target { authority: None, path_and_query: target };
        }
        let rest = target.split_once("://").map_or("", |(_, rest)| rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(end);
        Target { authority: Some(authority), path_and_query }
    }
}

/// Whether this is a target that a request for a WebSocket may have. It has no fragment (RFC 9112
/// §3.2), no user information (RFC 9110 §4.2.4) and no byte that is not ASCII.
pub(super) fn is_valid(target: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(target) else { return false };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let plain = has_none(path, b"#<>`") && has_none(query, b"#<>\"");
    if text.starts_with('/') {
        return plain;
    }
    let Some((scheme, _)) = text.split_once("://") else { return false };
    let known = SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let authority = Target::split(text).authority.unwrap_or_default();
    plain && known && is_authority(authority.as_bytes())
}

/// Whether all is visible ASCII but for these. Of what no URI has (RFC 3986 §3.3, §3.4) clients in
/// use send braces, `|` and the like; what the crate `http` cannot hold is refused as hyper refuses
/// it, so that the same request is judged alike with a function that looks at it and without.
fn has_none(text: &str, of: &[u8]) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !of.contains(&b))
}

/// The same head, with a path in its request target: an empty path means `/` (RFC 9112 §3.2.1).
pub(super) fn with_path<'a>(head: &'a [u8], target: &str) -> Cow<'a, [u8]> {
    match Target::split(target) {
        Target { authority: Some(_), path_and_query } if !path_and_query.starts_with('/') => {
            let target_at = memchr::memmem::find(head, target.as_bytes()).unwrap_or_default();
            let path = target_at + target.len() - path_and_query.len();
            Cow::Owned([&head[..path], b"/", &head[path..]].concat())
        }
        _ => Cow::Borrowed(head),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_a_request_may_have_and_those_that_it_may_not() {
        for legal in [
            "/",
            "/a?b=c",
            "//x",
            "/@",
            "ws://h/a",
            "HTTP://h:80?q",
            "wss://h_1",
            "/a{b|c}\"",
            "/?a={b}|`",
        ] {
            assert!(is_valid(legal.as_bytes()), "{legal}");
        }
        for illegal in [
            "",
            "*",
            "h:80",
            "a",
            "/a#b",
            "ws://",
            "ws:///a",
            "ftp://h/",
            "ws://u@h/",
            "/<",
            "/>",
            "/`",
            "/?<",
            "/?>",
            "/?\"",
            "ws://h/?<",
        ] {
            assert!(!is_valid(illegal.as_bytes()), "{illegal}");
        }
        assert!(!is_valid(b"/\xff"));
        assert!(!is_valid("/\u{fc}".as_bytes()));
    }

    #[test]
    fn an_empty_path_becomes_a_slash() {
        let head = |target: &str| format!("GET {target} HTTP/1.1\r\n\r\n").into_bytes();
        for (from, to) in [("ws://h", "ws://h/"), ("ws://h?a", "ws://h/?a"), ("/?a", "/?a")] {
            assert_eq!(*with_path(&head(from), from), head(to)[..]);
        }
    }
}
