//! The command layer over an event store: what commands do to several aggregates at once, and what they leave
//! behind when they are refused or repeated.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use commands::ring::{KeyRing, os_random};
use commands::seal::Vault;
use commands::store::{AppendLimits, EngineConfig, IdempotencyKey, Store, StoreConfig};
use commands::{
    CommandError, Commands, Context, DeviceOrder, Fate, GenerateOrder, Idempotency, ObserveMember, Parts,
    REVOKE_MAX, Reach, RevokeOrder, Rights, TermsOrder,
};
use domain::event::Actor;
use domain::guild::{Action, RuleId, RuleSource};
use domain::id::{DiscordId, GuildId, LicenseId, Pseudonym, RoleId, StreamId};
use domain::key::OpenedKey;
use domain::license::{Authority, Hold, License, RenewTo, RevokeCategory, Stage};
use domain::platform::PlatformRole;
use domain::ports::Floor;
use domain::terms::{OnRoleLoss, TermsChange};
use domain::time::{Span, Timestamp};
use uuid::Uuid;

pub(crate) const GUILD: GuildId = GuildId(100_000_000_000_000_001);
const OWNER: DiscordId = DiscordId(200_000_000_000_000_001);
pub(crate) const ADA: DiscordId = DiscordId(200_000_000_000_000_002);
const PRO: RoleId = RoleId(300_000_000_000_000_001);
const TEAM: RoleId = RoleId(300_000_000_000_000_002);
const VIP: RoleId = RoleId(300_000_000_000_000_003);

#[derive(Default)]
struct LastPosition(AtomicI64);

impl Floor for LastPosition {
    fn raise(&self, _: &StreamId, position: i64) {
        self.0.fetch_max(position, Ordering::SeqCst);
    }
    fn raise_aliases(&self, _: GuildId, position: i64) {
        self.0.fetch_max(position, Ordering::SeqCst);
    }
    fn advance(&self, position: i64) {
        self.0.fetch_max(position, Ordering::SeqCst);
    }
}

pub(crate) struct World {
    pub(crate) commands: Commands,
    floor: Arc<LastPosition>,
    now: AtomicU64,
    _folder: tempfile::TempDir,
}

impl World {
    /// A store in a file with a guild that maps `Pro` and `VIP` to `pro` (revoke) and `Team` to `team` (suspend).
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let store = Store::open(StoreConfig {
            engine: EngineConfig::Sqlite { path, readers: 2 },
            epoch: "00112233445566aa".to_owned(),
            clock_offset_ms: Arc::new(AtomicI64::new(0)),
            limits: AppendLimits::default(),
        })
        .await
        .unwrap();
        let ring = Arc::new(KeyRing::generate(Timestamp(0), &mut os_random).unwrap());
        let clock = Arc::new(|| Timestamp(0));
        let vault = Arc::new(Vault::new(Arc::new(store.clone()), Arc::clone(&ring), clock, 1000));
        let floor = Arc::new(LastPosition::default());
        let parts = Parts { store, ring, vault, floor: floor.clone(), simulated: true };
        let now = AtomicU64::new(1_800_000_000_000);
        let world = Self { commands: Commands::new(parts), floor, now, _folder: folder };
        world.define().await;
        world
    }

    async fn define(&self) {
        let commands = &self.commands;
        let watched = BTreeSet::new();
        commands
            .register_guild(&self.context(), GUILD, "Northwind".to_owned(), OWNER, watched)
            .await
            .unwrap();
        let pro = TermsChange { max_devices: Some(Some(2)), ..TermsChange::default() };
        let team = TermsChange {
            max_devices: Some(Some(5)),
            duration: Some(Some(Span::days(30))),
            on_role_loss: Some(OnRoleLoss::Suspend),
            role_loss_grace: Some(Some(Span::hours(1))),
            ..TermsChange::default()
        };
        for (slug, terms) in [("pro", pro), ("team", team)] {
            let action = Action::DefineType { slug: slug.to_owned(), name: slug.to_owned(), terms };
            commands.guild(&self.context(), GUILD, action).await.unwrap();
        }
        for (role_id, slug) in [(PRO, "pro"), (VIP, "pro"), (TEAM, "team")] {
            let source = RuleSource::Role { role_id };
            let action =
                Action::SetRule { id: RuleId(Uuid::new_v4()), source, license_type: slug.to_owned() };
            commands.guild(&self.context(), GUILD, action).await.unwrap();
        }
    }

    /// A context one second after the one before.
    pub(crate) fn context(&self) -> Context {
        let now = self.now.fetch_add(1_000, Ordering::SeqCst) as i64;
        Context {
            actor: Actor::Operator,
            rights: Rights::Everything,
            tenant: Some(GUILD),
            command_id: Uuid::new_v4(),
            correlation_id: "test".to_owned(),
            causation_id: None,
            reason: None,
            trace: None,
            now: Timestamp(now),
            expected_version: None,
            idempotency: None,
        }
    }

    fn advance(&self, span: Span) {
        self.now.fetch_add(span.ms() as u64, Ordering::SeqCst);
    }

    async fn sees(&self, roles: &[RoleId]) -> Vec<License> {
        let context = self.context();
        let order = ObserveMember {
            guild: GUILD,
            user: ADA,
            present: true,
            roles: roles.iter().copied().collect(),
            guild_version: None,
            observed_at: context.now,
            withheld: BTreeSet::new(),
        };
        self.commands.observe(&context, order).await.unwrap().licenses
    }

    pub(crate) async fn generate(&self, license_type: &str, count: usize) -> Vec<License> {
        self.commands.generate(&self.context(), order(license_type, count)).await.unwrap().licenses
    }
}

