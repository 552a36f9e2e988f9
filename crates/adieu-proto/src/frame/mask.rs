//! Masking (RFC 6455 §5.3), a word at a time.

/// Masks or unmasks bytes in place. `offset` is how far into the payload they begin.
pub(crate) fn apply(mask: [u8; 4], offset: u64, bytes: &mut [u8]) {
    // The key as a number whose lowest byte comes first, turned to where the payload stands.
    let key = u32::from_le_bytes(mask).rotate_right(8 * (offset % 4) as u32);
    let word = u64::from(key) << 32 | u64::from(key);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_le_bytes(*chunk) ^ word).to_le_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(word.to_le_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_rfcs_formula_at_every_offset_and_length() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for offset in 0..9u64 {
            for len in 0..40usize {
                let plain: Vec<u8> = (0..len as u8).collect();
                let mut masked = plain.clone();
                apply(mask, offset, &mut masked);
                for (i, byte) in masked.iter().enumerate() {
                    let key = mask[(offset as usize + i) % 4];
                    assert_eq!(*byte, plain[i] ^ key, "offset {offset}, length {len}, byte {i}");
                }
            }
        }
    }
}
