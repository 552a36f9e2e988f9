//! The windows of the client (RFC 9113 §5.2).

use super::*;

impl Http2Peer {
    /// How much may be sent on a stream: the smaller one of its window and the connection's
    /// (stream 0: the connection's). It may be less than zero.
    #[must_use]
    pub fn send_window(&self, stream: u32) -> i64 {
        let initial = i64::from(self.settings.initial_window_size);
        let of_stream = match stream {
            0 => i64::MAX,
            _ => self.streams.get(&stream).map_or(initial, |stream| stream.window.send),
        };
        of_stream.min(self.connection.send)
    }

    /// From now on it sends as if all windows were endless. It still counts them.
    pub fn ignore_windows(&mut self) {
        self.ignores_windows = true;
    }

    /// How much the server may still send on a stream, by that stream's own window (stream 0: by
    /// the connection's).
    #[must_use]
    pub fn receive_window(&self, stream: u32) -> i64 {
        match stream {
            0 => self.connection.receive,
            _ => {
                let initial = i64::from(self.initial_window);
                self.streams.get(&stream).map_or(initial, |stream| stream.window.receive)
            }
        }
    }

    /// From now on it gives no window back by itself, neither for the connection nor for any
    /// stream: what the server sends exhausts its windows.
    pub fn hold_window(&mut self) {
        self.holds_window = true;
    }

    /// The same for one stream only (0: for the connection only).
    pub fn hold_window_of(&mut self, stream: u32) {
        match stream {
            0 => self.connection.held = true,
            _ => self.stream(stream).window.held = true,
        }
    }

    /// Gives the server so much more window for a stream (0: for the connection).
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn give_window(&mut self, stream: u32, increment: u32) {
        self.send_raw(&RawFrame::window_update(stream, increment));
    }

