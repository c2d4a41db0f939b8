//! What the bot keeps: leases with fencing, sessions and the IDENTIFY budget, removals that wait.

use std::time::Duration;

use domain::event::Actor;
use domain::guild::RuleId;
use domain::id::{ChannelId, GuildId};
use domain::time::Timestamp;
use projections::{Cursor, Db, GatewaySession, HeldRemoval, Lease, Page, Standing};
use uuid::Uuid;

use crate::engines::Engine;
use crate::world::{GUILD, NOW, World, pseudonym};

crate::on_both_engines!(
    one_of_many_holds_a_lease,
    a_lease_that_ran_out_is_handed_over_with_a_higher_token,
    a_renewal_keeps_the_token,
    a_lease_ends_by_the_clock_of_the_database,
    a_lease_that_was_let_go_is_free,
    a_session_is_written_under_its_lease_only,
    the_identify_budget_holds_under_concurrency,
    identifies_count_for_a_day,
    notes_and_channels_are_kept,
    a_removal_that_is_held_keeps_its_first_batch,
    removals_are_confirmed_by_batch_and_dropped_by_rule,
);

const MINUTE: Duration = Duration::from_secs(60);

/// Lets the lease run out without waiting for it.
async fn run_out(world: &World) {
    world.execute("UPDATE lease SET expires_at = expires_at - 60000").await;
}

async fn one_of_many_holds_a_lease(engine: Engine) {
    let world = World::new(engine).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let leases = world.queries.leases();
        tasks.spawn(async move { leases.acquire("egress", &format!("process-{n}"), MINUTE).await.unwrap() });
    }
    let taken: Vec<Lease> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0].token, 1);
    assert_eq!(world.queries.leases().holder("egress").await.unwrap(), Some(taken[0].clone()));
    assert_eq!(world.queries.leases().holder("another").await.unwrap(), None);
}

async fn a_lease_that_ran_out_is_handed_over_with_a_higher_token(engine: Engine) {
    let world = World::new(engine).await;
    let leases = world.queries.leases();
    let first = leases.acquire("egress", "a", Duration::from_millis(40)).await.unwrap().unwrap();
    let waited = async {
        loop {
            if let Some(lease) = leases.acquire("egress", "b", MINUTE).await.unwrap() {
                break lease;
            }
        }
    };
    let second = tokio::time::timeout(Duration::from_secs(10), waited).await.unwrap();
    assert_eq!((first.token, second.token), (1, 2));
    assert_eq!(leases.acquire("egress", "a", MINUTE).await.unwrap(), None);
    // The first holder can no longer let it go.
    leases.release(&first).await.unwrap();
    assert_eq!(leases.holder("egress").await.unwrap(), Some(second));
}

async fn a_renewal_keeps_the_token(engine: Engine) {
    let world = World::new(engine).await;
    let leases = world.queries.leases();
    let first = leases.acquire("egress", "a", Duration::from_secs(10)).await.unwrap().unwrap();
    let second = leases.acquire("egress", "a", MINUTE).await.unwrap().unwrap();
    assert_eq!(second.token, first.token);
    assert!(second.expires_at.ms() >= first.expires_at.ms() + 50_000, "{first:?} {second:?}");
    // Late, but nobody came in between.
    run_out(&world).await;
    assert_eq!(leases.holder("egress").await.unwrap(), None);
    let third = leases.acquire("egress", "a", MINUTE).await.unwrap().unwrap();
    assert_eq!(third.token, first.token);
}

async fn a_lease_ends_by_the_clock_of_the_database(engine: Engine) {
    let world = World::new(engine).await;
    // As integers of milliseconds, in other words than those of the statement itself.
    let now = match &world.db {
        Db::Sqlite { .. } => "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
        Db::Postgres(_) => "SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint",
    };
    let before = world.number(now).await;
    let lease = world.queries.leases().acquire("egress", "a", MINUTE).await.unwrap().unwrap();
    let after = world.number(now).await;
    let begun = lease.expires_at.ms() - 60_000;
    // Each of the two may round down by one.
    assert!((before - 1..=after + 1).contains(&begun), "{before} <= {begun} <= {after}");
}

async fn a_lease_that_was_let_go_is_free(engine: Engine) {
    let world = World::new(engine).await;
    let leases = world.queries.leases();
    let first = leases.acquire("egress", "a", MINUTE).await.unwrap().unwrap();
    leases.release(&first).await.unwrap();
    assert_eq!(leases.holder("egress").await.unwrap(), None);
    let second = leases.acquire("egress", "b", MINUTE).await.unwrap().unwrap();
    assert_eq!(second.token, 2);
    leases.release(&second).await.unwrap();
    // Whoever comes back after a release has another token than before.
    assert_eq!(leases.acquire("egress", "b", MINUTE).await.unwrap().unwrap().token, 3);
}

