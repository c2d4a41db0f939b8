//! The Merkle log: the same trees on both engines, whoever seals and whenever he dies; exports that prove themselves;
//! and whatever was altered behind our back, named.

use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use domain::event::StoredEvent;
use domain::id::{GuildId, StreamId};
use domain::merkle::proof::{proves_consistency, proves_inclusion};
use domain::merkle::{leaf_hash, root_of};
use domain::ports::Sign;
use domain::private::Subject;
use domain::proof::{Checked, Expected, ExportCheck, Fault, record};
use domain::time::Timestamp;
use domain::user::Event as UserEvent;
use projections::{Config, Db, Page, Queries, SealLog, SealStep};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::engines::Engine;
use crate::world::{
    GUILD, NOW, New, World, activated, assigned, config, generated, license_id, of_user, person, pseudonym,
    registered, revoked,
};

crate::on_both_engines!(
    both_engines_give_the_same_trees,
    the_texts_of_an_event_are_hashed_as_they_were_stored,
    batches_of_any_size_give_the_same_trees,
    many_sealers_at_once_give_the_same_trees,
    a_sealer_that_dies_leaves_nothing_half_done,
    the_sealer_signs_what_is_new_and_rests,
    a_check_raises_no_alarm_while_events_are_sealed,
    every_guild_has_an_export_that_proves_itself,
    an_erasure_changes_no_proof,
    events_and_growth_are_proved,
    an_altered_event_is_named,
    an_altered_event_with_an_altered_tree_is_named,
    events_that_are_gone_are_named,
    an_altered_tree_is_named,
    a_checkpoint_cannot_be_changed_and_is_missed,
    a_restored_log_is_sealed_under_its_new_epoch
);

const OTHER: GuildId = GuildId(200);
const PATIENCE: Duration = Duration::from_secs(30);

/// A keyed hash in the place of Ed25519, deterministic as that is.
struct Key;

fn signature(message: &[u8]) -> [u8; 64] {
    let half = |salt: u8| -> [u8; 32] {
        Sha256::new_with_prefix([salt]).chain_update(b"secret").chain_update(message).finalize().into()
    };
    [half(1), half(2)].concat().try_into().unwrap()
}

impl Sign for Key {
    fn key_id(&self) -> String {
        "test".to_owned()
    }
    fn public_key(&self) -> [u8; 32] {
        [7; 32]
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        signature(message)
    }
}

fn seal_log(queries: &Queries) -> SealLog {
    SealLog::new(queries, Arc::new(Key))
}

async fn sealing(world: &World, config: Config) -> SealLog {
    seal_log(&world.another(config).await.0)
}

/// Licenses of two guilds and the persons who own them: four events a license, every third one of the other guild.
async fn some(world: &World, people: std::ops::Range<u64>) -> i64 {
    let mut events = Vec::new();
    for n in people {
        let id = license_id(u128::from(n));
        let of_license = [generated(id), assigned(id, n), activated(id, n, u128::from(n))];
        let guild = if n % 3 == 0 { OTHER } else { GUILD };
        events.push(registered(n));
        events.extend(of_license.into_iter().map(|new| New { guild: Some(guild), ..new }));
    }
    world.append_elsewhere(events).await
}

async fn export(log: &SealLog, guild: GuildId) -> String {
    let mut export = log.export(guild).await.unwrap().unwrap();
    let mut file = export.header().unwrap();
    while let Some(lines) = export.next().await.unwrap() {
        file.push_str(&lines);
    }
    file
}

fn check(log: &SealLog, file: &str) -> Result<Checked, Vec<Fault>> {
    let verify = |_: &[u8; 32], message: &[u8], found: &[u8; 64]| signature(message) == *found;
    let mut check = ExportCheck::new(Expected { key: Some(log.key()), any_epoch: false, verify: &verify });
    file.split_inclusive('\n').for_each(|line| check.take(line.as_bytes()));
    check.finish()
}

