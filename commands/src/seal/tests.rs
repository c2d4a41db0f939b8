//! The vault and its snapshots, over a table in memory. The sealed values of the first test were computed by
//! another program (Python's `cryptography`) and are never edited: they stand in the first customer's log.

mod cache;
mod fields;
mod keys;
mod rewrap;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use domain::id::{DiscordId, GuildId, Pseudonym, StreamId};
use domain::ports::Seal as _;
use domain::private::{SealContext, SealedText, Subject};
use futures::future::BoxFuture;
use tokio::sync::Barrier;

use super::{Keys, Missing, SubjectKeyTable, Vault};
use crate::ring::KeyRing;
use crate::ring::tests::{MADE_AT, known_ring};
use crate::store::{StoreError, SubjectKeyRow};

/// `subject_keys` in memory, with whatever a test wants to go wrong.
#[derive(Default)]
pub(super) struct Table {
    pub(super) rows: Mutex<BTreeMap<String, SubjectKeyRow>>,
    pub(super) reads: AtomicUsize,
    pub(super) down: AtomicBool,
    /// The store takes no new rows, as if each were deleted at once.
    pub(super) forgetful: AtomicBool,
    /// A read waits here twice, with the rows already in its hands.
    pub(super) meeting: Mutex<Option<Arc<Barrier>>>,
}

impl Table {
    pub(super) fn rows(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, SubjectKeyRow>> {
        self.rows.lock().unwrap()
    }

    pub(super) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    fn up(&self) -> Result<(), StoreError> {
        let away = || StoreError::Unavailable { doing: "reading", why: "the database is away".to_owned() };
        if self.down.load(Ordering::SeqCst) { Err(away()) } else { Ok(()) }
    }
}

impl SubjectKeyTable for Table {
    fn subject_keys<'a>(
        &'a self,
        subjects: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<SubjectKeyRow>, StoreError>> {
        Box::pin(async move {
            self.up()?;
            self.reads.fetch_add(1, Ordering::SeqCst);
            let found = subjects.iter().filter_map(|subject| self.rows().get(subject).cloned()).collect();
            let meeting = self.meeting.lock().unwrap().clone();
            if let Some(meeting) = meeting {
                meeting.wait().await;
                meeting.wait().await;
            }
            Ok(found)
        })
    }

    fn insert_subject_keys_if_absent<'a>(
        &'a self,
        rows: &'a [SubjectKeyRow],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.up()?;
            if !self.forgetful.load(Ordering::SeqCst) {
                for row in rows {
                    self.rows().entry(row.subject.clone()).or_insert_with(|| row.clone());
                }
            }
            Ok(())
        })
    }

    fn wrapped_by<'a>(
        &'a self,
        kek_id: i64,
        after: &'a str,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<SubjectKeyRow>, StoreError>> {
        Box::pin(async move {
            self.up()?;
            let rows = self.rows();
            let later = rows.values().filter(|row| row.kek_id == kek_id && *row.subject > *after);
            Ok(later.take(usize::try_from(limit).unwrap()).cloned().collect())
        })
    }

    fn rewrap<'a>(&'a self, from: i64, new: &'a [SubjectKeyRow]) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            self.up()?;
            let mut rows = self.rows();
            let mut done = 0;
            for row in new {
                if let Some(found) = rows
                    .get_mut(&row.subject)
                    .filter(|found| (&found.key_id, found.kek_id) == (&row.key_id, from))
                {
                    found.clone_from(row);
                    done += 1;
                }
            }
            Ok(done)
        })
    }

    fn delete_subject_key<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.up()?;
            self.rows().remove(subject);
            Ok(())
        })
    }
}

/// One process's vault over `table`.
pub(super) fn process(table: &Arc<Table>, ring: KeyRing) -> Vault {
    Vault::new(Arc::clone(table) as Arc<dyn SubjectKeyTable>, Arc::new(ring), Arc::new(|| MADE_AT), 100)
}

/// A table with one process over it.
pub(super) fn vault() -> (Arc<Table>, Vault) {
    let table = Arc::new(Table::default());
    let vault = process(&table, known_ring());
    (table, vault)
}

pub(super) fn user(number: u64) -> Pseudonym {
    Pseudonym::of(&known_ring(), DiscordId(number))
}

pub(super) fn person(number: u64) -> Subject {
    Subject::User(user(number))
}

pub(super) fn guild() -> Subject {
    Subject::Guild(GuildId(7))
}

pub(super) fn stream() -> StreamId {
    StreamId::user(&user(1))
}

/// Seals as field `username` of event 3 of [`stream`].
pub(super) fn seal(keys: &Keys, subject: &Subject, clear: &str) -> SealedText {
    keys.seal(subject, SealContext { stream: &stream(), sequence: 3, field: "username" }, clear).unwrap()
}

/// The keys of `subjects`, created where there are none.
pub(super) async fn created(vault: &Vault, subjects: &[Subject]) -> Keys {
    vault.keys_for(subjects, Missing::Create).await.unwrap()
}

/// The keys of `subjects` as far as there are any.
pub(super) async fn existing(vault: &Vault, subjects: &[Subject]) -> Keys {
    vault.keys_for(subjects, Missing::Leave).await.unwrap()
}
