//! What few connections have: one pointer for those that have nothing of it.

use crate::liveness::Pings;

/// Pings of the application, and compression.
#[derive(Clone, Default, Hash)]
pub(super) struct Rare {
    pub(super) pings: Pings,
    /// Once compression was agreed on.
    #[cfg(feature = "deflate")]
    deflate: Option<Box<crate::deflate::State>>,
}

/// Looks for compression where there may be none.
#[cfg(feature = "deflate")]
pub(super) trait HasDeflate {
    fn deflate(&self) -> Option<&crate::deflate::State>;
    fn deflate_mut(&mut self) -> Option<&mut crate::deflate::State>;
    fn set_deflate(&mut self, state: crate::deflate::State);
}

#[cfg(feature = "deflate")]
impl HasDeflate for Option<Box<Rare>> {
    #[inline]
    fn deflate(&self) -> Option<&crate::deflate::State> {
        self.as_ref()?.deflate.as_deref()
    }

    #[inline]
    fn deflate_mut(&mut self) -> Option<&mut crate::deflate::State> {
        self.as_mut()?.deflate.as_deref_mut()
    }

    fn set_deflate(&mut self, state: crate::deflate::State) {
        self.get_or_insert_default().deflate = Some(Box::new(state));
    }
}
