//! Masking (RFC 6455 §5.3), a word at a time.

/// Bytes that are masked at once.
const WORD: usize = size_of::<u64>();
const LINE: usize = 8 * WORD;

/// Masks or unmasks bytes in place. `offset` is how far into the payload they begin.
pub(crate) fn apply(mask: [u8; 4], offset: u64, bytes: &mut [u8]) {
    // The key as a number whose lowest byte comes first, turned to where the payload stands.
    let key = u32::from_le_bytes(mask).rotate_right(8 * (offset % 4) as u32);
    let word = u64::from(key) << 32 | u64::from(key);
    let apply = |chunk: &mut [u8]| {
        if let Some(bytes) = chunk.first_chunk_mut() {
            *bytes = (u64::from_le_bytes(*bytes) ^ word).to_le_bytes();
        }
    };
    // Many words in each turn, so that the turns do not count.
    let mut lines = bytes.chunks_exact_mut(LINE);
    // As an array, whose length the compiler knows.
    while let Some(Ok(line)) = lines.next().map(<&mut [u8; LINE]>::try_from) {
        line.chunks_exact_mut(WORD).for_each(apply);
    }
    let mut words = lines.into_remainder().chunks_exact_mut(WORD);
    words.by_ref().for_each(apply);
    let key = word.to_le_bytes();
    for (at, byte) in words.into_remainder().iter_mut().enumerate() {
        *byte ^= key[at % WORD];
    }
}

/// Bytes that are copied and unmasked before the next: they are still at hand then.
const BLOCK: usize = 1024;

/// The unmasked bytes of a payload: one way through the memory, not two.
#[inline]
pub(crate) fn unmasked(mask: [u8; 4], bytes: &[u8]) -> Vec<u8> {
    if bytes.len() <= BLOCK {
        let mut out = bytes.to_vec();
        apply(mask, 0, &mut out);
        return out;
    }
    let mut out = Vec::with_capacity(bytes.len());
    for block in bytes.chunks(BLOCK) {
        let start = out.len();
        out.extend_from_slice(block);
        // The key begins anew with each block: its length is a multiple of four.
        apply(mask, 0, &mut out[start..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_rfcs_formula_at_every_offset_and_length() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for offset in 0..9u64 {
            for len in 0..200usize {
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

    #[test]
    fn a_copy_is_unmasked_as_it_is_in_place() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for len in [0, 1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let masked: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let mut in_place = masked.clone();
            apply(mask, 0, &mut in_place);
            assert_eq!(unmasked(mask, &masked), in_place, "length {len}");
        }
    }
}
