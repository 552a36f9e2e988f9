//! What the backend answers to a question.

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::failure::{ABOUT_SIGNATURES, Kind, NotTaken, cut};

/// Bytes of a user id at most: it stands in each event.
const MAX_USER: usize = 256;

/// Bytes of `meta` as JSON at most: it is kept with the session and stands in each event.
const MAX_META: usize = 4 * 1024;

/// Characters of what the backend answers that are quoted.
const QUOTED: usize = 200;

/// What the backend said of a client that may have a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// As whom it knows the person.
    pub user: Option<String>,
    /// For a client that does not speak adieu.v1: what to agree on.
    pub subprotocol: Option<String>,
    /// What it wants to be told with each event of the session.
    pub meta: Option<Map<String, Value>>,
    /// The id of the question; none where nobody was asked.
    pub question: Option<String>,
}

/// What the backend decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may have a session.
    Accepted(Accepted),
    /// It may not.
    Refused {
        /// The status of the answer, for a client that does not speak adieu.v1.
        status: u16,
        /// Why, for people.
        reason: String,
    },
    /// There was no answer that could be understood. The client comes back by itself.
    Unavailable(NotTaken),
}

impl Decision {
    /// Without a backend everybody may.
    #[must_use]
    pub fn accepted() -> Self {
        Decision::Accepted(Accepted::default())
    }
}

/// Reads an answer. A verdict on a person is 2xx, or 4xx with a JSON object that has a `reason`.
/// All other answers may come from anything on the way, or mean the gateway itself.
pub(super) fn decision(status: StatusCode, body: &[u8]) -> Result<Decision, NotTaken> {
    let answered = |why: String| NotTaken::new(Kind::Answered(status), why);
    if status.is_success() {
        let accepted = object(body).and_then(|answer| accepted(&answer));
        return accepted.map_err(|wrong| {
            let (wrong, said) = (cut(&wrong), quote(body));
            answered(format!("the backend answered wrongly: {wrong}; it said {said}"))
        });
    }
    let reason = object(body).ok().and_then(|mut answer| answer.remove("reason"));
    match (status, reason) {
        (status, Some(Value::String(reason))) if status.is_client_error() => {
            let unnamed = || "refused by the backend".to_owned();
            let reason = Some(reason).filter(|reason| !reason.is_empty()).unwrap_or_else(unnamed);
            Ok(Decision::Refused { status: status.as_u16(), reason })
        }
        (status, _) => Err(refusal(status, body)),
    }
}

/// An answer that is no verdict.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> NotTaken {
    let said = format!("the backend answered {status}: {}", quote(body));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            NotTaken::new(Kind::BadSignature, format!("{said}; {ABOUT_SIGNATURES}"))
        }
        _ => NotTaken::new(Kind::Answered(status), said),
    }
}

/// An empty body is an empty object.
fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|error| format!("the body is no JSON object: {error}"))
}

fn accepted(answer: &Map<String, Value>) -> Result<Decision, String> {
    let user = user(answer)?;
    let subprotocol = match present(answer, "subprotocol") {
        None => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(other) => return Err(format!("subprotocol is {other}; it has to be a string")),
    };
    let meta = meta(answer)?;
    Ok(Decision::Accepted(Accepted { user, subprotocol, meta, question: None }))
}

fn present<'a>(answer: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    answer.get(name).filter(|value| !value.is_null())
}

/// A number is refused: in JavaScript it is another one above 2^53, and the same person would have
/// two names, 5 and "5", in what the backend compares.
fn user(answer: &Map<String, Value>) -> Result<Option<String>, String> {
    let user = match present(answer, "userId") {
        None => return Ok(None),
        Some(Value::String(user)) => user.clone(),
        Some(other) => return Err(format!("userId is {other}; it has to be a string, like \"5\"")),
    };
    match user.len() {
        // An empty one would make one person of all whom nobody knows.
        0 => Ok(None),
        1..=MAX_USER => Ok(Some(user)),
        long => Err(format!("userId has {long} bytes; {MAX_USER} at most")),
    }
}

fn meta(answer: &Map<String, Value>) -> Result<Option<Map<String, Value>>, String> {
    let meta = match present(answer, "meta") {
        None => return Ok(None),
        Some(Value::Object(meta)) => meta.clone(),
        Some(other) => return Err(format!("meta is {other}; it has to be an object")),
    };
    match serde_json::to_vec(&meta).unwrap_or_default().len() {
        0..=MAX_META => Ok(Some(meta)),
        long => Err(format!("meta has {long} bytes as JSON; {MAX_META} at most")),
    }
}

