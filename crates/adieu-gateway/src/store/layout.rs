//! How the file of a store is laid out.

use std::io;

/// Ours; redb's begins behind it. A whole page, so that redb's stay aligned to those of the disk.
pub(super) const PAGE: u64 = 4096;

/// As PNG's: a file that went through something that converts line ends is found out.
pub(super) const MAGIC: [u8; 16] = *b"adieu store\r\n\x1a\n\0";

/// Where the format stands, and its complement, by which a damaged one is known.
pub(super) const FORMAT_AT: usize = MAGIC.len();

/// How the file is laid out. A change that an older version would misread has another.
pub(super) const FORMAT: u32 = 3;

/// Where the number of the last commit stands, and its complement. In a sector of its own: it is
/// written again with each commit, and a sector is written whole or not at all.
pub(super) const MARK_AT: usize = 512;

/// Where it is in the file; a damaged store may have redb ask for anything.
pub(super) fn behind(offset: u64) -> io::Result<u64> {
    offset.checked_add(PAGE).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

pub(super) fn mark(commit: u64) -> [u8; 16] {
    let mut mark = [0; 16];
    mark[..8].copy_from_slice(&commit.to_be_bytes());
    mark[8..].copy_from_slice(&(!commit).to_be_bytes());
    mark
}

/// A number that stands there with its complement behind it; something larger than it can be if
/// they do not fit.
pub(super) fn doubled<const N: usize>(bytes: &[u8]) -> u128 {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u128::from(*byte));
    let complement: [u8; N] = std::array::from_fn(|i| !bytes[N + i]);
    if bytes[..N] == complement { number(&complement) } else { u128::MAX }
}
