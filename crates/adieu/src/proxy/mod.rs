//! The client behind a proxy. What a proxy says of its client is believed where the endpoint trusts
//! the proxy, and nowhere else.

mod cidr;
mod forwarded;
#[cfg(fuzzing)]
pub mod fuzzing;
mod header;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use adieu_proto::Request;

pub use cidr::{Cidr, CidrError};
pub(crate) use header::{Failed, ProxyHeader};

use crate::peer::Peer;
use forwarded::{Field, Hop, Malformed};

/// Which proxies are trusted, and whether they speak the PROXY protocol. By default none.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    trusted: Arc<[Cidr]>,
    pub(crate) protocol: bool,
}

impl Proxies {
    pub(crate) fn trusting(&self, proxies: impl IntoIterator<Item = Cidr>) -> Self {
        Proxies { trusted: proxies.into_iter().collect(), protocol: self.protocol }
    }

    fn trust(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|cidr| cidr.contains(ip))
    }

    /// Whether a proxy that is trusted is at the other end of the transport.
    pub(crate) fn are_at(&self, peer: Peer) -> bool {
        peer.addr().is_some_and(|addr| self.trust(addr.ip()))
    }

    /// The client that sent the request. `peer` is the peer of the transport, or the client that a
    /// PROXY header names.
    pub(crate) fn client(&self, peer: Peer, request: &Request) -> Peer {
        if !self.are_at(peer) {
            return peer;
        }
        let fields = [Field::Forwarded, Field::XForwardedFor];
        match fields.map(|field| self.told(field, request)) {
            [None, None] => peer,
            [Some(Ok(client)), None] | [None, Some(Ok(client))] => peer.on_behalf_of(client),
            // Forwarded knows more, such as a port.
            [Some(Ok(client)), Some(Ok(same))] if ip(client) == ip(same) => {
                peer.on_behalf_of(client)
            }
            // A proxy writes one field and passes on the other as its client wrote it.
            _ => {
                tracing::debug!(%peer, "what the proxy says of its client is not to be believed");
                peer
            }
        }
    }

    /// What a field says of the client: the nearest hop that is no trusted proxy, for what stands
    /// behind it anybody may have written. If all are trusted it is the farthest.
    fn told(
        &self,
        field: Field,
        request: &Request,
    ) -> Option<Result<Option<SocketAddr>, Malformed>> {
        let mut client = None;
        let lines: Vec<&[u8]> = request.values(field.name()).collect();
        for hop in field.nearest_first(&lines) {
            match hop {
                Ok(Hop::Addr(addr)) => {
                    client = Some(Ok(Some(addr)));
                    if !self.trust(addr.ip()) {
                        break;
                    }
                }
                Ok(Hop::Hidden) => return Some(Ok(None)),
                Err(malformed) => return Some(Err(malformed)),
            }
        }
        client
    }
}

fn ip(addr: Option<SocketAddr>) -> Option<IpAddr> {
    addr.map(|addr| addr.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(from: &str, fields: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|cidr| cidr.parse().unwrap());
        let proxies = Proxies::default().trusting(trusted);
        let request = Request::from_parts("GET", "/", fields.iter().copied()).unwrap();
        let peer = Peer::new(Some(from.parse().unwrap()));
        let client = proxies.client(peer, &request);
        assert_eq!(client.via(), (client != peer).then(|| peer.addr().unwrap()));
        match client.addr() {
            Some(addr) if client != peer && addr.port() == 0 => addr.ip().to_string(),
            Some(addr) => addr.to_string(),
            None => "hidden".to_owned(),
        }
    }

    #[test]
    fn the_nearest_that_is_no_trusted_proxy_is_the_client() {
        for (fields, want) in [
            (&[][..], "10.0.0.1:99"),
            (&[("X-Forwarded-For", "203.0.113.7")], "203.0.113.7"),
            // The client itself wrote the part further left.
            (&[("X-Forwarded-For", "6.6.6.6, 203.0.113.7")], "203.0.113.7"),
            (&[("X-Forwarded-For", "6.6.6.6, 203.0.113.7, 10.9.9.9")], "203.0.113.7"),
            (&[("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
            (&[("X-Forwarded-For", "no \"address, 203.0.113.7")], "203.0.113.7"),
            (&[("X-Forwarded-For", "10.2.0.1,10.3.0.1")], "10.2.0.1"),
            (&[("X-Forwarded-For", "::ffff:203.0.113.7, ::ffff:10.0.0.2")], "203.0.113.7"),
            (&[("X-Forwarded-For", "unknown")], "hidden"),
            (&[("X-Forwarded-For", "6.6.6.6, unknown, 10.0.0.2")], "hidden"),
            (&[("X-Forwarded-For", "")], "10.0.0.1:99"),
            (&[("Forwarded", "for=6.6.6.6, for=\"203.0.113.7:80\";proto=https")], "203.0.113.7:80"),
            (&[("Forwarded", "for=\"6.6.6.6, for=203.0.113.7")], "203.0.113.7"),
            (&[("Forwarded", "for=6.6.6.6;host=\"a,b\", for=_hidden")], "hidden"),
            (&[("Forwarded", "for=6.6.6.6, proto=https")], "hidden"),
            (
                &[("Forwarded", "for=\"[2001:db8::1]:5\", For=\"[2001:db8:ffff::1]\"")],
                "[2001:db8::1]:5",
            ),
        ] {
            assert_eq!(client("10.0.0.1:99", fields), want, "{fields:?}");
        }
    }

    #[test]
    fn what_is_malformed_or_contradicts_itself_is_not_believed() {
        for fields in [
            &[("X-Forwarded-For", "6.6.6.6, 300.1.1.1")][..],
            &[("X-Forwarded-For", "6.6.6.6, \u{e9}")],
            &[("X-Forwarded-For", "203.0.113.7:x")],
            &[("Forwarded", "for=6.6.6.6, for=")],
            &[("Forwarded", "for=203.0.113.7;for=6.6.6.6")],
            &[("Forwarded", "for=203.0.113.7, for")],
            &[("Forwarded", "for=6.6.6.6, for=203.0.113.7\"")],
            // The proxy wrote one of the two, and the client the other.
            &[("Forwarded", "for=6.6.6.6"), ("X-Forwarded-For", "203.0.113.7")],
            &[("Forwarded", "for=_hidden"), ("X-Forwarded-For", "203.0.113.7")],
            &[("Forwarded", "nonsense"), ("X-Forwarded-For", "203.0.113.7")],
        ] {
            assert_eq!(client("10.0.0.1:99", fields), "10.0.0.1:99", "{fields:?}");
        }
        let both = [("Forwarded", "for=\"203.0.113.7:80\""), ("X-Forwarded-For", "203.0.113.7")];
        assert_eq!(client("10.0.0.1:99", &both), "203.0.113.7:80");
    }

    #[test]
    fn nobody_else_is_believed() {
        let fields = [("Forwarded", "for=203.0.113.7"), ("X-Forwarded-For", "203.0.113.7")];
        assert_eq!(client("192.0.2.1:99", &fields), "192.0.2.1:99");
        assert_eq!(client("[::ffff:10.0.0.1]:99", &fields), "203.0.113.7");
    }
}
