//! Sends messages, compares what is echoed, and asks the peer what it has got.

use std::collections::VecDeque;
use std::time::Duration;

use adieu::{Message, Socket};
use serde_json::Value;
use zlib_rs::crc32::crc32;

use crate::messages::Messages;

/// It asks the peer for its tally: conformance/deflate/tally.js, peer.py.
const ASKS: &str = "\u{0}tally";

/// What is on its way at most: a message waits behind others, and both sides are never full.
const BYTES_ON_THEIR_WAY: usize = 256 * 1024;
const MESSAGES_ON_THEIR_WAY: usize = 24;

/// A message that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was seen of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Talk {
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
    /// What the client offered, and what both agreed on.
    pub(crate) offered: String,
    pub(crate) agreed: String,
    /// What the peer tells to have been agreed on; empty, where it tells nothing.
    pub(crate) told: String,
}

/// Sends so many messages; each has to come back as it was sent.
pub(crate) async fn talk(socket: &mut Socket, seed: u64, count: usize) -> Result<Talk, String> {
    let agreed = socket.negotiated().and_then(|negotiated| negotiated.deflate);
    let agreed = agreed.ok_or("compression was not agreed on")?.to_string();
    let mut talk = Talk { messages: count, agreed, ..Talk::default() };
    let mut crc = 0;
    let mut messages = Messages::new(seed);
    let mut waiting = VecDeque::new();
    let mut bytes = 0;
    for _ in 0..count {
        let message = messages.next();
        while bytes + message.len() > BYTES_ON_THEIR_WAY || waiting.len() >= MESSAGES_ON_THEIR_WAY {
            bytes -= returned(socket, &mut waiting).await?;
        }
        crc = crc32(crc, message.as_bytes());
        talk.bytes += message.len() as u64;
        bytes += message.len();
        waiting.push_back(message.clone());
        sent(socket, message).await?;
    }
    while !waiting.is_empty() {
        returned(socket, &mut waiting).await?;
    }
    sent(socket, Message::text(ASKS)).await?;
    let tally = received(socket).await?;
    let told = judge(&tally, &talk, crc)?;
    let said = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    Ok(Talk { told: said("extensions"), offered: said("offered"), ..talk })
}

async fn sent(socket: &Socket, message: Message) -> Result<(), String> {
    let sent = tokio::time::timeout(PATIENCE, socket.send(message)).await;
    sent.map_err(|_| "the peer does not read")?.map_err(|closed| closed.to_string())
}

async fn received(socket: &mut Socket) -> Result<Message, String> {
    let received = tokio::time::timeout(PATIENCE, socket.recv()).await;
    received.map_err(|_| "the peer says nothing")?.ok_or_else(|| "the connection is over".into())
}

/// Waits for the echo of the first message that waits; gives its bytes.
async fn returned(socket: &mut Socket, waiting: &mut VecDeque<Message>) -> Result<usize, String> {
    let echo = received(socket).await?;
    let message = waiting.pop_front().ok_or("more came than was sent")?;
    if echo == message {
        return Ok(message.len());
    }
    let same = message.as_bytes().iter().zip(echo.as_bytes()).take_while(|(a, b)| a == b).count();
    let (len, echoed) = (message.len(), echo.len());
    Err(format!("a message of {len} bytes came back with {echoed}, the first {same} are the same"))
}

/// Compares what the peer has got with what was sent; gives all that it tells.
fn judge(tally: &Message, talk: &Talk, crc: u32) -> Result<Value, String> {
    let tally = tally.as_text().unwrap_or_default();
    let told: Value = serde_json::from_str(tally).map_err(|e| format!("{e}: {tally}"))?;
    let is = |name: &str, value: u64| told[name].as_u64() == Some(value);
    let (messages, bytes) = (talk.messages as u64, talk.bytes);
    if is("messages", messages) && is("bytes", bytes) && is("crc", crc.into()) {
        return Ok(told);
    }
    Err(format!("the peer got {told}, sent were {messages} messages of {bytes} bytes"))
}
