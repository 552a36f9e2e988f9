//! Who may see sessions and speak to them: whoever has the key, or, where none is set, this machine
//! alone.

mod login;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, COOKIE, HOST, HeaderName, ORIGIN, RETRY_AFTER, SET_COOKIE,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::origin::Origin;
use crate::requests::{Kind, Refusal};
use crate::session::Timestamp;
use crate::session::rate::Rate;
use login::Link;
pub use login::{LOGIN_LASTS, login};

/// Characters that a key has at least: it is all that stands between anybody and the sessions.
const MIN_KEY: usize = 16;

/// What a browser keeps after it was asked for the key: its WebSockets carry no authorization. What
/// follows in its name is of the key: all ports of a machine share their cookies, and two gateways
/// on one would take each other's place.
const KEY_COOKIE: &str = "adieu_key";

/// How long a browser keeps that: until somebody would wonder at a browser that is still let in.
const KEY_COOKIE_SECONDS: u32 = 30 * 24 * 3600;

/// How long a wrong key waits for its answer: guesses cost a connection each for so long.
const WRONG_KEY_WAITS: Duration = Duration::from_secs(1);

/// Fields of proxies, of networks and of clouds: with one of them, or with any whose name begins
/// with `x-forwarded`, a request is not of this machine, whoever sends it.
const PROXIED: [&str; 16] = [
    "forwarded",
    "via",
    "cdn-loop",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-ray",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded-for",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-original-forwarded-for",
    "x-real-ip",
];

fn is_of_proxy(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded") || PROXIED.contains(&name)
}

/// A key that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            // FAQ: serve-key
            "a key has at least {MIN_KEY} printable ASCII characters without spaces; make one \
             with: head -c 24 /dev/urandom | base64"
        )
    }
}

impl std::error::Error for BadKey {}

/// Guards what is not for everybody.
#[derive(Clone)]
pub struct Access {
    /// Of the key, so that comparing takes the same time wherever two differ.
    key: Option<Hmac<Sha256>>,
    /// The cookie's name, and what it holds: not the key itself.
    cookie: (String, String),
    /// Whether the cookie may go over TLS alone.
    secure: bool,
    rate: Arc<ApiRate>,
    /// By which a browser may log in once.
    link: Arc<Link>,
}

/// Requests with the key in a second at most, five seconds' worth at once, if the operator says
/// nothing: several times what a core answers. It is there to be set.
pub const API_REQUESTS: u32 = 50_000;

/// How many requests may come with the key.
struct ApiRate {
    per_second: u32,
    began: Instant,
    rate: Mutex<Rate>,
}

impl ApiRate {
    fn new(per_second: u32) -> Arc<Self> {
        Arc::new(ApiRate { per_second, began: Instant::now(), rate: Mutex::default() })
    }

    fn takes(&self) -> bool {
        let now = Timestamp(0) + self.began.elapsed();
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.takes(now, self.per_second)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("has_key", &self.key.is_some()).finish_non_exhaustive()
    }
}

impl Access {
    /// With this key, or for this machine alone.
    ///
    /// # Errors
    /// [`BadKey`] if it is too short or cannot stand in a field.
    pub fn new(key: Option<&str>) -> Result<Self, BadKey> {
        let (secure, rate, link) = (false, ApiRate::new(API_REQUESTS), Arc::default());
        let Some(key) = key else {
            return Ok(Access { key: None, cookie: Default::default(), secure, rate, link });
        };
        let printable = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.len() < MIN_KEY || !printable {
            return Err(BadKey);
        }
        let mac: Hmac<Sha256> = KeyInit::new_from_slice(key.as_bytes()).map_err(|_| BadKey)?;
        let of_key = |what| hex(&mac.clone().chain_update(what).finalize().into_bytes());
        let name = format!("{KEY_COOKIE}_{}", &of_key("name of the cookie")[..8]);
        let cookie = (name, of_key("cookie"));
        // What is compared is the MAC of what was presented under the key itself.
        Ok(Access { key: Some(mac.chain_update(key.as_bytes())), cookie, secure, rate, link })
    }

    /// The same with so many requests in a second at most, five seconds' worth at once: those above
    /// it are answered 429.
    #[must_use]
    pub fn max_requests(self, per_second: u32) -> Self {
        Access { rate: ApiRate::new(per_second), ..self }
    }

    /// The same where browsers come over TLS.
    pub(crate) fn secure(self, secure: bool) -> Self {
        Access { secure, ..self }
    }

