//! A connection of one's own, kept out of the pool: sqlx tests whatever goes back there, and the next statement would pay for
//! that with its time.

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, TransactionTrait};

use super::StoreError;

/// A connection where each statement stands for itself.
pub(super) struct Lane(DatabaseTransaction);

impl Lane {
    /// sea-orm hands a connection out with a transaction alone, which is therefore ended at once.
    pub(super) async fn open(database: &DatabaseConnection) -> Result<Self, StoreError> {
        let connection = database.begin().await?;
        connection.execute_unprepared("COMMIT").await?;
        Ok(Self(connection))
    }

    pub(super) fn db(&self) -> &impl ConnectionTrait {
        &self.0
    }
}