/// New licenses without an owner.
pub(crate) fn order(license_type: &str, count: usize) -> GenerateOrder {
    GenerateOrder {
        guild: GUILD,
        license_type: license_type.to_owned(),
        ids: (0..count).map(|_| LicenseId(Uuid::new_v4())).collect(),
        assign_to: None,
        starts_at: None,
        metadata: None,
        private_metadata: None,
    }
}

pub(crate) fn opened(license: &License) -> OpenedKey {
    OpenedKey { license: license.id, key: license.key }
}

pub(crate) fn device(name: &str) -> DeviceOrder {
    DeviceOrder {
        id: Uuid::new_v4(),
        device_id: name.to_owned(),
        name: None,
        by: Authority::Client,
        components: Vec::new(),
        network: None,
    }
}

fn code(error: &CommandError) -> &str {
    match error {
        CommandError::Refused(refused) => &refused.code,
        other => panic!("not a refusal: {other}"),
    }
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn commands_can_be_awaited_by_any_task() {
    let world = World::new().await;
    let context = world.context();
    let id = LicenseId(Uuid::new_v4());
    drop(assert_send(world.commands.revoke(&context, id, RevokeCategory::Manual)));
    drop(assert_send(world.commands.member_due(
        &context,
        GUILD,
        &world.commands.ensure_user(&context, ADA).await.unwrap(),
    )));
    drop(assert_send(world.commands.activate(
        &context,
        OpenedKey { license: id, key: domain::key::KeyVersion::default() },
        device("a"),
    )));
}

#[tokio::test]
async fn a_gained_role_makes_an_assigned_license_and_a_lost_one_revokes_it() {
    let world = World::new().await;
    let licenses = world.sees(&[PRO]).await;
    assert_eq!(licenses.len(), 1);
    assert_eq!((licenses[0].stage, licenses[0].license_type.as_str()), (Stage::Assigned, "pro"));
    assert!(licenses[0].owner.is_some());
    let first = licenses[0].id;
    assert!(world.sees(&[PRO]).await.iter().all(|license| license.id == first), "seen again, nothing new");

    let lost = world.sees(&[]).await;
    assert_eq!(lost[0].revoked, Some(RevokeCategory::RoleLost));

    let again = world.sees(&[PRO]).await;
    let live: Vec<_> = again.iter().filter(|license| license.stage != Stage::Revoked).collect();
    assert_eq!(live.len(), 1);
    assert_ne!(live[0].id, first, "the next generation is another license");
    assert_eq!(live[0].slot.as_ref().unwrap().generation, 2);
}

#[tokio::test]
async fn two_roles_of_one_type_are_sources_of_one_license() {
    let world = World::new().await;
    let first = world.sees(&[PRO]).await;
    let both = world.sees(&[PRO, VIP]).await;
    assert_eq!(both.len(), 1);
    let one_left = world.sees(&[VIP]).await;
    assert_eq!((one_left[0].id, one_left[0].stage), (first[0].id, Stage::Assigned));
    assert_eq!(world.sees(&[]).await[0].stage, Stage::Revoked);
}

#[tokio::test]
async fn a_grace_suspends_when_it_ends_and_the_returning_role_resumes_the_same_license() {
    let world = World::new().await;
    let first = world.sees(&[TEAM]).await[0].id;
    let lost = world.sees(&[]).await;
    assert!(lost[0].role_loss_ends_at.is_some());
    assert!(lost[0].holds.is_empty());
    world.advance(Span::hours(1));
    let context = world.context();
    let ada = world.commands.ensure_user(&context, ADA).await.unwrap();
    let due = world.commands.member_due(&context, GUILD, &ada).await.unwrap();
    assert_eq!(due.licenses[0].holds, vec![Hold::RoleLoss]);
    let back = world.sees(&[TEAM]).await;
    assert_eq!((back[0].id, back[0].holds.len()), (first, 0));
}

#[tokio::test]
async fn an_older_observation_that_arrives_late_changes_nothing() {
    let world = World::new().await;
    let early = world.context();
    world.sees(&[PRO]).await;
    world.sees(&[PRO]).await;
    let order = ObserveMember {
        guild: GUILD,
        user: ADA,
        present: true,
        roles: BTreeSet::new(),
        guild_version: None,
        observed_at: early.now,
        withheld: BTreeSet::new(),
    };
    assert!(world.commands.losses(&order).await.unwrap().slots.is_empty(), "and would take nothing");
    let now = ObserveMember { observed_at: world.context().now, ..order.clone() };
    assert_eq!(world.commands.losses(&now).await.unwrap().slots.len(), 1);
    let regained = ObserveMember { roles: BTreeSet::from([PRO]), ..order.clone() };
    assert!(world.commands.losses(&regained).await.unwrap().held.is_empty(), "nor give anything back");
    let late = world.commands.observe(&world.context(), order).await.unwrap();
    assert_eq!(late.position, None);
    assert_eq!(late.licenses[0].stage, Stage::Assigned);
}

#[tokio::test]
async fn staff_revoking_a_role_license_block_its_slot_until_they_unblock_it() {
    let world = World::new().await;
    let license = world.sees(&[PRO]).await.remove(0);
    world.commands.revoke(&world.context(), license.id, RevokeCategory::Fraud).await.unwrap();
    assert!(world.sees(&[PRO]).await.iter().all(|license| license.stage == Stage::Revoked));
    world.sees(&[]).await;
    assert!(world.sees(&[PRO]).await.iter().all(|license| license.stage == Stage::Revoked), "still blocked");
    world.commands.unblock_slot(&world.context(), GUILD, ADA, "pro").await.unwrap();
    let live = world.sees(&[PRO]).await;
    assert_eq!(live.iter().filter(|license| license.stage == Stage::Assigned).count(), 1);
}

#[tokio::test]
async fn two_hundred_activations_at_once_on_a_limit_of_two_activate_exactly_two() {
    let world = Arc::new(World::new().await);
    let license = world.generate("pro", 1).await.remove(0);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let (world, key) = (Arc::clone(&world), opened(&license));
        tasks.spawn(async move {
            world.commands.activate(&world.context(), key, device(&format!("machine-{n}"))).await
        });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(code(error), "DEVICE_LIMIT_REACHED");
    }
    assert_eq!(world.commands.load_license(license.id).await.unwrap().devices.len(), 2);
}

