//! [`Stream`] and [`Sink`] of the `futures` ecosystem.
//!
//! The items of the stream are messages, not results: a connection that ends is no error here, so
//! there is none to give ([`Socket::recv`]). Code that expects results, as
//! `StreamExt::forward` does, has them by `.map(Ok)`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use adieu_proto::{Cause, CloseCode, Message};
use futures_core::Stream;
use futures_sink::Sink;

use crate::closed::Closed;
use crate::link::Link;
use crate::socket::permit::{Permit, reserve};
use crate::socket::{Receiver, Sender, Socket};

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;

/// How far one handle is as a sink. A clone of a handle begins anew.
#[derive(Default)]
pub(super) struct Slot(Option<Box<Progress>>);

enum Progress {
    /// It waits for room.
    Reserving(Waiting<Result<Permit, Closed>>),
    /// It has room for one message.
    Reserved(Permit),
    /// It waits for the end.
    Ending(Waiting<()>),
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        Slot::default()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl Slot {
    fn poll_ready(&mut self, link: &Arc<Link>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut reserving = match self.0.take().map(|progress| *progress) {
            Some(Progress::Reserved(permit)) if link.may_send() => {
                self.0 = Some(Box::new(Progress::Reserved(permit)));
                return Poll::Ready(Ok(()));
            }
            Some(Progress::Reserving(reserving)) => reserving,
            _ => {
                let link = link.clone();
                Box::pin(async move { reserve(&link).await })
            }
        };
        match reserving.as_mut().poll(cx) {
            Poll::Ready(Ok(permit)) => {
                self.0 = Some(Box::new(Progress::Reserved(permit)));
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(closed)) => Poll::Ready(Err(closed)),
            Poll::Pending => {
                self.0 = Some(Box::new(Progress::Reserving(reserving)));
                Poll::Pending
            }
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Closed> {
        match self.0.take().map(|progress| *progress) {
            Some(Progress::Reserved(permit)) => permit.send(message),
            _ => panic!("`start_send` was called before `poll_ready` had given room"),
        }
    }

    /// `discard`: whether messages that still come are dropped.
    fn poll_close(&mut self, link: &Arc<Link>, cx: &mut Context<'_>, discard: bool) -> Poll<()> {
        if !matches!(self.0.as_deref(), Some(Progress::Ending(_))) {
            link.close(Cause::Application, CloseCode::NORMAL.into());
            let link = link.clone();
            let ending = async move { drop(link.ended(discard).await) };
            self.0 = Some(Box::new(Progress::Ending(Box::pin(ending))));
        }
        if let Some(Progress::Ending(ending)) = self.0.as_deref_mut() {
            ready!(ending.as_mut().poll(cx));
        }
        self.0 = None;
        Poll::Ready(())
    }
}

impl Stream for Receiver {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_recv(cx)
    }
}

/// As [`recv`](Socket::recv): messages, and `None` at the end.
///
/// ```
/// use adieu::{Closed, Socket};
/// use futures_util::{SinkExt, StreamExt};
///
/// async fn echo(socket: Socket) -> Result<(), Closed> {
///     let (sender, receiver) = socket.split();
///     receiver.map(Ok).forward(sender).await
/// }
/// ```
impl Stream for Socket {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.receiver.poll_recv(cx)
    }
}

/// `poll_ready` reserves room for one message, as [`reserve`](Sender::reserve) does, and keeps it
/// until `start_send` or until the handle is dropped. `poll_flush` has nothing to wait for: the
/// connection's own task writes what was sent, and the [`Ending`](crate::Ending) counts what did
/// not leave. `poll_close` closes with 1000, unless the connection is closing already, and waits
/// for the end; messages that come meanwhile go to the receiving half, if it reads.
impl<M: Into<Message>> Sink<M> for Sender {
    type Error = Closed;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let link = self.link().clone();
        self.sink.poll_ready(&link, cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: M) -> Result<(), Closed> {
        self.sink.start_send(message.into())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let link = self.link().clone();
        self.sink.poll_close(&link, cx, false).map(Ok)
    }
}

/// As that of [`Sender`]. `poll_close` drops messages that still come, as
/// [`close`](Socket::close) does.
impl<M: Into<Message>> Sink<M> for Socket {
    type Error = Closed;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let Socket { receiver, sink } = &mut *self;
        sink.poll_ready(receiver.link(), cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: M) -> Result<(), Closed> {
        self.sink.start_send(message.into())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let Socket { receiver, sink } = &mut *self;
        sink.poll_close(receiver.link(), cx, true).map(Ok)
    }
}
