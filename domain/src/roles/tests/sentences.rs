//! One sentence for each case of the plan.

use super::*;
use crate::license::Lease;

fn ids(plan: &Plan, slug: &str) -> Vec<String> {
    let change = |change: &SlotChange| match change {
        SlotChange::Open { license_type, generation, .. } => {
            (license_type.clone(), format!("open {generation}"))
        }
        SlotChange::AddSource { license_type, rule } => {
            (license_type.clone(), format!("add {}", rule.0.as_u128()))
        }
        SlotChange::RemoveSource { license_type, rule } => {
            (license_type.clone(), format!("remove {}", rule.0.as_u128()))
        }
        SlotChange::Close { license_type } => (license_type.clone(), "close".to_owned()),
        SlotChange::Block { license_type } => (license_type.clone(), "block".to_owned()),
    };
    plan.changes.iter().map(change).filter(|(of, _)| of == slug).map(|(_, what)| what).collect()
}

/// What happens to licenses, without the ids.
fn acts(plan: &Plan) -> Vec<&'static str> {
    let act = |action: &LicenseAction| match action {
        LicenseAction::Generate { .. } => "generate",
        LicenseAction::StartRoleLoss(_) => "start",
        LicenseAction::EndRoleLoss(_) => "end",
        LicenseAction::Suspend(_) => "suspend",
        LicenseAction::Resume(_) => "resume",
        LicenseAction::Renew(_) => "renew",
        LicenseAction::Revoke(_) => "revoke",
    };
    plan.licenses.iter().map(act).collect()
}

/// What a plan does to the type `pro` and to licenses.
#[track_caller]
fn expect(plan: &Plan, changes: &[&str], licenses: &[&str]) {
    assert_eq!(ids(plan, "pro"), changes);
    assert_eq!(acts(plan), licenses);
}

/// Role 10 gives `pro` by rule 1, role 11 by rule 2.
fn world(terms: Terms) -> World {
    let mut world = World::new();
    world.define("pro", terms);
    assert!(world.set_rule(1, 10, "pro") && world.set_rule(2, 11, "pro"));
    world
}

fn losing(on_role_loss: OnRoleLoss, grace: Option<Span>) -> World {
    world(Terms { on_role_loss, role_loss_grace: grace, ..Terms::default() })
}

const REVOKE: OnRoleLoss = OnRoleLoss::Revoke;
const SUSPEND: OnRoleLoss = OnRoleLoss::Suspend;
const KEEP: OnRoleLoss = OnRoleLoss::Keep;
const DAY: Span = Span::days(1);

#[test]
fn the_first_source_opens_the_slot() {
    let mut world = losing(REVOKE, None);
    let plan = world.see(&[10]);
    expect(&plan, &["open 1"], &["generate"]);
    assert_eq!(world.slot("pro").sources, rules(&[1]));
    let license = world.license("pro");
    assert_eq!(license.slot, Some(SlotRef { user: world.who.id.clone(), generation: 1 }));
    assert_eq!(license.owner.as_ref().map(|owner| &owner.id), Some(&world.who.id));
}

#[test]
fn several_rules_are_sources_of_one_license() {
    let mut world = losing(REVOKE, None);
    expect(&world.see(&[10, 11]), &["open 1"], &["generate"]);
    assert_eq!(world.slot("pro").sources, rules(&[1, 2]));
    expect(&world.see(&[11]), &["remove 1"], &[]);
    expect(&world.see(&[10]), &["add 1", "remove 2"], &[]);
    expect(&world.see(&[]), &["remove 1", "close"], &["revoke"]);
}

#[test]
fn a_product_is_a_source_like_a_role() {
    let mut world = losing(REVOKE, None);
    let source = RuleSource::Sku { sku_id: RoleId(900) };
    assert!(world.ask_guild(guild::Action::SetRule { id: rule(3), source, license_type: "pro".into() }));
    expect(&world.see(&[900]), &["open 1"], &["generate"]);
    expect(&world.see(&[]), &["remove 3", "close"], &["revoke"]);
}

