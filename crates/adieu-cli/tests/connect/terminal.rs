//! What a terminal gets of a server that writes control characters, and what a pipe gets.

use std::fs::File;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use testkit::{Frame, Listener, Peer};

use crate::world::{close, command, read_all, refuse};

/// Sets the title, fills the clipboard, moves the cursor, overwrites its line, rings, and says CSI
/// in one character.
const EVIL: &str =
    "\u{1b}]0;owned\u{7}\u{1b}]52;c;b3duZWQ=\u{7}\u{1b}[2J\rover\u{8}\u{9b}31m\u{7f}";

/// Which stream is a terminal.
#[derive(Clone, Copy, PartialEq)]
enum On {
    Stdout,
    Stderr,
}

/// What the terminal got: the command runs with it as one stream, against a server that does this.
fn shown(on: On, serve: impl FnOnce(Peer)) -> String {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let terminal = openpt(flags).expect("a pseudo-terminal");
    grantpt(&terminal).expect("its rights");
    unlockpt(&terminal).expect("it is unlocked");
    let user = ioctl_tiocgptpeer(&terminal, flags).expect("its other end");
    let listener = Listener::bind();
    let url = listener.url();
    let mut command = command(&[&url, "--no-input", "-v"]);
    match on {
        On::Stdout => command.stdout(Stdio::from(user)),
        On::Stderr => command.stderr(Stdio::from(user)),
    };
    let child = command.spawn().expect("adieu runs");
    // The last copy of the other end outside the child: the terminal ends with the child.
    drop(command);
    let shown = read_all(File::from(terminal));
    serve(listener.accept());
    let _ = child.wait_with_output().expect("an end");
    let shown = String::from_utf8(shown.join().expect("a reader")).expect("text");
    // A terminal's own doing: each line end of ours begins at the left again.
    shown.replace("\r\n", "\n")
}

fn harmless(shown: &str) {
    let harmful = |c: &char| c.is_control() && !['\n', '\t'].contains(c);
    assert_eq!(shown.chars().find(harmful), None, "{shown:?}");
}

#[test]
fn messages_on_a_terminal_have_no_control_characters() {
    let shown = shown(On::Stdout, |mut server| {
        server.answer_101();
        let text = format!("{EVIL}|é😀\ttab\nline");
        server.send_all(&[Frame::text(text), Frame::binary(EVIL)]);
        close(&mut server, &Frame::close(1000, ""));
    });
    harmless(&shown);
    assert!(shown.starts_with("\\x1b]0;owned\\x07"), "{shown}");
    assert!(shown.contains("\\rover\\x08\\x9b31m\\x7f|é😀\ttab\nline\n[binary, "), "{shown}");
}

#[test]
fn reasons_and_heads_on_a_terminal_have_no_control_characters() {
    let shown = shown(On::Stderr, |mut server| {
        // Of control characters, HTTP's grammar lets tabs and what is beyond ASCII pass.
        server.answer_101_with("X-Evil: \u{9b}31m\r\nX-Raw: \t.\r\n");
        let reason = "\u{1b}]0;owned\u{7}\r\u{9b}31m";
        close(&mut server, &Frame::close(4000, reason));
    });
    harmless(&shown);
    assert!(shown.contains("X-Evil: \\x9b31m"), "{shown}");
    assert!(shown.contains("]0;owned") && shown.contains("4000"), "{shown}");
}

#[test]
fn a_refusal_on_a_terminal_has_no_control_characters() {
    let body = format!("{EVIL}\u{0}\nend");
    let answer = format!(
        "HTTP/1.1 403 No\u{9b}31m\r\nX-Evil: \u{9b}31m\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let shown = shown(On::Stderr, |server| refuse(server, &answer));
    harmless(&shown);
    assert!(shown.contains("\\x1b]0;owned\\x07") && shown.contains("\\x00\nend\n"), "{shown}");
    assert!(shown.contains("X-Evil: \\x9b31m"), "{shown}");
}

#[test]
fn bytes_that_are_no_utf_8_do_not_reach_a_terminal_either() {
    let answer = b"HTTP/1.1 403 No\r\nX-Evil: \x9b31m\r\nContent-Length: 4\r\n\r\n\x9b31m";
    let shown = shown(On::Stderr, |server| refuse(server, answer));
    harmless(&shown);
    assert!(shown.contains("<\n\\x9b31m\n") && shown.contains("X-Evil: \\x9b31m\n"), "{shown}");
}

#[test]
fn a_pipe_gets_the_bytes_as_they_are() {
    let listener = Listener::bind();
    let child = command(&[&listener.url(), "--no-input"]).spawn().expect("adieu runs");
    let mut server = listener.accept();
    server.answer_101();
    server.send(&Frame::text(EVIL));
    close(&mut server, &Frame::close(1000, "\u{1b}c"));
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.stdout, format!("{EVIL}\n").as_bytes());
    // A reason stands in a sentence, and stays one line there.
    assert!(!output.stderr.contains(&0x1b), "{:?}", String::from_utf8_lossy(&output.stderr));
}
