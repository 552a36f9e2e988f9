//! What a connection without TLS begins with: HTTP/1.1 or HTTP/2 where it is served, plain HTTP
//! where TLS is, TLS where there is none, and what is neither.

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::door::Guest;

/// What a client is told that speaks plain HTTP to a port of TLS.
// FAQ: tls-plain-http
pub(crate) const WHY: &str =
    "plain HTTP came to a port that speaks TLS: its URL begins with https:// or wss://";

/// How long, and how much, is read of such a client behind the answer: with bytes unread, the
/// system would send an RST, which may overtake the answer.
const LINGER: (Duration, u64) = (Duration::from_secs(2), 64 * 1024);

/// Whether a connection begins like HTTP: with the letters of a method. No record of TLS begins
/// with one. Waits for the first byte.
pub(crate) async fn is_plain_http(tcp: &TcpStream) -> bool {
    let mut first = [0];
    matches!(tcp.peek(&mut first).await, Ok(1)) && first[0].is_ascii_alphabetic()
}

/// The letters with which the preface of HTTP/2 begins (RFC 9113 §3.4); no method does.
const HTTP2: &[u8] = b"PRI";

/// How soon it is looked again at a client that has sent one or two of these letters.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Whether a connection begins like HTTP/2. Waits for as many bytes as tell it.
pub(crate) async fn is_http2(tcp: &TcpStream) -> bool {
    let mut first = [0; HTTP2.len()];
    loop {
        match tcp.peek(&mut first).await {
            Ok(n) if n == HTTP2.len() => return first == HTTP2,
            Ok(n) if n > 0 && first[..n] == HTTP2[..n] => tokio::time::sleep(LOOK_AGAIN).await,
            _ => return false,
        }
    }
}

/// Answers such a client in its own language.
pub(crate) async fn refuse(mut tcp: TcpStream, guest: &Guest) {
    let body = format!("{WHY}\n");
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answered = async {
        tcp.write_all(answer.as_bytes()).await?;
        tcp.shutdown().await?;
        let (length, bytes) = LINGER;
        let _ = tokio::time::timeout(length, drop_all(&mut tcp, bytes)).await;
        io::Result::Ok(())
    };
    tokio::select! {
        _ = answered => {}
        () = guest.has_to_go() => {}
    }
}

async fn drop_all(from: &mut (impl AsyncRead + Unpin), most: u64) {
    let _ = tokio::io::copy(&mut from.take(most), &mut tokio::io::sink()).await;
}

/// What is wrong with the bytes of a client that hyper could not read; `None` where a connection
/// merely ended.
pub(crate) fn is_no_http(error: &hyper::Error, tls: bool) -> Option<Cow<'static, str>> {
    if error.is_parse_too_large() {
        return Some("the head of a request is too long".into());
    }
    if error.is_parse() {
        let hint = if tls { "" } else { "; is it TLS? This port has none: http:// and ws://" };
        return Some(format!("what came is no HTTP/1.1 ({error}){hint}").into());
    }
    let error = error.source()?.downcast_ref::<io::Error>()?;
    (error.kind() == ErrorKind::InvalidData).then(|| format!("TLS failed: {error}").into())
}
