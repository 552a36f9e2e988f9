//! What `adieu check` finds of compression: of Adieu with it and without it, and of servers that
//! do one thing wrong each.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use testkit::{Frame, Head};

use super::{example, finding, free_port, next, report, result};

const ALL: &str = "deflate_offers,deflate,deflate_errors,deflate_cut,deflate_bomb";

const IDS: [&str; 5] =
    ["deflate_offers", "deflate", "deflate_errors", "deflate_cut", "deflate_bomb"];

/// The results of an example of ours, in the order of `IDS`.
fn ours(name: &str, option: &str) -> Value {
    let addr = format!("127.0.0.1:{}", free_port());
    let line = format!("{} {addr} {option}", example(name).display());
    report(&[&format!("ws://{addr}/"), "--only", ALL, "--cmd", line.trim()]).0
}

fn results(report: &Value) -> Vec<String> {
    IDS.iter().map(|id| result(report, id)).collect()
}

#[test]
fn adieu_with_compression_is_found_well() {
    let report = ours("checked", "--compress");
    assert_eq!(results(&report), ["ok"; 5], "{report:#}");
    let messages = &finding(&report, "deflate")["figures"];
    assert!(messages["compressed_answers"].as_u64() > Some(0), "{messages:#}");
    assert_eq!(messages["declined"], 0, "{messages:#}");
    let bomb = finding(&report, "deflate_bomb");
    assert_eq!(bomb["figures"]["code"], 1009, "{bomb:#}");
    assert_eq!(bomb["figures"]["unpacked_bytes"], 64 << 20, "{bomb:#}");
    let summary = bomb["summary"].as_str().expect("a summary");
    assert!(summary.contains("that unpack to 64 MiB: refused with Close 1009"), "{summary}");
}

#[test]
fn a_server_that_takes_64_mib_takes_the_message_that_unpacks_to_them() {
    // The echo for test suites allows exactly so much.
    let report = ours("echo", "--compress");
    assert_eq!(results(&report), ["ok", "ok", "ok", "ok", "bad"], "{report:#}");
    let bomb = &finding(&report, "deflate_bomb")["figures"];
    assert_eq!((&bomb["taken"], &bomb["server_alive"]), (&true.into(), &true.into()), "{bomb:#}");
}

#[test]
fn without_compression_offers_are_answered_and_the_rest_is_skipped() {
    let report = ours("echo", "");
    assert_eq!(results(&report), ["ok", "skipped", "skipped", "skipped", "skipped"], "{report:#}");
    let offers = finding(&report, "deflate_offers");
    assert_eq!(offers["figures"]["agreed"], Value::Null, "{offers:#}");
    assert!(offers["summary"].as_str().is_some_and(|it| it.contains("no compression")));
}

/// What a server says to the offer of a client: `Err` is an HTTP status.
type Answer = fn(offer: Option<&str>) -> Result<Option<String>, u16>;

/// What it does with a frame of data.
type React = fn(&Frame) -> Does;

enum Does {
    Say(Frame),
    Close(u16),
    /// A FIN without a Close.
    Fin,
    /// Nobody is served any more, as if the process had ended.
    Die,
}

/// A server that answers as it is told. Its URL; it ends with the test.
fn scripted(answer: Answer, react: React) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    let dead = Arc::new(AtomicBool::new(false));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let dead = Arc::clone(&dead);
            if !dead.load(Ordering::SeqCst) {
                thread::spawn(move || connection(stream, answer, react, &dead));
            }
        }
    });
    format!("ws://{addr}/")
}

fn connection(
    mut stream: TcpStream,
    answer: Answer,
    react: React,
    dead: &AtomicBool,
) -> Option<()> {
    let mut bytes = Vec::new();
    let head = next(&mut stream, &mut bytes, Head::parse)?;
    let extensions = match answer(head.field("sec-websocket-extensions")) {
        Ok(field) => field.map(|it| format!("Sec-WebSocket-Extensions: {it}\r\n")),
        Err(status) => {
            let refusal = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
            return stream.write_all(refusal.as_bytes()).ok();
        }
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{}\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        extensions.unwrap_or_default(),
        testkit::accept_key(head.field("sec-websocket-key")?)
    );
    stream.write_all(answer.as_bytes()).ok()?;
    while let Some(frame) = next(&mut stream, &mut bytes, Frame::parse) {
        if frame.opcode == 0x8 {
            return stream.write_all(&Frame::new(0x8, &frame.payload).unmasked()).ok();
        }
        match react(&frame) {
            Does::Say(frame) => stream.write_all(&frame.unmasked()).ok()?,
            Does::Close(code) => {
                stream.write_all(&Frame::close(code, "").unmasked()).ok()?;
                // Reads to the client's answer, so that no RST overtakes the Close.
                while next(&mut stream, &mut bytes, Frame::parse)?.opcode != 0x8 {}
                return None;
            }
            Does::Fin => {
                let _ = stream.shutdown(std::net::Shutdown::Write);
                while next(&mut stream, &mut bytes, Frame::parse).is_some() {}
                return None;
            }
            Does::Die => {
                dead.store(true, Ordering::SeqCst);
                return None;
            }
        }
    }
    None
}

