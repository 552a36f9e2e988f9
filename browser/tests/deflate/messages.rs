//! Messages as different as those of applications, the same for the same seed.

use adieu::Message;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use testkit::Random;

/// The largest, in bytes.
const LARGEST: u64 = 100 * 1024;

/// How many messages back one may be repeated: further than the smallest windows reach.
const REPEATED: usize = 16;

/// Words of many scripts: one, two, three and four bytes of UTF-8 for a character.
const WORDS: &[&str] = &[
    "farewell",
    "the",
    "connection",
    "was",
    "closed",
    "by",
    "its",
    "peer",
    "naïve",
    "Grüße",
    "прощай",
    "соединение",
    "закрыто",
    "αντίο",
    "σύνδεση",
    "وداعا",
    "الاتصال",
    "שלום",
    "अलविदा",
    "कनेक्शन",
    "再见",
    "连接",
    "已关闭",
    "さようなら",
    "接続",
    "안녕히",
    "연결",
    "👋",
    "🧑‍🚀",
    "🏳️‍🌈",
    "𝄞",
    "\u{0}\u{7f}\u{ffff}",
];

/// Makes one message after the other.
pub(crate) struct Messages {
    random: Random,
    /// The last ones, in a ring.
    made: Vec<Message>,
    count: usize,
}

impl Messages {
    pub(crate) fn new(seed: u64) -> Self {
        Messages { random: Random::new(seed), made: Vec::new(), count: 0 }
    }

    pub(crate) fn next(&mut self) -> Message {
        let message = self.varied();
        let place = self.count % REPEATED;
        self.count += 1;
        match self.made.get_mut(place) {
            Some(old) => *old = message.clone(),
            None => self.made.push(message.clone()),
        }
        message
    }

    fn varied(&mut self) -> Message {
        let len = self.random.size(LARGEST) as usize;
        match self.random.below(16) {
            0..4 => Message::text(self.words(len)),
            4..8 => Message::text(self.json(len)),
            8 | 9 => Message::text(self.base64(len)),
            10 => Message::text("a".repeat(len)),
            11 if !self.made.is_empty() => {
                let back = self.random.below(self.made.len() as u64) as usize;
                self.made[back].clone()
            }
            11 | 12 => Message::binary(self.bytes(len)),
            // Bytes that shrink.
            13 => Message::binary(self.json(len).into_bytes()),
            14 => Message::binary(vec![0; len]),
            _ => Message::text(String::new()),
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.random.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    fn base64(&mut self, len: usize) -> String {
        let bytes = self.bytes(len / 4 * 3);
        BASE64_STANDARD.encode(bytes)
    }

    fn words(&mut self, len: usize) -> String {
        let mut text = String::with_capacity(len + 64);
        // A text has few words of few scripts.
        let first = self.random.below(WORDS.len() as u64);
        while text.len() < len {
            let word = first + self.random.below(8);
            text += WORDS[word as usize % WORDS.len()];
            text.push(if self.random.once_in(12) { '\n' } else { ' ' });
        }
        cut(text, len)
    }

    fn json(&mut self, len: usize) -> String {
        let mut text = String::with_capacity(len + 96);
        while text.len() < len {
            let (id, price) = (self.random.below(100_000), self.random.below(1_000_000));
            let word = WORDS[self.random.below(WORDS.len() as u64 - 1) as usize];
            let (whole, cents) = (price / 100, price % 100);
            let tick = format!("\"type\":\"tick\",\"id\":{id},\"price\":{whole}.{cents:02}");
            text += &format!("{{{tick},\"note\":\"{word}\"}},");
        }
        cut(text, len)
    }
}

/// At most so many bytes, and no half character.
fn cut(mut text: String, len: usize) -> String {
    let mut end = len.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
