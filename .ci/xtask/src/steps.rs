//! A row of steps: each says when it begins, how it ended and how long it took; the first failure ends the row.

use std::time::{Duration, Instant};

use anyhow::Result;

/// What became of each step so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(String, Outcome)>,
}

enum Outcome {
    Passed(Duration),
    Failed(Duration),
    LeftOut(&'static str),
}

impl Steps {
    /// Does one step.
    ///
    /// # Errors
    /// Those of the step, with its name and `remedy`.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        remedy: &str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        println!("== {name}");
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        let outcome = if result.is_ok() { Outcome::Passed(took) } else { Outcome::Failed(took) };
        println!("== {}", line(name, &outcome));
        self.done.push((name.to_owned(), outcome));
        result.map_err(|error| error.context(format!("{name} failed. Remedy: {remedy}")))
    }

    /// Notes that a step does not run, and why.
    pub(crate) fn leave_out(&mut self, name: &str, why: &'static str) {
        self.done.push((name.to_owned(), Outcome::LeftOut(why)));
    }

    /// One line for each step.
    pub(crate) fn summary(&self) -> String {
        let lines = self.done.iter().map(|(name, outcome)| format!("  {}\n", line(name, outcome)));
        format!("\nSummary\n{}", lines.collect::<String>())
    }
}

fn line(name: &str, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed(took) => format!("{name:<14} passed   {:>7.1} s", took.as_secs_f64()),
        Outcome::Failed(took) => format!("{name:<14} FAILED   {:>7.1} s", took.as_secs_f64()),
        Outcome::LeftOut(why) => format!("{name:<14} left out {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_with_its_remedy_and_stands_in_the_summary() {
        let mut steps = Steps::default();
        steps.step("format", "run cargo fmt", || Ok(())).unwrap();
        steps.leave_out("documentation", "by --quick");
        let error =
            steps.step("clippy", "mend it", || anyhow::bail!("one warning") as Result<()>).unwrap_err();
        assert_eq!(format!("{error:#}"), "clippy failed. Remedy: mend it: one warning");
        let summary = steps.summary();
        for line in ["format         passed", "documentation  left out by --quick", "clippy         FAILED"] {
            assert!(summary.contains(line), "`{line}` is not in {summary}");
        }
    }
}
