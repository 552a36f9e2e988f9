//! The versions of the protocol, and sets of them.

use std::fmt;

/// A version of the protocol that Adieu knows.
///
/// Without the feature `legacy` only [`Rfc6455`](Version::Rfc6455) is served; the others are known
/// by name, so that their clients are told what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// draft-hixie-thewebsocketprotocol-75: Chrome 4-5, Safari 5.0.0. No challenge and no closing
    /// handshake.
    Hixie75,
    /// draft-ietf-hybi-thewebsocketprotocol-00: Chrome 6-13, Safari 5, iOS 4.2-5.
    Hixie76,
    /// draft-ietf-hybi-thewebsocketprotocol-07: Firefox 6.
    Hybi07,
    /// draft-ietf-hybi-thewebsocketprotocol-08 to -12: Chrome 14-15, Firefox 7-10.
    Hybi08,
    /// RFC 6455, `Sec-WebSocket-Version: 13`.
    Rfc6455,
}

impl Version {
    /// Whether frames are those of hixie (RFC 6455's otherwise).
    #[must_use]
    #[inline]
    pub fn is_hixie(self) -> bool {
        cfg!(feature = "legacy") && matches!(self, Version::Hixie75 | Version::Hixie76)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Hixie75 => "hixie-75",
            Version::Hixie76 => "hixie-76",
            Version::Hybi07 => "hybi-07",
            Version::Hybi08 => "hybi-08",
            Version::Rfc6455 => "RFC 6455",
        })
    }
}

/// A set of versions.
///
/// The default is all but hixie-75, which has no challenge: nothing proves that its peer is a
/// WebSocket client. Without the feature `legacy` it is RFC 6455 alone.
///
/// ```
/// use adieu_proto::{Version, VersionSet};
/// assert!(VersionSet::default().contains(Version::Rfc6455));
/// assert!(!VersionSet::default().contains(Version::Hixie75));
/// # #[cfg(feature = "legacy")]
/// assert!(VersionSet::all().contains(Version::Hixie75));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionSet(u8);

impl VersionSet {
    /// No version.
    #[must_use]
    pub const fn none() -> Self {
        VersionSet(0)
    }

    /// Every version that this build can speak, hixie-75 included.
    #[must_use]
    pub const fn all() -> Self {
        if cfg!(feature = "legacy") {
            VersionSet(0b1_1111)
        } else {
            VersionSet::none().with(Version::Rfc6455)
        }
    }

    /// This set and `version`.
    #[must_use]
    pub const fn with(self, version: Version) -> Self {
        VersionSet(self.0 | 1 << version as u8)
    }

    /// This set without `version`.
    #[must_use]
    pub const fn without(self, version: Version) -> Self {
        VersionSet(self.0 & !(1 << version as u8))
    }

    /// Whether `version` is in it.
    #[must_use]
    pub const fn contains(self, version: Version) -> bool {
        self.0 & 1 << version as u8 != 0
    }

    /// The numbers for a `Sec-WebSocket-Version` field, newest first (RFC 6455 §4.4).
    pub(crate) fn numbers(self) -> String {
        let numbered = [(Version::Rfc6455, "13"), (Version::Hybi08, "8"), (Version::Hybi07, "7")];
        let served = numbered.iter().filter(|(version, _)| self.contains(*version));
        served.map(|(_, number)| *number).collect::<Vec<_>>().join(", ")
    }

    /// What of this set this build can speak.
    pub(crate) const fn spoken(self) -> Self {
        VersionSet(self.0 & VersionSet::all().0)
    }
}

impl Default for VersionSet {
    fn default() -> Self {
        VersionSet::all().without(Version::Hixie75)
    }
}
