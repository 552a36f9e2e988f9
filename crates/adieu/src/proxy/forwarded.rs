//! `Forwarded` (RFC 7239) and the older `X-Forwarded-For`: lists of hops, each proxy adding at
//! the end whom it heard from. They are read from the end, where the proxy wrote that we hear, so
//! that nothing further left, which a client may have made up, can spoil it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Forwarded,
    XForwardedFor,
}

/// Whom a proxy heard from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// Port 0 if it is not told.
    Addr(SocketAddr),
    /// `unknown`, a name made up to hide it (RFC 7239 §6.2, §6.3), or not told at all.
    Hidden,
}

/// Nothing of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Field {
    pub(super) fn name(self) -> &'static str {
        match self {
            Field::Forwarded => "forwarded",
            Field::XForwardedFor => "x-forwarded-for",
        }
    }

    /// The hops of the field's lines, the last one first.
    pub(super) fn nearest_first<'a>(
        self,
        lines: &'a [&'a [u8]],
    ) -> impl Iterator<Item = Result<Hop, Malformed>> + 'a {
        let quotes = self == Field::Forwarded;
        let elements = lines.iter().rev().flat_map(move |line| FromEnd::of(line, b',', quotes));
        // A list may have empty elements (RFC 9110 §5.6.1.2).
        let elements = elements.filter(|element| !element.is_empty());
        elements.map(move |element| {
            let element = std::str::from_utf8(element).map_err(|_| Malformed)?;
            match self {
                Field::Forwarded => forwarded(element),
                Field::XForwardedFor => node(element),
            }
        })
    }
}

/// Splits at a separator from the end, outside of quoted strings.
struct FromEnd<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    quotes: bool,
}

impl<'a> FromEnd<'a> {
    fn of(text: &'a [u8], separator: u8, quotes: bool) -> Self {
        FromEnd { rest: Some(text), separator, quotes }
    }
}

impl<'a> Iterator for FromEnd<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut quoted = false;
        for at in (0..rest.len()).rev() {
            if self.quotes && rest[at] == b'"' && !is_escaped(&rest[..at]) {
                quoted = !quoted;
            } else if rest[at] == self.separator && !quoted {
                self.rest = Some(&rest[..at]);
                return Some(rest[at + 1..].trim_ascii());
            }
        }
        Some(rest.trim_ascii())
    }
}

/// Whether what follows `before` is escaped: by an odd number of backslashes.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// One element: `for=…;by=…;proto=…`, in any order (RFC 7239 §4).
fn forwarded(element: &str) -> Result<Hop, Malformed> {
    let mut told = None;
    for pair in FromEnd::of(element.as_bytes(), b';', true).filter(|pair| !pair.is_empty()) {
        let pair = std::str::from_utf8(pair).map_err(|_| Malformed)?;
        let (name, value) = pair.split_once('=').ok_or(Malformed)?;
        let value = unquoted(value)?;
        if name.eq_ignore_ascii_case("for") && told.replace(node(&value)?).is_some() {
            return Err(Malformed);
        }
    }
    Ok(told.unwrap_or(Hop::Hidden))
}

/// A value that may be a quoted string (RFC 9110 §5.6.4).
fn unquoted(value: &str) -> Result<String, Malformed> {
    let Some(inner) = value.strip_prefix('"') else {
        return if value.contains('"') { Err(Malformed) } else { Ok(value.to_owned()) };
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    loop {
        match chars.next().ok_or(Malformed)? {
            '"' => return if chars.as_str().is_empty() { Ok(out) } else { Err(Malformed) },
            '\\' => out.push(chars.next().ok_or(Malformed)?),
            c => out.push(c),
        }
    }
}

/// A node (RFC 7239 §6), or what proxies write into `X-Forwarded-For`: IPv6 addresses without
/// brackets too, which cannot be mistaken for anything else.
fn node(text: &str) -> Result<Hop, Malformed> {
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']').ok_or(Malformed)?;
        let ip: Ipv6Addr = ip.parse().map_err(|_| Malformed)?;
        let port = if rest.is_empty() { 0 } else { port(rest.strip_prefix(':'))? };
        return Ok(addr(ip.into(), port));
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Ok(addr(ip.into(), 0));
    }
    let (name, port) = match text.split_once(':') {
        Some((name, text)) => (name, port(Some(text))?),
        None => (text, 0),
    };
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Ok(Hop::Hidden);
    }
    Ok(addr(name.parse().map_err(|_| Malformed)?, port))
}

