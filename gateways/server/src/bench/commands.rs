//! The write side without HTTP: commands through load, decide and append; ten thousand licenses at once; a rebuild.
//! Each figure stands beside its measure, taken in the same run on the same store.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use commands::store::{Append, IdempotencyKey, NewEvent};
use commands::{Commands, Context, DeviceOrder, GenerateOrder, Idempotency};
use domain::event::Actor;
use domain::guild::Action;
use domain::id::{DiscordId, GuildId, LicenseId, StreamId};
use domain::key::{self, OpenedKey, Prefix};
use domain::license::Authority;
use domain::terms::TermsChange;
use futures::StreamExt as _;
use projections::{Projector, rebuild as models};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scratch, inserts};
use crate::assemble::{self, Assembled};
use crate::cli::Bench;
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::folder::Folder;
use crate::mode::Mode;
use crate::role::Roles;

pub(super) const GUILD: GuildId = GuildId(900_000_000_000_000_001);
const OWNER: DiscordId = DiscordId(900_000_000_000_000_002);
const KIND: &str = "bench";
/// Licenses of one bulk order.
pub(super) const BULK: usize = 10_000;
/// Licenses of the large order: as many as one command takes.
pub(super) const LARGE: usize = 100_000;
/// Bytes of the payload and of the metadata of an activation.
const PAYLOAD: usize = 330;
const METADATA: usize = 250;
/// Commands under way while data is prepared.
const PREPARING: usize = 64;

/// A store of this benchmark's own, with one guild and one type.
pub(super) struct Bed {
    pub(super) assembled: Assembled,
    scratch: Scratch,
}