/// Everything that is stored of the trees.
async fn stored(world: &World) -> Vec<(String, String)> {
    let trees = "SELECT id, CAST(size AS TEXT) || root || CAST(position AS TEXT) FROM merkle_tree \
                 UNION ALL SELECT id, hashes FROM merkle_tile ORDER BY 1";
    match &world.db {
        Db::Sqlite { write, .. } => sqlx::query_as(trees).fetch_all(write).await.unwrap(),
        Db::Postgres(pool) => sqlx::query_as(trees).fetch_all(pool).await.unwrap(),
    }
}

async fn is_sound(log: &SealLog, checkpoints: u64) {
    let report = log.verify().await.unwrap();
    assert_eq!((report.fault, report.checkpoints), (None, checkpoints));
}

async fn both_engines_give_the_same_trees(engine: Engine) {
    let world = World::new(engine).await;
    some(&world, 1..20).await;
    let sealed = seal_log(&world.queries).checkpoint().await.unwrap();
    assert_eq!((sealed.checkpoint.size, sealed.checkpoint.guilds), (76, 2));
    // The hash of everything that is stored, the same on SQLite and on PostgreSQL.
    let all: Sha256 = stored(&world).await.iter().fold(Sha256::new(), |hash, (id, text)| {
        hash.chain_update(id).chain_update(" ").chain_update(text).chain_update("\n")
    });
    let known = "EPIrPYAWpBObP3HmUGElPYDN+eZqI8A7GO9s5VdJ0ro= 4a46f0254da77a86";
    assert_eq!(format!("{} {}", sealed.checkpoint.root, HEXLOWER.encode(&all.finalize()[..8])), known);
}

async fn the_texts_of_an_event_are_hashed_as_they_were_stored(engine: Engine) {
    let world = World::new(engine).await;
    let (payload, metadata) =
        ("{\"b\" : 1.50,\n\"a\":\"\\u00e4 ß \\u0000\", \"b\": 12345678901234567890123}", "{ \"id\":1 }");
    let columns = "position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, \
                   guild_id, recorded_at";
    world
        .execute(&format!(
            "INSERT INTO events ({columns}) VALUES (1, 'license', 'x', 1, 't', '1', '{payload}', '{metadata}', '100', 5)"
        ))
        .await;
    let log = seal_log(&world.queries);
    let sealed = log.checkpoint().await.unwrap();
    let event = StoredEvent {
        position: 1,
        stream: StreamId { kind: domain::id::Kind::License, id: "x".into() },
        sequence: 1,
        event_type: "t".to_owned(),
        event_version: "1".to_owned(),
        payload: payload.to_owned(),
        metadata: metadata.to_owned(),
        guild: Some(GUILD),
        recorded_at: Timestamp(5),
    };
    let record = record(&event, Some(1)).unwrap();
    assert_eq!(sealed.checkpoint.root, leaf_hash(record.as_bytes()));
    let file = export(&log, GUILD).await;
    assert!(file.contains(&record), "{file}");
    assert_eq!(check(&log, &file).unwrap().events, 1);
}

async fn batches_of_any_size_give_the_same_trees(engine: Engine) {
    let world = World::new(engine).await;
    let small = sealing(&world, Config { seal_batch: 7, ..config() }).await;
    some(&world, 1..60).await;
    small.catch_up().await.unwrap();
    some(&world, 60..90).await;
    assert!(matches!(small.step().await.unwrap(), SealStep::Sealed(243)));
    small.catch_up().await.unwrap();
    let in_small = stored(&world).await;
    world.execute("DELETE FROM merkle_tile").await;
    world.execute("DELETE FROM merkle_tree WHERE id <> 'log'").await;
    world.execute("UPDATE merkle_tree SET size = 0").await;
    // Trees that are lost are made again from the log.
    let log = seal_log(&world.queries);
    assert_eq!(log.step().await.unwrap(), SealStep::Sealed(356));
    assert_eq!(stored(&world).await, in_small);
    is_sound(&log, 0).await;
}

