//! A table of a commit.

use redb::{Table, TableDefinition, WriteTransaction};

/// A table, opened when it is changed: most commits change two.
pub(super) struct Lazy<'t, K: redb::Key + 'static, V: redb::Value + 'static> {
    transaction: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    open: Option<Table<'t, K, V>>,
}

impl<'t, K: redb::Key + 'static, V: redb::Value + 'static> Lazy<'t, K, V> {
    pub(super) fn new(
        transaction: &'t WriteTransaction,
        definition: TableDefinition<'static, K, V>,
    ) -> Self {
        Lazy { transaction, definition, open: None }
    }

    pub(super) fn table(&mut self) -> Result<&mut Table<'t, K, V>, redb::Error> {
        if self.open.is_none() {
            self.open = Some(self.transaction.open_table(self.definition)?);
        }
        // It was just opened.
        self.open.as_mut().ok_or(redb::Error::DatabaseClosed)
    }
}