impl Bed {
    pub(super) async fn new(bench: &Bench) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let config = scratch.config("live", bench)?;
        let folder = Folder::new(scratch.path(), Mode::Live);
        folder.create()?;
        let assembled = assemble::open(&config, &Roles::all(), &folder).await?;
        if assembled.store.head().await.map_err(|error| assemble::away(&error))? != 0 {
            return Err(Failure::refused("the database of --database-url is not empty")
                .help("Make an empty one for the benchmark; it is filled."));
        }
        let bed = Self { assembled, scratch };
        bed.register(GUILD).await?;
        Ok(bed)
    }

    /// Makes a guild with one type.
    pub(super) async fn register(&self, guild: GuildId) -> Outcome<()> {
        let (commands, name) = (self.commands(), "Bench".to_owned());
        let registered = commands.register_guild(&self.context(), guild, name, OWNER, BTreeSet::new()).await;
        registered.attempt(|| "the guild cannot be made".to_owned())?;
        let terms = TermsChange { max_devices: Some(Some(100)), ..TermsChange::default() };
        let action = Action::DefineType { slug: KIND.to_owned(), name: KIND.to_owned(), terms };
        let defined = commands.guild(&self.context(), guild, action).await;
        defined.map(|_| ()).attempt(|| "the type cannot be made".to_owned())
    }

    pub(super) fn commands(&self) -> &Commands {
        &self.assembled.commands
    }

    pub(super) fn context(&self) -> Context {
        let now = self.assembled.clock.now();
        Context { actor: Actor::Operator, ..Context::job("bench", Uuid::new_v4(), now) }
    }

    pub(super) async fn generate(&self, count: usize) -> Outcome<Vec<OpenedKey>> {
        let mut keys = Vec::new();
        while keys.len() < count {
            keys.extend(self.order(GUILD, BULK.min(count - keys.len())).await?);
        }
        Ok(keys)
    }

    /// So many licenses in one command.
    pub(super) async fn order(&self, guild: GuildId, count: usize) -> Outcome<Vec<OpenedKey>> {
        let order = GenerateOrder {
            guild,
            license_type: KIND.to_owned(),
            ids: (0..count).map(|_| LicenseId(Uuid::new_v4())).collect(),
            assign_to: Some(OWNER),
            starts_at: None,
            metadata: None,
            private_metadata: None,
        };
        let made = self.commands().generate(&self.context(), order).await;
        let made = made.attempt(|| "the licenses cannot be made".to_owned())?;
        Ok(made.licenses.iter().map(|license| OpenedKey { license: license.id, key: license.key }).collect())
    }

    /// Waits until the read models show everything that is in the log now.
    pub(super) async fn shown(&self) -> Outcome<()> {
        let head = self.assembled.store.head().await.map_err(|error| assemble::away(&error))?;
        let waited = self.assembled.queries.wait_for(head, Duration::from_secs(60)).await;
        waited.attempt(|| "the read models did not follow".to_owned())
    }

    /// Licenses of five events each: generated, assigned, two devices, first validation.
    pub(super) async fn licenses(&self, count: usize) -> Outcome<Vec<OpenedKey>> {
        let keys = self.generate(count).await?;
        let prepared = futures::stream::iter(&keys).map(|key| self.prepare(*key)).buffer_unordered(PREPARING);
        prepared.collect::<Vec<_>>().await.into_iter().collect::<Outcome<Vec<()>>>()?;
        Ok(keys)
    }

    async fn prepare(&self, key: OpenedKey) -> Outcome<()> {
        self.activate(key, "first").await?;
        self.activate(key, "second").await?;
        let context = self.context();
        let validated = self.commands().record_first_validation(&context, key.license, context.now).await;
        validated.map(|_| ()).attempt(|| "a license cannot be prepared".to_owned())
    }

    /// A key as its owner sees it.
    pub(super) fn text(&self, key: OpenedKey) -> Outcome<String> {
        let text = key::render(&**self.commands().ring(), &Prefix::default(), key.license, key.key);
        text.ok_or_else(|| Failure::new("a key cannot be written"))
    }

    /// Closes the store and leaves the folder.
    pub(super) fn into_scratch(self) -> Scratch {
        self.scratch
    }

    /// Another instance over the same log.
    pub(super) async fn another(&self, bench: &Bench) -> Outcome<Assembled> {
        let folder = Folder::new(self.scratch.path(), Mode::Live);
        assemble::open(&self.scratch.config("live", bench)?, &Roles::all(), &folder).await
    }

    /// `ActivateDevice` as the API sends it: with a sealed name and an idempotency row. The position that it reached.
    pub(super) async fn activate(&self, key: OpenedKey, device: &str) -> Outcome<i64> {
        let context = self.context();
        let row = IdempotencyKey {
            credential: "bench".to_owned(),
            method: "POST".to_owned(),
            route: "/licenses/activate".to_owned(),
            key: context.command_id.to_string(),
        };
        let idempotency =
            Idempotency { key: row, payload_hash: "0".repeat(64), recipe: json!({ "license": key.license }) };
        let context = Context { idempotency: Some(idempotency), ..context };
        let order = DeviceOrder {
            id: Uuid::new_v4(),
            device_id: device.to_owned(),
            name: Some("A machine of the benchmark".to_owned()),
            by: Authority::Client,
            components: Vec::new(),
            network: None,
        };
        self.commands()
            .activate(&context, key, order)
            .await
            .map(|activated| activated.done.position.unwrap_or_default())
            .attempt(|| "a device cannot be activated".to_owned())
    }

    /// Commands a second with `in_flight` of them under way, each on another license than those beside it; once every
    /// license has had its device, another device goes round.
    pub(super) async fn rate(
        &self,
        keys: &[OpenedKey],
        in_flight: usize,
        device: &str,
        span: Duration,
    ) -> Outcome<f64> {
        let begin = Instant::now();
        let rounds = (1..).flat_map(|round| keys.iter().map(move |key| (round, *key)));
        let open = rounds.take_while(|_| begin.elapsed() < span);
        let activate = |(round, key): (u32, OpenedKey)| async move {
            self.activate(key, &format!("{device}-{round}")).await
        };
        let work = futures::stream::iter(open).map(activate).buffer_unordered(in_flight);
        let done = work.collect::<Vec<_>>().await;
        let seconds = begin.elapsed().as_secs_f64();
        let count = done.into_iter().collect::<Outcome<Vec<i64>>>()?.len();
        Ok(count as f64 / seconds)
    }

    /// The measure: rows of the same size put into the log one by one, each in a transaction of its own, without
    /// loading or deciding anything.
    async fn plain_rate(&self, span: Duration) -> Outcome<f64> {
        let (begin, mut count) = (Instant::now(), 0_u32);
        while begin.elapsed() < span {
            let event = NewEvent {
                stream: StreamId::license(LicenseId(Uuid::new_v4())),
                sequence: 1,
                event_type: "license.delivered".to_owned(),
                event_version: "1".to_owned(),
                payload: padding(PAYLOAD),
                metadata: padding(METADATA),
                guild: Some(GUILD),
            };
            let append = Append { events: vec![event], ..Append::default() };
            self.assembled.store.append(append).await.attempt(|| "a row cannot be written".to_owned())?;
            count += 1;
        }
        Ok(f64::from(count) / begin.elapsed().as_secs_f64())
    }

    /// Runs the read models until they show the whole log.
    pub(super) async fn project(&self) -> Outcome<Duration> {
        let begin = Instant::now();
        let queries = &self.assembled.queries;
        queries.prepare().await.attempt(|| "the read models cannot be read".to_owned())?;
        Projector::new(queries)
            .catch_up()
            .await
            .attempt(|| "the read models cannot be brought up to date".to_owned())?;
        Ok(begin.elapsed())
    }
}

