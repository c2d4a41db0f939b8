//! What the bot is told: its token, where Discord is, its limits. Nothing here reads a file or the environment.

use std::time::Duration;

use domain::time::Span;

/// Settings of the bot.
#[derive(Clone)]
pub struct Config {
    /// The bot's token.
    pub token: String,
    /// Where REST is: `https://discord.com`, or a stand-in on this machine.
    pub api_base: String,
    /// Where the gateway is; `None` asks `GET /gateway/bot`.
    pub gateway_url: Option<String>,
    /// Refuse every address that is not on this machine.
    pub loopback_only: bool,
    /// Whether this Discord is simulated by this process, and knows no session that an earlier one began.
    pub begins_anew: bool,
    /// Whether the application has the privileged intent GUILD_MEMBERS.
    pub member_intent: bool,
    /// Shards; every instance must say the same number.
    pub shards: u32,
    /// This instance, as leases name it.
    pub instance: String,
    /// The instance of this data folder's last process, which is known to have ended: its leases are free.
    pub ended_instance: Option<String>,
    /// How long a lease lasts without being renewed.
    pub lease: Duration,
    /// IDENTIFYs that are spent in 24 hours at most; Discord resets the token at 1,000.
    pub identify_per_day: u32,
    /// Pause before an IDENTIFY that follows a refused session; Discord asks for a random 1 to 5 seconds.
    pub identify_pause: std::ops::Range<Duration>,
    /// How often the holders of licenses are looked at again.
    pub reconcile: Duration,
    /// How often every member is.
    pub full_reconcile: Duration,
    /// Members that are brought up to date at the same time.
    pub workers: usize,
    /// Members whose change waits to be taken; more are dropped and found again by a full reconcile.
    pub waiting_members: usize,
    /// The brake on removals.
    pub brake: Brake,
    /// Direct messages and log messages.
    pub delivery: Delivery,
    /// REST.
    pub rest: Rest,
}

/// The brake: how many members may lose a license type's last source before the rest waits for somebody.
#[derive(Debug, Clone, Copy)]
pub struct Brake {
    /// Members that may always lose it.
    pub floor: u32,
    /// Percent of a rule's holders that may, where that is more.
    pub percent: u32,
    /// In which time.
    pub window: Span,
}

/// Limits of deliveries.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// How long a guild must have had no further grant before its grants are sent, so that many at once are seen as
    /// many.
    pub quiet: Duration,
    /// How long that is waited for at most.
    pub quiet_max: Duration,
    /// Direct messages of one guild in a minute.
    pub per_guild_minute: u32,
    /// Direct messages of all guilds in a minute.
    pub per_minute: usize,
    /// Grants of one guild in a minute above which none of them is sent.
    pub bulk_above: u32,
    /// Pause between two deliveries for one slot.
    pub slot_pause: Span,
    /// Messages under way at the same time.
    pub parallel: usize,
    /// How long a row that is being sent belongs to its sender.
    pub lease: Duration,
    /// Pause after a failed try; it doubles each time, up to an hour.
    pub retry: Duration,
}

/// Limits of REST.
#[derive(Debug, Clone, Copy)]
pub struct Rest {
    /// Requests a second over all routes.
    pub per_second: u32,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest time of one request.
    pub timeout: Duration,
    /// Tries of a request that may be repeated.
    pub tries: u32,
    /// Requests answered with 401, 403 or 429 in ten minutes after which none is sent; Discord bans at 10,000.
    pub invalid_max: u32,
    /// Requests that may wait at the same time.
    pub waiting_max: usize,
}

/// Shows neither the token nor anything that could hold one.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("api_base", &self.api_base)
            .field("shards", &self.shards)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}
