//! Reads what the connection really sent. It shares no code with the crate, and knows nothing of
//! what should come: it finds frames, and faults that no sequence may have. Nothing may follow our
//! Close, and our FIN may not stand inside a frame.

use crate::script::{Dialect, Role};

/// What a Close says: nothing, or a code and a reason.
pub(crate) type Said = Option<(u16, String)>;

/// One thing on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    /// An HTTP head and its body: the first line without the phrase.
    Head(String),
    /// The sixteen bytes of hixie-76.
    Challenge,
    Text(String),
    Close(Said),
    Ping,
    Pong(Vec<u8>),
}

/// Our direction of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wire {
    role: Role,
    dialect: Dialect,
    expects: Expects,
    /// The beginning of something that is not whole.
    bytes: Vec<u8>,
    closed: bool,
    finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Expects {
    Head,
    Challenge,
    Frames,
}

impl Wire {
    pub(crate) fn new(role: Role, dialect: Dialect, opened: bool) -> Self {
        let expects = if opened { Expects::Frames } else { Expects::Head };
        Wire { role, dialect, expects, bytes: Vec::new(), closed: false, finished: false }
    }

    /// Our direction is finished: nothing may follow.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        if self.finished {
            return Err("finished twice".into());
        }
        self.finished = true;
        if self.bytes.is_empty() { Ok(()) } else { Err("a FIN inside a frame".into()) }
    }

    /// Bytes that the transport took; gives what became whole.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, String> {
        if self.finished || bytes.is_empty() {
            return Err(format!("{} bytes sent, finished: {}", bytes.len(), self.finished));
        }
        self.bytes.extend_from_slice(bytes);
        let mut frames = Vec::new();
        while !self.bytes.is_empty() {
            if self.closed {
                return Err(format!("{:x?} after our Close", self.bytes));
            }
            let Some((frame, len)) = self.next()? else { break };
            self.bytes.drain(..len);
            self.closed = matches!(frame, Frame::Close(_));
            frames.push(frame);
        }
        Ok(frames)
    }

    fn next(&mut self) -> Result<Option<(Frame, usize)>, String> {
        match self.expects {
            Expects::Head => Ok(self.head()),
            Expects::Challenge if self.bytes.len() < 16 => Ok(None),
            Expects::Challenge => {
                self.expects = Expects::Frames;
                Ok(Some((Frame::Challenge, 16)))
            }
            Expects::Frames if self.dialect == Dialect::Rfc6455 => self.hybi(),
            Expects::Frames => self.hixie(),
        }
    }

    fn head(&mut self) -> Option<(Frame, usize)> {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let end = text.find("\r\n\r\n")? + 4;
        let body = text.split("Content-Length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let len = end + body.map_or(0, |digits| digits.parse::<usize>().expect("a length"));
        if self.bytes.len() < len {
            return None;
        }
        self.expects = Expects::Frames;
        if text.contains("Sec-WebSocket-Location") {
            (self.dialect, self.expects) = (Dialect::Hixie76, Expects::Challenge);
        }
        let first: Vec<&str> = text.split(' ').take(2).collect();
        Some((Frame::Head(first.join(" ")), len))
    }

    fn hybi(&self) -> Result<Option<(Frame, usize)>, String> {
        let [first, second, rest @ ..] = &self.bytes[..] else { return Ok(None) };
        let masked = second & 0x80 != 0;
        if masked != (self.role == Role::Client) {
            return Err(format!("masked: {masked} by a {:?}", self.role));
        }
        let len = usize::from(second & 0x7F);
        if len > 125 {
            return Err(format!("a length of {len} that nobody asked for"));
        }
        let mask = if masked { rest.first_chunk::<4>() } else { Some(&[0; 4]) };
        let (Some(mask), start) = (mask, if masked { 4 } else { 0 }) else { return Ok(None) };
        let Some(payload) = rest.get(start..start + len) else { return Ok(None) };
        let payload: Vec<u8> =
            payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
        let frame = match first {
            0x81 => Frame::Text(String::from_utf8(payload).map_err(|e| e.to_string())?),
            0x88 => Frame::Close(said(&payload)?),
            0x89 => Frame::Ping,
            0x8A => Frame::Pong(payload),
            other => return Err(format!("a frame that begins with {other:x}")),
        };
        Ok(Some((frame, 2 + start + len)))
    }

    fn hixie(&self) -> Result<Option<(Frame, usize)>, String> {
        match &self.bytes[..] {
            [0x00, rest @ ..] => {
                let Some(end) = rest.iter().position(|b| *b == 0xFF) else { return Ok(None) };
                let text = String::from_utf8(rest[..end].into()).map_err(|e| e.to_string())?;
                Ok(Some((Frame::Text(text), end + 2)))
            }
            [0xFF] => Ok(None),
            [0xFF, 0x00, ..] if self.dialect == Dialect::Hixie76 => {
                Ok(Some((Frame::Close(None), 2)))
            }
            other => Err(format!("{other:x?} is nothing that {:?} says", self.dialect)),
        }
    }
}

fn said(payload: &[u8]) -> Result<Said, String> {
    match payload {
        [] => Ok(None),
        [a, b, reason @ ..] => {
            let reason = String::from_utf8(reason.into()).map_err(|e| e.to_string())?;
            Ok(Some((u16::from_be_bytes([*a, *b]), reason)))
        }
        _ => Err("a Close with a body of one byte".into()),
    }
}