#[tokio::test]
async fn the_same_device_again_is_recognised_and_not_activated_twice() {
    let world = World::new().await;
    let license = world.generate("pro", 1).await.remove(0);
    let first = world.commands.activate(&world.context(), opened(&license), device("laptop")).await.unwrap();
    let again = world.commands.activate(&world.context(), opened(&license), device("laptop")).await.unwrap();
    assert!(first.created && !again.created);
    assert_eq!(first.device, again.device);
    assert_eq!(again.done.position, None);
}

#[tokio::test]
async fn a_superseded_key_activates_nothing() {
    let world = World::new().await;
    let license = world.generate("pro", 1).await.remove(0);
    world.commands.rekey(&world.context(), license.id).await.unwrap();
    let refused = world.commands.activate(&world.context(), opened(&license), device("laptop")).await;
    assert_eq!(refused.unwrap_err(), CommandError::Superseded);
}

#[tokio::test]
async fn another_tenant_finds_nothing() {
    let world = World::new().await;
    let license = world.generate("pro", 1).await.remove(0);
    let foreign = Context { tenant: Some(GuildId(7)), ..world.context() };
    let refused = world.commands.suspend(&foreign, license.id, Hold::Admin).await;
    assert_eq!(refused.unwrap_err(), CommandError::NotFound("license"));
    let refused = world.commands.revoke(&foreign, license.id, RevokeCategory::Manual).await;
    assert_eq!(refused.unwrap_err(), CommandError::NotFound("license"));
}