    /// Gives everything back that was held, and holds nothing any more.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn release_window(&mut self) {
        (self.holds_window, self.connection.held) = (false, false);
        self.streams.values_mut().for_each(|stream| stream.window.held = false);
        let open = self.streams.iter().filter(|(_, stream)| !stream.over());
        let of_streams = open.map(|(&id, stream)| (id, stream.window.taken));
        let taken: Vec<_> = [(0, self.connection.taken)].into_iter().chain(of_streams).collect();
        self.together(|peer| {
            for (stream, taken) in taken {
                if taken > 0 {
                    peer.give_window(stream, taken);
                }
            }
        });
    }

    pub(in crate::http2) fn stream(&mut self, stream: u32) -> &mut Stream {
        let (send, receive) = (self.settings.initial_window_size, self.initial_window);
        self.streams.entry(stream).or_insert_with(|| Stream::new(Window::new(send, receive)))
    }

    /// What a frame of ours changes.
    pub(in crate::http2) fn note_sent(&mut self, frame: &RawFrame) {
        let stream = frame.stream;
        match frame.kind {
            kind::DATA if stream != 0 => {
                self.connection.sent(frame.payload.len());
                self.stream(stream).window.sent(frame.payload.len());
            }
            kind::HEADERS if stream != 0 => {
                self.stream(stream);
                if stream % 2 == 1 && stream >= self.next_stream {
                    self.next_stream = stream + 2;
                }
            }
            kind::RST_STREAM if stream != 0 => self.stream(stream).cancelled = true,
            kind::SETTINGS if !frame.has(flag::ACK) => {
                if let Ok(Http2Frame::Settings { settings, .. }) = Http2Frame::read(frame.clone()) {
                    self.note_settings(&settings);
                }
            }
            kind::WINDOW_UPDATE => {
                if let Ok(Http2Frame::WindowUpdate { increment, .. }) =
                    Http2Frame::read(frame.clone())
                {
                    match stream {
                        0 => self.connection.gave(increment),
                        _ => self.stream(stream).window.gave(increment),
                    }
                }
            }
            _ => {}
        }
    }

    pub(in crate::http2) fn note_settings(&mut self, settings: &[(u16, u32)]) {
        let (window, mut max_frame_size) = (self.initial_window, self.max_frame_size);
        for &(id, value) in settings {
            match id {
                setting::INITIAL_WINDOW_SIZE => self.initial_window = value,
                setting::MAX_FRAME_SIZE => max_frame_size = value,
                _ => {}
            }
        }
        // The server may use a larger size at once, and a smaller one from its ACK on.
        self.max_frame_size = self.max_frame_size.max(max_frame_size);
        let window_change = i64::from(self.initial_window) - i64::from(window);
        let last_stream = self.streams.keys().next_back().copied().unwrap_or(0);
        self.sent_settings.push_back(SentSettings { window_change, last_stream, max_frame_size });
    }

    /// What a frame of the server changes, and what it is answered with.
    pub(in crate::http2) fn arrived(&mut self, frame: &Http2Frame, len: usize) {
        match *frame {
            Http2Frame::Data { stream, end_stream, .. } => {
                self.on_stream(frame, end_stream);
                self.count(stream, len, end_stream);
            }
            Http2Frame::Headers { end_stream, .. } => self.on_stream(frame, end_stream),
            Http2Frame::RstStream { stream, code } => {
                let stream = self.stream(stream);
                (stream.reset, stream.server_ended) = (Some(code), true);
            }
            Http2Frame::Settings { ack: true, .. } => {
                if let Some(sent) = self.sent_settings.pop_front() {
                    self.max_frame_size = sent.max_frame_size;
                    for (_, stream) in self.streams.range_mut(..=sent.last_stream) {
                        stream.window.receive += sent.window_change;
                    }
                }
            }
            Http2Frame::Settings { ref settings, .. } => {
                let before = i64::from(self.settings.initial_window_size);
                settings.iter().for_each(|&(id, value)| self.settings.set(id, value));
                let change = i64::from(self.settings.initial_window_size) - before;
                self.streams.values_mut().for_each(|stream| stream.window.send += change);
                if self.acknowledges {
                    self.answer(&RawFrame::new(kind::SETTINGS, flag::ACK, 0, ""));
                }
            }
            Http2Frame::Ping { ack: false, payload } if self.answers_pings => {
                self.answer(&RawFrame::new(kind::PING, flag::ACK, 0, payload));
            }
            Http2Frame::GoAway(ref goaway) => self.goaway = Some(goaway.clone()),
            Http2Frame::WindowUpdate { stream, increment } => {
                assert!(increment > 0, "the server gave a window of 0 for stream {stream}");
                let window = match stream {
                    0 => &mut self.connection,
                    _ => &mut self.stream(stream).window,
                };
                window.send += i64::from(increment);
                let small = window.send <= window::LARGEST;
                assert!(small, "the server gave stream {stream} a window that is too large");
            }
            Http2Frame::Ping { .. } | Http2Frame::Unknown(_) => {}
        }
    }

    /// DATA or HEADERS came.
    pub(in crate::http2) fn on_stream(&mut self, frame: &Http2Frame, end_stream: bool) {
        let stream = self.stream(frame.stream());
        assert!(!stream.server_ended, "the server ended the stream before it sent {frame:?}");
        stream.server_ended = end_stream;
    }

    /// Counts data that came, and gives window back where half of it is used up.
    pub(in crate::http2) fn count(&mut self, stream: u32, len: usize, end_stream: bool) {
        let allowed = self.connection.came(len);
        assert!(allowed, "the server sent more than the window of the connection allowed");
        let allowed = self.stream(stream).window.came(len);
        assert!(allowed, "the server sent more than the window of stream {stream} allowed");
        if self.holds_window {
            return;
        }
        let of_stream = self.stream(stream);
        let open = !end_stream && !of_stream.over();
        let of_stream = if open { of_stream.window.due() } else { 0 };
        for (stream, due) in [(0, self.connection.due()), (stream, of_stream)] {
            if due > 0 {
                self.answer(&RawFrame::window_update(stream, due));
            }
        }
    }

    /// Sends what the peer sends by itself. The server may have gone: the test that reads on will
    /// see that.
    pub(in crate::http2) fn answer(&mut self, frame: &RawFrame) {
        let _ = self.try_send_raw(frame);
    }
}
