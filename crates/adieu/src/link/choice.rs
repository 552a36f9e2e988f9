//! Which HTTP a connection speaks, where both are served: by ALPN of TLS (RFC 7301), and without
//! TLS by the preface of HTTP/2 (RFC 9113 §3.4).

use std::task::{Context, Poll, ready};

use adieu_proto::Scratch;
use bytes::Bytes;

use crate::http2::{Carried, PREFACE};
use crate::link::Link;
use crate::link::state::State;
#[cfg(feature = "tls")]
use crate::transport::AnyTransport;
use crate::transport::{Read, Transport};

/// What is known of it.
#[derive(Debug)]
pub(super) enum Choice {
    /// The TLS handshake is under way, or the preface is: what has come of it.
    Awaited(Vec<u8>),
    /// HTTP/2, and what was read of it.
    Http2(Vec<u8>),
}

impl State {
    /// The peer chooses which HTTP it speaks.
    fn expect_choice(&mut self) {
        self.rare.get_or_insert_default().choice = Some(Choice::Awaited(Vec::new()));
    }

    #[inline]
    pub(super) fn awaits_choice(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.choice.is_some())
    }

    /// Goes on with it. Pending for good where it is HTTP/2, which is not read here.
    pub(super) fn read_choice(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let choice = self.rare.as_mut().and_then(|rare| rare.choice.as_mut());
        let Some(Choice::Awaited(first)) = choice else { return Poll::Pending };
        match &mut self.transport {
            #[cfg(feature = "tls")]
            AnyTransport::Tls(tls) => {
                ready!(tls.poll_handshake(cx));
                if tls.speaks_http2() {
                    self.is_http2(Vec::new());
                } else {
                    self.is_http1(scratch);
                }
            }
            transport => {
                let mut next = [0; PREFACE.len()];
                let next = &mut next[first.len()..];
                let read = ready!(transport.poll_read(cx, next));
                let Read::Data(n) = read else {
                    self.is_http1(scratch);
                    self.was_read(read, scratch);
                    return Poll::Ready(());
                };
                first.extend_from_slice(&next[..n]);
                if *first == PREFACE {
                    let first = std::mem::take(first);
                    self.is_http2(first);
                } else if !PREFACE.starts_with(first) {
                    self.is_http1(scratch);
                }
            }
        }
        Poll::Ready(())
    }

    fn is_http2(&mut self, first: Vec<u8>) {
        self.rare.get_or_insert_default().choice = Some(Choice::Http2(first));
    }

    /// What was read to find that out belongs to the connection.
    fn is_http1(&mut self, scratch: &mut Scratch) {
        let choice = self.rare.as_mut().and_then(|rare| rare.choice.take());
        let Some(Choice::Awaited(first)) = choice else { return };
        if first.is_empty() {
            return;
        }
        self.connection.read_buffer(scratch)[..first.len()].copy_from_slice(&first);
        self.was_read(Read::Data(first.len()), scratch);
    }

    fn take_http2(&mut self) -> Option<Carried> {
        let rare = self.rare.as_mut()?;
        let Some(Choice::Http2(first)) = rare.choice.take_if(|it| matches!(it, Choice::Http2(_)))
        else {
            return None;
        };
        Some(Carried::new(self.transport.release(), Bytes::from(first)))
    }
}

impl Link {
    /// The peer chooses which HTTP it speaks.
    pub(crate) fn expect_choice(&self) {
        self.lock().expect_choice();
    }

    /// The transport, if the peer has chosen HTTP/2. The connection is none of ours then.
    pub(super) fn take_http2(&self) -> Option<Carried> {
        self.lock().take_http2()
    }

    /// Whether the peer has chosen HTTP/2.
    pub(super) fn chose_http2(&self) -> bool {
        let state = self.lock();
        let choice = state.rare.as_ref().and_then(|rare| rare.choice.as_ref());
        matches!(choice, Some(Choice::Http2(_)))
    }
}
