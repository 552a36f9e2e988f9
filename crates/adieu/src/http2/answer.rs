//! One request of a connection: it goes to the service, and the response goes back; a WebSocket
//! goes on from there.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::service::Service;
use tokio::sync::oneshot;

use super::below::{Below, BelowStream};
use super::body::RequestBody;
use super::{BoxError, ResponseBody};
use crate::transport::{AnyTransport, Http2Stream};

/// Fields of a connection of HTTP/1.1, which HTTP/2 does not have (RFC 9113 §8.2.2).
const OF_HTTP_1: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// In the extensions of an extended CONNECT for a WebSocket: where its stream will come from, when
/// the response has gone out.
#[derive(Clone)]
pub(crate) struct Opening(Arc<Mutex<Option<oneshot::Receiver<AnyTransport>>>>);

impl Opening {
    fn new() -> (oneshot::Sender<AnyTransport>, Self) {
        let (stream, opening) = oneshot::channel();
        (stream, Opening(Arc::new(Mutex::new(Some(opening)))))
    }

    /// Takes it: the WebSocket is accepted.
    pub(crate) fn take(&self) -> Option<oneshot::Receiver<AnyTransport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whether a request is an extended CONNECT for a WebSocket that came over our HTTP/2.
pub(crate) fn is_websocket(extensions: &http::Extensions) -> bool {
    extensions.get::<Opening>().is_some()
}

/// What a request is.
enum Asked {
    /// An extended CONNECT for a WebSocket (RFC 8441).
    WebSocket,
    /// A CONNECT that is none: for a tunnel, or for another protocol.
    OtherConnect,
    Ordinary,
}

fn asked<B>(request: &Request<B>) -> Asked {
    if request.method() != Method::CONNECT {
        return Asked::Ordinary;
    }
    match request.extensions().get::<h2::ext::Protocol>() {
        Some(protocol) if protocol.as_str() == "websocket" => Asked::WebSocket,
        _ => Asked::OtherConnect,
    }
}

/// Answers one request.
pub(super) async fn answer<S, B>(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    service: &S,
    below: &Arc<Below>,
) where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: ResponseBody,
{
    let is_head = request.method() == Method::HEAD;
    if names_two_hosts(&request) {
        return answer_without_body(respond, StatusCode::BAD_REQUEST);
    }
    match asked(&request) {
        Asked::Ordinary => {
            let (request, mut wanted) = ordinary(request);
            let Some(response) = served(service, request, &mut respond, wanted.as_mut()).await
            else {
                return;
            };
            send(respond, response, is_head, below).await;
        }
        Asked::WebSocket => open(request, respond, service, below).await,
        Asked::OtherConnect => answer_without_body(respond, StatusCode::NOT_IMPLEMENTED),
    }
}

/// An extended CONNECT for a WebSocket: its stream goes on behind a response of 200.
async fn open<S, B>(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    service: &S,
    below: &Arc<Below>,
) where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: ResponseBody,
{
    let (stream, opening) = Opening::new();
    let (mut parts, recv) = request.into_parts();
    parts.extensions.insert(opening.clone());
    with_host(&mut parts);
    with_one_cookie(&mut parts.headers);
    let request = Request::from_parts(parts, RequestBody::none());
    let Some(response) = served(service, request, &mut respond, None).await else { return };
    let accepted = opening.take().is_none();
    if !accepted || response.status() != StatusCode::OK {
        return send(respond, refusal(response), false, below).await;
    }
    let (mut parts, _) = response.into_parts();
    strip(&mut parts.headers);
    with_date(&mut parts.headers);
    let below_stream = below.open(respond.stream_id().as_u32());
    let Ok(send) = respond.send_response(Response::from_parts(parts, ()), false) else {
        below.forget(recv.stream_id().as_u32());
        return;
    };
    let transport = Http2Stream::new(send, recv, below.clone(), below_stream);
    // Where nobody waits for it, the stream is reset.
    let _ = stream.send(AnyTransport::Http2(Box::new(transport)));
}

/// A successful response opens a WebSocket (RFC 8441 §5): one that was not meant so must not say
/// it.
fn refusal<B>(mut response: Response<B>) -> Response<B> {
    if response.status().is_success() {
        tracing::debug!("a request for a WebSocket was answered like one for a page: told as 501");
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    }
    response
}

/// The request as the service gets it.
fn ordinary(request: Request<RecvStream>) -> (Request<RequestBody>, Option<oneshot::Receiver<()>>) {
    let (mut parts, recv) = request.into_parts();
    with_host(&mut parts);
    with_one_cookie(&mut parts.headers);
    let length = parts.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let waits = parts.headers.get(header::EXPECT);
    let waits = waits.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let (wanted, is_wanted) = if waits && !recv.is_end_stream() {
        let (wanted, is_wanted) = oneshot::channel();
        (Some(wanted), Some(is_wanted))
    } else {
        (None, None)
    };
    let body = match recv.is_end_stream() {
        true => RequestBody::none(),
        false => RequestBody::new(recv, length, wanted),
    };
    (Request::from_parts(parts, body), is_wanted)
}

fn answer_without_body(mut respond: SendResponse<Bytes>, status: StatusCode) {
    if let Ok(response) = Response::builder().status(status).body(()) {
        let _ = respond.send_response(response, true);
    }
}

/// Whether a request has a Host that is another one than its `:authority`: such a request is
/// malformed (RFC 9113 §8.3.1), for what checks one of them would not see the other.
fn names_two_hosts<B>(request: &Request<B>) -> bool {
    let Some(authority) = request.uri().authority() else { return false };
    let hosts = request.headers().get_all(header::HOST).iter();
    let mut others =
        hosts.filter(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()));
    others.next().is_some()
}

