//! Roles on Discord, measured against the stand-in: from a given role to the message in the inbox; events through the
//! ordered tap; a reconcile of a large server; the answer to a slash command. The stand-in runs in this process, the
//! product in another one, with its default configuration.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use client::Method;
use fake_discord::{FakeDiscord, Settings};
use serde_json::{Value, json};
use tokio::process::Child;

use super::Scratch;
use super::histogram::Histogram;
use super::validate::{own_program, ready, spawned};
use crate::cli::Bench;
use crate::door::Door;
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::mode::Mode;
use crate::output::cell;

/// Servers that the grants are spread over, and grants a second: as in the bar.
const GUILDS: usize = 50;
const GRANTS_PER_SECOND: u32 = 5;
/// Events of one burst, about this many members.
const EVENTS: u64 = 20_000;
const EVENT_MEMBERS: u64 = 100;
/// Members of the large server, and how many of them have the role.
const MEMBERS: u64 = 25_000;
const HOLDERS: u64 = 2_500;
/// Slash commands, one after the other.
const COMMANDS: usize = 300;
const PATIENCE: Duration = Duration::from_secs(120);
const TOKEN: &str = "a-token-of-the-benchmark";

/// The stand-in, the product, and the way to both.
struct Bed {
    fake: FakeDiscord,
    door: Door,
    product: Child,
    http: reqwest::Client,
    _scratch: Scratch,
}

/// A server with a role that gives licenses.
struct Guild {
    id: u64,
    role: u64,
}

/// Measures everything, one after the other.
pub(super) async fn run(bench: &Bench) -> Outcome<Value> {
    let mut bed = Bed::new(bench).await?;
    let mut guilds = Vec::new();
    for number in 0..GUILDS {
        guilds.push(bed.guild(&format!("Bench {number}")).await?);
    }
    bed.sweep(&guilds[0]).await?;
    let delivery = bed.deliveries(&guilds, bench.seconds).await?;
    let interactions = bed.interactions(&guilds[0]).await?;
    let events = bed.events(&guilds[1]).await?;
    let reconcile = bed.reconcile().await?;
    let health = bed.health().await?;
    bed.product.kill().await.ok();
    Ok(json!({
        "what": "discord",
        "roleToInbox": delivery,
        "interaction": interactions,
        "tap": events,
        "reconcile": reconcile,
        "inOrder": health.contains(" 0 of them out of order"),
    }))
}