pub(super) fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * QUOTED)]);
    format!("{:?}", text.chars().take(QUOTED).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: u16, body: &str) -> Result<Decision, NotTaken> {
        decision(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    fn accepted_as(user: &str) -> Result<Decision, NotTaken> {
        Ok(Decision::Accepted(Accepted { user: Some(user.into()), ..Accepted::default() }))
    }

    #[test]
    fn an_answer_is_a_status_and_may_be_an_object() {
        assert_eq!(said(200, r#"{"userId":"anna"}"#), accepted_as("anna"));
        for nobody in ["", "{}", r#"{"userId":""}"#, r#"{"userId":null,"meta":null}"#] {
            assert_eq!(said(200, nobody), Ok(Decision::accepted()), "{nobody}");
        }
        let refused = |status, reason: &str| Decision::Refused { status, reason: reason.into() };
        assert_eq!(said(403, r#"{"reason":"banned"}"#), Ok(refused(403, "banned")));
        assert_eq!(said(401, r#"{"reason":""}"#), Ok(refused(401, "refused by the backend")));
        assert_eq!(said(409, r#"{"reason":"twice"}"#), Ok(refused(409, "twice")));
    }

    #[test]
    fn a_user_id_that_is_no_string_is_told_so() {
        for wrong in ["5", "5.5", "true", "[1]"] {
            let error = said(200, &format!(r#"{{"userId":{wrong}}}"#)).unwrap_err();
            let why = format!("userId is {wrong}; it has to be a string, like \"5\"");
            assert!(error.why.contains(&why), "{error}");
            assert_eq!(error.for_clients(), "the backend answered wrongly");
        }
    }

    #[test]
    fn meta_is_an_object_of_4_kib_at_most() {
        let answer = json!({ "meta": { "room": "blue", "x": "y".repeat(4_000) } });
        let Ok(Decision::Accepted(Accepted { meta: Some(meta), .. })) =
            said(200, &answer.to_string())
        else {
            panic!("accepted");
        };
        assert_eq!(meta["room"], "blue");
        let long = json!({ "meta": { "x": "y".repeat(4_096) } }).to_string();
        assert!(said(200, &long).unwrap_err().why.contains("meta has 4104 bytes"));
        let error = said(200, r#"{"meta":"blue"}"#).unwrap_err();
        assert!(error.why.contains("meta is \"blue\"; it has to be an object"), "{error}");
    }

    #[test]
    fn what_is_answered_wrongly_is_told_so() {
        let long = format!(r#"{{"userId":"{}"}}"#, "x".repeat(300));
        for (body, why) in [
            ("{oops", "the body is no JSON object: key must be a string"),
            ("<html>", "it said \"<html>\""),
            ("[1]", "the body is no JSON object: invalid type: sequence"),
            ("{", "the body is no JSON object: EOF"),
            (&long, "userId has 300 bytes; 256 at most"),
            (r#"{"subprotocol":1}"#, "subprotocol is 1; it has to be a string"),
        ] {
            let error = said(200, body).unwrap_err();
            assert!(error.why.contains(why), "{error}");
            assert_eq!(error.kind(), Kind::Answered(StatusCode::OK));
            assert_eq!(error.for_clients(), "the backend answered wrongly");
        }
    }

    #[test]
    fn a_refused_signature_is_no_verdict_on_a_person() {
        for (status, body) in [(401, ""), (403, "<html>"), (401, r#"{"error":"x"}"#), (403, "{")] {
            let error = said(status, body).unwrap_err();
            assert_eq!(error.kind(), Kind::BadSignature, "{status} {body}");
            assert!(error.why.contains("ADIEU_BACKEND_SECRET"), "{error}");
        }
    }

    #[test]
    fn what_may_come_from_anything_on_the_way_is_no_verdict_on_a_person() {
        for (status, body) in [
            (500, ""),
            (500, r#"{"reason":"crashed"}"#),
            (302, ""),
            (404, ""),
            (400, r#"{"error":"bad signature"}"#),
            (429, "slow down"),
            (403, r#"{"reason":5}"#),
        ] {
            let error = said(status, body).unwrap_err();
            assert!(error.why.contains(&format!("answered {status}")), "{error}");
        }
    }
}
