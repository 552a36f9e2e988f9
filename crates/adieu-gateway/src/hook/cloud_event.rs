//! CloudEvents 1.0, HTTP protocol binding, binary mode: attributes in `ce-` fields, data as body.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Builder;
use hyper::{Method, Request, Uri};

use super::Secret;
use crate::session::Timestamp;
use crate::session::event::{Data, Event};

/// `source`: with `id` it names an event (CloudEvents 1.0 §3.1).
const SOURCE: &str = "/adieu";

/// The last millisecond that RFC 3339 can write: of the year 9999.
const LAST_TIME: u64 = 253_402_300_799_999;

/// The attributes that every one has, and the signature.
fn request(
    uri: &Uri,
    secret: &Secret,
    (id, r#type, time): (&str, &str, Timestamp),
    sent_at: Timestamp,
    body: &[u8],
) -> Builder {
    let seconds = sent_at.0 / 1000;
    let time = UNIX_EPOCH + Duration::from_millis(time.0.min(LAST_TIME));
    Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header("ce-specversion", "1.0")
        .header("ce-id", id)
        .header("ce-source", SOURCE)
        .header("ce-type", r#type)
        .header("ce-time", humantime::format_rfc3339_millis(time).to_string())
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", secret.sign(id, seconds, body))
}

/// An event as a request. `None` if it cannot be read: another version wrote it.
pub(super) fn event(
    uri: &Uri,
    secret: &Secret,
    sent_at: Timestamp,
    event: &[u8],
) -> Option<Request<Full<Bytes>>> {
    let event: Event = serde_json::from_slice(event).ok()?;
    let (kind, body) = match event.data {
        Data::Text(text) => ("text/plain; charset=utf-8", text.into_bytes()),
        Data::Binary(base64) => ("application/octet-stream", STANDARD.decode(base64).ok()?),
        data => ("application/json", data.to_json()?),
    };
    let r#type = event.r#type.to_string();
    let named = (&*event.id, &*r#type, event.time);
    let mut request = request(uri, secret, named, sent_at, &body)
        .header("content-type", kind)
        .header("ce-sessionid", event.session_id.to_string())
        .header("ce-generation", event.generation);
    if let Some(sequence) = event.sequence {
        request = request.header("ce-sequence", sequence);
    }
    if let Some(user) = &event.user {
        request = request.header("ce-userid", header_value(user));
    }
    request.body(Full::new(Bytes::from(body))).ok()
}

/// A question to the backend as a request: like an event, but it is answered.
pub(super) fn question(
    uri: &Uri,
    secret: &Secret,
    (id, r#type): (&str, &str),
    now: Timestamp,
    body: Vec<u8>,
) -> Option<Request<Full<Bytes>>> {
    request(uri, secret, (id, r#type, now), now, &body)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .ok()
}

/// A value as the binding writes it (§3.1.3.2): what is no printable ASCII in percent encoding.
fn header_value(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            0x21..=0x7E if !matches!(byte, b'"' | b'%') => out.push(byte as char),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SessionId;
    use crate::session::event::EventType;
    use http_body_util::BodyExt;

    fn of(data: Data) -> Request<Full<Bytes>> {
        let event = Event {
            id: "x_1_session-started".into(),
            r#type: EventType::SessionStarted,
            session_id: SessionId::new([0; 16]),
            user: Some("Zoë 100%".into()),
            meta: None,
            generation: 1,
            sequence: Some(1),
            time: Timestamp(1_700_000_000_123),
            data,
        };
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let uri = Uri::from_static("http://backend/hooks");
        let bytes = serde_json::to_vec(&event).unwrap();
        super::event(&uri, &secret, Timestamp(1_700_000_009_999), &bytes).unwrap()
    }

    #[tokio::test]
    async fn an_event_has_its_attributes_in_fields_and_its_data_as_body() {
        let request = of(Data::User { user_id: "a".into() });
        let field = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-type", "session.started"),
            ("ce-id", "x_1_session-started"),
            ("webhook-id", "x_1_session-started"),
            ("ce-time", "2023-11-14T22:13:20.123Z"),
            ("ce-userid", "Zo%C3%AB%20100%25"),
            ("ce-sequence", "1"),
            ("ce-sessionid", "AAAAAAAAAAAAAAAAAAAAAA"),
            ("webhook-timestamp", "1700000009"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(field(name), value, "{name}");
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], br#"{"userId":"a"}"#);
    }

    #[test]
    fn a_time_that_no_clock_should_show_is_written_all_the_same() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let uri = Uri::from_static("http://backend/hooks");
        let now = Timestamp(u64::MAX);
        let request = question(&uri, &secret, ("id", "connect"), now, Vec::new()).unwrap();
        assert_eq!(request.headers()["ce-time"], "9999-12-31T23:59:59.999Z");
    }

    #[tokio::test]
    async fn a_message_is_the_body_as_the_client_sent_it() {
        let cases = [
            (Data::Text("grüß".into()), "text/plain; charset=utf-8", "grüß".as_bytes()),
            (Data::Binary("AQID".into()), "application/octet-stream", &[1, 2, 3]),
        ];
        for (data, kind, want) in cases {
            let request = of(data);
            assert_eq!(request.headers()["content-type"], kind);
            assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), want);
        }
    }
}
