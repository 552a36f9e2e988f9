//! Frames of hixie-75 and hixie-76 as their clients write them.

/// `FF 00`: the goodbye of hixie-76.
pub const CLOSE: [u8; 2] = [0xFF, 0x00];

/// A text: type 00, closed by FF.
#[must_use]
pub fn text(text: &str) -> Vec<u8> {
    [b"\x00", text.as_bytes(), b"\xFF"].concat()
}

/// A frame of a type from 01 to 7F, which nobody defined: closed by FF like a text.
#[must_use]
pub fn unknown(kind: u8, payload: &[u8]) -> Vec<u8> {
    assert!((0x01..0x80).contains(&kind) && !payload.contains(&0xFF), "not such a frame");
    [&[kind], payload, b"\xFF"].concat()
}

/// A frame of a type from 80 to FF: its length in base 128, here in as many digits as asked
/// for, then its bytes, which may hold FF.
#[must_use]
pub fn prefixed(kind: u8, digits: u32, payload: &[u8]) -> Vec<u8> {
    assert!(kind >= 0x80, "not such a frame");
    let digit = |i: u32| (payload.len() >> (7 * i) & 0x7F) as u8;
    let more = (1..digits).rev().map(|i| digit(i) | 0x80);
    [kind].into_iter().chain(more).chain([digit(0)]).chain(payload.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_in_base_128() {
        assert_eq!(prefixed(0x80, 1, b"abc"), b"\x80\x03abc");
        assert_eq!(prefixed(0x80, 3, b"abc"), b"\x80\x80\x80\x03abc");
        assert_eq!(prefixed(0xFF, 2, &[0xFF; 200])[..4], [0xFF, 0x81, 0x48, 0xFF]);
    }
}
