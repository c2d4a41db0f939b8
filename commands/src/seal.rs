//! Sealing of personal fields: one random data key for each subject, wrapped by a key-encryption key of the ring,
//! in the table `subject_keys`. Erasure deletes the row, and with it everything that was sealed under the key.
//! No data key is ever stored or logged unwrapped.

mod aead;
mod cache;
mod keys;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use domain::ports::{Seal, VaultFuture, VaultUnavailable};
use domain::private::Subject;
use domain::time::Timestamp;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::CommandError;
use crate::ring::{KeyRing, List};
use crate::store::{StoreError, SubjectKeyRow};
use aead::KEY_BYTES;
use cache::KeyCache;
use keys::DataKey;
pub use keys::Keys;
pub use table::SubjectKeyTable;

/// Longest life of a cached key: no process goes on longer with a key that another has destroyed.
pub const CACHED_FOR: Duration = Duration::from_secs(30);
/// How many keys are cached unless the configuration says otherwise; some 200 bytes each.
pub const CACHED_KEYS_DEFAULT: usize = 100_000;

/// Keys that are wrapped anew in one step.
const REWRAP_PAGE: i64 = 200;

/// What time it is, for the date of a new key.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What to do about a subject that has no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Make one: the subject's fields are to be sealed.
    Create,
    /// Leave it: the subject's fields read as erased.
    Leave,
}

/// Why keys could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The store did not answer; the same call may succeed later.
    #[error("the keys of personal fields could not be read or written: {0}")]
    Table(StoreError),
    /// The ring is older than the table.
    #[error(
        "the key of subject {subject} is wrapped by key-encryption key {kek_id}, which this process's key ring \
         {ring} lacks: copy the key file from the machine on which `dca-auth keys add --kind encryption` was run, then \
         start again"
    )]
    NoKek {
        /// Whose key.
        subject: String,
        /// The id that the ring's list `encryption` lacks.
        kek_id: i64,
        /// Fingerprint of the ring.
        ring: String,
    },
    /// The row was altered, copied from another subject, or made under another ring.
    #[error(
        "the row of subject {subject} in `subject_keys` does not open under key-encryption key {kek_id}: it was \
         altered outside of this program; restore that row from a backup"
    )]
    DamagedRow {
        /// Whose key.
        subject: String,
        /// The key-encryption key that it names.
        kek_id: i64,
    },
    /// The subject was erased while its key was being made.
    #[error("subject {0} was erased at this moment; try again")]
    ErasedMeanwhile(Subject),
    /// No new key could be made.
    #[error("no key could be made for a subject: {0}")]
    NoNewKey(&'static str),
}

impl From<VaultError> for VaultUnavailable {
    fn from(error: VaultError) -> Self {
        let text = error.to_string();
        match error {
            VaultError::NoKek { .. }
            | VaultError::DamagedRow { .. }
            | VaultError::Table(StoreError::Damaged(_)) => Self::Ring(text),
            VaultError::Table(_) | VaultError::ErasedMeanwhile(_) | VaultError::NoNewKey(_) => {
                Self::Store(text)
            }
        }
    }
}

impl From<VaultError> for CommandError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::ErasedMeanwhile(_) => Self::Conflict(1),
            VaultError::DamagedRow { .. } => Self::Damaged(error.to_string()),
            VaultError::Table(error) => error.into(),
            VaultError::NoKek { .. } | VaultError::NoNewKey(_) => Self::Unavailable(error.to_string()),
        }
    }
}

/// What became of the keys that one key-encryption key wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rewrapped {
    /// Wrapped by the active one now.
    pub rewrapped: u64,
    /// Their rows do not open under it, as they did not before; the log names them.
    pub damaged: u64,
}

/// The data keys of all subjects.
pub struct Vault {
    table: Arc<dyn SubjectKeyTable>,
    ring: Arc<KeyRing>,
    clock: Clock,
    cache: Mutex<KeyCache>,
}

impl Vault {
    /// A vault over `table`, with the key-encryption keys of `ring`, that caches at most `cached_keys` keys.
    pub fn new(
        table: Arc<dyn SubjectKeyTable>,
        ring: Arc<KeyRing>,
        clock: Clock,
        cached_keys: usize,
    ) -> Self {
        Self { table, ring, clock, cache: Mutex::new(KeyCache::new(cached_keys, CACHED_FOR)) }
    }

