//! `--compress`, against a server that inflates with a library that is not ours.

use std::io::Write;

use testkit::{Frame, Inflater, Listener, deflated};

use crate::world::{Said, close, connect, ended, json, opened};

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const AGREED: &str = "permessage-deflate; client_max_window_bits=12";

/// A line that shrinks.
fn line(number: usize) -> String {
    (0..100).map(|word| format!("word {word} of line {number}, ")).collect()
}

/// A run against a server that agrees, hears two lines and answers one; what was sent, and as how
/// many bytes, then the same of what was received.
fn talk(args: &[&str]) -> (Said, [usize; 4]) {
    let listener = Listener::bind();
    let mut client = connect(&[&[listener.url().as_str(), "--compress"], args].concat());
    let mut server = listener.accept();
    let fields = format!("Sec-WebSocket-Extensions: {AGREED}\r\n");
    let request = server.answer_101_with(&fields);
    assert_eq!(request.field("Sec-WebSocket-Extensions"), Some(OFFER));
    let mut stdin = client.stdin.take().expect("a standard input");
    let mut inflater = Inflater::default();
    let mut bytes = [0; 4];
    for number in 1..=2 {
        // In one piece: bytes are sent as they are read.
        stdin.write_all(format!("{}\n", line(number)).as_bytes()).expect("a line");
        let frame = server.read_frame();
        assert_eq!(frame.reserved, 0b100, "{frame:x?}");
        let text = inflater.text(&frame.payload);
        assert_eq!(text.trim_end_matches('\n'), line(number));
        bytes[0] += text.len();
        bytes[1] += frame.payload.len();
    }
    let answer = deflated(line(3));
    (bytes[2], bytes[3]) = (line(3).len(), answer.len());
    server.send(&Frame::text(answer).reserved(0b100));
    close(&mut server, &Frame::close(1000, ""));
    let said = ended(client);
    drop(stdin);
    (said, bytes)
}

#[test]
fn what_was_agreed_on_is_said_and_at_the_end_the_bytes_before_and_after() {
    let (said, [sent, sent_as, received, received_as]) = talk(&[]);
    assert_eq!((said.out.trim_end_matches('\n'), said.code), (&*line(3), Some(0)), "{said:?}");
    assert!(said.err.contains(&format!(": RFC 6455, {AGREED}\n")), "{said:?}");
    let row = format!(
        "compressed      sent {sent} bytes as {sent_as}, received {received} bytes as {received_as}"
    );
    assert!(said.err.contains(&row), "{row}: {said:?}");
}

#[test]
fn bytes_are_compressed_where_bytes_are_sent_and_a_script_reads_how_many() {
    let (said, [sent, sent_as, received, received_as]) = talk(&["--binary", "--json"]);
    let want = serde_json::json!({
        "sent": sent, "sentAs": sent_as, "received": received, "receivedAs": received_as
    });
    assert_eq!(json(&said)["ending"]["compressed"], want, "{said:?}");
}

#[test]
fn a_server_that_does_not_agree_is_named_and_nothing_is_compressed() {
    let said = opened(&["--compress"], |server| close(server, &Frame::close(1000, "")));
    assert!(said.err.contains(", not compressed: the server did not agree\n"), "{said:?}");
    assert!(!said.err.contains("  compressed "), "{said:?}");
}

#[test]
fn without_the_option_it_is_not_offered() {
    let listener = Listener::bind();
    let client = connect(&[&listener.url()]);
    let mut server = listener.accept();
    assert_eq!(server.answer_101().field("Sec-WebSocket-Extensions"), None);
    close(&mut server, &Frame::close(1000, ""));
    let said = ended(client);
    assert!(!said.err.contains("ompress"), "{said:?}");
}