impl Bed {
    async fn new(bench: &Bench) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let config = scratch.config("live", bench)?;
        let fake = FakeDiscord::start(Settings::local(TOKEN)).await.attempt(|| "no stand-in".to_owned())?;
        let mut command = own_program()?;
        command
            .args(["serve", "--mode", "live", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(scratch.path())
            .env("DISCORD_TOKEN", TOKEN)
            .env("DCA_DISCORD_API_BASE", fake.url())
            .env("DCA_DISCORD_OAUTH_BASE", fake.url())
            .env("DCA_DISCORD_GATEWAY_URL", fake.gateway_url());
        let product = spawned(command, bench)?;
        let door = ready(&config, Mode::Live).await?;
        let http = reqwest::Client::builder().no_proxy().build().attempt(|| "no HTTP client".to_owned())?;
        let bed = Self { fake, door, product, http, _scratch: scratch };
        bed.control("PUT", "/limits", &json!({ "enabled": false })).await?;
        let begin = Instant::now();
        while !bed.health().await?.contains("shard 0 is connected") {
            late(begin, "the bot did not connect")?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(bed)
    }

    /// One call of the stand-in's control API.
    async fn control(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        let method = method.parse().attempt(|| format!("{method} is no method"))?;
        let mut request = self.http.request(method, format!("{}/_control{path}", self.fake.url()));
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.attempt(|| format!("{path} failed"))?;
        let answer = answer.error_for_status().attempt(|| format!("{path} was refused"))?;
        answer.json().await.attempt(|| format!("{path} gave no JSON"))
    }

    async fn health(&self) -> Outcome<String> {
        let health = self.door.call(Method::Get, "/health", None).await?.body;
        let components = health["components"].as_array().cloned().unwrap_or_default();
        let discord = components.iter().find(|component| component["name"] == "discord");
        Ok(discord.map(|component| cell(component, "/detail")).unwrap_or_default())
    }

    async fn guild(&self, name: &str) -> Outcome<Guild> {
        let made = self.control("POST", "/guilds", &json!({ "name": name })).await?;
        let id = number(&made["id"])?;
        let role = self.control("POST", &format!("/guilds/{id}/roles"), &json!({ "name": "Pro" })).await?;
        let role = number(&role["id"])?;
        let begin = Instant::now();
        while self.door.call(Method::Get, &format!("/guilds/{id}"), None).await.is_err() {
            late(begin, "a server was not registered")?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let define = json!({ "slug": "pro", "name": "Pro", "terms": { "onRoleLoss": "revoke" } });
        self.door.call(Method::Post, &format!("/guilds/{id}/license-types"), Some(&define)).await?;
        let rule = json!({ "roleId": role.to_string(), "type": "pro" });
        self.door.call(Method::Post, &format!("/guilds/{id}/role-rules"), Some(&rule)).await?;
        Ok(Guild { id, role })
    }

    /// From the instant at which a role is given to the one at which its message is seen in the inbox.
    async fn deliveries(&self, guilds: &[Guild], seconds: u64) -> Outcome<Value> {
        let count = seconds.max(1) * u64::from(GRANTS_PER_SECOND) * 4;
        let mut given: HashMap<u64, Instant> = HashMap::new();
        let mut waiting: Vec<u64> = Vec::new();
        let mut latency = Histogram::default();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / GRANTS_PER_SECOND);
        for turn in 0..count {
            let next = ticks.tick().await;
            let guild = &guilds[turn as usize % guilds.len()];
            let user = 700_000_000_000_000_000 + turn;
            self.fake
                .set_member(guild.id, user, Some(&[guild.role]))
                .attempt(|| "a role could not be given".to_owned())?;
            given.insert(user, Instant::now());
            waiting.push(user);
            // Between two grants the inboxes are looked at again and again.
            let end = next + Duration::from_millis(900) / GRANTS_PER_SECOND;
            while tokio::time::Instant::now() < end && !waiting.is_empty() {
                self.look(&mut waiting, &given, &mut latency).await?;
            }
        }
        let begin = Instant::now();
        while !waiting.is_empty() {
            late(begin, "messages did not arrive")?;
            self.look(&mut waiting, &given, &mut latency).await?;
        }
        Ok(json!({
            "grants": count,
            "perSecond": GRANTS_PER_SECOND,
            "guilds": guilds.len(),
            "p50Micros": latency.quantile(0.5),
            "p95Micros": latency.quantile(0.95),
            "p99Micros": latency.quantile(0.99),
            "maxMicros": latency.quantile(1.0),
        }))
    }

    async fn look(
        &self,
        waiting: &mut Vec<u64>,
        given: &HashMap<u64, Instant>,
        latency: &mut Histogram,
    ) -> Outcome<()> {
        let mut left = Vec::new();
        for user in waiting.drain(..) {
            let inbox = self.control("GET", &format!("/users/{user}/inbox"), &Value::Null).await?;
            match inbox.as_array().is_some_and(|inbox| !inbox.is_empty()) {
                true => latency.record(given.get(&user).map(Instant::elapsed).unwrap_or_default()),
                false => left.push(user),
            }
        }
        *waiting = left;
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    }

    /// From the control call that plays a slash command to its answer, one after the other.
    async fn interactions(&self, guild: &Guild) -> Outcome<Value> {
        let body = json!({
            "guildId": guild.id.to_string(), "userId": "700000000000000000", "command": "license list", "options": {},
        });
        let mut latency = Histogram::default();
        for _ in 0..COMMANDS {
            let begin = Instant::now();
            self.control("POST", "/interactions", &body).await?;
            latency.record(begin.elapsed());
        }
        let (p50, p99) = (latency.quantile(0.5), latency.quantile(0.99));
        Ok(json!({ "commands": COMMANDS, "p50Micros": p50, "p99Micros": p99 }))
    }

    /// A burst of role changes that end with a role for everybody: how long until everybody has his license.
    async fn events(&self, guild: &Guild) -> Outcome<Value> {
        let user = |number: u64| 710_000_000_000_000_000 + number % EVENT_MEMBERS;
        let begin = Instant::now();
        for number in 0..EVENTS {
            let is_last = number >= EVENTS - EVENT_MEMBERS;
            let has = is_last || (number / EVENT_MEMBERS).is_multiple_of(2);
            let roles: &[u64] = if has { &[guild.role] } else { &[] };
            self.fake.set_member(guild.id, user(number), Some(roles)).attempt(|| "no change".to_owned())?;
        }
        let sent = begin.elapsed();
        loop {
            let detail = self.health().await?;
            let settled = detail.contains("; 0 members wait,");
            if settled && self.live(guild).await? >= EVENT_MEMBERS {
                break;
            }
            late(begin, "the events were not taken")?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let took = begin.elapsed();
        Ok(json!({
            "events": EVENTS,
            "members": EVENT_MEMBERS,
            "sendingSeconds": sent.as_secs_f64(),
            "seconds": took.as_secs_f64(),
            "perSecond": EVENTS as f64 / took.as_secs_f64(),
        }))
    }

    /// Live licenses of a server, up to what one page shows.
    async fn live(&self, guild: &Guild) -> Outcome<u64> {
        let path = format!("/licenses?guildId={}&status=assigned&limit=200", guild.id);
        let page = self.door.call(Method::Get, &path, None).await?.body;
        Ok(page["data"].as_array().map_or(0, Vec::len) as u64)
    }

    /// A large server: the sweep that grants, and the one that finds nothing to do.
    async fn reconcile(&self) -> Outcome<Value> {
        let guild = self.guild("Large").await?;
        // What the new rule itself has started is over when the next look is.
        self.sweep(&guild).await?;
        let path = format!("/guilds/{}/crowd", guild.id);
        let role = guild.role.to_string();
        let holders = json!({ "count": HOLDERS, "roles": [role], "prefix": "holder", "quiet": true });
        self.control("POST", &path, &holders).await?;
        let others = json!({ "count": MEMBERS - HOLDERS, "prefix": "other", "quiet": true });
        self.control("POST", &path, &others).await?;
        let (granting, idle) = (self.sweep(&guild).await?, self.sweep(&guild).await?);
        Ok(json!({ "members": MEMBERS, "holders": HOLDERS, "granting": granting, "idle": idle }))
    }

    async fn sweep(&self, guild: &Guild) -> Outcome<Value> {
        let begin = Instant::now();
        let report = loop {
            let told = self.door.call(Method::Post, "/_admin/jobs/role-sync-full/run", None).await?.body;
            if told["running"].is_null() {
                break told;
            }
        };
        let took = begin.elapsed();
        let of_guild = &report["guilds"][guild.id.to_string()];
        Ok(
            json!({ "seconds": took.as_secs_f64(), "changed": of_guild["changed"], "looked": of_guild["members"] }),
        )
    }
}

fn number(value: &Value) -> Outcome<u64> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| Failure::new("the stand-in gave no id"))
}

fn late(begin: Instant, what: &str) -> Outcome<()> {
    if begin.elapsed() > PATIENCE { Err(Failure::new(what.to_owned())) } else { Ok(()) }
}
