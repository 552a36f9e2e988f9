//! CloudEvents 1.0 over HTTP: in structured mode, where an event is one JSON object; in binary
//! mode, where its attributes are `ce-` fields and its data is the body; and in batches.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Secret;
use super::client::Post;
use crate::session::event::{Data, Event};
use crate::session::{SessionId, Timestamp};

/// `source`: with `id` it names an event (CloudEvents 1.0 §3.1).
const SOURCE: &str = "/adieu";

/// The last millisecond that RFC 3339 can write: of the year 9999.
const LAST_TIME: u64 = 253_402_300_799_999;

const JSON: &str = "application/json";
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// How events and questions are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventFormat {
    /// One JSON object with the attributes and the data (CloudEvents' structured mode): libraries
    /// for Standard Webhooks parse what they verify as JSON.
    #[default]
    Structured,
    /// The data as it is, and the attributes in `ce-` fields (CloudEvents' binary mode).
    Binary,
}

/// The data of an event or a question.
enum Body<'a> {
    /// What the gateway says.
    Json(Box<RawValue>),
    /// A text message.
    Text(&'a str),
    /// A binary message, in base64.
    Binary(&'a str),
}

/// `data` in JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum JsonData<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// An event in the JSON format of CloudEvents, with attributes of our own: `sessionid`,
/// `generation`, `sequence` and `userid`.
#[derive(Serialize)]
struct Structured<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: &'a str,
    time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessionid: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    userid: Option<&'a str>,
    /// What the backend said of the session, as JSON: an attribute is no object.
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a str>,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<JsonData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<&'a str>,
}

/// What an event or a question has beside its data.
struct Attributes<'a> {
    id: &'a str,
    r#type: &'a str,
    time: String,
    session_id: Option<SessionId>,
    generation: Option<u32>,
    sequence: Option<u64>,
    user: Option<&'a str>,
    meta: Option<String>,
}

impl<'a> Body<'a> {
    fn of(event: &'a Event) -> Option<Self> {
        Some(match &event.data {
            Data::Text(text) => Body::Text(text),
            Data::Binary(base64) => Body::Binary(base64),
            data => {
                let json = String::from_utf8(data.to_json()?).ok()?;
                Body::Json(RawValue::from_string(json).ok()?)
            }
        })
    }

    fn content_type(&self) -> &'static str {
        match self {
            Body::Json(_) => JSON,
            Body::Text(_) => "text/plain; charset=utf-8",
            Body::Binary(_) => "application/octet-stream",
        }
    }

    /// As it is in binary mode.
    fn raw(&self) -> Option<Vec<u8>> {
        Some(match self {
            Body::Json(json) => json.get().as_bytes().to_vec(),
            Body::Text(text) => text.as_bytes().to_vec(),
            Body::Binary(base64) => STANDARD.decode(base64).ok()?,
        })
    }
}

impl<'a> Attributes<'a> {
    fn of(event: &'a Event, r#type: &'a str) -> Self {
        Attributes {
            id: &event.id,
            r#type,
            time: rfc3339(event.time),
            session_id: Some(event.session_id),
            generation: Some(event.generation),
            sequence: event.sequence,
            user: event.user.as_deref(),
            // Strings and numbers: nothing in it can fail.
            meta: event.meta.as_deref().and_then(|meta| serde_json::to_string(meta).ok()),
        }
    }
}

impl Attributes<'_> {
    /// Written behind what stands in `to`.
    fn structured(&self, body: &Body<'_>, to: &mut Vec<u8>) -> Option<()> {
        let (data, data_base64) = match body {
            Body::Json(json) => (Some(JsonData::Json(json)), None),
            Body::Text(text) => (Some(JsonData::Text(text)), None),
            Body::Binary(base64) => (None, Some(*base64)),
        };
        let event = Structured {
            specversion: "1.0",
            id: self.id,
            source: SOURCE,
            r#type: self.r#type,
            time: &self.time,
            sessionid: self.session_id,
            generation: self.generation,
            sequence: self.sequence,
            userid: self.user,
            meta: self.meta.as_deref(),
            datacontenttype: body.content_type(),
            data,
            data_base64,
        };
        serde_json::to_writer(to, &event).ok()
    }

    /// As `ce-` fields.
    fn fields(&self) -> Option<HeaderMap> {
        let number = |n: Option<u64>| n.map(|n| n.to_string());
        let all = [
            ("ce-specversion", Some("1.0".to_owned())),
            ("ce-id", Some(self.id.to_owned())),
            ("ce-source", Some(SOURCE.to_owned())),
            ("ce-type", Some(self.r#type.to_owned())),
            ("ce-time", Some(self.time.clone())),
            ("ce-sessionid", self.session_id.map(|id| id.to_string())),
            ("ce-generation", number(self.generation.map(u64::from))),
            ("ce-sequence", number(self.sequence)),
            ("ce-userid", self.user.map(header_value)),
            ("ce-meta", self.meta.as_deref().map(header_value)),
        ];
        let mut fields = HeaderMap::with_capacity(16);
        for (name, value) in all {
            if let Some(value) = value {
                fields.insert(HeaderName::from_static(name), HeaderValue::try_from(value).ok()?);
            }
        }
        Some(fields)
    }

    fn post(&self, signer: &Signer<'_>, format: EventFormat, body: &Body<'_>) -> Option<Post> {
        let (fields, kind, body) = match format {
            EventFormat::Structured => {
                let mut json = Vec::new();
                self.structured(body, &mut json)?;
                (HeaderMap::new(), STRUCTURED, json)
            }
            EventFormat::Binary => (self.fields()?, body.content_type(), body.raw()?),
        };
        signer.post(self.id, fields, kind, body)
    }
}

/// Signs what is sent at a time.
pub(super) struct Signer<'a> {
    pub(super) secret: &'a Secret,
    pub(super) now: Timestamp,
}