#[tokio::test]
async fn a_payment_renews_one_license_once() {
    let world = World::new().await;
    let licenses = world.generate("team", 2).await;
    let paid = || Some("invoice-1".to_owned());
    let renew = async |id| world.commands.renew(&world.context(), id, RenewTo::Default, paid()).await;
    let first = renew(licenses[0].id).await.unwrap();
    let doubled = renew(licenses[0].id).await.unwrap();
    assert_eq!(doubled.position, None);
    assert_eq!(doubled.state.expires_at, first.state.expires_at);
    assert_eq!(code(&renew(licenses[1].id).await.unwrap_err()), "EXTERNAL_REF_USED");
}

#[tokio::test]
async fn a_version_that_the_caller_did_not_see_is_refused() {
    let world = World::new().await;
    let license = world.generate("pro", 1).await.remove(0);
    let stale = Context { expected_version: Some(0), ..world.context() };
    let refused = world.commands.suspend(&stale, license.id, Hold::Admin).await;
    assert_eq!(refused.unwrap_err(), CommandError::VersionMismatch { expected: 0, actual: 1 });
    let seen = Context { expected_version: Some(1), ..world.context() };
    world.commands.suspend(&seen, license.id, Hold::Admin).await.unwrap();
}

#[tokio::test]
async fn a_repeat_with_the_same_idempotency_key_is_told_so_and_finds_the_row() {
    let world = World::new().await;
    let license = world.generate("pro", 1).await.remove(0);
    let key = IdempotencyKey {
        credential: "operator".to_owned(),
        method: "POST".to_owned(),
        route: "/licenses/{id}/suspend".to_owned(),
        key: "k1".to_owned(),
    };
    let idempotency = Idempotency {
        key: key.clone(),
        payload_hash: "h".to_owned(),
        recipe: serde_json::json!({ "license": license.id }),
    };
    let context = || Context { idempotency: Some(idempotency.clone()), ..world.context() };
    world.commands.suspend(&context(), license.id, Hold::Admin).await.unwrap();
    let repeat = world.commands.rekey(&context(), license.id).await;
    assert_eq!(repeat.unwrap_err(), CommandError::IdempotencyTaken);
    let row = world.commands.idempotency(&key).await.unwrap().unwrap();
    let outcome: serde_json::Value = serde_json::from_str(&row.outcome).unwrap();
    assert_eq!(outcome["versions"][format!("license:{}", license.id)], 2);
    assert!(row.first.is_some());
}

#[tokio::test]
async fn a_refusal_is_kept_for_the_repeat() {
    let world = World::new().await;
    let license = world.generate("pro", 1).await.remove(0);
    let key = IdempotencyKey {
        credential: "operator".to_owned(),
        method: "POST".to_owned(),
        route: "resume".to_owned(),
        key: "k2".to_owned(),
    };
    let idempotency =
        Idempotency { key: key.clone(), payload_hash: "h".to_owned(), recipe: serde_json::Value::Null };
    let context = Context { idempotency: Some(idempotency), ..world.context() };
    let refused = world.commands.resume(&context, license.id, Hold::Admin).await.unwrap_err();
    let row = world.commands.idempotency(&key).await.unwrap().unwrap();
    let outcome: serde_json::Value = serde_json::from_str(&row.outcome).unwrap();
    assert_eq!(outcome["refused"]["code"], code(&refused));
    assert_eq!(row.first, None);
}

#[tokio::test]
async fn reasons_and_names_stand_sealed_in_the_log() {
    let world = World::new().await;
    let license = world.sees(&[PRO]).await.remove(0);
    let context = Context { reason: Some("canary-reason".to_owned()), ..world.context() };
    world.commands.suspend(&context, license.id, Hold::Admin).await.unwrap();
    world.commands.resume(&world.context(), license.id, Hold::Admin).await.unwrap();
    let order = DeviceOrder { name: Some("canary-device".to_owned()), ..device("laptop") };
    world.commands.activate(&world.context(), opened(&license), order).await.unwrap();
    let events = world.commands.store().stream(&StreamId::license(license.id)).await.unwrap();
    let text: String = events.iter().map(|event| format!("{}{}", event.payload, event.metadata)).collect();
    assert!(!text.contains("canary") && !text.contains(&ADA.to_string()), "{text}");
    assert!(text.contains("\"reason\":\"s1:"));
    assert!(events.iter().all(|event| event.read().is_ok()));
}

