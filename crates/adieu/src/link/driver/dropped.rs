//! A driver whose task is gone before its connection was over: what can be said at once is said,
//! then the driver lets go, and reports.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Waker};

use adieu_proto::{Cause, CloseCode, CloseRequest, LetGo};
use tokio::runtime::Handle;

use super::{Driver, Own};
use crate::link::Link;

impl Drop for Driver {
    /// The task is gone before the connection was over: say what can be said at once, let go,
    /// and report it.
    fn drop(&mut self) {
        let Driver { link, own } = self;
        if own.told {
            return;
        }
        let why = match own.turned_away {
            true => LetGo::Refused,
            false if runtime_is_going() => LetGo::RuntimeGone,
            false => LetGo::TaskDropped,
        };
        own.in_span(|own| own.end(link, why));
    }
}

impl Own {
    fn end(&mut self, link: &Arc<Link>, why: LetGo) {
        // A stream of the application's own may panic, and the task may be unwinding already.
        let ends = AssertUnwindSafe(|| {
            self.say_last_words(link);
            self.let_go(link, why);
        });
        if catch_unwind(ends).is_err() {
            self.let_go_of_broken(link, why);
        }
        drop_caught(self.released.take());
        self.tell_what_came(link);
        self.tell(link);
    }

    /// What can leave at once leaves, our Close last.
    fn say_last_words(&mut self, link: &Link) {
        let mut cx = Context::from_waker(Waker::noop());
        link.polls(|state, scratch| {
            state.polling = true;
            state.handler_is_next = false;
            let close = CloseCode::GOING_AWAY.into();
            state.close(CloseRequest::of(Cause::Dropped, close), scratch);
            self.do_outputs(link, &mut cx, state, scratch);
            self.write(link, &mut cx, state, scratch);
        });
    }

    fn let_go(&mut self, link: &Link, why: LetGo) {
        let mut cx = Context::from_waker(Waker::noop());
        link.polls(|state, scratch| {
            state.let_go(why, scratch);
            self.do_outputs(link, &mut cx, state, scratch);
            state.lend_back(scratch);
            state.polling = false;
        });
    }

    /// Lets go of a stream that has panicked: it is not asked again.
    fn let_go_of_broken(&mut self, link: &Link, why: LetGo) {
        let broken = link.lock().transport.release();
        drop_caught(broken);
        self.let_go(link, why);
        if link.lock().ending.is_none() {
            // It panicked when we were letting go of it.
            link.polls(|state, scratch| drop(state.disconnect(scratch)));
            self.let_go(link, why);
        }
    }
}

/// Drops what is the application's own, such as its stream; it may panic even then.
pub(super) fn drop_caught<T>(owned: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(owned)));
}

/// Whether the runtime is shutting down: it drops its tasks then, and takes no new ones.
fn runtime_is_going() -> bool {
    let Ok(runtime) = Handle::try_current() else { return false };
    let probe = runtime.spawn(std::future::pending::<()>());
    let refused = probe.is_finished();
    probe.abort();
    refused
}
