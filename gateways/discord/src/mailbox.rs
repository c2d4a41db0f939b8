//! Members whose change waits to be taken: one letter a member, the last one wins, one at a time for each member. So a
//! thousand changes of one role cost as much as one, and the order of a member's changes never matters to anybody
//! behind it. It decides nothing and does no I/O.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::id::{DiscordId, GuildId, RoleId};
use domain::time::Timestamp;
use tokio::sync::Notify;

/// Guilds of which it is remembered when news of them last came, and for how long at least.
const REMEMBERED: usize = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// A member of a guild.
pub(crate) type Who = (GuildId, DiscordId);

/// What is known of a member's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// These are all his roles.
    Seen { present: bool, roles: BTreeSet<RoleId>, at: Timestamp },
    /// Something changed; what, must be asked.
    Ask,
}

/// A letter, with where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) who: Who,
    pub(crate) news: News,
    /// Shard and sequence of the first frame that it stands for, if a frame brought it.
    pub(crate) origin: Option<(u32, i64)>,
    /// Failed tries so far.
    pub(crate) failures: u32,
}

#[derive(Default)]
struct State {
    letters: HashMap<Who, Letter>,
    order: VecDeque<Who>,
    /// Being worked on, with the origin of each.
    taken: HashMap<Who, Option<(u32, i64)>>,
    /// Letters of each guild that wait or are worked on, and when the last one came.
    pulse: HashMap<GuildId, (u32, Instant)>,
    /// Guilds that lost a letter because there were too many.
    overflown: HashSet<GuildId>,
    /// Shards whose past is being told.
    held: HashSet<u32>,
    /// Whose letters came up meanwhile.
    parked: Vec<Who>,
}

/// The mailbox.
pub(crate) struct Mailbox {
    state: Mutex<State>,
    max: usize,
    filled: Notify,
}