#[test]
fn roles_that_no_rule_maps_do_not_matter() {
    let mut world = losing(REVOKE, None);
    expect(&world.see(&[70, 99]), &[], &[]);
    assert!(world.member.slots.is_empty());
}

#[test]
fn types_are_planned_in_their_order() {
    let mut world = losing(REVOKE, None);
    world.define("beta", Terms::default());
    assert!(world.set_rule(3, 10, "beta"));
    let plan = world.see(&[10]);
    let slugs: Vec<&str> = plan
        .licenses
        .iter()
        .map(|action| match action {
            LicenseAction::Generate { license_type, .. } => license_type.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(slugs, ["beta", "pro"]);
}

#[test]
fn without_a_grace_the_license_is_revoked_at_once_and_a_returning_role_makes_the_next() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    let first = world.slot("pro").license_id;
    expect(&world.see(&[]), &["remove 1", "close"], &["revoke"]);
    assert_eq!(world.license("pro").revoked, Some(RevokeCategory::RoleLost));
    expect(&world.see(&[11]), &["open 2"], &["generate"]);
    assert_ne!(world.slot("pro").license_id, first);
    assert_eq!(world.slot("pro").sources, rules(&[2]));
}

#[test]
fn a_role_that_returns_inside_the_grace_changes_nothing() {
    for on_role_loss in [REVOKE, SUSPEND] {
        let mut world = losing(on_role_loss, Some(DAY));
        world.see(&[10]);
        let id = world.slot("pro").license_id;
        expect(&world.see(&[]), &["remove 1"], &["start"]);
        assert_eq!(world.license("pro").role_loss_ends_at, Some(world.now + DAY));
        world.wait(Span::hours(23));
        expect(&world.reconcile(), &[], &[]);
        expect(&world.see(&[10]), &["add 1"], &["end"]);
        assert_eq!((world.slot("pro").license_id, world.license("pro").role_loss_ends_at), (id, None));
    }
}

#[test]
fn the_loss_takes_effect_exactly_when_the_grace_ends() {
    let mut world = losing(REVOKE, Some(DAY));
    world.see(&[10]);
    world.see(&[]);
    world.wait(Span(DAY.0 - 1));
    expect(&world.reconcile(), &[], &[]);
    world.wait(Span(1));
    expect(&world.reconcile(), &["close"], &["revoke"]);
    expect(&world.see(&[10]), &["open 2"], &["generate"]);
}

#[test]
fn a_role_that_returns_after_the_grace_but_before_anybody_looked_keeps_the_license() {
    let mut world = losing(REVOKE, Some(DAY));
    world.see(&[10]);
    world.see(&[]);
    world.wait(Span::days(2));
    expect(&world.see(&[10]), &["add 1"], &["end"]);
    assert_eq!(world.slot("pro").generation, 1);
}

#[test]
fn a_suspended_license_resumes_with_the_same_key() {
    for grace in [None, Some(DAY)] {
        let mut world = losing(SUSPEND, grace);
        world.see(&[10]);
        let (id, key) = (world.slot("pro").license_id, world.license("pro").key);
        world.see(&[]);
        world.wait(DAY);
        world.reconcile();
        assert_eq!(world.license("pro").holds, [Hold::RoleLoss]);
        assert!(world.slot("pro").open);
        world.wait(Span::days(30));
        expect(&world.reconcile(), &[], &[]);
        expect(&world.see(&[11]), &["add 2"], &["resume"]);
        assert_eq!((world.slot("pro").license_id, world.license("pro").key), (id, key));
        assert!(world.license("pro").holds.is_empty());
    }
}

#[test]
fn a_kept_license_outlives_its_roles() {
    let mut world = losing(KEEP, Some(DAY));
    world.see(&[10]);
    expect(&world.see(&[]), &["remove 1"], &[]);
    expect(&world.leave(), &[], &[]);
    world.wait(Span::days(30));
    expect(&world.reconcile(), &[], &[]);
    assert!(world.license("pro").is_active(world.now));
    expect(&world.see(&[10]), &["add 1"], &[]);
}

#[test]
fn leaving_is_losing_every_role_and_rejoining_resumes() {
    let mut world = losing(SUSPEND, None);
    world.see(&[10, 11]);
    expect(&world.leave(), &["remove 1", "remove 2"], &["suspend"]);
    assert!(!world.member.present && world.member.roles.is_empty());
    expect(&world.see(&[10]), &["add 1"], &["resume"]);
}

#[test]
fn a_returning_source_renews_an_expired_license() {
    let duration = Some(Span::days(30));
    let mut world = world(Terms { duration, on_role_loss: SUSPEND, ..Terms::default() });
    world.see(&[10]);
    world.see(&[]);
    world.wait(Span::days(31));
    expect(&world.see(&[10]), &["add 1"], &["resume", "renew"]);
    assert_eq!(world.license("pro").expires_at, Some(world.now + Span::days(30)));
    assert!(world.license("pro").is_active(world.now));
}

#[test]
fn a_role_that_was_there_all_the_time_renews_nothing() {
    let duration = Some(Span::days(30));
    let mut world = world(Terms { duration, ..Terms::default() });
    world.see(&[10]);
    world.wait(Span::days(31));
    expect(&world.reconcile(), &[], &[]);
    expect(&world.see(&[10, 11]), &["add 2"], &[]);
    assert!(world.license("pro").has_expired(world.now));
}

#[test]
fn a_license_that_has_not_expired_is_not_renewed_by_a_returning_source() {
    let duration = Some(Span::days(30));
    let mut world =
        world(Terms { duration, expiry_grace: Some(DAY), on_role_loss: KEEP, ..Terms::default() });
    world.see(&[10]);
    world.see(&[]);
    world.wait(Span(Span::days(31).0 - 1));
    expect(&world.see(&[10]), &["add 1"], &[]);
    world.see(&[]);
    world.wait(Span(1));
    expect(&world.see(&[10]), &["add 1"], &["renew"]);
}

#[test]
fn an_expired_license_that_loses_its_role_is_lost_like_any_other() {
    let mut world = world(Terms { duration: Some(DAY), ..Terms::default() });
    world.see(&[10]);
    world.wait(Span::days(2));
    expect(&world.see(&[]), &["remove 1", "close"], &["revoke"]);
}

#[test]
fn holds_of_staff_stay_whatever_roles_do() {
    let mut world = losing(SUSPEND, None);
    world.see(&[10]);
    let id = world.slot("pro").license_id;
    world.ask_license(id, license::Action::Suspend { hold: Hold::Admin });
    world.see(&[]);
    assert_eq!(world.license("pro").holds, [Hold::Admin, Hold::RoleLoss]);
    expect(&world.see(&[10]), &["add 1"], &["resume"]);
    assert_eq!(world.license("pro").holds, [Hold::Admin]);
}

#[test]
fn a_retired_type_makes_no_license_and_its_licenses_live_on() {
    let mut world = losing(SUSPEND, None);
    world.see(&[10]);
    assert!(world.retire("pro"));
    expect(&world.reconcile(), &[], &[]);
    expect(&world.see(&[]), &["remove 1"], &["suspend"]);
    expect(&world.see(&[10]), &["add 1"], &["resume"]);

    let mut late = losing(REVOKE, None);
    assert!(late.retire("pro"));
    expect(&late.see(&[10]), &[], &[]);
    assert!(late.member.slots.is_empty());

    let mut returned = losing(REVOKE, None);
    returned.see(&[10]);
    returned.see(&[]);
    assert!(returned.retire("pro"));
    expect(&returned.see(&[10]), &["add 1"], &[]);
    expect(&returned.see(&[]), &["remove 1"], &[]);
}

#[test]
fn a_blocked_slot_tracks_its_sources_and_nothing_else() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    world.staff_revokes("pro");
    expect(&world.reconcile(), &[], &[]);
    expect(&world.see(&[11]), &["add 2", "remove 1"], &[]);
    expect(&world.see(&[]), &["remove 2"], &[]);
    expect(&world.see(&[10]), &["add 1"], &[]);
}

