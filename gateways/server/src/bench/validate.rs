//! Validation as users meet it, against the floor: a bare axum route in a process of its own that parses the same
//! request and answers a constant of the same size. Both are loaded in turns, over the same number of connections,
//! from this process.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Method;
use commands::ring::{KeyRing, os_random};
use domain::id::{GuildId, LicenseId};
use domain::key::{self, KeyVersion, Prefix};
use domain::time::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Scratch;
use super::load::{self, Load, Measured};
use super::usage::{processor_time, resident_bytes};
use crate::cli::Bench;
use crate::door::{self, Door};
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::{output, process, seed};

/// Requests a second of the constant load.
const RATE: u32 = 5_000;
/// Licenses that are asked for in turn.
const LICENSES: usize = 200;
/// Turns of floor and product; the median of each is reported.
const TURNS: usize = 7;
const START_WITHIN: Duration = Duration::from_secs(30);
pub(super) const PATH: &str = "/licenses/validate";
/// What asks for a signed answer (RFC 9421, section 5).
const WISH: &[u8] = b"Accept-Signature: dca=();created;nonce=\"bench\";tag=\"dca-auth\"\r\n";

/// One of the two that are compared.
struct Target {
    process: Option<u32>,
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    connections: usize,
}

/// Measures validation and the floor.
pub(super) async fn run(bench: &Bench) -> Outcome<Value> {
    let scratch = Scratch::new()?;
    let config = scratch.config("demo", bench)?;
    let mut product = start_product(&scratch, bench)?;
    let door = ready(&config, crate::mode::Mode::Demo).await?;
    let bodies = bodies(&door).await?;
    let api_key = api_key(&door, seed::GUILD).await?;
    let address = address_of(door.url())?;
    let target = |process: &Child, address: SocketAddr, bodies: &[String]| -> Target {
        let requests = bodies.iter().map(|body| load::post(address, PATH, &api_key, body)).collect();
        Target {
            process: process.id(),
            address,
            requests: Arc::new(requests),
            connections: bench.connections,
        }
    };
    let ours = target(&product, address, &bodies);
    let warm = measure(&ours, 1, Some(RATE)).await?;
    let (mut floor_process, floor_address) = start_floor(warm.load.body_bytes, bench.connections).await?;
    let floor = target(&floor_process, floor_address, &bodies);
    measure(&floor, 1, Some(RATE)).await?;

    let constant =
        (measure(&floor, bench.seconds, Some(RATE)).await?, measure(&ours, bench.seconds, Some(RATE)).await?);
    let resident = product.id().and_then(resident_bytes);
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        turns.push((measure(&floor, bench.seconds, None).await?, measure(&ours, bench.seconds, None).await?));
    }
    let malformed = measure(&target(&product, address, &malformed()), bench.seconds, None).await?;
    let forged = measure(&target(&product, address, &forged()?), bench.seconds, None).await?;
    let signed = measure(&signed(&ours), bench.seconds, None).await?;
    door.close().await;
    floor_process.kill().await.ok();
    product.kill().await.ok();
    let mut figures = report(&mut turns, &constant, bench.connections);
    figures["refused"] = json!({
        "malformedPerSecond": malformed.load.per_second,
        "forgedPerSecond": forged.load.per_second,
    });
    figures["signed"] = json!({
        "perSecond": signed.load.per_second,
        "ratio": signed.load.per_second / figures["floor"]["perSecond"].as_f64().unwrap_or(f64::NAN),
        "p99Micros": signed.load.latency.quantile(0.99),
        "processorMicros": signed.processor_micros,
    });
    figures["residentBytes"] = resident.into();
    Ok(figures)
}

/// The same requests by programs that want every answer signed.
fn signed(target: &Target) -> Target {
    let asked = |request: &Vec<u8>| {
        let line = request.windows(2).position(|end| end == b"\r\n").map_or(0, |place| place + 2);
        [&request[..line], WISH, &request[line..]].concat()
    };
    Target { requests: Arc::new(target.requests.iter().map(asked).collect()), ..*target }
}

