//! What few polls of a connection need, in a box of its own: an open connection that no log wants
//! to know of has none.

use tracing::{Level, Span};

use super::Own;
use super::accept::Asked;
use crate::link::{Link, Opened};

/// What few polls need.
pub(super) struct Aside {
    /// What the request asked for, until the connection is open.
    pub(super) asked: Option<Asked>,
    /// What is logged while the connection is polled belongs to this span.
    pub(super) span: Span,
}

impl Aside {
    pub(super) fn new(asked: Asked) -> Box<Self> {
        Box::new(Aside { asked: Some(asked), span: Span::none() })
    }

    /// The same for a connection whose request was accepted before.
    #[cfg(feature = "hyper")]
    pub(super) fn accepted(link: &Link, opened: Opened) -> Box<Self> {
        let span = span(link, &opened);
        Box::new(Aside { asked: Some(Asked::new(opened)), span })
    }

    /// The application is not asked any more.
    pub(super) fn forget_decision(&mut self) {
        if let Some(asked) = &mut self.asked {
            asked.forget_decision();
        }
    }

    /// The connection is open: only a span stays, where there is one.
    pub(super) fn take_asked(aside: &mut Option<Box<Self>>) -> Option<Asked> {
        let asked = aside.as_mut()?.asked.take();
        aside.take_if(|aside| aside.span.is_disabled());
        asked
    }
}

impl Own {
    pub(super) fn asked(&self) -> Option<&Asked> {
        self.aside.as_ref()?.asked.as_ref()
    }

    /// Does a part of a poll inside of the connection's span, where a subscriber wants it.
    #[inline]
    pub(super) fn in_span<T>(&mut self, part: impl FnOnce(&mut Self) -> T) -> T {
        let span = self.aside.as_ref().map(|aside| aside.span.clone());
        let _entered = span.as_ref().map(Span::enter);
        part(self)
    }
}

/// The span of a connection whose request was read and whose peer is known. It tells the path and
/// never the query, which may hold what proves a user's identity.
pub(super) fn span(link: &Link, opened: &Opened) -> Span {
    let Some(request) = &opened.request else { return Span::none() };
    let peer = opened.peer(link.transport());
    let (id, path) = (link.id(), request.path());
    tracing::span!(target: "adieu", Level::DEBUG, "connection", %id, %peer, path)
}
