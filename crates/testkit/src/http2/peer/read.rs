//! What the client reads.

use super::*;

impl Http2Peer {
    /// Reads once more into the buffer.
    pub(in crate::http2) fn fill(&mut self, started: Instant) -> Result<(), TcpEnd> {
        let left = self.deadline.checked_sub(started.elapsed()).filter(|left| !left.is_zero());
        let Some(left) = left else { panic!("nothing more came, after {}", self.shown()) };
        self.tcp.stream().set_read_timeout(Some(left)).expect("a read time-out");
        let mut chunk = vec![0; 64 * 1024];
        match self.layer.read(&mut chunk) {
            Ok(0) => Err(TcpEnd::Fin),
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            // TLS calls a FIN so that no close_notify came before.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(TcpEnd::Fin),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Err(TcpEnd::Reset),
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::TimedOut => {
                panic!("nothing more came within {:?}, after {}", self.deadline, self.shown())
            }
            Err(e) => panic!("reading failed: {e}"),
        }
    }

    /// What came last, for a message.
    pub(in crate::http2) fn shown(&self) -> String {
        let skipped = self.queue.len().saturating_sub(10);
        let frames: Vec<_> = self.queue.iter().skip(skipped).collect();
        let bytes = &self.buffer[..self.buffer.len().min(200)];
        format!("the frames {frames:?} and the bytes {:?}", String::from_utf8_lossy(bytes))
    }

    /// The next frame as it lies on the wire.
    pub(in crate::http2) fn raw_frame(&mut self, started: Instant) -> Result<RawFrame, TcpEnd> {
        loop {
            if let Some(len) = RawFrame::claimed_len(&self.buffer) {
                let allowed = len <= self.max_frame_size as usize;
                assert!(allowed, "a frame of {len} bytes is too long, after {}", self.shown());
            }
            if let Some((frame, len)) = RawFrame::parse(&self.buffer) {
                self.buffer.drain(..len);
                return Ok(frame);
            }
            self.fill(started)?;
        }
    }

    /// The same with the CONTINUATION frames that belong to it.
    pub(in crate::http2) fn whole_frame(&mut self, started: Instant) -> Result<RawFrame, TcpEnd> {
        let mut frame = self.raw_frame(started)?;
        assert!(frame.kind != kind::CONTINUATION, "the server sent a CONTINUATION of nothing");
        if frame.kind != kind::HEADERS || frame.has(flag::END_HEADERS) {
            return Ok(frame);
        }
        frame.payload = frame.content().unwrap_or_else(|wrong| panic!("{wrong}")).to_vec();
        frame.flags &= flag::END_STREAM;
        loop {
            let next = self.raw_frame(started)?;
            let follows = next.kind == kind::CONTINUATION && next.stream == frame.stream;
            assert!(follows, "{next:?} came in the middle of a field block");
            frame.payload.extend_from_slice(&next.payload);
            if next.has(flag::END_HEADERS) {
                return Ok(frame);
            }
        }
    }

    /// Reads one frame from the wire, lets it have its effect, and puts it into the queue.
    pub(in crate::http2) fn take_in(&mut self, started: Instant) -> Result<(), TcpEnd> {
        assert!(self.joined.is_none(), "nothing can be read while `together` collects");
        if let Some(end) = self.ended {
            return Err(end);
        }
        let raw = self.whole_frame(started).inspect_err(|end| self.ended = Some(*end))?;
        // Padding counts as well.
        let len = raw.payload.len();
        let frame = Http2Frame::read(raw).unwrap_or_else(|wrong| panic!("{wrong}"));
        self.arrived(&frame, len);
        self.queue.push_back(frame);
        Ok(())
    }

    /// The next frame in the order of arrival, or how the server ended the connection instead.
    ///
    /// # Errors
    /// How it ended.
    pub fn try_read_frame(&mut self) -> Result<Http2Frame, TcpEnd> {
        let started = Instant::now();
        loop {
            if let Some(frame) = self.queue.pop_front() {
                return Ok(frame);
            }
            self.take_in(started)?;
        }
    }

    /// The next frame in the order of arrival: of any stream, and of the connection too.
    ///
    /// # Panics
    /// If the server ends the connection without one.
    pub fn read_frame(&mut self) -> Http2Frame {
        self.try_read_frame()
            .unwrap_or_else(|end| panic!("{end:?} instead of a frame, after {}", self.shown()))
    }

    /// The next frame of a stream, or of the connection (0), that is no WINDOW_UPDATE; or how the
    /// stream ended without one. All other frames stay in the queue. What is read here of a
    /// stream, [`read_ws`](Http2Peer::read_ws) and the like do not see any more.
    ///
    /// # Errors
    /// [`StreamEnd::GoAway`] or [`StreamEnd::Connection`]; the other ends of a stream are frames.
    pub fn try_next_for(&mut self, stream: u32) -> Result<Http2Frame, StreamEnd> {
        let wanted = |frame: &Http2Frame| {
            frame.stream() == stream && !matches!(frame, Http2Frame::WindowUpdate { .. })
        };
        if let Some(frame) =
            self.queue.iter().position(wanted).and_then(|place| self.queue.remove(place))
        {
            return Ok(frame);
        }
        let started = Instant::now();
        loop {
            if let Some(end) = self.not_processed(stream) {
                return Err(end);
            }
            self.take_in(started).map_err(StreamEnd::Connection)?;
            if self.queue.back().is_some_and(wanted) {
                return Ok(self.queue.pop_back().expect("the frame that came last"));
            }
        }
    }

    /// The same.
    ///
    /// # Panics
    /// If the stream ends without one.
    pub fn next_for(&mut self, stream: u32) -> Http2Frame {
        self.try_next_for(stream).unwrap_or_else(|end| {
            panic!("{end:?} instead of a frame of stream {stream}, after {}", self.shown())
        })
    }

    /// The frames that have been read from the wire while the test asked for others, in the order
    /// of their arrival.
    pub fn queued(&self) -> impl Iterator<Item = &Http2Frame> {
        self.queue.iter()
    }

    /// Reads frames into the queue until a condition holds, and takes none out of it: a test can
    /// wait for an exhausted window, say, and read the data afterwards.
    ///
    /// # Panics
    /// If the server ends the connection before, or if the condition does not hold within the
    /// deadline.
    pub fn read_until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !condition(self) {
            if let Err(end) = self.take_in(started) {
                panic!("{end:?} before this: {what}; after {}", self.shown());
            }
        }
    }

    /// Everything up to the end of the connection, and which end it was.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    pub fn read_to_end(&mut self) -> Http2Rest {
        let started = Instant::now();
        loop {
            if let Err(end) = self.take_in(started) {
                let (frames, cut) = (self.queue.drain(..).collect(), self.buffer.clone());
                return Http2Rest { frames, cut, end };
            }
        }
    }

    /// The server has said that it does not process this stream.
    pub(in crate::http2) fn not_processed(&self, stream: u32) -> Option<StreamEnd> {
        let goaway = self.goaway.as_ref().filter(|goaway| stream > goaway.last)?;
        Some(StreamEnd::GoAway { last: goaway.last, code: goaway.code })
    }
}
