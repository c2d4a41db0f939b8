//! Retiring a secret. One of license keys: every license whose key was made with it gets a key of the active one. A durable
//! job: its row says how far it is, one process works on it at a time, and whoever is killed is followed by the next. One
//! of encryption: the keys that it wraps are wrapped by the active one, which can be broken off and done again. Nothing
//! here has a rule of its own; a license is rekeyed by the command that staff use too.

use std::sync::Arc;
use std::time::Duration;

use api::{Code, OperatorError};
use commands::ring::{List, SecretId};
use commands::{CommandError, Context};
use domain::license::{License, Stage};
use futures::StreamExt as _;
use projections::{Lease, Queries, Retirement};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::assemble::Assembled;
use crate::config;
use crate::jobs::JobError;
use crate::operator::unavailable;
use crate::ring_keeper::{RingKeeper, places};

/// The lease of whoever rekeys.
const LEASE: &str = "key-retirement";
/// How long it lasts; renewed with each page.
const LEASE_TTL: Duration = Duration::from_secs(20);
/// How often somebody who waits for the one at work looks.
const LOOK: Duration = Duration::from_millis(200);
/// How long a pass waits for the read models to show what was made before it.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
/// Tries for one license that others change at the same time.
const TRIES: u32 = 5;

/// The job of one process.
pub(crate) struct Retiring {
    assembled: Arc<Assembled>,
    keeper: Arc<RingKeeper>,
    limits: config::Jobs,
    holder: String,
    /// Whoever works, be it the loop or a command: the lease is the process's, and tells the two not apart.
    working: Mutex<()>,
}

/// What can be retired, by its number in the ring.
#[derive(Clone, Copy)]
enum Retirable {
    License(u8),
    Encryption(u32),
}

/// What became of one license.
enum Rekeyed {
    Yes,
    /// It has a key of another secret, or is revoked.
    NotNeeded,
    /// It can get no other key.
    Refused,
}

impl Retiring {
    /// The job over the two halves; `holder` names this process in the lease.
    pub(crate) fn new(
        assembled: Arc<Assembled>,
        keeper: Arc<RingKeeper>,
        limits: config::Jobs,
        holder: String,
    ) -> Self {
        Self { assembled, keeper, limits, holder, working: Mutex::default() }
    }

    fn queries(&self) -> &Queries {
        &self.assembled.queries
    }

