//! What the fuzz targets share. Each target says at its head what must hold.

pub mod deflate;
pub mod http;
pub mod memory;

use std::io::IoSlice;
use std::time::Instant;

use adieu_proto::{Connection, Scratch};

/// The peer's bytes come, as few reads as there may be.
pub fn receive(connection: &mut Connection, now: Instant, bytes: &[u8], scratch: &mut Scratch) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let buffer = connection.read_buffer(scratch);
        let (piece, behind) = rest.split_at(rest.len().min(buffer.len()));
        buffer[..piece.len()].copy_from_slice(piece);
        connection.received(now, piece.len(), scratch);
        rest = behind;
    }
}

/// What a write may take: all of it, or what its slices have room for.
#[must_use]
pub fn waiting(connection: &Connection) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = connection.slices(&mut slices);
    let mut bytes = Vec::new();
    slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
    bytes
}

/// Whether there is anything to write.
#[must_use]
pub fn waits(connection: &Connection) -> bool {
    let mut slices = [IoSlice::new(&[]); 1];
    connection.slices(&mut slices) > 0 && !slices[0].is_empty()
}
