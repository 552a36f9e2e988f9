//! What a client offers and what the server's answer makes of it (RFC 7692 §5, §7.1): read with
//! the eyes of a client that must fail a connection whose answer is wrong.

use std::fmt;

use super::super::head::Head;

const FIELD: &str = "sec-websocket-extensions";
const DEFLATE: &str = "permessage-deflate";

/// What a client asks for in an offer that is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// `server_max_window_bits`: the server refers back 2^N bytes at most.
    pub(super) server_bits: Option<u8>,
    /// `server_no_context_takeover`: no message of the server refers to another.
    pub(super) server_resets: bool,
    /// `client_max_window_bits`: the server may limit the client's window.
    pub(super) client_bits: bool,
}

impl Asked {
    /// `permessage-deflate` without a parameter.
    pub(super) const PLAIN: Asked =
        Asked { server_bits: None, server_resets: false, client_bits: false };
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Exponent of the window of the server's messages, 8 to 15.
    pub(super) server_bits: u8,
    /// The same of the client's messages.
    pub(super) client_bits: u8,
    /// No message of the server refers to another.
    pub(super) server_resets: bool,
    /// No message of the client may refer to another.
    pub(super) client_resets: bool,
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DEFLATE)?;
        if self.server_resets {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_resets {
            f.write_str("; client_no_context_takeover")?;
        }
        if self.server_bits < 15 {
            write!(f, "; server_max_window_bits={}", self.server_bits)?;
        }
        if self.client_bits < 15 {
            write!(f, "; client_max_window_bits={}", self.client_bits)?;
        }
        Ok(())
    }
}

/// Reads the answer to an offer; `None`: no compression. `asked` is `None` where nothing valid was
/// offered. An error says what is wrong with the answer, as a part of a sentence.
pub(super) fn agreed(head: &Head, asked: Option<Asked>) -> Result<Option<Agreed>, String> {
    let fields = head.fields(FIELD);
    let extensions: Vec<Extension> = fields.iter().flat_map(|field| parse(field)).collect();
    if let Some(other) = extensions.iter().find(|it| !it.name.eq_ignore_ascii_case(DEFLATE)) {
        let name = other.name.escape_debug();
        return Err(format!("the answer has `{name}`, which was not offered (RFC 6455 §4.1)"));
    }
    match &extensions[..] {
        [] if fields.is_empty() => Ok(None),
        [] => Err("Sec-WebSocket-Extensions is there and empty (RFC 6455 §9.1)".to_owned()),
        [one] => {
            // Nothing that may be accepted was offered.
            let asked = asked.ok_or("accepted, and must be declined (RFC 7692 §7.1)")?;
            Terms::read(one)?.judge(asked).map(Some)
        }
        _ => Err(format!("the answer has {DEFLATE} twice (RFC 7692 §5.1)")),
    }
}

/// One extension of a `Sec-WebSocket-Extensions` field.
struct Extension {
    name: String,
    parameters: Vec<(String, Option<String>)>,
}

/// The extensions of a field; empty elements of the list count for nothing (RFC 9110 §5.6.1).
fn parse(field: &str) -> Vec<Extension> {
    let elements = split(field, ',').into_iter().filter(|element| !element.is_empty());
    let extensions = elements.map(|element| {
        let mut parts = split(element, ';').into_iter();
        let name = parts.next().unwrap_or_default().to_owned();
        Extension { name, parameters: parts.map(parameter).collect() }
    });
    extensions.collect()
}

fn parameter(part: &str) -> (String, Option<String>) {
    match part.split_once('=') {
        None => (part.to_owned(), None),
        Some((name, value)) => (name.trim().to_owned(), Some(unquoted(value.trim()))),
    }
}

/// A value without its quotation marks (RFC 6455 §9.1: it must be a token without them).
fn unquoted(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| value.to_owned(), |inner| inner.replace('\\', ""))
}

/// The parts between separators that are not quoted, trimmed.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    let parts = text.split(|c| {
        quoted ^= c == '"';
        !quoted && c == separator
    });
    parts.map(str::trim).collect()
}

/// The parameters of an answer, each valid by itself.
#[derive(Default)]
struct Terms {
    server_bits: Option<u8>,
    client_bits: Option<u8>,
    server_resets: bool,
    client_resets: bool,
}

impl Terms {
    fn read(extension: &Extension) -> Result<Self, String> {
        let mut terms = Terms::default();
        for (name, value) in &extension.parameters {
            let value = value.as_deref();
            let before = match name.as_str() {
                "server_max_window_bits" => terms.server_bits.replace(bits(name, value)?).is_some(),
                "client_max_window_bits" => terms.client_bits.replace(bits(name, value)?).is_some(),
                "server_no_context_takeover" => flag(name, value, &mut terms.server_resets)?,
                "client_no_context_takeover" => flag(name, value, &mut terms.client_resets)?,
                other => {
                    let other = other.escape_debug();
                    return Err(format!("the answer has an unknown `{other}` (RFC 7692 §7.1)"));
                }
            };
            if before {
                return Err(format!("the answer has `{name}` twice (RFC 7692 §7.1)"));
            }
        }
        Ok(terms)
    }

