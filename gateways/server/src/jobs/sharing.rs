//! Watching for shared keys: each new device makes the rules look at what happened to its license. It is off the path of
//! requests, and follows the log by a checkpoint of its own. One process does it at a time; two would do no harm, because a
//! suspicion is appended only to the very history that it was judged by, and that history says which rules fired before.

use std::collections::BTreeMap;
use std::time::Duration;

use commands::{CommandError, Context};
use domain::guild::Sharing;
use domain::id::LicenseId;
use domain::license::Event;
use domain::sharing::{self, Limits, Suspicion};
use projections::QueryError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{JobError, Jobs};

/// Its name as an actor.
const JOB: &str = "sharing";
/// Longest pause between two looks at the log, whether or not anybody called.
const TICK: Duration = Duration::from_secs(1);
/// Events of a license that are looked back at; limits are lower by far.
const LOOK_BACK: u64 = 4_000;
/// Judgements of one license in a row: three rules, and others may be faster.
const ROUNDS: u32 = 16;

/// What is to be judged of one license.
struct Watched {
    sharing: Sharing,
    /// Which of its events are new devices.
    sequences: Vec<u64>,
}

impl Jobs {
    /// Watches until `stop`.
    pub(super) async fn sharing_loop(&self, stop: CancellationToken) {
        let mut heard = self.inner.queries.heard();
        let mut failures = 0;
        while !stop.is_cancelled() {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.watch_sharing() => looked,
            };
            let pause = match looked {
                Ok(()) => {
                    failures = 0;
                    self.inner.limits.sharing
                }
                Err(error) => {
                    failures += 1;
                    let pause = self.pause(failures);
                    tracing::warn!(job = JOB, %error, "sharing could not be watched for; tried again in {pause:?}");
                    pause
                }
            };
            // What comes in the meantime is looked at together.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TICK) => {}
                _ = heard.changed() => {}
            }
        }
    }

    /// Judges every device that was activated since the last look.
    async fn watch_sharing(&self) -> Result<(), JobError> {
        let activations = &self.inner.activations;
        loop {
            let part = activations.next(self.inner.limits.sharing_batch).await?;
            let watched = self.watched(&part.devices).await?;
            if watched.is_empty() {
                activations.pass(&part).await?;
            } else if self.is_its_turn().await? {
                for (license, watched) in watched {
                    self.judge(license, &watched).await?;
                }
                activations.done(&part).await?;
            } else {
                return Ok(());
            }
            if !part.more {
                return Ok(());
            }
        }
    }

    /// The licenses of new devices in guilds that watch for sharing now.
    async fn watched(
        &self,
        devices: &[projections::NewDevice],
    ) -> Result<BTreeMap<LicenseId, Watched>, QueryError> {
        let mut watched: BTreeMap<LicenseId, Watched> = BTreeMap::new();
        for device in devices {
            let guild = self.inner.queries.guild(device.guild).await?;
            let sharing = guild.map(|facts| facts.guild.settings.sharing).filter(|sharing| sharing.detect);
            if let Some(sharing) = sharing {
                let new = || Watched { sharing, sequences: Vec::new() };
                watched.entry(device.license).or_insert_with(new).sequences.push(device.sequence);
            }
        }
        Ok(watched)
    }

    /// Judges new devices of one license until no rule fires any more.
    async fn judge(&self, license: LicenseId, watched: &Watched) -> Result<(), JobError> {
        for _ in 0..ROUNDS {
            let (version, suspicions) = match self.suspicions(license, watched).await {
                Ok(judged) => judged,
                Err(QueryError::Unavailable(why)) => return Err(QueryError::Unavailable(why).into()),
                // One license that cannot be read holds up no other.
                Err(error) => {
                    tracing::warn!(job = JOB, %license, %error, "its history cannot be judged; it is left out");
                    return Ok(());
                }
            };
            if suspicions.is_empty() {
                return Ok(());
            }
            let now = self.inner.clock.now();
            let context =
                Context { expected_version: Some(version), ..Context::job(JOB, Uuid::new_v4(), now) };
            let suspend = watched.sharing.auto_suspend;
            match self.inner.commands.suspect_sharing(&context, license, suspicions, suspend).await {
                // Something happened to it meanwhile, or another rule may fire at a later device: judged again.
                Ok(_) | Err(CommandError::VersionMismatch { .. } | CommandError::Conflict(_)) => {}
                // Revoked meanwhile: there is nobody to suspect any more.
                Err(CommandError::Refused(_) | CommandError::NotFound(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommandError::Conflict(ROUNDS).into())
    }

    /// The version of a license that is judged, and the rules that fire at the first of the new devices at which any does.
    /// A device older than a window is not judged: whoever switches this on is told nothing of the past before that.
    async fn suspicions(
        &self,
        license: LicenseId,
        watched: &Watched,
    ) -> Result<(u64, Vec<Suspicion>), QueryError> {
        let Some(first) = watched.sequences.first() else { return Ok((0, Vec::new())) };
        let Some(facts) = self.inner.queries.license(license).await? else { return Ok((0, Vec::new())) };
        let limits = Limits::of(&watched.sharing, &facts.license.terms);
        let before = first.saturating_sub(LOOK_BACK);
        let history = self.inner.activations.history(license, before).await?;
        let (version, now) = (before + history.len() as u64, self.inner.clock.now());
        let judged = watched.sequences.iter().filter_map(|sequence| {
            let place = usize::try_from(sequence - before - 1).ok()?;
            let is_fresh = |event: &Event| now < event.at().after(watched.sharing.window());
            history.get(place).filter(|event| is_fresh(event))?;
            Some(sharing::suspicions(&history, place, &limits))
        });
        Ok((version, judged.into_iter().find(|fired| !fired.is_empty()).unwrap_or_default()))
    }
}
