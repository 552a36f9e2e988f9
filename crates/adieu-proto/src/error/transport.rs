//! The error that explains an ending.

use std::error::Error;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::{fmt, io};

/// The error with which a transport failed: of the operating system, of a TLS library, or of a
/// stream that the application gave. Also the error that a handler returned. It explains an ending
/// and decides nothing.
///
/// The error itself is its [`source`](Error::source); two are equal if they say the same.
///
/// ```
/// use std::{error::Error, io};
/// let error = adieu_proto::TransportError::new(io::Error::other("the tunnel collapsed"));
/// assert_eq!(error.to_string(), "the tunnel collapsed");
/// assert!(error.source().is_some_and(|source| source.is::<io::Error>()));
/// ```
#[derive(Clone)]
pub struct TransportError(Arc<dyn Error + Send + Sync>);

impl TransportError {
    /// Keeps an error to be told.
    #[must_use]
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        TransportError(Arc::from(error.into()))
    }
}

impl From<io::Error> for TransportError {
    fn from(error: io::Error) -> Self {
        TransportError(Arc::new(error))
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransportError({})", self.0)
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl PartialEq for TransportError {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.to_string() == other.to_string()
    }
}

impl Eq for TransportError {}

impl Hash for TransportError {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_string().hash(state);
    }
}
