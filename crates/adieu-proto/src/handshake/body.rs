//! The body of a response, out of its framing (RFC 9112 §6, §7).

/// Bytes of the line in front of a chunk: a length of 16 digits, and extensions that nobody uses.
const CHUNK_LINE: usize = 256;

/// Bytes of the trailer section, which is dropped.
const TRAILERS: usize = 4096;

/// How a body is framed, and how far it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunked),
    /// It goes on until the connection ends.
    UntilEnd,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Chunked {
    /// The line in front of a chunk, as far as it came.
    Size(Vec<u8>),
    /// So much of a chunk is still to come.
    Data(u64),
    /// The line break behind a chunk, as far as it came.
    Break(Vec<u8>),
    /// Behind the last chunk: bytes of the trailer section so far, and of its line under way.
    Trailers { all: usize, line: usize },
}

/// What a piece of a body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    More,
    /// The body is whole.
    Whole,
    /// What came is no chunk: where the body ends is not known.
    Broken,
}

impl Body {
    /// The framing that the response's fields tell (RFC 9112 §6.3). Where its length is told in
    /// two ways or cannot be read, the connection's end is the body's.
    pub(crate) fn of(status: u16, fields: &[httparse::Header<'_>]) -> Self {
        if matches!(status, 204 | 304) {
            return Body::Length(0);
        }
        let items = |name: &'static str| {
            let fields = fields.iter().filter(move |f| f.name.eq_ignore_ascii_case(name));
            let values = fields.map(|f| std::str::from_utf8(f.value).unwrap_or("?"));
            values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
        };
        if let Some(last) = items("transfer-encoding").next_back() {
            let chunked = last.eq_ignore_ascii_case("chunked");
            return if chunked { Body::Chunked(Chunked::Size(Vec::new())) } else { Body::UntilEnd };
        }
        let mut lengths = items("content-length");
        let first = lengths.next().and_then(length);
        let agree = lengths.all(|other| length(other) == first);
        first.filter(|_| agree).map_or(Body::UntilEnd, Body::Length)
    }

    /// Takes bytes in; what of them is the body goes to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Step {
        match self {
            Body::UntilEnd => {
                out.extend_from_slice(bytes);
                Step::More
            }
            Body::Length(left) => {
                out.extend_from_slice(take(left, &mut &bytes[..]));
                if *left == 0 { Step::Whole } else { Step::More }
            }
            Body::Chunked(chunked) => chunked.push(bytes, out),
        }
    }

    /// Whether the connection's end is the body's.
    pub(crate) fn ends_with_the_connection(&self) -> bool {
        *self == Body::UntilEnd
    }
}

impl Chunked {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Step {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.step(&mut rest, out) {
                Step::More => {}
                over => return over,
            }
        }
        Step::More
    }

    fn step(&mut self, rest: &mut &[u8], out: &mut Vec<u8>) -> Step {
        match self {
            Chunked::Size(line) => {
                line.extend_from_slice(take_line(rest));
                if line.len() > CHUNK_LINE {
                    return Step::Broken;
                }
                match httparse::parse_chunk_size(line) {
                    Ok(httparse::Status::Partial) => {}
                    Ok(httparse::Status::Complete((_, 0))) => {
                        *self = Chunked::Trailers { all: 0, line: 0 };
                    }
                    Ok(httparse::Status::Complete((_, size))) => *self = Chunked::Data(size),
                    Err(_) => return Step::Broken,
                }
            }
            Chunked::Data(left) => {
                out.extend_from_slice(take(left, rest));
                if *left == 0 {
                    *self = Chunked::Break(Vec::new());
                }
            }
            Chunked::Break(line) => {
                line.extend_from_slice(take_line(rest));
                match line.as_slice() {
                    b"\r\n" | b"\n" => *self = Chunked::Size(Vec::new()),
                    b"\r" => {}
                    _ => return Step::Broken,
                }
            }
            Chunked::Trailers { all, line } => {
                let piece = take_line(rest);
                *all += piece.len();
                *line += piece.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).count();
                if *all > TRAILERS {
                    return Step::Broken;
                }
                if piece.ends_with(b"\n") && std::mem::take(line) == 0 {
                    return Step::Whole;
                }
            }
        }
        Step::More
    }
}