    /// The keys of `subjects`, for one command or one batch.
    ///
    /// # Errors
    /// [`VaultError`]; no key was taken for destroyed because of it.
    pub async fn keys_for(&self, subjects: &[Subject], missing: Missing) -> Result<Keys, VaultError> {
        // A key counts as old as the question, because the answer may already be outdated when it comes.
        let asked_at = Instant::now();
        let (mut held, era) = {
            let cache = self.cache();
            let get = |subject: &Subject| (subject.clone(), cache.get(subject, asked_at));
            (subjects.iter().map(get).collect::<BTreeMap<_, _>>(), cache.era())
        };
        let read = self.read(&without_key(&held)).await?;
        self.hold(&mut held, read, asked_at, era);
        let absent = without_key(&held);
        if missing == Missing::Create && !absent.is_empty() {
            self.create(&absent).await?;
            let read = self.read(&absent).await?;
            self.hold(&mut held, read, asked_at, era);
            if let Some(subject) = without_key(&held).into_iter().next() {
                return Err(VaultError::ErasedMeanwhile(subject));
            }
        }
        Ok(Keys { held })
    }

    /// Destroys the key of `subject`: whatever was sealed under it reads as erased from now on, in this process at
    /// once, in others within [`CACHED_FOR`].
    ///
    /// # Errors
    /// [`VaultError::Table`]: it is not known whether the key still exists; destroy it again.
    pub async fn destroy(&self, subject: &Subject) -> Result<(), VaultError> {
        let deleted = self.table.delete_subject_key(&subject.to_string()).await;
        self.forget(subject);
        deleted.map_err(VaultError::Table)
    }

    /// How many keys the key-encryption key `kek` wraps.
    ///
    /// # Errors
    /// [`VaultError::Table`].
    pub async fn wrapped_by(&self, kek: u32) -> Result<u64, VaultError> {
        let (mut after, mut count) = (String::new(), 0);
        loop {
            let page =
                self.table.wrapped_by(kek.into(), &after, REWRAP_PAGE).await.map_err(VaultError::Table)?;
            let Some(last) = page.last() else { return Ok(count) };
            after.clone_from(&last.subject);
            count += page.len() as u64;
        }
    }

