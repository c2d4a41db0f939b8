//! The key ring of a running process: it re-reads the file, follows the active ids of the database, and announces what
//! it knows, so that no secret is activated that some process lacks. `keys add`, `activate` and `rotate` are done here.
//! No secret is shown or logged; what becomes of licenses when one is retired stands in `retire.rs`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Duration, SystemTime};

use api::{Code, Component, Condition, OperatorError};
use commands::ring::{ActiveIds, KeyRing, List, RingError, SecretFacts, SecretId, os_random};
use projections::{Activated, RingHolder, RingHolders, RingSecret};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config;
use crate::failure::{Failure, Outcome};
use crate::operator::unavailable;

/// How often somebody who waits for other processes looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long an activation waits for the other processes to go by it; they look every second.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(10);

/// Keeps one process's ring.
pub(crate) struct RingKeeper {
    ring: Arc<KeyRing>,
    path: PathBuf,
    holders: RingHolders,
    clock: Clock,
    limits: config::Keys,
    /// How this process is announced; `None` for a command, which nobody has to wait for.
    name: Option<Name>,
    kept: Mutex<Kept>,
    trouble: SyncMutex<Option<String>>,
    retiring: watch::Sender<bool>,
}

/// Who is known to have ended when a process begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nobody.
    Nobody,
    /// The one that had the folder before.
    Former(String),
    /// Every other one: the database is a file of the folder, and the folder's lock is held.
    Others,
}

/// How a process is announced.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    /// Random.
    pub(crate) instance: String,
    /// For people.
    pub(crate) place: String,
}

#[derive(Default)]
struct Kept {
    /// The file as it was when it was read.
    read: Option<Stamp>,
    /// What was announced, and when last.
    announced: Option<(Vec<String>, String, Instant)>,
}

/// By what a changed file is told without reading it.
type Stamp = (SystemTime, u64);

impl RingKeeper {
    /// A keeper of `ring`, which stands at `path`.
    pub(crate) fn new(
        ring: Arc<KeyRing>,
        path: PathBuf,
        holders: RingHolders,
        clock: Clock,
        limits: config::Keys,
        name: Option<Name>,
    ) -> Self {
        Self {
            ring,
            path,
            holders,
            clock,
            limits,
            name,
            kept: Mutex::default(),
            trouble: SyncMutex::default(),
            retiring: watch::Sender::new(false),
        }
    }

    /// Announces the process before it serves.
    ///
    /// # Errors
    /// If the database does not answer, or the ring lacks what is active or has another secret under a known id.
    pub(crate) async fn enter(&self, ended: &Ended) -> Outcome<()> {
        let gone = match ended {
            Ended::Nobody => Ok(()),
            Ended::Former(name) => self.holders.leave(name).await,
            Ended::Others => {
                let own = self.name.as_ref().map_or("", |name| name.instance.as_str());
                self.holders.alone(own).await
            }
        };
        gone.map_err(|error| Failure::new(error.to_string()))?;
        let looked = self.look().await;
        if looked.is_err() {
            // It does not serve: nobody is to wait for it.
            self.leave().await;
        }
        looked.map_err(Failure::new)
    }

    async fn leave(&self) {
        if let Some(name) = &self.name
            && let Err(error) = self.holders.leave(&name.instance).await
        {
            tracing::warn!(%error, "this process counts as running until its announcement lapses");
        }
    }

