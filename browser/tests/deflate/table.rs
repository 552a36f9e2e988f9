//! What was seen, for people: a line for each connection, whose parts are apart by tabs.

use adieu::{Compressed, Ending};

use crate::ours::{Ours, Plan};
use crate::talk::Talk;

/// A peer that compresses nothing that it sends.
const INFLATES_ONLY: &str = "undici";

/// Says what was seen of a connection of these two, and checks that compression was used and that
/// it ended well.
pub(crate) fn told(peer: &str, ours: Ours, plan: Plan, (talk, ending): &(Talk, Ending)) {
    let bytes = judged(peer, ending).unwrap_or_else(|why| panic!("{peer}: {why}"));
    let lines = [
        format!(
            "{} messages (seed {}), {} bytes: all echoed as they were sent, and the peer's count, \
             bytes and CRC-32 are ours",
            talk.messages, plan.seed, talk.bytes
        ),
        format!("offered:  {}", talk.offered),
        format!("agreed:   {}", talk.agreed),
        format!("it says:  {}", if talk.told.is_empty() { "nothing" } else { &talk.told }),
        format!("to it:    {}", shrunk(bytes.sent, bytes.sent_as)),
        format!("from it:  {}", shrunk(bytes.received, bytes.received_as)),
        format!("ending:   {}", without_duration(&ending.to_string())),
    ];
    let both = format!("{peer}; {}", ours.name());
    testkit::figure(&both, &format!("\t{}", lines.join("\t")));
}

/// That compression was used, by us and by the peer.
fn judged(peer: &str, ending: &Ending) -> Result<Compressed, String> {
    let bytes = ending.compressed.ok_or("the ending tells no bytes before compression")?;
    if !ending.is_clean() {
        return Err(format!("it did not end well: {ending}"));
    }
    if bytes.sent_as == 0 || bytes.sent_as > bytes.sent / 2 {
        return Err(format!("it did not shrink: {bytes}"));
    }
    if bytes.received_as > bytes.received / 2 {
        return Err(format!("what the peer sent did not shrink: {bytes}"));
    }
    if peer.starts_with(INFLATES_ONLY) != (bytes.received == 0) {
        return Err(format!("whether the peer compresses is not what was known of it: {bytes}"));
    }
    Ok(bytes)
}

fn shrunk(bytes: u64, to: u64) -> String {
    if bytes == 0 {
        return "nothing was compressed".into();
    }
    format!("{bytes} bytes compressed to {to} ({:.2})", to as f64 / bytes as f64)
}

fn without_duration(sentence: &str) -> &str {
    sentence.split("; the connection lasted ").next().unwrap_or(sentence)
}
