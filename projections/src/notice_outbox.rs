//! Deliveries of license keys by direct message: a consumer of the log with a checkpoint of its own, which is never
//! rewound, so that no rebuild sends anything again. It keeps one row for each slot, the last delivery of it, and knows
//! when which may be sent. It holds ids and pseudonyms, renders no message and never speaks with Discord.
//!
//! A crash repeats rather than loses: a message that was claimed and not reported is claimed again with the same nonce,
//! by which Discord takes it once.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use domain::event::Actor;
use domain::id::{GuildId, LicenseId, Pseudonym};
use domain::time::{Span, Timestamp};

use crate::Core;
use crate::db::{Arg, Row, Sql, Tx};
use crate::error::QueryError;
use crate::event_log::EventLog;
use crate::operational::parsed_text;

mod alerts;
mod announce;
mod follow;
mod send;

pub use alerts::{SharingAlert, Suspected};
pub use announce::Announcement;

/// The name of its checkpoint.
const NAME: &str = "notice_outbox";

/// The columns of a [`Delivery`], in the order in which it is read.
macro_rules! columns {
    () => {
        "guild_id, pseudonym, license_type, license_id, generation, state, position, created_at, due_at, attempts, \
        first_attempt_at, nonce, code, sent_at"
    };
}
use columns;

/// Changes nothing, but whatever changes several rows writes it first: then the others wait, and nobody meets another
/// halfway. It stands nowhere while the checkpoint is of another log.
const GATE: &str = "UPDATE consumer_checkpoint SET position = position WHERE name = $1 AND epoch = $2";
const OF_USER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM delivery WHERE guild_id = $1 AND pseudonym = $2 ORDER BY license_type"
);
const DEPTH: &str = "SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state";

const WAITING: &str =
    "SELECT count(*) FROM delivery WHERE state IN ('waiting', 'sending') AND state = 'waiting'";

/// Every statement of this file and its folder.
pub(crate) const STATEMENTS: [&[&str]; 5] = [
    &[GATE, OF_USER, DEPTH, WAITING],
    follow::STATEMENTS,
    send::STATEMENTS,
    announce::STATEMENTS,
    alerts::STATEMENTS,
];

/// Why a slot was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Somebody gained a role, or staff acted for one person.
    Gain,
    /// A job opened it with many others: a sweep, a rule that was set.
    Bulk,
}

impl Cause {
    /// What `actor` opens slots for.
    pub fn of(actor: &Actor) -> Self {
        if matches!(actor, Actor::Job(_)) { Self::Bulk } else { Self::Gain }
    }
}

/// How a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeliveryState {
    /// It is to be sent when it is due.
    Waiting,
    /// Somebody sends it; when it is due again, he is taken for dead.
    Sending,
    /// It was sent.
    Sent,
    /// No message is sent: the key waits at the claim panel, and a log message says so.
    Bulk,
    /// Discord takes no message for this person; the key waits at the claim panel.
    Undeliverable,
    /// It has nothing to say any more.
    Dropped,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Sending, Self::Sent, Self::Bulk, Self::Undeliverable, Self::Dropped];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Bulk => "bulk",
            Self::Undeliverable => "undeliverable",
            Self::Dropped => "dropped",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeliveryState {
    type Err = domain::id::InvalidId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| domain::id::InvalidId::new(text, "a state of a delivery"))
    }
}

/// The last delivery of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The tenant.
    pub guild: GuildId,
    /// To whom.
    pub user: Pseudonym,
    /// Slug of the type.
    pub license_type: String,
    /// The license whose key is delivered.
    pub license: LicenseId,
    /// Generation of the slot.
    pub generation: u32,
    /// How it is.
    pub state: DeliveryState,
    /// The event that it comes from.
    pub position: i64,
    /// When that was followed.
    pub created_at: Timestamp,
    /// Not before then. While it is sent: until when whoever sends it has time.
    pub due_at: Timestamp,
    /// How often it was claimed.
    pub attempts: u32,
    /// When it was first claimed.
    pub first_attempt_at: Option<Timestamp>,
    /// At most 25 symbols, the same at each attempt, another one for the next delivery of the slot.
    pub nonce: String,
    /// Why Discord refused it.
    pub code: Option<u32>,
    /// When a message of this slot was last sent, be it by an earlier delivery.
    pub sent_at: Option<Timestamp>,
}