/// HTTP/2 names the host in `:authority` (RFC 9113 §8.3.1). Applications look for it in Host.
fn with_host(parts: &mut http::request::Parts) {
    if parts.headers.contains_key(header::HOST) {
        return;
    }
    let host = parts.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(host)) = host {
        parts.headers.insert(header::HOST, host);
    }
}

/// Over HTTP/2 browsers send each cookie in a field of its own. Applications look for one field
/// (RFC 9113 §8.2.3).
fn with_one_cookie(fields: &mut HeaderMap) {
    let cookies: Vec<_> =
        fields.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1 {
        if let Ok(all) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
            fields.insert(header::COOKIE, all);
        }
    }
}

/// What the service answers; `None` if the client has reset the stream before that, or the service
/// has failed.
async fn served<S, B>(
    service: &S,
    request: Request<RequestBody>,
    respond: &mut SendResponse<Bytes>,
    mut wanted: Option<&mut oneshot::Receiver<()>>,
) -> Option<Response<B>>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    let mut answering = std::pin::pin!(service.call(request));
    loop {
        let is_wanted = async {
            match wanted.as_mut() {
                Some(wanted) => wanted.await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answering.as_mut() => return match answer {
                Ok(response) => Some(response),
                Err(error) => {
                    tracing::debug!("a service has failed: {}", error.into());
                    respond.send_reset(Reason::INTERNAL_ERROR);
                    None
                }
            },
            reset = poll_fn(|cx| respond.poll_reset(cx)) => {
                tracing::trace!("the client has given up its request: {reset:?}");
                return None;
            }
            wants = is_wanted => {
                wanted = None;
                let response = Response::builder().status(StatusCode::CONTINUE).body(());
                if let (true, Ok(response)) = (wants, response) {
                    let _ = respond.send_informational(response);
                }
            }
        }
    }
}

/// Sends a response and its body.
async fn send<B>(
    mut respond: SendResponse<Bytes>,
    response: Response<B>,
    is_head: bool,
    below: &Below,
) where
    B: ResponseBody,
{
    let (mut parts, body) = response.into_parts();
    strip(&mut parts.headers);
    with_date(&mut parts.headers);
    let status = parts.status;
    let without_body = is_head
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let ends = without_body || body.is_end_stream();
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6.
        parts.headers.remove(header::CONTENT_LENGTH);
    } else if !ends {
        with_length(&mut parts.headers, body.size_hint().exact());
    }
    let response = Response::from_parts(parts, ());
    let id = respond.stream_id().as_u32();
    if let (Ok(stream), false) = (respond.send_response(response, ends), ends) {
        let below_stream = below.open(id);
        send_body(stream, body, &below_stream).await;
        below.forget(id);
    }
}

/// Sends a body as the client takes it.
async fn send_body<B>(mut stream: SendStream<Bytes>, body: B, below_stream: &BelowStream)
where
    B: ResponseBody,
{
    let mut body = std::pin::pin!(body);
    let mut sent = 0;
    loop {
        let frame = tokio::select! {
            biased;
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return,
            frame = poll_fn(|cx| body.as_mut().poll_frame(cx)) => frame,
        };
        let frame = match frame {
            None => {
                let _ = stream.send_data(Bytes::new(), true);
                return;
            }
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                tracing::debug!("a response's body has failed: {}", error.into());
                // The library would drop what waits to leave.
                tokio::select! {
                    _ = poll_fn(|cx| stream.poll_reset(cx)) => {}
                    () = poll_fn(|cx| below_stream.poll_left(cx, sent)) => {}
                }
                return stream.send_reset(Reason::INTERNAL_ERROR);
            }
        };
        match frame.into_data() {
            Ok(mut data) => {
                let data = data.copy_to_bytes(data.remaining());
                sent += data.len() as u64;
                if send_data(&mut stream, data, body.is_end_stream()).await.is_none() {
                    return;
                }
                if body.is_end_stream() {
                    return;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    let _ = stream.send_trailers(trailers);
                    return;
                }
            }
        }
    }
}

/// Sends bytes as the client's window lets them through; `None` if the stream is over.
async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> Option<()> {
    while data.has_remaining() {
        stream.reserve_capacity(data.len());
        let mut room = stream.capacity();
        while room == 0 {
            room = poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
        }
        let part = data.split_to(room.min(data.len()));
        stream.send_data(part, end && data.is_empty()).ok()?;
    }
    Some(())
}

/// Takes out what only HTTP/1.1 has.
fn strip(fields: &mut HeaderMap) {
    for name in &OF_HTTP_1 {
        fields.remove(name);
    }
}

/// RFC 9110 §6.6.1: a server with a clock sends the date.
fn with_date(fields: &mut HeaderMap) {
    if fields.contains_key(header::DATE) {
        return;
    }
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now())) {
        fields.insert(header::DATE, date);
    }
}

fn with_length(fields: &mut HeaderMap, length: Option<u64>) {
    if let Some(length) = length.filter(|_| !fields.contains_key(header::CONTENT_LENGTH)) {
        fields.insert(header::CONTENT_LENGTH, length.into());
    }
}
