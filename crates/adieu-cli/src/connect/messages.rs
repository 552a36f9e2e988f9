//! Messages on standard output.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use adieu::Message;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::options::Output;
use crate::escape::{self, Keep};

/// Messages that wait for whoever reads standard output; more stay with the server.
const WAITING: usize = 16;

/// Bytes that are written at a time, so that it is seen whether somebody reads.
const PORTION: usize = 64 * 1024;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Texts as lines, of binary messages the length.
    Lines,
    /// The same, but binary messages as digits.
    Hex,
    /// The bytes of all.
    Raw,
}

/// Writes messages to standard output.
pub(super) struct Messages {
    form: Form,
    /// A terminal gets no control characters.
    escaped: bool,
}

impl Messages {
    pub(super) fn new(options: &Output) -> Self {
        let terminal = io::stdout().is_terminal();
        let form = match (options.binary, options.hex) {
            (true, _) if !terminal => Form::Raw,
            (true, _) | (_, true) => Form::Hex,
            _ => Form::Lines,
        };
        Messages { form, escaped: terminal }
    }

    /// Writes on a thread of its own, for a pipe may be full. The sender is closed when nobody
    /// reads any more; the handle tells that all is written.
    pub(super) fn on_a_thread(self) -> (mpsc::Sender<Message>, JoinHandle<()>, Moves) {
        let (to, mut messages) = mpsc::channel(WAITING);
        let (moved, moves) = watch::channel(());
        let written = spawn_blocking(move || {
            while let Some(message) = messages.blocking_recv() {
                if self.show(&message, &moved).is_err() {
                    return;
                }
            }
        });
        (to, written, Moves(moves))
    }

    fn show(&self, message: &Message, moved: &watch::Sender<()>) -> io::Result<()> {
        let mut out = Portions { out: io::stdout().lock(), moved };
        self.write(&mut out, message)?;
        out.flush()
    }

    fn write(&self, out: &mut impl Write, message: &Message) -> io::Result<()> {
        match (self.form, message.as_text()) {
            (Form::Raw, _) => return out.write_all(message.as_bytes()),
            (_, Some(text)) if self.escaped => escape::write(out, text.as_bytes(), Keep::Lines)?,
            (_, Some(text)) => out.write_all(text.as_bytes())?,
            (Form::Hex, None) => {
                for byte in message.as_bytes() {
                    write!(out, "{byte:02x}")?;
                }
            }
            (Form::Lines, None) => write!(out, "[binary, {} bytes]", message.len())?,
        }
        out.write_all(b"\n")
    }
}

/// Tells whether the output moves.
pub(super) struct Moves(watch::Receiver<()>);

impl Moves {
    /// Waits until nothing was read for so long; for ever, where all is written.
    pub(super) async fn cease(mut self, patience: Duration) {
        while let Ok(moved) = timeout(patience, self.0.changed()).await {
            if moved.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Writes in portions, and tells of each that it left.
struct Portions<'w, W> {
    out: W,
    moved: &'w watch::Sender<()>,
}

impl<W: Write> Write for Portions<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(&bytes[..bytes.len().min(PORTION)])?;
        self.moved.send_replace(());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_writes_texts_and_bytes_in_its_way() {
        let written = |form, escaped| {
            let mut out = Vec::new();
            for message in
                [Message::Text("a\u{1b}b\n".into()), Message::Binary(vec![0, 255, 16].into())]
            {
                Messages { form, escaped }.write(&mut out, &message).unwrap();
            }
            out
        };
        assert_eq!(written(Form::Lines, false), b"a\x1bb\n\n[binary, 3 bytes]\n");
        assert_eq!(written(Form::Lines, true), b"a\\x1bb\n\n[binary, 3 bytes]\n");
        assert_eq!(written(Form::Hex, true), b"a\\x1bb\n\n00ff10\n");
        assert_eq!(written(Form::Raw, false), b"a\x1bb\n\x00\xff\x10");
    }
}