async fn many_sealers_at_once_give_the_same_trees(engine: Engine) {
    let world = World::new(engine).await;
    let small = Config { seal_batch: 5, ..config() };
    let logs = [sealing(&world, small.clone()).await, sealing(&world, small).await];
    let stop = CancellationToken::new();
    let running: Vec<_> = logs
        .iter()
        .map(|log| {
            let (log, stop) = (log.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    log.step().await.unwrap();
                }
            })
        })
        .collect();
    let mut head = 0;
    for round in 0..20_u64 {
        head = some(&world, round * 5 + 1..round * 5 + 6).await;
        logs[0].checkpoint().await.unwrap();
    }
    stop.cancel();
    for running in running {
        running.await.unwrap();
    }
    let log = seal_log(&world.queries);
    assert_eq!(log.catch_up().await.unwrap(), head);
    let report = log.verify().await.unwrap();
    assert_eq!((report.fault, report.sealed, report.unsealed), (None, head, 0));
    assert!(report.checkpoints >= 20, "{}", report.checkpoints);
}

async fn a_sealer_that_dies_leaves_nothing_half_done(engine: Engine) {
    let world = World::new(engine).await;
    let head = some(&world, 1..80).await;
    let small = sealing(&world, Config { seal_batch: 3, ..config() }).await;
    // Cut off after more and more time, at whatever it is doing.
    let mut after = Duration::ZERO;
    while small.sealed_position().await.unwrap() < head {
        let dying = small.clone();
        let _ = tokio::time::timeout(after, async move { dying.catch_up().await.unwrap() }).await;
        after += Duration::from_millis(1);
    }
    let log = seal_log(&world.queries);
    log.checkpoint().await.unwrap();
    is_sound(&log, 1).await;
}

