//! What the API asks of the process around it: readiness, health, status, verify, rebuild, the demo's clock.
//! It answers from the halves that `assemble` put together and holds no state of its own but readiness.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::{Code, Component, InteractionError, KeyWish, Operator, OperatorError};
use commands::ring::{List, SecretId};
use commands::store::StoreError;
use data_encoding::BASE64;
use discord::{InteractionRefused, Reach};
use domain::id::{DiscordId, GuildId, RoleId};
use domain::time::{Span, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use projections::{Parked, QueryError};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::assemble::Assembled;
use crate::bot::Discord;
use crate::certificate::Certificates;
use crate::failure::Outcome;
use crate::folder::{Lock, Run};
use crate::health::{Health, dispensable};
use crate::jobs::{Guilds, Jobs};
use crate::long::Long;
use crate::mode::Mode;
use crate::retire::Retiring;
use crate::ring_keeper::RingKeeper;
use crate::seed;

/// Aggregates that are left out and shown in `status`.
const PARKED_SHOWN: u32 = 100;

/// The jobs that can be run by name.
const JOBS: [&str; 3] = ["role-sync", "role-sync-full", "expiry"];

/// The process around the API.
pub(crate) struct Host {
    assembled: Arc<Assembled>,
    jobs: Jobs,
    ready: AtomicBool,
    draining: CancellationToken,
    /// What others are told of this server; `None` for the server inside a command.
    announced: Option<Announced>,
    /// One verify, rebuild or reconcile at a time.
    long: Long,
    /// One move of the clock at a time.
    clock: Mutex<()>,
    discord: Arc<Discord>,
    keeper: Arc<RingKeeper>,
    retiring: Arc<Retiring>,
    health: Health,
}

/// What commands of this machine are told of a server.
pub(crate) struct Announced {
    /// The folder that says it.
    pub(crate) lock: Arc<Lock>,
    /// What does not change while it runs.
    pub(crate) run: Run,
    /// What does; `None` without TLS.
    pub(crate) certificate: Option<Arc<Certificates>>,
}

impl Host {
    /// The process; `announced` is where it says that it serves, `long_wait` how long one request waits for work that
    /// takes long, `keys` who keeps the key ring and who retires secrets of it.
    pub(crate) fn new(
        assembled: Arc<Assembled>,
        jobs: Jobs,
        draining: CancellationToken,
        announced: Option<Announced>,
        long_wait: Duration,
        discord: Discord,
        keys: (Arc<RingKeeper>, Arc<Retiring>),
    ) -> Self {
        Self {
            assembled,
            jobs,
            ready: AtomicBool::new(false),
            draining,
            announced,
            long: Long::new(long_wait),
            clock: Mutex::default(),
            discord: Arc::new(discord),
            keeper: keys.0,
            retiring: keys.1,
            health: Health::default(),
        }
    }

    /// Discord, as this process has it.
    pub(crate) fn discord(&self) -> &Discord {
        &self.discord
    }

    /// The read models show what the log had when the process started: it may take traffic.
    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Tells commands of this machine where this server answers.
    ///
    /// # Errors
    /// If `run.json` cannot be written.
    pub(crate) fn announce(&self) -> Outcome<()> {
        let Some(Announced { lock, run, certificate }) = &self.announced else { return Ok(()) };
        let certificate = certificate.as_ref().map(|certificate| BASE64.encode(&certificate.der()));
        lock.announce(&Run { certificate, ..run.clone() })
    }

    /// The certificate that the server is known by; `None` without TLS.
    pub(crate) fn certificate(&self) -> Option<&Arc<Certificates>> {
        self.announced.as_ref()?.certificate.as_ref()
    }

    async fn move_clock(&self, by: Span) -> Result<Timestamp, OperatorError> {
        let _one = self.clock.lock().await;
        let away = |error: StoreError| OperatorError::Unavailable(error.to_string());
        self.assembled.follow_clock().await.map_err(away)?;
        let clock = &self.assembled.clock;
        let ahead = clock.offset().ms().saturating_add(by.ms());
        if by.ms() < 0 || clock.now().ms().saturating_add(by.ms()) >= Timestamp::MAX.ms() {
            let detail = "must move the clock forward, and not past the year 9999".to_owned();
            return Err(OperatorError::Invalid { member: "advance", detail });
        }
        self.assembled
            .keep_offset(Span(ahead))
            .await
            .map_err(|e| OperatorError::Unavailable(e.what().to_owned()))?;
        let due = async {
            self.jobs.run_due().await?;
            self.jobs.announce(Guilds::Read).await
        };
        due.await.map_err(|e| {
            OperatorError::Unavailable(format!("the clock was moved, and due work failed: {e}"))
        })?;
        Ok(clock.now())
    }

    async fn change_keys(&self, wish: KeyWish) -> Result<Value, OperatorError> {
        let (keeper, retiring) = (Arc::clone(&self.keeper), Arc::clone(&self.retiring));
        match wish {
            KeyWish::List => {
                let mut list = keeper.list().await?;
                list["retirements"] = self.retirements().await?;
                Ok(list)
            }
            KeyWish::Add { kind } => {
                Ok(json!({ "id": keeper.add(&kind).await?.to_string(), "active": false }))
            }
            KeyWish::Activate { id } => {
                let id = secret(&id)?;
                self.check_not_retired(id).await?;
                let what = format!("keys activate {id}");
                self.long.run(&what, async move { keeper.activate(id).await }).await
            }
            KeyWish::Rotate { kind, wait } => {
                let limit = Duration::from_millis(u64::try_from(wait.ms()).unwrap_or_default());
                let what = format!("keys rotate --kind {kind}");
                self.long.run(&what, async move { keeper.rotate(&kind, limit).await }).await
            }
            KeyWish::Retire { id, dry_run } => {
                let id = secret(&id)?;
                let what = format!("keys retire {id}{}", if dry_run { " --dry-run" } else { "" });
                let work = async move {
                    if dry_run { retiring.preview(id).await } else { retiring.retire(id).await }
                };
                self.long.run(&what, work).await
            }
        }
    }

    async fn retirements(&self) -> Result<Value, OperatorError> {
        let all = self.assembled.queries.retirements().all().await.map_err(unavailable)?;
        let rows = all.iter().map(|one| {
            crate::retire::shown(SecretId { list: List::License, id: u32::from(one.secret_id) }, one)
        });
        Ok(Value::Array(rows.collect()))
    }

    /// A secret that was retired leaked: no key is made with it again.
    async fn check_not_retired(&self, id: SecretId) -> Result<(), OperatorError> {
        let all = self.assembled.queries.retirements().all().await.map_err(unavailable)?;
        if id.list != List::License || all.iter().all(|one| u32::from(one.secret_id) != id.id) {
            return Ok(());
        }
        let detail = format!(
            "The secret `{id}` was retired, and keys made with it get replaced: activate another one, or add one with \
             `dca-auth keys rotate --kind license`."
        );
        Err(OperatorError::Refused { code: Code::SecretRetired, detail })
    }

    fn status_now(&self, position: i64, parked: &[Parked]) -> Value {
        let engine = &self.assembled.engine;
        let demo = self.assembled.mode == Mode::Demo;
        let run = self.announced.as_ref().map(|announced| &announced.run);
        json!({
            "url": run.map(|run| &run.url),
            "metricsUrl": run.and_then(|run| run.metrics_url.as_ref()),
            "version": env!("CARGO_PKG_VERSION"),
            "mode": self.assembled.mode.as_str(),
            "position": position,
            "engine": { "store": engine.store, "bus": engine.bus, "cache": engine.cache },
            "roles": self.assembled.roles,
            "parked": crate::verify::parked(parked),
            "discord": self.discord.word(self.assembled.simulated),
            "simulator": self.discord.simulator(),
            "demo": demo.then(demo_facts),
        })
    }
}

fn secret(text: &str) -> Result<SecretId, OperatorError> {
    text.parse().map_err(|error: commands::ring::RingError| OperatorError::Invalid {
        member: "id",
        detail: error.to_string(),
    })
}

fn demo_facts() -> Value {
    let roles: serde_json::Map<String, Value> =
        seed::ROLES.iter().map(|(name, id)| ((*name).to_owned(), id.to_string().into())).collect();
    let members: serde_json::Map<String, Value> = seed::MEMBERS
        .iter()
        .map(|name| ((*name).to_owned(), seed::member(name).to_string().into()))
        .collect();
    json!({ "guildId": seed::GUILD, "roles": roles, "members": members })
}

/// Something that is needed does not answer.
pub(crate) fn unavailable(error: impl std::fmt::Display) -> OperatorError {
    OperatorError::Unavailable(error.to_string())
}

impl Operator for Host {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.draining.is_cancelled()
    }

    fn health(&self) -> BoxFuture<'_, Vec<Component>> {
        async move {
            let mut components = self.health.of(&self.assembled).await;
            components.push(self.discord.health(self.assembled.simulated).await);
            components.push(self.keeper.health().await);
            components.extend(self.certificate().map(|kept| dispensable("certificate", kept.trouble())));
            let (engine, queries) = (self.assembled.engine, &self.assembled.queries);
            if engine.bus == "nats" {
                components.push(dispensable("bus", queries.bus_trouble()));
            }
            if engine.replica {
                components.push(dispensable("replica", queries.replica_trouble()));
            }
            if engine.cache == "redis" {
                components.push(dispensable("cache", queries.cache_trouble()));
            }
            components
        }
        .boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<Value, OperatorError>> {
        async move {
            let position = self.assembled.store.head().await.map_err(unavailable)?;
            let parked = self.assembled.queries.parked(PARKED_SHOWN).await.map_err(unavailable)?;
            Ok(self.status_now(position, &parked))
        }
        .boxed()
    }

    fn verify(&self) -> BoxFuture<'_, Result<Value, OperatorError>> {
        async move {
            let assembled = Arc::clone(&self.assembled);
            let work = async move {
                let log = assembled.store.check().await.map_err(unavailable)?;
                let seal = assembled.seal_log.verify().await.map_err(unavailable)?;
                let models = match projections::rebuild::verify(&assembled.queries).await {
                    // An event that cannot be read any more is found by the seal, and no read model can be built.
                    Err(QueryError::Damaged(_)) if seal.fault.is_some() => None,
                    models => Some(models.map_err(unavailable)?),
                };
                Ok(crate::verify::report(&log, &seal, models.as_ref()))
            };
            self.long.run("verify", work).await
        }
        .boxed()
    }

    fn rebuild<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Value, OperatorError>> {
        async move {
            let (queries, model) = (self.assembled.queries.clone(), name.to_owned());
            let work = |progress| async move { crate::verify::rebuild(&queries, &model, &progress).await };
            self.long.run_saying(&format!("rebuild {name}"), work).await
        }
        .boxed()
    }

    fn advance_clock(&self, by: Span) -> BoxFuture<'_, Result<Timestamp, OperatorError>> {
        self.move_clock(by).boxed()
    }

    fn run_job<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Value, OperatorError>> {
        async move {
            let reconcile = |reach| {
                let discord = Arc::clone(&self.discord);
                let work = async move { discord.reconcile(reach).await };
                async move { self.long.run(name, work).await }
            };
            match name {
                "role-sync" => reconcile(Reach::Holders).await,
                "role-sync-full" => reconcile(Reach::Full).await,
                "expiry" => {
                    self.jobs.run_due().await.map_err(unavailable)?;
                    self.jobs.announce(Guilds::Read).await.map_err(unavailable)?;
                    Ok(json!({ "job": name }))
                }
                _ => {
                    let detail = format!("must be one of {}, not `{name}`", JOBS.join(", "));
                    Err(OperatorError::Invalid { member: "name", detail })
                }
            }
        }
        .boxed()
    }

    fn keys(&self, wish: KeyWish) -> BoxFuture<'_, Result<Value, OperatorError>> {
        self.change_keys(wish).boxed()
    }

    fn resume_discord(&self) -> BoxFuture<'_, Result<Value, OperatorError>> {
        async move {
            let bot = self.discord.bot().ok_or_else(|| self.discord.no_bot())?;
            bot.resume().await.map_err(unavailable)?;
            Ok(json!({ "resumed": true }))
        }
        .boxed()
    }

    fn interaction<'a>(
        &'a self,
        signature: &'a str,
        timestamp: &'a str,
        body: &'a [u8],
    ) -> BoxFuture<'a, Result<Value, InteractionError>> {
        async move {
            let bot = self
                .discord
                .bot()
                .ok_or_else(|| InteractionError::Unavailable(self.discord.no_bot().to_string()))?;
            bot.interaction(signature, timestamp, body).await.map_err(|refused| match refused {
                InteractionRefused::Unsigned => InteractionError::Unsigned(refused.to_string()),
                InteractionRefused::Unreadable(_) => InteractionError::Unreadable(refused.to_string()),
                InteractionRefused::Unavailable(_) => InteractionError::Unavailable(refused.to_string()),
            })
        }
        .boxed()
    }

    fn check_simulates(&self) -> Result<(), OperatorError> {
        self.discord.check_simulates()
    }

    fn simulate_member(&self, guild: GuildId, user: DiscordId, roles: Option<Vec<RoleId>>) {
        self.discord.simulate_member(guild, user, roles);
    }
}
