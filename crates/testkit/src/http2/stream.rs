//! Streams: requests and their answers, and WebSockets (RFC 8441).

use super::frame::Http2Frame;
use super::hpack::Fields;
use super::peer::Http2Peer;
use super::window::Window;
use crate::frame::Frame;
use crate::peer::TcpEnd;

/// How the server's direction of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// END_STREAM.
    EndStream,
    /// RST_STREAM with this code.
    Reset(u32),
    /// A GOAWAY said that the server does not process this stream.
    GoAway {
        /// The last stream that it processes.
        last: u32,
        /// Why: one of [`code`](super::code).
        code: u32,
    },
    /// The connection ended before the stream did. [`Http2Peer::goaway`] says whether a GOAWAY
    /// came before.
    Connection(TcpEnd),
}

/// What is known of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) window: Window,
    /// The server sent END_STREAM or RST_STREAM.
    pub(super) server_ended: bool,
    /// The code of the server's RST_STREAM.
    pub(super) reset: Option<u32>,
    /// We sent RST_STREAM.
    pub(super) cancelled: bool,
    /// Data that was taken out of the queue, and that is no whole WebSocket frame yet.
    bytes: Vec<u8>,
    /// The end, once it was taken out of the queue.
    end: Option<StreamEnd>,
}

impl Stream {
    pub(super) fn new(window: Window) -> Self {
        let (bytes, end) = (Vec::new(), None);
        Stream { window, server_ended: false, reset: None, cancelled: false, bytes, end }
    }

    /// The server sends nothing more, or nothing that counts.
    pub(super) fn over(&self) -> bool {
        self.server_ended || self.cancelled
    }
}

/// The fields of an answer, or trailers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Head {
    /// The fields, those with a colon too.
    pub fields: Fields,
    /// END_STREAM was set: nothing follows.
    pub end_stream: bool,
}

impl Http2Head {
    /// The answer's status.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        let status = self.field(":status").and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status: {:?}", self.fields))
    }

    /// The values of all fields of this name, which is in lower case.
    #[must_use]
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The only field of this name, which is in lower case.
    ///
    /// # Panics
    /// If there are two.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.fields(name);
        assert!(fields.len() < 2, "two fields {name} in {:?}", self.fields);
        fields.first().copied()
    }
}

/// A whole answer of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Answer {
    /// The head, the interim ones (1xx) left out.
    pub head: Http2Head,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers, if there are any.
    pub trailers: Option<Fields>,
    /// How the stream ended.
    pub end: StreamEnd,
}

impl Http2Answer {
    /// The answer's status.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The body as text for people.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Everything that came before the end of a stream, and the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRest {
    /// The data that had not been read.
    pub bytes: Vec<u8>,
    /// How the stream ended.
    pub end: StreamEnd,
}

impl StreamRest {
    /// The WebSocket frames; panics if one is cut.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        Frame::parse_all(&self.bytes)
    }
}

/// The fields of an extended CONNECT for a WebSocket (RFC 8441 §5), for a test that wants to
/// change them before they are sent.
#[must_use]
pub fn websocket_request(scheme: &str, authority: &str, path: &str) -> Fields {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("sec-websocket-version", "13"),
        ("origin", &format!("{scheme}://{authority}")),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// With more fields behind the others; one whose name is there already replaces it.
fn with_fields(mut fields: Fields, more: &[(&str, &str)]) -> Fields {
    for &(name, value) in more {
        match fields.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => value.clone_into(old),
            None => fields.push((name.to_owned(), value.to_owned())),
        }
    }
    fields
}

impl Http2Peer {
    // Requests and answers.

