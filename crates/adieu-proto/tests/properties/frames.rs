//! Frames of RFC 6455 §5.2, by an encoder and a parser of the test's own.

use adieu_proto::Message;

/// A frame.
pub(crate) fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let len = payload.len();
    let mut out = vec![first];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..=125), _) => out.push(bit | len),
        (_, Ok(len)) => {
            out.push(bit | 126);
            out.extend(len.to_be_bytes());
        }
        _ => {
            out.push(bit | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
    let key = mask.unwrap_or_default();
    out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    out
}

/// A message in fragments, split at these places, with a Ping before each fragment but the first
/// (§5.4).
pub(crate) fn fragments(message: &Message, places: &[usize], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bytes = message.as_bytes();
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.sort_unstable();
    let starts = std::iter::once(0).chain(places.iter().copied());
    let ends = places.iter().copied().chain([bytes.len()]);
    let mut out = Vec::new();
    for (i, (start, end)) in starts.zip(ends).enumerate() {
        let opcode = match message {
            _ if i > 0 => 0x0,
            Message::Text(_) => 0x1,
            Message::Binary(_) => 0x2,
        };
        let fin = if i == places.len() { 0x80 } else { 0 };
        // Each frame has a mask of its own.
        let mask = mask.map(|mask| mask.map(|byte| byte.wrapping_add(i as u8)));
        if i > 0 {
            out.extend(frame(0x89, &[i as u8], mask));
        }
        out.extend(frame(fin | opcode, &bytes[start..end], mask));
    }
    out
}

/// A frame that was found on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many bytes stand before it.
    pub(crate) at: usize,
    /// Its first byte: FIN and the opcode.
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

/// Splits bytes into frames; an error if the last one is not whole, or if a client does not mask
/// or a server does.
pub(crate) fn parse(bytes: &[u8], masked: bool) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (frame, len) =
            one(&bytes[at..], masked).ok_or_else(|| format!("no whole frame at byte {at}"))?;
        found.push(Found { at, ..frame });
        at += len;
    }
    Ok(found)
}

fn one(bytes: &[u8], masked: bool) -> Option<(Found, usize)> {
    let [first, second, rest @ ..] = bytes else { return None };
    if (second & 0x80 != 0) != masked {
        return None;
    }
    let (len, rest) = match second & 0x7F {
        126 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            (usize::try_from(u64::from_be_bytes(*len)).ok()?, rest)
        }
        len => (usize::from(len), rest),
    };
    let (key, rest) = if masked { rest.split_first_chunk::<4>()? } else { (&[0; 4], rest) };
    let payload = rest.get(..len)?.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
    let taken = bytes.len() - rest.len() + len;
    Some((Found { at: 0, first: *first, payload }, taken))
}