#[test]
fn an_unblocked_slot_opens_with_its_next_generation() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    world.staff_revokes("pro");
    world.unblock("pro");
    expect(&world.reconcile(), &["open 2"], &["generate"]);
    world.staff_revokes("pro");
    world.see(&[]);
    world.unblock("pro");
    expect(&world.reconcile(), &[], &[]);
    expect(&world.see(&[10]), &["open 3"], &["generate"]);
}

#[test]
fn a_license_that_was_revoked_without_blocking_its_slot_blocks_it() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    let id = world.slot("pro").license_id;
    world.ask_license(id, license::Action::Revoke { category: RevokeCategory::Refund });
    expect(&world.see(&[10, 11]), &["add 2", "block"], &[]);
    assert!(world.slot("pro").blocked && !world.slot("pro").open);
}

#[test]
fn a_license_that_was_revoked_as_lost_makes_way_for_the_next() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    let id = world.slot("pro").license_id;
    world.ask_license(id, license::Action::Revoke { category: RevokeCategory::RoleLost });
    expect(&world.see(&[11]), &["close", "open 2"], &["generate"]);
    let id = world.slot("pro").license_id;
    world.ask_license(id, license::Action::Revoke { category: RevokeCategory::RoleLost });
    expect(&world.see(&[]), &["close", "remove 2"], &[]);
}

