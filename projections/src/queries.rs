//! The questions that the read side answers: the public handle. What each one does stands in the file of its subject.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::guild::Guild;
use domain::id::{GuildId, LicenseId, Pseudonym, StreamId};
use domain::license::{License, Personal};
use domain::private::{Private, Subject, Unsealed};
use domain::time::{Span, Timestamp};
use serde::de::DeserializeOwned;
use tokio::sync::{RwLock, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::aliases::Aliases;
use crate::cache::{Cache, CacheStats, Far};
use crate::checkpoint::{self, ModelHealth};
use crate::cursor::{Page, Paged};
use crate::db::{Arg, Row, Sql};
use crate::error::QueryError;
use crate::event_log::EventLog;
use crate::facts::{Fact, GuildFact, LicenseFact, MemberFact, UserFact};
use crate::history::HistoryEntry;
use crate::license_view::{DUE, Due, EXPIRING, LicenseFacts, LicenseFilter, ListQuery, NEXT_DUE};
use crate::notice_outbox::Outbox;
use crate::operational::{BotState, GuildRoles, HeldRemovals, LastSeen, Leases, Retirements, RingHolders};
use crate::parked::{self, Parked};
use crate::replica::Replica;
use crate::user_view::{UserFilter, UserQuery};
use crate::validation::{Answer, Ask, FirstValidations};
use crate::view::{View, parsed};
use crate::{
    AuditEntry, AuditFilter, Core, Floors, GuildFacts, MemberFacts, Parts, Queries, SLOW, SharedLimits,
    UserFacts, guild_view, member_view, statements,
};

/// How often a waiting reader looks for checkpoints that another process moved.
const CHECKPOINT_POLL: Duration = Duration::from_millis(50);

impl Queries {
    /// The read side over `parts`. It does nothing until [`Queries::prepare`].
    pub fn new(parts: Parts) -> Self {
        let Parts { db, replica, epoch, mac, vault, floors, bus, redis, config } = parts;
        let sql = Sql::new(db, config.statement_timeout, config.pooler);
        let far = redis.map(|redis| Far::new(redis, Arc::clone(&mac), &epoch));
        let core = Core {
            slow: sql.with_timeout(SLOW),
            replica: replica.map(|db| Replica::new(db, &sql)),
            log: EventLog::new(sql.clone()),
            epoch: epoch.into(),
            mac,
            vault,
            floors,
            bus,
            cache: Cache::new(&config, far),
            aliases: Aliases::new(config.alias_entries),
            last_seen: LastSeen::new(sql.with_timeout(SLOW), config.last_seen_entries),
            first_validations: FirstValidations::new(config.first_validations),
            checkpoint: watch::Sender::new(0),
            tail: AtomicI64::new(0),
            outbox_passed: Arc::default(),
            gate: RwLock::new(()),
            sql,
            config,
        };
        Self { core: Arc::new(core) }
    }

    /// Rate limits that processes share over Redis; `None` where there is none.
    pub fn shared_limits(&self) -> Option<SharedLimits> {
        self.core.cache.far().map(Far::limits)
    }

    /// Looks at the end of the log and puts floors under what happened in its last minute. To be called once, before
    /// the first question and before the process says that it is ready.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer; it can be called again.
    pub async fn prepare(&self) -> Result<(), QueryError> {
        self.core.begin().await
    }

    /// Follows the log and flushes what is noted in memory, until `shutdown`. Every process runs this once, whether or
    /// not it runs a projector.
    pub async fn follow(&self, shutdown: CancellationToken) {
        crate::follow::run(self.core.clone(), shutdown).await;
    }

    /// Looks at the end of the log now, instead of at the next interval.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn look(&self) -> Result<(), QueryError> {
        while self.core.look().await? {}
        Ok(())
    }

    /// Whether a key is valid here and now.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if neither cache nor database can tell; never for a reason of the license's own.
    pub async fn validate(&self, ask: Ask<'_>) -> Result<Answer, QueryError> {
        self.core.validate(&ask).await
    }

    /// A license; `None` if it was never made.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn license(&self, id: LicenseId) -> Result<Option<Arc<LicenseFacts>>, QueryError> {
        Ok(self.core.fact::<LicenseFact>(&id).await?.value)
    }

    /// Licenses, newest first. `now` is the instant that a status is asked for.
    ///
    /// # Errors
    /// [`QueryError::CursorInvalid`], [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn licenses(
        &self,
        filter: &LicenseFilter,
        page: Page,
        now: Timestamp,
    ) -> Result<Paged<Arc<LicenseFacts>>, QueryError> {
        page.check(&self.core.epoch)?;
        let query = ListQuery::new(filter, &page, now);
        let rows = self.core.list(filter.guilds.as_deref(), &query.text, &query.args()).await?;
        let facts = rows.iter().map(row_value::<LicenseFact>).collect::<Result<Vec<_>, _>>()?;
        let facts = facts.into_iter().map(|(position, facts)| (position, Arc::new(facts))).collect();
        Ok(Paged::cut(facts, page.limit(), &self.core.epoch))
    }

    /// The history of a license, oldest first; `None` if it was never made.
    ///
    /// # Errors
    /// [`QueryError::CursorInvalid`], [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn history(
        &self,
        id: LicenseId,
        page: Page,
    ) -> Result<Option<Paged<HistoryEntry>>, QueryError> {
        self.core.history(id, (0, i64::MAX), &page).await
    }

    /// A guild; `None` if it is not known.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn guild(&self, id: GuildId) -> Result<Option<Arc<GuildFacts>>, QueryError> {
        Ok(self.core.fact::<GuildFact>(&id).await?.value)
    }

    /// Every guild, oldest first. There are few enough of them to be read at once.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn guilds(&self) -> Result<Vec<GuildFacts>, QueryError> {
        let rows = self.core.list(None, guild_view::GUILDS, &[]).await?;
        rows.iter().map(|row| Ok(row_value::<GuildFact>(row)?.1)).collect()
    }

    /// The addresses of a guild's webhooks, opened.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn webhook_urls(&self, guild: &Guild) -> Result<Vec<(uuid::Uuid, Unsealed)>, QueryError> {
        let Some(id) = guild.id else { return Ok(Vec::new()) };
        let fields: Vec<&Private> = guild.webhooks.values().map(|webhook| &webhook.url).collect();
        let opened = self.unseal(&StreamId::guild(id), &fields).await?;
        Ok(guild.webhooks.keys().copied().zip(opened).collect())
    }

    /// Opens fields that were sealed in `stream`, in their order.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the store of the keys does not answer.
    pub async fn unseal(&self, stream: &StreamId, fields: &[&Private]) -> Result<Vec<Unsealed>, QueryError> {
        let subjects: Vec<Subject> = fields.iter().filter_map(|field| field.subject()).collect();
        let seal = self.core.vault.keys(&subjects).await?;
        Ok(fields.iter().map(|field| field.open(&*seal, stream)).collect())
    }

    /// The personal fields of a license in any state, opened: for answers of commands, which have the license itself.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the store of the keys does not answer.
    pub async fn personal(&self, license: &License) -> Result<Personal, QueryError> {
        let seal = self.core.vault.keys(&crate::license_view::subjects(license)).await?;
        Ok(license.personal(&*seal))
    }

    /// A member; `None` if it is not known.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn member(&self, guild: GuildId, user: &Pseudonym) -> Result<Option<MemberFacts>, QueryError> {
        self.core.uncached::<MemberFact>(&(guild, user.clone())).await
    }

    /// Members of a guild, oldest first.
    ///
    /// # Errors
    /// [`QueryError::CursorInvalid`], [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn members(&self, guild: GuildId, page: Page) -> Result<Paged<MemberFacts>, QueryError> {
        page.check(&self.core.epoch)?;
        let after = page.cursor.as_ref().map_or(0, crate::Cursor::position);
        let id = guild.to_string();
        let args = [Arg::Text(&id), Arg::Int(after), Arg::Int(i64::from(page.limit()) + 1)];
        let rows = self.core.list(Some(&[guild]), member_view::MEMBERS, &args).await?;
        let members = rows.iter().map(row_value::<MemberFact>).collect::<Result<Vec<_>, _>>()?;
        Ok(Paged::cut(members, page.limit(), &self.core.epoch))
    }

    /// Every guild that a user is, or was, a member of with a mapped or watched role.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn memberships(&self, user: &Pseudonym) -> Result<Vec<MemberFacts>, QueryError> {
        let rows = self.core.list(None, member_view::MEMBERSHIPS, &[Arg::Text(user.as_str())]).await?;
        rows.iter().map(|row| Ok(row_value::<MemberFact>(row)?.1)).collect()
    }

    /// A user; `None` if no part of the system has seen the account.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn user(&self, id: &Pseudonym) -> Result<Option<Arc<UserFacts>>, QueryError> {
        let user = self.core.fact::<UserFact>(id).await?.value;
        Ok(user.filter(|facts| facts.user.version > 0))
    }

    /// Users, newest first.
    ///
    /// # Errors
    /// [`QueryError::CursorInvalid`], [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn users(&self, filter: &UserFilter, page: Page) -> Result<Paged<UserFacts>, QueryError> {
        page.check(&self.core.epoch)?;
        let query = UserQuery::new(filter, &page);
        let rows = self.core.list(None, &query.text, &query.args(filter)).await?;
        let users = rows.iter().map(row_value::<UserFact>).collect::<Result<Vec<_>, _>>()?;
        Ok(Paged::cut(users, page.limit(), &self.core.epoch))
    }

    /// The audit trail, newest first, with the reasons that were given.
    ///
    /// # Errors
    /// [`QueryError::CursorInvalid`], [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn audit(&self, filter: &AuditFilter, page: Page) -> Result<Paged<AuditEntry>, QueryError> {
        self.core.audit(filter, page).await
    }

    /// Licenses for which the clock has something to do at `now`, the longest overdue first.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, QueryError> {
        let rows = self.core.sql.fetch(DUE, &[Arg::Int(now.ms()), Arg::Int(i64::from(limit))]).await?;
        let mut all = Vec::new();
        for row in &rows {
            let license: License = parsed(row, 0)?;
            let Some(guild) = license.guild else { continue };
            let role_loss = license.role_loss_ends_at.is_some_and(|end| end <= now);
            all.push(Due {
                license: license.id,
                guild,
                member: license.slot.map(|slot| slot.user),
                role_loss,
            });
        }
        Ok(all)
    }

    /// When the clock has something to do next; it may lie in the past. `None` if never.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, QueryError> {
        let row = self.core.sql.fetch_one(NEXT_DUE, &[]).await?;
        Ok(row.map_or(Ok(None), |row| row.opt_int(0))?.map(Timestamp))
    }

    /// Licenses of `guild` that end after `now`, within `ahead`, and whose end was not announced; the nearest first.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn expiring(
        &self,
        guild: GuildId,
        now: Timestamp,
        ahead: Span,
        limit: u32,
    ) -> Result<Vec<LicenseId>, QueryError> {
        let (guild, until) = (guild.to_string(), now.after(ahead));
        let args = [Arg::Text(&guild), Arg::Int(now.ms()), Arg::Int(until.ms()), Arg::Int(i64::from(limit))];
        let rows = self.core.sql.fetch(EXPIRING, &args).await?;
        rows.iter().map(|row| Ok(parsed::<License>(row, 0)?.id)).collect()
    }

    /// Waits until every read model has applied `position`, and until this process has heard of what stands there, so
    /// that nothing it has in its cache hides it.
    ///
    /// # Errors
    /// [`QueryError::Behind`] if that takes longer than `limit`; [`QueryError::Unavailable`] if the log does not answer.
    pub async fn wait_for(&self, position: i64, limit: Duration) -> Result<(), QueryError> {
        let mut moved = self.core.checkpoint.subscribe();
        let deadline = Instant::now() + limit;
        loop {
            let checkpoint = *moved.borrow_and_update();
            if checkpoint >= position {
                // Another process may have appended it, and yet another applied it.
                return self.hear_of(position).await;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(QueryError::Behind { wanted: position, checkpoint });
            }
            if timeout(left.min(CHECKPOINT_POLL), moved.changed()).await.is_err() {
                // Nobody moved it here; another process may have. A database that does not answer is no news.
                let _ = timeout(left, self.core.refresh_checkpoint()).await;
            }
        }
    }

    /// Makes sure that this process has heard of what stands up to `position`, so that no fact it gives is older.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the log does not answer.
    pub async fn hear_of(&self, position: i64) -> Result<(), QueryError> {
        let heard = self.core.tail.load(Ordering::Acquire) >= position;
        if heard { Ok(()) } else { self.look().await }
    }

    /// Wakes whenever this process hears of new events; the value is the highest position heard of.
    pub fn heard(&self) -> watch::Receiver<i64> {
        self.core.bus.subscribe()
    }

    /// What is wrong with the way to other processes; `None` if nothing is, or if there is none.
    pub fn bus_trouble(&self) -> Option<String> {
        self.core.bus.trouble()
    }

    /// What is wrong with the replica; `None` if nothing is, or if there is none.
    pub fn replica_trouble(&self) -> Option<String> {
        self.core.replica.as_ref().and_then(Replica::trouble)
    }

    /// What is wrong with the way to the cache that processes share; `None` if nothing is, or if there is none.
    pub fn cache_trouble(&self) -> Option<String> {
        self.core.cache.trouble()
    }

    /// The highest position of the log that this process has heard of.
    pub fn head(&self) -> i64 {
        self.core.bus.head()
    }

    /// The head of the log as it is now.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn current_head(&self) -> Result<i64, QueryError> {
        self.core.log.head().await
    }

    /// Where the slowest read model stands, as far as this process has heard.
    pub fn checkpoint(&self) -> i64 {
        *self.core.checkpoint.borrow()
    }

    /// Where each read model stands, whether one stopped, and how many aggregates each leaves out.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn models(&self) -> Result<Vec<ModelHealth>, QueryError> {
        let parked = parked::counts(&self.core).await?;
        let health = |c: checkpoint::Checkpoint| ModelHealth {
            name: c.model.name(),
            checkpoint: c.in_epoch(&self.core.epoch),
            stopped: c.failed_at.zip(c.error),
            parked: parked.get(c.model.name()).copied(),
        };
        Ok(checkpoint::all(&self.core).await?.into_iter().map(health).collect())
    }

    /// The first aggregates, by position, that a read model leaves out; at most `limit`.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn parked(&self, limit: u32) -> Result<Vec<Parked>, QueryError> {
        parked::list(&self.core, limit).await
    }

    /// The epoch of the log.
    pub fn epoch(&self) -> &str {
        &self.core.epoch
    }

    /// Asks the database for a sign of life; how long that took.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if it gives none.
    pub async fn ping(&self) -> Result<Duration, QueryError> {
        let begun = Instant::now();
        self.core.sql.fetch(statements::PING, &[]).await?;
        Ok(begun.elapsed())
    }

    /// For how long there may have been events that this process has not heard of.
    pub fn silence(&self) -> Duration {
        self.core.floors.contact().silence()
    }

    /// Where answers came from since the start.
    pub fn cache_stats(&self) -> CacheStats {
        self.core.cache.stats()
    }

    /// SQL statements sent since the start.
    pub fn sql_statements(&self) -> u64 {
        self.core.sql.statements()
    }

    /// The floors that the write side raises.
    pub fn floors(&self) -> &Arc<Floors> {
        &self.core.floors
    }

    /// The log itself.
    pub fn log(&self) -> &EventLog {
        &self.core.log
    }

    /// When devices were last seen.
    pub fn last_seen(&self) -> &LastSeen {
        &self.core.last_seen
    }

    /// Who works under which name.
    pub fn leases(&self) -> Leases {
        Leases::new(self.core.sql.clone())
    }

    /// Which processes know which secrets of the key ring.
    pub fn ring_holders(&self) -> RingHolders {
        RingHolders::new(self.core.sql.clone())
    }

    /// License-key secrets that are being retired.
    pub fn retirements(&self) -> Retirements {
        Retirements::new(self.core.sql.clone())
    }

    /// What the bot must still know after a restart.
    pub fn bot_state(&self) -> BotState {
        BotState::new(self.core.sql.clone())
    }

    /// The roles of guilds on Discord.
    pub fn guild_roles(&self) -> GuildRoles {
        GuildRoles::new(self.core.sql.clone())
    }

    /// Removals that wait until staff confirm them.
    pub fn held_removals(&self) -> HeldRemovals {
        HeldRemovals::new(&self.core)
    }

    /// Deliveries of keys by direct message.
    pub fn outbox(&self) -> Outbox {
        Outbox::new(&self.core)
    }

    /// Licenses whose first valid answer is to be recorded.
    pub fn first_validations(&self) -> &FirstValidations {
        &self.core.first_validations
    }

    /// Lets the database prepare every statement of this crate, without running one: a schema that does not fit is
    /// found here. How many there are.
    ///
    /// # Errors
    /// [`QueryError::Damaged`] naming the first statement that the database does not understand.
    pub async fn check_statements(&self) -> Result<usize, QueryError> {
        statements::check(&self.core.sql).await
    }
}

/// The fact in a row of `state, personal, position, first_position`, with its place in lists.
pub(crate) fn row_value<F: Fact>(row: &Row) -> Result<(i64, F::Value), QueryError>
where
    <F::View as View>::State: DeserializeOwned,
{
    Ok((row.int(3)?, F::value(parsed(row, 0)?, parsed(row, 1)?, row.int(2)?)))
}