    /// Asks for a WebSocket with extended CONNECT (RFC 8441 §4), and gives the stream. The answer
    /// is not read. A field of `more` whose name is among the usual ones replaces it.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn connect_stream(&mut self, authority: &str, path: &str, more: &[(&str, &str)]) -> u32 {
        let fields = with_fields(websocket_request(self.scheme, authority, path), more);
        let stream = self.new_stream();
        self.send_headers(stream, &fields, false);
        stream
    }

    /// The same, and reads the answer, which has to be 200.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn open_websocket(&mut self, authority: &str, path: &str, more: &[(&str, &str)]) -> u32 {
        let stream = self.connect_stream(authority, path, more);
        let head = self.read_head(stream);
        assert!(head.status() == 200 && !head.end_stream, "the server refused: {head:?}");
        stream
    }

    /// Sends a request with a body, or with none if that is empty, and gives the stream. The
    /// authority is the server's address, if `fields` has no other.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> u32 {
        let authority = self.tcp().peer_addr().to_string();
        let usual = [
            (":method", method),
            (":scheme", self.scheme),
            (":path", path),
            (":authority", &authority),
        ];
        let (stream, body) = (self.new_stream(), body.as_ref());
        let fields = with_fields(with_fields(Fields::new(), &usual), fields);
        self.send_headers(stream, &fields, body.is_empty());
        if !body.is_empty() {
            self.send_data(stream, body, true);
        }
        stream
    }

    /// The head that comes next on a stream, an interim one too, or how the stream ended instead.
    ///
    /// # Errors
    /// How it ended.
    ///
    /// # Panics
    /// If data comes instead.
    pub fn try_read_head(&mut self, stream: u32) -> Result<Http2Head, StreamEnd> {
        loop {
            match self.next_part(stream)? {
                Http2Frame::Headers { fields, end_stream, .. } => {
                    return Ok(Http2Head { fields, end_stream });
                }
                Http2Frame::Unknown(_) => {}
                other => panic!("no head, but {other:?}"),
            }
        }
    }

    /// The same.
    ///
    /// # Panics
    /// If the stream ends without one.
    pub fn read_head(&mut self, stream: u32) -> Http2Head {
        self.try_read_head(stream).unwrap_or_else(|end| {
            panic!("{end:?} instead of a head on stream {stream}, after {}", self.shown())
        })
    }

    /// The whole answer to a request, up to the end of its stream.
    ///
    /// # Panics
    /// If the stream ends without a head, or does not end within the deadline.
    pub fn read_answer(&mut self, stream: u32) -> Http2Answer {
        let mut head = self.read_head(stream);
        while (100..200).contains(&head.status()) {
            head = self.read_head(stream);
        }
        let (mut body, mut trailers) = (Vec::new(), None);
        let end = loop {
            match self.next_part(stream) {
                Ok(Http2Frame::Data { bytes, .. }) => body.extend(bytes),
                Ok(Http2Frame::Headers { fields, .. }) => trailers = Some(fields),
                Ok(_) => {}
                Err(end) => break end,
            }
        };
        Http2Answer { head, body, trailers, end }
    }

    /// The next frame of a stream, or how it ended: after a frame with END_STREAM, RST_STREAM, a
    /// GOAWAY or the connection's end.
    fn next_part(&mut self, stream: u32) -> Result<Http2Frame, StreamEnd> {
        if let Some(end) = self.stream(stream).end {
            return Err(end);
        }
        let next = self.try_next_for(stream);
        let end = match &next {
            Ok(Http2Frame::RstStream { code, .. }) => Some(StreamEnd::Reset(*code)),
            Ok(
                Http2Frame::Data { end_stream: true, .. }
                | Http2Frame::Headers { end_stream: true, .. },
            ) => Some(StreamEnd::EndStream),
            Ok(_) => None,
            Err(end) => Some(*end),
        };
        self.stream(stream).end = end;
        match next {
            Ok(Http2Frame::RstStream { code, .. }) => Err(StreamEnd::Reset(code)),
            next => next,
        }
    }

    // WebSockets.

    /// Sends a WebSocket frame, masked, as one DATA.
    ///
    /// # Panics
    /// As [`send_data`](Http2Peer::send_data), which may send more DATA frames.
    pub fn send_ws(&mut self, stream: u32, frame: &Frame) {
        self.send_data(stream, frame.masked(), false);
    }

    /// Sends several WebSocket frames, masked, as one DATA.
    ///
    /// # Panics
    /// As [`send_data`](Http2Peer::send_data), which may send more DATA frames.
    pub fn send_ws_all(&mut self, stream: u32, frames: &[Frame]) {
        self.send_data(stream, masked(frames), false);
    }

    /// The same with END_STREAM on that DATA. With no frames it is empty.
    ///
    /// # Panics
    /// As [`send_data`](Http2Peer::send_data), which may send more DATA frames.
    pub fn send_ws_all_and_end(&mut self, stream: u32, frames: &[Frame]) {
        self.send_data(stream, masked(frames), true);
    }

    /// Sends a WebSocket frame, masked, cut into several DATA, each in a write of its own (or all
    /// in one, in [`together`](Http2Peer::together)). `at` are the places of the cuts in the
    /// bytes of the frame.
    ///
    /// # Panics
    /// If the places are not in order, or as [`send_data`](Http2Peer::send_data).
    pub fn send_ws_cut(&mut self, stream: u32, frame: &Frame, at: &[usize]) {
        let bytes = frame.masked();
        let mut from = 0;
        for &to in at.iter().chain([&bytes.len()]) {
            self.send_data(stream, &bytes[from..to], false);
            from = to;
        }
    }

    /// An empty DATA with END_STREAM: half-closes the stream.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn end_stream(&mut self, stream: u32) {
        self.send_data(stream, "", true);
    }

    /// The next WebSocket frame of a stream, from however many DATA, or how the stream ended
    /// instead. What came of a frame that is cut stays for
    /// [`read_stream_to_end`](Http2Peer::read_stream_to_end).
    ///
    /// # Errors
    /// How it ended.
    ///
    /// # Panics
    /// If the frame is masked, or HEADERS come.
    pub fn try_read_ws(&mut self, stream: u32) -> Result<Frame, StreamEnd> {
        loop {
            let bytes = &mut self.stream(stream).bytes;
            if let Some((frame, len)) = Frame::parse(bytes) {
                assert!(bytes[1] & 0x80 == 0, "the server masked a frame: {frame:?}");
                bytes.drain(..len);
                return Ok(frame);
            }
            self.gather(stream)?;
        }
    }

    /// The next WebSocket frame of a stream, from however many DATA.
    ///
    /// # Panics
    /// If the stream ends without one.
    pub fn read_ws(&mut self, stream: u32) -> Frame {
        self.try_read_ws(stream).unwrap_or_else(|end| {
            let rest = &self.stream(stream).bytes;
            panic!("{end:?} instead of a WebSocket frame on stream {stream}, after {rest:x?}")
        })
    }

    /// All data up to the end of a stream, and which end it was.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    pub fn read_stream_to_end(&mut self, stream: u32) -> StreamRest {
        loop {
            if let Err(end) = self.gather(stream) {
                return StreamRest { bytes: std::mem::take(&mut self.stream(stream).bytes), end };
            }
        }
    }

    /// Answers the Close that comes next on a stream with the same Close and END_STREAM, hears
    /// the server out on that stream, and gives the Close.
    ///
    /// # Panics
    /// If something else comes, or if the stream does not end with END_STREAM.
    pub fn read_ws_to_end_answering(&mut self, stream: u32) -> Frame {
        let close = self.read_ws(stream);
        assert_eq!(close.opcode, 0x8, "{close:?}");
        self.send_ws_all_and_end(stream, std::slice::from_ref(&close));
        let rest = self.read_stream_to_end(stream);
        assert_eq!(rest, StreamRest { bytes: vec![], end: StreamEnd::EndStream });
        close
    }

    /// Takes the next data of a stream over.
    fn gather(&mut self, stream: u32) -> Result<(), StreamEnd> {
        match self.next_part(stream)? {
            Http2Frame::Data { bytes, .. } => self.stream(stream).bytes.extend(bytes),
            Http2Frame::Headers { fields, .. } => panic!("no data, but HEADERS: {fields:?}"),
            _ => {}
        }
        Ok(())
    }
}

/// The bytes of frames as a client sends them.
fn masked(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::masked).collect()
}
