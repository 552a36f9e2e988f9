//! HPACK (RFC 7541) as far as a peer needs it that allows no dynamic table: it writes plain
//! literals, and it reads every form that may be sent when the table has size 0.

/// Header fields in the order in which they are sent.
pub type Fields = Vec<(String, String)>;

/// The static table (RFC 7541 appendix A). Its first entry has index 1.
const STATIC_TABLE: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// How many bits the Huffman code of each octet has, and at the end that of EOS (RFC 7541
/// appendix B). The code is canonical: codes of one length follow each other in the order of
/// their octets, and the first code of a length follows the last one of the length before. So
/// the lengths give the codes.
#[rustfmt::skip]
const CODE_LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,
     5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
     7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,
     6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The longest code, that of EOS.
const LONGEST_CODE: usize = 30;
/// The last index of [`CODE_LENGTHS`]: the end of a string, which must not be sent.
const EOS: usize = 256;

/// A field block (RFC 9113 §4.3) of these fields: literals without indexing, with no Huffman
/// code (RFC 7541 §6.2.2). Nothing is checked: what a test wants to send need not be allowed.
#[must_use]
pub fn encode<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            encode_integer(&mut block, 7, 0, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The fields of a whole field block.
///
/// # Errors
/// What is wrong with it. To refer to an entry of the dynamic table is wrong, as the table has
/// size 0.
pub fn decode(block: &[u8]) -> Result<Fields, String> {
    let (mut reader, mut fields) = (Reader(block), Fields::new());
    while let Some(&first) = reader.0.first() {
        match first {
            // An indexed field.
            0x80.. => {
                let (name, value) = entry(reader.integer(7)?)?;
                fields.push((name.to_owned(), value.to_owned()));
            }
            // A literal with incremental indexing: a table of size 0 keeps nothing of it (§4.4).
            0x40.. => fields.push(reader.literal(6)?),
            // An update of the dynamic table's size, which may come before the first field only.
            0x20.. => {
                let size = reader.integer(5)?;
                if !fields.is_empty() {
                    return Err(format!("a dynamic table size update ({size}) behind a field"));
                }
            }
            // A literal without indexing, and one that is never indexed.
            _ => fields.push(reader.literal(4)?),
        }
    }
    Ok(fields)
}

/// An integer of RFC 7541 §5.1, behind the bits that stand before its prefix.
fn encode_integer(out: &mut Vec<u8>, prefix: u32, before: u8, value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        out.push(before | value as u8);
        return;
    }
    out.push(before | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(0x80 | (rest & 0x7F) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn entry(index: usize) -> Result<(&'static str, &'static str), String> {
    let found = index.checked_sub(1).and_then(|at| STATIC_TABLE.get(at));
    found.copied().ok_or_else(|| format!("index {index} is not in the static table"))
}

/// What has not been read of a field block.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or("a field block is cut")?;
        self.0 = rest;
        Ok(taken)
    }

    fn integer(&mut self, prefix: u32) -> Result<usize, String> {
        let most = (1 << prefix) - 1;
        let mut value = usize::from(self.take(1)?[0]) & most;
        if value < most {
            return Ok(value);
        }
        for shift in (0..28).step_by(7) {
            let octet = usize::from(self.take(1)?[0]);
            value += (octet & 0x7F) << shift;
            if octet & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("an integer of a field block is too large".to_owned())
    }

    fn string(&mut self) -> Result<String, String> {
        let huffman = self.0.first().is_some_and(|octet| octet & 0x80 != 0);
        let len = self.integer(7)?;
        let octets = self.take(len)?;
        let text = if huffman { huffman_decode(octets)? } else { octets.to_vec() };
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn literal(&mut self, prefix: u32) -> Result<(String, String), String> {
        let name = match self.integer(prefix)? {
            0 => self.string()?,
            index => entry(index)?.0.to_owned(),
        };
        Ok((name, self.string()?))
    }
}

/// Decodes a string of RFC 7541 §5.2.
fn huffman_decode(octets: &[u8]) -> Result<Vec<u8>, String> {
    // All symbols in the order of their codes, and how many codes each length has.
    let mut symbols: Vec<usize> = (0..=EOS).collect();
    symbols.sort_by_key(|&symbol| (CODE_LENGTHS[symbol], symbol));
    let mut count = [0; LONGEST_CODE + 1];
    CODE_LENGTHS.iter().for_each(|&len| count[usize::from(len)] += 1);

    let mut out = Vec::new();
    // The bits of the code that is being read, the first code of its length, and the place of
    // that one among the symbols.
    let (mut code, mut len, mut first, mut place) = (0, 0, 0, 0);
    for bit in
        octets.iter().flat_map(|octet| (0..8).rev().map(move |i| usize::from(octet >> i & 1)))
    {
        (code, len, first) = (code << 1 | bit, len + 1, first << 1);
        if code - first < count[len] {
            match symbols[place + code - first] {
                EOS => return Err("EOS is in a Huffman string".to_owned()),
                symbol => out.push(symbol as u8),
            }
            (code, len, first, place) = (0, 0, 0, 0);
        } else {
            (first, place) = (first + count[len], place + count[len]);
        }
    }
    // The last octet is filled up with the front of EOS, whose bits are all 1.
    if len < 8 && code == (1 << len) - 1 {
        Ok(out)
    } else {
        Err(format!("a Huffman string ends with {len} bits that are no padding"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let octet = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16);
        digits.chunks(2).map(|two| octet(two).unwrap()).collect()
    }

    fn decoded(hex: &str) -> Vec<(String, String)> {
        decode(&bytes(hex)).unwrap()
    }

    fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn integers_as_in_the_rfc() {
        // RFC 7541 C.1.
        for (prefix, value, hex) in [(5, 10, "0a"), (5, 1337, "1f9a0a"), (8, 42, "2a")] {
            let mut out = Vec::new();
            encode_integer(&mut out, prefix, 0, value);
            assert_eq!(out, bytes(hex));
            assert_eq!(Reader(&out).integer(prefix), Ok(value));
        }
        assert!(Reader(&bytes("7f8080808001")).integer(7).is_err());
        assert!(Reader(&bytes("7f80")).integer(7).is_err());
    }

    #[test]
    fn each_representation_as_in_the_rfc() {
        // RFC 7541 C.2.1 to C.2.4.
        let custom = fields(&[("custom-key", "custom-header")]);
        assert_eq!(
            decoded("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572"),
            custom
        );
        assert_eq!(
            decoded("040c 2f73 616d 706c 652f 7061 7468"),
            fields(&[(":path", "/sample/path")])
        );
        assert_eq!(
            decoded("1008 7061 7373 776f 7264 0673 6563 7265 74"),
            fields(&[("password", "secret")])
        );
        assert_eq!(decoded("82"), fields(&[(":method", "GET")]));
    }

    #[test]
    fn requests_as_in_the_rfc() {
        // RFC 7541 C.3.1 and C.4.1. The requests that follow them there use the dynamic table.
        let request = fields(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
        ]);
        assert_eq!(decoded("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d"), request);
        assert_eq!(decoded("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"), request);
        assert!(decode(&bytes("8286 84be 5808 6e6f 2d63 6163 6865")).is_err(), "C.3.2");
        assert!(decode(&bytes("8286 84be 5886 a8eb 1064 9cbf")).is_err(), "C.4.2");
        // Their last fields need no table: C.4.2 and C.4.3.
        assert_eq!(decoded("5886 a8eb 1064 9cbf"), fields(&[("cache-control", "no-cache")]));
        assert_eq!(
            decoded("4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"),
            fields(&[("custom-key", "custom-value")])
        );
    }

    #[test]
    fn answers_as_in_the_rfc() {
        // RFC 7541 C.5.1 and C.6.1.
        let answer = fields(&[
            (":status", "302"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ]);
        let plain = "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230
                     3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65
                     7861 6d70 6c65 2e63 6f6d";
        let huffman = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0
                       82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
        assert_eq!(decoded(plain), answer);
        assert_eq!(decoded(huffman), answer);
        // The field of C.6.3 that has the longest string.
        let cookie = "77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5
                      291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
        assert_eq!(
            decoded(cookie),
            fields(&[("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")])
        );
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let long = "v".repeat(20_000);
        let sent = fields(&[(":method", "CONNECT"), ("x-long", &long), ("x-empty", "")]);
        assert_eq!(decode(&encode(&sent)), Ok(sent));
        assert_eq!(encode(&[("a", "bc")]), b"\0\x01a\x02bc");
    }

    #[test]
    fn a_size_update_stands_before_the_fields() {
        assert_eq!(decoded("20 88"), fields(&[(":status", "200")]));
        assert_eq!(decoded("20 3fe11f 88"), fields(&[(":status", "200")]));
        assert!(decode(&bytes("88 20")).is_err());
    }

    #[test]
    fn the_huffman_code_is_that_of_the_rfc() {
        // No code is left over.
        let used: u64 = CODE_LENGTHS.iter().map(|&len| 1 << (LONGEST_CODE as u8 - len)).sum();
        assert_eq!(used, 1 << LONGEST_CODE);
        // Codes of appendix B, each filled up with ones: '0', 'a', '}', '~', 0x00, 0xF9 and 0x16.
        for (hex, octet) in [
            ("07", b'0'),
            ("1f", b'a'),
            ("fff7", b'}'),
            ("ffef", b'~'),
            ("ffc7", 0x00),
            ("ffffffef", 0xF9),
            ("fffffffb", 0x16),
        ] {
            assert_eq!(huffman_decode(&bytes(hex)), Ok(vec![octet]), "{hex}");
        }
        assert_eq!(huffman_decode(&[]), Ok(vec![]));
        for (wrong, hex) in [
            ("EOS", "ffffffff"),
            ("more than seven bits of padding", "07ff"),
            ("padding that is not of ones", "06"),
        ] {
            assert!(huffman_decode(&bytes(hex)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_field_block_is_an_error() {
        for (wrong, hex) in [
            ("index 0", "80"),
            ("index 62", "be"),
            ("a literal that names index 62", "7e 00"),
            ("a string that is cut", "00 05 61"),
            ("a literal with no value", "00 01 61"),
        ] {
            assert!(decode(&bytes(hex)).is_err(), "{wrong}");
        }
    }
}