/// Texts that are no license keys.
fn malformed() -> Vec<String> {
    let body = |number: usize| json!({ "key": format!("no-key-{number:040}"), "deviceId": "bench-machine" });
    (0..LICENSES).map(|number| body(number).to_string()).collect()
}

/// Keys with right check symbols that another deployment made.
pub(super) struct Forger(KeyRing);

impl Forger {
    pub(super) fn new() -> Outcome<Self> {
        let ring = KeyRing::generate(Timestamp::default(), &mut os_random);
        ring.map(Self).attempt(|| "no key ring can be made".to_owned())
    }

    /// A key that nobody has seen before.
    pub(super) fn key(&self) -> Outcome<String> {
        let (id, version) = (LicenseId(Uuid::new_v4()), KeyVersion::default());
        let text = key::render(&self.0, &Prefix::default(), id, version);
        text.ok_or_else(|| Failure::new("a key cannot be written"))
    }
}

fn forged() -> Outcome<Vec<String>> {
    let forger = Forger::new()?;
    let keys = (0..LICENSES).map(|_| forger.key()).collect::<Outcome<Vec<String>>>()?;
    Ok(keys.iter().map(|key| json!({ "key": key, "deviceId": "bench-machine" }).to_string()).collect())
}

fn report(turns: &mut [(Seen, Seen)], constant: &(Seen, Seen), connections: usize) -> Value {
    let ratio = |(floor, ours): &(Seen, Seen)| ours.load.per_second / floor.load.per_second;
    turns.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let ratios: Vec<f64> = turns.iter().map(ratio).collect();
    let (floor, ours) = &turns[turns.len() / 2];
    let p99 = |seen: &Seen| seen.load.latency.quantile(0.99);
    json!({
        "what": "validate",
        "connections": connections,
        "bodyBytes": ours.load.body_bytes,
        "floor": figures(floor),
        "validate": figures(ours),
        "ratio": ratios[ratios.len() / 2],
        "lowestRatio": ratios[0],
        "highestRatio": ratios[ratios.len() - 1],
        "constant": {
            "perSecond": RATE,
            "floor": figures(&constant.0),
            "validate": figures(&constant.1),
            "p99Ratio": p99(&constant.1) as f64 / p99(&constant.0).max(1) as f64,
        },
    })
}

fn figures(seen: &Seen) -> Value {
    let micros = |share| seen.load.latency.quantile(share);
    json!({
        "perSecond": seen.load.per_second,
        "p50Micros": micros(0.5),
        "p99Micros": micros(0.99),
        "p999Micros": micros(0.999),
        "processorMicros": seen.processor_micros,
    })
}

async fn measure(target: &Target, seconds: u64, rate: Option<u32>) -> Outcome<Seen> {
    let load = Load { connections: target.connections, span: Duration::from_secs(seconds), rate };
    let before = target.process.and_then(processor_time);
    let load = load::run(target.address, Arc::clone(&target.requests), load).await?;
    let used = target.process.and_then(processor_time).zip(before).map(|(after, before)| after - before);
    let processor_micros = used.map(|used| used.as_secs_f64() * 1e6 / load.latency.count() as f64);
    Ok(Seen { load, processor_micros })
}

/// What was seen of a load.
struct Seen {
    load: Measured,
    /// The target's time on the processors, for each request.
    processor_micros: Option<f64>,
}

/// The product as it is shipped: another process of this same program, with its default configuration.
pub(super) fn start_product(scratch: &Scratch, bench: &Bench) -> Outcome<Child> {
    let mut command = own_program()?;
    command.args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data-dir"]).arg(scratch.path());
    spawned(command, bench)
}

