//! Rows without events: what is worth keeping and is no fact of the domain. They are joined when something is read,
//! and stand outside of rebuild and comparison.

use std::str::FromStr;
use std::time::Duration;

use crate::db::Row;
use crate::error::QueryError;

mod bot_state;
mod guild_roles;
mod held_removals;
mod last_seen;
mod leases;
mod refreshes;
mod retirements;
mod ring_holders;

pub use bot_state::{BotState, GatewaySession};
pub use guild_roles::{GuildRole, GuildRoles};
pub use held_removals::{HeldRemoval, HeldRemovals, Standing};
pub use last_seen::LastSeen;
pub use leases::{Lease, Leases};
pub use refreshes::{RefreshRules, Refreshed, Refreshes};
pub use retirements::{Retirement, Retirements};
pub use ring_holders::{Activated, RingHolder, RingHolders, RingSecret, RingState};

pub(crate) use last_seen::table;
pub(crate) use leases::in_force;

/// Every statement of this folder.
pub(crate) const STATEMENTS: [&[&str]; 8] = [
    last_seen::STATEMENTS,
    leases::STATEMENTS,
    bot_state::STATEMENTS,
    guild_roles::STATEMENTS,
    held_removals::STATEMENTS,
    ring_holders::STATEMENTS,
    retirements::STATEMENTS,
    refreshes::STATEMENTS,
];

/// What a column of a row of `table` holds.
pub(crate) fn parsed_text<T: FromStr>(row: &Row, column: usize, table: &str) -> Result<T, QueryError> {
    let text = row.text(column)?;
    text.parse().map_err(|_| {
        QueryError::Damaged(format!("a row of {table} holds `{text}`, which it cannot; delete the row"))
    })
}

/// A length of time in whole milliseconds, at most a hundred years.
pub(crate) fn whole_ms(time: Duration) -> i64 {
    const CENTURY: i64 = 36_525 * 86_400_000;
    i64::try_from(time.as_millis()).map_or(CENTURY, |ms| ms.min(CENTURY))
}
