//! How a request is answered by the application: [`Accept`], or any HTTP response.

use adieu_proto::{HandshakeError, Negotiated, Request};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING, UPGRADE};
use http::{Extensions, HeaderName, HeaderValue, StatusCode};

/// A request is accepted: with fields in the 101, a subprotocol, and values for the handler.
///
/// ```
/// use adieu::{Accept, Socket, http::{HeaderValue, header::SET_COOKIE}};
///
/// #[derive(Clone)]
/// struct User { name: String }
///
/// let accept = Accept::new()
///     .header(SET_COOKIE, HeaderValue::from_static("seen=1; HttpOnly"))
///     .subprotocol("chat.v2")
///     .extension(User { name: "Ann".into() });
///
/// async fn handler(socket: Socket) {
///     let user: Option<&User> = socket.extensions().get();
///     println!("hello, {}", user.map_or("stranger", |user| &user.name));
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Accept {
    fields: HeaderMap,
    subprotocol: Option<String>,
    extensions: Extensions,
}

impl Accept {
    /// As the [`Endpoint`](crate::Endpoint) says, with nothing of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field to the 101, such as `Set-Cookie`. The fields of the handshake itself
    /// (`Connection`, `Upgrade`, `Sec-WebSocket-…`) and those of a body are not the application's
    /// to set: they are left out, and an error is logged.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if is_the_handshakes(&name) {
            tracing::error!("{name} is a field of the handshake itself: Accept leaves it out");
        } else {
            self.fields.append(name, value);
        }
        self
    }

    /// Agrees on this subprotocol (RFC 6455 §1.9), whatever the endpoint would choose. One that the
    /// client has not offered is left out, and an error is logged: it would fail the connection
    /// (§4.1).
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Leaves a value for the handler, one of each type:
    /// [`Socket::extensions`](crate::Socket::extensions). It is kept as long as the connection.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Puts the subprotocol into what was negotiated; gives the fields and the values.
    pub(crate) fn apply(self, request: &Request, to: &mut Negotiated) -> (HeaderMap, Extensions) {
        if let Some(name) = self.subprotocol {
            if request.subprotocols().any(|offer| offer == name) {
                to.subprotocol = Some(name);
            } else {
                tracing::error!("the client has not offered the subprotocol that was accepted");
            }
        }
        (self.fields, self.extensions)
    }
}

fn is_the_handshakes(name: &HeaderName) -> bool {
    [CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
        || name.as_str().starts_with("sec-websocket-")
        || name.as_str().starts_with("websocket-")
}

/// The fields as the protocol takes them.
pub(crate) fn fields(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let fields = fields.iter();
    fields.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// What refuses a request: an [`http::Response`] with a status, headers and a body that turns into
/// [`Bytes`], such as a `String`; or a [`StatusCode`] alone.
///
/// ```
/// use adieu::IntoRefusal;
/// use adieu::http::{Response, StatusCode};
/// assert_eq!(StatusCode::UNAUTHORIZED.into_refusal().status(), 401);
/// let refusal = Response::builder().status(401).header("WWW-Authenticate", "Basic");
/// assert_eq!(refusal.body("sign in first").unwrap().into_refusal().body().len(), 13);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not refuse a request",
    label = "expected an `http::Response<B>` where `B: Into<Bytes>`, or an `http::StatusCode`",
    note = "`http::Response::builder().status(401).body(\"sign in first\")` is a refusal; so is \
            `http::StatusCode::UNAUTHORIZED`"
)]
pub trait IntoRefusal {
    /// The whole response.
    fn into_refusal(self) -> http::Response<Bytes>;
}

impl<B: Into<Bytes>> IntoRefusal for http::Response<B> {
    fn into_refusal(self) -> http::Response<Bytes> {
        self.map(Into::into)
    }
}

/// The body is the status in words.
impl IntoRefusal for StatusCode {
    fn into_refusal(self) -> http::Response<Bytes> {
        let mut response = http::Response::new(format!("{self}\n").into());
        *response.status_mut() = self;
        response
    }
}

/// A response that can be sent: a status that is final, and no field that says how the body is
/// framed. Gives what is reported as well.
pub(crate) fn checked(mut refusal: http::Response<Bytes>) -> (HandshakeError, Refusal) {
    if refusal.status().is_informational() {
        tracing::error!("status {} refuses nothing: the peer is told 500", refusal.status());
        refusal = StatusCode::INTERNAL_SERVER_ERROR.into_refusal();
    }
    refusal.headers_mut().remove(CONTENT_LENGTH);
    refusal.headers_mut().remove(TRANSFER_ENCODING);
    (HandshakeError::Refused(refusal.status().as_u16()), refusal)
}

/// A response that was [`checked`].
pub(crate) type Refusal = http::Response<Bytes>;

/// A refusal as it goes over the transport; the connection ends behind it.
pub(crate) fn to_bytes(refusal: &Refusal) -> Vec<u8> {
    let status = refusal.status();
    let mut out = Vec::with_capacity(256 + refusal.body().len());
    let reason = status.canonical_reason().unwrap_or("Refused");
    out.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in refusal.headers().iter().filter(|(name, _)| **name != CONNECTION) {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    // RFC 9110 §8.6, §15.4.5: these have no body.
    let has_body = ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    if has_body {
        let length = refusal.body().len();
        out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    out.extend_from_slice(b"connection: close\r\n\r\n");
    if has_body {
        out.extend_from_slice(refusal.body());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_the_handshake_are_not_the_applications() {
        let value = HeaderValue::from_static("x");
        let names = [CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING];
        let ours = ["sec-websocket-accept", "sec-websocket-extensions", "websocket-origin"];
        let names = names.into_iter().chain(ours.map(HeaderName::from_static));
        let accept = names.fold(Accept::new(), |accept, name| accept.header(name, value.clone()));
        assert!(accept.fields.is_empty(), "{accept:?}");
    }

    #[test]
    fn a_refusal_is_sent_whole_and_framed_by_us() {
        let refusal = http::Response::builder()
            .status(401)
            .header("www-authenticate", "Basic")
            .header("content-length", "9999")
            .header("transfer-encoding", "chunked")
            .header("connection", "keep-alive")
            .body("sign in");
        let (error, refusal) = checked(refusal.unwrap().into_refusal());
        assert_eq!(error, HandshakeError::Refused(401));
        let text = String::from_utf8(to_bytes(&refusal)).unwrap();
        let want = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 7\r\n\
                    connection: close\r\n\r\nsign in";
        assert_eq!(text, want);
        let (_, empty) =
            checked(http::Response::builder().status(204).body("x").unwrap().into_refusal());
        let text = String::from_utf8(to_bytes(&empty)).unwrap();
        assert_eq!(text, "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    }

    #[test]
    fn a_status_that_ends_nothing_is_told_as_500() {
        for status in [100, 101, 103] {
            let refusal = http::Response::builder().status(status).body("").unwrap();
            assert_eq!(checked(refusal.into_refusal()).0, HandshakeError::Refused(500));
        }
    }
}
