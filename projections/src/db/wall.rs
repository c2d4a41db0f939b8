//! The second wall between tenants, of PostgreSQL's own: what is read for a tenant is read by a role that owns nothing, and
//! row-level security shows it the rows of the guilds that are named, whatever the statement says. The first wall is the
//! condition in every statement. SQLite has no second one. The role and the policies stand in the migrations; the same
//! policy is put on a table that a rebuild makes.

use domain::id::GuildId;

use super::{DbError, Sql, Table, Tx};
use crate::db::Db;

/// Whose rows are read; `None` is the platform's own reading, which sees all.
pub(crate) type Tenants<'a> = Option<&'a [GuildId]>;

/// Begins a transaction that reads as the tenant role. Ids of guilds are numbers, so nothing in them can end the text.
pub(super) fn begin(guilds: &[GuildId]) -> String {
    let guilds = guilds.iter().map(GuildId::to_string).collect::<Vec<_>>().join(",");
    format!("BEGIN READ ONLY; SET LOCAL ROLE dca_tenant; SET LOCAL dca.guilds = '{guilds}'")
}

impl Table {
    /// The column that says whose a row is; `None` for a table that has none.
    fn tenant(&self) -> Option<&'static str> {
        let of_guild = |(name, ..): &&(&'static str, super::Kind, &str)| *name == "guild_id";
        let found = self.columns.iter().find(of_guild).map(|(name, ..)| *name);
        found.or_else(|| (self.name == "guild_view").then_some("id"))
    }

    /// What puts the wall around a table of rows that belong to guilds; nothing for others.
    pub(crate) fn wall(&self, target: &str) -> Vec<String> {
        let Some(column) = self.tenant() else { return Vec::new() };
        vec![
            format!("ALTER TABLE {target} ENABLE ROW LEVEL SECURITY"),
            format!(
                "CREATE POLICY tenant ON {target} USING (current_user <> 'dca_tenant' OR {column} = ANY \
                 ((SELECT string_to_array(current_setting('dca.guilds', true), ','))::text[]))"
            ),
            format!("GRANT SELECT ON {target} TO dca_tenant"),
        ]
    }
}

impl Sql {
    /// Whether this engine has the wall.
    const fn has_wall(&self) -> bool {
        matches!(self.db, Db::Postgres(_))
    }
}

impl Tx {
    /// Puts the wall around a table that was just made.
    pub(crate) async fn wall(&mut self, table: &Table, target: &str) -> Result<(), DbError> {
        if self.sql.has_wall() {
            for text in table.wall(target) {
                self.execute(&text, &[]).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn the_migration_puts_the_same_wall_around_every_table_of_guilds() {
        let migrations = [
            include_str!("../../../migrations/postgres/0010_tenant_wall.sql"),
            include_str!("../../../migrations/postgres/0012_aliases.sql"),
        ];
        let mut walled = 0;
        for table in Model::ALL.map(Model::table) {
            for text in table.wall(table.name) {
                walled += 1;
                let text = format!("{text};\n");
                assert!(migrations.iter().any(|one| one.contains(&text)), "no migration has\n{text}");
            }
        }
        assert!(walled >= 15, "{walled}");
    }

    #[test]
    fn what_begins_a_reading_for_tenants_names_them() {
        assert_eq!(
            begin(&[GuildId(1), GuildId(22)]),
            "BEGIN READ ONLY; SET LOCAL ROLE dca_tenant; SET LOCAL dca.guilds = '1,22'"
        );
        assert!(begin(&[]).ends_with("= ''"));
    }
}