fn addr(ip: IpAddr, port: u16) -> Hop {
    Hop::Addr((ip.to_canonical(), port).into())
}

/// A port, which may be hidden too: 0.
fn port(text: Option<&str>) -> Result<u16, Malformed> {
    let text = text.ok_or(Malformed)?;
    if is_obfuscated(text) {
        return Ok(0);
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(Malformed)
}

fn is_obfuscated(name: &str) -> bool {
    let named = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    name.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addr: &str) -> Result<Hop, Malformed> {
        Ok(Hop::Addr(addr.parse().unwrap()))
    }

    fn hops(field: Field, line: &str) -> Vec<Result<Hop, Malformed>> {
        field.nearest_first(&[line.as_bytes()]).collect()
    }

    #[test]
    fn nodes_of_rfc_7239() {
        for (text, want) in [
            ("192.0.2.43", at("192.0.2.43:0")),
            ("192.0.2.43:4711", at("192.0.2.43:4711")),
            ("192.0.2.43:_port", at("192.0.2.43:0")),
            ("[2001:db8:cafe::17]", at("[2001:db8:cafe::17]:0")),
            ("[2001:db8:cafe::17]:4711", at("[2001:db8:cafe::17]:4711")),
            ("2001:db8::17", at("[2001:db8::17]:0")),
            ("[::ffff:192.0.2.1]:1", at("192.0.2.1:1")),
            ("unknown", Ok(Hop::Hidden)),
            ("Unknown:80", Ok(Hop::Hidden)),
            ("_SEVKISEK.x-y", Ok(Hop::Hidden)),
            ("_a:_b", Ok(Hop::Hidden)),
        ] {
            assert_eq!(node(text), want, "{text}");
        }
        for text in [
            "",
            "_",
            "_a b",
            ":",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.1:+1",
            "[192.0.2.1]",
            "[::1",
            "[::1]x",
            "[::1]:",
            "::1]",
            "host",
            "1.2.3.4 5",
            "fe80::1%eth0",
        ] {
            assert_eq!(node(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn elements_with_quotes_and_escapes() {
        let line = r#"for="[2001:db8::1]:80";host="a,\";b" , by=_x;FOR="\1.2.3.4",, proto=https"#;
        let want = [Ok(Hop::Hidden), at("1.2.3.4:0"), at("[2001:db8::1]:80")];
        assert_eq!(hops(Field::Forwarded, line), want);
        for line in ["for=\"1.2.3.4", "for=1.2.3.4\"", "for=\"1.2.3.4\"x", "for=\"1.2.3.4\\\""] {
            assert_eq!(hops(Field::Forwarded, line)[0], Err(Malformed), "{line}");
        }
    }

    #[test]
    fn quotes_mean_nothing_in_the_older_field() {
        let want = [at("1.2.3.4:0"), Err(Malformed), Err(Malformed)];
        assert_eq!(hops(Field::XForwardedFor, "\"a, b\", 1.2.3.4"), want);
    }

    /// The longest head allowed is 16 KiB; quadratic work on 4 MiB would take minutes.
    #[test]
    fn long_lines_are_read_in_linear_time() {
        for piece in ["\\", "\"", ",", ";", "\\\"", "a=\"", "for=\",", "for=1.2.3.4,", "[", ":"] {
            let line = piece.repeat((4 << 20) / piece.len());
            for field in [Field::Forwarded, Field::XForwardedFor] {
                assert!(hops(field, &line).len() <= line.len());
            }
        }
    }

    /// Whatever the client wrote in front, the hop that our proxy added is read as it is.
    #[test]
    fn nothing_in_front_spoils_the_last_hop() {
        let alphabet = br#"for="[]:;,\ 1.2af_=x"#;
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let mut line = Vec::new();
            for _ in 0..random % 24 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                line.push(alphabet[random as usize % alphabet.len()]);
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let line = String::from_utf8(line).unwrap();
            let appended = format!("{line}, for=\"[2001:db8::1]:80\"");
            assert_eq!(hops(Field::Forwarded, &appended)[0], at("[2001:db8::1]:80"), "{line}");
            let appended = format!("{line}, 1.2.3.4");
            assert_eq!(hops(Field::XForwardedFor, &appended)[0], at("1.2.3.4:0"), "{line}");
        }
    }
}