#[test]
fn a_license_that_was_never_made_is_made() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    world.licenses.clear();
    expect(&world.reconcile(), &[], &["generate"]);
    world.licenses.clear();
    assert!(world.remove_rule(1, ExistingLicenses::Keep));
    expect(&world.reconcile(), &["remove 1", "close"], &[]);
}

#[test]
fn a_license_that_lives_on_in_a_closed_slot_is_revoked() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    world.ask_member(member::Action::Block { license_type: "pro".into() });
    assert_eq!(world.plan(), Plan::default());
    world.unblock("pro");
    expect(&world.reconcile(), &["open 2"], &["revoke", "generate"]);
}

#[test]
fn the_next_generation_inherits_resets_and_leases() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    let id = world.slot("pro").license_id;
    let lease = |n, until| Lease { id: Uuid::from_u128(n), device_id: format!("machine {n}"), until };
    let (lapsed, running) = (lease(1, world.now + DAY), lease(2, world.now + Span::days(9)));
    let ledger = Ledger {
        resets: vec![world.now],
        leases: vec![lapsed, running.clone()],
        activations: [world.now].into(),
    };
    world.licenses.get_mut(&id).unwrap().ledger = ledger.clone();
    world.see(&[]);
    world.wait(DAY);
    let plan = world.see(&[10]);
    let LicenseAction::Generate { ledger: inherited, .. } = &plan.licenses[0] else { panic!("{plan:?}") };
    assert_eq!(inherited, &Ledger { leases: vec![running], ..ledger });
    // Its terms count no activations.
    let kept = Ledger { activations: [].into(), ..inherited.clone() };
    assert_eq!(world.license("pro").ledger, kept);
}

#[test]
fn a_removed_rule_takes_its_licenses_with_it() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    assert!(world.remove_rule(1, ExistingLicenses::Lose));
    expect(&world.reconcile(), &["remove 1", "close"], &["revoke"]);
}

#[test]
fn a_removed_rule_may_leave_its_licenses_until_their_member_leaves() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    assert!(world.remove_rule(1, ExistingLicenses::Keep));
    expect(&world.reconcile(), &[], &[]);
    expect(&world.see(&[]), &[], &[]);
    expect(&world.leave(), &["remove 1", "close"], &["revoke"]);
    expect(&world.see(&[10]), &[], &[]);
}

#[test]
fn a_removed_rule_gives_nothing_to_others() {
    let mut world = losing(REVOKE, None);
    assert!(world.remove_rule(1, ExistingLicenses::Keep));
    expect(&world.see(&[10]), &[], &[]);
}

