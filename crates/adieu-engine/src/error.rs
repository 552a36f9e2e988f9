//! Why a call failed.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a call to the engine failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The engine did not answer, or says that it cannot serve now. Whether it has done what was
    /// asked is not known.
    Away(String),
    /// The engine says that it will not do it, and has not done it: its memory is full, the user
    /// may not.
    Refused(String),
    /// The answer is none that this version knows.
    Strange(String),
}

impl EngineError {
    /// A short word for it that stays the same in all versions, for searches and for programs.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            EngineError::Away(_) => "engine-away",
            EngineError::Refused(_) => "engine-refused",
            EngineError::Strange(_) => "engine-strange",
        }
    }

    pub(crate) fn strange(what: impl Into<String>) -> Self {
        EngineError::Strange(what.into())
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Away(why) => write!(f, "the engine does not answer: {why}"),
            EngineError::Refused(why) => write!(f, "the engine refuses: {why}"),
            EngineError::Strange(why) => {
                write!(f, "the engine gave an answer that this version does not know: {why}")
            }
        }
    }
}

impl std::error::Error for EngineError {}

impl From<RedisError> for EngineError {
    fn from(error: RedisError) -> Self {
        let why = error.to_string();
        match error.kind() {
            ErrorKind::Server(kind) => match kind {
                ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::ReadOnly => EngineError::Away(why),
                _ => refused_or_away(&error, why),
            },
            ErrorKind::Extension => refused_or_away(&error, why),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => EngineError::Strange(why),
            _ => EngineError::Away(why),
        }
    }
}

/// Some errors of the server are only words: a function that is not there yet (a server that has
/// just been promoted, or was flushed) and too few replicas are mended by time.
fn refused_or_away(error: &RedisError, why: String) -> EngineError {
    let code = error.code().unwrap_or_default();
    let passing = ["NOREPLICAS", "LOADING", "BUSY", "MISCONF", "UNKILLABLE"].contains(&code)
        || why.contains("Function not found");
    if passing { EngineError::Away(why) } else { EngineError::Refused(why) }
}

/// Whether the engine has lost the functions.
pub(crate) fn lacks_functions(error: &EngineError) -> bool {
    matches!(error, EngineError::Away(why) if why.contains("Function not found"))
}