impl Signer<'_> {
    fn post(
        &self,
        id: &str,
        mut fields: HeaderMap,
        kind: &'static str,
        body: Vec<u8>,
    ) -> Option<Post> {
        let seconds = self.now.0 / 1000;
        let signature = self.secret.sign(id, seconds, &body);
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        for (name, value) in [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature),
        ] {
            fields.insert(HeaderName::from_static(name), HeaderValue::try_from(value).ok()?);
        }
        Some(Post { fields, body: Bytes::from(body) })
    }
}

/// An event as a request. `None` if it has something in it that no field can have.
pub(super) fn event(signer: &Signer<'_>, format: EventFormat, event: &Event) -> Option<Post> {
    let r#type = event.r#type.to_string();
    Attributes::of(event, &r#type).post(signer, format, &Body::of(event)?)
}

/// Bytes of an event in JSON beside what [`Event::size`] counts, about.
const FRAMING: usize = 256;

/// Events as one request.
pub(super) fn batch(signer: &Signer<'_>, events: &[Arc<Event>]) -> Option<Post> {
    let mut body = Vec::with_capacity(events.iter().map(|event| event.size() + FRAMING).sum());
    body.push(b'[');
    let mut names = Sha256::new();
    for event in events {
        let r#type = event.r#type.to_string();
        if body.len() > 1 {
            body.push(b',');
        }
        Attributes::of(event, &r#type).structured(&Body::of(event)?, &mut body)?;
        names.update(&event.id);
        names.update("\n");
    }
    body.push(b']');
    // The same events have the same id, in whatever try they are sent together.
    let digest = names.finalize();
    let id = format!("batch_{}", URL_SAFE_NO_PAD.encode(&digest[..16]));
    signer.post(&id, HeaderMap::new(), BATCH, body)
}

/// What a question is called, and about whom it is.
pub(super) struct Asked<'a> {
    pub(super) id: &'a str,
    pub(super) r#type: &'a str,
    pub(super) session_id: Option<SessionId>,
    pub(super) user: Option<&'a str>,
}

/// A question to the backend as a request: like an event, but it is answered.
pub(super) fn question(
    signer: &Signer<'_>,
    format: EventFormat,
    asked: &Asked<'_>,
    data: &impl Serialize,
) -> Option<Post> {
    let data = serde_json::value::to_raw_value(data).ok()?;
    let attributes = Attributes {
        id: asked.id,
        r#type: asked.r#type,
        time: rfc3339(signer.now),
        session_id: asked.session_id,
        generation: None,
        sequence: None,
        user: asked.user,
        meta: None,
    };
    attributes.post(signer, format, &Body::Json(data))
}

fn rfc3339(time: Timestamp) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(time.0.min(LAST_TIME));
    humantime::format_rfc3339_millis(time).to_string()
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
    use serde_json::{Value, json};

    use super::*;
    use crate::session::event::EventType;
    use crate::session::wire::MAX_PAYLOAD;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn written(data: Data) -> Arc<Event> {
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
        Arc::new(event)
    }

    fn of(format: EventFormat, data: Data) -> Post {
        let secret = Secret::read(SECRET).unwrap();
        let signer = Signer { secret: &secret, now: Timestamp(1_700_000_009_999) };
        let post = event(&signer, format, &written(data)).unwrap();
        let signed =
            secret.sign(post.fields["webhook-id"].to_str().unwrap(), 1_700_000_009, &post.body);
        assert_eq!(post.fields["webhook-signature"], signed);
        assert_eq!(post.fields["webhook-timestamp"], "1700000009");
        post
    }

    #[test]
    fn an_event_is_one_json_object_with_its_attributes_and_its_data() {
        let object = json!({
            "specversion": "1.0",
            "id": "x_1_session-started",
            "source": "/adieu",
            "type": "session.started",
            "time": "2023-11-14T22:13:20.123Z",
            "sessionid": "AAAAAAAAAAAAAAAAAAAAAA",
            "generation": 1,
            "sequence": 1,
            "userid": "Zoë 100%",
        });
        for (data, kind, member, value) in [
            (Data::User { user_id: "a".into() }, JSON, "data", json!({ "userId": "a" })),
            (
                Data::Text("grüß \"\u{1}".into()),
                "text/plain; charset=utf-8",
                "data",
                json!("grüß \"\u{1}"),
            ),
            (Data::Binary("AQID".into()), "application/octet-stream", "data_base64", json!("AQID")),
        ] {
            let post = of(EventFormat::Structured, data);
            assert_eq!(post.fields["content-type"], "application/cloudevents+json");
            assert_eq!(post.fields["webhook-id"], "x_1_session-started");
            let mut want = object.clone();
            want["datacontenttype"] = json!(kind);
            want[member] = value;
            assert_eq!(serde_json::from_slice::<Value>(&post.body).unwrap(), want);
        }
    }

    #[test]
    fn in_binary_mode_an_event_has_its_attributes_in_fields_and_its_data_as_body() {
        let post = of(EventFormat::Binary, Data::User { user_id: "a".into() });
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-type", "session.started"),
            ("ce-id", "x_1_session-started"),
            ("webhook-id", "x_1_session-started"),
            ("ce-time", "2023-11-14T22:13:20.123Z"),
            ("ce-userid", "Zo%C3%AB%20100%25"),
            ("ce-sequence", "1"),
            ("ce-generation", "1"),
            ("ce-sessionid", "AAAAAAAAAAAAAAAAAAAAAA"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(post.fields[name], value, "{name}");
        }
        assert_eq!(&post.body[..], br#"{"userId":"a"}"#);
    }

    #[test]
    fn in_binary_mode_a_message_is_the_body_as_the_client_sent_it() {
        let cases = [
            (Data::Text("grüß".into()), "text/plain; charset=utf-8", "grüß".as_bytes()),
            (Data::Binary("AQID".into()), "application/octet-stream", &[1, 2, 3]),
        ];
        for (data, kind, want) in cases {
            let post = of(EventFormat::Binary, data);
            assert_eq!(post.fields["content-type"], kind);
            assert_eq!(post.body, want);
        }
    }

    #[test]
    fn the_same_events_are_a_batch_of_the_same_id() {
        let secret = Secret::read(SECRET).unwrap();
        let at = |now| Signer { secret: &secret, now: Timestamp(now) };
        let event = written(Data::Text("a".into()));
        let post = batch(&at(0), std::slice::from_ref(&event)).unwrap();
        assert_eq!(post.fields["content-type"], "application/cloudevents-batch+json");
        let body: Vec<Value> = serde_json::from_slice(&post.body).unwrap();
        assert_eq!((body.len(), &body[0]["data"]), (1, &json!("a")));
        let again = batch(&at(60_000), std::slice::from_ref(&event)).unwrap();
        assert_eq!(again.fields["webhook-id"], post.fields["webhook-id"]);
        let other = batch(&at(0), &[event.clone(), event]).unwrap();
        assert_ne!(other.fields["webhook-id"], post.fields["webhook-id"]);
        assert_eq!(serde_json::from_slice::<Vec<Value>>(&other.body).unwrap().len(), 2);
    }

    /// docs/sessions.md names these.
    #[test]
    fn the_longest_body_is_as_long_as_the_documentation_says() {
        const MIB: usize = 1024 * 1024;
        let bytes = STANDARD.encode(vec![0; MAX_PAYLOAD]);
        for (data, limit) in [
            (Data::Binary(bytes), MIB * 14 / 10),
            (Data::Text("x".repeat(MAX_PAYLOAD)), MIB * 11 / 10),
            (Data::Text("\u{1}".repeat(MAX_PAYLOAD)), MIB * 61 / 10),
        ] {
            let length = of(EventFormat::Structured, data).body.len();
            assert!((MAX_PAYLOAD..limit).contains(&length), "{length}");
        }
    }

    #[test]
    fn a_time_that_no_clock_should_show_is_written_all_the_same() {
        let secret = Secret::read(SECRET).unwrap();
        let signer = Signer { secret: &secret, now: Timestamp(u64::MAX) };
        let asked = Asked { id: "id", r#type: "connect", session_id: None, user: None };
        let post = question(&signer, EventFormat::Binary, &asked, &json!({})).unwrap();
        assert_eq!(post.fields["ce-time"], "9999-12-31T23:59:59.999Z");
    }
}
