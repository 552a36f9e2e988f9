//! What is agreed on in the opening handshake (RFC 7692 §5, §7.1).

use std::fmt;
use std::num::NonZeroU8;

use super::options::Deflate;
use crate::handshake::Request;

const NAME: &str = "permessage-deflate";

/// The size of a window of DEFLATE in bits: 8, which is 256 bytes, to 15, which is 32 KiB.
///
/// ```
/// use adieu_proto::WindowBits;
/// assert_eq!(WindowBits::new(12).map(WindowBits::get), Some(12));
/// assert_eq!(WindowBits::new(16), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(NonZeroU8);

impl WindowBits {
    /// So many bits; `None` if a window cannot have them.
    #[must_use]
    pub fn new(bits: u8) -> Option<Self> {
        NonZeroU8::new(bits).filter(|_| (8..=15).contains(&bits)).map(WindowBits)
    }

    /// How many.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for WindowBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a handshake agreed on for compression (RFC 7692 §7.1). As text it is the value of the field
/// `Sec-WebSocket-Extensions` of the answer.
///
/// ```
/// use adieu_proto::{PerMessageDeflate, WindowBits};
/// let server_max_window_bits = WindowBits::new(10);
/// let agreed = PerMessageDeflate { server_max_window_bits, ..Default::default() };
/// assert_eq!(agreed.to_string(), "permessage-deflate; server_max_window_bits=10");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PerMessageDeflate {
    /// Each message of the server stands alone.
    pub server_no_context_takeover: bool,
    /// Each message of the client stands alone.
    pub client_no_context_takeover: bool,
    /// The server's window, where it was said; else it is the largest.
    pub server_max_window_bits: Option<WindowBits>,
    /// The client's window, where it was said.
    pub client_max_window_bits: Option<WindowBits>,
}

impl fmt::Display for PerMessageDeflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        if let Some(bits) = self.client_max_window_bits {
            write!(f, "; client_max_window_bits={bits}")?;
        }
        Ok(())
    }
}

/// The field of a client's request.
pub(crate) fn offer(options: &Deflate) -> String {
    let alone =
        if options.server_no_context_takeover { "; server_no_context_takeover" } else { "" };
    format!("{NAME}; client_max_window_bits{alone}")
}

/// As a server: what is agreed on with this request, of the first offer that can be accepted.
/// Nothing, where the request offers nothing that can.
pub(crate) fn accept(request: &Request, options: &Deflate) -> Option<PerMessageDeflate> {
    let accepted = offers(request).find_map(|offer| offer.answer(options));
    accepted.filter(|_| !options.refuses.refuses(request))
}

/// The offers of a request that keep the grammar, in order.
fn offers(request: &Request) -> impl Iterator<Item = Parameters> {
    let is_ours = |name: &[u8]| name.eq_ignore_ascii_case(b"sec-websocket-extensions");
    let values = request.fields().filter(move |(name, _)| is_ours(name)).map(|(_, value)| value);
    // Of a field that breaks the grammar nothing is known, and nothing is accepted.
    let extensions = values.flat_map(|value| extensions(value).unwrap_or_default());
    extensions
        .filter(|extension| extension.name == NAME)
        .filter_map(|extension| Parameters::of(&extension))
}

/// As a client: what the answer's fields agree on; `offered` is whether compression was offered.
/// An error is an answer that agrees on something else.
pub(crate) fn check<'a>(
    values: impl Iterator<Item = &'a str>,
    offered: bool,
) -> Result<Option<PerMessageDeflate>, ()> {
    let mut agreed = None;
    for value in values.filter(|value| !value.is_empty()) {
        for extension in extensions(value.as_bytes()).ok_or(())? {
            if !offered || extension.name != NAME || agreed.is_some() {
                return Err(());
            }
            agreed = Some(Parameters::of(&extension).ok_or(())?.as_answer().ok_or(())?);
        }
    }
    Ok(agreed)
}

/// The parameters of one offer or answer, each once and with a value that it may have.
#[derive(Clone, Copy, Debug, Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<WindowBits>,
    /// In an offer it may stand without a value.
    client_max_window_bits: Option<Option<WindowBits>>,
}

