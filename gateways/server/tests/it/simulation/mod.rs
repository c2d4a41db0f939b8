//! A simulation of several processes over one log, with a clock of its own and a schedule that a seed decides: commands,
//! folding and answers meet lost, late and doubled wakes, reads that end after what they read was changed, crashes at the
//! worst places, and a database that is away for a while. After every answer: it is not older than what the process
//! knows, it says exactly what the log said at its version, and it is marked where it could not be confirmed.
//!
//! `DCA_SIM_SEED=n` plays one seed again; `DCA_SIM_SEEDS=n` plays so many.

mod node;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use commands::ring::{KeyRing, os_random};
use commands::store::{AppendLimits, EngineConfig, Store, StoreConfig};
use commands::{CommandError, Commands, Context, DeviceOrder, GenerateOrder};
use domain::aggregate::Decide as _;
use domain::event::{Actor, DomainEvent};
use domain::guild::Action;
use domain::id::{DiscordId, GuildId, LicenseId, StreamId};
use domain::key::{KeyVersion, OpenedKey, Prefix, render};
use domain::license::{Authority, Hold, License, RevokeCategory};
use domain::terms::TermsChange;
use domain::time::Timestamp;
use domain::verdict::Code;
use projections::{Answer, Ask, Config, Queries, QueryError};
use tokio::time::Instant;
use uuid::Uuid;

use node::{Node, Shared};

const GUILD: GuildId = GuildId(100_000_000_000_000_001);
const OWNERS: [DiscordId; 3] = [DiscordId(21), DiscordId(22), DiscordId(23)];
const PROCESSES: usize = 3;
const LICENSES_MAX: usize = 8;
const DEVICES_MAX: usize = 2;
/// Doings of a schedule.
const STEPS: usize = 160;
/// Seeds of a run, unless another number is asked for.
const SEEDS: u64 = 200;

fn config() -> Config {
    Config {
        batch: 7,
        rebuild_page: 20,
        license_entries: 1_000,
        contact_bound: Duration::from_secs(2),
        stale_if_error: Duration::from_secs(90),
        ttl: Duration::from_secs(30),
        ..Config::default()
    }
}

/// A small generator of numbers.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        // Neighbouring seeds are to be far apart from the first throw on.
        Self((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// Tells how to play a seed again if it ends with a panic.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the simulation failed; play it again with DCA_SIM_SEED={}", self.0);
        }
    }
}

#[test]
fn no_schedule_of_faults_makes_a_process_say_what_it_knows_to_be_otherwise() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("DCA_SIM_SEED").unwrap_or_else(|| Uuid::new_v4().as_u64_pair().1 >> 16);
    let count = match number("DCA_SIM_SEED") {
        Some(_) => 1,
        None => number("DCA_SIM_SEEDS").unwrap_or(SEEDS),
    };
    println!("seeds {first} to {}", first + count - 1);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        // A clock that stands still runs on by itself whenever nothing else does, but for as long as this waits.
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let held = tokio::task::spawn_blocking(move || ended.recv());
        let ticking = tokio::spawn(tick());
        let template = Template::new().await;
        for seed in first..first + count {
            let _told = Told(seed);
            Simulation::new(&template, seed).await.run().await;
        }
        ticking.abort();
        drop(end);
        let _ = held.await;
    });
}

/// Time goes on while something waits for it, such as the second try of a command that lost a race.
async fn tick() {
    let moment = Duration::from_millis(1);
    loop {
        let (_open, never) = std::sync::mpsc::channel::<()>();
        let _ = tokio::task::spawn_blocking(move || never.recv_timeout(moment)).await;
        tokio::time::advance(moment).await;
    }
}

/// A log with a guild in it, of which each seed gets a copy.
struct Template {
    folder: tempfile::TempDir,
    ring: Arc<KeyRing>,
}

