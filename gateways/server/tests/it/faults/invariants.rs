//! What must hold after every fault, whatever it was: looked at in the log itself, in the read models, and in what programs
//! were answered. It mends nothing and forgives nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use domain::aggregate::Decide as _;
use domain::event::{DomainEvent, StoredEvent};
use domain::guild::{Guild, RuleId};
use domain::id::{GuildId, LicenseId, Pseudonym, StreamId};
use domain::license::{License, Stage};
use domain::member::Member;
use domain::ports::{Mac, Purpose};
use domain::roles::{Observed, plan};
use domain::time::Timestamp;
use serde_json::Value;

use super::load::{Acknowledged, Seen};
use super::site::Site;
use crate::discord::{until, wait_for_live};

/// How long another process than the one that revoked may go on saying yes.
const REVOKED_WITHIN: Duration = Duration::from_secs(2);
/// The same while the database cannot be reached, where every such answer is marked.
const STALE_IF_ERROR: Duration = Duration::from_secs(300);

/// Whatever was acknowledged before, during and after a fault stands, once, and everything follows from it.
pub(super) async fn hold(site: &mut Site, seen: &Seen) {
    assert!(seen.wrong.is_empty(), "{} wrong answers, first {:#?}", seen.wrong.len(), seen.wrong.first());
    assert!(seen.acknowledged.len() > 20, "{} writes only", seen.acknowledged.len());
    roles_arrive(site, seen).await;
    caught_up(site).await;
    let log = Log::read(site).await;
    log.has_every_acknowledged(&seen.acknowledged);
    log.is_gapless();
    let state = log.fold();
    state.check_slots(&held_removals(site).await);
    check_answers(seen);
    for n in 0..=site.others.len() {
        let report = site.world(n).cli(&["verify"]).await;
        assert_eq!(
            report["ok"], true,
            "live read models differ from a rebuild, or the log from its seal: {report:#}"
        );
        let sealed = report["seal"]["sealed"].as_u64().unwrap_or_default();
        assert!(sealed >= log.0.len() as u64, "{} events, and a seal over {sealed}: {report:#}", log.0.len());
    }
}

/// Discord's last word about every member has become a license: what no event told, a comparison tells. (Whose removal the
/// brake holds back keeps his.)
async fn roles_arrive(site: &mut Site, seen: &Seen) {
    site.live.connected().await;
    site.live.reconcile().await;
    for ((guild, member), has) in &seen.has_role {
        if *has {
            wait_for_live(&mut site.live.world, guild, member, 1).await;
        }
    }
}

/// The read models show all that the log has, in every process, and all of it is sealed.
async fn caught_up(site: &Site) {
    for world in site.worlds() {
        until("the read models and the seal have caught up", || async {
            let health = world.ask("GET", "/health", &[], Value::Null).await.body;
            let components = health["components"].as_array()?.clone();
            let is_at_the_end = |name: &str| {
                let mut named = components.iter().filter(|one| one["name"] == name);
                named.any(|one| one["lagEvents"] == 0)
            };
            (is_at_the_end("readModels") && is_at_the_end("auditLog")).then_some(())
        })
        .await;
    }
}

/// No yes came later after a revocation than is published, by the clock of those who asked.
fn check_answers(seen: &Seen) {
    for (license, (revoked, by)) in &seen.revoked {
        for valid in seen.valid.get(license).into_iter().flatten() {
            let bound = match (valid.degraded, valid.process == *by) {
                (true, _) => STALE_IF_ERROR,
                (false, true) => Duration::ZERO,
                (false, false) => REVOKED_WITHIN,
            };
            let late = valid.asked.saturating_duration_since(*revoked);
            assert!(
                late <= bound,
                "{license} was valid {late:?} after process {by} had revoked it: {valid:?}"
            );
        }
    }
}