    /// Whether pages and the API are for those that have a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether a request may pass; if not, the answer.
    fn judge(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Passed, Refused> {
        let Some(expected) = &self.key else {
            return if is_local(headers, peer) { Ok(Passed::Known) } else { Err(Refused::Afar) };
        };
        // Any of them: a page on another host of the same domain can set one of that name, too.
        let by_cookie = cookies(headers, &self.cookie.0).any(|value| self.is_cookie(value));
        match presented(headers) {
            Some(Presented::Token(key)) if self.is_key(expected, &key) => return Ok(Passed::Known),
            Some(Presented::Token(_)) => return Err(Refused::WrongKey),
            // What a browser sends by itself, a page of another site must not act with.
            Some(Presented::Password(key)) if own_site(headers) => {
                if !self.is_key(expected, &key) {
                    return Err(Refused::WrongKey);
                }
                return Ok(if by_cookie { Passed::Known } else { Passed::ByPassword });
            }
            _ => {}
        }
        if by_cookie && own_site(headers) { Ok(Passed::Known) } else { Err(Refused::NoKey) }
    }

    /// The cookie by which a browser, once it was asked for the key, is known.
    fn set_cookie(&self) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let (name, value) = &self.cookie;
        let value = format!(
            "{name}={value}; HttpOnly; SameSite=Strict; Path=/; \
             Max-Age={KEY_COOKIE_SECONDS}{secure}"
        );
        HeaderValue::from_str(&value).ok()
    }

    fn is_cookie(&self, value: &str) -> bool {
        // Of another length it is not worth its hash.
        value.len() == self.cookie.1.len() && self.are_alike(value, &self.cookie.1)
    }

    /// Compared by their MACs, in the same time wherever they differ.
    fn are_alike(&self, one: &str, other: &str) -> bool {
        let Some(key) = &self.key else { return false };
        let mac = |text: &str| key.clone().chain_update(text.as_bytes()).finalize();
        mac(one) == mac(other)
    }

    fn is_key(&self, expected: &Hmac<Sha256>, presented: &str) -> bool {
        // Both are hashed under the key presented: equal only if the keys are.
        let Ok(mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(presented.as_bytes()) else {
            return false;
        };
        let mac = mac.chain_update(presented.as_bytes()).finalize().into_bytes();
        expected.clone().verify_slice(&mac).is_ok()
    }
}

/// In a response's extensions: its request may have what is not for everybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known;

/// In a response's extensions: its request showed a key that is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrongKey;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    Known,
    /// A browser that has asked for the key: it is given the cookie.
    ByPassword,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// Without a key only this machine may.
    Afar,
    NoKey,
    WrongKey,
}

/// A part of the site for who may see it.
pub fn guarded(router: axum::Router, access: Access) -> axum::Router {
    router.layer(axum::middleware::from_fn_with_state(access, guard))
}

/// Lets pass who may.
async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let peer = direct_peer(&request);
    let passed = match access.judge(request.headers(), peer) {
        Ok(passed) => passed,
        Err(Refused::Afar) => return only_local(),
        Err(Refused::NoKey) => return key_is_needed(),
        Err(Refused::WrongKey) => return wrong_key(peer).await,
    };
    let mut response = match access.rate.takes() {
        true => next.run(request).await,
        false => too_many(access.rate.per_second),
    };
    response.extensions_mut().insert(Known);
    let headers = response.headers_mut();
    // Pages say what they want of themselves.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if passed == Passed::ByPassword {
        headers.extend(access.set_cookie().map(|value| (SET_COOKIE, value)));
    }
    response
}

/// The address of the peer, unless the version of HTTP says that it is a proxy: no browser and no
/// tool of today speaks HTTP/1.0, but proxies do.
fn direct_peer(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<adieu::hyper::PeerAddr>();
    let peer = peer.filter(|_| matches!(request.version(), Version::HTTP_11 | Version::HTTP_2));
    peer.map(|peer| peer.0.ip())
}

fn too_many(per_second: u32) -> Response {
    let why = format!(
        // FAQ: gateway-too-many-requests
        "more than {per_second} requests in a second came with the key (--max-api-requests); \
         POST /api/messages has many recipients in one request"
    );
    let soon = [(RETRY_AFTER, "1")];
    let refusal = Refusal::new(Kind::Limit, why.clone());
    let answer = (StatusCode::TOO_MANY_REQUESTS, soon, Json(json!({ "error": why })));
    (Extension(refusal), answer).into_response()
}

/// Guesses are told, and take their time.
async fn wrong_key(peer: Option<IpAddr>) -> Response {
    tokio::time::sleep(WRONG_KEY_WAITS).await;
    let peer = peer.map_or("an unknown address".to_owned(), |peer| peer.to_string());
    // FAQ: gateway-wrong-key
    let why = format!("{peer} showed a key that is wrong (ADIEU_API_KEY has the right one)");
    let told = "this key is wrong: the right one is what ADIEU_API_KEY was set to for the gateway";
    let mut response = unauthorized(told);
    response.extensions_mut().insert(WrongKey);
    response.extensions_mut().insert(Refusal::new(Kind::WrongKey, why));
    response
}