impl Mailbox {
    /// An empty one for `max` members.
    pub(crate) fn new(max: usize) -> Self {
        Self { state: Mutex::default(), max, filled: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a letter in; it replaces an older one about the same member.
    pub(crate) fn put(&self, who: Who, news: News, origin: Option<(u32, i64)>) {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(letter) = state.letters.get_mut(&who) {
            letter.news = news;
            letter.failures = 0;
            // The first frame stays: a session that is resumed from before it brings all of them again.
            letter.origin = letter.origin.or(origin);
            if let Some((_, last)) = state.pulse.get_mut(&who.0) {
                *last = now;
            }
            return;
        }
        if state.letters.len() >= self.max {
            state.overflown.insert(who.0);
            return;
        }
        state.letters.insert(who, Letter { who, news, origin, failures: 0 });
        let pulse = state.pulse.entry(who.0).or_insert((0, now));
        *pulse = (pulse.0 + 1, now);
        // A member who is being worked on is queued when that is done.
        if !state.taken.contains_key(&who) {
            state.order.push_back(who);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// The next letter; waits for one.
    pub(crate) async fn take(&self) -> Letter {
        loop {
            let filled = self.filled.notified();
            {
                let mut state = self.state();
                while let Some(who) = state.order.pop_front() {
                    let origin = state.letters.get(&who).and_then(|letter| letter.origin);
                    if origin.is_some_and(|(shard, _)| state.held.contains(&shard)) {
                        state.parked.push(who);
                        continue;
                    }
                    let Some(letter) = state.letters.remove(&who) else { continue };
                    state.taken.insert(who, letter.origin);
                    let more = !state.order.is_empty();
                    drop(state);
                    if more {
                        self.filled.notify_one();
                    }
                    return letter;
                }
            }
            filled.await;
        }
    }

    /// Gives out no letter of a shard until `release` or `release_unsure`: a session that is resumed tells its past
    /// first, frame by frame, and only the last letter about a member says how he is.
    pub(crate) fn hold(&self, shard: u32) {
        self.state().held.insert(shard);
    }

    /// The past of a shard was told to its end.
    pub(crate) fn release(&self, shard: u32) {
        self.let_go(shard, false);
    }

    /// The past of a shard was not told to its end: how its members are must be asked.
    pub(crate) fn release_unsure(&self, shard: u32) {
        self.let_go(shard, true);
    }

    fn let_go(&self, shard: u32, unsure: bool) {
        let mut state = self.state();
        if !state.held.remove(&shard) {
            return;
        }
        if unsure {
            for letter in state.letters.values_mut() {
                if letter.origin.is_some_and(|(of, _)| of == shard) {
                    letter.news = News::Ask;
                }
            }
        }
        let parked = std::mem::take(&mut state.parked);
        state.order.extend(parked);
        drop(state);
        self.filled.notify_one();
    }

    /// A letter was dealt with.
    pub(crate) fn done(&self, who: Who) {
        let mut state = self.state();
        state.taken.remove(&who);
        settle(&mut state, who.0);
        if state.letters.contains_key(&who) {
            state.order.push_back(who);
            drop(state);
            self.filled.notify_one();
        }
    }

    /// A letter could not be dealt with: it comes again, unless a newer one has come meanwhile.
    pub(crate) fn again(&self, mut letter: Letter) {
        let mut state = self.state();
        let who = letter.who;
        state.taken.remove(&who);
        letter.failures += 1;
        if let Some(newer) = state.letters.get_mut(&who) {
            newer.origin = letter.origin.or(newer.origin);
            settle(&mut state, who.0);
        } else {
            state.letters.insert(who, letter);
        }
        state.order.push_back(who);
        drop(state);
        self.filled.notify_one();
    }

    /// How many letters wait or are worked on.
    pub(crate) fn len(&self) -> usize {
        let state = self.state();
        state.letters.len() + state.taken.len()
    }

    /// How long a guild has had no news; `None` while some are still being taken.
    pub(crate) fn quiet_for(&self, guild: GuildId) -> Option<Duration> {
        match self.state().pulse.get(&guild) {
            Some((0, last)) => Some(last.elapsed()),
            Some(_) => None,
            None => Some(Duration::MAX),
        }
    }

    /// Whether news of a member wait or are worked on.
    pub(crate) fn is_open(&self, who: Who) -> bool {
        let state = self.state();
        state.letters.contains_key(&who) || state.taken.contains_key(&who)
    }

    /// Guilds that lost a letter since this was last asked.
    pub(crate) fn overflown(&self) -> HashSet<GuildId> {
        std::mem::take(&mut self.state().overflown)
    }

    /// The sequence up to which everything of a shard has been dealt with, if `received` was the last one received.
    pub(crate) fn low_water(&self, shard: u32, received: i64) -> i64 {
        let state = self.state();
        let waiting = state.letters.values().filter_map(|letter| letter.origin);
        let open = waiting.chain(state.taken.values().filter_map(|origin| *origin));
        open.filter(|(of, _)| *of == shard)
            .map(|(_, first)| first - 1)
            .min()
            .unwrap_or(received)
            .min(received)
    }
}

/// One letter less is open in a guild. Pulses of guilds that have long been quiet are forgotten.
fn settle(state: &mut State, guild: GuildId) {
    if let Some((open, _)) = state.pulse.get_mut(&guild) {
        *open = open.saturating_sub(1);
    }
    if state.pulse.len() > REMEMBERED {
        state.pulse.retain(|_, (open, last)| *open > 0 || last.elapsed() < REMEMBERED_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUILD: GuildId = GuildId(1);

    fn seen(role: u64) -> News {
        News::Seen { present: true, roles: BTreeSet::from([RoleId(role)]), at: Timestamp(0) }
    }

    fn who(user: u64) -> Who {
        (GUILD, DiscordId(user))
    }

    #[tokio::test]
    async fn the_last_letter_about_a_member_wins() {
        let mailbox = Mailbox::new(10);
        for role in 1..=1_000 {
            mailbox.put(who(1), seen(role), Some((0, role as i64)));
        }
        let letter = mailbox.take().await;
        assert_eq!((letter.news, letter.origin), (seen(1_000), Some((0, 1))));
        assert_eq!(mailbox.len(), 1, "it is being worked on");
        mailbox.done(who(1));
        assert_eq!(mailbox.len(), 0);
    }

    #[tokio::test]
    async fn one_member_is_worked_on_once_at_a_time() {
        let mailbox = Mailbox::new(10);
        mailbox.put(who(1), seen(1), None);
        mailbox.put(who(2), seen(1), None);
        let first = mailbox.take().await;
        mailbox.put(first.who, seen(2), None);
        let second = mailbox.take().await;
        assert_ne!(first.who, second.who);
        assert!(tokio::time::timeout(Duration::from_millis(20), mailbox.take()).await.is_err());
        mailbox.done(first.who);
        assert_eq!(mailbox.take().await.news, seen(2));
    }

    #[tokio::test]
    async fn a_letter_that_failed_yields_to_a_newer_one() {
        let mailbox = Mailbox::new(10);
        mailbox.put(who(1), seen(1), Some((0, 5)));
        let letter = mailbox.take().await;
        mailbox.put(who(1), seen(2), Some((0, 9)));
        mailbox.again(letter);
        let letter = mailbox.take().await;
        assert_eq!((letter.news.clone(), letter.origin, letter.failures), (seen(2), Some((0, 5)), 0));
        mailbox.again(letter);
        let letter = mailbox.take().await;
        assert_eq!((letter.news, letter.failures), (seen(2), 1));
        mailbox.done(who(1));
        assert_eq!(mailbox.quiet_for(GUILD).map(|quiet| quiet < Duration::from_secs(60)), Some(true));
    }

    #[tokio::test]
    async fn the_low_water_mark_stands_before_the_first_open_frame() {
        let mailbox = Mailbox::new(10);
        assert_eq!(mailbox.low_water(0, 7), 7);
        mailbox.put(who(1), seen(1), Some((0, 8)));
        mailbox.put(who(2), seen(1), Some((0, 9)));
        mailbox.put(who(3), seen(1), Some((1, 2)));
        assert_eq!((mailbox.low_water(0, 12), mailbox.low_water(1, 3)), (7, 1));
        let letter = mailbox.take().await;
        assert_eq!(mailbox.low_water(0, 12), 7);
        mailbox.done(letter.who);
        assert_eq!(mailbox.low_water(0, 12), 8);
    }

    #[tokio::test]
    async fn of_a_past_that_is_told_only_the_end_counts() {
        let mailbox = Mailbox::new(10);
        mailbox.hold(0);
        mailbox.put(who(1), seen(1), Some((0, 1)));
        mailbox.put(who(2), seen(1), Some((0, 2)));
        mailbox.put(who(3), seen(1), Some((1, 1)));
        assert_eq!(mailbox.take().await.who, who(3), "another shard goes on");
        let none = Duration::from_millis(20);
        assert!(tokio::time::timeout(none, mailbox.take()).await.is_err());
        mailbox.put(who(1), seen(2), Some((0, 3)));
        assert_eq!(mailbox.low_water(0, 3), 0);
        mailbox.release(0);
        let letters = [mailbox.take().await, mailbox.take().await];
        assert_eq!(letters.map(|letter| (letter.who, letter.news)), [(who(1), seen(2)), (who(2), seen(1))]);
        // One that was worked on comes again while the past is told, and the past is never told to its end.
        mailbox.hold(0);
        mailbox.put(who(1), seen(3), Some((0, 4)));
        mailbox.done(who(1));
        assert!(tokio::time::timeout(none, mailbox.take()).await.is_err());
        mailbox.release_unsure(0);
        assert_eq!(mailbox.take().await.news, News::Ask);
    }

    #[test]
    fn what_does_not_fit_is_named_by_its_guild() {
        let mailbox = Mailbox::new(1);
        mailbox.put(who(1), seen(1), None);
        mailbox.put(who(2), seen(1), None);
        assert_eq!((mailbox.len(), mailbox.overflown()), (1, HashSet::from([GUILD])));
        assert!(mailbox.overflown().is_empty());
        assert_eq!(mailbox.quiet_for(GUILD), None);
        assert_eq!(mailbox.quiet_for(GuildId(2)), Some(Duration::MAX));
    }
}
