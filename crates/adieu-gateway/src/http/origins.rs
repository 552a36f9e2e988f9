//! Pages of which sites may open a WebSocket here, and what those hear that may not.

use std::net::IpAddr;
use std::sync::Arc;

use adieu::hyper::asks_for_websocket;
use axum::Extension;
use axum::extract::{Request as HttpRequest, State};
use axum::http::header::{HOST, HeaderName, ORIGIN, UPGRADE};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::origin::{AllowedOrigin, Origin, PublicUrl};
use crate::gateway::Gateway;
use crate::rare::shown;
use crate::requests::{Kind, Refusal};

/// Of the drafts before RFC 6455.
const OLD_ORIGIN: HeaderName = HeaderName::from_static("sec-websocket-origin");

/// Pages of which sites may connect (RFC 6455 §10.2); clients that are no browsers name none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Other sites than the gateway's own.
    allowed: Vec<AllowedOrigin>,
    /// Where people reach the gateway.
    public: Option<PublicUrl>,
}

/// Why a page may not connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    origin: String,
    host: String,
}

impl Origins {
    /// These sites, and the gateway's own: that of the public URL, and without one the site that
    /// the request's `Host` names.
    #[must_use]
    pub fn new(allowed: Vec<AllowedOrigin>, public: Option<PublicUrl>) -> Self {
        Origins { allowed, public }
    }

    /// The same without the other sites: for what is for the gateway's own pages.
    pub(crate) fn own_only(&self) -> Self {
        Origins { allowed: Vec::new(), public: self.public.clone() }
    }

    /// Whether people reach the gateway over TLS, by what the public URL says.
    pub(crate) fn is_https(&self) -> bool {
        self.public.as_ref().is_some_and(|public| public.0.is_https())
    }

    /// Judges a page by the `Origin` and the `Host` of its request.
    pub(crate) fn judge(&self, origin: Option<&str>, host: Option<&str>) -> Result<(), Foreign> {
        let Some(text) = origin else { return Ok(()) };
        let named = |origin: &Origin| self.allowed.iter().any(|allowed| allowed.allows(origin));
        let allowed = match Origin::read(text) {
            Some(origin) => self.is_own(&origin, host) || named(&origin),
            None => self.allowed.iter().any(AllowedOrigin::is_any),
        };
        if allowed {
            return Ok(());
        }
        Err(Foreign { origin: shown(text), host: shown(host.unwrap_or("not said")) })
    }

    fn is_own(&self, origin: &Origin, host: Option<&str>) -> bool {
        let at_host = host.is_some_and(|host| origin.is_at(host));
        match &self.public {
            None => at_host,
            // Behind a proxy that changes the Host its own pages are known by their Origin.
            Some(public) => public.0 == *origin || at_host && host.is_some_and(is_no_name),
        }
    }

    /// Whether a request to this `Host` is meant for this gateway. With a public URL that host is,
    /// and an address or `localhost`: a site that has a name of its own lead here (DNS rebinding)
    /// can send none of them.
    fn is_own_host(&self, host: &str) -> bool {
        let Some(PublicUrl(public)) = &self.public else { return true };
        public.has_host(host) || is_no_name(host)
    }
}

