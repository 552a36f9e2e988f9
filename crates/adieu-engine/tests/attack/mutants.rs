//! The functions made wrong in one place: the attack finds each.

use adieu_engine::Engine;

use super::rollback::{another_message, lost_word};
use super::{Size, attack};
use crate::common::{Random, Server};

/// The text of the functions with these places changed.
fn mutated(changes: &[(&str, &str)]) -> String {
    let mut text = Engine::text_of_functions();
    for (right, wrong) in changes {
        assert_eq!(text.matches(right).count(), 1, "{right:?} is there once");
        text = text.replace(right, wrong);
    }
    text
}

/// So often an attack is tried before a mutant is said to live: what nodes do beside each other is
/// not the same in two runs of a seed.
const TRIES: u64 = 10;

/// An attack finds something in functions that are changed so.
async fn is_found(changes: &[(&str, &str)]) {
    let (text, random) = (mutated(changes), Random::new(testkit::seed()));
    for round in 0..TRIES {
        let server = Server::start();
        let size = Size { nodes: 8, seats: 60, steps: 600 };
        let (figures, violations) = attack(&server, &text, size, &random.fork(round)).await;
        if let Some(first) = violations.first() {
            println!("{} in try {round}, the first: {first}", violations.len());
            return;
        }
        println!("nothing in {}", figures.line());
    }
    panic!("{TRIES} attacks find nothing in this mutant");
}

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident: $changes:expr;)*) => {$(
        $(#[$doc])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            is_found(&$changes).await;
        }
    )*};
}

const FENCE: &str = "if row[1] ~= args[2] or row[2] ~= args[3] then";
const DUE: &str = "fence(base, name, args[3 + i], number(now + tonumber(args[3])))";

mutants! {
    no_fence_in_a_write: [(FENCE, "if false then")];

    no_epoch_in_the_fence: [(
        "local newer = tonumber(row[1]) > tonumber(args[2])\n      return",
        "local newer = false\n      return",
    )];

    no_nonce_in_the_fence: [(FENCE, "if row[1] ~= args[2] then")];

    a_repeat_is_made_again: [(
        concat!(
            "if row[1] == args[4] and row[2] == args[5] then\n",
            "      return { 'REPEATED' }\n",
            "    end\n",
            "    if",
        ),
        "if row[1] == args[4] and row[2] == args[5] then\n    elseif",
    )];

    an_end_that_comes_twice_is_refused: [(
        "if over == args[5] then\n      return { 'REPEATED' }",
        "if over == args[5] then\n      return { 'ROLLED_BACK' }",
    )];

    the_second_session_of_a_user_joins: [
        ("elseif sessions_of(base, user) == 0 then", "elseif sessions_of(base, user) <= 1 then"),
    ];

    the_last_but_one_session_of_a_user_leaves: [(
        "if sessions_of(base, user) > 0 then\n    return",
        "if sessions_of(base, user) > 1 then\n    return",
    )];

    a_user_who_is_back_in_time_is_told_as_gone: [(
        "local leaving = redis.call('ZREM', base .. 'x', 'u:' .. user) == 1",
        "local leaving = false",
    )];

    /// As where the count is read in one step and the event is written in another.
    who_left_is_told_outside_of_the_step: [
        (
            "    emit(base, 'u:' .. user, id, body, me, told, 'V')",
            "    redis.call('RPUSH', base .. 'later', user, id, body)",
        ),
        (
            "  local now, found, told = clock(), {}, {}\n",
            concat!(
                "  local now, found, told = clock(), {}, {}\n",
                "  local later = redis.call('LPOP', base .. 'later', 3)\n",
                "  if later then\n",
                "    emit(base, 'u:' .. later[1], later[2], later[3], me, told)\n",
                "  end\n",
            ),
        ),
    ];

    due_takes_the_deadline_out: [(
        DUE,
        concat!(
            "redis.call('HINCRBY', base .. 's:' .. name, 'e', 1)\n",
            "      redis.call('HSET', base .. 's:' .. name, 'n', args[3 + i])\n",
            "      redis.call('ZREM', base .. 'x', name)",
        ),
    )];

    due_fences_nobody: [
        (DUE, "redis.call('ZADD', base .. 'x', number(now + tonumber(args[3])), name)"),
    ];

    a_claim_fences_nobody: [(
        "  fence(base, sid, nonce, -me)\n",
        "  redis.call('ZADD', base .. 'x', -me, sid)\n",
    )];

    a_release_of_another_epoch_is_made: [(
        "if score ~= -tonumber(args[2]) or epoch ~= args[3] then\n    return 0",
        "if not epoch then\n    return 0",
    )];

    taken_takes_the_first_event_out: [
        (
            "local event = redis.call('XRANGE', q, args[at], args[at])[1]",
            "local event = redis.call('XRANGE', q, '-', '+', 'COUNT', 1)[1]",
        ),
        (
            "if event and event[2][2] == args[at + 1] then\n      redis.call('XDEL', q, args[at])",
            "if event then\n      redis.call('XDEL', q, event[1])",
        ),
    ];

    a_queue_is_forgotten_when_it_is_given: [
        (
            "      redis.call('ZADD', base .. 'r', -me, queue)\n      found[",
            "      redis.call('ZREM', base .. 'r', queue)\n      found[",
        ),
        (
            "    redis.call('ZADD', base .. 'r', -me, queue)\n  elseif tonumber(of) ~= -me then",
            "    redis.call('ZREM', base .. 'r', queue)\n  elseif tonumber(of) ~= -me then",
        ),
    ];

    an_end_is_not_remembered: [
        ("  redis.call('SET', base .. 'z:' .. sid, nonce, 'PX', OVER)\n", ""),
    ];

    a_key_of_a_message_is_not_remembered: [
        ("if not redis.call('SET', known, '', 'NX', 'PX', KEYS_KNOWN) then", "if false then"),
    ];

    a_second_acknowledgement_takes_more_out: [("        a = math.max(a, up_to)\n", "")];

    a_claim_keeps_what_the_client_has: [("  trim(base, sid, a, received)\n", "")];
}

#[tokio::test]
async fn a_trim_that_asks_for_no_tag() {
    let text = mutated(&[("        if up_to > t or other then\n", "        if up_to > t then\n")]);
    let (server, mut random) = (Server::start(), Random::new(testkit::seed()));
    assert_ne!(another_message(&server, &text, &mut random).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_claim_that_asks_for_no_acknowledgement() {
    let text = mutated(&[(" or acknowledged > i or ", " or ")]);
    let (server, mut random) = (Server::start(), Random::new(testkit::seed()));
    assert_ne!(lost_word(&server, &text, &mut random).await, Vec::<String>::new());
}
