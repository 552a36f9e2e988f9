//! What the close machine has noted of an ending. An open connection, and most are open most of
//! the time, has nothing to note and owns nothing.

use std::ops::{Deref, DerefMut};

use crate::ending::{Cause, Cut, End, Goodbye, Side, Timeline};

/// What is known of the ending so far. Read, it is what was noted, or [`NOTHING`]; the first
/// note allocates it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Facts(Option<Box<Known>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Known {
    pub(crate) cause: Option<Cause>,
    /// As decided; our Close is in the account only if `timeline.close_sent` says that it left.
    pub(crate) goodbye: Goodbye,
    pub(crate) end: Option<End>,
    pub(crate) first: Option<Side>,
    pub(crate) cut: Option<Cut>,
    /// Without `opened`.
    pub(crate) timeline: Timeline,
}

static NOTHING: Known = Known {
    cause: None,
    goodbye: Goodbye::None,
    end: None,
    first: None,
    cut: None,
    timeline: Timeline::NONE,
};

impl Deref for Facts {
    type Target = Known;
    fn deref(&self) -> &Known {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Facts {
    fn deref_mut(&mut self) -> &mut Known {
        self.0.get_or_insert_with(|| Box::new(NOTHING.clone()))
    }
}
