//! Scripts: settings, two offers, and what is sent.

use std::fmt;

use adieu_proto::{Config, Deflate, Message, WindowBits};
use arbitrary::Arbitrary;

#[derive(Arbitrary, Debug)]
pub(crate) struct Script {
    options: Options,
    pub(crate) offers: [Offers; 2],
    /// The first connection is closed while large messages may still be compressed.
    pub(crate) closes_early: bool,
    pub(crate) steps: Vec<Step>,
}

/// Settings, also those that there should not be.
#[derive(Arbitrary, Debug)]
struct Options {
    level: u8,
    mem_level: u8,
    history: u32,
    min_with_history: u8,
    min_without_history: u8,
    binary: bool,
    client_window_bits: Option<u8>,
}

impl Script {
    pub(crate) fn config(&self) -> Config {
        let options = &self.options;
        // Most of the time a history that there may be.
        let history = match options.history % 4 {
            0 => options.history as usize,
            1 => 4096,
            _ => options.history as usize % 33_000,
        };
        let deflate = Deflate {
            level: options.level,
            mem_level: options.mem_level,
            history,
            min_with_history: options.min_with_history.into(),
            min_without_history: options.min_without_history.into(),
            binary: options.binary,
            client_window_bits: options
                .client_window_bits
                .and_then(|bits| WindowBits::new(bits & 15)),
            ..Deflate::default()
        };
        Config { deflate: Some(deflate), ping_interval: None, ..Config::default() }
    }
}

/// The field of a request.
#[derive(Arbitrary, Debug)]
pub(crate) enum Offers {
    Good(Offer),
    Two(Offer, Offer),
    /// Anything, of printable characters.
    Any(String),
}

/// One offer: any of the parameters, with values that may be wrong.
#[derive(Arbitrary, Debug)]
pub(crate) struct Offer {
    alone: bool,
    client_alone: bool,
    server_bits: Option<u8>,
    client_bits: Option<Option<u8>>,
    quoted: bool,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.quoted { "\"" } else { "" };
        f.write_str("permessage-deflate")?;
        if self.alone {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_alone {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_bits {
            // 7 and 16 are none.
            write!(f, "; server_max_window_bits={quote}{}{quote}", 7 + bits % 10)?;
        }
        match self.client_bits {
            Some(Some(bits)) => write!(f, ";client_max_window_bits={}", 7 + bits % 10),
            Some(None) => f.write_str(";client_max_window_bits"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Offers::Good(offer) => offer.fmt(f),
            Offers::Two(one, two) => write!(f, "{one}, {two}"),
            Offers::Any(text) => {
                let printable = |c: &char| c.is_ascii_graphic() || *c == ' ';
                let text: String = text.chars().filter(printable).collect();
                f.write_str(text.trim())
            }
        }
    }
}

#[derive(Arbitrary, Debug)]
pub(crate) enum Step {
    Send {
        second: bool,
        plain: bool,
        what: What,
    },
    Broadcast {
        what: What,
    },
    /// A large message is compressed on.
    GoOn {
        second: bool,
    },
    Wait {
        seconds: u8,
    },
}

/// What a message says.
#[derive(Arbitrary, Debug)]
pub(crate) enum What {
    Text(String),
    Bytes(Vec<u8>),
    /// What was sent before, on whichever connection, with something behind it.
    Again {
        at: u8,
        more: u8,
    },
    /// The same byte over and over.
    Run {
        byte: u8,
        len: u32,
    },
    /// Words that come again.
    Words {
        seed: u16,
        len: u32,
    },
    /// What does not shrink.
    Noise {
        seed: u16,
        len: u16,
    },
}

impl What {
    pub(crate) fn message(&self, sent: &[Message]) -> Message {
        match self {
            What::Text(text) => Message::from(text.as_str()),
            What::Bytes(bytes) => Message::from(bytes.clone()),
            What::Again { at, more } => again(sent, *at, *more),
            What::Run { byte, len } => Message::from(
                "a".repeat(length(*len)).replace('a', &char::from(byte & 127).to_string()),
            ),
            What::Words { seed, len } => words(*seed, length(*len)),
            What::Noise { seed, len } => {
                let mut numbers = Numbers::new(*seed);
                let len = usize::from(*len) % 20_000;
                Message::from((0..len).map(|_| numbers.next() as u8).collect::<Vec<u8>>())
            }
        }
    }
}

/// Most are short; some take more than one turn of 64 KiB.
fn length(len: u32) -> usize {
    match len % 16 {
        0 => len as usize % 150_000,
        1 => 65_530 + len as usize / 16 % 12,
        _ => len as usize % 3000,
    }
}

fn again(sent: &[Message], at: u8, more: u8) -> Message {
    let Some(message) = sent.get(usize::from(at) % sent.len().max(1)) else {
        return Message::from("");
    };
    match message {
        Message::Text(text) => Message::from(format!("{}{more}", &**text)),
        Message::Binary(bytes) => Message::from([bytes, &[more][..]].concat()),
    }
}

fn words(seed: u16, len: usize) -> Message {
    let mut numbers = Numbers::new(seed);
    let mut text = String::new();
    while text.len() < len {
        let word = numbers.next() % 300;
        text += &format!("w{:x} ", word.wrapping_mul(0x9E37_79B9));
    }
    text.truncate(len);
    Message::from(text)
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn new(seed: u16) -> Self {
        Numbers(u64::from(seed) << 1 | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
