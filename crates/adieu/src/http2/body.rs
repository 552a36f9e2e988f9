//! The body of an ordinary request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

/// The body of a request that came over HTTP/2. It is read as the application asks for it; what is
/// not asked for stays with the client (RFC 9113 §5.2).
#[derive(Debug)]
pub struct RequestBody {
    /// `None`: there is no body.
    recv: Option<RecvStream>,
    data_is_over: bool,
    length: Option<u64>,
    /// The client waits to be told that its body is wanted (RFC 9110 §10.1.1).
    wanted: Option<oneshot::Sender<()>>,
}

impl RequestBody {
    /// Of a request without one.
    pub(super) fn none() -> Self {
        RequestBody { recv: None, data_is_over: true, length: Some(0), wanted: None }
    }

    pub(super) fn new(
        recv: RecvStream,
        length: Option<u64>,
        wanted: Option<oneshot::Sender<()>>,
    ) -> Self {
        RequestBody { recv: Some(recv), data_is_over: false, length, wanted }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let body = self.get_mut();
        if let Some(wanted) = body.wanted.take() {
            let _ = wanted.send(());
        }
        let Some(recv) = &mut body.recv else { return Poll::Ready(None) };
        if !body.data_is_over {
            match ready!(recv.poll_data(cx)) {
                Some(Ok(data)) => {
                    body.length = body.length.map(|left| left.saturating_sub(data.len() as u64));
                    // What fails here is said by the next frame.
                    let _ = recv.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => body.data_is_over = true,
            }
        }
        let trailers = ready!(recv.poll_trailers(cx))?;
        body.recv = None;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.recv.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
