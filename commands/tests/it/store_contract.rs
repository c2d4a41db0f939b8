//! What every engine of the store does alike.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use commands::store::{Append, AppendError, Store, StoreError, SubjectKeyRow};
use domain::guild::Guild;
use domain::id::{GuildId, RoleId, StreamId};
use domain::license::License;
use domain::private::{Person, Private, SealedText, Subject};
use domain::time::Timestamp;
use domain::{guild, id::Pseudonym};

use crate::engines::Engine;
use crate::store_lab::{Lab, NOW, claim, event, events, follow, fresh, idempotency, key, of};

macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => {
        on_every_engine!(@ memory Memory, $($name),+);
        on_every_engine!(@ sqlite Sqlite, $($name),+);
        on_every_engine!(@ postgres Postgres, $($name),+);
    };
    (@ $module:ident $engine:ident, $($name:ident),+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(super::Lab::on(super::Engine::$engine).await).await;
                }
            )+
        }
    };
}

on_every_engine!(
    what_is_appended_is_loaded,
    personal_fields_are_loaded_only_where_they_were_sealed,
    a_stale_version_is_a_conflict,
    an_impossible_append_is_refused_before_it_is_queued,
    an_append_without_anything_is_nothing,
    a_claimed_value_is_taken_until_it_is_released,
    a_command_can_release_and_take_the_same_value,
    a_violated_claim_is_named,
    a_repeated_write_is_told_before_anything_else,
    a_refused_command_leaves_no_idempotency_row,
    several_aggregates_are_appended_all_or_nothing,
    ten_thousand_streams_are_appended_all_or_nothing,
    one_offender_among_many_commands_fails_alone,
    of_two_commands_on_one_version_exactly_one_wins,
    positions_have_no_gap_and_no_reader_misses_one,
    a_value_changes_hands_between_concurrent_commands,
    time_never_falls_even_if_the_clock_does,
    idempotency_rows_are_pruned_by_age,
    facts_are_kept,
    subject_keys_are_made_once_and_destroyed,
    a_sound_log_checks_out,
    closing_writes_what_waits,
);

async fn what_is_appended_is_loaded(lab: Lab) {
    let store = &lab.store;
    let (guild, stream) = fresh();
    let append = events(&stream, 1, 3);
    let appended = store.append(append.clone()).await.unwrap().unwrap();
    assert_eq!((appended.first, appended.last), (1, 3));
    assert_eq!(store.head().await.unwrap(), 3);

    let state: Guild = store.load(&stream).await.unwrap();
    assert_eq!(state.version, 3);
    assert!(!state.present, "the last of three events is `left`");
    assert_eq!(store.load_until::<Guild>(&stream, 2).await.unwrap().version, 2);
    assert!(store.load_until::<Guild>(&stream, 2).await.unwrap().present);
    assert_eq!(store.load_until::<Guild>(&stream, 0).await.unwrap(), Guild::default());

    let stored = store.stream(&stream).await.unwrap();
    for (stored, (new, position)) in stored.iter().zip(append.events.iter().zip(1..)) {
        assert_eq!(stored.position, position);
        assert_eq!(stored.payload, new.payload, "JSON text is kept byte for byte");
        assert_eq!(stored.metadata, new.metadata);
        assert_eq!(stored.guild, Some(guild));
        assert_eq!(stored.recorded_at, appended.recorded_at);
        stored.read().unwrap();
    }
    assert_eq!(store.range(1, 2, 10).await.unwrap(), stored[1..2]);
    assert_eq!(store.range(0, i64::MAX, 2).await.unwrap(), stored[..2]);

    let (_, empty) = fresh();
    assert_eq!(store.load::<Guild>(&empty).await.unwrap(), Guild::default());
    let mistaken = store.load::<License>(&stream).await.unwrap_err();
    assert!(matches!(mistaken, StoreError::Malformed(_)), "{mistaken}");
}

/// A registration whose owner was sealed for event `sealed_for`.
fn registered(guild_id: GuildId, sealed_for: u64) -> guild::Event {
    let id: Pseudonym = "u_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
    let sealed =
        SealedText::new(&Subject::User(id.clone()), "0a0b0c0d", sealed_for, "owner.discordId", "AAAA");
    guild::Event::Registered {
        guild_id,
        name: "Zürich \u{1F600} \"quoted\" \\ back".to_owned(),
        owner: Person { id, discord_id: Private::Sealed(sealed) },
        watched_roles: [RoleId(7)].into(),
        at: NOW,
    }
}

