//! A client as people would write it, by `adieu::session`, for which every wait has an end.

use std::future::Future;
use std::time::Duration;

use adieu::session::{Builder, Ended, Event, Saved, Session};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(300);

async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, wait).await;
    done.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A session, what came, and what was said.
pub(crate) struct Member {
    pub(crate) session: Session,
    pub(crate) id: String,
    /// In order.
    pub(crate) received: Vec<String>,
    /// In order.
    pub(crate) said: Vec<String>,
    /// How often it was resumed.
    pub(crate) resumed: usize,
    /// The last time that it was interrupted: the code, and when it comes back.
    pub(crate) interrupted: Option<(u16, Duration)>,
}

impl Member {
    pub(crate) fn new(builder: Builder) -> Self {
        let session = builder.connect().unwrap();
        Member {
            session,
            id: String::new(),
            received: Vec::new(),
            said: Vec::new(),
            resumed: 0,
            interrupted: None,
        }
    }

    /// With a session that has begun.
    pub(crate) async fn start(url: &str) -> Self {
        let mut member = Member::new(Session::builder(url));
        member.begins().await;
        member
    }

    /// Until its session has begun.
    pub(crate) async fn begins(&mut self) {
        while self.id.is_empty() {
            assert_eq!(self.next().await, None, "it is not over before it has begun");
        }
    }

    /// One thing that happens; how it ended, if it did.
    pub(crate) async fn next(&mut self) -> Option<Ended> {
        match soon("something happens", self.session.next()).await {
            Some(Event::Started { session_id }) => self.id = session_id,
            Some(Event::Resumed { session_id, .. }) => {
                assert!(self.id.is_empty() || self.id == session_id, "another session");
                self.id = session_id;
                self.resumed += 1;
            }
            Some(Event::Message(message)) => {
                self.received.push(message.as_text().unwrap().to_owned());
            }
            Some(Event::Interrupted { code, retry_in, .. }) => {
                self.interrupted = Some((code, retry_in));
            }
            Some(Event::Ended(ended)) => return Some(ended),
            other => panic!("{other:?}"),
        }
        None
    }

    async fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        while !is(self) {
            let ended = soon(what, self.next()).await;
            assert_eq!(ended, None, "over before: {what}");
        }
    }

    pub(crate) async fn is_interrupted(&mut self) -> (u16, Duration) {
        self.until("it is interrupted", |member| member.interrupted.is_some()).await;
        self.interrupted.take().unwrap()
    }

    pub(crate) async fn is_resumed(&mut self, times: usize) {
        self.until("it is resumed", |member| member.resumed >= times).await;
    }

    pub(crate) async fn receive(&mut self, count: usize) {
        self.until("all have come", |member| member.received.len() >= count).await;
    }

    /// Until its session is over.
    pub(crate) async fn is_over(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.next().await {
                return ended;
            }
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.session.send(text).unwrap();
        self.said.push(text.to_owned());
    }

    pub(crate) async fn all_committed(&mut self) {
        assert!(soon("all is committed", self.session.committed()).await);
    }

    pub(crate) async fn goodbye(self) -> Ended {
        soon("it is over", self.session.goodbye()).await
    }

    pub(crate) async fn detach(self) -> Saved {
        soon("it is detached", self.session.detach()).await.expect("a session")
    }

    /// Its process is replaced by another one, which goes on.
    pub(crate) async fn replaced(self, builder: Builder) -> Self {
        self.gone().await.back(builder)
    }

    /// Its process ends; its session waits for another one.
    pub(crate) async fn gone(self) -> Gone {
        let Member { session, id, received, said, resumed, .. } = self;
        let saved = soon("it is detached", session.detach()).await.expect("a session");
        Gone { saved, id, received, said, resumed }
    }
}

/// What the next process of a member goes on with.
pub(crate) struct Gone {
    saved: Saved,
    id: String,
    received: Vec<String>,
    said: Vec<String>,
    resumed: usize,
}

impl Gone {
    pub(crate) fn back(self, builder: Builder) -> Member {
        let Gone { saved, id, received, said, resumed } = self;
        let session = builder.resume(saved).connect().unwrap();
        Member { session, id, received, said, resumed, interrupted: None }
    }
}
