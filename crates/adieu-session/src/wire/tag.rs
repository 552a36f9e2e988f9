//! What tells two messages of one number apart.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// 48 random bits that each message to a page carries, and that the page shows when it resumes. A
/// store that has lost its tail gives a number out twice, and then not with the same tag: so that
/// the page is told that messages are lost, and never takes one message for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tag([u8; 6]);

impl Tag {
    /// From random bytes.
    #[must_use]
    pub fn new(random: [u8; 6]) -> Self {
        Tag(random)
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 6] {
        self.0
    }

    /// `None` if it is not written as a tag is.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Tag(bytes.try_into().ok()?))
    }
}

impl fmt::Display for Tag {
    /// 8 characters of base64url.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}