async fn personal_fields_are_loaded_only_where_they_were_sealed(lab: Lab) {
    let (guild, stream) = fresh();
    let append = Append { events: vec![of(&stream, 1, registered(guild, 1))], ..Append::default() };
    lab.store.append(append).await.unwrap();
    let state: Guild = lab.store.load(&stream).await.unwrap();
    assert_eq!(state.id, Some(guild));
    assert_eq!(state.name, "Zürich \u{1F600} \"quoted\" \\ back");

    let (guild, stream) = fresh();
    let append = Append { events: vec![of(&stream, 1, registered(guild, 2))], ..Append::default() };
    lab.store.append(append).await.unwrap();
    let error = lab.store.load::<Guild>(&stream).await.unwrap_err();
    assert!(matches!(&error, StoreError::Damaged(why) if why.contains("owner.discordId")), "{error}");
}

async fn a_stale_version_is_a_conflict(lab: Lab) {
    let (_, stream) = fresh();
    lab.store.append(events(&stream, 1, 2)).await.unwrap();
    assert_eq!(lab.store.append(events(&stream, 2, 2)).await, Err(AppendError::Conflict));
    assert_eq!(lab.store.append(events(&stream, 1, 1)).await, Err(AppendError::Conflict));
    assert_eq!(lab.store.append(events(&stream, 3, 1)).await.unwrap().unwrap().first, 3);
    assert_eq!(lab.store.head().await.unwrap(), 3);
}

async fn an_impossible_append_is_refused_before_it_is_queued(lab: Lab) {
    let (_, stream) = fresh();
    let gap = Append { events: vec![event(&stream, 1), event(&stream, 3)], ..Append::default() };
    let zero = Append { events: vec![event(&stream, 0)], ..Append::default() };
    let twice = Append { events: vec![event(&stream, 1), event(&stream, 1)], ..Append::default() };
    for append in [gap, zero, twice] {
        let error = lab.store.append(append).await.unwrap_err();
        assert!(matches!(error, AppendError::Unavailable(StoreError::Malformed(_))), "{error}");
    }
    assert_eq!(lab.store.head().await.unwrap(), 0);
}

async fn an_append_without_anything_is_nothing(lab: Lab) {
    assert_eq!(lab.store.append(Append::default()).await, Ok(None));
    let only_row = Append { idempotency: Some(idempotency("k")), ..Append::default() };
    assert_eq!(lab.store.append(only_row).await, Ok(None));
    let row = lab.store.idempotency(&key("k")).await.unwrap().unwrap();
    assert_eq!((row.first, row.last), (None, None));
    assert_eq!(lab.store.head().await.unwrap(), 0);
}

fn taken(scope: &str, value: &str) -> AppendError {
    AppendError::Claimed { scope: scope.to_owned(), value: value.to_owned() }
}

async fn a_claimed_value_is_taken_until_it_is_released(lab: Lab) {
    let store = &lab.store;
    let (_, a) = fresh();
    let (_, b) = fresh();
    store.append(Append { claims: vec![claim("alias:1", "x", &a)], ..events(&a, 1, 1) }).await.unwrap();
    assert_eq!(store.claim_owner("alias:1", "x").await.unwrap(), Some(a.clone()));
    assert_eq!(store.claim_owner("alias:2", "x").await.unwrap(), None);

    let claiming = Append { claims: vec![claim("alias:1", "x", &b)], ..events(&b, 1, 1) };
    assert_eq!(store.append(claiming.clone()).await, Err(taken("alias:1", "x")));
    assert_eq!(store.load::<Guild>(&b).await.unwrap().version, 0, "nothing of a refused command is written");
    // Stale and taken at once: a stale decision is decided again first.
    let stale = Append { claims: vec![claim("alias:1", "x", &a)], ..events(&a, 1, 1) };
    assert_eq!(store.append(stale).await, Err(AppendError::Conflict));

    let release = Append { released: vec![("alias:1".into(), "x".into())], ..events(&a, 2, 1) };
    store.append(release).await.unwrap();
    assert_eq!(store.claim_owner("alias:1", "x").await.unwrap(), None);
    store.append(claiming).await.unwrap();
    assert_eq!(store.claim_owner("alias:1", "x").await.unwrap(), Some(b));
}

