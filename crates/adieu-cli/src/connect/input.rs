//! What is read of standard input, in pieces of which each becomes a message.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use adieu::Sender;
use tokio::sync::mpsc;

use super::goodbye::Goodbye;

/// Pieces that were read and not sent yet; more stay with whoever writes them.
const PIECES: usize = 16;

/// Bytes of a line at most, its end apart: no server that is known takes larger messages without
/// being told to.
const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// Bytes of a binary message at most.
const CHUNK: usize = 64 * 1024;

/// A message to be sent.
enum Piece {
    Text(String),
    Binary(Vec<u8>),
}

/// Why the input is not read on.
type Problem = String;

/// Sends what is read, then asks to close.
pub(super) async fn send(sender: Sender, binary: bool, goodbye: Arc<Goodbye>) {
    let mut pieces = read(binary);
    while let Some(piece) = pieces.recv().await {
        let sent = match piece {
            Ok(Piece::Text(text)) => sender.send(text).await,
            Ok(Piece::Binary(bytes)) => sender.send(bytes).await,
            Err(why) => return goodbye.because(why),
        };
        if sent.is_err() {
            return;
        }
    }
    goodbye.say();
}

/// Reads on a thread that the program's end does not wait for.
fn read(binary: bool) -> mpsc::Receiver<Result<Piece, Problem>> {
    let (to, pieces) = mpsc::channel(PIECES);
    let tell = to.clone();
    let reading = std::thread::Builder::new().spawn(move || {
        let mut stdin = io::stdin().lock();
        let next = if binary { next_chunk } else { next_line };
        while let Some(piece) = next(&mut stdin).transpose() {
            let last = piece.is_err();
            if to.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    if let Err(error) = reading {
        let why = format!("the input is not read: the system gives no thread for it ({error})");
        let _ = tell.try_send(Err(why));
    }
    pieces
}

/// The next line without its end; `None` behind the last.
fn next_line(input: &mut impl BufRead) -> Result<Option<Piece>, Problem> {
    line(input, LONGEST_LINE).map(|text| text.map(Piece::Text))
}

fn line(input: &mut impl BufRead, longest: usize) -> Result<Option<String>, Problem> {
    let mut line = Vec::new();
    let end = b"\r\n".len();
    let mut limited = input.take((longest + end) as u64);
    let n = limited.read_until(b'\n', &mut line).map_err(|error| unreadable(&error))?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.len() > longest {
        // FAQ: connect-line-too-long
        return Err(format!("a line of the input is longer than {longest} bytes"));
    }
    let text = String::from_utf8(line).map_err(|_| {
        // FAQ: connect-not-text
        "a line of the input is no UTF-8, which a text has to be; --binary sends bytes".to_owned()
    })?;
    Ok((n > 0).then_some(text))
}

/// What there is; `None` at the end.
fn next_chunk(input: &mut impl BufRead) -> Result<Option<Piece>, Problem> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match input.read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(n) => {
                chunk.truncate(n);
                return Ok(Some(Piece::Binary(chunk)));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
}

fn unreadable(error: &io::Error) -> Problem {
    // FAQ: connect-input
    format!("the input cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_without_their_ends_and_have_a_limit() {
        let mut input = &b"one\r\n\ntwo\xc3\xa9\nlast"[..];
        let mut next = || line(&mut input, 5);
        for want in ["one", "", "twoé", "last"] {
            assert_eq!(next(), Ok(Some(want.to_owned())));
        }
        assert_eq!(next(), Ok(None));
        assert_eq!(line(&mut &b"12345\r\n"[..], 5), Ok(Some("12345".to_owned())));
        assert!(line(&mut &b"123456\n"[..], 5).unwrap_err().contains("longer than 5"));
        assert!(line(&mut &b"123456"[..], 5).is_err() && line(&mut &b"12345678"[..], 5).is_err());
        assert!(line(&mut &b"\xff\n"[..], 5).unwrap_err().contains("--binary"));
    }
}
