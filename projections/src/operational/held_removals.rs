//! Removals that the brake holds back: who would lose which source, until staff confirm the batch or the role comes
//! back. It decides nothing; licenses stay as they are while a row stands here.

use std::collections::BTreeMap;

use domain::event::Actor;
use domain::guild::RuleId;
use domain::id::{GuildId, Pseudonym};
use domain::time::Timestamp;
use uuid::Uuid;

use super::parsed_text;
use crate::Core;
use crate::cursor::{Cursor, Page, Paged};
use crate::db::{Arg, Row, Sql};
use crate::error::QueryError;

const ALL: &str = "SELECT guild_id, rule_id, pseudonym, batch, since, confirmed, confirmed_by FROM held_removal \
    ORDER BY guild_id, since, rule_id, pseudonym";
const OF_GUILD: &str = "SELECT guild_id, rule_id, pseudonym, batch, since, confirmed, confirmed_by FROM held_removal \
    WHERE guild_id = $1 ORDER BY since, rule_id, pseudonym";
const PAGE: &str = "SELECT guild_id, rule_id, pseudonym, batch, since, confirmed, confirmed_by FROM held_removal \
    WHERE guild_id = $1 AND (since, rule_id, pseudonym) > (CAST($2 AS BIGINT), $3, $4) \
    ORDER BY since, rule_id, pseudonym LIMIT $5";
const HOLD: &str = "INSERT INTO held_removal (guild_id, rule_id, pseudonym, batch, since, confirmed) \
    SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), value, CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS BIGINT) \
    FROM {each:$6} WHERE true ON CONFLICT (guild_id, rule_id, pseudonym) DO NOTHING";
const CONFIRM: &str = "UPDATE held_removal SET confirmed = 1, confirmed_by = coalesce(confirmed_by, $3) \
    WHERE guild_id = $1 AND batch = $2";
const DROP: &str = "DELETE FROM held_removal WHERE guild_id = $1 AND pseudonym = $2 AND rule_id {in:$3}";

const CONFIRMED: &str = "SELECT guild_id, rule_id, pseudonym, batch, since, confirmed, confirmed_by FROM held_removal \
    WHERE confirmed = 1 ORDER BY guild_id, since, rule_id, pseudonym";
const UNCONFIRMED: &str = "SELECT count(*) FROM held_removal WHERE confirmed = 0";
const OF_MEMBERS: &str = "SELECT guild_id, rule_id, pseudonym, batch, since, confirmed, confirmed_by FROM held_removal \
    WHERE guild_id = $1 AND pseudonym {in:$2}";
const OPEN: &str = "SELECT batch, confirmed FROM held_removal WHERE guild_id = $1 ORDER BY confirmed LIMIT 1";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] =
    &[ALL, OF_GUILD, PAGE, CONFIRMED, UNCONFIRMED, OF_MEMBERS, OPEN, HOLD, CONFIRM, DROP];

/// Rows that one statement takes.
const CHUNK: usize = 1_000;

/// A source that a member would lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRemoval {
    /// The tenant.
    pub guild: GuildId,
    /// The rule that gives it.
    pub rule: RuleId,
    /// Whose.
    pub user: Pseudonym,
    /// What it is confirmed with.
    pub batch: Uuid,
    /// Since when it is held back.
    pub since: Timestamp,
    /// Whether staff confirmed it: then it is to be carried out.
    pub confirmed: bool,
    /// Who did.
    pub confirmed_by: Option<Actor>,
}

/// How a guild's removals stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// None is held.
    Nothing,
    /// All that are held are confirmed.
    Confirmed,
    /// This batch waits to be confirmed.
    Open(Uuid),
}

/// Removals that wait. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct HeldRemovals {
    sql: Sql,
    epoch: Box<str>,
}

impl HeldRemovals {
    pub(crate) fn new(core: &Core) -> Self {
        Self { sql: core.sql.clone(), epoch: core.epoch.clone() }
    }