impl Parameters {
    fn of(extension: &Extension) -> Option<Self> {
        let mut all = Parameters::default();
        for (name, value) in &extension.parameters {
            let is_new = match (name.as_str(), value) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut all.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut all.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => {
                    all.server_max_window_bits.replace(window_bits(value)?).is_none()
                }
                ("client_max_window_bits", value) => {
                    let bits = value.as_deref().map(window_bits);
                    let bits = if bits == Some(None) { return None } else { bits.flatten() };
                    all.client_max_window_bits.replace(bits).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        Some(all)
    }

    /// As a server: what is answered to this offer.
    fn answer(self, options: &Deflate) -> Option<PerMessageDeflate> {
        // Only a client that offers the parameter may be told it (§7.1.2.2).
        let offered = self.client_max_window_bits.filter(|_| !self.client_no_context_takeover);
        let client = options.client_window_bits.zip(offered);
        let bits = client.map(|(ours, theirs)| theirs.map_or(ours, |theirs| ours.min(theirs)));
        Some(PerMessageDeflate {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: bits.is_none(),
            server_max_window_bits: self.server_max_window_bits,
            client_max_window_bits: bits,
        })
    }

    /// As a client: what this answer agrees on. A parameter without its value is no answer.
    fn as_answer(self) -> Option<PerMessageDeflate> {
        if self.client_max_window_bits == Some(None) {
            return None;
        }
        Some(PerMessageDeflate {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits,
            client_max_window_bits: self.client_max_window_bits.flatten(),
        })
    }
}

/// §7.1.2: a decimal integer from 8 to 15 without leading zeroes.
fn window_bits(value: &str) -> Option<WindowBits> {
    let is_decimal = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    WindowBits::new(value.parse().ok().filter(|_| is_decimal)?)
}

/// An extension with its parameters (RFC 6455 §9.1).
#[derive(Debug, PartialEq, Eq)]
struct Extension {
    name: String,
    parameters: Vec<(String, Option<String>)>,
}

/// The extensions of one field; `None` if it breaks the grammar. Empty elements of the list are
/// skipped (RFC 9110 §5.6.1).
fn extensions(field: &[u8]) -> Option<Vec<Extension>> {
    let mut rest = Text(field);
    let mut all = Vec::new();
    loop {
        rest.skip_blanks();
        if !rest.0.is_empty() && !rest.0.starts_with(b",") {
            all.push(rest.extension()?);
        }
        match rest.0.split_first() {
            None => return Some(all),
            Some((b',', behind)) => rest.0 = behind,
            Some(_) => return None,
        }
    }
}

/// What is left of a field.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// Whether this byte comes next; it is taken.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let behind = self.0.strip_prefix(&[byte]);
        self.0 = behind.unwrap_or(self.0);
        behind.is_some()
    }

    fn extension(&mut self) -> Option<Extension> {
        let mut extension = Extension { name: self.token()?, parameters: Vec::new() };
        while self.takes(b';') {
            let name = self.token()?;
            let value = if self.takes(b'=') { Some(self.value()?) } else { None };
            extension.parameters.push((name, value));
        }
        Some(extension)
    }