/// Of this machine: its address, no proxy, and no page of another site that names this one by a
/// name of its own (DNS rebinding) or sends a request blindly.
fn is_local(headers: &HeaderMap, peer: Option<IpAddr>) -> bool {
    let loopback = peer.is_some_and(|addr| addr.to_canonical().is_loopback());
    let proxied = headers.keys().any(is_of_proxy);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    loopback && !proxied && host.is_none_or(is_local_name) && same_origin(headers)
}

fn is_local_name(host: &str) -> bool {
    if let Ok(addr) = host.parse::<SocketAddr>() {
        return addr.ip().is_loopback();
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

fn same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(Origin::read);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origin.zip(host).is_some_and(|(origin, host)| origin.is_at(host))
}

/// Of a page of this site, or of no page: what browsers say of themselves (Fetch Metadata) counts.
fn own_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    same_origin(headers) && !matches!(site, Some("cross-site" | "same-site"))
}

/// The key in a field.
enum Presented {
    /// RFC 6750: set by a program.
    Token(String),
    /// RFC 7617: asked for by a browser, which sends it again by itself.
    Password(String),
}

fn presented(headers: &HeaderMap) -> Option<Presented> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Presented::Token(rest.trim().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    Some(Presented::Password(decoded.split_once(':')?.1.to_owned()))
}

/// The values of all cookies of this name.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';'));
    pairs.filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

fn only_local() -> Response {
    // FAQ: gateway-only-this-machine
    let why = "without a key this is served to this machine alone, and not through a proxy: set \
               ADIEU_API_KEY for the gateway, and send it as a Bearer token or as the password";
    let refusal = Refusal::new(Kind::Afar, why);
    (Extension(refusal), (StatusCode::FORBIDDEN, Json(json!({ "error": why })))).into_response()
}

fn key_is_needed() -> Response {
    // FAQ: gateway-key-needed
    let why = "the key is needed, which is what ADIEU_API_KEY was set to for the gateway: in \
               Authorization: Bearer, or as the password with any user name";
    let refusal = Refusal::new(Kind::NoKey, "no key was shown");
    (Extension(refusal), unauthorized(why)).into_response()
}