/// Commands a second at 1, 8 and 32 in flight.
pub(super) async fn append(bench: &Bench) -> Outcome<Value> {
    let bed = Bed::new(bench).await?;
    let keys = bed.licenses(bench.licenses).await?;
    let span = Duration::from_secs(bench.seconds);
    let mut rates = serde_json::Map::new();
    for in_flight in [1, 8, 32] {
        rates.insert(
            in_flight.to_string(),
            bed.rate(&keys, in_flight, &format!("bench-{in_flight}"), span).await?.into(),
        );
    }
    let plain = bed.plain_rate(span).await?;
    let clients = match &bench.database_url {
        Some(url) => Some(inserts::by_clients(url, 32, bench.seconds, PAYLOAD, METADATA).await?),
        None => None,
    };
    let busiest = rates["32"].as_f64().unwrap_or(f64::NAN);
    Ok(json!({
        "what": "append",
        "engine": bed.assembled.engine.store,
        "licenses": keys.len(),
        "commandsPerSecond": rates,
        "oneByOnePerSecond": plain,
        "ratioToOneByOne": busiest / plain,
        "insertsBy32ClientsPerSecond": clients,
        "ratioToInserts": clients.map(|clients| busiest / clients),
    }))
}

/// Events a second of a rebuild of `license_view`, and of the Merkle log.
pub(super) async fn rebuild(bench: &Bench) -> Outcome<Value> {
    let bed = Bed::new(bench).await?;
    bed.licenses(bench.licenses).await?;
    let projected = bed.project().await?;
    let events = bed.assembled.store.head().await.map_err(|error| assemble::away(&error))? as f64;
    let mut seconds = Vec::new();
    for _ in 0..3 {
        let begin = Instant::now();
        let built = models::rebuild(&bed.assembled.queries, "license_view", &mut |_| {}).await;
        built.attempt(|| "the read model cannot be rebuilt".to_owned())?;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    let seconds = median(seconds);
    let begin = Instant::now();
    bed.assembled.seal_log.catch_up().await.attempt(|| "the log cannot be sealed".to_owned())?;
    let sealed = begin.elapsed();
    Ok(json!({
        "what": "rebuild",
        "engine": bed.assembled.engine.store,
        "events": events,
        "rebuildSeconds": seconds,
        "rebuildEventsPerSecond": events / seconds,
        "projectorEventsPerSecond": events / projected.as_secs_f64(),
        "sealedEventsPerSecond": events / sealed.as_secs_f64(),
    }))
}

/// A JSON object of about so many bytes.
fn padding(bytes: usize) -> String {
    json!({ "padding": "0".repeat(bytes) }).to_string()
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
