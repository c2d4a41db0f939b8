//! Numbers of guilds: how many licenses there are and in which state, how many devices, and what happened on each day. Counted
//! when they are asked for, over indexes of the read models; nothing is kept.

use std::collections::{BTreeMap, HashMap};

use domain::id::GuildId;
use domain::license::Status;
use domain::time::Timestamp;

use crate::Queries;
use crate::db::Arg;
use crate::error::QueryError;
use crate::operational::parsed_text;

/// Milliseconds of a day in UTC, which has no other length here.
pub const DAY_MS: i64 = 86_400_000;

/// The state of a license as the columns hold it, and `License::status` over them.
const LICENSES: &str = "SELECT guild_id, license_type, stage, CAST(CASE WHEN holds <> '' THEN 1 ELSE 0 END AS BIGINT), \
    CAST(CASE WHEN expires_at IS NOT NULL AND expires_at + grace_ms <= $2 THEN 1 ELSE 0 END AS BIGINT), count(*) \
    FROM license_view WHERE guild_id {in:$1} GROUP BY 1, 2, 3, 4, 5";
/// Each device in the fold of a license has this member once; in a text of a client its quotes would be escaped.
const DEVICES: &str = "SELECT CAST(coalesce(sum((length(state) - length(replace(state, '\"activatedAt\":', ''))) / 14), 0) \
    AS BIGINT) FROM license_view WHERE guild_id {in:$1} AND stage IN ('activated', 'active', 'renewed')";
const DAYS: &str = "SELECT CAST(recorded_at / 86400000 AS BIGINT), event_type, count(*) FROM audit_trail \
    WHERE guild_id {in:$1} \
    AND event_type IN ('license.generated', 'license.revoked', 'license.expired', 'license.device_activated') \
    AND recorded_at >= $2 AND recorded_at < $3 GROUP BY 1, 2";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[LICENSES, DEVICES, DAYS];

/// Numbers of some guilds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analytics {
    /// Licenses by guild, type and what they are now.
    pub licenses: BTreeMap<(GuildId, String), HashMap<Status, u64>>,
    /// Devices that are active on licenses which are not revoked.
    pub devices: u64,
    /// What happened on each day on which something did; days are counted from 1970.
    pub days: BTreeMap<i64, Day>,
}

/// What happened on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Day {
    /// Licenses that were made.
    pub created: u64,
    /// Licenses that were revoked.
    pub revoked: u64,
    /// Licenses whose end was recorded.
    pub expired: u64,
    /// Devices that were activated.
    pub activations: u64,
}

impl Queries {
    /// Numbers of `guilds`: what is, at `now`, and what was recorded from `days.0` on and before `days.1`.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn analytics(
        &self,
        guilds: &[GuildId],
        days: (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<Analytics, QueryError> {
        let ids: Vec<String> = guilds.iter().map(GuildId::to_string).collect();
        let tenants = Some(guilds);
        let mut numbers = Analytics::default();
        let core = &self.core;
        for row in core.list(tenants, LICENSES, &[Arg::List(&ids), Arg::Int(now.ms())]).await? {
            let key = (parsed_text(&row, 0, "license_view")?, row.text(1)?.to_owned());
            let status = status(row.text(2)?, row.int(3)? != 0, row.int(4)? != 0)?;
            let count = row.int(5)?.unsigned_abs();
            *numbers.licenses.entry(key).or_default().entry(status).or_default() += count;
        }
        let devices = core.list(tenants, DEVICES, &[Arg::List(&ids)]).await?;
        numbers.devices = devices.first().map_or(Ok(0), |row| row.int(0))?.unsigned_abs();
        let args = [Arg::List(&ids), Arg::Int(days.0.ms()), Arg::Int(days.1.ms())];
        for row in core.list(tenants, DAYS, &args).await? {
            let day = numbers.days.entry(row.int(0)?).or_default();
            let count = row.int(2)?.unsigned_abs();
            match row.text(1)? {
                "license.generated" => day.created = count,
                "license.revoked" => day.revoked = count,
                "license.expired" => day.expired = count,
                _ => day.activations = count,
            }
        }
        Ok(numbers)
    }
}

/// `License::status` over the columns, as `status_sql` says it for lists.
fn status(stage: &str, is_held: bool, has_ended: bool) -> Result<Status, QueryError> {
    Ok(match stage {
        "revoked" => Status::Revoked,
        _ if is_held => Status::Suspended,
        _ if has_ended => Status::Expired,
        "generated" => Status::Generated,
        "assigned" => Status::Assigned,
        "activated" => Status::Activated,
        "active" => Status::Active,
        "renewed" => Status::Renewed,
        other => {
            let why =
                format!("a row of license_view has the stage `{other}`, which there is not; rebuild it");
            return Err(QueryError::Damaged(why));
        }
    })
}
