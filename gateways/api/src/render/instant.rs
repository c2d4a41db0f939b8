//! Instants in answers: RFC 3339, UTC, milliseconds, written straight into the body. The domain's own `Display`
//! says the same and allocates on its way, which the hot path would do eight times an answer.

use domain::time::Timestamp;
use serde::{Serialize, Serializer};

/// An instant in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl From<Timestamp> for Instant {
    fn from(instant: Timestamp) -> Self {
        Self(instant)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = *b"0000-00-00T00:00:00.000Z";
        match written(self.0, &mut buffer) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(&self.0),
        }
    }
}

/// Writes an instant of the years 1970 to 9999; `None` for any other.
fn written(instant: Timestamp, buffer: &mut [u8; 24]) -> Option<&str> {
    if !(0..=Timestamp::MAX.0).contains(&instant.0) {
        return None;
    }
    let ms = instant.0.unsigned_abs();
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    put(&mut buffer[0..4], year);
    put(&mut buffer[5..7], month);
    put(&mut buffer[8..10], day);
    put(&mut buffer[11..13], of_day / 3_600_000);
    put(&mut buffer[14..16], of_day / 60_000 % 60);
    put(&mut buffer[17..19], of_day / 1_000 % 60);
    put(&mut buffer[20..23], of_day % 1_000);
    std::str::from_utf8(buffer).ok()
}

fn put(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of the n-th day after 1970-01-01, by Howard Hinnant's `civil_from_days`: years begin in
/// March, so that the leap day comes last, and an era is the 146,097 days of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_the_domain_writes_them() {
        let day = 86_400_000;
        let starts = (0..40_000).map(|n| n * 73 * day + n * 1_234_567);
        for ms in starts.chain([0, 951_782_399_999, 951_782_400_000, 4_107_542_399_999, Timestamp::MAX.0]) {
            let instant = Timestamp(ms.min(Timestamp::MAX.0));
            let mut buffer = *b"0000-00-00T00:00:00.000Z";
            assert_eq!(written(instant, &mut buffer).unwrap(), instant.to_string());
        }
        assert_eq!(written(Timestamp(-1), &mut [0; 24]), None);
    }
}
