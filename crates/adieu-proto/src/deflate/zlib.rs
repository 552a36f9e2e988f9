//! The contexts of a driver's thread, and the one file that names the DEFLATE library.
//!
//! A context belongs to no connection: each message starts it anew, with the text that went before
//! on its connection as dictionary. So no text of one connection is ever in reach of another's.

use std::fmt;

use zlib_rs::{DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

/// The output of one turn at most: how far a message is inflated before its limit is looked at.
pub(super) const CHUNK: usize = 16 * 1024;

/// How a context that compresses is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuning {
    pub(super) level: u8,
    pub(super) mem_level: u8,
    /// The window in bits, 9 to 15. zlib has no raw window of 8, but in one of 9 it never refers
    /// back further than 250 bytes: 262 bytes of a window are kept for what comes.
    pub(super) bits: u8,
}

impl Tuning {
    pub(super) fn new(level: u8, mem_level: u8, bits: u8) -> Self {
        Tuning {
            level: level.clamp(1, 9),
            mem_level: mem_level.clamp(1, 9),
            bits: bits.clamp(9, 15),
        }
    }
}

/// What one turn of a context did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) taken: usize,
    pub(super) given: usize,
    /// The last block (BFINAL) has ended.
    pub(super) ended: bool,
}

/// What is wrong with the input of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Compresses one message at a time.
pub(crate) struct Deflater {
    tuning: Tuning,
    context: zlib_rs::Deflate,
    /// The last turn filled its room: output waits in the context. zlib-rs 0.6.8 does not free the
    /// room of what waits when it is reset, and a later message then panics: "buf.len() must fit in
    /// remaining()". Such a context is not kept.
    holds_output: bool,
}

impl Deflater {
    fn new(tuning: Tuning) -> Self {
        let config = DeflateConfig {
            window_bits: -i32::from(tuning.bits),
            mem_level: i32::from(tuning.mem_level),
            ..DeflateConfig::new(i32::from(tuning.level))
        };
        let context = zlib_rs::Deflate::new_with_config(config);
        Deflater { tuning, context, holds_output: false }
    }

    /// Begins a message behind this text. Without the reset the dictionary would be added to what
    /// another connection has left: both are done here, and nowhere else.
    pub(super) fn start(&mut self, history: &[u8]) -> Result<(), Broken> {
        self.context.reset();
        if history.is_empty() {
            return Ok(());
        }
        self.context.set_dictionary(history).map(drop).map_err(|_| Broken)
    }

    /// One turn. After the `last` input all of the message has come out when there is room left.
    pub(super) fn turn(
        &mut self,
        input: &[u8],
        out: &mut [u8],
        last: bool,
    ) -> Result<Turn, Broken> {
        let before = (self.context.total_in(), self.context.total_out());
        let flush = if last { DeflateFlush::SyncFlush } else { DeflateFlush::NoFlush };
        self.holds_output = true;
        self.context.compress(input, out, flush).map_err(|_| Broken)?;
        let taken = (self.context.total_in() - before.0) as usize;
        let given = (self.context.total_out() - before.1) as usize;
        self.holds_output = given == out.len();
        Ok(Turn { taken, given, ended: false })
    }
}

/// Inflates one message at a time.
pub(crate) struct Inflater(Inflate);

impl Inflater {
    /// Begins a message, or what follows a last block, behind this text. As with a [`Deflater`] it
    /// is never the one without the other.
    pub(super) fn start(&mut self, history: &[u8]) -> Result<(), Broken> {
        self.0.reset(false);
        if history.is_empty() {
            return Ok(());
        }
        self.0.set_dictionary(history).map(drop).map_err(|_| Broken)
    }

    pub(super) fn turn(&mut self, input: &[u8], out: &mut [u8]) -> Result<Turn, Broken> {
        let before = (self.0.total_in(), self.0.total_out());
        let status = self.0.decompress(input, out, InflateFlush::NoFlush).map_err(|_| Broken)?;
        Ok(Turn {
            taken: (self.0.total_in() - before.0) as usize,
            given: (self.0.total_out() - before.1) as usize,
            ended: status == Status::StreamEnd,
        })
    }
}

/// Contexts that compress and are kept: that of most connections, and one for those whose peer
/// asked for a smaller window.
const KEPT: usize = 2;

/// The contexts of a thread, made when they are first needed.
#[derive(Default)]
pub(crate) struct Contexts {
    deflaters: Vec<Deflater>,
    inflater: Option<Inflater>,
    /// Where turns put their output.
    pub(super) out: Vec<u8>,
}

impl fmt::Debug for Contexts {
    /// What was compressed does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inflaters = usize::from(self.inflater.is_some());
        write!(f, "Contexts({} that compress, {inflaters} that inflate)", self.deflaters.len())
    }
}

impl Contexts {
    /// A context that compresses like this. It is to be given back.
    pub(super) fn deflater(&mut self, tuning: Tuning) -> Deflater {
        let kept = self.deflaters.iter().position(|deflater| deflater.tuning == tuning);
        match kept {
            Some(at) => self.deflaters.swap_remove(at),
            None => Deflater::new(tuning),
        }
    }

    /// Keeps a context for the next message; of too many the one that was used longest ago goes.
    pub(super) fn keep_deflater(&mut self, deflater: Deflater) {
        if deflater.holds_output {
            return;
        }
        if self.deflaters.len() >= KEPT {
            self.deflaters.remove(0);
        }
        self.deflaters.push(deflater);
    }

    /// A context that inflates. It is to be given back.
    pub(super) fn inflater(&mut self) -> Inflater {
        // Raw, with the largest window: the dictionary is as long as was agreed on.
        self.inflater.take().unwrap_or_else(|| Inflater(Inflate::new(false, 15)))
    }

    pub(super) fn keep_inflater(&mut self, inflater: Inflater) {
        self.inflater = Some(inflater);
    }

    /// Room for so many bytes of output.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        if self.out.len() < len {
            self.out.resize(len, 0);
        }
        &mut self.out[..len]
    }
}
