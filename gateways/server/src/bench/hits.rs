//! How often the cache answers: keys are asked for as people ask for them, by Zipf's law with exponent 1, over many more
//! licenses than it holds.

use std::time::Instant;

use domain::key::OpenedKey;
use serde_json::{Value, json};

use super::commands::{Bed, GUILD};
use super::instances::Running;
use crate::cli::Bench;
use crate::failure::{Attempt as _, Failure, Outcome};

/// Questions that are counted, for each license that the cache can hold; as many before them fill it.
const ASKED_PER_ENTRY: usize = 10;

/// The share of questions that the cache of this process answers, and the share that the best possible one would: the one
/// that always holds the licenses asked for most.
pub(super) async fn run(bench: &Bench) -> Outcome<Value> {
    let bed = Bed::new(bench).await?;
    let keys = bed.generate(bench.licenses).await?;
    bed.project().await?;
    // Whoever does not follow the log trusts no cache.
    let running = Running::start(&bed.assembled, false).await?;
    let queries = &bed.assembled.queries;
    let entries = bench.cache.unwrap_or(projections::Config::default().license_entries);
    let entries = usize::try_from(entries).unwrap_or(usize::MAX);
    let popularity = Zipf::new(keys.len());
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let asked = entries * ASKED_PER_ENTRY;
    for _ in 0..asked {
        ask(&bed, keys[popularity.draw(&mut dice)]).await?;
    }
    let (before, begin) = (queries.cache_stats().licenses, Instant::now());
    for _ in 0..asked {
        ask(&bed, keys[popularity.draw(&mut dice)]).await?;
    }
    let (after, seconds) = (queries.cache_stats().licenses, begin.elapsed().as_secs_f64());
    running.end().await;
    let share = |count: u64| count as f64 / asked as f64;
    Ok(json!({
        "what": "hits",
        "licenses": keys.len(),
        "cacheEntries": entries,
        "questions": asked,
        "hitRate": share(after.hits - before.hits),
        "foundOutdated": share(after.outdated - before.outdated),
        "ceiling": popularity.share_of_first(entries),
        "fromSharedCache": share(after.shared - before.shared),
        "fromReadModel": share(after.read_model - before.read_model),
        "fromStream": share(after.stream - before.stream),
        "questionsPerSecond": asked as f64 / seconds,
    }))
}

async fn ask(bed: &Bed, key: OpenedKey) -> Outcome<()> {
    let text = bed.text(key)?;
    let ask = projections::Ask {
        guild: GUILD,
        key: &text,
        device: None,
        license_type: None,
        entitlements: &[],
        now: bed.assembled.clock.now(),
    };
    let answer =
        bed.assembled.queries.validate(ask).await.attempt(|| "a key cannot be validated".to_owned())?;
    match answer.license {
        Some(_) => Ok(()),
        None => Err(Failure::new(format!("a license that was made is {:?}", answer.code))),
    }
}

/// Zipf's law: the n-th most popular of `count` is drawn 1/n times as often as the first.
struct Zipf {
    /// The sums of 1/1 … 1/n.
    sums: Vec<f64>,
}

impl Zipf {
    fn new(count: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self { sums: sums.collect() }
    }

    fn share_of_first(&self, count: usize) -> f64 {
        let of = |count: usize| {
            count.checked_sub(1).and_then(|last| self.sums.get(last)).copied().unwrap_or_default()
        };
        of(count.min(self.sums.len())) / of(self.sums.len())
    }

    /// The next rank, from 0. The dice are SplitMix64, by Steele, Lea and Flood (2014).
    fn draw(&self, state: &mut u64) -> usize {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let point =
            (mixed >> 11) as f64 / (1_u64 << 53) as f64 * self.sums.last().copied().unwrap_or_default();
        self.sums.partition_point(|sum| *sum <= point).min(self.sums.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_drawn_twice_as_often_as_the_second() {
        let (zipf, mut dice, mut counts) = (Zipf::new(1_000), 1, [0_u32; 2]);
        for _ in 0..200_000 {
            if let Some(count) = counts.get_mut(zipf.draw(&mut dice)) {
                *count += 1;
            }
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert!((zipf.share_of_first(1) - 1.0 / 7.485).abs() < 1e-3);
        assert!((zipf.share_of_first(5_000) - 1.0).abs() < 1e-9);
    }
}
