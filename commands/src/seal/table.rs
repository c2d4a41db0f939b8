//! The table of subjects' data keys, as the vault needs it. It holds wrapped keys only, and a row that is gone
//! is gone: deleting it is what erasure means.

use futures::future::BoxFuture;

use crate::store::{Store, StoreError, SubjectKeyRow};

/// Reads and writes `subject_keys` on the primary: a replica could still have a destroyed key.
pub trait SubjectKeyTable: Send + Sync {
    /// The rows of `subjects`, in any order; a subject without a key has no row.
    fn subject_keys<'a>(
        &'a self,
        subjects: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<SubjectKeyRow>, StoreError>>;

    /// Inserts rows whose subject has none yet, and leaves the others as they are.
    fn insert_subject_keys_if_absent<'a>(
        &'a self,
        rows: &'a [SubjectKeyRow],
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The rows that `kek_id` wraps, in the order of their subjects, from after `after`, at most `limit`.
    fn wrapped_by<'a>(
        &'a self,
        kek_id: i64,
        after: &'a str,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<SubjectKeyRow>, StoreError>>;

    /// Puts `rows` in the place of those that `from` wraps and that are still there; how many it were.
    fn rewrap<'a>(&'a self, from: i64, rows: &'a [SubjectKeyRow]) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Deletes the key of `subject`, if there is one.
    fn delete_subject_key<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl SubjectKeyTable for Store {
    fn subject_keys<'a>(
        &'a self,
        subjects: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<SubjectKeyRow>, StoreError>> {
        Box::pin(Self::subject_keys(self, subjects))
    }

    fn insert_subject_keys_if_absent<'a>(
        &'a self,
        rows: &'a [SubjectKeyRow],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Self::insert_subject_keys_if_absent(self, rows))
    }

    fn wrapped_by<'a>(
        &'a self,
        kek_id: i64,
        after: &'a str,
        limit: i64,
    ) -> BoxFuture<'a, Result<Vec<SubjectKeyRow>, StoreError>> {
        Box::pin(self.subject_keys_wrapped_by(kek_id, after, limit))
    }

    fn rewrap<'a>(&'a self, from: i64, rows: &'a [SubjectKeyRow]) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(self.rewrap_subject_keys(from, rows))
    }

    fn delete_subject_key<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { Self::delete_subject_key(self, subject).await.map(|_| ()) })
    }
}