/// Digits and nothing else (RFC 9110 §8.6).
fn length(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Takes what is there of `left` bytes.
fn take<'a>(left: &mut u64, rest: &mut &'a [u8]) -> &'a [u8] {
    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
    let (front, behind) = rest.split_at(n);
    *rest = behind;
    *left -= n as u64;
    front
}

/// Takes a line with its end, or as much of it as is there.
fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
    let (front, behind) = rest.split_at(end);
    *rest = behind;
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, fields: &[(&str, &str)]) -> Body {
        let field = |f: &(&'static str, &'static str)| httparse::Header {
            name: f.0,
            value: f.1.as_bytes(),
        };
        // The fields of this test are literals.
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| field(&(leak(name), leak(value)))).collect();
        Body::of(status, &fields)
    }

    fn leak(text: &str) -> &'static str {
        Box::leak(text.to_owned().into_boxed_str())
    }

    #[test]
    fn the_framing_is_what_rfc_9112_6_3_says() {
        let chunked = Body::Chunked(Chunked::Size(Vec::new()));
        type Case = (u16, &'static [(&'static str, &'static str)], Body);
        let cases: [Case; 11] = [
            (404, &[], Body::UntilEnd),
            (404, &[("content-length", "5")], Body::Length(5)),
            (404, &[("Content-Length", "5, 5")], Body::Length(5)),
            (404, &[("Content-Length", "5"), ("Content-Length", "6")], Body::UntilEnd),
            (404, &[("Content-Length", "+5")], Body::UntilEnd),
            (404, &[("Content-Length", "99999999999999999999")], Body::UntilEnd),
            (404, &[("Transfer-Encoding", "chunked")], chunked.clone()),
            (404, &[("Transfer-Encoding", "gzip, Chunked")], chunked.clone()),
            (404, &[("Transfer-Encoding", "chunked"), ("Content-Length", "5")], chunked),
            (404, &[("Transfer-Encoding", "chunked, gzip")], Body::UntilEnd),
            (304, &[("Content-Length", "5")], Body::Length(0)),
        ];
        for (status, fields, want) in cases {
            assert_eq!(of(status, fields), want, "{status} {fields:?}");
        }
    }

    /// The body in pieces of each length.
    fn decoded(bytes: &[u8]) -> (Vec<u8>, Step) {
        let mut all = Vec::new();
        for piece in 1..=bytes.len() {
            let (mut body, mut out, mut step) =
                (Body::Chunked(Chunked::Size(Vec::new())), Vec::new(), Step::More);
            for chunk in bytes.chunks(piece) {
                if step == Step::More {
                    step = body.push(chunk, &mut out);
                }
            }
            all.push((out, step));
        }
        let first = all.remove(0);
        for other in all {
            assert_eq!(other, first, "{}", String::from_utf8_lossy(bytes));
        }
        first
    }

    #[test]
    fn chunks_are_put_together_wherever_they_are_cut() {
        let cases: [(&str, &str, Step); 9] = [
            ("5\r\nhello\r\n0\r\n\r\n", "hello", Step::Whole),
            ("3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\nC: d\r\n\r\nbehind", "abcde", Step::Whole),
            ("0\r\n\r\n", "", Step::Whole),
            ("A\r\n0123456789\r\n", "0123456789", Step::More),
            ("5\r\nhel", "hel", Step::More),
            ("5\r\nhelloX\r\n", "hello", Step::Broken),
            ("hello\r\n", "", Step::Broken),
            ("-1\r\nx", "", Step::Broken),
            ("11111111111111111\r\nx", "", Step::Broken),
        ];
        for (bytes, body, step) in cases {
            let (out, over) = decoded(bytes.as_bytes());
            assert_eq!((String::from_utf8(out).unwrap(), over), (body.to_owned(), step), "{bytes}");
        }
    }

    #[test]
    fn lines_of_chunks_and_trailers_have_a_limit() {
        let line = format!("1;{}\r\n", "x".repeat(2 * CHUNK_LINE));
        let mut out = Vec::new();
        let mut body = Body::Chunked(Chunked::Size(Vec::new()));
        assert_eq!(body.push(line.as_bytes(), &mut out), Step::Broken);
        let trailers = "0\r\n".to_owned() + &"a: b\r\n".repeat(TRAILERS);
        let mut body = Body::Chunked(Chunked::Size(Vec::new()));
        assert_eq!(body.push(trailers.as_bytes(), &mut out), Step::Broken);
    }
}
