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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn an_answer_is_read_part_by_part() {
        let answer = Value::Array(vec![text("OK"), Value::Int(7), Value::Array(vec![text("a")])]);
        let mut parts = Parts::of(answer).unwrap();
        assert_eq!(parts.next().unwrap().text().unwrap(), "OK");
        assert_eq!(parts.next().unwrap().number::<u64>().unwrap(), 7);
        assert_eq!(parts.next().unwrap().list().unwrap().len(), 1);
        assert_eq!(parts.next().unwrap_err().id(), "engine-strange");
    }

    #[test]
    fn a_number_is_one_however_it_is_written() {
        let number = |value| Reply(value).number::<i64>();
        assert_eq!(number(Value::Int(-3)), Ok(-3));
        assert_eq!(number(text("9007199254740991")), Ok(9_007_199_254_740_991));
        assert_eq!(number(text("12.0")), Ok(12));
        for none in [text(""), text("x"), Value::Nil, Value::Array(vec![])] {
            assert!(number(none.clone()).is_err(), "{none:?}");
        }
        assert!(Reply(Value::Int(-1)).number::<u64>().is_err());
    }

    #[test]
    fn what_is_not_there_is_an_empty_list_and_no_string() {
        assert_eq!(Reply(Value::Nil).list().unwrap().len(), 0);
        assert!(Reply(Value::Int(1)).list().is_err());
        assert!(Reply(Value::Nil).bytes().is_err());
        assert_eq!(Reply(Value::Okay).text().unwrap(), "OK");
        let bytes = Reply(Value::BulkString(vec![0xFF, 0]));
        assert_eq!(bytes.clone().bytes().unwrap(), &[0xFF, 0][..]);
        assert!(bytes.text().is_err());
    }
}