async fn a_command_can_release_and_take_the_same_value(lab: Lab) {
    let (_, a) = fresh();
    let (_, b) = fresh();
    lab.store.append(Append { claims: vec![claim("s", "x", &a)], ..events(&a, 1, 1) }).await.unwrap();
    let hand_over = Append {
        claims: vec![claim("s", "x", &b)],
        released: vec![("s".into(), "x".into())],
        ..events(&b, 1, 1)
    };
    lab.store.append(hand_over).await.unwrap();
    assert_eq!(lab.store.claim_owner("s", "x").await.unwrap(), Some(b));
}

async fn a_violated_claim_is_named(lab: Lab) {
    let (_, a) = fresh();
    let (_, b) = fresh();
    lab.store.append(Append { claims: vec![claim("s", "b, c", &a)], ..events(&a, 1, 1) }).await.unwrap();
    let claims = ["a", "b", "b, c", "d"].map(|value| claim("s", value, &b)).to_vec();
    assert_eq!(lab.store.append(Append { claims, ..events(&b, 1, 1) }).await, Err(taken("s", "b, c")));
    let twice = vec![claim("s", "z", &b), claim("s", "z", &b)];
    assert_eq!(lab.store.append(Append { claims: twice, ..events(&b, 1, 1) }).await, Err(taken("s", "z")));
    assert_eq!(lab.store.claim_owner("s", "a").await.unwrap(), None);
}