/// An address, or this machine.
fn is_no_name(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(host, |(name, _)| name).trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Judges the requests of a router, and counts those that it refuses.
#[derive(Clone)]
pub(crate) struct OriginCheck(Arc<Inner>);

struct Inner {
    origins: Origins,
    gateway: Gateway,
}

impl OriginCheck {
    pub(crate) fn new(origins: Origins, gateway: Gateway) -> Self {
        OriginCheck(Arc::new(Inner { origins, gateway }))
    }

    /// The answer to a page that may not open this WebSocket.
    pub(crate) fn refuse(&self, origin: Option<&str>, host: Option<&str>) -> Option<Response> {
        let Foreign { origin, host } = self.0.origins.judge(origin, host).err()?;
        self.0.gateway.metrics().refused("origin");
        let what = what_to_do(&origin);
        // FAQ: gateway-origin
        // Without the Origin and the Host nobody could tell from the log which site to allow.
        let why = format!("Origin {origin} is not allowed here, whose Host is {host}; {what}");
        Some(refused(why))
    }

    /// The answer to a request that asks for another gateway.
    fn refuse_host(&self, host: Option<&str>) -> Option<Response> {
        let (origins, host) = (&self.0.origins, host?);
        let public = origins.public.as_ref().filter(|_| !origins.is_own_host(host))?;
        self.0.gateway.metrics().refused("host");
        let why = format!(
            // FAQ: gateway-host
            "this is {public}, as --public-url says, and was asked for as Host {}; a proxy in \
             front has to pass the Host on",
            shown(host)
        );
        Some(refused(why))
    }
}

/// The answer, which says the same in the log.
fn refused(why: String) -> Response {
    let answer = (StatusCode::FORBIDDEN, format!("{why}\n"));
    (Extension(Refusal::new(Kind::Site, why)), answer).into_response()
}

fn what_to_do(origin: &str) -> String {
    match Origin::read(origin) {
        Some(origin) => format!("start with --allow-origin {origin}"),
        None => "it names no site, and only --allow-origin '*' lets it in".to_owned(),
    }
}

/// Serves the gateway's own pages: under its own name, and their WebSocket to no other page.
pub(crate) async fn own_pages(
    State(check): State<OriginCheck>,
    request: HttpRequest,
    next: Next,
) -> Response {
    let host = field(request.headers(), HOST);
    let origin = opens_from(&request);
    let refused = check.refuse_host(host).or_else(|| check.refuse(origin, host));
    match refused {
        Some(refused) => refused,
        None => next.run(request).await,
    }
}

fn field(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"))
}

/// The site of the page that asks for a WebSocket, where one is asked for: with Upgrade, or over
/// HTTP/2 without it.
fn opens_from<B>(request: &Request<B>) -> Option<&str> {
    let headers = request.headers();
    let opens = headers.contains_key(UPGRADE) || asks_for_websocket(request);
    field(headers, OLD_ORIGIN).or(field(headers, ORIGIN)).filter(|_| opens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_of_a_page_counts_where_it_asks_for_a_websocket() {
        const EVIL: &str = "https://evil.example";
        let request = || Request::builder().header(ORIGIN, EVIL);
        let websocket = hyper::ext::Protocol::from_static("websocket");
        let over_http2 = request().method("CONNECT").extension(websocket);
        assert_eq!(opens_from(&over_http2.body(()).unwrap()), Some(EVIL));
        let over_http1 = request().header(UPGRADE, "websocket");
        assert_eq!(opens_from(&over_http1.body(()).unwrap()), Some(EVIL));
        assert_eq!(opens_from(&request().body(()).unwrap()), None, "a page");
    }

    fn may(origins: &Origins, origin: Option<&str>, host: &str) -> bool {
        origins.judge(origin, Some(host)).is_ok()
    }

    #[test]
    fn only_the_own_page_may_connect_if_none_is_named() {
        let own = Origins::default();
        assert!(may(&own, None, "a:8080"), "no browser");
        assert!(may(&own, Some("http://a:8080"), "a:8080"));
        assert!(!may(&own, Some("http://evil.example"), "a:8080"));
        assert!(!may(&own, Some("http://a"), "a:8080"), "another port is another origin");
        assert!(!may(&own, Some("null"), "a:8080"), "a sandboxed page");
    }

    #[test]
    fn a_page_of_no_site_may_connect_only_where_any_may() {
        let any = Origins::new(vec!["*".parse().unwrap()], None);
        assert!(may(&any, Some("null"), "a") && may(&any, Some("https://b.example"), "a"));
        let one = Origins::new(vec!["https://b.example".parse().unwrap()], None);
        assert!(!may(&one, Some("null"), "a") && may(&one, Some("https://b.example"), "a"));
        assert!(!may(&one.own_only(), Some("https://b.example"), "a"));
    }
}
