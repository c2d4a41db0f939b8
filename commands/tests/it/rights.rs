//! The second door: a command that nobody asked about on its way is refused where it is decided, and leaves no event.

use commands::{CommandError, Context, Held, LeaseOrder, Rights, TermsOrder};
use domain::credential::Scope;
use domain::event::Actor;
use domain::guild::{Action, SettingsChange, StaffRole};
use domain::id::{DiscordId, GuildId, Pseudonym};
use domain::license::{Authority, Hold, RevokeCategory};
use domain::platform::PlatformRole;
use domain::terms::TermsChange;
use domain::time::Span;
use uuid::Uuid;

use crate::handle::{ADA, GUILD, World, device, opened, order};

/// Somebody from outside with these rights.
fn with(world: &World, held: Held) -> Context {
    Context { rights: Rights::Held(held), actor: Actor::Job("somebody".into()), ..world.context() }
}

fn pseudonym(world: &World, user: DiscordId) -> Pseudonym {
    Pseudonym::of(world.commands.ring().as_ref(), user)
}

fn ranked(rank: StaffRole) -> Held {
    Held { ranks: vec![(GUILD, rank)], ..Held::default() }
}

fn key(scopes: &[Scope]) -> Held {
    Held { key: Some((GUILD, scopes.to_vec())), ..Held::default() }
}

#[tokio::test]
async fn each_rank_does_what_is_its_own_and_no_more() {
    let world = World::new().await;
    let license = world.generate("pro", 1).await.remove(0);
    let commands = &world.commands;
    let [auditor, moderator, admin] =
        [StaffRole::Auditor, StaffRole::Moderator, StaffRole::Admin].map(|rank| with(&world, ranked(rank)));
    let elsewhere = with(&world, Held { ranks: vec![(GuildId(7), StaffRole::Owner)], ..Held::default() });

    for low in [&auditor, &elsewhere] {
        let refused = commands.suspend(low, license.id, Hold::Admin).await;
        assert_eq!(refused.unwrap_err(), CommandError::Forbidden);
    }
    commands.suspend(&moderator, license.id, Hold::Admin).await.unwrap();
    commands.resume(&moderator, license.id, Hold::Admin).await.unwrap();
    assert_eq!(
        commands.revoke(&moderator, license.id, RevokeCategory::Manual).await.unwrap_err(),
        CommandError::Forbidden
    );
    assert_eq!(commands.rekey(&moderator, license.id).await.unwrap_err(), CommandError::Forbidden);
    let action =
        Action::ChangeSettings(SettingsChange { sign_answers: Some(true), ..SettingsChange::default() });
    let refused = commands.guild(&moderator, GUILD, action.clone()).await;
    assert_eq!(refused.unwrap_err(), CommandError::Forbidden);
    commands.guild(&admin, GUILD, action).await.unwrap();
    // What follows roles is nobody's order.
    assert_eq!(
        commands.revoke(&admin, license.id, RevokeCategory::RoleLost).await.unwrap_err(),
        CommandError::Forbidden
    );
    let before = world.commands.load_license(license.id).await.unwrap().version;
    assert_eq!(before, 3, "generated, suspended, resumed: what was refused left nothing");
    commands.revoke(&admin, license.id, RevokeCategory::Manual).await.unwrap();
}

#[tokio::test]
async fn many_at_once_are_asked_for_one_by_one() {
    let world = World::new().await;
    for held in [ranked(StaffRole::Moderator), key(&[Scope::LicensesRead, Scope::LicensesRevoke])] {
        let refused = world.commands.generate(&with(&world, held), order("pro", 3)).await;
        assert_eq!(refused.unwrap_err(), CommandError::Forbidden);
    }
    world.commands.generate(&with(&world, key(&[Scope::LicensesWrite])), order("pro", 3)).await.unwrap();
}

