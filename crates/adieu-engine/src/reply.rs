//! What the functions answer, read.

use bytes::Bytes;
use redis::Value;

use crate::EngineError;

/// An answer, or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Reply(pub(crate) Value);

impl Reply {
    /// A list.
    pub(crate) fn list(self) -> Result<std::vec::IntoIter<Value>, EngineError> {
        match self.0 {
            Value::Array(all) | Value::Set(all) => Ok(all.into_iter()),
            Value::Nil => Ok(Vec::new().into_iter()),
            other => Err(EngineError::strange(format!("{other:?} in the place of a list"))),
        }
    }

    /// Bytes.
    pub(crate) fn bytes(self) -> Result<Bytes, EngineError> {
        match self.0 {
            Value::BulkString(bytes) => Ok(bytes.into()),
            Value::SimpleString(text) => Ok(text.into()),
            Value::Okay => Ok(Bytes::from_static(b"OK")),
            Value::Int(number) => Ok(number.to_string().into()),
            other => Err(EngineError::strange(format!("{other:?} in the place of a string"))),
        }
    }

    /// A string.
    pub(crate) fn text(self) -> Result<String, EngineError> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.into())
            .map_err(|_| EngineError::strange("bytes in the place of a text"))
    }

    /// A number, also where it is written as a string.
    pub(crate) fn number<T: std::str::FromStr>(self) -> Result<T, EngineError> {
        let text = self.text()?;
        let whole = text.split('.').next().unwrap_or_default();
        whole
            .parse()
            .map_err(|_| EngineError::strange(format!("{text:?} in the place of a number")))
    }
}

/// The parts of a list, one after the other.
pub(crate) struct Parts(std::vec::IntoIter<Value>);

impl Parts {
    pub(crate) fn of(value: Value) -> Result<Self, EngineError> {
        Ok(Parts(Reply(value).list()?))
    }

    pub(crate) fn next(&mut self) -> Result<Reply, EngineError> {
        self.0.next().map(Reply).ok_or_else(|| EngineError::strange("an answer that is too short"))
    }

    pub(crate) fn rest(self) -> impl Iterator<Item = Reply> {
        self.0.map(Reply)
    }
}