#[tokio::test]
async fn the_floor_has_every_event_before_its_command_answers() {
    let world = World::new().await;
    let generated = world.generate("pro", 10).await;
    assert_eq!(generated.len(), 10);
    assert_eq!(world.floor.0.load(Ordering::SeqCst), world.commands.store().head().await.unwrap());
}

#[tokio::test]
async fn an_unknown_type_names_those_that_exist() {
    let world = World::new().await;
    let order = GenerateOrder {
        guild: GUILD,
        license_type: "gold".to_owned(),
        ids: vec![LicenseId(Uuid::new_v4())],
        assign_to: None,
        starts_at: None,
        metadata: None,
        private_metadata: None,
    };
    let Err(CommandError::Invalid { pointer, detail }) =
        world.commands.generate(&world.context(), order).await
    else {
        panic!("an unknown type was accepted")
    };
    assert_eq!(pointer, "/type");
    assert!(detail.contains("pro, team"), "{detail}");
}

#[tokio::test]
async fn a_lower_device_limit_needs_room_or_names_what_to_free() {
    let world = World::new().await;
    let license = world.generate("pro", 1).await.remove(0);
    for name in ["a", "b"] {
        world.commands.activate(&world.context(), opened(&license), device(name)).await.unwrap();
    }
    let terms = TermsChange { max_devices: Some(Some(1)), ..TermsChange::default() };
    let order = TermsOrder { terms, ..TermsOrder::default() };
    let refused = world.commands.change_terms(&world.context(), license.id, order.clone()).await.unwrap_err();
    assert_eq!(code(&refused), "DEVICES_IN_USE");
    let order = TermsOrder { deactivate: vec!["a".to_owned()], ..order };
    let done = world.commands.change_terms(&world.context(), license.id, order).await.unwrap();
    assert_eq!(done.state.devices.len(), 1);
    world.commands.deactivate(&world.context(), license.id, "b", Authority::Staff).await.unwrap();
}

fn sweep(licenses: Vec<(LicenseId, Reach)>, is_all_or_nothing: bool) -> RevokeOrder {
    RevokeOrder {
        licenses,
        category: RevokeCategory::Fraud,
        is_all_or_nothing,
        is_dry_run: false,
        pointer: "/ids",
        is_listed: true,
    }
}

#[tokio::test]
async fn many_licenses_of_one_member_end_in_one_append_with_their_slots() {
    let world = World::new().await;
    let role = world.sees(&[PRO, TEAM]).await;
    let hand = world.generate("pro", 3).await;
    let all: Vec<LicenseId> = role.iter().chain(&hand).map(|license| license.id).collect();
    let before = world.floor.0.load(Ordering::SeqCst);
    let order = sweep(all.iter().map(|id| (*id, Reach::Everywhere)).collect(), true);
    let done =
        world.commands.revoke_many(&world.context(), &order, &|_| serde_json::Value::Null).await.unwrap();
    assert!(done.revocations.iter().all(|one| one.fate == Fate::Revoked));
    // An event for each license; each of the two slots is closed and blocked.
    assert_eq!(done.position, Some(before + 9));
    assert_eq!(world.floor.0.load(Ordering::SeqCst), before + 9);
    for id in all {
        let license = world.commands.load_license(id).await.unwrap();
        assert_eq!(license.stage, Stage::Revoked);
    }
    // Blocked slots make no next generation.
    world.sees(&[]).await;
    let seen = world.sees(&[PRO, TEAM]).await;
    assert!(seen.iter().all(|license| license.stage == Stage::Revoked), "still blocked");
}

