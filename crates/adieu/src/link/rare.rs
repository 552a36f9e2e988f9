//! What few connections have: a proxy in front that sends a header, Pings of the application. An
//! idle connection without them pays for one pointer.

use std::task::{Context, Poll, ready};

use adieu_proto::{HandshakeError, Scratch};

use crate::link::pings::Pings;
use crate::link::state::State;
use crate::peer::Peer;
use crate::proxy::{Failed, ProxyHeader};
use crate::transport::{Over, judge};

#[derive(Default)]
pub(super) struct Rare {
    /// What a trusted proxy says in front of the handshake, where one has to.
    proxy_header: Option<Box<ProxyHeader>>,
    /// Which HTTP the peer speaks, until that is known.
    #[cfg(feature = "http2")]
    pub(super) choice: Option<super::choice::Choice>,
    /// The Pings of the application under way.
    pub(super) pings: Pings,
}

impl State {
    /// A trusted proxy has to send its header before anything else.
    pub(super) fn expect_proxy_header(&mut self) {
        let header = Box::new(ProxyHeader::expected());
        self.rare.get_or_insert_default().proxy_header = Some(header);
    }

    #[inline]
    fn proxy_header(&self) -> Option<&ProxyHeader> {
        self.rare.as_ref()?.proxy_header.as_deref()
    }

    /// Whether the header of a proxy is still to come.
    #[inline]
    pub(super) fn awaits_proxy_header(&self) -> bool {
        self.proxy_header().is_some_and(ProxyHeader::is_awaited)
    }

    /// Goes on with the header of a proxy. The handshake's deadline runs meanwhile.
    pub(super) fn read_proxy_header(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<()> {
        let header = self.rare.as_mut().and_then(|rare| rare.proxy_header.as_deref_mut());
        let (Some(header), Some(tcp)) = (header, self.transport.tcp()) else {
            return Poll::Pending;
        };
        match ready!(header.poll_read(cx, tcp.socket())) {
            Ok(()) => {}
            Err(Failed::Ended(error)) => {
                self.peer_ended(error.map_or_else(Over::finished, judge), scratch);
            }
            Err(Failed::Malformed(part)) => {
                // Neither HTTP nor TLS has begun: there is no language to answer in.
                *header = ProxyHeader::Read(None);
                self.transport.give_up_tls();
                self.refuse(HandshakeError::ProxyHeader(part), scratch);
            }
        }
        Poll::Ready(())
    }

    /// The client that sends the bytes on this transport, as a PROXY header names it.
    pub(super) fn sender(&self, transport: Peer) -> Peer {
        self.proxy_header().map_or(transport, |header| header.sender(transport))
    }
}