#[test]
fn licenses_that_were_kept_may_be_let_go_later() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    assert!(world.remove_rule(1, ExistingLicenses::Keep) && world.remove_rule(1, ExistingLicenses::Lose));
    expect(&world.reconcile(), &["remove 1", "close"], &["revoke"]);
}

#[test]
fn a_rule_that_was_kept_opens_no_new_license_after_staff_revoked_the_old() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    assert!(world.remove_rule(1, ExistingLicenses::Keep));
    world.staff_revokes("pro");
    world.unblock("pro");
    expect(&world.reconcile(), &["remove 1"], &[]);
}

#[test]
fn a_rule_that_was_kept_opens_no_new_license_after_the_old_was_lost() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    assert!(world.remove_rule(1, ExistingLicenses::Keep));
    let id = world.slot("pro").license_id;
    world.ask_license(id, license::Action::Revoke { category: RevokeCategory::RoleLost });
    expect(&world.reconcile(), &["close", "remove 1"], &[]);
}

#[test]
fn a_rule_that_changes_its_type_moves_its_members() {
    let mut world = losing(REVOKE, None);
    world.define("beta", Terms::default());
    world.see(&[10]);
    assert!(world.set_rule(1, 10, "beta"));
    let plan = world.reconcile();
    assert_eq!(
        (ids(&plan, "beta"), ids(&plan, "pro")),
        (vec!["open 1".into()], vec!["remove 1".into(), "close".into()])
    );
    assert_eq!(acts(&plan), ["generate", "revoke"]);
}

#[test]
fn a_rule_that_changes_its_role_follows_the_new_one() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    assert!(world.set_rule(1, 12, "pro"));
    expect(&world.reconcile(), &["remove 1", "close"], &["revoke"]);
    expect(&world.see(&[12]), &["open 2"], &["generate"]);
}

#[test]
fn the_terms_of_the_license_decide_and_not_those_of_its_type() {
    let mut world = losing(SUSPEND, None);
    world.see(&[10]);
    world.define("pro", Terms { on_role_loss: REVOKE, ..Terms::default() });
    expect(&world.see(&[]), &["remove 1"], &["suspend"]);
}

fn change_terms(world: &mut World, terms: Terms) {
    let id = world.slot("pro").license_id;
    let (terms, expires_at) = (Box::new(terms), None);
    let action = license::Action::ChangeTerms { terms, expires_at, has_reason: true, deactivate: Vec::new() };
    world.ask_license(id, action);
}

#[test]
fn a_grace_that_was_announced_is_waited_for() {
    let mut world = losing(REVOKE, Some(DAY));
    world.see(&[10]);
    world.see(&[]);
    change_terms(&mut world, Terms { on_role_loss: SUSPEND, ..Terms::default() });
    expect(&world.reconcile(), &[], &[]);
    world.wait(DAY);
    expect(&world.reconcile(), &[], &["suspend"]);
}

#[test]
fn a_grace_ends_when_the_terms_let_the_license_be_kept() {
    let mut world = losing(REVOKE, Some(DAY));
    world.see(&[10]);
    world.see(&[]);
    change_terms(&mut world, Terms { on_role_loss: KEEP, ..Terms::default() });
    expect(&world.reconcile(), &[], &["end"]);
}

#[test]
fn a_guild_that_the_bot_is_not_in_is_frozen() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    assert!(world.ask_guild(guild::Action::Leave));
    (world.present, world.roles) = (false, BTreeSet::new());
    assert_eq!(world.plan(), Plan::default());
    assert!(world.ask_guild(guild::Action::Rejoin));
    expect(&world.reconcile(), &["remove 1", "close"], &["revoke"]);
}

#[test]
fn a_guild_older_than_the_member_takes_nothing_away() {
    let mut world = losing(REVOKE, None);
    let older = world.guild.clone();
    assert!(world.set_rule(3, 12, "pro"));
    world.see(&[12]);
    world.guild = older;
    assert_eq!(world.plan(), Plan::default());
}