    /// Goes on with whatever is to be retired, whenever something is, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut retiring = self.keeper.retiring();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = retiring.changed() => if changed.is_err() { return },
            }
            let is_asked = *retiring.borrow_and_update();
            if !is_asked {
                continue;
            }
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                worked = self.work() => worked,
            };
            if let Err(error) = worked {
                tracing::warn!(job = "retire-key", %error, "rekeying broke off; it goes on at the next look");
            }
        }
    }

    /// What retiring `secret` would change, without changing it.
    pub(crate) async fn preview(&self, secret: SecretId) -> Result<Value, OperatorError> {
        let number = match self.check(secret)? {
            Retirable::License(number) => number,
            Retirable::Encryption(kek) => {
                let wrapped = self.assembled.commands.vault().wrapped_by(kek).await.map_err(unavailable)?;
                return Ok(json!({ "id": secret.to_string(), "dryRun": true, "wouldRewrap": wrapped }));
            }
        };
        let (mut passed, mut rekeyed, mut revoked, mut by_message) = (0, 0_u64, 0_u64, 0_u64);
        loop {
            let page = self
                .queries()
                .retirements()
                .licenses(passed, self.limits.due_batch)
                .await
                .map_err(unavailable)?;
            let Some((last, _)) = page.last() else { break };
            passed = *last;
            for (_, license) in page.iter().filter(|(_, license)| license.key.secret_id == number) {
                match license.stage {
                    Stage::Revoked => revoked += 1,
                    _ => rekeyed += 1,
                }
                by_message += u64::from(license.slot.is_some() && license.stage != Stage::Revoked);
            }
        }
        Ok(json!({
            "id": secret.to_string(),
            "dryRun": true,
            "wouldRekey": rekeyed,
            "wouldDeliver": by_message,
            "revoked": revoked,
        }))
    }

    /// Asks for the retirement of `secret` and returns when nothing is left of it.
    pub(crate) async fn retire(&self, secret: SecretId) -> Result<Value, OperatorError> {
        let wanted = self.check(secret)?;
        // Whoever still goes by the earlier row would go on using the secret.
        let state = self.queries().ring_holders().state().await.map_err(unavailable)?;
        let active = state.map(|state| state.active).unwrap_or_default();
        let late = self.keeper.followed(&active, LEASE_TTL).await?;
        if !late.is_empty() {
            let detail = format!(
                "{} still go by an earlier secret: stop or mend these processes, then retire `{secret}` again. \
                 Nothing was changed.",
                places(&late).join(", ")
            );
            return Err(OperatorError::Refused { code: Code::SecretNotKnown, detail });
        }
        let number = match wanted {
            Retirable::License(number) => number,
            Retirable::Encryption(kek) => return self.rewrap(secret, kek).await,
        };
        self.queries().retirements().request(number).await.map_err(unavailable)?;
        loop {
            self.work().await.map_err(|error| OperatorError::Unavailable(error.to_string()))?;
            let all = self.queries().retirements().all().await.map_err(unavailable)?;
            match all.iter().find(|one| one.secret_id == number && one.finished_at.is_some()) {
                Some(done) => return Ok(shown(secret, done)),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Wraps anew what `secret` wraps, until nothing is left that can be.
    async fn rewrap(&self, secret: SecretId, kek: u32) -> Result<Value, OperatorError> {
        let (vault, mut all) = (self.assembled.commands.vault(), 0);
        loop {
            let done = vault.rewrap(kek).await.map_err(unavailable)?;
            all += done.rewrapped;
            if done.rewrapped == 0 {
                tracing::info!(job = "retire-key", %secret, rewrapped = all, damaged = done.damaged, "keys are wrapped anew");
                return Ok(json!({ "id": secret.to_string(), "rewrapped": all, "damaged": done.damaged }));
            }
        }
    }

    /// A secret that can be retired and is not the active one.
    fn check(&self, secret: SecretId) -> Result<Retirable, OperatorError> {
        let wanted = match secret.list {
            List::License => u8::try_from(secret.id).ok().map(Retirable::License),
            List::Encryption => Some(Retirable::Encryption(secret.id)),
            other => {
                let detail = format!(
                    "must be a secret of license keys or of encryption, such as `license-0`; nothing is made anew for \
                     `{other}`: rotate it, and the earlier one goes on proving what was made with it"
                );
                return Err(OperatorError::Invalid { member: "id", detail });
            }
        };
        let ring = self.assembled.commands.ring();
        let Some(wanted) = wanted.filter(|_| ring.ids(secret.list).contains(&secret.id)) else {
            let detail =
                format!("There is no secret `{secret}`; `dca-auth keys list` shows those that there are.");
            return Err(OperatorError::Refused { code: Code::SecretNotFound, detail });
        };
        if ring.active(secret.list) == secret.id {
            let detail = format!(
                "What is new is made with `{secret}`: run `dca-auth keys rotate --kind {}` first, then retire it.",
                secret.list
            );
            return Err(OperatorError::Refused { code: Code::SecretActive, detail });
        }
        Ok(wanted)
    }

    /// Works on everything that is to be retired, unless somebody else does.
    async fn work(&self) -> Result<(), JobError> {
        let Ok(_one) = self.working.try_lock() else { return Ok(()) };
        let leases = self.queries().leases();
        let Some(lease) = leases.acquire(LEASE, &self.holder, LEASE_TTL).await? else { return Ok(()) };
        let done = self.all(&lease).await;
        leases.release(&lease).await?;
        done
    }

    async fn all(&self, lease: &Lease) -> Result<(), JobError> {
        for retirement in self.queries().retirements().all().await? {
            if retirement.finished_at.is_none() && !self.one(&retirement, lease).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Passes over all licenses until one finds nothing more to do; false if the lease was lost.
    async fn one(&self, retirement: &Retirement, lease: &Lease) -> Result<bool, JobError> {
        let secret = retirement.secret_id;
        let (mut passed, mut refused, mut found) = (retirement.passed_position, retirement.refused, true);
        let retirements = self.queries().retirements();
        while found {
            // A pass that went on after a crash cannot tell what was found before it.
            found = passed > 0;
            let head = self.queries().current_head().await?;
            self.queries().wait_for(head, SHOWN_WITHIN).await?;
            loop {
                let renewed = self.queries().leases().acquire(LEASE, &self.holder, LEASE_TTL).await?;
                if renewed.is_none_or(|renewed| renewed.token != lease.token) {
                    return Ok(false);
                }
                let page = retirements.licenses(passed, self.limits.due_batch).await?;
                let Some((last, _)) = page.last() else { break };
                passed = *last;
                let (rekeyed, more) = self.page(secret, page).await?;
                refused += more;
                found |= rekeyed > 0;
                retirements.progress(secret, passed, rekeyed, refused).await?;
            }
            if found {
                (passed, refused) = (0, 0);
                retirements.progress(secret, 0, 0, 0).await?;
            }
        }
        retirements.finish(secret).await?;
        tracing::info!(job = "retire-key", secret, refused, "every license that could be was rekeyed");
        Ok(true)
    }

    /// One page of licenses: how many got a new key, and how many can get none.
    async fn page(&self, secret: u8, page: Vec<(i64, License)>) -> Result<(u64, u64), JobError> {
        let wanted = page
            .into_iter()
            .map(|(_, license)| license)
            .filter(|license| license.key.secret_id == secret && license.stage != Stage::Revoked);
        let work = futures::stream::iter(wanted).map(|license| self.rekey(secret, license));
        let done: Vec<_> = work.buffer_unordered(self.limits.due_parallel).collect().await;
        let (mut rekeyed, mut refused) = (0, 0);
        for one in done {
            match one? {
                Rekeyed::Yes => rekeyed += 1,
                Rekeyed::Refused => refused += 1,
                Rekeyed::NotNeeded => {}
            }
        }
        Ok((rekeyed, refused))
    }

    /// A new key for one license, unless it got another one meanwhile.
    async fn rekey(&self, secret: u8, license: License) -> Result<Rekeyed, JobError> {
        let commands = &self.assembled.commands;
        let mut tries = 0;
        loop {
            let now = commands.load_license(license.id).await?;
            if now.key.secret_id != secret || now.stage == Stage::Revoked {
                return Ok(Rekeyed::NotNeeded);
            }
            let mut context = Context::job("retire-key", Uuid::new_v4(), self.assembled.clock.now());
            context.expected_version = Some(now.version);
            match commands.rekey(&context, license.id).await {
                Ok(_) => return Ok(Rekeyed::Yes),
                Err(CommandError::Refused(refused)) => {
                    tracing::warn!(job = "retire-key", license = %license.id, code = %refused.code, "it keeps its key");
                    return Ok(Rekeyed::Refused);
                }
                Err(CommandError::VersionMismatch { .. } | CommandError::Conflict(_)) if tries < TRIES => {
                    tries += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How far a retirement is, as answers show it.
pub(crate) fn shown(secret: SecretId, retirement: &Retirement) -> Value {
    json!({
        "id": secret.to_string(),
        "rekeyed": retirement.rekeyed,
        "refused": retirement.refused,
        "requestedAt": retirement.requested_at,
        "finishedAt": retirement.finished_at,
    })
}
