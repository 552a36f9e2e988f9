use std::collections::VecDeque;

use super::*;
use crate::lanes::COMPACT;

fn contents(out: &Outgoing) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let n = out.slices(&mut slices);
    slices[..n].iter().flat_map(|s| s.to_vec()).collect()
}

/// Takes all that waits, in steps of this many bytes.
fn take_all(out: &mut Outgoing, step: usize, scratch: &mut Scratch) -> Vec<u8> {
    let mut got = Vec::new();
    while !out.is_empty() {
        let now = contents(out);
        let n = step.min(now.len());
        got.extend_from_slice(&now[..n]);
        out.advance(n, false, scratch);
    }
    got
}

/// A text message of this many bytes, at most 125.
fn message(out: &mut Outgoing, len: u8, scratch: &mut Scratch) -> Vec<u8> {
    let frame = [&[0x81, len][..], &vec![b'm'; usize::from(len)]].concat();
    out.append(scratch, |small| small.extend_from_slice(&frame));
    out.message_ends();
    frame
}

#[test]
fn bytes_leave_in_order_in_any_steps() {
    let scratch = &mut Scratch::default();
    let big = Bytes::from(vec![b'x'; OWN_BUFFER]);
    for step in [1, 3, 1000, OWN_BUFFER, 3 * OWN_BUFFER] {
        let mut out = Outgoing::default();
        out.append(scratch, |tail| tail.extend_from_slice(b"head"));
        out.payload(big.clone(), scratch);
        out.message_ends();
        out.payload(Bytes::from_static(b"tail"), scratch);
        out.message_ends();
        let want = [&b"head"[..], &big, b"tail"].concat();
        assert_eq!(take_all(&mut out, step, scratch), want, "step {step}");
        assert_eq!((out.messages(), out.unsent()), (0, 0));
    }
}

#[test]
fn control_frames_leave_at_the_next_frame_boundary_whatever_the_steps() {
    let scratch = &mut Scratch::default();
    let pong = b"\x8A\x01p";
    for taken in 0..=30 {
        for step in [1, 2, 5, 100] {
            let mut out = Outgoing::default();
            out.head(b"101", scratch);
            let frames = [10, 3, 8].map(|len| message(&mut out, len, scratch));
            out.close(scratch, |small| small.extend_from_slice(b"\x88\x00"));
            let ends = [3, 15, 20, 30];
            out.advance(taken, false, scratch);
            assert!(out.takes_control());
            out.pong(b"p", None, scratch);
            let got = take_all(&mut out, step, scratch);
            let at = ends.into_iter().find(|end| *end >= taken).expect("a boundary") - taken;
            let mut want = [b"101", &frames.concat()[..], b"\x88\x00"].concat().split_off(taken);
            want.splice(at..at, *pong);
            assert_eq!(got, want, "after {taken} bytes, in steps of {step}");
        }
    }
}

#[test]
fn nothing_leaves_behind_our_close() {
    let scratch = &mut Scratch::default();
    let mut out = Outgoing::default();
    out.close(scratch, |small| small.extend_from_slice(b"\x88\x02\x03\xe8"));
    out.pong(b"p", None, scratch);
    assert_eq!(take_all(&mut out, 100, scratch), b"\x8A\x01p\x88\x02\x03\xe8");
    let mut out = Outgoing::default();
    out.close(scratch, |small| small.extend_from_slice(b"\x88\x02\x03\xe8"));
    out.advance(1, false, scratch);
    assert!(!out.takes_control());
}

#[test]
fn what_a_transport_holds_counts_until_it_is_flushed() {
    let scratch = &mut Scratch::default();
    let mut out = Outgoing::default();
    message(&mut out, 5, scratch);
    message(&mut out, 5, scratch);
    out.ping(None, scratch);
    out.advance(2 + 7 + 3, true, scratch);
    assert_eq!((out.messages(), out.unsent(), out.holds_ping()), (2, 16, true));
    out.pong(b"p", None, scratch);
    assert_eq!(contents(&out), b"mmmm\x8A\x01p", "behind the frame that has begun");
    out.flushed(scratch);
    assert_eq!((out.messages(), out.unsent(), out.holds_ping()), (1, 7, false));
}

#[test]
fn a_message_counts_until_its_last_byte_left() {
    let scratch = &mut Scratch::default();
    let mut out = Outgoing::default();
    for _ in 0..3 {
        out.payload(Bytes::from_static(b"12345"), scratch);
        out.message_ends();
    }
    out.ping(None, scratch);
    out.advance(2 + 9, false, scratch);
    assert_eq!((out.messages(), out.unsent()), (2, 6));
    out.pong(b"pong", None, scratch);
    out.discard(scratch);
    assert_eq!((out.messages(), out.unsent()), (2, 12), "discarded output stays counted");
}

#[test]
fn payloads_that_left_are_given_away_to_be_dropped_elsewhere() {
    let scratch = &mut Scratch::default();
    let mut out = Outgoing::default();
    out.payload(Bytes::from(vec![0; OWN_BUFFER]), scratch);
    out.advance(OWN_BUFFER, false, scratch);
    out.payload(Bytes::from(vec![0; OWN_BUFFER]), scratch);
    out.discard(scratch);
    assert_eq!(scratch.done.len(), 2);
}

#[test]
fn what_left_does_not_pile_up_behind_a_queue_that_is_never_empty() {
    let scratch = &mut Scratch::default();
    let mut out = Outgoing::default();
    let mut waiting = VecDeque::new();
    for i in 0..1000u32 {
        let small = [i as u8; 1000];
        out.append(scratch, |buffer| buffer.extend_from_slice(&small));
        waiting.extend(small);
        if i % 100 == 0 {
            let large = vec![!(i as u8); OWN_BUFFER];
            waiting.extend(&large);
            out.payload(large.into(), scratch);
        }
        while waiting.len() > 150_000 {
            let now = contents(&out);
            let n = now.len().min(7_777);
            assert!(waiting.drain(..n).eq(now[..n].iter().copied()), "after {i} frames");
            out.advance(n, false, scratch);
        }
        assert_eq!(out.unsent(), waiting.len() as u64);
        let kept = out.queue.as_ref().map_or(0, |queue| queue.data.small.len());
        assert!(kept <= 150_000 + 2 * COMPACT.max(150_000), "{kept}");
    }
}
