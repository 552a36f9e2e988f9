//! An extended CONNECT as the library of HTTP/2 takes it.

use adieu_proto::{ExtendedConnect, UsageError};
use h2::ext::Protocol;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

/// Fields that no intermediary may keep in a table, where guesses could find them out (RFC 7541
/// §7.1.3).
const SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// The request. `:scheme` is `https`: this is for `wss://`.
pub(in crate::client) fn request(asked: &ExtendedConnect) -> Result<Request<()>, UsageError> {
    let refuse = |part, value: &str| UsageError::Request { part, value: value.to_owned() };
    let authority = Authority::try_from(asked.authority.as_str());
    let authority = authority.map_err(|_| refuse("host", &asked.authority))?;
    // A query may hold secrets.
    let shown = asked.path.split('?').next().unwrap_or_default();
    // The library would cut it there.
    let has_fragment = asked.path.contains('#');
    let path = PathAndQuery::try_from(asked.path.as_str()).ok().filter(|_| !has_fragment);
    let path = path.ok_or_else(|| refuse("target", shown))?;
    let uri = Uri::builder().scheme(Scheme::HTTPS).authority(authority).path_and_query(path);
    let uri = uri.build().map_err(|_| refuse("target", shown))?;
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    for (name, value) in &asked.fields {
        let field = HeaderName::from_bytes(name.as_bytes());
        let field = field.map_err(|_| refuse("field name", name))?;
        let value = HeaderValue::from_bytes(value.as_bytes());
        let mut value = value.map_err(|_| refuse("value of the field", name))?;
        value.set_sensitive(SECRET.contains(&name.as_str()));
        request.headers_mut().append(field, value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use adieu_proto::{ClientRequest, Config};

    use super::*;

    fn of(asked: &ClientRequest) -> Result<Request<()>, UsageError> {
        request(&asked.extended_connect(&Config::default())?)
    }

    #[test]
    fn it_is_an_extended_connect_with_scheme_authority_and_path() {
        let asked = ClientRequest::new("h:8443", "/p|?q={1}&r=^").header("Cookie", "a=b");
        let request = of(&asked).unwrap();
        assert_eq!(request.uri(), "https://h:8443/p|?q={1}&r=^");
        assert_eq!((request.method(), request.version()), (&Method::CONNECT, Version::HTTP_2));
        let protocol = request.extensions().get::<Protocol>().unwrap();
        assert_eq!(protocol.as_str(), "websocket");
        assert!(request.headers()["cookie"].is_sensitive());
        assert!(!request.headers()["sec-websocket-version"].is_sensitive());
    }

    #[test]
    fn a_field_that_is_set_twice_is_sent_twice() {
        let asked = ClientRequest::new("h", "/").header("X-A", "1").header("x-a", "2");
        let request = of(&asked).unwrap();
        let all: Vec<_> = request.headers().get_all("x-a").iter().collect();
        assert_eq!(all, ["1", "2"]);
    }

    #[test]
    fn what_http_2_cannot_carry_is_refused_and_no_secret_is_shown() {
        let host = of(&ClientRequest::new("h/x", "/")).unwrap_err().to_string();
        assert!(host.contains("h/x"), "{host}");
        let target = of(&ClientRequest::new("h", "/a?secret#b")).unwrap_err().to_string();
        assert!(target.contains("/a") && !target.contains("secret"), "{target}");
    }
}
