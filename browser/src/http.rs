//! An HTTP/1.1 client of one request per connection: enough for WebDriver and for `GET /endings`.
//!
//! Both servers run on this machine and answer with a length, in chunks, or until they close. One
//! connection per request makes the deadline simple and leaves no state to go stale.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::wait::Timed;

/// No answer read here comes near this: a screenshot has a few megabytes.
const MAX_BODY: u64 = 64 << 20;

/// An answer: its status and its whole body.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, unchunked.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not JSON.
    pub fn json(&self, from: &str) -> Result<Value> {
        serde_json::from_slice(&self.body).map_err(|e| {
            Error::malformed(from, format!("{e}: {}", String::from_utf8_lossy(&self.body)))
        })
    }
}

/// Sends one request and reads the whole answer, all within `limit`.
///
/// # Errors
/// [`Error::Io`] if the server cannot be reached or is too slow, [`Error::Malformed`] if it does
/// not speak HTTP/1.
pub fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
    limit: Duration,
) -> Result<Response> {
    ask(server, None, method, path, body, limit)
}

/// The same, over TLS if it is given what TLS needs.
pub(crate) fn ask(
    server: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    method: &str,
    path: &str,
    body: Option<&Value>,
    limit: Duration,
) -> Result<Response> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let context = || format!("{method} {scheme}://{server}{path}");
    let stream = TcpStream::connect_timeout(&server, limit).map_err(Error::io(context()))?;
    let timed = Timed { stream: &stream, deadline: Instant::now() + limit };
    let bytes = serialize(server, method, path, body);
    let answer = match tls {
        None => exchange(timed, &bytes),
        Some(tls) => over_tls(server, tls, timed).and_then(|stream| exchange(stream, &bytes)),
    };
    answer.map_err(Error::io(context()))
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Response> {
    stream.write_all(request)?;
    stream.flush()?;
    read_response(&mut BufReader::new(stream))
}

fn over_tls<'a>(
    server: SocketAddr,
    tls: &Arc<ClientConfig>,
    stream: Timed<'a>,
) -> io::Result<StreamOwned<ClientConnection, Timed<'a>>> {
    let name = ServerName::IpAddress(server.ip().into());
    let client = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(client, stream))
}

fn serialize(server: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn read_response(from: &mut impl BufRead) -> io::Result<Response> {
    let status_line = read_line(from)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| invalid(format!("not a status line: {status_line:?}")))?;
    let (mut length, mut chunked) = (None, false);
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<u64>().ok(),
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let body = if chunked { read_chunks(from)? } else { read_sized(from, length)? };
    Ok(Response { status, body })
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.take(64 << 10).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// Without a length the body lasts until the server closes.
fn read_sized(from: &mut impl BufRead, length: Option<u64>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    from.take(length.unwrap_or(MAX_BODY).min(MAX_BODY)).read_to_end(&mut body)?;
    match length {
        Some(length) if (body.len() as u64) < length => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(body),
    }
}

fn read_chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(from)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16)
            .map_err(|_| invalid(format!("not a chunk size: {line:?}")))?;
        body.extend(read_sized(from, Some(size))?);
        read_line(from)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn invalid(detail: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Response> {
        read_response(&mut text.as_bytes())
    }

    #[test]
    fn reads_a_body_of_a_given_length() {
        let response = read("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nhix").unwrap();
        assert_eq!((response.status, response.body.as_slice()), (404, b"hi".as_slice()));
    }

    #[test]
    fn reads_chunks() {
        let text =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x\r\n!\r\n0\r\n\r\n";
        assert_eq!(read(text).unwrap().body, b"hi!");
    }

    #[test]
    fn a_cut_body_is_an_error() {
        let cut = read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi").unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn without_a_length_the_body_lasts_until_the_end() {
        assert_eq!(read("HTTP/1.0 200 OK\r\n\r\nall of it").unwrap().body, b"all of it");
    }
}
