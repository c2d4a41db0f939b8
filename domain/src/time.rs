//! Instants and spans as they stand in events and answers: RFC 3339 in UTC with milliseconds, and ISO 8601
//! durations of days to seconds. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::id::InvalidId;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The last instant that can be written, 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Milliseconds since the epoch.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// This instant plus `span`, never past [`Timestamp::MAX`].
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0).clamp(0, Self::MAX.0))
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        self.after(span)
    }
}

impl Sub for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms since 1970", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|time| Self(time.timestamp_millis()))
            .filter(|time| (0..=Self::MAX.0).contains(&time.0))
            .ok_or_else(|| {
                InvalidId::new(text, "an RFC 3339 time from 1970 to 9999, such as 2026-11-23T12:00:00Z")
            })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A length of time in milliseconds, not negative. Written as an ISO 8601 duration of days to seconds:
/// `P30D`, `PT12H`, `P1DT2H3M4S`. Weeks, months and years are refused, because their length varies or
/// because a second spelling of the same span helps nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span(pub i64);

const UNITS: [(char, i64); 4] = [('D', 86_400_000), ('H', 3_600_000), ('M', 60_000), ('S', 1_000)];

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span accepted: 36,500 days.
    pub const MAX: Self = Self::days(36_500);

    /// `n` days of 24 hours.
    pub const fn days(n: i64) -> Self {
        Self(n * 86_400_000)
    }

    /// `n` hours.
    pub const fn hours(n: i64) -> Self {
        Self(n * 3_600_000)
    }

    /// `n` seconds.
    pub const fn seconds(n: i64) -> Self {
        Self(n * 1_000)
    }

    /// Milliseconds.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000 {
            return f.write_str("PT0S");
        }
        f.write_str("P")?;
        let mut rest = self.0;
        let mut in_time = false;
        for (unit, length) in UNITS {
            let count = rest / length;
            rest %= length;
            if count > 0 {
                if unit != 'D' && !in_time {
                    f.write_str("T")?;
                    in_time = true;
                }
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_span(text).filter(|span| *span <= Self::MAX).ok_or_else(|| {
            InvalidId::new(text, "a duration of days to seconds up to P36500D, such as P30D or PT12H")
        })
    }
}

/// `P[nD][T[nH][nM][nS]]` with at least one part, units in falling order, whole numbers of up to 12 digits.
fn parse_span(text: &str) -> Option<Span> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let total = sum_parts(days, &UNITS[..1])?.checked_add(sum_parts(time, &UNITS[1..])?)?;
    Some(Span(total))
}

fn sum_parts(mut text: &str, units: &[(char, i64)]) -> Option<i64> {
    let mut total = 0_i64;
    let mut units = units.iter();
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit()).filter(|n| (1..=12).contains(n))?;
        let count: i64 = text[..digits].parse().ok()?;
        let letter = text[digits..].chars().next()?;
        let (_, length) = units.find(|(unit, _)| *unit == letter)?;
        total = total.checked_add(count.checked_mul(*length)?)?;
        text = &text[digits + letter.len_utf8()..];
    }
    Some(total)
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_they_are_read() {
        for text in ["P30D", "PT12H", "P1DT2H3M4S", "PT1S", "PT0S"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("PT90M".parse::<Span>().unwrap().to_string(), "PT1H30M");
        assert_eq!("PT86400S".parse::<Span>().unwrap(), Span::days(1));
    }

    #[test]
    fn other_spellings_of_a_duration_are_refused() {
        for text in [
            "",
            "P",
            "PT",
            "P1W",
            "P1M",
            "P1Y",
            "30D",
            "P-1D",
            "P1.5D",
            "PT1M1H",
            "P1DT",
            "p1d",
            "P36501D",
            "P9999999999999D",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn instants_are_utc_with_milliseconds() {
        let time: Timestamp = "2026-11-23T13:00:00+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-23T12:00:00.000Z");
        assert!("2026-11-23".parse::<Timestamp>().is_err());
        assert!("1969-12-31T23:59:59Z".parse::<Timestamp>().is_err());
    }
}
