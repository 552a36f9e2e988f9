//! What the backend answers to an event: messages for its session, and an end of it.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::decision::quote;
use super::failure::{Kind, NotTaken};
use crate::session::wire::{FinalClose, MAX_PAYLOAD, Payload, SESSION_ENDED};

/// Messages in one answer at most: all of them are put into one commit. More go through the API.
pub const MAX_SENDS: usize = 64;

/// What the backend answers to an event: it is for the event's own session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Messages for the client, in this order.
    pub send: Vec<Payload>,
    /// Then the session is ended so.
    pub close: Option<FinalClose>,
}

/// The same as the backend writes it.
#[derive(Default, Deserialize)]
struct Written<'a> {
    #[serde(default, borrow)]
    send: Option<Vec<Message<'a>>>,
    #[serde(default)]
    close: Option<Close>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Message<'a> {
    Text(String),
    #[serde(borrow)]
    Binary(Cow<'a, str>),
}

#[derive(Deserialize)]
struct Close {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    reason: Option<String>,
}

/// Reads an answer of 2xx. What is no JSON object, `OK` say, means nothing beside its status.
///
/// # Errors
/// What is malformed, in a sentence: nothing of such an answer is done.
pub(super) fn answer(body: &[u8]) -> Result<Answer, String> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Ok(Answer::default());
    }
    let written: Written<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    written.read()
}

impl Written<'_> {
    fn read(self) -> Result<Answer, String> {
        let send = self.send.unwrap_or_default();
        if send.len() > MAX_SENDS {
            return Err(format!("send has {} messages; {MAX_SENDS} at most", send.len()));
        }
        let send = send.into_iter().enumerate();
        let send = send
            .map(|(at, message)| message.read().map_err(|wrong| format!("send[{at}]: {wrong}")));
        Ok(Answer {
            send: send.collect::<Result<_, _>>()?,
            close: self.close.map(Close::read).transpose()?,
        })
    }
}

impl Message<'_> {
    fn read(self) -> Result<Payload, String> {
        let (payload, length) = match self {
            Message::Text(text) => {
                let length = text.len();
                (Payload::Text(text), length)
            }
            Message::Binary(base64) => {
                let bytes = STANDARD.decode(base64.as_bytes());
                let bytes = bytes.map_err(|error| format!("binary is not base64: {error}"))?;
                let length = bytes.len();
                (Payload::Binary(bytes), length)
            }
        };
        match length {
            0..=MAX_PAYLOAD => Ok(payload),
            long => Err(format!("the message has {long} bytes; {MAX_PAYLOAD} at most")),
        }
    }
}

impl Close {
    fn read(self) -> Result<FinalClose, String> {
        let code = self.code.unwrap_or(SESSION_ENDED);
        FinalClose::new(code, self.reason.unwrap_or_default())
            .map_err(|error| format!("close: {error}"))
    }
}

/// A verdict on one event of a batch; beside it stands what [`Written`] has.
#[derive(Deserialize)]
struct Verdict {
    id: String,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    reason: Option<String>,
}

/// A verdict with what stands beside it.
#[derive(Deserialize)]
struct Whole<'a> {
    id: String,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default, borrow)]
    send: Option<Vec<Message<'a>>>,
    #[serde(default)]
    close: Option<Close>,
}

/// What became of an event of a batch: taken, with what the backend wants to be done, or with what
/// is malformed in that; or not taken.
pub(super) type Taken = Result<Result<Answer, String>, NotTaken>;

/// The verdicts in an answer of 2xx to a batch, by the id of their event.
///
/// # Errors
/// Why there are none.
pub(super) fn verdicts(
    status: StatusCode,
    body: &[u8],
) -> Result<HashMap<String, Taken>, NotTaken> {
    let wrong = |why: String| NotTaken::new(Kind::Answered(status), why);
    // Read once as a whole; one by one only where something in it is malformed, for the others
    // count all the same.
    if let Ok(all) = serde_json::from_slice::<Vec<Whole<'_>>>(body) {
        let mut verdicts = HashMap::with_capacity(all.len());
        for Whole { id, status, reason, send, close } in all {
            let verdict = Verdict { id, status, reason };
            let taken = verdict.taken(|| Ok(Written { send, close }));
            verdicts.entry(verdict.id).or_insert(taken);
        }
        return Ok(verdicts);
    }
    let all: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
        wrong(format!(
            "a batch is answered with a JSON array that has a verdict for each event, like \
             [{{\"id\": \"…\", \"status\": 200}}]: {error}; it said {}",
            quote(body)
        ))
    })?;
    let mut verdicts = HashMap::with_capacity(all.len());
    for raw in all {
        // What has no id is no verdict: the event that it was meant for is not taken.
        let Ok(verdict) = serde_json::from_str::<Verdict>(raw.get()) else { continue };
        let written = || serde_json::from_str(raw.get()).map_err(|error| error.to_string());
        let taken = verdict.taken(written);
        verdicts.entry(verdict.id).or_insert(taken);
    }
    Ok(verdicts)
}