/// Removals that the brake holds back: guild, rule, pseudonym.
async fn held_removals(site: &Site) -> BTreeSet<(String, String, String)> {
    use sqlx::{ConnectOptions as _, Connection as _};
    let text = "SELECT guild_id, rule_id, pseudonym FROM held_removal";
    let rows: Vec<(String, String, String)> = match site.database_url() {
        Some(url) => {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            sqlx::query_as(text).fetch_all(&mut connection).await.unwrap()
        }
        None => {
            let file = sqlx::sqlite::SqliteConnectOptions::new().filename(site.database_file());
            sqlx::query_as(text).fetch_all(&mut file.read_only(true).connect().await.unwrap()).await.unwrap()
        }
    };
    rows.into_iter().collect()
}

/// The whole log.
struct Log(Vec<StoredEvent>);

type LogRow = (i64, String, String, i64, String, String, String, String, Option<String>, i64);

impl Log {
    async fn read(site: &Site) -> Self {
        use sqlx::{ConnectOptions as _, Connection as _};
        let text = "SELECT position, aggregate_type, aggregate_id, sequence, event_type, event_version, \
                    CAST(payload AS TEXT), CAST(metadata AS TEXT), guild_id, recorded_at FROM events ORDER BY position";
        let rows: Vec<LogRow> = match site.database_url() {
            Some(url) => {
                let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
                sqlx::query_as(text).fetch_all(&mut connection).await.unwrap()
            }
            None => {
                let file = sqlx::sqlite::SqliteConnectOptions::new().filename(site.database_file());
                let mut connection = file.read_only(true).connect().await.unwrap();
                sqlx::query_as(text).fetch_all(&mut connection).await.unwrap()
            }
        };
        let stored = |row: LogRow| StoredEvent {
            position: row.0,
            stream: StreamId { kind: row.1.parse().unwrap(), id: row.2.into() },
            sequence: row.3 as u64,
            event_type: row.4,
            event_version: row.5,
            payload: row.6,
            metadata: row.7,
            guild: row.8.map(|id| id.parse().unwrap()),
            recorded_at: Timestamp(row.9),
        };
        Self(rows.into_iter().map(stored).collect())
    }

    /// Positions are 1 to N, sequences 1 to n, times never fall.
    fn is_gapless(&self) {
        let mut next: HashMap<&StreamId, u64> = HashMap::new();
        let mut last = Timestamp(0);
        for (event, expected) in self.0.iter().zip(1..) {
            assert_eq!(event.position, expected, "a gap in the log");
            let sequence = next.entry(&event.stream).or_insert(1);
            assert_eq!(event.sequence, *sequence, "a gap in {} at {expected}", event.stream);
            *sequence += 1;
            assert!(event.recorded_at >= last, "time falls at {expected}");
            last = event.recorded_at;
        }
    }

    /// Every acknowledged write has its event where the answer said, and none has it twice.
    fn has_every_acknowledged(&self, acknowledged: &[Acknowledged]) {
        let mut counted: HashMap<(&str, &str), usize> = HashMap::new();
        for one in acknowledged {
            let found = self.0.get(one.position as usize - 1);
            let stands = found.is_some_and(|event| *event.stream.id == *one.license);
            assert!(stands, "{one:?} was acknowledged, and there is {found:?}");
            *counted.entry((&one.license, one.event)).or_default() += 1;
        }
        for ((license, event), count) in counted {
            let found = self.0.iter().filter(|e| *e.stream.id == *license && e.event_type == event).count();
            assert_eq!(found, count, "{event} of {license}");
        }
    }

    /// Every aggregate; on the way there no license has more devices than it may, at no point of its history.
    fn fold(&self) -> State {
        let mut state = State::default();
        for stored in &self.0 {
            match stored.read().unwrap().event {
                DomainEvent::License(event) => {
                    let license = state.licenses.entry(stored.stream.id.parse().unwrap()).or_default();
                    license.evolve(&event);
                    check_devices(license, stored);
                }
                DomainEvent::Member(event) => {
                    state.members.entry(stored.stream.id.to_string()).or_default().evolve(&event);
                }
                DomainEvent::Guild(event) => {
                    state.guilds.entry(stored.stream.id.parse().unwrap()).or_default().evolve(&event);
                }
                DomainEvent::User(_)
                | DomainEvent::Session(_)
                | DomainEvent::Platform(_)
                | DomainEvent::Security(_) => {}
            }
            state.now = stored.recorded_at;
        }
        state
    }
}