async fn the_sealer_signs_what_is_new_and_rests(engine: Engine) {
    let world = World::new(engine).await;
    let quick = Config {
        seal_pace: Duration::from_millis(10),
        checkpoint_every: Duration::from_millis(1),
        ..config()
    };
    let log = sealing(&world, quick).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(log.clone().run("first".to_owned(), stop.clone()));
    let second = tokio::spawn(log.clone().run("second".to_owned(), stop.clone()));
    for round in 0..3_u64 {
        let head = some(&world, round * 4 + 1..round * 4 + 5).await;
        let begin = Instant::now();
        while log.note(head).await.unwrap().is_none() {
            assert!(begin.elapsed() < PATIENCE, "no checkpoint of {head} events");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    stop.cancel();
    running.await.unwrap();
    second.await.unwrap();
    let signed = world.number("SELECT count(*) FROM log_checkpoint").await;
    assert_eq!(world.queries.leases().holder("seal-log").await.unwrap(), None, "it lets go when it ends");
    is_sound(&log, signed as u64).await;
}

async fn a_check_raises_no_alarm_while_events_are_sealed(engine: Engine) {
    let world = World::new(engine).await;
    let small = Config { seal_batch: 5, rebuild_page: 10, ..config() };
    let log = sealing(&world, small).await;
    let stop = CancellationToken::new();
    let (sealer, stopped) = (log.clone(), stop.clone());
    let sealing = tokio::spawn(async move {
        while !stopped.is_cancelled() {
            sealer.checkpoint().await.unwrap();
        }
    });
    for round in 0..30_u64 {
        some(&world, round * 3 + 1..round * 3 + 4).await;
        assert_eq!(log.verify().await.unwrap().fault, None);
    }
    stop.cancel();
    sealing.await.unwrap();
}

async fn every_guild_has_an_export_that_proves_itself(engine: Engine) {
    let world = World::new(engine).await;
    some(&world, 1..50).await;
    let log = sealing(&world, Config { seal_batch: 13, ..config() }).await;
    for (guild, events) in [(GUILD, 33 * 3), (OTHER, 16 * 3)] {
        let file = export(&log, guild).await;
        let checked = check(&log, &file).unwrap();
        assert_eq!((checked.guild_id, checked.events, checked.checkpoint), (guild, events, 196));
        assert_eq!(file.lines().count() as u64, events + 1);
        let foreign = if guild == GUILD { OTHER } else { GUILD };
        let of_foreign = format!("\"guildId\":\"{foreign}\",\"number\"");
        assert!(!file.contains(&of_foreign), "nothing of another tenant");
    }
    assert!(log.export(GuildId(300)).await.unwrap().is_none());
    // It goes on growing; both files begin the same.
    let before = export(&log, GUILD).await;
    some(&world, 50..60).await;
    let after = export(&log, GUILD).await;
    assert!(check(&log, &after).unwrap().events > check(&log, &before).unwrap().events);
    assert!(after.lines().skip(1).zip(before.lines().skip(1)).all(|(after, before)| after == before));
    is_sound(&log, 2).await;
}

async fn an_erasure_changes_no_proof(engine: Engine) {
    let mut world = World::new(engine).await;
    some(&world, 1..9).await;
    world.projector.catch_up().await.unwrap();
    let log = seal_log(&world.queries);
    let before = export(&log, GUILD).await;
    let id = license_id(1);
    let name = |entries: &[projections::HistoryEntry]| format!("{entries:?}").contains("Laptop 1");
    let page = || Page { limit: 50, cursor: None };
    assert!(name(&world.queries.history(id, page()).await.unwrap().unwrap().data));
    world.vault.erase(&Subject::User(pseudonym(1)));
    world.append(vec![of_user(1, UserEvent::Erased { at: NOW }), revoked(id)]).await;
    world.projector.catch_up().await.unwrap();
    // History replays, without what was his.
    let history = world.queries.history(id, page()).await.unwrap().unwrap();
    assert_eq!(history.data.len(), 4);
    assert!(!name(&history.data));
    // What was signed before holds, and so does everything after.
    let after = export(&log, GUILD).await;
    assert!(check(&log, &before).is_ok() && check(&log, &after).is_ok());
    assert!(after.lines().skip(1).zip(before.lines().skip(1)).all(|(after, before)| after == before));
    is_sound(&log, 2).await;
}

async fn events_and_growth_are_proved(engine: Engine) {
    let world = World::new(engine).await;
    let log = seal_log(&world.queries);
    let mut sizes = Vec::new();
    for round in 0..6_u64 {
        some(&world, round * 7 + 1..round * 7 + 8).await;
        sizes.push(log.checkpoint().await.unwrap().checkpoint);
    }
    for position in [1, 2, 28, 29, 100, 168] {
        let proof = log.prove_event(position).await.unwrap().unwrap();
        let said = proof.sealed.checkpoint;
        let leaf = leaf_hash(proof.record.as_bytes());
        assert!(proves_inclusion(leaf, position as u64 - 1, said.size, &proof.path, said.root), "{position}");
        assert!(proof.record.starts_with(&format!("{{\"position\":{position},")));
    }
    for position in [i64::MIN, -1, 0, 169, i64::MAX] {
        assert!(log.prove_event(position).await.unwrap().is_none());
    }
    for (at, from) in sizes.iter().enumerate() {
        for to in &sizes[at..] {
            let proof = log.prove_consistency(from.size as i64, to.size as i64).await.unwrap().unwrap();
            assert_eq!((proof.from_root, proof.to_root), (from.root, to.root));
            assert!(proves_consistency(from.size, from.root, to.size, to.root, &proof.path));
        }
    }
    for (from, to) in [(0, 1), (2, 1), (1, 169), (-1, 5)] {
        assert!(log.prove_consistency(from, to).await.unwrap().is_none(), "{from} {to}");
    }
    assert_eq!(log.note(56).await.unwrap().unwrap().read().unwrap(), sizes[1]);
    assert!(log.note(57).await.unwrap().is_none());
}

/// A log of 48 events, 28 of them under a first checkpoint and all under a second, and a database that refuses nothing
/// any more.
async fn defenceless(engine: Engine) -> (World, SealLog) {
    let world = World::new(engine).await;
    let log = sealing(&world, Config { rebuild_page: 10, ..config() }).await;
    some(&world, 1..8).await;
    log.checkpoint().await.unwrap();
    some(&world, 8..13).await;
    log.checkpoint().await.unwrap();
    is_sound(&log, 2).await;
    match engine {
        Engine::Postgres => {
            world.execute("DROP TRIGGER events_append_only ON events").await;
            world.execute("DROP TRIGGER log_checkpoint_append_only ON log_checkpoint").await;
        }
        _ => {
            for trigger in [
                "events_no_update",
                "events_no_delete",
                "log_checkpoint_no_update",
                "log_checkpoint_no_delete",
            ] {
                world.execute(&format!("DROP TRIGGER {trigger}")).await;
            }
        }
    }
    (world, log)
}

async fn fault(log: &SealLog) -> (i64, String) {
    let fault = log.verify().await.unwrap().fault.expect("a fault");
    (fault.position, fault.what)
}

async fn an_altered_event_is_named(engine: Engine) {
    for change in
        ["recorded_at = 7", "event_version = '2'", "metadata = '{}'", "guild_id = '300'", "sequence = 9"]
    {
        let (world, log) = defenceless(engine).await;
        world.execute(&format!("UPDATE events SET {change} WHERE position = 18")).await;
        let (position, what) = fault(&log).await;
        assert_eq!(position, 18, "{change}: {what}");
        assert!(what.contains("altered"), "{what}");
    }
    // Whoever has only the export finds it too, at the same place.
    let (world, log) = defenceless(engine).await;
    world.execute("UPDATE events SET recorded_at = 7 WHERE position = 18").await;
    let file = export(&log, GUILD).await;
    let found = check(&log, &file).unwrap_err();
    assert_eq!((found.len(), found[0].code(), found[0].position()), (1, "altered", Some(18)), "{found:?}");
}

async fn an_altered_event_with_an_altered_tree_is_named(engine: Engine) {
    // Somebody alters an event and lets the trees be made again: they agree, and what was signed does not.
    for (position, first) in [(18, 1), (40, 29)] {
        let (world, log) = defenceless(engine).await;
        world.execute(&format!("UPDATE events SET recorded_at = 7 WHERE position = {position}")).await;
        world.execute("DELETE FROM merkle_tile").await;
        world.execute("DELETE FROM merkle_tree WHERE id <> 'log'").await;
        world.execute("UPDATE merkle_tree SET size = 0").await;
        log.catch_up().await.unwrap();
        let (found, what) = fault(&log).await;
        assert_eq!(found, first, "{what}");
        assert!(what.contains("not those that were signed"), "{what}");
    }
}

async fn events_that_are_gone_are_named(engine: Engine) {
    for (gone, position) in [("position = 18", 18), ("position > 40", 41), ("position >= 1", 1)] {
        let (world, log) = defenceless(engine).await;
        world.execute(&format!("DELETE FROM events WHERE {gone}")).await;
        let (found, what) = fault(&log).await;
        assert_eq!(found, position, "{what}");
        assert!(what.contains("gone"), "{what}");
    }
    // The sealer does not go on over what was cut off.
    let (world, log) = defenceless(engine).await;
    world.execute("DELETE FROM events WHERE position > 40").await;
    assert!(log.checkpoint().await.unwrap_err().to_string().contains("ends at position 40"));
    // Nor does it help to cut off the trees as well, as long as the checkpoint is there.
    world.execute("DELETE FROM merkle_tile").await;
    world.execute("DELETE FROM merkle_tree WHERE id <> 'log'").await;
    world.execute("UPDATE merkle_tree SET size = 0").await;
    log.catch_up().await.unwrap();
    let (found, what) = fault(&log).await;
    assert_eq!(found, 41, "{what}");
    // Two events in each other's place.
    let (world, log) = defenceless(engine).await;
    for (from, to) in [(18, 1_000), (19, 18), (1_000, 19)] {
        world.execute(&format!("UPDATE events SET position = {to} WHERE position = {from}")).await;
    }
    assert_eq!(fault(&log).await.0, 18);
}

async fn an_altered_tree_is_named(engine: Engine) {
    let (world, log) = defenceless(engine).await;
    world.execute("UPDATE merkle_tile SET hashes = (SELECT hashes FROM merkle_tile WHERE id = 'log/0/0') WHERE id = '100/0/0'").await;
    let (_, what) = fault(&log).await;
    assert!(what.contains("100/0/0"), "{what}");
    let (world, log) = defenceless(engine).await;
    world.execute("UPDATE merkle_tree SET size = size - 1 WHERE id = '200'").await;
    let (_, what) = fault(&log).await;
    assert!(what.contains("`200`"), "{what}");
    let (world, log) = defenceless(engine).await;
    world.execute("UPDATE merkle_tile SET hashes = '' WHERE id = 'log/0/1'").await;
    let (_, what) = fault(&log).await;
    assert!(what.contains("log/0/1"), "{what}");
    assert!(log.prove_event(20).await.unwrap_err().to_string().contains("log/0/1"));
}

async fn a_checkpoint_cannot_be_changed_and_is_missed(engine: Engine) {
    let world = World::new(engine).await;
    some(&world, 1..8).await;
    seal_log(&world.queries).checkpoint().await.unwrap();
    for statement in ["UPDATE log_checkpoint SET note = ''", "DELETE FROM log_checkpoint"] {
        let refused = match &world.db {
            Db::Sqlite { write, .. } => sqlx::query(statement).execute(write).await.map(drop),
            Db::Postgres(pool) => sqlx::query(statement).execute(pool).await.map(drop),
        };
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("signed checkpoints are kept"), "{why}");
    }
    for change in [
        "replace(note, 'dca-auth/log/e1 ', 'dca-auth/log/e1 AAAA')",
        "replace(note, 'log', 'lag')",
        "replace(note, '\n48\n', '\n49\n')",
    ] {
        let (world, log) = defenceless(engine).await;
        world.execute(&format!("UPDATE log_checkpoint SET note = {change} WHERE size = 48")).await;
        let (position, what) = fault(&log).await;
        assert!(position == 48 && what.contains("checkpoint of 48 events was altered"), "{change}: {what}");
    }
}

async fn a_restored_log_is_sealed_under_its_new_epoch(engine: Engine) {
    let world = World::new(engine).await;
    some(&world, 1..8).await;
    let before = seal_log(&world.queries);
    before.checkpoint().await.unwrap();
    let file = export(&before, GUILD).await;
    let after = seal_log(&world.restored("e2").await);
    assert!(after.note(28).await.unwrap().is_none(), "checkpoints are of their epoch");
    let sealed = after.checkpoint().await.unwrap();
    assert!(sealed.note.as_str().starts_with("dca-auth/log/e2\n28\n"));
    assert_eq!(check(&after, &file).unwrap_err()[0].code(), "otherEpoch");
    some(&world, 8..12).await;
    assert!(check(&after, &export(&after, GUILD).await).is_ok());
    // Both epochs' checkpoints hold over the same events.
    is_sound(&after, 3).await;
}

/// Leaves of the whole log, computed apart from everything that is tested.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_root_is_the_root_of_the_records() {
    let world = World::new(Engine::Sqlite).await;
    some(&world, 1..30).await;
    let sealed = seal_log(&world.queries).checkpoint().await.unwrap();
    let (mut numbers, mut leaves) = (std::collections::BTreeMap::new(), Vec::new());
    for event in world.queries.log().read(0, 1_000).await.unwrap() {
        let number = event.guild.map(|guild| {
            let number = numbers.entry(guild).or_insert(0_u64);
            *number += 1;
            *number
        });
        leaves.push(leaf_hash(record(&event, number).unwrap().as_bytes()));
    }
    assert_eq!(sealed.checkpoint.root, root_of(leaves));
    assert_eq!(person(1).id, pseudonym(1));
}
