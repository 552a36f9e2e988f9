//! Whether an engine keeps what it is given.

use redis::Value;

use crate::channel::Purpose;
use crate::{Engine, EngineError};

/// The oldest version that has functions.
const OLDEST: (u32, u32) = (7, 0);

impl Engine {
    /// What speaks against using it, each as a sentence that says how to mend it.
    ///
    /// # Errors
    /// [`EngineError`]: it does not answer.
    pub async fn flaws(&self, volatile: bool) -> Result<Vec<String>, EngineError> {
        let mut flaws = Vec::new();
        let version = self.info("server", "redis_version").await?;
        if version.as_deref().and_then(parse_version).is_some_and(|version| version < OLDEST) {
            // FAQ: engine-too-old
            flaws.push(format!(
                "the engine has version {}, and adieu needs 7.0 or newer (functions)",
                version.unwrap_or_default()
            ));
        }
        let policy = self.info("memory", "maxmemory_policy").await?;
        let evicts = policy.as_deref().is_some_and(|policy| policy != "noeviction");
        if evicts && self.info("memory", "maxmemory").await?.as_deref() != Some("0") {
            // FAQ: engine-evicts
            flaws.push(format!(
                "the engine throws keys away when its memory is full (maxmemory-policy {}), and \
                 sessions with them; run: redis-cli CONFIG SET maxmemory-policy noeviction",
                policy.unwrap_or_default()
            ));
        }
        let aof = self.info("persistence", "aof_enabled").await?;
        if !volatile && aof.as_deref() == Some("0") {
            // FAQ: engine-forgets
            flaws.push(
                "the engine forgets all sessions when its process ends (appendonly no); run: \
                 redis-cli CONFIG SET appendonly yes, or start adieu with --engine-volatile"
                    .to_owned(),
            );
        }
        Ok(flaws)
    }

    async fn info(&self, section: &str, name: &str) -> Result<Option<String>, EngineError> {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        let text = match self.channel(Purpose::Reads).command(info).await? {
            Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Value::VerbatimString { text, .. } | Value::SimpleString(text) => text,
            other => return Err(EngineError::strange(format!("{other:?} to INFO"))),
        };
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.map(|line| line.trim().to_owned()))
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_as_numbers() {
        assert!(parse_version("10.0.1").unwrap() > OLDEST);
        assert!(parse_version("6.2.14").unwrap() < OLDEST);
        assert_eq!(parse_version("seven"), None);
    }
}
