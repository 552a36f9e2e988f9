//! The end of an attack: all nodes are dead, and one more puts everything in order.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use adieu_engine::{Counts, Finished};
use adieu_session::command::Purpose;

use super::node::Attacker;
use crate::common::{NOW, Owned, Server};

/// Without anything to do for so long, what is left stays for ever.
const IDLE: Duration = Duration::from_millis(400);

/// The engine hides a session for longer that somebody has to end.
const HIDDEN: Duration = Duration::from_secs(1);

impl Attacker {
    /// Ends all sessions that there are, and tells all events.
    pub(crate) async fn settle(mut self, server: &Server) {
        let (slots, window) = (self.world.slots.clone(), Duration::ZERO);
        let mut busy = Instant::now();
        while busy.elapsed() < IDLE {
            for dead in self.world.dead() {
                let found = self.engine.orphan(&slots, dead, 64, window).await;
                if found.into_iter().flatten().any(|had| had.sessions + had.queues > 0) {
                    busy = Instant::now();
                }
            }
            let due = self.engine.sweep(self.me, &slots, 64, Duration::from_secs(60)).await;
            for due in due.into_iter().flatten() {
                if !due.sessions.is_empty() {
                    busy = Instant::now();
                }
                self.queues.extend(due.told.into_iter().map(|(stream, ..)| stream));
                for snapshot in due.sessions {
                    self.world.log(|log| log.due(snapshot.id, snapshot.epoch()));
                    self.to_end.push_back(Owned::given(self.me, snapshot, Purpose::Expire));
                }
            }
            self.end_what_is_hidden().await;
            while !self.to_end.is_empty() {
                self.end_one().await;
                busy = Instant::now();
            }
            while self.unheard.join_next().await.is_some() {}
            let before = self.world.log(|log| log.figures.told);
            self.deliver().await;
            while !self.to_tell.is_empty() {
                self.tell_one().await;
            }
            if self.world.log(|log| log.figures.told) != before {
                busy = Instant::now();
            }
            // There may be users below none.
            let counts = self.engine.count(&slots).await;
            if counts == Ok(Counts::default()) && nothing_is_left(server).is_empty() {
                break;
            }
            // An end of which nobody heard makes a queue that nobody knows: as after a death.
            let me = self.world.new_node();
            self.world.dies(std::mem::replace(&mut self.me, me));
            self.queues.clear();
        }
        let left = nothing_is_left(server);
        self.world
            .log(|log| log.violations.extend(left.into_iter().map(|key| format!("left: {key}"))));
    }

    /// Nobody waits for them: who was to end them is dead.
    async fn end_what_is_hidden(&mut self) {
        for slot in self.world.slots.clone() {
            for looked in self.engine.list(&[slot], None, 1_000, NOW).await.unwrap_or_default() {
                let hidden = looked.view.until.is_some_and(|until| until.since(NOW) > HIDDEN);
                let id = looked.view.session_id;
                if !hidden || self.to_end.iter().any(|owned| owned.id == id) {
                    continue;
                }
                if let Ok(Finished::Yours(snapshot)) = self.engine.finish(self.me, id, "").await {
                    self.granted(&snapshot);
                    self.to_end.push_back(Owned::given(self.me, *snapshot, Purpose::Expire));
                }
            }
        }
    }
}

/// Keys that should not be there when all is over.
fn nothing_is_left(server: &Server) -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    let keys: Vec<Vec<u8>> = server.run(&["KEYS", "*"]);
    for key in keys {
        let key = String::from_utf8_lossy(&key).into_owned();
        let name = key.split_once('}').map_or(&*key, |(_, name)| name);
        let kept = name == "c" || name.starts_with("z:") || name.starts_with("i:");
        let none = name == "n" && server.run::<i64>(&["GET", &key]) == 0;
        if !kept && !none {
            left.insert(key);
        }
    }
    left
}
