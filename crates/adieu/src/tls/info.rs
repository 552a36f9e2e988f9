//! What TLS knows of a connection of a server.

use rustls::pki_types::CertificateDer;
use rustls::{ProtocolVersion, ServerConnection};

/// What TLS knows of a connection of a server, when its handshake is complete.
///
/// [`Handshake::tls`](crate::Handshake::tls) has it where [`Server`](crate::Server) has the TLS. A
/// hyper application that accepts TLS itself leaves it in the extensions of each request:
///
/// ```
/// use adieu::tls::{TlsInfo, rustls::ServerConnection};
/// # fn of<B>(mut request: hyper::Request<B>, tls: &ServerConnection) -> hyper::Request<B> {
/// request.extensions_mut().insert(TlsInfo::of(tls));
/// # request
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The name that the client asked for (SNI, RFC 6066 §3).
    pub server_name: Option<String>,
    /// The protocol that was agreed on (ALPN, RFC 7301), as its bytes.
    pub alpn: Option<Vec<u8>>,
    /// The client's certificates, its own first; empty where it has shown none. They are verified
    /// as the configuration says.
    pub client_certificates: Vec<CertificateDer<'static>>,
    /// The version of TLS.
    pub version: Option<ProtocolVersion>,
}

impl TlsInfo {
    /// What this connection knows.
    #[must_use]
    pub fn of(tls: &ServerConnection) -> Self {
        let certificates = tls.peer_certificates().unwrap_or_default();
        TlsInfo {
            server_name: tls.server_name().map(str::to_owned),
            alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
            client_certificates: certificates
                .iter()
                .cloned()
                .map(CertificateDer::into_owned)
                .collect(),
            version: tls.protocol_version(),
        }
    }
}