    fn token(&mut self) -> Option<String> {
        self.skip_blanks();
        let is_token = |byte: &u8| crate::handshake::is_token(*byte);
        let len = self.0.iter().take_while(|byte| is_token(byte)).count();
        let (token, behind) = self.0.split_at(len);
        self.0 = behind;
        let text = std::str::from_utf8(token).ok()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A token, or one in quotes: without them it has to be a token (RFC 6455 §9.1).
    fn value(&mut self) -> Option<String> {
        if !self.takes(b'"') {
            return self.token();
        }
        let mut value = String::new();
        loop {
            let (byte, behind) = self.0.split_first()?;
            let (byte, behind) = match byte {
                b'"' => {
                    self.0 = behind;
                    return (!value.is_empty()).then_some(value);
                }
                b'\\' => behind.split_first()?,
                byte => (byte, behind),
            };
            if !crate::handshake::is_token(*byte) {
                return None;
            }
            value.push(char::from(*byte));
            self.0 = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(options: &Deflate, fields: &[&str]) -> Option<String> {
        let fields = fields.iter().map(|value| ("Sec-WebSocket-Extensions", *value));
        let request = Request::from_parts("GET", "/", fields).unwrap();
        accept(&request, options).map(|agreed| agreed.to_string())
    }

    /// The table of offers and answers.
    #[test]
    fn the_first_offer_that_can_be_accepted_is_answered() {
        let plain = "permessage-deflate; client_no_context_takeover";
        let with = |rest: &str| Some(format!("{plain}{rest}"));
        let alone = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let table: &[(&str, Option<String>)] = &[
            ("permessage-deflate", with("")),
            ("permessage-deflate; client_max_window_bits", with("")),
            ("permessage-deflate; client_max_window_bits=8", with("")),
            ("permessage-deflate; client_no_context_takeover", with("")),
            ("permessage-deflate; server_no_context_takeover", Some(alone.to_owned())),
            ("permessage-deflate; server_max_window_bits=8", with("; server_max_window_bits=8")),
            ("permessage-deflate;server_max_window_bits=15", with("; server_max_window_bits=15")),
            (
                r#"permessage-deflate; server_max_window_bits="10""#,
                with("; server_max_window_bits=10"),
            ),
            (
                r#"permessage-deflate; server_max_window_bits="1\0""#,
                with("; server_max_window_bits=10"),
            ),
            ("permessage-deflate; server_max_window_bits=7", None),
            ("permessage-deflate; server_max_window_bits=16", None),
            ("permessage-deflate; server_max_window_bits=08", None),
            ("permessage-deflate; server_max_window_bits=+9", None),
            ("permessage-deflate; server_max_window_bits", None),
            ("permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", None),
            ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
            ("permessage-deflate; client_max_window_bits=7", None),
            ("permessage-deflate; client_no_context_takeover=1", None),
            ("permessage-deflate; foo", None),
            ("permessage-deflate; foo, permessage-deflate", with("")),
            (
                "permessage-deflate; server_max_window_bits=7, permessage-deflate; \
                 server_max_window_bits=9, permessage-deflate",
                with("; server_max_window_bits=9"),
            ),
            ("x-webkit-deflate-frame", None),
            ("x-other; a=b, permessage-deflate", with("")),
            (",, permessage-deflate ,", with("")),
            (r#"permessage-deflate; server_max_window_bits="10"#, None),
            ("permessage-deflate; =", None),
            ("permessage-deflate permessage-deflate", None),
            ("", None),
        ];
        for (offer, want) in table {
            assert_eq!(&answer(&Deflate::default(), &[offer]), want, "{offer}");
        }
        let two_fields = ["permessage-deflate; foo", "permessage-deflate"];
        assert_eq!(answer(&Deflate::default(), &two_fields), with(""));
        assert_eq!(answer(&Deflate::default(), &[]), None);
    }

    #[test]
    fn a_client_may_take_over_its_context_where_it_offered_to_limit_it() {
        let options = Deflate { client_window_bits: WindowBits::new(12), ..Deflate::default() };
        let table = [
            ("permessage-deflate; client_max_window_bits", "; client_max_window_bits=12"),
            ("permessage-deflate; client_max_window_bits=10", "; client_max_window_bits=10"),
            ("permessage-deflate; client_max_window_bits=15", "; client_max_window_bits=12"),
            ("permessage-deflate", "; client_no_context_takeover"),
            (
                "permessage-deflate; client_max_window_bits; client_no_context_takeover",
                "; client_no_context_takeover",
            ),
        ];
        for (offer, want) in table {
            let want = format!("permessage-deflate{want}");
            assert_eq!(answer(&options, &[offer]), Some(want), "{offer}");
        }
    }

    #[test]
    fn a_request_that_is_refused_compression_gets_none() {
        let options = Deflate {
            refuses: super::super::Refuses::when(|request| request.path() == "/"),
            ..Deflate::default()
        };
        assert_eq!(answer(&options, &["permessage-deflate"]), None);
    }

    #[test]
    fn a_client_takes_no_answer_that_it_did_not_offer() {
        let checked = |value: &str| check([value].into_iter(), true);
        for bits in 8..=15 {
            for side in ["server", "client"] {
                let value = format!("permessage-deflate; {side}_max_window_bits={bits}");
                let agreed = checked(&value).unwrap().unwrap();
                assert_eq!(agreed.to_string(), value);
            }
        }
        let all = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(checked(all).unwrap().unwrap().to_string(), all);
        assert_eq!(checked(""), Ok(None));
        for bad in [
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; foo",
            "permessage-deflate; client_max_window_bits=9; client_max_window_bits=9",
            "permessage-deflate, permessage-deflate",
            "permessage-bzip2",
            "permessage-deflate;",
            "\"",
        ] {
            assert_eq!(checked(bad), Err(()), "{bad}");
        }
        let twice = check(["permessage-deflate", "permessage-deflate"].into_iter(), true);
        assert_eq!(twice, Err(()));
        assert_eq!(check(["permessage-deflate"].into_iter(), false), Err(()));
    }
}