/// A browser asks its person for the key then.
fn unauthorized(why: &str) -> Response {
    let form = [(WWW_AUTHENTICATE, "Basic realm=\"adieu: the key as password\"")];
    (StatusCode::UNAUTHORIZED, form, Json(json!({ "error": why }))).into_response()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a-key-of-many-characters";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    fn passes(access: &Access, fields: &[(&'static str, &str)], peer: &str) -> bool {
        access.judge(&headers(fields), peer.parse().ok()).is_ok()
    }

    #[test]
    fn without_a_key_this_machine_alone_is_served() {
        let access = Access::new(None).unwrap();
        for (fields, peer, may) in [
            (&[("host", "localhost:8080")][..], "127.0.0.1", true),
            (&[("host", "[::1]:8080")], "::1", true),
            (&[("host", "127.0.0.1")], "::ffff:127.0.0.1", true),
            (&[("host", "localhost:8080"), ("origin", "http://localhost:8080")], "::1", true),
            (&[("host", "localhost")], "203.0.113.9", false),
            (&[("host", "localhost"), ("x-forwarded-for", "1.2.3.4")], "127.0.0.1", false),
            (&[("host", "localhost"), ("via", "1.1 proxy")], "127.0.0.1", false),
            (&[("host", "localhost"), ("x-forwarded-proto", "https")], "127.0.0.1", false),
            (&[("host", "localhost"), ("x-forwarded-host", "a.example")], "127.0.0.1", false),
            (&[("host", "localhost"), ("cf-connecting-ip", "1.2.3.4")], "127.0.0.1", false),
            (&[("host", "localhost"), ("forwarded", "for=_a")], "127.0.0.1", false),
            (&[("host", "evil.example")], "127.0.0.1", false),
            (&[("host", "localhost"), ("origin", "http://evil.example")], "127.0.0.1", false),
            (&[("host", "localhost"), ("origin", "null")], "127.0.0.1", false),
            (&[("host", "localhost")], "nobody knows", false),
        ] {
            assert_eq!(passes(&access, fields, peer), may, "{fields:?} {peer}");
        }
    }

    #[test]
    fn a_browser_of_this_machine_is_known_over_http_1_1_and_over_http_2() {
        let local = SocketAddr::from(([127, 0, 0, 1], 40_000));
        for (version, known) in
            [(Version::HTTP_10, false), (Version::HTTP_11, true), (Version::HTTP_2, true)]
        {
            let mut request = Request::new(axum::body::Body::empty());
            *request.version_mut() = version;
            request.extensions_mut().insert(adieu::hyper::PeerAddr(local));
            let expected = known.then_some(local.ip());
            assert_eq!(direct_peer(&request), expected, "{version:?}");
        }
    }

    #[test]
    fn with_a_key_it_is_needed_wherever_one_is() {
        let access = Access::new(Some(KEY)).unwrap();
        let bearer = format!("Bearer {KEY}");
        let basic = format!("Basic {}", STANDARD.encode(format!("me:{KEY}")));
        let (name, value) = &access.cookie;
        let cookie = format!("a=b; {name}={value}");
        for (fields, may) in [
            (&[("authorization", &*bearer)][..], true),
            (&[("authorization", &*basic)], true),
            (&[("authorization", &*basic), ("host", "a"), ("origin", "https://a")], true),
            (&[("authorization", &*basic), ("host", "a"), ("origin", "https://b")], false),
            (&[("authorization", &*basic), ("sec-fetch-site", "cross-site")], false),
            (&[("authorization", &*bearer), ("host", "a"), ("origin", "https://b")], true),
            (&[("cookie", &*cookie)], true),
            (&[("cookie", &*cookie), ("host", "a"), ("origin", "https://b")], false),
            (&[("authorization", "Bearer a-key-of-many-character")], false),
            (&[("authorization", "Bearer ")], false),
            (&[("cookie", &format!("{name}={KEY}"))], false),
            (&[("host", "localhost")], false),
        ] {
            assert_eq!(passes(&access, fields, "127.0.0.1"), may, "{fields:?}");
        }
    }

    #[test]
    fn a_browser_is_given_the_cookie_when_it_has_none() {
        let access = Access::new(Some(KEY)).unwrap();
        let bearer = format!("Bearer {KEY}");
        let basic = format!("Basic {}", STANDARD.encode(format!("me:{KEY}")));
        let (name, value) = &access.cookie;
        let (cookie, wrong) = (format!("{name}={value}"), format!("{name}=x"));
        for (fields, passed) in [
            (&[("authorization", &*bearer)][..], Ok(Passed::Known)),
            (&[("authorization", &*basic)], Ok(Passed::ByPassword)),
            (&[("authorization", &*basic), ("cookie", &*cookie)], Ok(Passed::Known)),
            (&[("authorization", &*basic), ("cookie", &*wrong)], Ok(Passed::ByPassword)),
            (&[("cookie", &*cookie)], Ok(Passed::Known)),
            (&[("authorization", "Bearer wrong")], Err(Refused::WrongKey)),
            (&[("authorization", "Basic bWU6d3Jvbmc=")], Err(Refused::WrongKey)),
            (&[], Err(Refused::NoKey)),
        ] {
            assert_eq!(access.judge(&headers(fields), None), passed, "{fields:?}");
        }
        assert!(!access.set_cookie().unwrap().to_str().unwrap().contains("Secure"));
        let value = access.secure(true).set_cookie().unwrap();
        assert!(value.to_str().unwrap().ends_with("; Max-Age=2592000; Secure"), "{value:?}");
    }

    #[test]
    fn no_cookie_of_another_page_takes_the_place_of_the_right_one() {
        let access = Access::new(Some(KEY)).unwrap();
        let other = Access::new(Some("another-key-of-many-characters")).unwrap();
        let (name, value) = &access.cookie;
        let (of_other, of_other_value) = &other.cookie;
        let tossed = format!("{name}={}; {name}=; {name}={value}", "0".repeat(value.len()));
        assert!(passes(&access, &[("cookie", &tossed)], "127.0.0.1"));
        // The gateway on the next port: the browser sends both of them to either.
        let both = format!("{of_other}={of_other_value}; {name}={value}");
        for gateway in [&access, &other] {
            assert!(passes(gateway, &[("cookie", &both)], "127.0.0.1"));
        }
        assert!(name != of_other && name.starts_with(KEY_COOKIE));
        let foreign = format!("{name}={of_other_value}");
        assert!(!passes(&access, &[("cookie", &foreign)], "127.0.0.1"));
    }

    #[test]
    fn a_short_key_is_none() {
        for wrong in ["", "short", "fifteen-letters", "with a space in it"] {
            assert_eq!(Access::new(Some(wrong)).unwrap_err(), BadKey, "{wrong}");
        }
    }
}
