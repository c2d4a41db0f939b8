//! The key ring of a database: made together with it, found beside it or given, and never another one. It also
//! makes the keys of access tokens out of the ring. No secret is shown or logged here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use commands::ring::{ActiveIds, KeyRing, os_random};
use commands::store::Store;
use domain::time::Timestamp;

use crate::assemble::away;
use crate::config::Config;
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::folder::Folder;

/// The row of the database with the fingerprint of the ring's root.
const FINGERPRINT: &str = "ring_fingerprint";
/// The row with the ids of the active secrets.
pub(crate) const ACTIVE: &str = "ring_active";
/// `iss` of access tokens.
const ISSUER: &str = "dca-auth";

/// The ring that belongs to `store`; made and recorded if the database has none yet.
///
/// # Errors
/// A missing, unreadable or foreign ring, with its remedy.
pub(crate) async fn ring_of(
    store: &Store,
    config: &Config,
    folder: &Folder,
    now: Timestamp,
) -> Outcome<KeyRing> {
    let path = path(config, folder);
    let fingerprint = store.meta(FINGERPRINT).await.map_err(|error| away(&error))?;
    let may_make = fingerprint.is_none() && config.keys_file.is_none();
    let (ring, made) =
        if path.exists() || !may_make { (load(&path)?, false) } else { (make(&path, now)?, true) };
    let recorded = record(store, &ring).await;
    if recorded.is_err() && made {
        // Another instance gave the database its ring at this moment; nothing was made with this one.
        std::fs::remove_file(&path).ok();
    }
    let active = recorded?;
    ring.with_active(&active).map_err(|error| Failure::new(error.to_string()))
}

/// The ring in its file, for a command that talks to a running server.
///
/// # Errors
/// As [`ring_of`].
pub(crate) fn ring_beside(config: &Config, folder: &Folder) -> Outcome<KeyRing> {
    load(&path(config, folder))
}

/// Where the ring stands.
pub(crate) fn path(config: &Config, folder: &Folder) -> PathBuf {
    config.keys_file.clone().unwrap_or_else(|| folder.ring())
}

fn load(path: &Path) -> Outcome<KeyRing> {
    let loaded = KeyRing::load(path).map_err(|error| {
        Failure::new(error.to_string()).help(
            "Without its ring a database opens nothing: put the right file back, or name it in `keys.file`.",
        )
    })?;
    if let Some(warning) = loaded.warning {
        tracing::warn!("{warning}");
    }
    Ok(loaded.ring)
}

fn make(path: &Path, now: Timestamp) -> Outcome<KeyRing> {
    if let Some(parent) = path.parent() {
        crate::folder::private_folder(parent)
            .attempt(|| format!("the folder {} cannot be made", parent.display()))?;
    }
    let ring = KeyRing::generate(now, &mut os_random).map_err(|error| Failure::new(error.to_string()))?;
    if let Some(warning) = ring.create_file(path).map_err(|error| Failure::new(error.to_string()))? {
        tracing::warn!("{warning}");
    }
    Ok(ring)
}

/// Records the ring in a database without one; gives the ids of the secrets that are active everywhere.
async fn record(store: &Store, ring: &KeyRing) -> Outcome<ActiveIds> {
    let fingerprint =
        store.insert_meta_if_absent(FINGERPRINT, ring.fingerprint()).await.map_err(|error| away(&error))?;
    ring.check_against(Some(&fingerprint), None).map_err(|error| Failure::new(error.to_string()))?;
    let ours = serde_json::to_string(&ring.active_ids())
        .attempt(|| "the ring's ids cannot be written".to_owned())?;
    let active = store.insert_meta_if_absent(ACTIVE, &ours).await.map_err(|error| away(&error))?;
    serde_json::from_str(&active).attempt(|| format!("the row `{ACTIVE}` of the table meta cannot be read"))
}

/// The keys of access tokens.
///
/// # Errors
/// If the ring has no usable key for them.
pub(crate) fn token_keys(ring: &Arc<KeyRing>) -> Outcome<api::TokenKeys> {
    api::TokenKeys::of(ring, ISSUER).attempt(|| "the keys of access tokens cannot be used".to_owned())
}

/// `N` random bytes in hexadecimal digits.
///
/// # Errors
/// If the system has no randomness.
pub(crate) fn random_hex<const N: usize>() -> Outcome<String> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).attempt(|| "the system gives no random numbers".to_owned())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
