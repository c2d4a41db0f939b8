//! How many requests in what time: `1000/10s`. Read from the configuration, shown in headers; it counts nothing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Most requests of one rate.
const QUOTA_MAX: u32 = 1_000_000;
/// Longest time of one rate in seconds.
const WINDOW_MAX_S: u32 = 86_400;

/// A bucket of `quota` requests that is refilled steadily, from empty to full within the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    quota: u32,
    window_s: u32,
}

impl Rate {
    /// `quota` requests (1 to 1,000,000) in `window_s` seconds (1 to 86,400); `None` for what is out of these.
    pub const fn new(quota: u32, window_s: u32) -> Option<Self> {
        let possible = quota >= 1 && quota <= QUOTA_MAX && window_s >= 1 && window_s <= WINDOW_MAX_S;
        if possible { Some(Self { quota, window_s }) } else { None }
    }

    pub(crate) const fn quota(self) -> u32 {
        self.quota
    }

    pub(crate) const fn window_s(self) -> u32 {
        self.window_s
    }

    /// In so long one request is refilled.
    pub(crate) fn interval(self) -> Duration {
        Duration::from_secs(self.window_s.into()) / self.quota
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.quota, self.window_s)
    }
}

/// A number of requests, a stroke, and a time in `s`, `m` or `h`.
impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = || {
            let (quota, window) = text.split_once('/')?;
            let unit_s = match window.chars().next_back()? {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                _ => return None,
            };
            let window: u32 = window.get(..window.len() - 1)?.parse().ok()?;
            Self::new(quota.parse().ok()?, window.checked_mul(unit_s)?)
        };
        parts().ok_or_else(|| {
            format!(
                "`{text}` is no rate such as 1000/10s: 1 to {QUOTA_MAX} requests in 1 s to {WINDOW_MAX_S} s"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_of_requests_in_a_time() {
        for (text, quota, window_s) in [("1000/10s", 1_000, 10), ("5/1m", 5, 60), ("1/24h", 1, 86_400)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.quota(), rate.window_s()), (quota, window_s), "{text}");
            assert_eq!(rate.to_string().parse(), Ok(rate));
        }
        for bad in
            ["", "5", "0/1s", "5/0s", "5/25h", "5/1d", "5/s", "-1/1s", "1000001/1s", "5/1ß", "5/99999999h"]
        {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