    /// Looks again and again until `stop`, then says that the process has ended.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(self.limits.poll) => {}
            }
            let trouble = self.look().await.err();
            let mut kept = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            if trouble != *kept {
                match &trouble {
                    Some(why) => {
                        tracing::error!(why, "the key ring could not be followed; it is tried again");
                    }
                    None => tracing::info!("the key ring is followed again"),
                }
                *kept = trouble;
            }
        }
        self.leave().await;
    }

    /// How the ring is kept, for `/health`. Anybody may ask that, so it names neither files nor processes.
    pub(crate) async fn health(&self) -> Component {
        let shown = |status, detail| Component {
            name: "keys".to_owned(),
            status,
            latency_ms: None,
            lag_events: None,
            detail,
        };
        if self.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            let detail = "the key ring cannot be followed, so keys that others make may not be taken here; the log of \
                          this process says why";
            return shown(Condition::Degraded, Some(detail.to_owned()));
        }
        // Without an answer the component `store` says what is wrong.
        let live = self.holders.live().await.unwrap_or_default();
        let lacks = |secret: &SecretFacts| {
            let id = secret.id.to_string();
            let count = live.iter().filter(|holder| !holder.secrets.contains(&id)).count();
            (count > 0).then(|| format!("`{id}` is not known to {count} of {} processes", live.len()))
        };
        let lacking: Vec<String> = self.ring.secrets().iter().filter_map(lacks).collect();
        let named = || format!("{}: `dca-auth keys list` names them", lacking.join("; "));
        shown(Condition::Ok, (!lacking.is_empty()).then(named))
    }

    /// Wakes when a secret is to be retired.
    pub(crate) fn retiring(&self) -> watch::Receiver<bool> {
        self.retiring.subscribe()
    }

    /// Takes over what is new in the file and in the database, and announces it. A file that cannot be used is no reason
    /// to miss what was activated, nor to count as ended.
    async fn look(&self) -> Result<(), String> {
        let mut kept = self.kept.lock().await;
        let Some(state) = self.holders.state().await.map_err(away)? else {
            return Err("the database has lost its row `ring_active`; restore a backup".to_owned());
        };
        self.retiring.send_if_modified(|retiring| {
            let now = state.retiring > 0;
            std::mem::replace(retiring, now) != now || now
        });
        let stamp = std::fs::metadata(&self.path).and_then(|file| Ok((file.modified()?, file.len()))).ok();
        let is_new = stamp.is_some() && stamp != kept.read;
        let file = if is_new { self.read().await.map(Some) } else { Ok(None) };
        let followed = self.follow(file.as_ref().ok().and_then(Option::as_ref), &state.active);
        if file.is_ok() && followed.is_ok() {
            kept.read = stamp;
        }
        let goes_by = match (&followed, &kept.announced) {
            (Ok(_), _) => state.active,
            (Err(_), Some((_, earlier, _))) => earlier.clone(),
            (Err(_), None) => String::new(),
        };
        self.announce(&mut kept, goes_by).await?;
        file.and(followed).map(|_| ())
    }

    /// The ring in the file, if its secrets are those that the database knows by these ids.
    async fn read(&self) -> Result<KeyRing, String> {
        let file = KeyRing::load(&self.path).map_err(|error| error.to_string())?.ring;
        let ours = file.secrets();
        let recorded =
            self.holders.record(&ours.iter().map(recordable).collect::<Vec<_>>()).await.map_err(away)?;
        let differs = |ours: &&SecretFacts| {
            recorded
                .iter()
                .any(|known| known.id == ours.id.to_string() && known.fingerprint != ours.fingerprint)
        };
        match ours.iter().find(differs) {
            None => Ok(file),
            Some(secret) => Err(commands::ring::RingMismatch::OtherSecret {
                secret: secret.id,
                ring: file.fingerprint().to_owned(),
            }
            .to_string()),
        }
    }

    fn follow(&self, file: Option<&KeyRing>, active: &str) -> Result<bool, String> {
        let active: ActiveIds = serde_json::from_str(active)
            .map_err(|error| format!("the row `ring_active` of the table meta cannot be read: {error}"))?;
        self.ring.follow(file.unwrap_or(&self.ring), &active).map_err(|error| error.to_string())
    }

    /// Says what this process knows and goes by, if that changed, and again and again that it runs.
    async fn announce(&self, kept: &mut Kept, active: String) -> Result<(), String> {
        let Some(name) = &self.name else { return Ok(()) };
        let secrets: Vec<String> = self.ring.secrets().iter().map(|secret| secret.id.to_string()).collect();
        let lapse = self.limits.lapse;
        if let Some((known, by, at)) = &kept.announced
            && *known == secrets
        {
            if *by == active && at.elapsed() < lapse / 3 {
                return Ok(());
            }
            if self.holders.beat(&name.instance, &active, lapse).await.map_err(away)? {
                kept.announced = Some((secrets, active, Instant::now()));
                return Ok(());
            }
        }
        let holder = RingHolder {
            instance: name.instance.clone(),
            place: name.place.clone(),
            secrets: secrets.clone(),
            active: active.clone(),
            expires_at: self.clock.now(),
        };
        let stands = self.holders.announce(&holder, lapse).await.map_err(away)?;
        kept.announced = Some((secrets, active, Instant::now()));
        // Somebody who did not see this process may have activated a secret before it was announced.
        self.follow(None, &stands.unwrap_or_default())?;
        Ok(())
    }

    /// Every secret, who lacks it, and how far its retirement is.
    pub(crate) async fn list(&self) -> Result<Value, OperatorError> {
        let live = self.holders.live().await.map_err(unavailable)?;
        let ours = self.ring.secrets();
        let mut rows: Vec<Value> = ours.iter().map(|secret| shown(secret, &live)).collect();
        let recorded = self.holders.recorded().await.map_err(unavailable)?;
        let lacking = recorded.iter().filter(|known| ours.iter().all(|ours| ours.id.to_string() != known.id));
        rows.extend(lacking.map(|known| {
            json!({ "id": known.id, "fingerprint": known.fingerprint, "createdAt": known.created_at,
                "active": false, "inThisRing": false })
        }));
        let holders: Vec<Value> = live
            .iter()
            .map(|one| json!({ "instance": one.instance, "place": one.place, "secrets": one.secrets }))
            .collect();
        Ok(json!({ "ring": self.ring.fingerprint(), "data": rows, "processes": holders }))
    }

    /// Adds a secret to the file; this process knows it when this returns, others when their file has it.
    pub(crate) async fn add(&self, kind: &str) -> Result<SecretId, OperatorError> {
        let list: List = kind.parse().map_err(|error: RingError| OperatorError::Invalid {
            member: "kind",
            detail: error.to_string(),
        })?;
        self.check_whole(list).await?;
        let now = self.clock.now();
        let add = |ring: &KeyRing| ring.with_added(list, now, &mut os_random);
        let path = self.path.clone();
        let (_, id) = KeyRing::change_file(&path, add).map_err(ring_refused)?;
        // The file has the same time and length as before at worst, and is then read all the same.
        self.kept.lock().await.read = None;
        self.look().await.map_err(OperatorError::Unavailable)?;
        Ok(SecretId { list, id })
    }

    /// Two machines that add to copies of one file would call two secrets by one id.
    async fn check_whole(&self, list: List) -> Result<(), OperatorError> {
        let known: Vec<u32> = self.ring.ids(list);
        for secret in self.holders.recorded().await.map_err(unavailable)? {
            let Ok(id) = secret.id.parse::<SecretId>() else { continue };
            if id.list == list && !known.contains(&id.id) {
                let detail = format!(
                    "The key file {} lacks the secret `{id}`, which another process has: copy the key file from there, \
                     then add.",
                    self.path.display()
                );
                return Err(OperatorError::Refused { code: Code::SecretNotKnown, detail });
            }
        }
        Ok(())
    }

    /// Makes a secret the active one, if every process that runs knows it. Returns when every one goes by it, or names
    /// those that do not after a while.
    pub(crate) async fn activate(&self, secret: SecretId) -> Result<Value, OperatorError> {
        if !self.ring.ids(secret.list).contains(&secret.id) {
            let known = RingError::NoSuchSecret { secret, known: numbers(&self.ring.ids(secret.list)) };
            return Err(OperatorError::Refused { code: Code::SecretNotFound, detail: format!("{known}.") });
        }
        // With a file that cannot be used it is not known whether this secret is the one that others have by this id.
        self.look()
            .await
            .map_err(|why| OperatorError::Unavailable(format!("{why}. Nothing was activated.")))?;
        match self.holders.activate(secret.list.as_str(), secret.id).await.map_err(unavailable)? {
            Activated::NotKnownTo(live) => Err(not_known(secret, &live)),
            Activated::Done(active) => {
                self.keep_in_file(secret);
                if let Err(why) = self.look().await {
                    tracing::warn!(
                        why,
                        "the secret {secret} is active, and this process goes by it at its next look"
                    );
                }
                let late = self.followed(&active, FOLLOWED_WITHIN).await?;
                Ok(json!({ "id": secret.to_string(), "active": true, "notYetFollowedBy": places(&late) }))
            }
        }
    }

    /// Adds a secret and activates it when every process that runs knows it, at the latest after `wait`.
    pub(crate) async fn rotate(&self, kind: &str, wait: Duration) -> Result<Value, OperatorError> {
        let (secret, until) = (self.add(kind).await?, Instant::now() + wait);
        loop {
            match self.activate(secret).await {
                Err(OperatorError::Refused { code: Code::SecretNotKnown, .. }) if Instant::now() < until => {
                    tokio::time::sleep(LOOK).await;
                }
                done => return done,
            }
        }
    }

    /// Whether every process that runs goes by `active`: those that do not, after `wait` at most.
    pub(crate) async fn followed(
        &self,
        active: &str,
        wait: Duration,
    ) -> Result<Vec<RingHolder>, OperatorError> {
        let until = Instant::now() + wait;
        loop {
            let mut late = self.holders.live().await.map_err(unavailable)?;
            late.retain(|holder| holder.active != active);
            if late.is_empty() || Instant::now() >= until {
                return Ok(late);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The row of the database counts; the file is for a database that is made anew with it.
    fn keep_in_file(&self, secret: SecretId) {
        let activate =
            |ring: &KeyRing| ring.with_activated(secret.list, secret.id).map(|activated| (activated, ()));
        if let Err(error) = KeyRing::change_file(&self.path, activate) {
            tracing::warn!(%error, "the secret {secret} is active, and the key file does not say so");
        }
    }
}

fn recordable(secret: &SecretFacts) -> RingSecret {
    RingSecret {
        id: secret.id.to_string(),
        fingerprint: secret.fingerprint.clone(),
        created_at: secret.created_at,
    }
}

fn shown(secret: &SecretFacts, live: &[RingHolder]) -> Value {
    let id = secret.id.to_string();
    let lacking: Vec<&RingHolder> = live.iter().filter(|holder| !holder.secrets.contains(&id)).collect();
    let lacking: Vec<&str> = lacking.iter().map(|holder| holder.place.as_str()).collect();
    json!({
        "id": id,
        "fingerprint": secret.fingerprint,
        "createdAt": secret.created_at,
        "active": secret.is_active,
        "inThisRing": true,
        "notKnownTo": lacking,
    })
}

fn not_known(secret: SecretId, live: &[RingHolder]) -> OperatorError {
    let detail = format!(
        "The secret `{secret}` is not known to {}: copy the key file there (a running process reads it by itself), then \
         activate it with `dca-auth keys activate {secret}`. Nothing was activated.",
        places(live).join(", ")
    );
    OperatorError::Refused { code: Code::SecretNotKnown, detail }
}

pub(crate) fn places(live: &[RingHolder]) -> Vec<String> {
    live.iter().map(|holder| holder.place.clone()).collect()
}

fn numbers(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

fn ring_refused(error: RingError) -> OperatorError {
    match error {
        RingError::Full { .. } => OperatorError::Refused { code: Code::RingFull, detail: error.to_string() },
        other => OperatorError::Unavailable(other.to_string()),
    }
}

fn away(error: impl std::fmt::Display) -> String {
    error.to_string()
}
