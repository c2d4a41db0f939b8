//! Somebody who guesses license keys, beside programs that have one: what of it is let through, what it costs the store, and
//! what the others notice. The guesser has a publishable key of the same server, as it stands in every client, and asks from
//! an address of his own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::load::{self, Connection, Load, Measured};
use super::validate::{self, Forger, PATH};
use super::{Scratch, start};
use crate::cli::Bench;
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::mode::Mode;
use crate::seed;

/// Guesses a second, over so many connections, from this address.
const GUESSES: u32 = 4_000;
const GUESSING: usize = 16;
const GUESSER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// What the others ask a second, over so many connections.
const RATE: u32 = 500;
const CONNECTIONS: usize = 16;
/// How long they are alone before.
const ALONE: Duration = Duration::from_secs(20);
/// PostgreSQL's processes tell what they have counted about once a second.
const COUNTED: Duration = Duration::from_secs(2);

/// What became of the guesses.
#[derive(Debug, Default, Clone, Copy)]
struct Fate {
    /// Answered with a verdict.
    answered: u64,
    /// Refused by the limit.
    limited: u64,
}

/// What stores were asked so far: transactions of PostgreSQL, commands of Redis.
#[derive(Debug, Default, Clone, Copy)]
struct Asked {
    transactions: Option<i64>,
    commands: Option<i64>,
}

/// Measures the tenant alone, and beside so many guesses.
pub(super) async fn run(bench: &Bench) -> Outcome<Value> {
    let scratch = Scratch::new()?;
    let mut product = validate::start_product(&scratch, bench)?;
    let door = validate::ready(&scratch.config("demo", bench)?, Mode::Demo).await?;
    let address = validate::address_of(door.url())?;
    let bodies = validate::bodies(&door).await?;
    let secret = validate::api_key(&door, seed::GUILD).await?;
    let publishable = validate::issued(&door, seed::GUILD, json!({ "kind": "publishable" })).await?;
    let requests = bodies.iter().map(|body| load::post(address, PATH, &secret, body)).collect();
    let requests: Arc<Vec<Vec<u8>>> = Arc::new(requests);
    let load = |span| Load { connections: CONNECTIONS, span, rate: Some(RATE) };
    load::run(address, Arc::clone(&requests), load(Duration::from_secs(2))).await?;

    let first = asked(bench).await?;
    let alone = load::run(address, Arc::clone(&requests), load(ALONE)).await?;
    let second = asked(bench).await?;
    let memory = start::memory_of(&product)?;
    let span = Duration::from_secs_f64(bench.guesses as f64 / f64::from(GUESSES));
    let tenant = tokio::spawn(load::run(address, requests, load(span)));
    let begin = Instant::now();
    let fate = guess(address, &publishable, bench.guesses).await?;
    let took = begin.elapsed();
    let beside = tenant.await.attempt(|| "the tenant was cut off".to_owned())??;
    let third = asked(bench).await?;
    let memory = start::memory_of(&product)?.saturating_sub(memory);
    door.close().await;
    start::ended(&mut product).await?;
    Ok(json!({
        "what": "guess",
        "guesses": bench.guesses,
        "guessesPerSecond": bench.guesses as f64 / took.as_secs_f64(),
        "answered": fate.answered,
        "limited": fate.limited,
        "alone": figures(&alone, ALONE, first, second),
        "beside": figures(&beside, took, second, third),
        "p99Ratio": beside.latency.quantile(0.99) as f64 / alone.latency.quantile(0.99).max(1) as f64,
        "moreMemoryBytes": memory,
    }))
}

fn figures(measured: &Measured, took: Duration, before: Asked, after: Asked) -> Value {
    let rate = |before: Option<i64>, after: Option<i64>| {
        Some((after? - before?) as f64 / (took + COUNTED).as_secs_f64())
    };
    json!({
        "perSecond": measured.per_second,
        "p50Micros": measured.latency.quantile(0.5),
        "p99Micros": measured.latency.quantile(0.99),
        "sqlTransactionsPerSecond": rate(before.transactions, after.transactions),
        "redisCommandsPerSecond": rate(before.commands, after.commands),
    })
}

/// Asks for so many keys, each once, at a constant rate.
async fn guess(address: SocketAddr, api_key: &str, count: u64) -> Outcome<Fate> {
    let pace = Duration::from_secs_f64(GUESSING as f64 / f64::from(GUESSES));
    let mut tasks = JoinSet::new();
    for number in 0..GUESSING as u64 {
        let own = count / GUESSING as u64 + u64::from(number < count % GUESSING as u64);
        tasks.spawn(one_guesser(address, api_key.to_owned(), own, pace));
    }
    let mut fate = Fate::default();
    while let Some(done) = tasks.join_next().await {
        let one = done.attempt(|| "a guesser was cut off".to_owned())??;
        fate = Fate { answered: fate.answered + one.answered, limited: fate.limited + one.limited };
    }
    Ok(fate)
}

async fn one_guesser(address: SocketAddr, api_key: String, count: u64, pace: Duration) -> Outcome<Fate> {
    let (forger, mut fate) = (Forger::new()?, Fate::default());
    let mut connection = Connection::open_from(GUESSER, address).await?;
    let mut due = Instant::now();
    for _ in 0..count {
        tokio::time::sleep_until(due.into()).await;
        due += pace;
        let body = json!({ "key": forger.key()? }).to_string();
        match connection.exchange(&load::post(address, PATH, &api_key, &body)).await? {
            true => fate.answered += 1,
            false if connection.text().starts_with("HTTP/1.1 429") => fate.limited += 1,
            false => return Err(Failure::new(format!("a guess was answered {}", connection.text()))),
        }
    }
    Ok(fate)
}

/// What the stores count, once they have counted what was before.
async fn asked(bench: &Bench) -> Outcome<Asked> {
    tokio::time::sleep(COUNTED).await;
    let mut asked = Asked::default();
    if let Some(url) = &bench.database_url {
        asked.transactions = Some(transactions(url).await?);
    }
    if let Some(url) = &bench.redis_url {
        asked.commands =
            Some(redis_commands(url).await.attempt(|| "Redis does not tell its counts".to_owned())?);
    }
    Ok(asked)
}

/// Transactions of a database, by PostgreSQL's own count and its own tool.
async fn transactions(url: &str) -> Outcome<i64> {
    let text = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let failed =
        || "psql does not tell what PostgreSQL has counted; Debian's package postgresql has it".to_owned();
    let told =
        Command::new("psql").args(["-X", "-A", "-t", "-c", text, url]).output().await.attempt(failed)?;
    String::from_utf8_lossy(&told.stdout).trim().parse().attempt(failed)
}

/// Commands that the Redis server has done, by its own count.
async fn redis_commands(url: &str) -> std::io::Result<i64> {
    let mut stream = TcpStream::connect(url.trim_start_matches("redis://").trim_end_matches('/')).await?;
    stream.write_all(b"INFO stats\r\nQUIT\r\n").await?;
    let mut told = String::new();
    stream.read_to_string(&mut told).await?;
    let count =
        told.lines().find_map(|line| line.strip_prefix("total_commands_processed:")?.trim().parse().ok());
    count.ok_or_else(|| std::io::Error::other("there is no such count"))
}
