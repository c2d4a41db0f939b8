//! Dates as Discord writes them, and snowflakes. Reads no clock.

/// Discord's epoch in Unix milliseconds.
pub(crate) const DISCORD_EPOCH_MS: i64 = 1_420_070_400_000;

/// `2026-01-31T12:00:00.000000+00:00`; a time beyond the calendar is shown as its beginning.
pub(crate) fn iso(unix_ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(unix_ms).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string()
}

/// The snowflake after `last` that the time asks for: unique and increasing whatever the clock does.
pub(crate) fn snowflake(unix_ms: i64, last: u64) -> u64 {
    let since = u64::try_from(unix_ms.saturating_sub(DISCORD_EPOCH_MS)).unwrap_or(0);
    (since << 22).max(last.saturating_add(1))
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
