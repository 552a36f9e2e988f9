//! The accounts of all connections: those that are open, and the last that ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use adieu::{ConnectionId, Ended, Request, Socket, Utf8Bytes};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::account::{self, Account, Count, Endings, Way};
use crate::session::ending::ConnectionEnding;
use crate::session::{SessionId, Timestamp};

/// Endings that are kept, and open connections that are listed: as many as a page may want to
/// look through. Older endings are only counted.
const KEEP: usize = 1_000;

/// News that may wait for a slow page; one that misses some gets the whole list again.
const NEWS: usize = 256;

pub(crate) struct Accounts {
    inner: Mutex<Inner>,
    news: broadcast::Sender<Utf8Bytes>,
}

#[derive(Default)]
struct Inner {
    next_id: u64,
    open: BTreeMap<u64, Account>,
    /// Newest first.
    ended: VecDeque<Account>,
    /// Few: a connection can end in as many ways as there are words for.
    counts: Vec<Count>,
}

/// What pages are told as it happens.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
enum News<'a> {
    Opened {
        account: &'a Account,
    },
    Ended {
        account: &'a Account,
        counts: &'a [Count],
    },
    /// Whose a connection was that has ended.
    Belonged {
        id: u64,
        session_id: SessionId,
        user_id: Option<&'a str>,
    },
}

impl Accounts {
    pub(crate) fn new() -> Self {
        Accounts { inner: Mutex::default(), news: broadcast::Sender::new(NEWS) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection has opened; gives its number.
    pub(crate) fn open(&self, socket: &Socket) -> u64 {
        let mut inner = self.inner();
        let mut account = inner.account(socket.peer().to_string(), socket.request());
        account.version = Some(account::version(socket.version()));
        account.http2 = socket.http2().map(Into::into);
        (account.messages_in, account.messages_out) = (Some(0), Some(0));
        self.tell(&News::Opened { account: &account });
        let id = account.id;
        inner.open.insert(id, account);
        id
    }

    /// A message of the person has come in, or one for the person has gone out.
    pub(crate) fn count(&self, id: u64, incoming: u64, outgoing: u64) {
        if let Some(account) = self.inner().open.get_mut(&id) {
            account.messages_in = account.messages_in.map(|count| count + incoming);
            account.messages_out = account.messages_out.map(|count| count + outgoing);
        }
    }

    /// A connection has ended.
    pub(crate) fn ended(&self, id: u64, ending: &adieu::Ending) {
        let mut inner = self.inner();
        if let Some(account) = inner.open.remove(&id) {
            self.close(&mut inner, account, ending, ConnectionEnding::of(ending));
        }
    }

    /// A connection has ended that is not listed while it is open: of a session, or one that never
    /// opened. `told`: its ending as it is told.
    pub(crate) fn ended_elsewhere(&self, ended: &Ended<'_>, told: ConnectionEnding) {
        let mut inner = self.inner();
        let mut account = inner.account(ended.peer.to_string(), ended.request);
        let lasted = u64::try_from(ended.ending.lasted.as_millis()).unwrap_or(u64::MAX);
        account.opened_at = Timestamp(account.opened_at.0.saturating_sub(lasted));
        account.version = ended.version.map(account::version);
        account.connection = ended.id;
        self.close(&mut inner, account, ended.ending, told);
    }

    /// A connection that has ended was of this session, and of this user.
    pub(crate) fn belonged(
        &self,
        connection: ConnectionId,
        session_id: SessionId,
        user: Option<&str>,
    ) {
        let mut inner = self.inner();
        let its = |account: &&mut Account| account.connection == Some(connection);
        // It is among the newest. One that was forgotten already is in no list.
        let Some(account) = inner.ended.iter_mut().find(its) else { return };
        account.session_id = Some(session_id);
        account.user_id = user.map(Into::into);
        self.tell(&News::Belonged { id: account.id, session_id, user_id: user });
    }

    fn close(
        &self,
        inner: &mut Inner,
        mut account: Account,
        ending: &adieu::Ending,
        told: ConnectionEnding,
    ) {
        let way = account.end(ending, told);
        inner.count(way);
        self.tell(&News::Ended { account: &account, counts: &inner.counts });
        inner.ended.truncate(KEEP - 1);
        inner.ended.push_front(account);
    }

    fn tell(&self, news: &News<'_>) {
        // Without pages nobody listens.
        if self.news.receiver_count() > 0
            && let Ok(text) = serde_json::to_string(news)
        {
            let _ = self.news.send(text.into());
        }
    }

    /// What happens from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Utf8Bytes> {
        self.news.subscribe()
    }

    /// All that is kept, newest first; of one tab only if it is named.
    pub(crate) fn list(&self, tab: Option<&str>) -> Endings {
        let inner = self.inner();
        let wanted = |account: &&Account| tab.is_none() || account.tab.as_deref() == tab;
        Endings {
            open: inner.open.values().rev().filter(wanted).take(KEEP).cloned().collect(),
            ended: inner.ended.iter().filter(wanted).cloned().collect(),
            counts: inner.counts.clone(),
        }
    }
}

impl Inner {
    fn account(&mut self, peer: String, request: Option<&Request>) -> Account {
        self.next_id += 1;
        Account::new(self.next_id, peer, request)
    }

    fn count(&mut self, way: Way) {
        match self.counts.iter_mut().find(|count| count.way == way) {
            Some(count) => count.connections += 1,
            None => self.counts.push(Count { way, connections: 1 }),
        }
    }
}
