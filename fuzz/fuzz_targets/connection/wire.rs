//! Reads what the connection sends. It shares no code with the crate: it knows the framing, and
//! what no connection may send, and panics where that comes.

use adieu_fuzz::http::Response;
use adieu_proto::Version;

/// Our direction of the connection.
pub(crate) struct Wire {
    client: bool,
    expects: Expects,
    /// The beginning of something that is not whole.
    bytes: Vec<u8>,
    /// The messages that left whole: whether text, and the payload.
    pub(crate) messages: Vec<(bool, Vec<u8>)>,
    /// Our Close has left whole.
    pub(crate) closed: bool,
    pub(crate) finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expects {
    /// A head, as a server: a response to a client of this version, if one was accepted.
    Answer(Option<Version>),
    /// A head, as a client.
    Request,
    /// The sixteen bytes of hixie-76.
    Challenge,
    Frames(Version),
    /// A refusal is out: nothing more.
    Nothing,
    /// The application's own answer: anything.
    Anything,
}

impl Wire {
    fn new(client: bool, expects: Expects) -> Self {
        let (bytes, messages) = (Vec::new(), Vec::new());
        Wire { client, expects, bytes, messages, closed: false, finished: false }
    }

    pub(crate) fn of_server() -> Self {
        Wire::new(false, Expects::Answer(None))
    }

    pub(crate) fn of_client() -> Self {
        Wire::new(true, Expects::Request)
    }

    /// Of a server inside an HTTP library, which has sent the head.
    pub(crate) fn upgraded(version: Version) -> Self {
        let mut wire = Wire::of_server();
        wire.answered(version);
        wire
    }

    /// A request was accepted: what follows is a 101 for this version.
    pub(crate) fn accepts(&mut self, version: Version) {
        self.expects = Expects::Answer(Some(version));
    }

    /// It was not accepted after all.
    pub(crate) fn accepts_nothing(&mut self) {
        self.expects = Expects::Answer(None);
    }

    /// The application answers in words of its own.
    pub(crate) fn refuses_in_its_own_words(&mut self) {
        self.expects = Expects::Anything;
    }

    fn answered(&mut self, version: Version) {
        self.expects = match version {
            Version::Hixie76 => Expects::Challenge,
            other => Expects::Frames(other),
        };
    }

    /// Our direction is finished: not inside of anything, and nothing may follow.
    pub(crate) fn finish(&mut self) {
        assert!(!self.finished, "finished twice");
        self.finished = true;
        if let Expects::Answer(None) = self.expects {
            self.refused();
        }
        assert!(self.bytes.is_empty(), "a FIN inside of {:x?}, {:?}", self.bytes, self.expects);
    }

    /// A refusal, which is whole when our direction is finished.
    fn refused(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.expects = Expects::Nothing;
        if bytes.is_empty() {
            return;
        }
        let refusal = Response::read(&bytes);
        assert!(refusal.status >= 400, "{refusal:?}");
        let whole = refusal.all("Content-Length").eq([&*refusal.body.len().to_string()]);
        assert!(whole || refusal.body.is_empty(), "{refusal:?}");
    }

    /// Bytes that the transport took.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        assert!(!self.finished, "{bytes:x?} behind our FIN");
        self.bytes.extend_from_slice(bytes);
        while !self.bytes.is_empty() {
            let Some(len) = self.next() else { return };
            self.bytes.drain(..len);
        }
    }

    /// Takes what is whole at the front; its length.
    fn next(&mut self) -> Option<usize> {
        match self.expects {
            Expects::Nothing => panic!("{:x?} behind a refusal", self.bytes),
            Expects::Anything => Some(self.bytes.len()),
            Expects::Challenge => {
                let whole = self.bytes.len() >= 16;
                self.expects = if whole { Expects::Frames(Version::Hixie76) } else { self.expects };
                whole.then_some(16)
            }
            Expects::Request => {
                let end = self.end_of_head()?;
                self.expects = Expects::Frames(Version::Rfc6455);
                Some(end)
            }
            // A refusal, or a 101 that was followed by nothing yet.
            Expects::Answer(None) => None,
            Expects::Answer(Some(version)) => {
                let end = self.end_of_head()?;
                assert_eq!(Response::read(&self.bytes[..end]).status, 101);
                self.answered(version);
                Some(end)
            }
            Expects::Frames(version) => {
                assert!(!self.closed, "{:x?} behind our Close", self.bytes);
                match version {
                    Version::Hixie75 | Version::Hixie76 => self.hixie(version),
                    _ => self.hybi(),
                }
            }
        }
    }

    fn end_of_head(&self) -> Option<usize> {
        self.bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
    }

    fn hixie(&mut self, version: Version) -> Option<usize> {
        match &self.bytes[..] {
            [0x00, rest @ ..] => {
                let end = rest.iter().position(|byte| *byte == 0xFF)?;
                std::str::from_utf8(&rest[..end]).expect("text is UTF-8");
                self.messages.push((true, rest[..end].to_vec()));
                Some(end + 2)
            }
            [0xFF] => None,
            [0xFF, 0x00, ..] if version == Version::Hixie76 => {
                self.closed = true;
                Some(2)
            }
            other => panic!("{other:x?} is nothing that {version} says"),
        }
    }

    /// RFC 6455 §5.2.
    fn hybi(&mut self) -> Option<usize> {
        let [first, second, rest @ ..] = &self.bytes[..] else { return None };
        assert_eq!(second & 0x80 != 0, self.client, "a client masks, and nobody else");
        let (len, extended) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            short => (u64::from(short), 0),
        };
        let shortest = match extended {
            0 => true,
            2 => len > 125,
            _ => len > 0xFFFF,
        };
        assert!(shortest, "a length of {len} in {extended} bytes");
        let rest = &rest[extended..];
        let key = if self.client { *rest.first_chunk()? } else { [0; 4] };
        let start = if self.client { 4 } else { 0 };
        let payload = rest.get(start..start + usize::try_from(len).expect("a length"))?;
        let payload: Vec<u8> =
            payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
        let (first, whole) = (*first, 2 + extended + start + payload.len());
        self.frame(first, payload);
        Some(whole)
    }

    fn frame(&mut self, first: u8, payload: Vec<u8>) {
        assert!(first < 0x88 || payload.len() <= 125, "a control frame of {}", payload.len());
        match first {
            0x81 => {
                std::str::from_utf8(&payload).expect("text is UTF-8");
                self.messages.push((true, payload));
            }
            0x82 => self.messages.push((false, payload)),
            0x88 => {
                self.closed = true;
                is_close(&payload);
            }
            0x89 | 0x8A => {}
            other => panic!("a frame that begins with {other:x}"),
        }
    }
}

/// RFC 6455 §5.5.1, §7.4: a code that may be sent, and a reason in UTF-8; or nothing.
fn is_close(payload: &[u8]) {
    let [high, low, reason @ ..] = payload else {
        assert!(payload.is_empty(), "a Close with a body of one byte");
        return;
    };
    let code = u16::from_be_bytes([*high, *low]);
    let sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    assert!(sent, "a Close with {code}");
    std::str::from_utf8(reason).expect("a reason is UTF-8");
}
