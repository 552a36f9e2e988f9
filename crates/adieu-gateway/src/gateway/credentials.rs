//! What of a request tells one person from another.

use crate::hook::Question;

/// The credentials of a request, as one text: the cookies of these names (all, if none is named),
/// the authorization, the query, and what the client offers as a credential.
pub(super) fn of(question: &Question, cookies: &[String]) -> String {
    let mut text = String::new();
    for (name, value) in &question.headers {
        if name.eq_ignore_ascii_case("cookie") {
            let mut named: Vec<_> = value
                .split(';')
                .map(str::trim)
                .filter(|cookie| cookies.is_empty() || is_named(cookie, cookies))
                .collect();
            named.sort_unstable();
            add(&mut text, "cookie", &named.join(";"));
        } else if name.eq_ignore_ascii_case("authorization") {
            add(&mut text, "authorization", value);
        }
    }
    add(&mut text, "query", question.query.as_deref().unwrap_or_default());
    add(&mut text, "token", question.token.as_deref().unwrap_or_default());
    text
}

fn is_named(cookie: &str, names: &[String]) -> bool {
    cookie.split_once('=').is_some_and(|(name, _)| names.iter().any(|named| named == name))
}

/// With its length: no value can be read as a part of another.
fn add(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("{name}:{}:{value}\n", value.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(cookie: &str, authorization: &str, query: &str) -> Question {
        Question {
            query: Some(query.to_owned()),
            headers: vec![
                ("Cookie".to_owned(), cookie.to_owned()),
                ("authorization".to_owned(), authorization.to_owned()),
                ("user-agent".to_owned(), "of no interest".to_owned()),
            ],
            ..Question::default()
        }
    }

    #[test]
    fn what_tells_persons_apart_makes_a_difference() {
        let one = of(&question("sid=1; theme=dark", "Basic a", "user=anna"), &[]);
        for (other, what) in [
            (question("sid=2; theme=dark", "Basic a", "user=anna"), "the cookie"),
            (question("sid=1; theme=dark", "Basic b", "user=anna"), "the authorization"),
            (question("sid=1; theme=dark", "Basic a", "user=bob"), "the query"),
        ] {
            assert_ne!(of(&other, &[]), one, "{what}");
        }
        let order = question("theme=dark;sid=1", "Basic a", "user=anna");
        assert_eq!(of(&order, &[]), one, "the order of the cookies");
    }

    #[test]
    fn of_cookies_that_are_named_no_other_counts() {
        let named = ["sid".to_owned()];
        let one = of(&question("sid=1; _ga=5", "", ""), &named);
        assert_eq!(of(&question("_ga=6; sid=1", "", ""), &named), one);
        assert_ne!(of(&question("_ga=5; sid=2", "", ""), &named), one);
    }
}