#[test]
fn an_unregistered_guild_plans_nothing() {
    let mut world = losing(REVOKE, None);
    world.guild = Guild::default();
    world.roles = roles(&[10]);
    assert_eq!(world.plan(), Plan::default());
}

#[test]
fn a_license_that_was_not_loaded_is_left_alone() {
    let mut world = losing(REVOKE, None);
    world.see(&[10]);
    let none = BTreeSet::new();
    let observed = Observed { present: true, roles: &none, withheld: &BTreeSet::new() };
    let unloaded = BTreeMap::new();
    let blind = plan(&world.ring, &world.guild, &world.member, &world.who.id, &unloaded, observed, world.now);
    expect(&blind, &["remove 1"], &[]);
    world.see(&[]);
    let held = roles(&[10]);
    let observed = Observed { present: true, roles: &held, withheld: &BTreeSet::new() };
    let blind = plan(&world.ring, &world.guild, &world.member, &world.who.id, &unloaded, observed, world.now);
    expect(&blind, &["add 1"], &[]);
}

#[test]
fn a_caller_is_told_which_licenses_to_load() {
    let mut world = losing(REVOKE, None);
    assert_eq!(slot_licenses(&world.member).count(), 0);
    world.see(&[10]);
    assert_eq!(slot_licenses(&world.member).collect::<Vec<_>>(), [world.slot("pro").license_id]);
    assert!(Plan::default().is_empty());
}

#[test]
fn the_clock_alone_takes_no_source_away_and_ends_a_grace() {
    let mut world = losing(REVOKE, Some(Span::hours(1)));
    world.see(&[10]);
    let due = |world: &World| {
        let loaded = world.licenses.clone();
        due(&world.ring, &world.guild, &world.member, &world.who.id, &loaded, world.now)
    };
    // A rule that moves to a role nobody observed yet must not cost anybody his license.
    world.set_rule(1, 99, "pro");
    assert_eq!(due(&world), Plan::default());
    world.set_rule(1, 10, "pro");
    world.see(&[]);
    assert_eq!(due(&world), Plan::default(), "the grace runs");
    world.wait(Span::hours(1));
    expect(&due(&world), &["close"], &["revoke"]);
}

#[test]
fn a_withheld_rule_keeps_what_it_gave_and_gives_nothing() {
    let mut world = losing(REVOKE, None);
    world.withheld = BTreeSet::from([rule(1)]);
    expect(&world.see(&[]), &[], &[]);
    assert!(world.member.slots.is_empty(), "it makes no license");
    world.see(&[10]);
    expect(&world.see(&[]), &[], &[]);
    assert!(world.member.roles.is_empty(), "what was seen is recorded all the same");
    expect(&world.leave(), &[], &[]);
    assert_eq!(world.live("pro").len(), 1);
    world.withheld.clear();
    expect(&world.reconcile(), &["remove 1", "close"], &["revoke"]);
}

#[test]
fn losses_name_the_slots_that_would_lose_their_last_source() {
    let mut world = losing(REVOKE, None);
    assert!(world.set_rule(2, 11, "pro"));
    world.see(&[10, 11]);
    (world.present, world.roles) = (true, roles(&[11]));
    assert!(world.losses().is_empty(), "one source is left");
    world.roles.clear();
    let both = BTreeSet::from([rule(1), rule(2)]);
    assert_eq!(world.losses(), BTreeMap::from([("pro".to_owned(), both.clone())]));
    world.withheld.insert(rule(2));
    assert!(world.losses().is_empty(), "a withheld source is no loss");
    world.withheld.clear();
    world.present = false;
    assert_eq!(world.losses().len(), 1, "leaving is losing every role");
    world.reconcile();
    assert!(world.losses().is_empty(), "what is lost is not lost again");
}

#[test]
fn a_license_that_outlives_its_roles_is_no_loss() {
    let mut world = losing(KEEP, None);
    world.see(&[10]);
    world.roles.clear();
    assert!(world.losses().is_empty());
    assert!(world.ask_guild(guild::Action::Leave));
    assert!(world.losses().is_empty(), "a frozen guild loses nothing");
}