impl Template {
    async fn new() -> Self {
        // In memory, where this machine has such a place: what reaches a disk is tested elsewhere.
        let memory = std::path::Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let ring = Arc::new(KeyRing::generate(Timestamp(0), &mut os_random).unwrap());
        let template = Self { folder, ring };
        let shared = template.open("template.db").await;
        let node = Node::start(&shared, &config()).await;
        let context = context(Timestamp(1_800_000_000_000));
        let commands = &node.commands;
        commands
            .register_guild(&context, GUILD, "Simulated".to_owned(), OWNERS[0], Default::default())
            .await
            .unwrap();
        let two = TermsChange { max_devices: Some(Some(DEVICES_MAX as u32)), ..TermsChange::default() };
        for (slug, terms) in [("free", TermsChange::default()), ("two", two)] {
            let action = Action::DefineType { slug: slug.to_owned(), name: slug.to_owned(), terms };
            commands.guild(&context, GUILD, action).await.unwrap();
        }
        // Before the store, whose last connection writes everything into the one file.
        node.end().await;
        shared.store.close().await;
        template
    }

    async fn open(&self, name: &str) -> Shared {
        let path = self.folder.path().join(name);
        let offset_ms = Arc::new(AtomicI64::new(0));
        let store = Store::open(StoreConfig {
            engine: EngineConfig::Sqlite { path: path.clone(), readers: 2 },
            epoch: "00112233445566aa".to_owned(),
            clock_offset_ms: offset_ms.clone(),
            limits: AppendLimits::default(),
        })
        .await
        .unwrap();
        let epoch = store.epoch().await.unwrap();
        Shared { store, ring: self.ring.clone(), path, epoch, offset_ms }
    }
}

/// Whether an owner is banned after so many changes.
fn is_banned(changes: u64) -> bool {
    changes % 2 == 1
}

fn context(now: Timestamp) -> Context {
    Context { actor: Actor::Operator, tenant: Some(GUILD), ..Context::job("simulation", Uuid::new_v4(), now) }
}

/// One seed at work.
struct Simulation {
    dice: Dice,
    shared: Shared,
    nodes: Vec<Node>,
    /// How many events each license has.
    versions: BTreeMap<LicenseId, u64>,
    owners: BTreeMap<LicenseId, DiscordId>,
    /// How often each owner was banned or unbanned: banned after an odd number.
    bans: BTreeMap<DiscordId, u64>,
    begun: Instant,
}

impl Simulation {
    async fn new(template: &Template, seed: u64) -> Self {
        let file = |name: &str| template.folder.path().join(name);
        let name = format!("{seed}.db");
        std::fs::copy(file("template.db"), file(&name)).unwrap();
        let shared = template.open(&name).await;
        let mut nodes = Vec::new();
        for _ in 0..PROCESSES {
            nodes.push(Node::start(&shared, &config()).await);
        }
        let (versions, owners, bans) = Default::default();
        Self { dice: Dice::new(seed), shared, nodes, versions, owners, bans, begun: Instant::now() }
    }