fn session(sequence: i64) -> GatewaySession {
    GatewaySession {
        shard: "0/1".to_owned(),
        session_id: "s".to_owned(),
        sequence,
        resume_url: "wss://gateway.example".to_owned(),
        ready: r#"{"v":10}"#.to_owned(),
    }
}

async fn a_session_is_written_under_its_lease_only(engine: Engine) {
    let world = World::new(engine).await;
    let (state, leases) = (world.queries.bot_state(), world.queries.leases());
    assert_eq!(state.session("0/1").await.unwrap(), None);
    let old = leases.acquire("shard 0/1", "a", MINUTE).await.unwrap().unwrap();
    assert!(state.save_session(&session(1), &old).await.unwrap());
    assert!(state.save_session(&session(2), &old).await.unwrap());
    assert_eq!(state.session("0/1").await.unwrap(), Some(session(2)));
    // It ran out, and then somebody else took it.
    run_out(&world).await;
    assert!(!state.save_session(&session(3), &old).await.unwrap());
    let new = leases.acquire("shard 0/1", "b", MINUTE).await.unwrap().unwrap();
    assert!(!state.save_session(&session(3), &old).await.unwrap());
    assert_eq!(state.session("0/1").await.unwrap(), Some(session(2)));
    assert!(state.save_session(&session(4), &new).await.unwrap());
    assert_eq!(state.session("0/1").await.unwrap(), Some(session(4)));
    // The same holder with a token of before.
    let stale = Lease { token: old.token, ..new.clone() };
    assert!(!state.save_session(&session(5), &stale).await.unwrap());
    assert!(!state.forget_session("0/1", &stale).await.unwrap());
    assert_eq!(state.session("0/1").await.unwrap(), Some(session(4)));
    assert!(state.forget_session("0/1", &new).await.unwrap());
    assert_eq!(state.session("0/1").await.unwrap(), None);
}

async fn the_identify_budget_holds_under_concurrency(engine: Engine) {
    let world = World::new(engine).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let state = world.queries.bot_state();
        tasks.spawn(async move { state.spend_identify(&format!("{n}/16"), 5).await.unwrap() });
    }
    let spent = tasks.join_all().await.into_iter().filter(|spent| *spent).count();
    assert_eq!(spent, 5);
    let state = world.queries.bot_state();
    assert_eq!(state.identifies().await.unwrap(), 5);
    assert!(!state.spend_identify("0/1", 5).await.unwrap());
    assert!(state.spend_identify("0/1", 6).await.unwrap());
}

async fn identifies_count_for_a_day(engine: Engine) {
    let world = World::new(engine).await;
    let state = world.queries.bot_state();
    assert!(state.spend_identify("0/1", 2).await.unwrap());
    assert!(state.spend_identify("0/1", 2).await.unwrap());
    world.execute("UPDATE gateway_identify SET sent_at = sent_at - 86400000 + 60000 WHERE number = 1").await;
    assert!(!state.spend_identify("0/1", 2).await.unwrap());
    world.execute("UPDATE gateway_identify SET sent_at = sent_at - 60000 WHERE number = 1").await;
    assert_eq!(state.identifies().await.unwrap(), 1);
    assert!(state.spend_identify("0/1", 2).await.unwrap());
    assert_eq!(world.number("SELECT count(*) FROM gateway_identify").await, 2, "the old one was pruned");
}

async fn notes_and_channels_are_kept(engine: Engine) {
    let world = World::new(engine).await;
    let state = world.queries.bot_state();
    assert_eq!(state.note("dms_stopped").await.unwrap(), None);
    state.set_note("dms_stopped", Some("40003")).await.unwrap();
    state.set_note("dms_stopped", Some("40003 again")).await.unwrap();
    state.set_note("commands", Some("hash")).await.unwrap();
    assert_eq!(state.note("dms_stopped").await.unwrap().as_deref(), Some("40003 again"));
    state.set_note("dms_stopped", None).await.unwrap();
    assert_eq!(state.note("dms_stopped").await.unwrap(), None);
    assert_eq!(state.note("commands").await.unwrap().as_deref(), Some("hash"));

    assert_eq!(state.dm_channel(&pseudonym(1)).await.unwrap(), None);
    state.set_dm_channel(&pseudonym(1), ChannelId(5)).await.unwrap();
    state.set_dm_channel(&pseudonym(1), ChannelId(u64::MAX)).await.unwrap();
    assert_eq!(state.dm_channel(&pseudonym(1)).await.unwrap(), Some(ChannelId(u64::MAX)));
    assert_eq!(state.dm_channel(&pseudonym(2)).await.unwrap(), None);
}

pub(crate) fn held(rule: u128, user: u64, batch: u128) -> HeldRemoval {
    HeldRemoval {
        guild: GUILD,
        rule: RuleId(Uuid::from_u128(rule)),
        user: pseudonym(user),
        batch: Uuid::from_u128(batch),
        since: NOW,
        confirmed: false,
        confirmed_by: None,
    }
}

