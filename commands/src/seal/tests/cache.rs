//! What is cached, how much, and for how long.

use std::sync::Arc;
use std::time::Duration;

use domain::ports::Seal as _;
use domain::private::Unsealed;
use tokio::sync::Barrier;
use tokio::time::{Instant, advance};
use zeroize::Zeroizing;

use super::{Table, created, existing, person, process, seal, stream, vault};
use crate::ring::tests::known_ring;
use crate::seal::CACHED_FOR;
use crate::seal::cache::KeyCache;
use crate::seal::keys::DataKey;

fn key(id: &str) -> Arc<DataKey> {
    Arc::new(DataKey { id: id.to_owned(), secret: Box::new(Zeroizing::new([0; 32])) })
}

#[tokio::test(start_paused = true)]
async fn a_cached_key_is_used_for_30_seconds() {
    let (table, vault) = vault();
    created(&vault, &[person(1)]).await;
    let reads = table.reads();
    advance(CACHED_FOR - Duration::from_millis(1)).await;
    assert!(existing(&vault, &[person(1)]).await.has(&person(1)));
    assert_eq!(table.reads(), reads);
    advance(Duration::from_millis(1)).await;
    assert!(existing(&vault, &[person(1)]).await.has(&person(1)));
    assert_eq!(table.reads(), reads + 1);
}

#[tokio::test(start_paused = true)]
async fn another_process_goes_on_with_a_destroyed_key_for_at_most_30_seconds() {
    let table = Arc::new(Table::default());
    let [one, two] = [process(&table, known_ring()), process(&table, known_ring())];
    let sealed = seal(&created(&one, &[person(1)]).await, &person(1), "ada");
    assert!(existing(&two, &[person(1)]).await.has(&person(1)));
    advance(Duration::from_secs(1)).await;
    one.destroy(&person(1)).await.unwrap();
    advance(CACHED_FOR - Duration::from_secs(1)).await;
    let keys = existing(&two, &[person(1)]).await;
    assert_eq!(keys.unseal(&stream(), &sealed), Unsealed::Erased);
}

#[tokio::test]
async fn a_process_that_hears_of_an_erasure_forgets_at_once() {
    let table = Arc::new(Table::default());
    let [one, two] = [process(&table, known_ring()), process(&table, known_ring())];
    created(&two, &[person(1)]).await;
    one.destroy(&person(1)).await.unwrap();
    let sealed = seal(&created(&one, &[person(1)]).await, &person(1), "ada again");
    // Until it hears of it, it takes the new text for one under a key that is gone.
    assert_eq!(existing(&two, &[person(1)]).await.unseal(&stream(), &sealed), Unsealed::Erased);
    two.forget(&person(1));
    let keys = existing(&two, &[person(1)]).await;
    assert_eq!(keys.unseal(&stream(), &sealed), Unsealed::Clear("ada again".to_owned()));
}

#[tokio::test]
async fn a_snapshot_keeps_its_keys_whatever_the_cache_does() {
    let (_, vault) = vault();
    let keys = created(&vault, &[person(1)]).await;
    let sealed = seal(&keys, &person(1), "ada");
    for number in 2..300 {
        created(&vault, &[person(number)]).await;
    }
    vault.destroy(&person(1)).await.unwrap();
    assert_eq!(keys.unseal(&stream(), &sealed), Unsealed::Clear("ada".to_owned()));
}

#[tokio::test]
async fn a_key_destroyed_while_it_was_being_read_is_not_cached() {
    let (table, vault) = vault();
    created(&vault, &[person(1)]).await;
    vault.forget(&person(1));
    let meeting = Arc::new(Barrier::new(2));
    *table.meeting.lock().unwrap() = Some(Arc::clone(&meeting));
    let people = [person(1)];
    let (keys, ()) = tokio::join!(existing(&vault, &people), async {
        meeting.wait().await;
        vault.destroy(&person(1)).await.unwrap();
        meeting.wait().await;
    });
    *table.meeting.lock().unwrap() = None;
    assert!(keys.has(&person(1)));
    assert!(!existing(&vault, &[person(1)]).await.has(&person(1)));
}

#[test]
fn the_cache_never_holds_more_than_it_may() {
    for capacity in [1, 2, 7, 100] {
        let now = Instant::now();
        let mut cache = KeyCache::new(capacity, CACHED_FOR);
        for number in 1..=1_000 {
            cache.put(person(number), key("00000000"), now, cache.era());
            assert!(cache.len() <= capacity.max(2), "{capacity}: {}", cache.len());
        }
        assert!(cache.get(&person(1_000), now).is_some());
        assert!(cache.get(&person(1), now).is_none());
    }
    let mut none = KeyCache::new(0, CACHED_FOR);
    none.put(person(1), key("00000000"), Instant::now(), none.era());
    assert_eq!(none.len(), 0);
}

#[test]
fn old_keys_leave_memory_although_nobody_asks_for_them() {
    let start = Instant::now();
    let mut cache = KeyCache::new(1_000, CACHED_FOR);
    for number in 1..=100 {
        cache.put(person(number), key("00000000"), start, cache.era());
    }
    cache.put(person(101), key("00000000"), start + CACHED_FOR, cache.era());
    cache.put(person(102), key("00000000"), start + CACHED_FOR * 2, cache.era());
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_newer_key_takes_the_place_of_the_older() {
    let now = Instant::now();
    let mut cache = KeyCache::new(4, CACHED_FOR);
    cache.put(person(1), key("00000001"), now, cache.era());
    for number in 2..=3 {
        cache.put(person(number), key("00000000"), now, cache.era());
    }
    cache.put(person(1), key("00000002"), now, cache.era());
    assert_eq!(cache.get(&person(1), now).unwrap().id, "00000002");
    cache.forget(&person(1));
    assert!(cache.get(&person(1), now).is_none());
    cache.put(person(1), key("00000001"), now, cache.era() - 1);
    assert!(cache.get(&person(1), now).is_none());
}