#[tokio::test]
async fn an_owner_frees_his_devices_as_the_owner_and_not_as_staff() {
    let world = World::new().await;
    let license = world.generate("pro", 1).await.remove(0);
    let commands = &world.commands;
    commands.assign(&world.context(), license.id, ADA).await.unwrap();
    let activate =
        async |held| commands.activate(&with(&world, held), opened(&license), device("laptop")).await;
    assert_eq!(activate(key(&[Scope::Validate])).await.unwrap_err(), CommandError::Forbidden);
    activate(key(&[Scope::Activate])).await.unwrap();

    let owner = Held { account: Some(pseudonym(&world, ADA)), ..Held::default() };
    let free = async |held: &Held, by| {
        commands.deactivate(&with(&world, held.clone()), license.id, "laptop", by).await
    };
    assert_eq!(free(&owner, Authority::Staff).await.unwrap_err(), CommandError::Forbidden);
    assert_eq!(free(&Held::default(), Authority::Owner).await.unwrap_err(), CommandError::Forbidden);
    free(&owner, Authority::Owner).await.unwrap();
    // Nobody redeems for another one.
    let unowned = world.generate("pro", 1).await.remove(0);
    let stranger = Held { account: Some(pseudonym(&world, DiscordId(9))), ..Held::default() };
    let taken = commands.redeem(&with(&world, stranger), opened(&unowned), ADA).await;
    assert_eq!(taken.unwrap_err(), CommandError::Forbidden);
    commands.redeem(&with(&world, owner), opened(&unowned), ADA).await.unwrap();
}

#[tokio::test]
async fn offline_licenses_are_issued_by_owner_staff_and_keys_with_the_scope() {
    let world = World::new().await;
    let license = world.generate("pro", 1).await.remove(0);
    let commands = &world.commands;
    commands.assign(&world.context(), license.id, ADA).await.unwrap();
    let terms = TermsOrder {
        terms: TermsChange { offline_lease_max: Some(Some(Span::days(7))), ..TermsChange::default() },
        ..TermsOrder::default()
    };
    commands.change_terms(&world.context(), license.id, terms).await.unwrap();
    commands.activate(&world.context(), opened(&license), device("laptop")).await.unwrap();
    let issue = async |held: &Held| {
        let order =
            LeaseOrder { id: Uuid::new_v4(), device_id: "laptop".to_owned(), components: vec![], ttl: None };
        commands.issue_lease(&with(&world, held.clone()), license.id, order).await
    };
    let owner = Held { account: Some(pseudonym(&world, ADA)), ..Held::default() };
    let stranger = Held { account: Some(pseudonym(&world, DiscordId(9))), ..Held::default() };
    let writes = key(&[Scope::Activate, Scope::LicensesWrite]);
    for low in [&Held::default(), &stranger, &writes, &ranked(StaffRole::Auditor)] {
        assert_eq!(issue(low).await.unwrap_err(), CommandError::Forbidden, "{low:?}");
    }
    let mut last = Uuid::nil();
    for held in [&owner, &key(&[Scope::Certificate]), &ranked(StaffRole::Moderator)] {
        last = issue(held).await.unwrap().state.ledger.leases.last().unwrap().id;
    }
    // Taking one back frees a slot, which is the right of whoever frees devices.
    let release =
        async |held: &Held| commands.release_lease(&with(&world, held.clone()), license.id, last).await;
    for low in [&stranger, &key(&[Scope::Certificate]), &ranked(StaffRole::Auditor)] {
        assert_eq!(release(low).await.unwrap_err(), CommandError::Forbidden, "{low:?}");
    }
    assert!(release(&writes).await.unwrap().state.ledger.leases.is_empty());
}

#[tokio::test]
async fn people_are_the_matter_of_the_platform() {
    let world = World::new().await;
    world.commands.ensure_user(&world.context(), ADA).await.unwrap();
    let on_platform = |role| with(&world, Held { platform: Some(role), ..Held::default() });
    for low in [
        with(&world, ranked(StaffRole::Owner)),
        on_platform(PlatformRole::Auditor),
        with(&world, key(&Scope::ALL)),
    ] {
        let low = Context { tenant: None, ..low };
        assert_eq!(world.commands.ban(&low, ADA).await.unwrap_err(), CommandError::Forbidden);
        assert_eq!(world.commands.erase(&low, ADA).await.unwrap_err(), CommandError::Forbidden);
    }
    let user = world.commands.load_user(&pseudonym(&world, ADA)).await.unwrap();
    assert!(!user.banned && user.version == 1, "registered, and nothing else: {user:?}");
}