impl Verdict {
    fn taken<'a>(&self, written: impl FnOnce() -> Result<Written<'a>, String>) -> Taken {
        let answered = |status, why: String| Err(NotTaken::new(Kind::Answered(status), why));
        let Some(status) = self.status.and_then(|status| StatusCode::from_u16(status).ok()) else {
            let why = "the verdict on it has no status, like 200 or 500";
            return answered(StatusCode::OK, why.to_owned());
        };
        if status.is_success() {
            return Ok(written().and_then(Written::read));
        }
        let reason = self.reason.as_deref().unwrap_or_default();
        answered(status, format!("the verdict on it is {status}: {}", quote(reason.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(value: &serde_json::Value) -> Result<Answer, String> {
        answer(value.to_string().as_bytes())
    }

    #[test]
    fn an_answer_may_send_messages_and_end_the_session() {
        let written = json!({
            "send": [{ "text": "grüß" }, { "binary": "AQID" }],
            "close": { "code": 4000, "reason": "enough" },
        });
        assert_eq!(
            said(&written).unwrap(),
            Answer {
                send: vec![Payload::Text("grüß".into()), Payload::Binary(vec![1, 2, 3])],
                close: Some(FinalClose::new(4000, "enough").unwrap()),
            }
        );
        let ended = said(&json!({ "close": {} })).unwrap().close;
        assert_eq!(ended, Some(FinalClose::new(4003, "").unwrap()));
    }

    #[test]
    fn what_is_no_object_means_nothing() {
        for body in ["", "OK", "<html>", "[1]", "true", " {\"ok\":true}", "{\"send\":null}"] {
            assert_eq!(answer(body.as_bytes()), Ok(Answer::default()), "{body}");
        }
    }

    #[test]
    fn what_is_malformed_is_named() {
        let many: Vec<_> = (0..65).map(|_| json!({ "text": "" })).collect();
        let long = "x".repeat(MAX_PAYLOAD + 1);
        for (written, want) in [
            (json!({ "send": many }), "send has 65 messages; 64 at most"),
            (json!({ "send": [{ "text": "" }, { "binary": "*" }] }), "send[1]: binary is not"),
            (json!({ "send": [{ "txt": "" }] }), "unknown variant `txt`, expected `text` or"),
            (json!({ "send": "hello" }), "expected a sequence"),
            (json!({ "send": [{ "text": long }] }), "the message has 1048577 bytes"),
            (json!({ "close": { "code": 1005 } }), "close: a Close with 1005 does not end"),
            (json!({ "close": { "code": 1011 } }), "close: a Close with 1011 does not end"),
            (json!({ "close": { "code": 4000, "reason": "x".repeat(124) } }), "close: "),
        ] {
            let error = said(&written).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
        assert!(answer(b"{oops").unwrap_err().contains("key must be a string"));
    }

    fn batch(value: &serde_json::Value) -> HashMap<String, Taken> {
        verdicts(StatusCode::OK, value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn each_event_of_a_batch_has_a_verdict_of_its_own() {
        let mut all = batch(&json!([
            { "id": "a", "status": 200 },
            { "id": "b", "status": 204, "send": [{ "text": "hello" }] },
            { "id": "c", "status": 200, "send": [{ "binary": "*" }] },
            { "id": "d", "status": 422, "reason": "no such room" },
            { "id": "e" },
            { "id": "a", "status": 500 },
        ]));
        let mut of = |id: &str| all.remove(id).unwrap();
        assert_eq!(of("a").unwrap(), Ok(Answer::default()), "the first verdict counts");
        assert_eq!(of("b").unwrap().unwrap().send, [Payload::Text("hello".into())]);
        assert!(of("c").unwrap().unwrap_err().contains("send[0]: binary"));
        let refused = of("d").unwrap_err();
        assert_eq!(refused.kind(), Kind::Answered(StatusCode::UNPROCESSABLE_ENTITY));
        assert!(refused.why.contains("no such room") && refused.is_final());
        assert!(of("e").unwrap_err().why.contains("no status"));
        assert!(all.is_empty());
    }

    #[test]
    fn a_batch_that_is_not_answered_with_verdicts_is_not_taken() {
        for body in ["", "OK", r#"{"id":"a","status":200}"#] {
            let error = verdicts(StatusCode::OK, body.as_bytes()).unwrap_err();
            assert!(error.why.contains("verdict"), "{error}");
            assert!(!error.is_final());
        }
        for body in ["[]", "[5]", r#"[{"status":200}]"#] {
            assert!(verdicts(StatusCode::OK, body.as_bytes()).unwrap().is_empty(), "{body}");
        }
    }
}
