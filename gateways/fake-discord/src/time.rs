//! Dates as Discord writes them, and snowflakes. Reads no clock.

/// Discord's epoch in Unix milliseconds.
pub(crate) const DISCORD_EPOCH_MS: i64 = 1_420_070_400_000;

/// `2026-01-31T12:00:00.000000+00:00`.
pub(crate) fn iso(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (seconds, millis) = (ms / 1_000, ms % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}000+00:00")
}

/// Year, month and day of a count of days since 1970, by the algorithm of Howard Hinnant ("chrono-compatible
/// low-level date algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The snowflake after `last` that the time asks for: unique and increasing whatever the clock does.
pub(crate) fn snowflake(unix_ms: i64, last: u64) -> u64 {
    let since = u64::try_from(unix_ms.saturating_sub(DISCORD_EPOCH_MS)).unwrap_or(0);
    (since << 22).max(last + 1)
}

#[cfg(test)]
mod tests {
    use super::{iso, snowflake};

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000000+00:00"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789000+00:00"),
            (1_420_070_400_000, "2015-01-01T00:00:00.000000+00:00"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999000+00:00"),
        ] {
            assert_eq!(iso(ms), text);
        }
    }

    #[test]
    fn snowflakes_increase_though_the_clock_stands_still_or_goes_back() {
        let first = snowflake(1_420_070_401_000, 0);
        assert_eq!(first, 1_000 << 22);
        assert_eq!(snowflake(1_420_070_401_000, first), first + 1);
        assert_eq!(snowflake(0, first), first + 1);
    }
}