async fn a_removal_that_is_held_keeps_its_first_batch(engine: Engine) {
    let world = World::new(engine).await;
    let removals = world.queries.held_removals();
    removals.hold(&[]).await.unwrap();
    removals.hold(&[held(1, 1, 7), held(1, 2, 7), held(2, 1, 7)]).await.unwrap();
    removals.confirm(GUILD, Uuid::from_u128(7), &Actor::Operator).await.unwrap();
    let later = HeldRemoval { since: Timestamp(NOW.ms() + 1), ..held(1, 1, 8) };
    let elsewhere = HeldRemoval { guild: GuildId(200), ..held(1, 1, 8) };
    removals.hold(&[later, held(1, 3, 8), elsewhere.clone()]).await.unwrap();

    let mut found = removals.of_guild(GUILD).await.unwrap();
    found.sort_by_key(|held| (held.rule, held.batch, held.user != pseudonym(1)));
    let confirmed =
        |held: HeldRemoval| HeldRemoval { confirmed: true, confirmed_by: Some(Actor::Operator), ..held };
    let expected =
        [confirmed(held(1, 1, 7)), confirmed(held(1, 2, 7)), held(1, 3, 8), confirmed(held(2, 1, 7))];
    assert_eq!(found, expected);
    let all = removals.all().await.unwrap();
    assert_eq!(all.len(), 5);
    assert!(all.contains(&elsewhere));

    // More than one statement takes.
    let many: Vec<HeldRemoval> = (1..=2_500).map(|n| held(3, n, 9)).collect();
    removals.hold(&many).await.unwrap();
    assert_eq!(removals.all().await.unwrap().len(), 2_505);
    let (mut page, mut told) = (Page::first(200), Vec::new());
    loop {
        let next = removals.page(GUILD, &page).await.unwrap();
        told.extend(next.data);
        let Some(cursor) = next.next else { break };
        // What is dropped between two pages moves nothing.
        let gone = told.first().map(|held: &HeldRemoval| (held.user.clone(), held.rule)).unwrap();
        removals.drop_rows(GUILD, &gone.0, &[gone.1]).await.unwrap();
        page.cursor = Some(Cursor::parse(&cursor.to_string()).unwrap());
    }
    let one = |held: &HeldRemoval| (held.rule, held.user.to_string());
    assert_eq!(told.iter().map(one).collect::<std::collections::BTreeSet<_>>().len(), 2_504);
    assert_eq!(told.len(), 2_504);
}

async fn removals_are_confirmed_by_batch_and_dropped_by_rule(engine: Engine) {
    let world = World::new(engine).await;
    let removals = world.queries.held_removals();
    let elsewhere = HeldRemoval { guild: GuildId(200), ..held(1, 1, 7) };
    removals.hold(&[held(1, 1, 7), held(2, 1, 7), held(3, 1, 8), held(1, 2, 7), elsewhere]).await.unwrap();
    assert_eq!(removals.confirm(GUILD, Uuid::from_u128(6), &Actor::Operator).await.unwrap(), 0);
    assert_eq!(removals.confirm(GUILD, Uuid::from_u128(7), &Actor::Operator).await.unwrap(), 3);
    assert_eq!(
        removals.confirm(GUILD, Uuid::from_u128(7), &Actor::Operator).await.unwrap(),
        3,
        "again is no change"
    );
    let confirmed = removals.all().await.unwrap().into_iter().filter(|held| held.confirmed);
    assert!(confirmed.clone().all(|held| held.guild == GUILD && held.batch == Uuid::from_u128(7)));
    assert_eq!(confirmed.count(), 3);

    assert_eq!(removals.confirmed().await.unwrap().len(), 3);
    assert_eq!(removals.unconfirmed().await.unwrap(), 2);
    assert_eq!(removals.open(GUILD).await.unwrap(), Standing::Open(Uuid::from_u128(8)));
    assert_eq!(removals.open(GuildId(300)).await.unwrap(), Standing::Nothing);
    let one = removals.of_members(GUILD, &[&pseudonym(2), &pseudonym(9)]).await.unwrap();
    assert_eq!(one.iter().map(|held| &held.user).collect::<Vec<_>>(), [&pseudonym(2)]);

    let rules = [RuleId(Uuid::from_u128(1)), RuleId(Uuid::from_u128(3))];
    removals.drop_rows(GUILD, &pseudonym(1), &rules).await.unwrap();
    let left: Vec<_> =
        removals.of_guild(GUILD).await.unwrap().into_iter().map(|h| (h.rule, h.user)).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&(RuleId(Uuid::from_u128(2)), pseudonym(1))));
    assert!(left.contains(&(RuleId(Uuid::from_u128(1)), pseudonym(2))));
    assert_eq!(removals.open(GUILD).await.unwrap(), Standing::Confirmed);
    assert_eq!(removals.of_guild(GuildId(200)).await.unwrap().len(), 1);
}
