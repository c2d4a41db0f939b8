//! Discord's bucket limits: who may send now, in the order of coming.
//!
//! State is kept by lane: the bucket that the answers name (the route's template until one did) and the
//! major parameter. A cold lane has one request on the wire until an answer teaches its limit; a known lane
//! lets as many go as remain. It never sends anything, and it never guesses a limit that no answer stated.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answer::Limits;
use super::route::Route;

/// Added to every reset, so that our clock never arrives before Discord's.
const MARGIN: Duration = Duration::from_millis(20);
/// A pause beyond this is shown to those who wait behind it, so that each may decide.
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// A lane unused for this long is forgotten: its limit is asked anew.
const IDLE: Duration = Duration::from_secs(120);
/// How many lanes, and routes, are kept before idle ones are looked for.
const KEPT_MAX: usize = 1_024;

/// Bucket or template, and major parameter.
type LaneKey = (String, String);

/// All lanes.
#[derive(Default)]
pub(super) struct Limiter {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    buckets: HashMap<String, String>,
    lanes: HashMap<LaneKey, Lane>,
    tickets: HashMap<u64, LaneKey>,
}

/// What a waiter hears.
enum Wake {
    Go,
    Look,
}

/// What a waiter may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Send.
    Go,
    /// Something changed: look whether sending is allowed at all, then ask again.
    Look,
    /// The lane is closed for longer than the waiter waits.
    Closed(Duration),
}

/// What an answer taught.
#[derive(Clone, Debug)]
pub(super) enum Lesson {
    /// Nothing: no answer, or one that says nothing about limits.
    Nothing,
    /// The limits that the headers state, or their absence.
    Limits(Limits),
    /// A 429 of the bucket.
    Limited(Limits, Duration),
}

enum Rule {
    Cold,
    Free,
    Window { limit: u32, remaining: u32, reset: Option<Instant> },
}

struct Lane {
    /// By ticket number, so a repeated request stands before everyone who came later.
    queue: BTreeMap<u64, oneshot::Sender<Wake>>,
    on_wire: HashSet<u64>,
    rule: Rule,
    closed_until: Option<Instant>,
    timer: Option<Instant>,
    used: Instant,
}

impl Lane {
    fn new(now: Instant) -> Self {
        Self {
            queue: BTreeMap::new(),
            on_wire: HashSet::new(),
            rule: Rule::Cold,
            closed_until: None,
            timer: None,
            used: now,
        }
    }

    fn on_wire(&self) -> u32 {
        u32::try_from(self.on_wire.len()).unwrap_or(u32::MAX)
    }

    /// Opens the next window if this one is over, and forgets a window that nobody can tell us about.
    fn renew(&mut self, now: Instant) {
        if self.closed_until.is_some_and(|until| now >= until) {
            self.closed_until = None;
        }
        let on_wire = self.on_wire();
        match &mut self.rule {
            Rule::Window { limit, remaining, reset } if reset.is_some_and(|reset| now >= reset) => {
                // What is still on the wire may be counted in the new window.
                *remaining = limit.saturating_sub(on_wire);
                *reset = None;
            }
            Rule::Window { remaining: 0, reset: None, .. } if on_wire == 0 => self.rule = Rule::Cold,
            _ => {}
        }
    }

    /// Lets go whoever may; gives the time at which to ask again.
    fn grant(&mut self, now: Instant) -> Option<Instant> {
        self.used = now;
        loop {
            self.renew(now);
            let (&id, _) = self.queue.first_key_value()?;
            if self.closed_until.is_some() {
                return self.closed_until;
            }
            match &mut self.rule {
                Rule::Cold if !self.on_wire.is_empty() => return None,
                Rule::Window { remaining: 0, reset, .. } => return *reset,
                Rule::Window { .. } | Rule::Cold | Rule::Free => {}
            }
            let went = self.queue.remove(&id).is_some_and(|waiter| waiter.send(Wake::Go).is_ok());
            if went {
                self.on_wire.insert(id);
                if let Rule::Window { remaining, .. } = &mut self.rule {
                    *remaining = remaining.saturating_sub(1);
                }
            }
        }
    }

    fn learn(&mut self, lesson: &Lesson, now: Instant) {
        self.renew(now);
        match lesson {
            Lesson::Nothing => {}
            Lesson::Limited(_, pause) => {
                let until = now + *pause + MARGIN;
                self.closed_until = Some(self.closed_until.map_or(until, |was| was.max(until)));
                // The next one is a probe: whatever we believed about this lane was wrong.
                self.rule = Rule::Cold;
                if *pause > LONG_PAUSE {
                    self.show();
                }
            }
            Lesson::Limits(limits) => self.learn_window(limits.window, now),
        }
    }

    fn learn_window(&mut self, window: Option<(u32, u32, Duration)>, now: Instant) {
        let on_wire = self.on_wire();
        match (window, &mut self.rule) {
            (None, Rule::Cold) if self.closed_until.is_none() => self.rule = Rule::Free,
            (None, _) => {}
            (Some((limit, left, after)), Rule::Window { limit: known, remaining, reset }) => {
                let end = now + after + MARGIN;
                *known = limit;
                // Answers overtake each other, so a count may only fall inside a window.
                *remaining = left.min(*remaining);
                *reset = Some(reset.map_or(end, |was| was.max(end)));
            }
            (Some((limit, left, after)), Rule::Cold | Rule::Free) => {
                let remaining = left.saturating_sub(on_wire);
                self.rule = Rule::Window { limit, remaining, reset: Some(now + after + MARGIN) };
            }
        }
    }

    /// Tells everyone in the queue to look up.
    fn show(&mut self) {
        for (_, waiter) in std::mem::take(&mut self.queue) {
            // Nobody listening is nobody waiting.
            let _ = waiter.send(Wake::Look);
        }
    }