/// Starts the product with nothing of this process's configuration.
pub(super) fn spawned(mut command: Command, bench: &Bench) -> Outcome<Child> {
    let ours =
        |name: &str| name.starts_with("DCA_") || name == "DATABASE_URL" || name.starts_with("DISCORD_");
    let stated: Vec<_> = command.as_std().get_envs().map(|(name, _)| name.to_owned()).collect();
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(&name.to_string_lossy())) {
        if !stated.contains(&name) {
            command.env_remove(name);
        }
    }
    if let Some(url) = &bench.database_url {
        command.env("DATABASE_URL", url);
    }
    for (name, url) in [("NATS_URL", &bench.nats_url), ("REDIS_URL", &bench.redis_url)] {
        match url {
            Some(url) => command.env(name, url),
            None => command.env_remove(name),
        };
    }
    if let Some(entries) = bench.cache {
        command.env("DCA_CACHE_LICENSES", entries.to_string());
    }
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .attempt(|| "the server cannot be started".to_owned())
}

pub(super) fn own_program() -> Outcome<Command> {
    let program = std::env::current_exe().attempt(|| "this program's own file is unknown".to_owned())?;
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// Waits until the server says where it is, so that the door leads to it and not into this process.
pub(super) async fn ready(config: &crate::config::Config, mode: crate::mode::Mode) -> Outcome<Door> {
    let (folder, begin) = (crate::folder::Folder::new(&config.data_dir, mode), Instant::now());
    loop {
        if let Some(run) = folder.run()
            && door::is_ready(&run).await.is_ok()
        {
            return Door::open(config, "bench").await;
        }
        if begin.elapsed() > START_WITHIN {
            return Err(Failure::new("the server that was to be measured did not start"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Requests for licenses that each have an active device.
pub(super) async fn bodies(door: &Door) -> Outcome<Vec<String>> {
    let order = json!({
        "guildId": seed::GUILD, "type": "pro", "count": LICENSES, "assignTo": seed::member(seed::BANNER_MEMBER),
    });
    let made = door.call(Method::Post, "/admin/licenses/generate", Some(&order)).await?;
    let api_key = api_key(door, seed::GUILD).await?;
    let client = door.with_key(&api_key)?;
    let mut bodies = Vec::new();
    for license in made.body["data"].as_array().into_iter().flatten() {
        let body = json!({ "key": license["key"], "deviceId": "bench-machine" });
        client.call(Method::Post, "/licenses/activate", Some(&body)).await.map_err(door::failure)?;
        bodies.push(body.to_string());
    }
    Ok(bodies)
}

/// A secret key of a guild, as a server has it that asks for many clients: the limit of publishable keys would end the
/// measurement.
pub(super) async fn api_key(door: &Door, guild: GuildId) -> Outcome<String> {
    issued(door, guild, json!({ "kind": "secret" })).await
}

/// A new API key of a guild.
pub(super) async fn issued(door: &Door, guild: GuildId, order: Value) -> Outcome<String> {
    let path = format!("/guilds/{guild}/api-keys");
    let issued = door.call(Method::Post, &path, Some(&order)).await?;
    Ok(output::cell(&issued.body, "/key"))
}

pub(super) fn address_of(url: &str) -> Outcome<SocketAddr> {
    url.trim_start_matches("http://").parse().attempt(|| format!("{url} is no address"))
}

async fn start_floor(body_bytes: usize, connections: usize) -> Outcome<(Child, SocketAddr)> {
    let mut command = own_program()?;
    command.args(["bench", "floor", "--body-bytes", &body_bytes.to_string()]);
    command.args(["--connections", &connections.to_string()]);
    let mut child =
        command.stdout(Stdio::piped()).spawn().attempt(|| "the floor cannot be started".to_owned())?;
    let out = child.stdout.take().ok_or_else(|| Failure::new("the floor cannot be read"))?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).await.attempt(|| "the floor did not start".to_owned())?;
    Ok((child, address_of(line.trim())?))
}

/// Serves the floor until it is killed; its address is printed first.
pub(super) async fn floor(body_bytes: usize, connections: usize) -> Outcome<()> {
    let listener = process::listen(([127, 0, 0, 1], 0).into()).await?;
    let address = listener.local_addr().attempt(|| "the address cannot be read".to_owned())?;
    output::say(&format!("http://{address}"));
    let router = api::floor::router(format!("{:body_bytes$}", "{}").into_bytes());
    let limits = api::Connections { max: connections * 2, ..api::Connections::default() };
    api::serve(listener, router, limits, None, CancellationToken::new()).await;
    Ok(())
}