/// Active devices and those with a lease that has not ended, each once, are no more than the license has places.
fn check_devices(license: &License, at: &StoredEvent) {
    let active = license.devices.iter().map(|device| device.device_id.as_str());
    let leased = license.ledger.leases.iter().filter(|lease| lease.until > at.recorded_at);
    let taken: BTreeSet<&str> = active.chain(leased.map(|lease| lease.device_id.as_str())).collect();
    if let Some(most) = license.terms.max_devices {
        assert!(taken.len() <= most as usize, "{} has {taken:?} at {}", at.stream, at.position);
    }
}

/// Every aggregate, as the log gives it.
#[derive(Default)]
struct State {
    licenses: BTreeMap<LicenseId, License>,
    members: BTreeMap<String, Member>,
    guilds: BTreeMap<GuildId, Guild>,
    now: Timestamp,
}

impl State {
    /// Sources of slots are what roles and rules give, and each open slot has the one license that lives.
    fn check_slots(&self, held: &BTreeSet<(String, String, String)>) {
        for (stream, member) in &self.members {
            let Some((guild_id, person)) = member.guild.zip(member.person.as_ref()) else { continue };
            let Some(guild) = self.guilds.get(&guild_id) else { continue };
            let withheld = self.withheld(held, guild, &guild_id, &person.id);
            let observed = Observed { present: member.present, roles: &member.roles, withheld: &withheld };
            let plan = plan(&NoRing, guild, member, &person.id, &self.licenses, observed, self.now);
            assert!(plan.changes.is_empty(), "the slots of {stream} should change: {:?}", plan.changes);
            for (slug, slot) in member.slots.iter().filter(|(_, slot)| slot.open && !slot.blocked) {
                let lives = self
                    .licenses
                    .get(&slot.license_id)
                    .is_some_and(|license| !matches!(license.stage, Stage::Absent | Stage::Revoked));
                assert!(lives, "the open slot {slug} of {stream} has no live license");
            }
            self.check_one_license_each(stream, guild_id, &person.id);
        }
    }

    fn check_one_license_each(&self, stream: &str, guild: GuildId, person: &Pseudonym) {
        let mut live: BTreeMap<&str, u32> = BTreeMap::new();
        for license in self.licenses.values().filter(|license| license.guild == Some(guild)) {
            let is_his = license.slot.as_ref().is_some_and(|slot| slot.user == *person);
            if is_his && !matches!(license.stage, Stage::Absent | Stage::Revoked) {
                *live.entry(&license.license_type).or_default() += 1;
            }
        }
        assert!(live.values().all(|count| *count == 1), "{stream} has {live:?} live licenses in his slots");
    }

    fn withheld(
        &self,
        held: &BTreeSet<(String, String, String)>,
        guild: &Guild,
        id: &GuildId,
        person: &Pseudonym,
    ) -> BTreeSet<RuleId> {
        let is_held =
            |rule: &&RuleId| held.contains(&(id.to_string(), rule.to_string(), person.as_str().to_owned()));
        guild.rules.keys().filter(is_held).copied().collect()
    }
}

/// Ids of licenses that are to be made are not looked at here.
struct NoRing;

impl Mac for NoRing {
    fn mac(&self, _: Purpose, _: &[&[u8]]) -> [u8; 32] {
        [0; 32]
    }

    fn license_key_mac(&self, _: u8, _: &[&[u8]]) -> Option<[u8; 32]> {
        None
    }

    fn active_license_secret(&self) -> u8 {
        0
    }

    fn cache_mac(&self, _: &[&[u8]]) -> (u32, [u8; 32]) {
        unreachable!("nothing is shared here")
    }

    fn cache_mac_under(&self, _: u32, _: &[&[u8]]) -> Option<[u8; 32]> {
        None
    }
}
