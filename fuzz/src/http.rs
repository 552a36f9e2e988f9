//! An HTTP response as a stranger reads it: with code of its own, by the letter of RFC 9112.

/// A response: its status, its fields and its body.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'a> {
    pub status: u16,
    pub fields: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// Reads bytes that have to be one response, and nothing behind it but its body.
    ///
    /// # Panics
    /// Where they are none.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a blank line");
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
        let mut lines = head.split("\r\n");
        let status_line = lines.next().expect("a status line");
        assert!(status_line.starts_with("HTTP/1.1 "), "{status_line:?}");
        let status = status_line[9..12].parse().expect("three digits");
        assert_eq!(status_line.as_bytes().get(12), Some(&b' '), "{status_line:?}");
        let fields = lines.map(field).collect();
        assert!(!head.bytes().any(|b| b < b' ' && !b"\r\n\t".contains(&b)), "{head:?}");
        Response { status, fields, body: &bytes[end + 4..] }
    }

    /// The values of the fields of this name.
    pub fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'a str> + 'b {
        let fields = self.fields.iter().filter(move |field| field.0.eq_ignore_ascii_case(name));
        fields.map(|field| field.1)
    }
}

fn field(line: &str) -> (&str, &str) {
    assert!(!line.contains(['\r', '\n']), "{line:?}");
    let (name, value) = line.split_once(':').expect("a colon");
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    assert!(!name.is_empty() && name.bytes().all(token), "{line:?}");
    (name, value.trim_matches([' ', '\t']))
}
