//! A decoder of DEFLATE (RFC 1951) of its own, which believes nothing: it knows how far each match
//! refers back, and refuses what goes further than the window. After Mark Adler's `puff`.

/// What a sender takes off the end of a message (RFC 7692 §7.2.1).
const SYNC: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// What a message of permessage-deflate holds behind this text, and how far it refers back at most.
/// Our messages have no last block (BFINAL).
pub(crate) fn inflate(
    payload: &[u8],
    before: &[u8],
    window: usize,
) -> Result<(Vec<u8>, usize), &'static str> {
    let blocks = blocks(&[payload, &SYNC].concat(), before, window, usize::MAX)?;
    if blocks.last > 0 || blocks.ends_with_last {
        return Err("a last block");
    }
    Ok((blocks.out, blocks.far))
}

/// Blocks that end where their bytes end.
pub(crate) struct Blocks {
    pub(crate) out: Vec<u8>,
    /// How far they refer back at most.
    pub(crate) far: usize,
    /// How many were last ones (BFINAL). What follows such a block is a stream of its own, which
    /// begins with a byte of its own and has the same window.
    pub(crate) last: usize,
    /// Whether the very last one was.
    pub(crate) ends_with_last: bool,
}

/// Why bytes are no blocks of at most so many bytes of output.
pub(crate) const TOO_LONG: &str = "longer than the limit";

/// All blocks of these bytes.
pub(crate) fn blocks(
    bytes: &[u8],
    before: &[u8],
    window: usize,
    limit: usize,
) -> Result<Blocks, &'static str> {
    let most = limit.saturating_add(before.len());
    let out = before.to_vec();
    let mut decoder = Decoder { bytes, at: 0, bits: 0, count: 0, out, most, window, far: 0 };
    let (mut last, mut ends_with_last) = (0, false);
    while decoder.at < bytes.len() {
        ends_with_last = decoder.bits(1)? == 1;
        match decoder.bits(2)? {
            0 => decoder.stored()?,
            1 => decoder.fixed()?,
            2 => decoder.dynamic()?,
            _ => return Err("block type 3"),
        }
        if ends_with_last {
            last += 1;
            (decoder.bits, decoder.count) = (0, 0);
        }
    }
    if decoder.count > 0 {
        return Err("bits behind the last block");
    }
    let far = decoder.far;
    Ok(Blocks { out: decoder.out.split_off(before.len()), far, last, ends_with_last })
}

struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    bits: u32,
    count: u32,
    out: Vec<u8>,
    most: usize,
    window: usize,
    far: usize,
}

/// The codes of one alphabet: how many there are of each length, and the symbols in order.
struct Codes {
    counts: [u16; 16],
    symbols: Vec<u16>,
}

impl Codes {
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; 16];
        for length in lengths {
            counts[usize::from(*length)] += 1;
        }
        let mut symbols = Vec::new();
        for length in 1..16 {
            let of = lengths.iter().enumerate().filter(|(_, l)| **l == length);
            symbols.extend(of.map(|(symbol, _)| symbol as u16));
        }
        Codes { counts, symbols }
    }

    /// The same, where the codes have to be all that there may be. `or_one`: a single one of one
    /// bit may stand alone, or none at all (RFC 1951 §3.2.7).
    fn complete(lengths: &[u8], or_one: bool) -> Result<Self, &'static str> {
        let codes = Codes::new(lengths);
        let mut left = 1i32;
        for count in &codes.counts[1..] {
            left = 2 * left - i32::from(*count);
            if left < 0 {
                return Err("more codes than there may be");
            }
        }
        let few = usize::from(codes.counts[0] + codes.counts[1]) == lengths.len();
        if left > 0 && !(or_one && few) { Err("codes are missing") } else { Ok(codes) }
    }
}