async fn a_repeated_write_is_told_before_anything_else(lab: Lab) {
    let store = &lab.store;
    let (_, a) = fresh();
    let (_, b) = fresh();
    let write = |append: Append| Append { idempotency: Some(idempotency("k")), ..append };
    let first = write(Append { claims: vec![claim("s", "x", &a)], ..events(&a, 1, 2) });
    store.append(events(&b, 1, 1)).await.unwrap();
    store.append(first.clone()).await.unwrap();
    let row = store.idempotency(&key("k")).await.unwrap().unwrap();
    assert_eq!((row.first, row.last, row.created_at), (Some(2), Some(3), NOW));
    assert_eq!((row.outcome.as_str(), row.payload_hash.as_str()), (r#"{"status":201}"#, "hash"));

    assert_eq!(store.append(first).await, Err(AppendError::IdempotencyTaken));
    let other = write(Append { claims: vec![claim("s", "y", &b)], ..events(&b, 2, 1) });
    assert_eq!(store.append(other).await, Err(AppendError::IdempotencyTaken));
    assert_eq!(store.load::<Guild>(&b).await.unwrap().version, 1);
    assert_eq!(store.claim_owner("s", "y").await.unwrap(), None);
    assert_eq!(store.idempotency(&key("other")).await.unwrap(), None);
}

async fn a_refused_command_leaves_no_idempotency_row(lab: Lab) {
    let (_, stream) = fresh();
    lab.store.append(events(&stream, 1, 1)).await.unwrap();
    let stale = Append { idempotency: Some(idempotency("k")), ..events(&stream, 1, 1) };
    assert_eq!(lab.store.append(stale).await, Err(AppendError::Conflict));
    assert_eq!(lab.store.idempotency(&key("k")).await.unwrap(), None, "its row goes with it");
}

async fn several_aggregates_are_appended_all_or_nothing(lab: Lab) {
    let (_, a) = fresh();
    let (_, b) = fresh();
    let both = |at_a, at_b| {
        let mut append = events(&a, at_a, 2);
        append.events.extend(events(&b, at_b, 1).events);
        append
    };
    lab.store.append(both(1, 1)).await.unwrap();
    assert_eq!(lab.store.append(both(3, 1)).await, Err(AppendError::Conflict));
    assert_eq!(lab.store.load::<Guild>(&a).await.unwrap().version, 2);
    let appended = lab.store.append(both(3, 2)).await.unwrap().unwrap();
    assert_eq!((appended.first, appended.last), (4, 6));
    assert_eq!(lab.store.stream(&b).await.unwrap()[1].position, 6, "in the order given");
}

async fn ten_thousand_streams_are_appended_all_or_nothing(lab: Lab) {
    let streams: Vec<StreamId> = (0..10_000).map(|_| fresh().1).collect();
    let all = |streams: &[StreamId]| Append {
        events: streams.iter().map(|stream| event(stream, 1)).collect(),
        ..Append::default()
    };
    lab.store.append(events(&streams[9_999], 1, 1)).await.unwrap();
    assert_eq!(lab.store.append(all(&streams)).await, Err(AppendError::Conflict));
    assert_eq!(lab.store.head().await.unwrap(), 1, "a violation at the last stream leaves nothing");
    let appended = lab.store.append(all(&streams[..9_999])).await.unwrap().unwrap();
    assert_eq!((appended.first, appended.last), (2, 10_000));
    assert_eq!(lab.store.stream(&streams[9_998]).await.unwrap()[0].position, 10_000);
    let checked = lab.store.check().await.unwrap();
    assert_eq!((checked.sound, checked.fault), (10_000, None));
}

/// Runs appends at once, so that they meet in batches.
async fn at_once(store: &Store, appends: Vec<Append>) -> Vec<Result<(), AppendError>> {
    let tasks = appends.into_iter().map(|append| {
        let store = store.clone();
        tokio::spawn(async move { store.append(append).await.map(drop) })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

async fn one_offender_among_many_commands_fails_alone(lab: Lab) {
    let (_, a) = fresh();
    lab.store.append(Append { claims: vec![claim("s", "x", &a)], ..events(&a, 1, 1) }).await.unwrap();
    lab.store.append(Append { idempotency: Some(idempotency("k")), ..Append::default() }).await.unwrap();
    let mut appends: Vec<Append> = (0..200).map(|_| events(&fresh().1, 1, 2)).collect();
    appends[40] = events(&a, 1, 1);
    appends[90] = Append { claims: vec![claim("s", "x", &a)], ..events(&fresh().1, 1, 1) };
    appends[150] = Append { idempotency: Some(idempotency("k")), ..events(&fresh().1, 1, 1) };
    let results = at_once(&lab.store, appends).await;
    for (index, result) in results.into_iter().enumerate() {
        match index {
            40 => assert_eq!(result, Err(AppendError::Conflict)),
            90 => assert_eq!(result, Err(taken("s", "x"))),
            150 => assert_eq!(result, Err(AppendError::IdempotencyTaken)),
            _ => assert_eq!(result, Ok(())),
        }
    }
    assert_eq!(lab.store.head().await.unwrap(), 1 + 197 * 2);
    assert_eq!(lab.store.check().await.unwrap().fault, None);
}

async fn of_two_commands_on_one_version_exactly_one_wins(lab: Lab) {
    let streams: Vec<StreamId> = (0..50).map(|_| fresh().1).collect();
    let twins: Vec<Append> =
        streams.iter().flat_map(|stream| [events(stream, 1, 1), events(stream, 1, 1)]).collect();
    let results = at_once(&lab.store, twins).await;
    for pair in results.chunks(2) {
        let won = pair.iter().filter(|result| result.is_ok()).count();
        let lost = pair.iter().filter(|result| **result == Err(AppendError::Conflict)).count();
        assert_eq!((won, lost), (1, 1));
    }
    assert_eq!(lab.store.head().await.unwrap(), 50);
}

async fn positions_have_no_gap_and_no_reader_misses_one(lab: Lab) {
    const WRITERS: u64 = 16;
    const COMMANDS: u64 = 40;
    let end = Arc::new(AtomicI64::new(0));
    let reader = tokio::spawn({
        let (store, end) = (lab.store.clone(), Arc::clone(&end));
        async move { follow(&store, || Some(end.load(Ordering::Acquire)).filter(|end| *end > 0)).await }
    });
    let mut writers = tokio::task::JoinSet::new();
    let instances = lab.instances().await;
    for (writer, store) in (0..WRITERS).zip(instances.iter().cloned().cycle()) {
        writers.spawn(async move {
            let (_, stream) = fresh();
            let mut next = 1;
            let mut places = BTreeMap::new();
            for command in 0..COMMANDS {
                let count = 1 + (writer + command) % 4;
                let appended = store.append(events(&stream, next, count)).await.unwrap().unwrap();
                assert_eq!(appended.last - appended.first + 1, count as i64);
                for (position, sequence) in (appended.first..=appended.last).zip(next..) {
                    places.insert(position, (stream.clone(), sequence));
                }
                next += count;
            }
            places
        });
    }
    let written: BTreeMap<i64, (StreamId, u64)> = writers.join_all().await.into_iter().flatten().collect();
    let head = lab.store.head().await.unwrap();
    assert_eq!(written.len() as i64, head);
    assert_eq!(written.keys().copied().collect::<Vec<_>>(), (1..=head).collect::<Vec<_>>());
    end.store(head, Ordering::Release);
    let seen = reader.await.unwrap();
    assert_eq!(seen, written, "a reader that goes by `position > checkpoint` sees every event at its place");
    let mut last: HashMap<StreamId, u64> = HashMap::new();
    for (stream, sequence) in seen.into_values() {
        let before = last.insert(stream, sequence).unwrap_or(0);
        assert_eq!(sequence, before + 1, "each stream is in order");
    }
    assert_eq!(lab.store.check().await.unwrap().fault, None);
}

async fn a_value_changes_hands_between_concurrent_commands(lab: Lab) {
    let (_, holder) = fresh();
    lab.store.append(Append { claims: vec![claim("s", "x", &holder)], ..Append::default() }).await.unwrap();
    let release = Append { released: vec![("s".into(), "x".into())], ..events(&holder, 1, 1) };
    let takers = (0..20).map(|_| {
        let (_, stream) = fresh();
        Append { claims: vec![claim("s", "x", &stream)], ..events(&stream, 1, 1) }
    });
    let mut appends: Vec<Append> = takers.collect();
    appends.insert(7, release);
    let results = at_once(&lab.store, appends).await;
    assert_eq!(results[7], Ok(()));
    let won = results.iter().filter(|result| result.is_ok()).count() - 1;
    assert!(won <= 1, "{won} commands hold one value");
    assert_eq!(lab.store.claim_owner("s", "x").await.unwrap().is_some(), won == 1);
    assert_eq!(lab.store.head().await.unwrap(), 1 + won as i64);
}

async fn time_never_falls_even_if_the_clock_does(lab: Lab) {
    let hour_ms = 3_600_000;
    let mut last = Timestamp(0);
    for offset in [0, 5 * hour_ms, -5 * hour_ms, hour_ms] {
        lab.config.clock_offset_ms.store(offset, Ordering::Relaxed);
        let appended = lab.store.append(events(&fresh().1, 1, 1)).await.unwrap().unwrap();
        assert!(appended.recorded_at >= last, "{} after {last}", appended.recorded_at);
        last = appended.recorded_at;
    }
    let times: Vec<_> =
        lab.store.range(0, i64::MAX, 9).await.unwrap().iter().map(|e| e.recorded_at.ms()).collect();
    assert!(times[1] - times[0] >= 5 * hour_ms - 60_000, "the clock is moved by its offset");
    assert_eq!(times[1], times[2], "it stands while the clock is behind");
    assert_eq!(lab.store.check().await.unwrap().fault, None);
}

async fn idempotency_rows_are_pruned_by_age(lab: Lab) {
    for (name, at) in [("old", 1_000), ("new", 2_000)] {
        let row = commands::store::NewIdempotency { created_at: Timestamp(at), ..idempotency(name) };
        lab.store.append(Append { idempotency: Some(row), ..Append::default() }).await.unwrap();
    }
    assert_eq!(lab.store.prune_idempotency(Timestamp(2_000)).await.unwrap(), 1);
    assert_eq!(lab.store.idempotency(&key("old")).await.unwrap(), None);
    assert!(lab.store.idempotency(&key("new")).await.unwrap().is_some());
}

async fn facts_are_kept(lab: Lab) {
    let store = &lab.store;
    assert_eq!(store.epoch().await.unwrap(), lab.config.epoch);
    assert_eq!(store.meta("mode").await.unwrap(), None);
    assert_eq!(store.insert_meta_if_absent("mode", "live").await.unwrap(), "live");
    assert_eq!(store.insert_meta_if_absent("mode", "demo").await.unwrap(), "live");
    store.set_meta("mode", "demo").await.unwrap();
    assert_eq!(store.meta("mode").await.unwrap().as_deref(), Some("demo"));
}

async fn subject_keys_are_made_once_and_destroyed(lab: Lab) {
    let row = |n: usize, key_id: &str| SubjectKeyRow {
        subject: format!("u_{n:026}"),
        key_id: key_id.to_owned(),
        kek_id: 3,
        wrapped: vec![0, 1, 255, n as u8],
        created_at: NOW,
    };
    let rows: Vec<_> = (0..37).map(|n| row(n, "00000001")).collect();
    lab.store.insert_subject_keys_if_absent(&rows).await.unwrap();
    lab.store.insert_subject_keys_if_absent(&[row(5, "00000002"), row(99, "00000002")]).await.unwrap();
    let subjects: Vec<String> = rows.iter().map(|row| row.subject.clone()).collect();
    let mut found = lab.store.subject_keys(&subjects).await.unwrap();
    found.sort_by(|a, b| a.subject.cmp(&b.subject));
    assert_eq!(found, rows, "the key that was first stays");
    assert_eq!(lab.store.subject_keys(&[]).await.unwrap(), []);
    assert_eq!(lab.store.subject_keys(&[row(99, "").subject]).await.unwrap(), [row(99, "00000002")]);

    assert!(lab.store.delete_subject_key(&subjects[5]).await.unwrap());
    assert!(!lab.store.delete_subject_key(&subjects[5]).await.unwrap());
    assert_eq!(lab.store.subject_keys(&subjects[5..6]).await.unwrap(), []);
    lab.store.insert_subject_keys_if_absent(&[]).await.unwrap();

    // Other wrappings take the place of those that are still there.
    let kek = rows[0].kek_id;
    let first = lab.store.subject_keys_wrapped_by(kek, "", 3).await.unwrap();
    let texts = |rows: &[SubjectKeyRow]| rows.iter().map(|row| row.subject.clone()).collect::<Vec<_>>();
    assert!(texts(&first).is_sorted() && first.len() == 3, "{first:?}");
    let second = lab.store.subject_keys_wrapped_by(kek, &first[2].subject, 3).await.unwrap();
    assert!(second.iter().all(|row| row.subject > first[2].subject), "{second:?}");
    assert_eq!(lab.store.subject_keys_wrapped_by(kek + 1, "", 3).await.unwrap(), []);
    let again: Vec<SubjectKeyRow> = first
        .iter()
        .map(|row| SubjectKeyRow { kek_id: kek + 1, wrapped: vec![9; 60], ..row.clone() })
        .collect();
    assert!(lab.store.delete_subject_key(&first[1].subject).await.unwrap());
    assert_eq!(lab.store.rewrap_subject_keys(kek, &again).await.unwrap(), 2);
    assert_eq!(lab.store.rewrap_subject_keys(kek, &again).await.unwrap(), 0);
    let found = lab.store.subject_keys_wrapped_by(kek + 1, "", 9).await.unwrap();
    assert_eq!(found, [again[0].clone(), again[2].clone()]);
}

async fn a_sound_log_checks_out(lab: Lab) {
    let checked = lab.store.check().await.unwrap();
    assert_eq!((checked.head, checked.sound, checked.fault), (0, 0, None));
    let (_, a) = fresh();
    let (_, b) = fresh();
    for sequence in 1..=4 {
        let mut append = events(&a, sequence, 1);
        append.events.extend(events(&b, 2 * sequence - 1, 2).events);
        lab.store.append(append).await.unwrap();
    }
    let checked = lab.store.check().await.unwrap();
    assert_eq!((checked.head, checked.sound, checked.fault), (12, 12, None));
}

async fn closing_writes_what_waits(lab: Lab) {
    let streams: Vec<StreamId> = (0..100).map(|_| fresh().1).collect();
    let tasks: Vec<_> = streams
        .iter()
        .map(|stream| {
            let (store, append) = (lab.store.clone(), events(stream, 1, 1));
            tokio::spawn(async move { store.append(append).await })
        })
        .collect();
    tokio::time::timeout(Duration::from_secs(30), lab.store.clone().close()).await.unwrap();
    let mut written = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(appended) => written += i64::from(appended.is_some()),
            Err(error) => assert_eq!(error, AppendError::Unavailable(StoreError::Closed)),
        }
    }
    // Memory has nothing to close and nothing to open again.
    if !matches!(lab.store, Store::Memory(_)) {
        let late = lab.store.append(events(&fresh().1, 1, 1)).await;
        assert_eq!(late, Err(AppendError::Unavailable(StoreError::Closed)));
        let again = Store::open(lab.config.clone()).await.unwrap();
        assert_eq!(
            again.head().await.unwrap(),
            written,
            "what was answered with success stands, and no more"
        );
    }
}