    async fn run(mut self) {
        for _ in 0..STEPS {
            let n = self.dice.below(PROCESSES);
            match self.dice.below(24) {
                0..=5 => self.command(n).await,
                6..=11 => self.ask_any(n).await,
                12..=13 => self.look(n).await,
                14..=15 => self.fold(n).await,
                16 => self.pass().await,
                17 => self.restart(n).await,
                18 => self.die_between_append_and_floor(n).await,
                19 => self.late_fill(n).await,
                20 => self.cut_or_mend(n).await,
                21 => self.doubled_wake(n).await,
                22 => self.race(n).await,
                _ => self.rebuild(n).await,
            }
        }
        self.settle().await;
    }

    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_100_000 + self.begun.elapsed().as_millis() as i64)
    }

    fn any_license(&mut self) -> Option<LicenseId> {
        let nth = self.dice.below(self.versions.len().max(1));
        self.versions.keys().nth(nth).copied()
    }

    /// A command at a process, which knows what it did.
    async fn command(&mut self, n: usize) {
        if self.nodes[n].is_cut_off() {
            return;
        }
        match self.any_license() {
            Some(_) if self.dice.below(9) == 0 => self.ban_or_unban(n).await,
            Some(id) if self.versions.len() == LICENSES_MAX || self.dice.below(4) > 0 => {
                let change = self.dice.below(20);
                if let Some(state) = changed(&self.nodes[n].commands, id, change, self.now()).await {
                    self.committed(n, &state);
                }
            }
            _ => self.generate(n).await,
        }
    }

    async fn generate(&mut self, n: usize) {
        let owner = OWNERS[self.dice.below(OWNERS.len())];
        let id = LicenseId(Uuid::from_u64_pair(self.versions.len() as u64, self.dice.below(1 << 30) as u64));
        let order = GenerateOrder {
            guild: GUILD,
            license_type: ["free", "two"][self.dice.below(2)].to_owned(),
            ids: vec![id],
            assign_to: Some(owner),
            starts_at: None,
            metadata: None,
            private_metadata: None,
        };
        let made = self.nodes[n].commands.generate(&context(self.now()), order).await.unwrap();
        self.owners.insert(id, owner);
        self.committed(n, &made.licenses[0]);
    }

    async fn ban_or_unban(&mut self, n: usize) {
        let owner = OWNERS[self.dice.below(OWNERS.len())];
        let (context, commands) = (context(self.now()), &self.nodes[n].commands);
        let changes = self.bans.get(&owner).copied().unwrap_or_default();
        let done = match is_banned(changes) {
            true => commands.unban(&context, owner).await,
            false => commands.ban(&context, owner).await,
        };
        done.unwrap();
        self.bans.insert(owner, changes + 1);
        self.nodes[n].bans.insert(owner, changes + 1);
    }

    fn committed(&mut self, n: usize, state: &License) {
        self.versions.insert(state.id, state.version);
        self.nodes[n].known.insert(state.id, state.version);
    }

    async fn ask_any(&mut self, n: usize) {
        if let Some(id) = self.any_license() {
            self.ask(n, id).await;
        }
    }

    /// Asks a process about a key, and judges the answer by what it knows.
    async fn ask(&mut self, n: usize, id: LicenseId) {
        let (key, now) = (self.key(id), self.now());
        let node = &mut self.nodes[n];
        let silence = node.queries.silence();
        let (limits, cut_off) = (config(), node.is_cut_off());
        let told = patient(cut_off, validated(&node.queries, &key, now)).await;
        // For a moment after a failure it does not try again, unless it hears of the log.
        node.is_in_doubt |= cut_off;
        match told {
            Ok(answer) => {
                self.judge(n, id, &answer).await;
                if !cut_off && !answer.degraded && silence > limits.contact_bound {
                    // It cannot know what others did meanwhile, so it has to ask.
                    let version = answer.license.as_ref().map_or(0, |facts| facts.license.version);
                    assert_eq!(version, self.versions[&id], "process {n} heard of nothing for {silence:?}");
                }
                if cut_off {
                    assert!(silence <= limits.stale_if_error, "answered after {silence:?} without the log");
                    let is_unsure = silence > limits.contact_bound;
                    assert!(answer.degraded || !is_unsure, "not marked after {silence:?} without the log");
                }
            }
            Err(QueryError::Unavailable(why)) => {
                assert!(node.is_in_doubt, "the database is there: {why}");
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn judge(&self, n: usize, id: LicenseId, answer: &Answer) {
        let node = &self.nodes[n];
        let known = node.known.get(&id).copied().unwrap_or_default();
        assert_ne!(answer.code, Code::NotFound, "{id} exists");
        let facts = answer.license.as_ref().expect("a license is shown");
        let version = facts.license.version;
        assert!(version >= known, "process {n} knows {known} events of {id} and answers by {version}");
        let then = node.commands.load_license_at(id, version).await.unwrap();
        assert_eq!(facts.license, then, "what the log said at version {version}");
        let owner = &self.owners[&id];
        let known = node.bans.get(owner).copied().unwrap_or_default();
        let changes = self.bans.get(owner).copied().unwrap_or_default();
        // Who knows of a ban, and not that it was lifted and spoken again, may have read what stood in between. A read model
        // may stand between the two events of an order: made, and not yet given to its owner.
        let is_banned = facts.license.owner.is_some() && known == changes && is_banned(changes);
        let is_overlooked = answer.code.is_valid() && is_banned;
        assert!(!is_overlooked, "its owner is known to be banned, after {changes} changes");
    }

    fn key(&self, id: LicenseId) -> String {
        let version = KeyVersion { secret_id: self.shared_secret(), version: 0 };
        render(&*self.shared.ring, &Prefix::default(), id, version).unwrap()
    }

    fn shared_secret(&self) -> u8 {
        domain::ports::Mac::active_license_secret(&*self.shared.ring)
    }

    /// A process hears that there is something to see, or finds it out by itself.
    async fn look(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let looked = patient(node.is_cut_off(), node.queries.look()).await;
        match looked {
            Ok(()) => {
                assert!(!node.is_cut_off());
                node.is_in_doubt = false;
                node.known.clone_from(&self.versions);
                node.bans.clone_from(&self.bans);
            }
            Err(error) => {
                assert!(node.is_cut_off(), "{error}");
                node.is_in_doubt = true;
            }
        }
    }

    /// The read models move on, now and then cut off in the middle.
    async fn fold(&mut self, n: usize) {
        let cut = (self.dice.below(3) == 0).then(|| self.dice.below(60));
        let node = &mut self.nodes[n];
        let is_cut_off = node.is_cut_off();
        match cut {
            Some(yields) => tokio::select! {
                biased;
                _ = node.projector.step() => {}
                () = turns(yields) => {}
            },
            None => {
                let folded = patient(is_cut_off, node.projector.step()).await;
                assert!(folded.is_ok() || is_cut_off, "{folded:?}");
            }
        }
    }

    async fn pass(&mut self) {
        let span = Duration::from_millis([100, 1_500, 5_000, 35_000, 70_000][self.dice.below(5)]);
        self.shared.offset_ms.fetch_add(span.as_millis() as i64, Ordering::SeqCst);
        tokio::time::advance(span).await;
    }

    /// A process ends, and another begins in its place: it knows whatever the log has.
    async fn restart(&mut self, n: usize) {
        self.nodes[n] = Node::start(&self.shared, &config()).await;
        self.nodes[n].known.clone_from(&self.versions);
        self.nodes[n].bans.clone_from(&self.bans);
    }

    async fn die_between_append_and_floor(&mut self, n: usize) {
        let Some(id) = self.any_license().filter(|_| !self.nodes[n].is_cut_off()) else { return };
        self.nodes[n].is_dying.store(true, Ordering::SeqCst);
        let (change, now) = (self.dice.below(20), self.now());
        if let Some(state) = changed(&self.nodes[n].commands, id, change, now).await {
            self.versions.insert(id, state.version);
        }
        self.restart(n).await;
        self.ask(n, id).await;
    }

    /// A read of a license ends after the license was changed by the same process, or was heard to have been.
    async fn late_fill(&mut self, n: usize) {
        let Some(id) = self.any_license().filter(|_| !self.nodes[n].is_cut_off()) else { return };
        // What the process did just now, its read model does not show: it will read the events.
        let now = self.now();
        if let Some(state) = changed(&self.nodes[n].commands, id, self.dice.below(20), now).await {
            self.committed(n, &state);
        }
        let is_in_doubt = self.nodes[n].is_in_doubt;
        let (queries, gate, key) = (self.nodes[n].queries.clone(), self.nodes[n].gate.clone(), self.key(id));
        gate.set(false);
        let filling = tokio::spawn(async move { validated(&queries, &key, now).await });
        while !gate.holds_somebody() && !filling.is_finished() {
            tokio::task::yield_now().await;
        }
        let by = self.dice.below(PROCESSES);
        if !self.nodes[by].is_cut_off()
            && let Some(state) = changed(&self.nodes[by].commands, id, self.dice.below(20), now).await
        {
            self.committed(by, &state);
        }
        if self.dice.below(2) == 0 {
            self.look(n).await;
        }
        gate.set(true);
        if let Err(error) = filling.await.unwrap() {
            assert!(is_in_doubt, "{error}");
        }
        self.ask(n, id).await;
    }

    async fn cut_or_mend(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        match node.is_cut_off() {
            true => node.mend(),
            false => node.cut_off().await,
        }
    }

    /// A wake that comes twice, and one that comes after a later one.
    async fn doubled_wake(&mut self, n: usize) {
        let at = self.nodes[n].queries.head();
        let floors = self.nodes[n].queries.floors().clone();
        if let Some(id) = self.any_license() {
            domain::ports::Floor::raise(&*floors, &StreamId::license(id), (at - 5).max(0));
        }
        floors.bus().notify((at - 3).max(0));
        self.look(n).await;
        self.look(n).await;
    }

    /// Two processes change one license at the same moment.
    async fn race(&mut self, n: usize) {
        let other = (n + 1) % PROCESSES;
        let Some(id) = self.any_license().filter(|_| !self.nodes[n].is_cut_off()) else { return };
        let (one, two, now) = (self.dice.below(20), self.dice.below(20), self.now());
        let (first, second) = tokio::join!(
            changed(&self.nodes[n].commands, id, one, now),
            changed(&self.nodes[other].commands, id, two, now)
        );
        for (by, state) in [(n, first), (other, second)] {
            let Some(state) = state else { continue };
            self.nodes[by].known.insert(id, state.version);
            let newest = self.versions.entry(id).or_default();
            *newest = (*newest).max(state.version);
        }
    }

    async fn rebuild(&mut self, n: usize) {
        if self.nodes[n].is_cut_off() {
            return;
        }
        let names = projections::rebuild::names();
        let name = names[self.dice.below(names.len())];
        projections::rebuild::rebuild(&self.nodes[n].queries, name, &mut |_| {}).await.unwrap();
    }

    /// The faults end: everything is as the log has it, in every process.
    async fn settle(mut self) {
        self.nodes.iter_mut().for_each(Node::mend);
        for n in 0..PROCESSES {
            self.look(n).await;
            self.nodes[n].projector.catch_up().await.unwrap();
            for id in self.versions.keys().copied().collect::<Vec<_>>() {
                self.ask(n, id).await;
            }
        }
        let report = projections::rebuild::verify(&self.nodes[0].queries).await.unwrap();
        assert!(report.is_clean(), "{report:#?}");
        let log = self.shared.store.check().await.unwrap();
        assert_eq!(log.fault, None);
        for (id, version) in &self.versions {
            self.check_history(*id, *version).await;
        }
        for node in self.nodes {
            node.end().await;
        }
        self.shared.store.close().await;
        std::fs::remove_file(&self.shared.path).unwrap();
    }

    /// Every acknowledged event is there, and at no point there were more devices than places.
    async fn check_history(&self, id: LicenseId, version: u64) {
        let mut license = License::default();
        for event in self.shared.store.stream(&StreamId::license(id)).await.unwrap() {
            let DomainEvent::License(event) = event.read().unwrap().event else { panic!("of a license") };
            license.evolve(&event);
            let most = license.terms.max_devices.map_or(usize::MAX, |most| most as usize);
            assert!(license.devices.len() <= most, "{id} has {} devices", license.devices.len());
        }
        assert_eq!(license.version, version, "{id}");
    }
}

async fn validated(queries: &Queries, key: &str, now: Timestamp) -> Result<Answer, QueryError> {
    let ask = Ask { guild: GUILD, key, device: None, license_type: None, entitlements: &[], now };
    queries.validate(ask).await
}

/// A change of a license; its state afterwards, if it was changed.
async fn changed(commands: &Commands, id: LicenseId, change: usize, now: Timestamp) -> Option<License> {
    let context = context(now);
    let key = OpenedKey { license: id, key: commands.load_license(id).await.unwrap().key };
    let device = format!("d{}", change % 4);
    let order = DeviceOrder {
        id: Uuid::new_v4(),
        device_id: device.clone(),
        name: None,
        by: Authority::Client,
        components: Vec::new(),
        network: None,
    };
    let done = match change {
        0..=7 => {
            commands.activate(&context, key, order).await.map(|made| (made.done.state, made.done.position))
        }
        8..=10 => {
            let by = Authority::Staff;
            commands.deactivate(&context, id, &device, by).await.map(|done| (done.state, done.position))
        }
        11..=14 => commands.suspend(&context, id, Hold::Admin).await.map(|done| (done.state, done.position)),
        15..=18 => commands.resume(&context, id, Hold::Admin).await.map(|done| (done.state, done.position)),
        _ => {
            let category = RevokeCategory::Manual;
            commands.revoke(&context, id, category).await.map(|done| (done.state, done.position))
        }
    };
    match done {
        Ok((state, Some(_))) => Some(state),
        Ok((_, None)) | Err(CommandError::Refused(_) | CommandError::Conflict(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Lets other tasks have their turn so many times.
async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// Waits for `work`; where the database cannot be reached, time goes on until it gives up.
async fn patient<T>(is_cut_off: bool, work: impl Future<Output = T>) -> T {
    if !is_cut_off {
        return work.await;
    }
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = turns(20) => {}
        }
        tokio::time::advance(Duration::from_millis(50)).await;
    }
}
