//! The functions in the engine: one library. Another form of the rows is another library, so that
//! nodes of two versions live beside each other.

/// The number in the name of the library and of each function.
pub(crate) const VERSION: u32 = 1;

use crate::{Engine, EngineError};

/// The text of the library.
pub(crate) fn text() -> String {
    [
        include_str!("../functions/1_common.lua"),
        include_str!("../functions/2_write.lua"),
        include_str!("../functions/3_claim.lua"),
        include_str!("../functions/4_post.lua"),
        include_str!("../functions/5_due.lua"),
        include_str!("../functions/6_events.lua"),
        include_str!("../functions/7_nodes.lua"),
        include_str!("../functions/8_look.lua"),
    ]
    .concat()
}

/// The name of a function as the engine knows it.
pub(crate) fn function(name: &str) -> String {
    format!("adieu_{VERSION}_{name}")
}

impl Engine {
    /// The text of the functions: for tests that make it wrong in one place.
    #[doc(hidden)]
    #[must_use]
    pub fn text_of_functions() -> String {
        text()
    }

    /// Loads a text of functions that may be wrong.
    ///
    /// # Errors
    /// [`EngineError`].
    #[doc(hidden)]
    pub async fn load_functions_from(&self, text: &str) -> Result<(), EngineError> {
        self.inner.way.load_functions(text).await
    }
}