/// Says every frame back as it came, marked and cut as it is. With takeover on both sides that is
/// an echo that never unpacks anything.
fn mirror(frame: &Frame) -> Does {
    Does::Say(frame.clone())
}

/// Agrees on compression where nothing but what it understands is offered.
fn agree(offer: Option<&str>) -> Result<Option<String>, u16> {
    let plain = ["permessage-deflate", "permessage-deflate; client_max_window_bits"];
    Ok(offer.filter(|offer| plain.contains(offer)).map(|_| "permessage-deflate".to_owned()))
}

/// The finding, for a server that does this.
fn found(id: &str, answer: Answer, react: React) -> Value {
    let (report, _) = report(&[&scripted(answer, react), "--only", id]);
    finding(&report, id).clone()
}

/// The sentences about what fell short.
fn others(finding: &Value) -> String {
    finding["figures"]["others"].to_string()
}

#[test]
fn an_answer_that_was_not_offered_is_found_bad() {
    let wrong: [(Answer, &str); 5] = [
        (
            |_| Ok(Some("permessage-deflate; client_max_window_bits=10".to_owned())),
            "client_max_window_bits, which was not offered (RFC 7692 §7.1.2.2)",
        ),
        (|_| Ok(Some("x-webkit-deflate-frame".to_owned())), "`x-webkit-deflate-frame`"),
        (|_| Ok(Some(String::new())), "there and empty"),
        (|_| Ok(Some("permessage-deflate; level=9".to_owned())), "unknown `level`"),
        // The first connection, which finds out what the server is, offers nothing.
        (|offer| offer.map_or(Ok(None), |_| Err(503)), "refused with 503"),
    ];
    for (answer, why) in wrong {
        let finding = found("deflate_offers", answer, mirror);
        assert_eq!(finding["result"], "bad", "{finding:#}");
        assert!(others(&finding).contains(why), "{why}: {finding:#}");
        assert!(finding["remedy"].as_str().is_some_and(|it| it.contains("RFC 7692 §5, §7.1")));
    }
}

#[test]
fn an_offer_that_must_be_declined_and_is_accepted_is_weak() {
    // It looks at the name only, and never at what comes behind it.
    let answer: Answer = |offer| {
        let offer = offer.filter(|offer| offer.starts_with("permessage-deflate"));
        Ok(offer.map(|offer| match offer {
            _ if offer.contains("server_no_context_takeover") => {
                "permessage-deflate; server_no_context_takeover".to_owned()
            }
            _ if offer.contains("_bits=8") || offer.contains("10") => {
                "permessage-deflate; server_max_window_bits=8".to_owned()
            }
            _ => "permessage-deflate".to_owned(),
        }))
    };
    let finding = found("deflate_offers", answer, mirror);
    assert_eq!(finding["result"], "weak", "{finding:#}");
    assert_eq!(finding["figures"]["answered"], 10, "{finding:#}");
    let accepted =
        "`permessage-deflate; server_max_window_bits=16`: accepted, and must be declined";
    assert!(others(&finding).contains(accepted), "{finding:#}");
}

#[test]
fn a_window_that_was_asked_for_and_is_not_given_is_bad() {
    let answer: Answer = |offer| {
        let bits = offer.is_some_and(|offer| offer.contains("server_max_window_bits=8"));
        if bits { Ok(Some("permessage-deflate".to_owned())) } else { agree(offer) }
    };
    let finding = found("deflate_offers", answer, mirror);
    assert_eq!(finding["result"], "bad", "{finding:#}");
    assert!(others(&finding).contains("without server_max_window_bits=8"), "{finding:#}");
}

#[test]
fn a_server_that_looks_at_the_first_offer_only_is_weak() {
    let finding = found("deflate_offers", agree, mirror);
    assert_eq!(finding["result"], "weak", "{finding:#}");
    assert!(others(&finding).contains("the second offer could be accepted"), "{finding:#}");
    assert_eq!(finding["figures"]["agreed"], "permessage-deflate", "{finding:#}");
}