    /// Whether this answers what was asked for.
    fn judge(self, asked: Asked) -> Result<Agreed, String> {
        if self.client_bits.is_some() && !asked.client_bits {
            return Err(
                "the answer has client_max_window_bits, which was not offered (RFC 7692 §7.1.2.2)"
                    .to_owned(),
            );
        }
        if asked.server_resets && !self.server_resets {
            return Err(
                "accepted, but without server_no_context_takeover (RFC 7692 §7.1.1.1)".to_owned()
            );
        }
        match (asked.server_bits, self.server_bits) {
            (Some(asked), None) => Err(format!(
                "accepted, but without server_max_window_bits={asked} (RFC 7692 §7.1.2.1)"
            )),
            (Some(asked), Some(given)) if given > asked => Err(format!(
                "accepted with server_max_window_bits={given}, more than the {asked} that were \
                 asked for (RFC 7692 §7.1.2.1)"
            )),
            _ => Ok(Agreed {
                server_bits: self.server_bits.unwrap_or(15),
                client_bits: self.client_bits.unwrap_or(15),
                server_resets: self.server_resets,
                client_resets: self.client_resets,
            }),
        }
    }
}

/// Sets a parameter that has no value; gives whether it was set before.
fn flag(name: &str, value: Option<&str>, set: &mut bool) -> Result<bool, String> {
    match value {
        None => Ok(std::mem::replace(set, true)),
        Some(value) => {
            let value = value.escape_debug();
            Err(format!("the answer has `{name}={value}`, which has no value (RFC 7692 §7.1.1)"))
        }
    }
}

/// The value of a window, 8 to 15, written without a zero in front.
fn bits(name: &str, value: Option<&str>) -> Result<u8, String> {
    let value = value.unwrap_or_default();
    match value.parse() {
        Ok(bits @ 8..=15) if !value.starts_with(['0', '+']) => Ok(bits),
        _ => {
            let value = value.escape_debug();
            Err(format!("the answer has `{name}={value}`, which is not 8 to 15 (RFC 7692 §7.1.2)"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[&str]) -> Head {
        let lines = fields.iter().map(|field| format!("\r\nSec-WebSocket-Extensions: {field}"));
        Head { text: format!("HTTP/1.1 101 x{}", lines.collect::<String>()) }
    }

    const PLAIN: Option<Asked> = Some(Asked::PLAIN);

    #[test]
    fn what_a_server_may_say_without_being_asked_is_taken() {
        let may = "permessage-deflate ;server_no_context_takeover; client_no_context_takeover;\
                   server_max_window_bits=\"10\"";
        let agreed = agreed(&answer(&[may]), PLAIN).unwrap().unwrap();
        assert_eq!((agreed.server_bits, agreed.client_bits), (10, 15));
        assert!(agreed.server_resets && agreed.client_resets);
        let shown = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=10";
        assert_eq!(agreed.to_string(), shown);
    }

    #[test]
    fn no_answer_is_no_compression_and_an_empty_one_is_wrong() {
        assert_eq!(agreed(&answer(&[]), PLAIN), Ok(None));
        assert!(agreed(&answer(&[""]), PLAIN).unwrap_err().contains("empty"));
        assert!(agreed(&answer(&[" , "]), None).unwrap_err().contains("empty"));
    }

    #[test]
    fn what_a_client_must_fail_for_is_said() {
        let bits = Some(Asked { server_bits: Some(10), ..Asked::PLAIN });
        let resets = Some(Asked { server_resets: true, ..Asked::PLAIN });
        let plain = "permessage-deflate";
        for (fields, asked, why) in [
            (&[plain][..], None, "must be declined"),
            (&["x-webkit-deflate-frame"], PLAIN, "`x-webkit-deflate-frame`, which was not offered"),
            (&[plain, plain], PLAIN, "twice"),
            (&["permessage-deflate, permessage-deflate"], PLAIN, "twice"),
            (&["permessage-deflate; x=\";\""], PLAIN, "unknown `x`"),
            (&["permessage-deflate; client_max_window_bits=10"], PLAIN, "not offered"),
            (&["permessage-deflate; server_max_window_bits"], PLAIN, "not 8 to 15"),
            (&["permessage-deflate; server_max_window_bits=16"], PLAIN, "not 8 to 15"),
            (&["permessage-deflate; server_max_window_bits=08"], PLAIN, "not 8 to 15"),
            (&["permessage-deflate; client_no_context_takeover=1"], PLAIN, "has no value"),
            (
                &["permessage-deflate; client_no_context_takeover; client_no_context_takeover"],
                PLAIN,
                "`client_no_context_takeover` twice",
            ),
            (&[plain], bits, "without server_max_window_bits=10"),
            (&["permessage-deflate; server_max_window_bits=11"], bits, "more than the 10"),
            (&[plain], resets, "without server_no_context_takeover"),
        ] {
            let said = agreed(&answer(fields), asked).unwrap_err();
            assert!(said.contains(why) && said.contains("RFC"), "{fields:?}: {said}");
        }
    }
}
