//! What every part of the bot shares: the two halves, the clock, Discord's state as far as it is known, and how the
//! bot is. It starts nothing; `lib.rs` does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use commands::{Commands, Context, Rights};
use domain::event::Actor;
use domain::id::{ChannelId, DiscordId, GuildId, Pseudonym};
use domain::time::Timestamp;
use projections::{Lease, Queries};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::alerts::Alert;
use crate::brake::Brake;
use crate::config::Config;
use crate::egress::Egress;
use crate::guilds::Guilds;
use crate::mailbox::Mailbox;
use crate::register::Registrations;
use crate::resync::Resync;
use crate::sync::Seen;

/// How far sessions of one application must begin apart (`max_concurrency` 1).
const IDENTIFY_APART: Duration = Duration::from_secs(5);

/// The instant at which something is decided.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardState {
    /// Another instance has it.
    Elsewhere,
    /// It is being connected.
    Connecting,
    /// It receives events.
    Connected,
    /// It was given up until somebody does something: what.
    Stopped(String),
}

/// What the parts share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) commands: Commands,
    pub(crate) queries: Queries,
    pub(crate) clock: Clock,
    pub(crate) egress: Egress,
    pub(crate) guilds: Guilds,
    pub(crate) mailbox: Mailbox,
    pub(crate) brake: Brake,
    pub(crate) seen: Seen,
    pub(crate) resync: Resync,
    pub(crate) registrations: Registrations,
    /// Told when somebody mended what the bot stopped for.
    pub(crate) resumed: Notify,
    status: Mutex<Status>,
}

/// How the bot is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) shards: BTreeMap<u32, ShardState>,
    pub(crate) leases: BTreeMap<u32, Lease>,
    pub(crate) application: Option<u64>,
    pub(crate) last_identify: Option<Instant>,
    pub(crate) bot: Option<DiscordId>,
    /// The key that Discord signs interactions with.
    pub(crate) public_key: Option<ed25519_dalek::VerifyingKey>,
    pub(crate) events: u64,
    pub(crate) odd_frames: u64,
    pub(crate) last_odd: Option<String>,
    pub(crate) observations: u64,
    /// The last sequence of each shard's session, and how many dispatches came behind a later one.
    pub(crate) sequences: BTreeMap<u32, i64>,
    pub(crate) disorder: u64,
    /// The log channel of a guild that was seen to be one of its own.
    pub(crate) log_channels: BTreeMap<GuildId, ChannelId>,
    /// Why the log channel of a guild cannot be written to.
    pub(crate) silent_channels: BTreeMap<GuildId, String>,
    pub(crate) sweeps: BTreeMap<GuildId, Sweep>,
    /// What staff are to be told.
    pub(crate) alerts: Vec<Alert>,
}

/// How the last full look at a guild went.
#[derive(Debug, Clone)]
pub(crate) struct Sweep {
    pub(crate) at: Timestamp,
    pub(crate) members: usize,
    pub(crate) problem: Option<String>,
}

impl Inner {
    pub(crate) fn new(
        config: Config,
        commands: Commands,
        queries: Queries,
        clock: Clock,
        egress: Egress,
    ) -> Self {
        Self {
            mailbox: Mailbox::new(config.waiting_members),
            brake: Brake::new(config.brake, queries.clone()),
            config,
            commands,
            queries,
            clock,
            egress,
            guilds: Guilds::default(),
            seen: Seen::default(),
            resync: Resync::default(),
            registrations: Registrations::default(),
            resumed: Notify::new(),
            status: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no session of this application began within the last 5 s, which Discord asks to be kept apart; if so,
    /// one begins now.
    pub(crate) fn may_identify_now(&self) -> bool {
        let mut status = self.status();
        let may = status.last_identify.is_none_or(|at| at.elapsed() >= IDENTIFY_APART);
        if may {
            status.last_identify = Some(Instant::now());
        }
        may
    }

    /// Whether this instance speaks for no shard at all.
    pub(crate) fn status_is_idle(&self) -> bool {
        self.status().leases.is_empty()
    }

    pub(crate) fn pseudonym(&self, user: DiscordId) -> Pseudonym {
        Pseudonym::of(self.commands.ring().as_ref(), user)
    }

    /// The context of something that Discord told: the program follows it, whoever the actor is.
    pub(crate) fn context(&self, actor: Actor, guild: Option<GuildId>) -> Context {
        let command_id = Uuid::new_v4();
        Context {
            actor,
            rights: Rights::Everything,
            tenant: guild,
            command_id,
            correlation_id: command_id.to_string(),
            causation_id: None,
            reason: None,
            trace: None,
            now: self.now(),
            expected_version: None,
            idempotency: None,
        }
    }

    /// The lease of the shard that a guild belongs to, if this instance has it.
    pub(crate) fn lease_of(&self, guild: GuildId) -> Option<Lease> {
        self.status().leases.get(&shard_of(guild, self.config.shards)).cloned()
    }

    /// Guilds that this instance speaks for and that Discord can be asked about.
    pub(crate) fn own_guilds(&self) -> Vec<GuildId> {
        let mut guilds = self.guilds.usable_ids();
        guilds.retain(|guild| self.owns(*guild));
        guilds
    }

    /// Whether this instance speaks for a guild.
    pub(crate) fn owns(&self, guild: GuildId) -> bool {
        self.lease_of(guild).is_some()
    }
}

/// The shard of a guild, as Discord computes it.
pub(crate) fn shard_of(guild: GuildId, shards: u32) -> u32 {
    ((guild.0 >> 22) % u64::from(shards.max(1))) as u32
}
