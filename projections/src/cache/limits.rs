//! Rate limits that processes share: what each has spent is added up in Redis, many limits in one command. It says who
//! spent how much and decides nothing; when Redis is away there is no answer, and each process goes by its own count.

use std::sync::Arc;
use std::time::Duration;

use domain::ports::Mac;

use super::far::RedisCache;

/// What the names are made for: nothing else under the same secret begins so.
const LABEL: &str = "dca-auth/limit/v1";
/// The longest that an answer is waited for, whatever the connection does: until then nothing else is told.
const WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a name that stand in Redis.
const NAME: usize = 16;

/// Adds up, in microseconds of refilling: KEYS are limits, ARGV the cost of each and then the most that each may come to.
/// Kept is the instant at which all of it is refilled (the generic cell rate algorithm). The clock is that of Redis, so that
/// those of the processes do not matter; an instant that cannot be, because somebody else wrote it or the clock jumped, is
/// none.
const ADD: &str = "\
    local time = redis.call('TIME') \
    local now = time[1] * 1000000 + time[2] \
    local spent = {} \
    for i, name in ipairs(KEYS) do \
        local cost, most = tonumber(ARGV[i]), tonumber(ARGV[#KEYS + i]) \
        local kept = tonumber(redis.call('GET', name) or '') \
        if not kept or not (kept > now and kept <= now + most) then kept = now end \
        local all = math.min(kept + cost - now, most) \
        redis.call('SET', name, string.format('%.0f', now + all), 'PX', math.ceil(all / 1000) + 1) \
        spent[i] = all \
    end \
    return spent";

/// What one process spent of one limit since it told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Which limit of whom: the same text on every process.
    pub name: String,
    /// How long it takes until that is refilled.
    pub cost: Duration,
    /// The most that all together are said to have spent; never longer does anybody wait.
    pub most: Duration,
}

/// Limits that processes share.
#[derive(Clone)]
pub struct SharedLimits {
    redis: RedisCache,
    mac: Arc<dyn Mac>,
    epoch: Box<str>,
}

impl SharedLimits {
    pub(super) fn new(redis: RedisCache, mac: Arc<dyn Mac>, epoch: &str) -> Self {
        Self { redis, mac, epoch: epoch.into() }
    }

    /// Tells what was spent, in one command; how long it takes until what all have spent of each is refilled. `None` if
    /// Redis does not answer in time, or a moment after it did not: then nobody was told.
    pub async fn tell(&self, spent: &[Spent]) -> Option<Vec<Duration>> {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let names = spent.iter().map(|one| self.name(&one.name)).collect();
        let costs = spent.iter().map(|one| micros(one.cost).max(1));
        let values = costs.chain(spent.iter().map(|one| micros(one.most).max(1))).collect();
        let all = tokio::time::timeout(WITHIN, self.redis.eval(ADD, names, values)).await.ok()??;
        // What cannot be meant is nothing.
        Some(
            all.into_iter()
                .map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
                .collect(),
        )
    }

    /// The name of a limit in Redis: nobody reads addresses or accounts out of it. Those of one deployment lie in one slot of
    /// a cluster, because one command has many of them.
    fn name(&self, name: &str) -> String {
        let (_, tag) = self.mac.cache_mac(&[LABEL.as_bytes(), b"\n", name.as_bytes()]);
        format!("dca:{{limits:{}}}:{}", self.epoch, data_encoding::HEXLOWER.encode(&tag[..NAME]))
    }
}