    /// A page of those of a guild, oldest first.
    ///
    /// # Errors
    /// [`QueryError::CursorInvalid`], [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn page(&self, guild: GuildId, page: &Page) -> Result<Paged<HeldRemoval>, QueryError> {
        page.check(&self.epoch)?;
        let limit = page.limit();
        let (since, key) = page.cursor.as_ref().map_or((-1, ""), |cursor| (cursor.position(), cursor.key()));
        let (rule, user) = key.split_once(':').unwrap_or(("", ""));
        let id = guild.to_string();
        let args = [
            Arg::Text(&id),
            Arg::Int(since),
            Arg::Text(rule),
            Arg::Text(user),
            Arg::Int(i64::from(limit) + 1),
        ];
        let rows = self.sql.fetch_of(Some(&[guild]), PAGE, &args).await?;
        let mut data = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let more = data.len() > limit as usize;
        data.truncate(limit as usize);
        let last = data.last().filter(|_| more);
        let next = last.map(|held| {
            let key = format!("{}:{}", held.rule, held.user);
            Cursor::with_key(&self.epoch, held.since.ms(), &key)
        });
        Ok(Paged { data, next })
    }

    /// Those of a guild, oldest first.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn of_guild(&self, guild: GuildId) -> Result<Vec<HeldRemoval>, QueryError> {
        self.sql.fetch(OF_GUILD, &[Arg::Text(&guild.to_string())]).await?.iter().map(read).collect()
    }

    /// Those of some members of a guild.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn of_members(
        &self,
        guild: GuildId,
        users: &[&Pseudonym],
    ) -> Result<Vec<HeldRemoval>, QueryError> {
        let guild = guild.to_string();
        let mut removals = Vec::new();
        for users in users.chunks(CHUNK) {
            let users: Vec<String> = users.iter().map(|user| user.as_str().to_owned()).collect();
            let rows = self.sql.fetch(OF_MEMBERS, &[Arg::Text(&guild), Arg::List(&users)]).await?;
            removals.extend(rows.iter().map(read).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(removals)
    }

    /// Whether a guild has any at all, and the batch that is not confirmed yet.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn open(&self, guild: GuildId) -> Result<Standing, QueryError> {
        let Some(row) = self.sql.fetch_one(OPEN, &[Arg::Text(&guild.to_string())]).await? else {
            return Ok(Standing::Nothing);
        };
        let batch = parsed_text(&row, 0, "held_removal")?;
        Ok(if row.int(1)? == 0 { Standing::Open(batch) } else { Standing::Confirmed })
    }

    /// How many of every guild are not confirmed.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn unconfirmed(&self) -> Result<usize, QueryError> {
        let row = self.sql.fetch_one(UNCONFIRMED, &[]).await?;
        Ok(usize::try_from(row.map_or(Ok(0), |row| row.int(0))?).unwrap_or(0))
    }

    /// Those of every guild that are to be carried out.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn confirmed(&self) -> Result<Vec<HeldRemoval>, QueryError> {
        self.sql.fetch(CONFIRMED, &[]).await?.iter().map(read).collect()
    }

    /// Those of every guild, a guild at a time.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn all(&self) -> Result<Vec<HeldRemoval>, QueryError> {
        self.sql.fetch(ALL, &[]).await?.iter().map(read).collect()
    }

    /// Holds removals back, all or none. One that is held already stays as it is: its batch, since when, and whether it
    /// is confirmed.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn hold(&self, removals: &[HeldRemoval]) -> Result<(), QueryError> {
        let mut alike: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for held in removals {
            let key = (held.guild, held.rule, held.batch, held.since, held.confirmed);
            alike.entry(key).or_default().push(held.user.to_string());
        }
        if alike.is_empty() {
            return Ok(());
        }
        let work = async {
            let mut tx = self.sql.begin().await?;
            for ((guild, rule, batch, since, confirmed), users) in &alike {
                let (guild, rule, batch) = (guild.to_string(), rule.to_string(), batch.to_string());
                for users in users.chunks(CHUNK) {
                    let args = [
                        Arg::Text(&guild),
                        Arg::Text(&rule),
                        Arg::Text(&batch),
                        Arg::Int(since.ms()),
                        Arg::Int(i64::from(*confirmed)),
                        Arg::List(users),
                    ];
                    tx.execute(HOLD, &args).await?;
                }
            }
            tx.commit().await
        };
        Ok(self.sql.within(work).await?)
    }

    /// Confirms a batch of a guild in somebody's name; how many removals it has, those included that were confirmed before.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn confirm(&self, guild: GuildId, batch: Uuid, by: &Actor) -> Result<u64, QueryError> {
        let (guild, batch, by) = (guild.to_string(), batch.to_string(), by.to_string());
        Ok(self.sql.run(CONFIRM, &[Arg::Text(&guild), Arg::Text(&batch), Arg::Text(&by)]).await?)
    }

    /// Forgets removals of a member: the role came back, or they were carried out.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn drop_rows(
        &self,
        guild: GuildId,
        user: &Pseudonym,
        rules: &[RuleId],
    ) -> Result<(), QueryError> {
        let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
        let guild = guild.to_string();
        self.sql.run(DROP, &[Arg::Text(&guild), Arg::Text(user.as_str()), Arg::List(&rules)]).await?;
        Ok(())
    }
}

fn read(row: &Row) -> Result<HeldRemoval, QueryError> {
    const TABLE: &str = "held_removal";
    Ok(HeldRemoval {
        guild: parsed_text(row, 0, TABLE)?,
        rule: RuleId(parsed_text(row, 1, TABLE)?),
        user: parsed_text(row, 2, TABLE)?,
        batch: parsed_text(row, 3, TABLE)?,
        since: Timestamp(row.int(4)?),
        confirmed: row.int(5)? != 0,
        confirmed_by: row.opt_text(6)?.is_some().then(|| parsed_text(row, 6, TABLE)).transpose()?,
    })
}
