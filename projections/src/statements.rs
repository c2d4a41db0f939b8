//! Every SQL text of this crate, gathered, so that one test can let both engines prepare them all. It runs none.

use domain::id::{GuildId, LicenseId, Pseudonym, StreamId};
use domain::license::Status;
use domain::time::Timestamp;

use crate::audit_trail::{AuditFilter, AuditQuery};
use crate::cursor::{Cursor, Page};
use crate::db::{Rows, Sql};
use crate::error::QueryError;
use crate::license_view::{LicenseFilter, ListQuery};
use crate::model::Model;
use crate::user_view::{UserFilter, UserQuery};
use crate::{
    activations, aliases, analytics, checkpoint, consumer, event_log, facts, guild_view, license_view,
    member_view, notice_outbox, operational, parked, past, rebuild, replica, seal_log, session_view, view,
};

/// A sign of life.
pub(crate) const PING: &str = "SELECT 1";

const FIXED: &[&[&str]] = &[
    &[
        PING,
        guild_view::GUILDS,
        member_view::MEMBERS,
        member_view::MEMBERSHIPS,
        session_view::OF_PERSON,
        rebuild::SWAP,
    ],
    &[license_view::DUE, license_view::NEXT_DUE, license_view::EXPIRING],
    activations::STATEMENTS,
    aliases::STATEMENTS,
    analytics::STATEMENTS,
    checkpoint::STATEMENTS,
    consumer::STATEMENTS,
    event_log::STATEMENTS,
    facts::STATEMENTS,
    parked::STATEMENTS,
    past::STATEMENTS,
    replica::STATEMENTS,
    rebuild::BUILD_STATEMENTS,
];

/// Prepares all of them; how many there are.
pub(crate) async fn check(sql: &Sql) -> Result<usize, QueryError> {
    let mut all: Vec<String> = FIXED
        .iter()
        .chain(&operational::STATEMENTS)
        .chain(&notice_outbox::STATEMENTS)
        .chain(&seal_log::STATEMENTS)
        .copied()
        .flatten()
        .map(|text| (*text).to_owned())
        .collect();
    all.extend(rebuild::verify_statements());
    all.extend(lists());
    all.extend(audits());
    all.extend(users());
    for model in Model::ALL {
        let table = model.table();
        all.push(sql.upsert(&Rows::new(table, table.name)));
        if let Some(of_subject) = model.of_subject() {
            all.push(of_subject.replace("{t}", table.name));
            all.push(view::load_sql(table.name));
            all.push(parked::remove(table.name));
        }
    }
    for table in [operational::table()].into_iter().chain(seal_log::tables()) {
        all.push(sql.upsert(&Rows::new(table, table.name)));
    }
    for text in &all {
        let failed =
            |error| QueryError::Damaged(format!("a statement is not understood: {error}; it reads: {text}"));
        sql.prepare(text).await.map_err(failed)?;
    }
    Ok(all.len())
}

/// Lists of licenses with every combination of filters.
fn lists() -> Vec<String> {
    let statuses =
        [None, Some(Status::Revoked), Some(Status::Suspended), Some(Status::Expired), Some(Status::Active)];
    let guilds = [None, Some(vec![GuildId(1)]), Some(vec![GuildId(1), GuildId(2)])];
    let mut all = Vec::new();
    for shape in 0_u8..32 {
        let has = |bit: u8| shape & (1 << bit) != 0;
        for (status, guilds) in statuses.iter().flat_map(|s| guilds.iter().map(move |g| (*s, g.clone()))) {
            let filter = LicenseFilter {
                guilds,
                owner: has(0).then(anybody).flatten(),
                status,
                license_type: has(1).then(|| "pro".to_owned()),
                expires_before: has(2).then_some(Timestamp(1)),
                id: has(3).then(LicenseId::default),
            };
            let page = Page { limit: 1, cursor: has(4).then(|| Cursor::new("", 1)) };
            all.push(ListQuery::new(&filter, &page, Timestamp(1)).text);
        }
    }
    all
}

fn anybody() -> Option<Pseudonym> {
    "u_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().ok()
}

/// Lists of users with every combination of filters.
fn users() -> Vec<String> {
    let text = |shape: u8| {
        let ids = (shape & 1 != 0).then(|| anybody().into_iter().collect());
        let filter = UserFilter { ids, banned: (shape & 2 != 0).then_some(true) };
        UserQuery::new(&filter, &Page { limit: 1, cursor: None }).text
    };
    (0..4).map(text).collect()
}

/// The audit trail with every combination of filters.
fn audits() -> Vec<String> {
    let mut all = Vec::new();
    for shape in 0_u16..512 {
        let has = |bit: u16| shape & (1 << bit) != 0;
        let two = if has(7) { vec![GuildId(1), GuildId(2)] } else { vec![GuildId(1)] };
        let filter = AuditFilter {
            guilds: has(0).then_some(two),
            stream: has(1).then(|| StreamId::guild(GuildId(1))),
            about: has(8).then(anybody).flatten(),
            actor: has(2).then_some(domain::event::Actor::Bot),
            event_type: has(3).then(String::new),
            correlation_id: has(4).then(String::new),
            from: has(5).then_some(Timestamp(1)),
            until: has(5).then_some(Timestamp(2)),
        };
        let page = Page { limit: 1, cursor: has(6).then(|| Cursor::new("", 1)) };
        all.push(AuditQuery::new(&filter, &page).text);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The DDL of every table of this crate, as the migration holds it.
    fn ddl(int: &str, strict: &str) -> Vec<String> {
        let tables = Model::ALL.map(Model::table).into_iter().chain([operational::table()]);
        tables
            .flat_map(|table| {
                let indexes = table.create_indexes(table.name, 0);
                std::iter::once(table.create(table.name)).chain(indexes)
            })
            .map(|text| format!("{};\n", text.replace("{int}", int).replace("{strict}", strict)))
            .collect()
    }

    #[test]
    fn the_migrations_make_the_tables_that_a_rebuild_makes() {
        let postgres = [
            include_str!("../../migrations/postgres/0002_read_models.sql"),
            include_str!("../../migrations/postgres/0007_sessions.sql"),
            include_str!("../../migrations/postgres/0009_analytics.sql"),
            include_str!("../../migrations/postgres/0011_platform.sql"),
            include_str!("../../migrations/postgres/0012_aliases.sql"),
        ];
        let sqlite = [
            include_str!("../../migrations/sqlite/0002_read_models.sql"),
            include_str!("../../migrations/sqlite/0007_sessions.sql"),
            include_str!("../../migrations/sqlite/0009_analytics.sql"),
            include_str!("../../migrations/sqlite/0011_platform.sql"),
            include_str!("../../migrations/sqlite/0012_aliases.sql"),
        ];
        for (migrations, ddl) in [(postgres, ddl("BIGINT", "")), (sqlite, ddl("INTEGER", " STRICT"))] {
            for text in ddl {
                assert!(migrations.iter().any(|one| one.contains(&text)), "no migration has\n{text}");
            }
        }
    }

    #[test]
    fn every_view_begins_with_the_columns_that_folding_reads() {
        for model in Model::ALL.into_iter().filter(|model| model.of_subject().is_some()) {
            let names: Vec<&str> = model.table().columns.iter().map(|(name, ..)| *name).collect();
            assert_eq!(names[..6], view::LEADING, "{}", model.name());
        }
    }
}
