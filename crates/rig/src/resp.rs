//! A small client for Redis: RESP 2, one connection, blocking.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::DEADLINE;

/// Larger answers are a mistake.
const MOST: usize = 512 * 1024 * 1024;

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status such as `OK`.
    Status(String),
    /// An error, with its code as the first word.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Nothing is there.
    Nil,
    /// A list.
    Array(Vec<Reply>),
}

impl Reply {
    /// A status or bytes as text.
    ///
    /// # Panics
    /// If it is neither.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Reply::Status(text) => text.clone(),
            Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("no text: {other}"),
        }
    }

    /// A number.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    #[track_caller]
    pub fn integer(&self) -> i64 {
        match self {
            Reply::Integer(number) => *number,
            Reply::Status(_) | Reply::Bulk(_) => {
                let text = self.text();
                text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
            }
            other => panic!("no number: {other}"),
        }
    }

    /// The items of a list.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    #[track_caller]
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) => items,
            other => panic!("no list: {other}"),
        }
    }

    /// The text of an error.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        if let Reply::Error(text) = self { Some(text) } else { None }
    }

    /// Whether it is `OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Status(text) if text == "OK")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Status(text) => f.write_str(text),
            Reply::Error(text) => write!(f, "(error) {text}"),
            Reply::Integer(number) => write!(f, "{number}"),
            Reply::Bulk(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Reply::Nil => f.write_str("(nil)"),
            Reply::Array(items) => f.debug_list().entries(items).finish(),
        }
    }
}

/// One connection with a server.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects. Every wait for an answer has the rig's deadline.
    ///
    /// # Errors
    /// If nobody accepts.
    pub fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE)?;
        stream.set_nodelay(true)?;
        let mut connection = Connection(BufReader::new(stream));
        connection.patience(DEADLINE)?;
        Ok(connection)
    }

    /// How long an answer is waited for, and room for a command.
    ///
    /// # Errors
    /// If the time is 0.
    pub fn patience(&mut self, long: Duration) -> io::Result<()> {
        self.0.get_ref().set_read_timeout(Some(long))?;
        self.0.get_ref().set_write_timeout(Some(long))
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// If the connection ends or the time is up: whether the command was executed is not known.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.send(args)?;
        self.answer()
    }

    /// Sends a command; its answer is read later.
    ///
    /// # Errors
    /// If the connection ends or the time is up.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args.iter().map(AsRef::as_ref) {
            bytes.extend(format!("${}\r\n", arg.len()).bytes());
            bytes.extend(arg);
            bytes.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&bytes)
    }

    /// Reads the next answer.
    ///
    /// # Errors
    /// If the connection ends, the time is up, or it is no RESP.
    pub fn answer(&mut self) -> io::Result<Reply> {
        read(&mut self.0)
    }
}

fn read(from: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let Some(line) = line.strip_suffix("\r\n").filter(|line| !line.is_empty()) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| wrong(line))?;
    let number = || rest.parse::<i64>().map_err(|_| wrong(line));
    Ok(match kind {
        "+" => Reply::Status(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Integer(number()?),
        "$" | "*" if number()? == -1 => Reply::Nil,
        "$" => {
            let len = usize::try_from(number()?).ok().filter(|len| *len <= MOST);
            let len = len.ok_or_else(|| wrong(line))?;
            let mut bytes = vec![0; len + 2];
            from.read_exact(&mut bytes)?;
            bytes.truncate(len);
            Reply::Bulk(bytes)
        }
        "*" => Reply::Array((0..number()?).map(|_| read(from)).collect::<io::Result<_>>()?),
        _ => return Err(wrong(line)),
    })
}

fn wrong(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no RESP: {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_every_kind_are_read_one_after_the_other() {
        let mut bytes: &[u8] = b"+OK\r\n-ERR no\r\n:-7\r\n$2\r\n\r\n\r\n$-1\r\n*2\r\n:1\r\n*0\r\n";
        let mut next = || read(&mut bytes).unwrap();
        assert!(next().is_ok());
        assert_eq!(next().error(), Some("ERR no"));
        assert_eq!(next().integer(), -7);
        assert_eq!(next().text(), "\r\n");
        assert_eq!(next(), Reply::Nil);
        assert_eq!(next(), Reply::Array(vec![Reply::Integer(1), Reply::Array(Vec::new())]));
        assert_eq!(read(&mut bytes).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(&mut &b"HTTP/1.1"[..]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(&mut &b"HTTP\r\n"[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