impl Decoder<'_> {
    fn bits(&mut self, n: u32) -> Result<u32, &'static str> {
        while self.count < n {
            let byte = *self.bytes.get(self.at).ok_or("cut")?;
            self.bits |= u32::from(byte) << self.count;
            self.count += 8;
            self.at += 1;
        }
        let bits = self.bits & ((1 << n) - 1);
        self.bits >>= n;
        self.count -= n;
        Ok(bits)
    }

    fn symbol(&mut self, codes: &Codes) -> Result<usize, &'static str> {
        let (mut code, mut first, mut index) = (0i32, 0i32, 0i32);
        for length in 1..16 {
            code |= self.bits(1)? as i32;
            let count = i32::from(codes.counts[length]);
            if code - count < first {
                return Ok(usize::from(codes.symbols[(index + code - first) as usize]));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err("no such code")
    }

    fn stored(&mut self) -> Result<(), &'static str> {
        (self.bits, self.count) = (0, 0);
        let head = self.bytes.get(self.at..self.at + 4).ok_or("cut")?;
        let len = u16::from_le_bytes([head[0], head[1]]);
        if len != !u16::from_le_bytes([head[2], head[3]]) {
            return Err("lengths differ");
        }
        let data = self.bytes.get(self.at + 4..self.at + 4 + usize::from(len)).ok_or("cut")?;
        self.out.extend_from_slice(data);
        self.at += 4 + usize::from(len);
        self.fits()
    }

    fn fits(&self) -> Result<(), &'static str> {
        if self.out.len() > self.most { Err(TOO_LONG) } else { Ok(()) }
    }

    fn fixed(&mut self) -> Result<(), &'static str> {
        let mut lengths = [8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.block(&Codes::new(&lengths), &Codes::new(&[5; 30]))
    }

    fn dynamic(&mut self) -> Result<(), &'static str> {
        const ORDER: [usize; 19] =
            [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let literals = self.bits(5)? as usize + 257;
        let distances = self.bits(5)? as usize + 1;
        if literals > 286 || distances > 30 {
            return Err("more symbols than there are");
        }
        let used = self.bits(4)? as usize + 4;
        let mut lengths = [0; 19];
        for place in &ORDER[..used] {
            lengths[*place] = self.bits(3)? as u8;
        }
        let codes = Codes::complete(&lengths, false)?;
        let mut lengths = Vec::new();
        while lengths.len() < literals + distances {
            let symbol = self.symbol(&codes)?;
            let (value, times) = match symbol {
                16 => (*lengths.last().ok_or("nothing to repeat")?, 3 + self.bits(2)?),
                17 => (0, 3 + self.bits(3)?),
                18 => (0, 11 + self.bits(7)?),
                length => (length as u8, 1),
            };
            lengths.extend(std::iter::repeat_n(value, times as usize));
        }
        if lengths.len() > literals + distances {
            return Err("a repetition goes too far");
        }
        let (literals, distances) = lengths.split_at(literals);
        if literals[256] == 0 {
            return Err("nothing ends the block");
        }
        self.block(&Codes::complete(literals, true)?, &Codes::complete(distances, true)?)
    }

    fn block(&mut self, literals: &Codes, distances: &Codes) -> Result<(), &'static str> {
        loop {
            self.fits()?;
            match self.symbol(literals)? {
                symbol @ 0..256 => self.out.push(symbol as u8),
                256 => return Ok(()),
                symbol => self.copy(symbol - 257, distances)?,
            }
        }
    }

    fn copy(&mut self, symbol: usize, distances: &Codes) -> Result<(), &'static str> {
        const LENGTHS: [u16; 29] = [
            3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99,
            115, 131, 163, 195, 227, 258,
        ];
        const LENGTH_BITS: [u32; 29] =
            [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
        let length = usize::from(*LENGTHS.get(symbol).ok_or("no such length")?);
        let length = length + self.bits(LENGTH_BITS[symbol])? as usize;
        let symbol = self.symbol(distances)?;
        // RFC 1951 §3.2.5: the distances double with every second code.
        let bits = (symbol as u32 / 2).saturating_sub(1);
        let base = match symbol {
            0..4 => symbol + 1,
            4..30 => ((2 + symbol % 2) << bits) + 1,
            _ => return Err("no such distance"),
        };
        let distance = base + self.bits(bits)? as usize;
        if distance > self.window {
            return Err("further back than the window");
        }
        let start = self.out.len().checked_sub(distance).ok_or("further back than the text")?;
        self.far = self.far.max(distance);
        for at in start..start + length {
            self.out.push(self.out[at]);
        }
        Ok(())
    }
}
