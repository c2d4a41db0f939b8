//! Sets of aliases in memory: what they find, what they take, and which go first.

use super::*;

fn license(n: u64) -> LicenseId {
    LicenseId(uuid::Uuid::from_u128(u128::from(n)))
}

/// The n-th alias: a text of 64 digits.
fn alias(n: u64) -> Alias {
    format!("{:032x}{n:032x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
        .parse()
        .unwrap()
}

fn entries(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(|n| (alias(n).half(), license(n))).collect()
}

#[test]
fn a_set_finds_what_was_put_in_and_nothing_else() {
    let first = AliasSet::with(None, entries(0..70_000), 7);
    let both = AliasSet::with(Some(&first), entries(70_000..100_000), 9);
    assert_eq!((both.entries.len(), both.as_of), (100_000, 9));
    for n in (0..100_000).step_by(997) {
        assert_eq!(both.find(&alias(n)), Some(license(n)));
        assert_eq!(first.find(&alias(n)).is_some(), n < 70_000);
    }
    assert_eq!(both.find(&alias(100_000)), None);
    assert_eq!(AliasSet::with(None, Vec::new(), 0).find(&alias(0)), None);
    // 32 bytes each, and nothing beside.
    assert_eq!(size_of_val(&*both.entries), 3_200_000);
}

#[test]
fn what_is_read_again_is_there_once() {
    let set = AliasSet::with(None, entries(0..3), 3);
    let again = AliasSet::with(Some(&set), entries(1..5), 5);
    assert_eq!(again.entries.len(), 5);
    // Nothing new costs no copy.
    let same = AliasSet::with(Some(&again), Vec::new(), 8);
    assert!(Arc::ptr_eq(&same.entries, &again.entries));
}

#[tokio::test(start_paused = true)]
async fn sets_that_were_not_asked_for_go_first_and_the_newest_stays() {
    let aliases = Aliases::new(100);
    let set = |count: u64| Arc::new(AliasSet::with(None, entries(0..count), 1));
    for guild in 1..=3 {
        aliases.keep(GuildId(guild), set(20));
        tokio::time::advance(std::time::Duration::from_millis(10)).await;
    }
    assert!(aliases.get(GuildId(1)).is_some());
    tokio::time::advance(std::time::Duration::from_millis(10)).await;
    aliases.keep(GuildId(4), set(20));
    let here = |guild: u64| aliases.get(GuildId(guild)).is_some();
    assert_eq!([1, 2, 3, 4].map(here), [true, false, true, true]);
    aliases.keep(GuildId(5), set(1_000));
    assert_eq!([1, 3, 4, 5].map(here), [false, false, false, true]);
}

#[test]
fn what_is_no_hash_opens_nothing() {
    let id = license(1).to_string();
    assert_eq!(entry(&alias(1).to_string(), &id), Some((alias(1).half(), license(1))));
    assert_eq!(entry("hash", &id), None);
    assert_eq!(entry(&alias(1).to_string(), "x"), None);
}
