//! Work of the operator that takes longer than a request may: it goes on in the background, each request waits for
//! it a little, and the one that meets its end takes the result. One piece at a time; what it does is not known here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::OperatorError;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

/// A finished result that nobody fetched for so long belongs to somebody who went away.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// The place for one piece of work.
pub(crate) struct Long {
    /// How long one request waits.
    wait: Duration,
    running: Mutex<Option<Work>>,
}

/// What long work says about how far it is.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<watch::Sender<Option<String>>>);

impl Progress {
    /// Says it, instead of what was said before.
    pub(crate) fn say(&self, text: String) {
        self.0.send_replace(Some(text));
    }

    fn said(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}

struct Work {
    what: String,
    progress: Progress,
    task: JoinHandle<Result<Value, OperatorError>>,
    asked: Instant,
}

impl Long {
    /// An empty place.
    pub(crate) fn new(wait: Duration) -> Self {
        Self { wait, running: Mutex::default() }
    }

    /// Begins `work`, or goes on waiting for it if it runs already under the same name. `{"running": what}` means:
    /// ask again.
    ///
    /// # Errors
    /// [`OperatorError::Busy`] while other work runs, and those of the work.
    pub(crate) async fn run(
        &self,
        what: &str,
        work: impl Future<Output = Result<Value, OperatorError>> + Send + 'static,
    ) -> Result<Value, OperatorError> {
        self.run_saying(what, |_| work).await
    }

    /// The same for work that says how far it is, which stands beside `running` as `progress`.
    ///
    /// # Errors
    /// As [`Long::run`].
    pub(crate) async fn run_saying<F>(
        &self,
        what: &str,
        work: impl FnOnce(Progress) -> F,
    ) -> Result<Value, OperatorError>
    where
        F: Future<Output = Result<Value, OperatorError>> + Send + 'static,
    {
        let mut place = self.running.try_lock().map_err(|_| busy("the same, or a like command"))?;
        if place.as_ref().is_some_and(Work::is_forgotten) {
            *place = None;
        }
        let running = match place.as_mut() {
            Some(running) if running.what == what => running,
            Some(other) => return Err(busy(&other.what)),
            None => {
                let progress = Progress::default();
                let task = tokio::spawn(work(progress.clone()));
                place.insert(Work { what: what.to_owned(), progress, task, asked: Instant::now() })
            }
        };
        let done = tokio::time::timeout(self.wait, &mut running.task).await;
        running.asked = Instant::now();
        match done {
            Err(_) => Ok(match running.progress.said() {
                Some(progress) => json!({ "running": what, "progress": progress }),
                None => json!({ "running": what }),
            }),
            Ok(ended) => {
                *place = None;
                ended.map_err(|error| OperatorError::Unavailable(format!("{what} broke off: {error}")))?
            }
        }
    }
}

impl Work {
    fn is_forgotten(&self) -> bool {
        self.task.is_finished() && self.asked.elapsed() > FORGOTTEN_AFTER
    }
}

fn busy(what: &str) -> OperatorError {
    OperatorError::Busy(format!("`{what}` is running; try again when it has ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_long_is_asked_for_until_it_is_done() {
        let long = Long::new(Duration::from_secs(5));
        let work = || async {
            tokio::time::sleep(Duration::from_secs(12)).await;
            Ok(json!({ "ok": true }))
        };
        assert_eq!(long.run("verify", work()).await.unwrap(), json!({ "running": "verify" }));
        assert!(matches!(long.run("rebuild x", work()).await, Err(OperatorError::Busy(_))));
        assert_eq!(long.run("verify", work()).await.unwrap(), json!({ "running": "verify" }));
        assert_eq!(long.run("verify", work()).await.unwrap(), json!({ "ok": true }));
        assert_eq!(long.run("rebuild x", work()).await.unwrap(), json!({ "running": "rebuild x" }));
    }

    #[tokio::test(start_paused = true)]
    async fn work_says_how_far_it_is() {
        let long = Long::new(Duration::from_secs(5));
        let work = |progress: Progress| async move {
            for half in ["nothing", "half"] {
                progress.say(half.to_owned());
                tokio::time::sleep(Duration::from_secs(6)).await;
            }
            Ok(json!({ "ok": true }))
        };
        let running = |progress: &str| json!({ "running": "rebuild", "progress": progress });
        assert_eq!(long.run_saying("rebuild", work).await.unwrap(), running("nothing"));
        assert_eq!(long.run_saying("rebuild", work).await.unwrap(), running("half"));
        assert_eq!(long.run_saying("rebuild", work).await.unwrap(), json!({ "ok": true }));
    }
}
