//! Discord beside the two halves: the bot where a token is configured, and in the demo the simulated Discord that the
//! same bot speaks with. It picks which of them there are; what they do stands in their own crates.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use api::{Component, Condition, Operator as _, OperatorError};
use discord::{Bot, BotHealth, Parts, Reach, ShardState};
use domain::id::{DiscordId, GuildId, RoleId};
use fake_discord::{FakeDiscord, Hooks, Settings};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::assemble::Assembled;
use crate::config::{Application, Config, Place};
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::folder::{Folder, Lock};
use crate::identity::DiscordIdentity;
use crate::keys;
use crate::mode::Mode;
use crate::operator::Host;
use crate::role::{Role, Roles};
use crate::seed;

/// The pause before a session that follows a refused one, which Discord asks for.
const IDENTIFY_PAUSE: std::ops::Range<Duration> = Duration::from_secs(1)..Duration::from_secs(5);
/// The same against a stand-in, which asks for none.
const STAND_IN_PAUSE: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_millis(300);
/// How long a demo waits at its start until its bot has looked at everybody once.
const SETTLE: Duration = Duration::from_secs(10);
/// What the simulated Discord keeps, beside the database.
const STATE_FILE: &str = "discord.jsonl";
/// What a server without a bot says.
const OFF: &str = "There is no bot token, so roles come in through the API. Set DISCORD_TOKEN (discord.token) and start \
                   again; everything else works.";

/// What a process says whose roles do not have the bot.
const ELSEWHERE: &str = "Another process speaks with Discord: this one has not the role `bot`. Interactions over HTTP and \
                         what is asked of the bot go to one that has.";

/// Discord as this process has it.
pub(crate) struct Discord {
    stand_in: Option<StandIn>,
    bot: OnceLock<Bot>,
    /// What to say while there is no bot.
    off: &'static str,
}

/// The demo's simulated Discord.
struct StandIn {
    fake: FakeDiscord,
    token: String,
    client_secret: String,
}

/// What the simulated Discord asks of the server: the demo's one clock, and its jobs.
struct DemoHooks {
    clock: crate::clock::Clock,
    host: Arc<OnceLock<Weak<Host>>>,
}

impl DemoHooks {
    fn host(&self) -> Result<Arc<Host>, String> {
        self.host.get().and_then(Weak::upgrade).ok_or_else(|| "the server is starting or stopping".to_owned())
    }
}

impl Hooks for DemoHooks {
    fn now_ms(&self) -> i64 {
        self.clock.now().ms()
    }

