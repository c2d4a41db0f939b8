//! The read model of aliases: which license of a guild a foreign key was brought in with, one row an alias. A row stays when
//! its alias is retired: whether it opens the license still, the license itself says. It holds hashes and no keys.

use std::collections::BTreeMap;

use domain::alias;
use domain::event::DomainEvent;
use domain::license::Event;

use crate::db::Kind::{Int, Text};
use crate::db::{Rows, Table};
use crate::error::QueryError;
use crate::model::Entry;
use crate::parked::Parked;

/// Its table.
pub(crate) static TABLE: Table = Table {
    name: "alias_view",
    columns: &[
        ("alias", Text, "NOT NULL"),
        ("guild_id", Text, "NOT NULL"),
        ("license_id", Text, "NOT NULL"),
        ("position", Int, "NOT NULL"),
    ],
    indexes: &[("guild", "(guild_id, position)")],
};

/// The rows of a batch for the table `target`, and the licenses whose alias cannot be understood.
pub(crate) fn rows(entries: &[Entry], target: &str) -> (Rows, Vec<Parked>) {
    let (mut found, mut parked) = (BTreeMap::new(), Vec::new());
    for entry in entries.iter().filter(|entry| entry.stored.event_type == alias::ADDED) {
        match added(entry) {
            Ok((alias, guild)) => drop(found.insert(alias, (guild, entry))),
            Err(error) => {
                let (stream, position) = (&entry.stored.stream, entry.stored.position);
                let kind = stream.kind.as_str();
                parked.push(Parked::new(TABLE.name, kind, &stream.id, position, &error.to_string()));
            }
        }
    }
    let mut rows = Rows::new(&TABLE, target);
    for (alias, (guild, entry)) in found {
        let license = entry.stored.stream.id.to_string();
        rows.text(alias).text(guild).text(license).int(entry.stored.position);
    }
    (rows, parked)
}

/// The alias and the guild that it belongs to.
fn added(entry: &Entry) -> Result<(String, String), QueryError> {
    if let DomainEvent::License(Event::AliasAdded { alias, .. }) = &entry.read()?.event
        && let Some(guild) = entry.stored.guild
    {
        return Ok((alias.clone(), guild.to_string()));
    }
    Err(QueryError::Damaged(format!("event {} is no alias of a guild", entry.stored.position)))
}
