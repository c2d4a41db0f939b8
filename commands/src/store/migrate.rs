//! Brings a schema up to date with the migrations inside this program, and refuses one that is newer. It never
//! goes back, and never runs a file that the database knows with another text.

use sqlx::migrate::{Migrate, MigrateError, Migrator};

use super::error::StoreError;

/// Runs what is missing, under the lock that sqlx takes (PostgreSQL: advisory; SQLite: the only writer).
pub(super) async fn run<C: Migrate>(connection: &mut C, migrations: &Migrator) -> Result<(), StoreError> {
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    let failed = |error: MigrateError| failure(&error, known);
    // The lock is counted, and sqlx takes it once more: what is seen here holds until the end of the run.
    connection.lock().await.map_err(failed)?;
    connection.ensure_migrations_table().await.map_err(failed)?;
    let applied = connection.list_applied_migrations().await.map_err(failed)?;
    let found = applied.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found > known {
        return Err(StoreError::SchemaNewer { found, known });
    }
    migrations.run_direct(connection).await.map_err(failed)?;
    connection.unlock().await.map_err(failed)
}

fn failure(error: &MigrateError, known: i64) -> StoreError {
    match error {
        MigrateError::Execute(error) => StoreError::of("bringing the schema up to date", error),
        MigrateError::VersionMissing(found) => StoreError::SchemaNewer { found: *found, known },
        MigrateError::VersionMismatch(version) => StoreError::Migration(format!(
            "migration {version} was run here with another text; this program is not the one that the database \
             was made by: start the released version, or restore a backup"
        )),
        other => StoreError::Migration(other.to_string()),
    }
}