    fn advance(&self, seconds: u64) -> BoxFuture<'_, Result<i64, String>> {
        async move {
            let host = self.host()?;
            let by = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
            let moved = host.advance_clock(domain::time::Span(by)).await;
            moved.map(domain::time::Timestamp::ms).map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn run_job<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, String>> {
        async move {
            let host = self.host()?;
            match host.run_job(name).await {
                Ok(done) => Ok(Some(done)),
                Err(OperatorError::Invalid { .. }) => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        }
        .boxed()
    }
}

/// Discord before the server that it belongs to is put together.
pub(crate) struct Starting {
    discord: Discord,
    host: Arc<OnceLock<Weak<Host>>>,
}

impl Starting {
    /// Starts the simulated Discord of a demo, where its bot is. Live data has none of its own.
    ///
    /// # Errors
    /// If its port is taken, or its file cannot be used.
    pub(crate) async fn open(
        config: &Config,
        roles: &Roles,
        folder: &Folder,
        assembled: &Assembled,
    ) -> Outcome<Self> {
        let host = Arc::new(OnceLock::new());
        let off = if roles.has(Role::Bot) { OFF } else { ELSEWHERE };
        if assembled.mode == Mode::Live || !roles.has(Role::Bot) {
            return Ok(Self { discord: Discord { stand_in: None, bot: OnceLock::new(), off }, host });
        }
        let hooks = DemoHooks { clock: assembled.clock.clone(), host: Arc::clone(&host) };
        let (token, client_secret) = (keys::random_hex::<16>()?, keys::random_hex::<16>()?);
        let settings = Settings {
            listen: config.discord.simulator_listen,
            token: token.clone(),
            client_secret: client_secret.clone(),
            state_file: Some(folder.path().join(STATE_FILE)),
            world: seed::world(),
            hooks: Arc::new(hooks),
        };
        let fake = FakeDiscord::start(settings).await.map_err(|error| {
            Failure::new(format!("the simulated Discord cannot start: {error}")).help(format!(
                "Name another port with DCA_DISCORD_SIMULATOR_LISTEN; if its file {STATE_FILE} is damaged, delete it, and \
                 the demo's members have their first roles again."
            ))
        })?;
        let stand_in = Some(StandIn { fake, token, client_secret });
        Ok(Self { discord: Discord { stand_in, bot: OnceLock::new(), off }, host })
    }

    /// Discord, for the host; the second says whose clock and jobs the simulation has.
    pub(crate) fn into_parts(self) -> (Discord, Hosted) {
        (self.discord, Hosted(self.host))
    }
}

/// Where the host is named once it exists.
pub(crate) struct Hosted(Arc<OnceLock<Weak<Host>>>);

impl Hosted {
    /// The server is put together.
    pub(crate) fn by(&self, host: &Arc<Host>) {
        // It is named once, at the start.
        let _ = self.0.set(Arc::downgrade(host));
    }
}

impl Discord {
    /// Who says who somebody is; `None` if nobody is there to ask.
    ///
    /// # Errors
    /// If its client cannot be made.
    pub(crate) fn identity(&self, config: &Config) -> Outcome<Option<Arc<dyn api::Identity>>> {
        let section = &config.discord;
        let (client_id, client_secret, oauth_base, api_base) = match (&self.stand_in, &section.application) {
            (Some(StandIn { fake, client_secret, .. }), _) => {
                let url = fake.url().to_owned();
                (fake.application_id().to_string(), client_secret.clone(), url.clone(), url)
            }
            (None, Some(Application { client_id, client_secret })) => {
                let Place { oauth_base, api_base, .. } = section.place.clone();
                (client_id.clone(), client_secret.clone(), oauth_base, api_base)
            }
            (None, None) => return Ok(None),
        };
        let timeout = section.rest.timeout;
        let config = discord::OAuthConfig { client_id, client_secret, oauth_base, api_base, timeout };
        let identity = DiscordIdentity::new(config).attempt(|| "nobody can sign in".to_owned())?;
        Ok(Some(Arc::new(identity)))
    }

    /// Starts the bot, if there is a Discord to speak with. In a demo this returns when the bot has looked at everybody
    /// once, so that whatever is done from then on is seen as it happens.
    ///
    /// # Errors
    /// If the bot's client cannot be made.
    pub(crate) async fn start_bot(&self, config: &Config, assembled: &Assembled, lock: &Lock) -> Outcome<()> {
        let Some(settings) = self.settings(config, lock)? else { return Ok(()) };
        let clock = assembled.clock.clone();
        let parts = Parts {
            commands: assembled.commands.clone(),
            queries: assembled.queries.clone(),
            clock: Arc::new(move || clock.now()),
        };
        let bot = Bot::start(parts, settings).attempt(|| "the Discord bot cannot start".to_owned())?;
        let bot = self.bot.get_or_init(|| bot);
        if self.stand_in.is_some() && !bot.settled(SETTLE).await {
            tracing::warn!("the bot has not looked at every member within {SETTLE:?}; it goes on");
        }
        Ok(())
    }

    fn settings(&self, config: &Config, lock: &Lock) -> Outcome<Option<discord::Config>> {
        let section = &config.discord;
        let (token, place) = match (&self.stand_in, &section.token) {
            (Some(stand_in), _) => {
                let place = Place {
                    api_base: stand_in.fake.url().to_owned(),
                    oauth_base: stand_in.fake.url().to_owned(),
                    gateway_url: Some(stand_in.fake.gateway_url().to_owned()),
                    is_stand_in: true,
                };
                (stand_in.token.clone(), place)
            }
            (None, Some(token)) => (token.clone(), section.place.clone()),
            (None, None) => return Ok(None),
        };
        let instance = keys::random_hex::<8>()?;
        Ok(Some(discord::Config {
            token,
            identify_pause: if place.is_stand_in { STAND_IN_PAUSE } else { IDENTIFY_PAUSE },
            api_base: place.api_base,
            gateway_url: place.gateway_url,
            loopback_only: place.is_stand_in,
            begins_anew: self.stand_in.is_some(),
            member_intent: section.member_intent,
            shards: section.shards,
            ended_instance: lock.name_instance(&instance)?,
            instance,
            lease: section.lease,
            identify_per_day: section.identify_per_day,
            reconcile: section.reconcile,
            full_reconcile: section.full_reconcile,
            workers: section.workers,
            waiting_members: section.waiting_members,
            brake: section.brake,
            delivery: section.delivery,
            rest: section.rest,
        }))
    }

    /// The bot, once it was started.
    pub(crate) fn bot(&self) -> Option<&Bot> {
        self.bot.get()
    }

    /// What `status` says: whether Discord is simulated, connected or off.
    pub(crate) fn word(&self, simulated: bool) -> &'static str {
        match self.bot() {
            _ if simulated => "simulated",
            Some(bot) if bot.is_connected() => "connected",
            _ => "off",
        }
    }

    /// Where the simulated Discord is, for `status`.
    pub(crate) fn simulator(&self) -> Value {
        self.stand_in.as_ref().map_or(Value::Null, |stand_in| json!({ "url": stand_in.fake.url() }))
    }

    /// Whether the simulated Discord is in this process.
    ///
    /// # Errors
    /// It is in another one.
    pub(crate) fn check_simulates(&self) -> Result<(), OperatorError> {
        self.stand_in.as_ref().map(|_| ()).ok_or_else(|| OperatorError::Unavailable(ELSEWHERE.to_owned()))
    }

    /// Makes the simulated Discord agree with what was told to the API.
    pub(crate) fn simulate_member(&self, guild: GuildId, user: DiscordId, roles: Option<Vec<RoleId>>) {
        let Some(stand_in) = &self.stand_in else { return };
        let roles: Option<Vec<u64>> = roles.map(|roles| roles.into_iter().map(|role| role.0).collect());
        if let Err(error) = stand_in.fake.set_member(guild.0, user.0, roles.as_deref()) {
            tracing::info!(%error, "the simulated Discord does not agree; the next reconcile goes by what it says");
        }
    }

    /// Reconciles every guild now.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) async fn reconcile(&self, reach: Reach) -> Result<Value, OperatorError> {
        let bot = self.bot().ok_or_else(|| self.no_bot())?;
        let mut guilds = Map::new();
        for (guild, report) in bot.reconcile(reach).await {
            let shown = match report {
                Ok(report) => json!({
                    "members": report.members,
                    "changed": report.changed,
                    "waiting": report.waiting,
                    "undecided": report.undecided,
                }),
                Err(why) => json!({ "problem": why }),
            };
            guilds.insert(guild.to_string(), shown);
        }
        Ok(json!({ "guilds": guilds }))
    }