/// What [`Outbox::follow`] met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Followed {
    /// Where the outbox stands.
    pub position: i64,
    /// Guilds in which a slot was opened.
    pub granted: BTreeSet<GuildId>,
    /// Guilds whose rules or types are others now, or that came back.
    pub rules_changed: BTreeSet<GuildId>,
    /// Whether there may be more to follow now.
    pub more: bool,
}

/// How much may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimits {
    /// Messages a minute in one guild.
    pub per_guild_minute: u32,
    /// With more deliveries than these in one minute and guild, none of them is sent.
    pub bulk_above: u32,
    /// Deliveries claimed at once.
    pub batch: u32,
    /// Between two messages of one slot.
    pub slot_pause: Span,
    /// How long whoever claims has to send and report.
    pub lease: Duration,
}

impl Default for SendLimits {
    fn default() -> Self {
        Self {
            per_guild_minute: 10,
            bulk_above: 20,
            batch: 10,
            slot_pause: Span::seconds(600),
            lease: Duration::from_secs(60),
        }
    }
}

/// The outbox. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Outbox {
    sql: Sql,
    log: EventLog,
    epoch: Box<str>,
    /// Up to here this process saw nothing that it would have to write.
    passed: Arc<AtomicI64>,
}

impl Outbox {
    pub(crate) fn new(core: &Core) -> Self {
        let passed = Arc::clone(&core.outbox_passed);
        Self { sql: core.sql.clone(), log: core.log.clone(), epoch: core.epoch.clone(), passed }
    }

    /// The last delivery of each slot of a member.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn of_user(&self, guild: GuildId, user: &Pseudonym) -> Result<Vec<Delivery>, QueryError> {
        let guild = guild.to_string();
        let rows = self.sql.fetch(OF_USER, &[Arg::Text(&guild), Arg::Text(user.as_str())]).await?;
        rows.iter().map(read).collect()
    }

    /// How many slots there are in each state; a state without any is left out.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn depth(&self) -> Result<std::collections::BTreeMap<String, u64>, QueryError> {
        let rows = self.sql.fetch(DEPTH, &[]).await?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.int(1)?.unsigned_abs()))).collect()
    }

    /// How many deliveries wait to be sent.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn waiting(&self) -> Result<u64, QueryError> {
        let row = self.sql.fetch_one(WAITING, &[]).await?;
        Ok(row.map_or(Ok(0), |row| row.int(0))?.unsigned_abs())
    }

    /// Takes the gate as the first statement of `tx`; false if nothing may be sent, because the checkpoint does not
    /// stand in this log.
    async fn enter(&self, tx: &mut Tx) -> Result<bool, QueryError> {
        Ok(tx.execute(GATE, &[Arg::Text(NAME), Arg::Text(&self.epoch)]).await? == 1)
    }
}

fn read(row: &Row) -> Result<Delivery, QueryError> {
    const TABLE: &str = "delivery";
    let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Delivery {
        guild: parsed_text(row, 0, TABLE)?,
        user: parsed_text(row, 1, TABLE)?,
        license_type: row.text(2)?.to_owned(),
        license: parsed_text(row, 3, TABLE)?,
        generation: small(row.int(4)?),
        state: parsed_text(row, 5, TABLE)?,
        position: row.int(6)?,
        created_at: Timestamp(row.int(7)?),
        due_at: Timestamp(row.int(8)?),
        attempts: small(row.int(9)?),
        first_attempt_at: row.opt_int(10)?.map(Timestamp),
        nonce: row.text(11)?.to_owned(),
        code: row.opt_int(12)?.map(small),
        sent_at: row.opt_int(13)?.map(Timestamp),
    })
}
