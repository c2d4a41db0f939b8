//! One owner for each shard: takes the shard's lease, runs serenity behind the relay for as long as it holds, keeps the
//! session so that the next owner resumes it, and stops with a clear word where trying again would do harm.

use std::sync::Arc;
use std::time::Duration;

use poise::serenity_prelude as serenity;
use projections::{GatewaySession, Lease, QueryError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bot::{Inner, ShardState};
use crate::egress::{EgressError, Request};
use crate::relay::{Relay, RelayConfig, Shard};
use crate::slash;
use crate::tap::{Listener, Session, name, session_name};

/// How often the session is kept.
const KEEP: Duration = Duration::from_secs(1);
/// Longest pause between two tries to connect.
const PAUSE_MAX: Duration = Duration::from_secs(60);
const TOKEN_HELP: &str = "Discord does not accept the bot token: make a new one in the developer portal (Bot, Reset \
                          Token), set it (DISCORD_TOKEN), and start again. Validation and API go on meanwhile.";
const INTENT_HELP: &str = "Discord refuses the privileged intent Server Members: switch it on in the developer portal \
                           (Bot, Privileged Gateway Intents) and run `dca-auth discord resume`, or set \
                           discord.member_intent = false and start again.";

const SHARD_HELP: &str = "Discord refuses this number of shards: raise discord.shards (one for each 2,500 servers), the \
                          same on every instance, and start again.";

/// How a run of serenity ended.
enum Ended {
    /// The process stops.
    Stopped,
    /// Somebody else has the lease, or it could not be renewed.
    LeaseLost,
    /// Trying again would do harm.
    Halted(&'static str),
    /// Something failed that may pass.
    Failed(String),
}

/// Owns a shard whenever nobody else does, until `stop`.
pub(crate) async fn own(inner: Arc<Inner>, shard: Shard, stop: CancellationToken) {
    let (mut failures, mut last) = (0, None);
    while !stop.is_cancelled() {
        set_state(&inner, shard, ShardState::Elsewhere);
        let Some(lease) = lease(&inner, shard, &stop).await else { return };
        set_state(&inner, shard, ShardState::Connecting);
        tracing::info!(shard = shard.0, token = lease.token, "this instance owns the shard");
        inner.brake.look_afresh().await;
        inner.seen.forget();
        // Our own letting go raises it by one: somebody else had the shard, and was told of its guilds in our stead.
        if last.is_some_and(|last| lease.token > last + 1) {
            inner.guilds.forget_shard(shard.0);
        }
        last = Some(lease.token);
        inner.status().leases.insert(shard.0, lease.clone());
        let begun = Instant::now();
        let ended = run(&inner, shard, &lease, &stop).await;
        inner.status().leases.remove(&shard.0);
        if let Err(error) = inner.queries.leases().release(&lease).await {
            tracing::warn!(%error, "the lease of the shard could not be let go; it ends by itself");
        }
        failures = if begun.elapsed() > PAUSE_MAX { 0 } else { failures + 1 };
        match ended {
            Ended::Stopped => return,
            Ended::LeaseLost => tracing::warn!(shard = shard.0, "the lease of the shard is lost"),
            Ended::Halted(help) => {
                tracing::error!(shard = shard.0, "{help}");
                set_state(&inner, shard, ShardState::Stopped(help.to_owned()));
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = inner.resumed.notified() => {}
                }
            }
            Ended::Failed(why) => {
                let pause = Duration::from_millis(250) * 2_u32.saturating_pow(failures.min(10));
                let pause = pause.min(PAUSE_MAX);
                tracing::warn!(shard = shard.0, why, "no connection to Discord; tried again in {pause:?}");
                set_state(&inner, shard, ShardState::Connecting);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = inner.resumed.notified() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

fn set_state(inner: &Inner, shard: Shard, state: ShardState) {
    inner.status().shards.insert(shard.0, state);
}

/// Waits for the lease; `None` if the process stops.
async fn lease(inner: &Inner, shard: Shard, stop: &CancellationToken) -> Option<Lease> {
    let (leases, name) = (inner.queries.leases(), format!("shard:{}", name(shard)));
    let config = &inner.config;
    match leases.holder(&name).await {
        Ok(Some(held)) if Some(&held.holder) == config.ended_instance.as_ref() => {
            if let Err(error) = leases.release(&held).await {
                tracing::warn!(%error, "the lease of this folder's last process could not be let go");
            }
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "who has the shard could not be asked for"),
    }
    loop {
        match leases.acquire(&name, &config.instance, config.lease).await {
            Ok(Some(lease)) => return Some(lease),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the lease of the shard could not be asked for"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(config.lease / 6) => {}
        }
    }
}

/// Runs serenity behind the relay until it ends, the lease is lost, or the process stops.
async fn run(inner: &Arc<Inner>, shard: Shard, lease: &Lease, stop: &CancellationToken) -> Ended {
    let gateway = match gateway(inner, shard).await {
        Ok(gateway) => gateway,
        Err(EgressError::Unauthorized) => return Ended::Halted(TOKEN_HELP),
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let (session, kept) = watch::channel(Session::Unknown);
    let (owned, is_owned) = watch::channel(true);
    let (refusal, fatal) = watch::channel(false);
    let listener = Arc::new(Listener::new(Arc::clone(inner), session, is_owned, refusal));
    let config = RelayConfig {
        loopback_only: inner.config.loopback_only,
        identify_pause: inner.config.identify_pause.clone(),
        ..RelayConfig::new(gateway)
    };
    let relay = match Relay::start(config, listener).await {
        Ok(relay) => relay,
        Err(error) => return Ended::Failed(format!("no local port for the gateway: {error}")),
    };
    let mut client = match client(inner, &relay.url()).await {
        Ok(client) => client,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let manager = Arc::clone(&client.shard_manager);
    let ended = {
        let sequence = || relay.sequence(shard);
        tokio::select! {
            result = client.start_shard(shard.0, shard.1) => after(result),
            () = refused(fatal) => Ended::Halted(SHARD_HELP),
            () = stop.cancelled() => Ended::Stopped,
            () = keep(inner, shard, lease, kept.clone(), sequence) => Ended::LeaseLost,
        }
    };
    owned.send_replace(false);
    // Serenity's own goodbye stops at the relay, so that the next owner can resume the session.
    manager.shutdown_all().await;
    let last = relay.sequence(shard);
    relay.stop().await;
    inner.mailbox.release_unsure(shard.0);
    if !matches!(ended, Ended::LeaseLost) {
        let saved = kept.borrow().clone();
        if let Err(error) = keep_session(inner, shard, lease, saved, last).await {
            tracing::warn!(%error, "the session could not be kept");
        }
    }
    ended
}

/// Waits until Discord refuses the shard for good.
async fn refused(mut fatal: watch::Receiver<bool>) {
    if fatal.wait_for(|fatal| *fatal).await.is_err() {
        // Whoever could refuse is gone, so nobody does.
        std::future::pending::<()>().await;
    }
}

/// Where the gateway is: as configured, else as Discord says, who also says how many sessions may still begin.
async fn gateway(inner: &Inner, shard: Shard) -> Result<String, EgressError> {
    let told = inner.egress.call(Request::get("/gateway/bot")).await?;
    let limit = &told["session_start_limit"];
    if limit["remaining"].as_i64() == Some(0) && !has_session(inner, shard).await {
        let wait = limit["reset_after"].as_i64().unwrap_or(0);
        return Err(EgressError::Unavailable(format!("no new session may begin for {wait} ms")));
    }
    if let Some(url) = &inner.config.gateway_url {
        return Ok(url.clone());
    }
    let url = told["url"].as_str().map(str::to_owned);
    url.ok_or_else(|| EgressError::Unreadable("GET /gateway/bot gave no url".to_owned()))
}

/// Whether a session is kept that can be resumed without IDENTIFY.
async fn has_session(inner: &Inner, shard: Shard) -> bool {
    let key = session_name(shard, inner.config.member_intent);
    inner.queries.bot_state().session(&key).await.is_ok_and(|kept| kept.is_some())
}

/// A client whose gateway is the relay, so that it can reach no other.
async fn client(inner: &Arc<Inner>, relay: &str) -> serenity::Result<serenity::Client> {
    let config = &inner.config;
    // Interaction answers are the only calls that serenity makes: Discord exempts them from the limits.
    let mut http = serenity::HttpBuilder::new(&config.token).ratelimiter_disabled(true);
    if config.api_base != crate::DISCORD {
        http = http.proxy(&config.api_base);
    }
    let mut intents = serenity::GatewayIntents::GUILDS;
    if config.member_intent {
        intents |= serenity::GatewayIntents::GUILD_MEMBERS;
    }
    let framework = slash::framework(Arc::clone(inner));
    let client = serenity::ClientBuilder::new_with_http(http.build(), intents).framework(framework).await?;
    relay.clone_into(&mut *client.ws_url.lock().await);
    Ok(client)
}

/// What the end of serenity means.
fn after(result: serenity::Result<()>) -> Ended {
    use serenity::GatewayError;
    match result {
        Ok(()) => Ended::Failed("the gateway client ended".to_owned()),
        Err(serenity::Error::Gateway(
            GatewayError::InvalidAuthentication | GatewayError::NoAuthentication,
        )) => Ended::Halted(TOKEN_HELP),
        Err(serenity::Error::Gateway(
            GatewayError::DisallowedGatewayIntents | GatewayError::InvalidGatewayIntents,
        )) => Ended::Halted(INTENT_HELP),
        Err(error) => Ended::Failed(error.to_string()),
    }
}

/// Renews the lease and keeps the session; returns when the lease is lost.
async fn keep(
    inner: &Inner,
    shard: Shard,
    lease: &Lease,
    mut session: watch::Receiver<Session>,
    sequence: impl Fn() -> Option<i64>,
) {
    let ttl = inner.config.lease;
    let (mut renewed, mut kept) = (Instant::now(), Instant::now());
    let mut last = None;
    loop {
        let began = tokio::select! {
            () = tokio::time::sleep((ttl / 6).min(KEEP)) => false,
            changed = session.changed() => changed.is_ok(),
        };
        if renewed.elapsed() >= ttl / 3 {
            let asked = Instant::now();
            match inner.queries.leases().acquire(&lease.name, &inner.config.instance, ttl).await {
                Ok(Some(held)) if held.token == lease.token => renewed = asked,
                Ok(_) => return,
                // Nobody else can have it before it has run out.
                Err(_) if renewed.elapsed() < ttl * 2 / 3 => {}
                Err(error) => {
                    tracing::warn!(%error, "the lease of the shard could not be renewed");
                    return;
                }
            }
        }
        // A session that has just begun is kept at once: whoever takes over a moment later resumes it.
        if began || kept.elapsed() >= KEEP {
            kept = Instant::now();
            let state = (session.borrow_and_update().clone(), sequence());
            if last.as_ref() != Some(&state)
                && keep_session(inner, shard, lease, state.0.clone(), state.1).await.is_ok()
            {
                last = Some(state);
            }
        }
    }
}

/// Keeps the session up to what was dealt with, so that whoever resumes it is told the rest again.
async fn keep_session(
    inner: &Inner,
    shard: Shard,
    lease: &Lease,
    session: Session,
    received: Option<i64>,
) -> Result<(), QueryError> {
    let state = inner.queries.bot_state();
    let key = session_name(shard, inner.config.member_intent);
    let saved = match session {
        Session::Unknown => return Ok(()),
        Session::Ended => return state.forget_session(&key, lease).await.map(|_| ()),
        Session::Runs(saved) => saved,
    };
    let received = received.unwrap_or(saved.sequence);
    let session = GatewaySession {
        shard: key,
        session_id: saved.session_id,
        sequence: inner.mailbox.low_water(shard.0, received),
        resume_url: saved.resume_url,
        ready: saved.ready.to_string(),
    };
    state.save_session(&session, lease).await.map(|_| ())
}
