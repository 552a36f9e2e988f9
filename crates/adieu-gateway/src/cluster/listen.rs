//! Hints of the engine: what happens to this node's sessions at other nodes.

use std::sync::Arc;
use std::time::Duration;

use adieu_engine::Hint;

use super::Cluster;
use super::sweep::final_close;
use crate::gateway::Gateway;
use crate::session::command::SessionCommand;
use crate::session::fence::{Fence, Refused};
use crate::session::{Command, Message};

/// Between two tries to listen.
const AGAIN: Duration = Duration::from_millis(300);

impl Cluster {
    /// Listens for as long as the gateway runs. What was missed the audit finds.
    pub(crate) async fn listen(self: Arc<Self>, gateway: Gateway) {
        loop {
            let me = self.me();
            match self.engine.hints(me).await {
                Ok(mut hints) => {
                    gateway.audit_soon();
                    let mut life = self.life.subscribe();
                    loop {
                        tokio::select! {
                            hint = hints.next() => match hint {
                                Some(hint) => self.heard(&gateway, hint).await,
                                None => break,
                            },
                            // Another life has another name.
                            _ = life.changed() => if self.me() != me { break },
                        }
                    }
                }
                Err(error) => tracing::debug!("no hints: {error}"),
            }
            if gateway.is_over() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn heard(&self, gateway: &Gateway, hint: Hint) {
        match hint {
            Hint::Message(id, number, kept) => {
                let adieu_session::outbox::Kept { tag, key, tail, .. } = *kept;
                self.arrived(gateway, id, number, Message { tag, key, tail }).await;
            }
            Hint::Claimed(id, epoch) => {
                let fence = Fence { epoch, nonce: 0 };
                let disowned = SessionCommand::Disowned(fence, Refused::Fenced);
                let _ = gateway.of_shards(vec![Command::Session(id, disowned)]).await;
            }
            Hint::Ends(id, close) => {
                let end = SessionCommand::End(final_close(&close));
                let _ = gateway.of_shards(vec![Command::Session(id, end)]).await;
            }
        }
    }
}