#[tokio::test]
async fn an_order_reaches_no_further_than_whoever_gave_it() {
    let world = World::new().await;
    let made = world.generate("pro", 4).await;
    let reaches = [Reach::Guild(GUILD), Reach::Guild(GuildId(5)), Reach::Seen, Reach::Nothing];
    let licenses = made.iter().zip(reaches).map(|(license, reach)| (license.id, reach)).collect();
    let order = sweep(licenses, false);
    let forget = |_: &[commands::Revocation]| serde_json::Value::Null;
    let done = world.commands.revoke_many(&world.context(), &order, &forget).await.unwrap();
    let fates: Vec<&str> = done
        .revocations
        .iter()
        .map(|one| match &one.fate {
            Fate::Revoked => "revoked",
            Fate::Refused(refused) => &refused.code,
            Fate::NotFound => "not found",
        })
        .collect();
    assert_eq!(fates, ["revoked", "not found", "FORBIDDEN", "not found"]);
    let foreign = Context { tenant: Some(GuildId(5)), ..world.context() };
    let order = sweep(vec![(made[1].id, Reach::Everywhere)], true);
    let refused = world.commands.revoke_many(&foreign, &order, &forget).await.unwrap_err();
    assert_eq!(code(&refused), "BULK_REFUSED");
    let many = (0..=REVOKE_MAX as u128).map(|n| (LicenseId(Uuid::from_u128(n)), Reach::Everywhere)).collect();
    let refused =
        world.commands.revoke_many(&world.context(), &sweep(many, false), &forget).await.unwrap_err();
    assert!(matches!(refused, CommandError::Invalid { .. }));
}

#[tokio::test]
async fn orders_about_the_same_licenses_at_once_revoke_each_once() {
    let world = World::new().await;
    let made = world.generate("pro", 40).await;
    let order = sweep(made.iter().map(|license| (license.id, Reach::Everywhere)).collect(), false);
    let forget = |_: &[commands::Revocation]| serde_json::Value::Null;
    let contexts: Vec<Context> = (0..4).map(|_| world.context()).collect();
    let asked = contexts.iter().map(|context| world.commands.revoke_many(context, &order, &forget));
    let done = futures::future::join_all(asked).await;
    let revoked = done.into_iter().flat_map(|done| done.unwrap().revocations);
    assert_eq!(revoked.filter(|one| one.fate == Fate::Revoked).count(), 40);
    for license in made {
        assert_eq!(world.commands.load_license(license.id).await.unwrap().version, 2);
    }
}

#[tokio::test]
async fn two_claims_at_one_moment_make_one_owner() {
    let world = World::new().await;
    let claim = world.commands.platform_claim().await.unwrap().unwrap();
    let number = world.commands.open_claim(&claim).await.unwrap();
    let (one, two) = (world.context(), world.context());
    let both = tokio::join!(
        world.commands.claim_platform(&one, ADA, number),
        world.commands.claim_platform(&two, OWNER, number)
    );
    let won = [both.0.is_ok(), both.1.is_ok()];
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{both:?}");
    let lost = both.0.err().or(both.1.err()).unwrap();
    assert!(matches!(lost, CommandError::Refused(refused) if refused.code == "CLAIM_VOID"));
    assert_eq!(world.commands.load_platform().await.unwrap().roles.len(), 1);
    assert_eq!(world.commands.platform_claim().await.unwrap(), None);
    assert!(world.commands.open_claim(&claim).await.is_err());
}

#[tokio::test]
async fn owners_who_demote_each_other_at_one_moment_leave_one() {
    let world = World::new().await;
    for user in [ADA, OWNER] {
        let role = Some(PlatformRole::Owner);
        world.commands.change_platform_role(&world.context(), user, role).await.unwrap();
    }
    let by = |user| {
        let person = Pseudonym::of(world.commands.ring().as_ref(), user);
        Context { actor: Actor::User(person), tenant: None, ..world.context() }
    };
    let (one, two) = (by(ADA), by(OWNER));
    let both = tokio::join!(
        world.commands.change_platform_role(&one, OWNER, None),
        world.commands.change_platform_role(&two, ADA, None)
    );
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    assert!(world.commands.load_platform().await.unwrap().has_owner());
}

#[tokio::test]
async fn facts_about_security_go_on_where_the_process_left_off() {
    let world = World::new().await;
    let id = world.generate("pro", 1).await[0].id;
    let first = world.commands.reveal_key(&world.context(), id, None).await.unwrap();
    let all = (0..20).map(|_| async {
        let context = world.context();
        world.commands.reveal_key(&context, id, None).await.unwrap().position
    });
    let mut positions = futures::future::join_all(all).await;
    positions.sort_unstable();
    let expected: Vec<i64> = (1..=20).map(|n| first.position + n).collect();
    assert_eq!(positions, expected, "each is one event");
    assert_eq!(world.floor.0.load(Ordering::SeqCst), positions[19], "they are on the floor");
    let elsewhere = Context { tenant: Some(GuildId(7)), ..world.context() };
    assert!(matches!(
        world.commands.reveal_key(&elsewhere, id, None).await,
        Err(CommandError::NotFound("license"))
    ));
}