#[test]
fn messages_that_come_back_readable_are_well_and_others_are_bad() {
    let mirrored = found("deflate", agree, mirror);
    assert_eq!(mirrored["result"], "ok", "{mirrored:#}");
    // What it does not agree on is not asked for.
    assert_eq!(mirrored["figures"]["declined"], 3, "{mirrored:#}");
    let unmarked: React = |frame| Does::Say(frame.clone().reserved(0));
    let unmarked = found("deflate", agree, unmarked);
    assert_eq!(unmarked["result"], "bad", "{unmarked:#}");
    assert!(others(&unmarked).contains("a short text: `"), "{unmarked:#}");
    let refusing: React = |frame| match frame.reserved {
        0 => mirror(frame),
        _ => Does::Close(1002),
    };
    let refusing = found("deflate", agree, refusing);
    assert!(others(&refusing).contains("two blocks: Close 1002"), "{refusing:#}");
}

#[test]
fn a_limit_or_an_application_that_does_not_like_a_text_is_no_error_of_compression() {
    let small: React = |frame| match frame.payload.len() {
        ..1000 => mirror(frame),
        _ => Does::Close(1009),
    };
    let small = found("deflate", agree, small);
    assert_eq!((&small["result"], &small["figures"]["declined"]), (&"ok".into(), &4.into()));
    // It is no echo, and has words of its own.
    let strict = found("deflate", agree, |_| Does::Close(4000));
    assert_eq!(strict["result"], "ok", "{strict:#}");
    let lost = found("deflate", agree, |_| Does::Close(1007));
    assert!(others(&lost).contains("a stored block: Close 1007"), "{lost:#}");
}

/// Compresses what it says with a window of 32 KiB, whatever was agreed on.
fn wide(frame: &Frame) -> Does {
    if frame.reserved != 0 || frame.payload.len() < 1000 {
        return mirror(frame);
    }
    let mut payload = miniz_oxide::deflate::compress_to_vec(&frame.payload, 6);
    // A last block, and the byte of the empty one whose rest is left out (RFC 7692 §7.2.3.4).
    payload.push(0);
    Does::Say(Frame::text(payload).reserved(0b100))
}

#[test]
fn an_answer_that_refers_back_behind_the_agreed_window_is_bad() {
    let answer: Answer = |offer| match offer {
        Some(it) if it.contains("=8") || it.contains("=10") => {
            Ok(Some("permessage-deflate; server_max_window_bits=8".to_owned()))
        }
        _ => agree(offer),
    };
    let finding = found("deflate", answer, wide);
    assert_eq!(finding["result"], "bad", "{finding:#}");
    let others = others(&finding);
    assert!(others.contains("answers within a window of 256 bytes: the answer is not"), "{others}");
    assert!(!others.contains("a text that is not compressed"), "{others}");
}

#[test]
fn a_server_that_delivers_what_is_wrong_is_told_so() {
    // As zlib does it, if nobody asks where the block ends.
    let zlib: React = |frame| match &frame.payload[..] {
        b"\xf2\x48\xcd" => Does::Say(Frame::text("Heh")),
        b"\xf2\x48\xcd\xc9\xc9" => Does::Say(Frame::text("Hellh")),
        _ if frame.reserved == 0 => mirror(frame),
        _ => Does::Close(1007),
    };
    let cut = found("deflate_cut", agree, zlib);
    assert_eq!(cut["result"], "weak", "{cut:#}");
    assert!(others(&cut).contains("cut behind 3 bytes: `Heh` came back"), "{cut:#}");
    assert!(cut["meaning"].as_str().is_some_and(|it| it.contains("as if it were whole")));
    let errors = found("deflate_errors", agree, zlib);
    assert_eq!(errors["result"], "bad", "{errors:#}");
    assert!(others(&errors).contains("RSV1 on a Ping: Close 1007, not 1002"), "{errors:#}");
    let careless = found("deflate_errors", agree, mirror);
    assert_eq!(careless["figures"]["right_code"], 0, "{careless:#}");
}

/// What it does with a message that is as long as the bomb; others are said back.
fn large(frame: &Frame, does: Does) -> Does {
    if frame.payload.len() > 60_000 { does } else { mirror(frame) }
}

#[test]
fn a_bomb_is_judged_by_the_end_and_by_what_comes_after_it() {
    let ends: [(React, &str, &str); 5] = [
        (
            |frame| large(frame, Does::Close(1009)),
            "ok",
            "refused with Close 1009; the server still answers",
        ),
        (|frame| large(frame, Does::Close(1007)), "weak", "refused with Close 1007, not 1009"),
        (|frame| large(frame, Does::Fin), "bad", "ended by a FIN without a Close"),
        (|frame| large(frame, Does::Die), "bad", "the server answers nobody since"),
        (mirror, "bad", "taken whole; the server still answers"),
    ];
    for (react, verdict, words) in ends {
        let bomb = found("deflate_bomb", agree, react);
        assert_eq!(bomb["result"], verdict, "{bomb:#}");
        let summary = bomb["summary"].as_str().expect("a summary");
        assert!(summary.contains(words) && summary.contains("unpack to 64 MiB"), "{summary}");
    }
}
