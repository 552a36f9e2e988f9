//! What is seen of frames that pass, for the fuzz target. Built under `--cfg fuzzing` alone: no
//! part of the public API.

use super::frames::{Frames, Seen};

/// What was seen of frames: of each DATA frame its stream, its bytes and whether END_STREAM was
/// set, and the codes of GOAWAY, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// A DATA frame, or what came of it.
    Data(u32, u64, bool),
    /// A GOAWAY.
    GoAway(u32),
}

/// Lets bytes of a client, or of a server, pass in pieces of so many.
#[must_use]
pub fn frames(bytes: &[u8], of_client: bool, piece: usize) -> Vec<Passed> {
    let mut frames = if of_client { Frames::of_client() } else { Frames::of_server() };
    let mut all = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        frames.pass(piece, |seen| match seen {
            Seen::Data { stream, bytes, end } => all.push(Passed::Data(stream, bytes, end)),
            Seen::GoAway { code, .. } => all.push(Passed::GoAway(code.0)),
            Seen::Settings => {}
        });
    }
    all
}
