//! What a process uses, as Linux counts it; `None` where the system does not say.

use std::time::Duration;

/// Linux counts time for users in hundredths of a second, whatever its own clock (proc(5), `sysconf(_SC_CLK_TCK)`).
const TICK: Duration = Duration::from_millis(10);

/// Bytes of a process that are in memory.
pub(super) fn resident_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// The time that a process has had on the processors, in it and in the system for it.
pub(super) fn processor_time(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program stands in brackets and may hold anything; the state follows it as the third field.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_ascii_whitespace().skip(11).map(|field| field.parse::<u32>().ok());
    Some(TICK * (ticks.next()?? + ticks.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_counted() {
        let bytes = resident_bytes(std::process::id()).unwrap();
        assert!((1_000_000..100_000_000_000).contains(&bytes), "{bytes}");
        let before = processor_time(std::process::id()).unwrap();
        let begin = std::time::Instant::now();
        while processor_time(std::process::id()).unwrap() < before + TICK * 2 {
            assert!(begin.elapsed() < Duration::from_secs(60), "a busy process is not counted");
        }
    }
}