    fn idle(&self, now: Instant) -> bool {
        let busy = !self.queue.is_empty() || !self.on_wire.is_empty() || self.timer.is_some();
        let closed = self.closed_until.is_some_and(|until| until > now);
        let pending = matches!(self.rule, Rule::Window { reset: Some(reset), .. } if reset > now);
        !busy && !closed && !pending && now.duration_since(self.used) >= IDLE
    }
}

impl State {
    fn key(&self, route: &Route) -> LaneKey {
        let bucket = self.buckets.get(&route.template).unwrap_or(&route.template);
        (bucket.clone(), route.major.clone())
    }

    fn lane(&mut self, key: &LaneKey, now: Instant) -> &mut Lane {
        self.lanes.entry(key.clone()).or_insert_with(|| Lane::new(now))
    }

    fn prune(&mut self, now: Instant) {
        if self.lanes.len() > KEPT_MAX {
            self.lanes.retain(|_, lane| !lane.idle(now));
        }
        if self.buckets.len() > KEPT_MAX {
            self.buckets.clear();
        }
    }

    /// Remembers the route's bucket and moves whoever waits for the route to the bucket's lane.
    fn move_to_bucket(&mut self, route: &Route, from: LaneKey, bucket: Option<&String>) -> LaneKey {
        let Some(bucket) = bucket else { return from };
        let to = (bucket.clone(), route.major.clone());
        self.buckets.insert(route.template.clone(), bucket.clone());
        if to == from {
            return to;
        }
        let now = Instant::now();
        let moved =
            self.lanes.get_mut(&from).map(|lane| (std::mem::take(&mut lane.queue), lane.closed_until));
        if let Some((queue, closed)) = moved {
            for id in queue.keys() {
                self.tickets.insert(*id, to.clone());
            }
            let lane = self.lane(&to, now);
            lane.queue.extend(queue);
            lane.closed_until = lane.closed_until.max(closed);
        }
        if self.lanes.get(&from).is_some_and(|lane| lane.on_wire.is_empty()) {
            self.lanes.remove(&from);
        }
        to
    }
}

impl Limiter {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in the order of coming.
    pub(super) fn join(self: &Arc<Self>, route: Route) -> Ticket {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        drop(state);
        Ticket { limiter: Arc::clone(self), route, id }
    }

    /// Tells every waiter to look up.
    pub(super) fn wake_all(&self) {
        for lane in self.lock().lanes.values_mut() {
            lane.show();
        }
    }

    /// Lets go whoever may in this lane, and comes back when somebody may later.
    fn pump(self: &Arc<Self>, state: &mut State, key: &LaneKey) {
        let now = Instant::now();
        let Some(lane) = state.lanes.get_mut(key) else { return };
        let Some(at) = lane.grant(now) else { return };
        if lane.timer.is_some_and(|timer| timer <= at) {
            return;
        }
        lane.timer = Some(at);
        tokio::spawn(alarm(Arc::downgrade(self), key.clone(), at));
    }

    fn leave(self: &Arc<Self>, id: u64) {
        let mut state = self.lock();
        let Some(key) = state.tickets.remove(&id) else { return };
        if let Some(lane) = state.lanes.get_mut(&key) {
            lane.queue.remove(&id);
            lane.on_wire.remove(&id);
        }
        self.pump(&mut state, &key);
    }
}

async fn alarm(limiter: Weak<Limiter>, key: LaneKey, at: Instant) {
    tokio::time::sleep_until(at).await;
    let Some(limiter) = limiter.upgrade() else { return };
    let mut state = limiter.lock();
    if let Some(lane) = state.lanes.get_mut(&key)
        && lane.timer == Some(at)
    {
        lane.timer = None;
    }
    limiter.pump(&mut state, &key);
}

/// One request's place. Dropping it gives the place back.
pub(super) struct Ticket {
    limiter: Arc<Limiter>,
    route: Route,
    id: u64,
}

impl Ticket {
    /// The route it stands for.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// Waits until it may send.
    pub(super) async fn turn(&self, patience: Duration) -> Turn {
        let heard = {
            let now = Instant::now();
            let mut state = self.limiter.lock();
            state.prune(now);
            let key = state.key(&self.route);
            let lane = state.lane(&key, now);
            lane.renew(now);
            if let Some(left) = lane.closed_until.map(|until| until - now).filter(|left| *left > patience) {
                return Turn::Closed(left);
            }
            let (call, heard) = oneshot::channel();
            lane.queue.insert(self.id, call);
            state.tickets.insert(self.id, key.clone());
            self.limiter.pump(&mut state, &key);
            heard
        };
        match heard.await {
            Ok(Wake::Go) => Turn::Go,
            Ok(Wake::Look) | Err(_) => Turn::Look,
        }
    }

    /// The request is off the wire; what its answer taught holds for everyone behind it.
    pub(super) fn done(&self, lesson: &Lesson) {
        let now = Instant::now();
        let mut state = self.limiter.lock();
        let Some(key) = state.tickets.get(&self.id).cloned() else { return };
        if let Some(lane) = state.lanes.get_mut(&key) {
            lane.on_wire.remove(&self.id);
        }
        let bucket = match lesson {
            Lesson::Limits(limits) | Lesson::Limited(limits, _) => limits.bucket.as_ref(),
            Lesson::Nothing => None,
        };
        let to = state.move_to_bucket(&self.route, key.clone(), bucket);
        state.lane(&to, now).learn(lesson, now);
        self.limiter.pump(&mut state, &key);
        if to != key {
            self.limiter.pump(&mut state, &to);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.limiter.leave(self.id);
    }
}
