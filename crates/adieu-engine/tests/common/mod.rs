//! What the tests of all functions need: a Redis, an owner, a wait that ends.

mod owner;
mod server;

use std::time::{Duration, Instant};

use adieu_engine::{Limits, Node};
pub(crate) use owner::{NOW, Owned, claim, new_row, next_of, outgoing, session_in};
pub(crate) use server::Server;
use testkit::DEADLINE;
pub(crate) use testkit::Random;

/// Two nodes.
pub(crate) const A: Node = Node(7_000_000_000_000_001);
pub(crate) const B: Node = Node(7_000_000_000_000_002);

/// Enough for every test that does not look for the limits.
pub(crate) const LIMITS: Limits = Limits { messages: 1_000, bytes: 1 << 20 };

/// Longer than a test.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// At once.
pub(crate) const SOON: Duration = Duration::ZERO;

/// Chance that is the same in each run of a test.
pub(crate) fn chance() -> Random {
    Random::new(testkit::seed())
}

/// Asks again until there is an answer.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