    /// Wraps by the active key-encryption key whatever `kek` wraps, so that `kek` opens nothing more than copies made before.
    /// What is sealed under the keys stays as it is. It can be broken off and done again.
    ///
    /// # Errors
    /// [`VaultError::Table`]; [`VaultError::NoKek`] if the ring lacks `kek`.
    pub async fn rewrap(&self, kek: u32) -> Result<Rewrapped, VaultError> {
        let (mut after, mut done) = (String::new(), Rewrapped::default());
        loop {
            let page =
                self.table.wrapped_by(kek.into(), &after, REWRAP_PAGE).await.map_err(VaultError::Table)?;
            let Some(last) = page.last() else { return Ok(done) };
            after.clone_from(&last.subject);
            let mut rows = Vec::with_capacity(page.len());
            for row in &page {
                match rewrapped(&self.ring, row) {
                    Ok(row) => rows.push(row),
                    Err(error @ VaultError::DamagedRow { .. }) => {
                        tracing::warn!(%error, "a key is not wrapped anew");
                        done.damaged += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
            done.rewrapped += self.table.rewrap(kek.into(), &rows).await.map_err(VaultError::Table)?;
        }
    }

    /// Drops a cached key, because another process may have destroyed it.
    pub fn forget(&self, subject: &Subject) {
        self.cache().forget(subject);
    }

    async fn read(&self, subjects: &[Subject]) -> Result<Vec<(Subject, DataKey)>, VaultError> {
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let texts: Vec<String> = subjects.iter().map(Subject::to_string).collect();
        let rows = self.table.subject_keys(&texts).await.map_err(VaultError::Table)?;
        let rows: BTreeMap<&str, &SubjectKeyRow> =
            rows.iter().map(|row| (row.subject.as_str(), row)).collect();
        let found = subjects
            .iter()
            .zip(&texts)
            .filter_map(|(subject, text)| Some((subject, rows.get(text.as_str())?)));
        found.map(|(subject, row)| Ok((subject.clone(), unwrap(&self.ring, row)?))).collect()
    }

    /// Makes a key for each of `subjects`; where another process was faster, its key stays.
    async fn create(&self, subjects: &[Subject]) -> Result<(), VaultError> {
        let now = (self.clock)();
        let rows = subjects.iter().map(|subject| wrapped_new(&self.ring, subject, now));
        let rows = rows.collect::<Result<Vec<_>, _>>().map_err(VaultError::NoNewKey)?;
        self.table.insert_subject_keys_if_absent(&rows).await.map_err(VaultError::Table)
    }

    fn hold(
        &self,
        held: &mut BTreeMap<Subject, Option<Arc<DataKey>>>,
        read: Vec<(Subject, DataKey)>,
        asked_at: Instant,
        era: u64,
    ) {
        let mut cache = self.cache();
        for (subject, key) in read {
            let key = Arc::new(key);
            cache.put(subject.clone(), Arc::clone(&key), asked_at, era);
            held.insert(subject, Some(key));
        }
    }

    /// A task that panicked with the lock in its hands left at worst a key uncached.
    fn cache(&self) -> MutexGuard<'_, KeyCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl domain::ports::Vault for Vault {
    fn keys<'a>(&'a self, subjects: &'a [Subject]) -> VaultFuture<'a> {
        Box::pin(async move {
            let keys = self.keys_for(subjects, Missing::Leave).await?;
            Ok(Box::new(keys) as Box<dyn Seal>)
        })
    }

    fn forget(&self, subject: &Subject) {
        Self::forget(self, subject);
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("ring", &self.ring).finish_non_exhaustive()
    }
}

fn without_key(held: &BTreeMap<Subject, Option<Arc<DataKey>>>) -> Vec<Subject> {
    held.iter().filter(|(_, key)| key.is_none()).map(|(subject, _)| subject.clone()).collect()
}

/// What a wrapped key is bound to, so that no row can be copied to another subject.
fn wrap_aad(subject: &str, key_id: &str) -> Vec<u8> {
    format!("dca-auth/subject-key/v1\u{1f}{subject}\u{1f}{key_id}").into_bytes()
}

/// The row of a new random key, wrapped by the active key-encryption key.
fn wrapped_new(ring: &KeyRing, subject: &Subject, now: Timestamp) -> Result<SubjectKeyRow, &'static str> {
    let no_randomness = |_| "the operating system gave no randomness";
    let mut secret = Zeroizing::new([0_u8; KEY_BYTES]);
    getrandom::fill(secret.as_mut()).map_err(no_randomness)?;
    let mut key_id = [0_u8; 4];
    getrandom::fill(&mut key_id).map_err(no_randomness)?;
    let (subject, key_id) = (subject.to_string(), HEXLOWER.encode(&key_id));
    let keks = ring.list(List::Encryption);
    let wrapped = aead::seal(keks.active_secret().bytes(), &wrap_aad(&subject, &key_id), secret.as_ref())?;
    Ok(SubjectKeyRow { subject, key_id, kek_id: keks.active().into(), wrapped, created_at: now })
}

/// The same key, wrapped by the active key-encryption key.
fn rewrapped(ring: &KeyRing, row: &SubjectKeyRow) -> Result<SubjectKeyRow, VaultError> {
    let key = unwrap(ring, row)?;
    let keks = ring.list(List::Encryption);
    let aad = wrap_aad(&row.subject, &row.key_id);
    let wrapped = aead::seal(keks.active_secret().bytes(), &aad, key.secret.as_ref().as_ref());
    let wrapped = wrapped.map_err(VaultError::NoNewKey)?;
    Ok(SubjectKeyRow { kek_id: keks.active().into(), wrapped, ..row.clone() })
}

fn unwrap(ring: &KeyRing, row: &SubjectKeyRow) -> Result<DataKey, VaultError> {
    let keks = ring.list(List::Encryption);
    let kek = u32::try_from(row.kek_id).ok().and_then(|id| keks.get(id));
    let Some(kek) = kek else {
        let (subject, ring) = (row.subject.clone(), ring.fingerprint().to_owned());
        return Err(VaultError::NoKek { subject, kek_id: row.kek_id, ring });
    };
    let opened =
        aead::open(kek.bytes(), &wrap_aad(&row.subject, &row.key_id), &row.wrapped).map(Zeroizing::new);
    let Some(Ok(bytes)) = opened.as_deref().map(|bytes| <&[u8; KEY_BYTES]>::try_from(bytes.as_slice()))
    else {
        return Err(VaultError::DamagedRow { subject: row.subject.clone(), kek_id: row.kek_id });
    };
    Ok(DataKey { id: row.key_id.clone(), secret: Box::new(Zeroizing::new(*bytes)) })
}