    /// How the bot is, for `/health`.
    pub(crate) async fn health(&self, simulated: bool) -> Component {
        let Some(bot) = self.bot() else { return component(Condition::Off, self.off.to_owned()) };
        match bot.health().await {
            Ok(health) => {
                let what = if simulated { "simulated: no message reaches Discord. " } else { "" };
                component(condition(&health), format!("{what}{}", summary(&health)))
            }
            Err(error) => component(Condition::Degraded, error.to_string()),
        }
    }

    /// There is no bot in this process.
    pub(crate) fn no_bot(&self) -> OperatorError {
        OperatorError::Unavailable(self.off.to_owned())
    }

    /// Ends the bot, then the simulation.
    pub(crate) async fn stop(&self) {
        if let Some(bot) = self.bot() {
            bot.stop().await;
        }
        if let Some(stand_in) = &self.stand_in {
            stand_in.fake.clone().stop().await;
        }
    }
}

fn component(status: Condition, detail: String) -> Component {
    let name = "discord".to_owned();
    Component { name, status, latency_ms: None, lag_events: None, detail: Some(detail) }
}

fn condition(health: &BotHealth) -> Condition {
    let is_elsewhere = health.shards.iter().all(|(_, state)| *state == ShardState::Elsewhere);
    if health.stopped().is_some() || health.rest.halted.is_some() {
        Condition::Down
    } else if (health.is_connected() || is_elsewhere) && !health.dms_stopped {
        Condition::Ok
    } else {
        Condition::Degraded
    }
}

/// What the bot does, in one line; what is wrong comes first.
fn summary(health: &BotHealth) -> String {
    let mut parts = Vec::new();
    parts.extend(health.stopped().map(str::to_owned));
    parts.extend(health.rest.halted.map(str::to_owned));
    if health.dms_stopped {
        parts.push("direct messages are stopped: `dca-auth discord resume` goes on".to_owned());
    }
    for (number, state) in &health.shards {
        let state = match state {
            ShardState::Elsewhere => "has another instance",
            ShardState::Connecting => "is being connected",
            ShardState::Connected => "is connected",
            ShardState::Stopped(_) => "is stopped",
        };
        parts.push(format!("shard {number} {state}"));
    }
    let (guilds, frozen) = health.guilds;
    parts.push(format!("{guilds} servers, {frozen} of them frozen"));
    parts.push(format!("{} members wait, {} removals wait to be confirmed", health.waiting, health.removals));
    let waiting = health.deliveries;
    parts.push(format!("{waiting} keys wait to be delivered"));
    parts.push(format!("{} sessions begun in 24 hours", health.identifies));
    parts.push(format!("{} events, {} of them out of order", health.events, health.disorder));
    if let (count @ 1.., Some(last)) = (health.odd_frames.0, &health.odd_frames.1) {
        parts.push(format!("{count} frames could not be used, the last: {last}"));
    }
    format!("{}.", parts.join("; "))
}
