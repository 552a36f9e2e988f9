//! What the client says.

use super::*;

impl Http2Peer {
    pub(in crate::http2) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(joined) = &mut self.joined {
            joined.extend_from_slice(bytes);
            return Ok(());
        }
        self.layer.write_all(bytes)?;
        self.layer.flush()
    }

    /// Writes raw bytes. They are not counted in the windows.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes.as_ref()).expect("bytes that leave");
    }

    /// Sends a frame as it is, allowed or not, and whatever the windows are.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn send_raw(&mut self, frame: &RawFrame) {
        self.try_send_raw(frame).expect("a frame that leaves");
    }

    /// Sends a frame to a server that may have gone; whether it left.
    pub(in crate::http2) fn try_send_raw(&mut self, frame: &RawFrame) -> io::Result<()> {
        self.note_sent(frame);
        self.try_write(&frame.bytes())
    }

    /// Sends a frame of any type, flags and stream.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn send_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) {
        self.send_raw(&RawFrame::new(kind, flags, stream, payload));
    }

    /// Everything that `say` sends leaves in one write: in one segment, if it fits there. Nothing
    /// can be read meanwhile.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn together<R>(&mut self, say: impl FnOnce(&mut Self) -> R) -> R {
        if self.joined.is_some() {
            return say(self);
        }
        self.joined = Some(Vec::new());
        let result = say(self);
        let bytes = self.joined.take().unwrap_or_default();
        self.send_bytes(bytes);
        result
    }

    /// The same, and the last segment carries a FIN: the server hears of both at once.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn together_with_fin(&mut self, say: impl FnOnce(&mut Self)) {
        SockRef::from(self.tcp.stream()).set_tcp_cork(true).expect("TCP_CORK");
        self.together(say);
        self.tcp.fin();
    }

    /// Sends SETTINGS. For what the server sends, they hold from its acknowledgement on.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_settings(&mut self, settings: &[(u16, u32)]) {
        self.send_raw(&RawFrame::settings(settings));
    }

    /// Sends a PING and reads until its acknowledgement, which is not kept. What the server sent
    /// before that is in the queue then: a test need not wait to see that nothing came.
    ///
    /// # Panics
    /// If no acknowledgement comes.
    pub fn ping_and_wait(&mut self) {
        self.pings += 1;
        let payload = self.pings.to_be_bytes();
        self.send_frame(kind::PING, 0, 0, payload);
        let started = Instant::now();
        loop {
            if let Err(end) = self.take_in(started) {
                panic!("{end:?} instead of an answer to a PING, after {}", self.shown());
            }
            if self.queue.back() == Some(&Http2Frame::Ping { ack: true, payload }) {
                self.queue.pop_back();
                return;
            }
        }
    }

    /// From now on it answers neither SETTINGS nor PING by itself.
    pub fn stop_answering(&mut self) {
        (self.acknowledges, self.answers_pings) = (false, false);
    }

    /// A number for a new stream.
    pub fn new_stream(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        stream
    }

    /// Sends HEADERS, with CONTINUATION frames if one frame is not enough.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_headers<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        stream: u32,
        fields: &[(N, V)],
        end_stream: bool,
    ) {
        let largest = self.settings.max_frame_size as usize;
        self.send_field_block(stream, &hpack::encode(fields), end_stream, largest);
    }

    /// Sends a field block, cut into pieces of so many bytes: HEADERS, then CONTINUATION frames,
    /// in one write.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_field_block(&mut self, stream: u32, block: &[u8], end_stream: bool, piece: usize) {
        let end = if end_stream { flag::END_STREAM } else { 0 };
        let pieces: Vec<&[u8]> = block.chunks(piece).collect();
        let last = pieces.len().saturating_sub(1);
        self.together(|peer| {
            if pieces.is_empty() {
                peer.send_frame(kind::HEADERS, flag::END_HEADERS | end, stream, "");
            }
            for (i, piece) in pieces.into_iter().enumerate() {
                let (kind, end) =
                    if i == 0 { (kind::HEADERS, end) } else { (kind::CONTINUATION, 0) };
                let whole = if i == last { flag::END_HEADERS } else { 0 };
                peer.send_frame(kind, end | whole, stream, piece);
            }
        });
    }

    /// Sends DATA: as many frames as the windows and the server's largest frame demand, one if
    /// they allow it. Where a window is exhausted, it reads until the server has given more.
    ///
    /// # Panics
    /// If the stream ends before, or in [`together`](Http2Peer::together) if it would have to
    /// wait.
    pub fn send_data(&mut self, stream: u32, bytes: impl AsRef<[u8]>, end_stream: bool) {
        self.try_send_data(stream, bytes, end_stream)
            .unwrap_or_else(|end| panic!("{end:?} before all data was sent on stream {stream}"));
    }

    /// The same on a stream that the server may end before.
    ///
    /// # Errors
    /// How it ended while there was no window.
    ///
    /// # Panics
    /// In [`together`](Http2Peer::together) if it would have to wait.
    pub fn try_send_data(
        &mut self,
        stream: u32,
        bytes: impl AsRef<[u8]>,
        end_stream: bool,
    ) -> Result<(), StreamEnd> {
        let started = Instant::now();
        let mut rest = bytes.as_ref();
        loop {
            let window = if self.ignores_windows { i64::MAX } else { self.send_window(stream) };
            let most = usize::try_from(window.max(0)).unwrap_or(usize::MAX);
            let len = rest.len().min(most).min(self.settings.max_frame_size as usize);
            let last = len == rest.len();
            if last || len > 0 {
                let flags = if last && end_stream { flag::END_STREAM } else { 0 };
                let frame = RawFrame::new(kind::DATA, flags, stream, &rest[..len]);
                if self.try_send_raw(&frame).is_err() {
                    return Err(StreamEnd::Connection(TcpEnd::Reset));
                }
                rest = &rest[len..];
            }
            if last {
                return Ok(());
            }
            if len == 0 {
                if let Some(end) = self.why_no_window_comes(stream) {
                    return Err(end);
                }
                self.take_in(started).map_err(StreamEnd::Connection)?;
            }
        }
    }

    pub(in crate::http2) fn why_no_window_comes(&self, stream: u32) -> Option<StreamEnd> {
        let reset = self.streams.get(&stream).and_then(|stream| stream.reset);
        reset.map(StreamEnd::Reset).or_else(|| self.not_processed(stream))
    }
}
