//! The key ring: every secret of a deployment in one value, and the keyed hashes made with them. What is derived
//! from the root can never change after the first customer: pseudonyms, license ids and API keys depend on it.
//! No secret ever leaves this crate, save into the key file.

mod error;
mod file;
mod lists;
mod secret;
#[cfg(test)]
pub(crate) mod tests;
mod text;

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use data_encoding::HEXLOWER;
use domain::ports::{Mac, Purpose};
use domain::time::Timestamp;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use error::{RingError, RingMismatch, RingWarning};
pub use file::LoadedRing;
pub use lists::{ActiveIds, LICENSE_SECRETS_MAX, List, PerList, SecretId};
use secret::{SECRET_BYTES, Secret, SecretList};

/// Where new secrets come from: fills the slice, or says that it cannot.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<(), RingError>;

/// The operating system's random number generator.
///
/// # Errors
/// [`RingError::NoRandomness`].
pub fn os_random(bytes: &mut [u8]) -> Result<(), RingError> {
    getrandom::fill(bytes).map_err(|error| RingError::NoRandomness(error.to_string()))
}

/// Every secret of a deployment. Shared by `Arc`: whoever holds it sees at once what [`KeyRing::follow`] brings, which
/// is how a running process learns of a secret that was added, and of one that was activated. The root never changes.
pub struct KeyRing {
    root: Secret,
    created_at: Timestamp,
    fingerprint: String,
    purposes: [Hmac<Sha256>; PURPOSES.len()],
    /// What can be rotated, replaced as a whole. Held for the length of a clone or a lookup, never over a wait.
    rotating: RwLock<Arc<Rotating>>,
    /// How often `rotating` was replaced: what tells whoever derived something from it to derive it again.
    generation: AtomicU64,
}

/// The lists at one moment.
struct Rotating {
    lists: PerList<SecretList>,
    hashes: KeyedHashes,
}

/// HMAC states that have already taken in their key: a call clones one and so saves half the work.
struct KeyedHashes {
    license: Vec<Option<Hmac<Sha256>>>,
    cache: Vec<(u32, Hmac<Sha256>)>,
    cache_active: Hmac<Sha256>,
}

/// Every purpose, in the order of [`KeyRing::purposes`], with the HKDF label that its key is derived under.
/// A changed label changes every pseudonym, id or API key of every deployment.
const PURPOSES: [(Purpose, &str); 11] = [
    (Purpose::SubjectPepper, "dca-auth/subject-pepper/v1"),
    (Purpose::Alias, "dca-auth/alias/v1"),
    (Purpose::RoleLicense, "dca-auth/role-license/v1"),
    (Purpose::Fingerprint, "dca-auth/fingerprint/v1"),
    (Purpose::ApiKey, "dca-auth/api-key/v1"),
    (Purpose::WebhookSecret, "dca-auth/webhook-secret/v1"),
    (Purpose::RefreshToken, "dca-auth/refresh-token/v1"),
    (Purpose::SignIn, "dca-auth/sign-in/v1"),
    (Purpose::Csrf, "dca-auth/csrf/v1"),
    (Purpose::PlatformClaim, "dca-auth/platform-claim/v1"),
    (Purpose::Certificate, "dca-auth/certificate/v1"),
];

const fn place(purpose: Purpose) -> usize {
    match purpose {
        Purpose::SubjectPepper => 0,
        Purpose::Alias => 1,
        Purpose::RoleLicense => 2,
        Purpose::Fingerprint => 3,
        Purpose::ApiKey => 4,
        Purpose::WebhookSecret => 5,
        Purpose::RefreshToken => 6,
        Purpose::SignIn => 7,
        Purpose::Csrf => 8,
        Purpose::PlatformClaim => 9,
        Purpose::Certificate => 10,
    }
}

impl KeyRing {
    /// A new ring: a root and one active secret, with id 0, in each list.
    ///
    /// # Errors
    /// Those of `random`.
    pub fn generate(now: Timestamp, random: Random<'_>) -> Result<Self, RingError> {
        let root = draw(random)?;
        let lists = PerList::try_make(|_| Ok(SecretList::of_one(draw(random)?, now)))?;
        Ok(Self::assembled(root, now, lists))
    }

    fn assembled(root: Secret, created_at: Timestamp, lists: PerList<SecretList>) -> Self {
        let fingerprint = fingerprint_of(&root);
        let purposes = PURPOSES.map(|(_, label)| keyed(&derived(&root, label)));
        let rotating = RwLock::new(Arc::new(Rotating::new(lists)));
        Self { root, created_at, fingerprint, purposes, rotating, generation: AtomicU64::new(0) }
    }

    fn with_lists(&self, lists: PerList<SecretList>) -> Self {
        Self::assembled(self.root.clone(), self.created_at, lists)
    }

    /// The lists as they are now. Nothing can panic while the lock is held, so a poisoned one is as good.
    fn rotating(&self) -> Arc<Rotating> {
        Arc::clone(&self.rotating.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over the secrets that `file` has and this ring lacks, and makes those active that `active` names. Secrets
    /// that `file` lacks stay: what was made with them has to be proved on. True if that changed anything.
    ///
    /// # Errors
    /// [`RingMismatch::OtherRoot`], [`RingMismatch::OtherSecret`] if `file` has another secret under an id of this ring,
    /// [`RingMismatch::MissingActive`]; nothing was taken over then.
    pub fn follow(&self, file: &Self, active: &ActiveIds) -> Result<bool, RingMismatch> {
        file.check_against(Some(&self.fingerprint), None)?;
        let (ours, theirs) = (self.rotating(), file.rotating());
        let mut lists = ours.lists.clone();
        for list in List::ALL {
            lists.get_mut(list).take_over(theirs.lists.get(list)).map_err(|id| {
                RingMismatch::OtherSecret { secret: SecretId { list, id }, ring: self.fingerprint.clone() }
            })?;
        }
        check_active(&lists, active)?;
        for list in List::ALL {
            lists.get_mut(list).activate(*active.get(list));
        }
        if lists == ours.lists {
            return Ok(false);
        }
        *self.rotating.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Rotating::new(lists));
        self.generation.fetch_add(1, Ordering::Release);
        Ok(true)
    }

    /// How often [`KeyRing::follow`] changed this ring.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Names the root without giving it away: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// When the ring was made.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The ids of a list, rising.
    pub fn ids(&self, list: List) -> Vec<u32> {
        self.list(list).entries().iter().map(|entry| entry.id).collect()
    }

    /// The active id of a list.
    pub fn active(&self, list: List) -> u32 {
        self.list(list).active()
    }

    /// The active id of every list.
    pub fn active_ids(&self) -> ActiveIds {
        self.rotating().lists.map(SecretList::active)
    }

    /// Every secret by its id, with when it was made and a fingerprint that names it without giving it away: two rings
    /// of one root that went apart have different secrets under one id.
    pub fn secrets(&self) -> Vec<SecretFacts> {
        let rotating = self.rotating();
        let of_list = |list: List| {
            let secrets = rotating.lists.get(list);
            secrets.entries().iter().map(move |entry| SecretFacts {
                id: SecretId { list, id: entry.id },
                fingerprint: secret_fingerprint(&entry.secret),
                created_at: entry.created_at,
                is_active: entry.id == secrets.active(),
            })
        };
        List::ALL.into_iter().flat_map(of_list).collect()
    }

    /// This ring and one more secret in `list`, under the next id; it is not active yet. Returns the id too.
    ///
    /// # Errors
    /// [`RingError::Full`] past 32 license-key secrets, and those of `random`.
    pub fn with_added(
        &self,
        list: List,
        now: Timestamp,
        random: Random<'_>,
    ) -> Result<(Self, u32), RingError> {
        let mut lists = self.rotating().lists.clone();
        let id = lists.get(list).next_id();
        if id >= list.most() {
            return Err(RingError::Full { list, most: list.most() });
        }
        lists.get_mut(list).add(draw(random)?, now);
        Ok((self.with_lists(lists), id))
    }

    /// This ring with secret `id` of `list` as the active one.
    ///
    /// # Errors
    /// [`RingError::NoSuchSecret`].
    pub fn with_activated(&self, list: List, id: u32) -> Result<Self, RingError> {
        let mut lists = self.rotating().lists.clone();
        if lists.get_mut(list).activate(id) {
            Ok(self.with_lists(lists))
        } else {
            Err(RingError::NoSuchSecret { secret: SecretId { list, id }, known: known(lists.get(list)) })
        }
    }

    /// Whether this ring may be used with a database that keeps this fingerprint and these active ids. A database
    /// without a fingerprint is a new one, and any ring may become its ring.
    ///
    /// # Errors
    /// [`RingMismatch`], which names what differs and the remedy.
    pub fn check_against(
        &self,
        fingerprint: Option<&str>,
        active: Option<&ActiveIds>,
    ) -> Result<(), RingMismatch> {
        if let Some(database) = fingerprint.filter(|database| *database != self.fingerprint) {
            let (ring, database) = (self.fingerprint.clone(), database.chars().take(64).collect());
            return Err(RingMismatch::OtherRoot { ring, database });
        }
        active.map_or(Ok(()), |active| check_active(&self.rotating().lists, active))
    }

    /// This ring with the secrets active that the database names, which speaks for all instances: a key file
    /// copied before `keys activate` still names the old ones.
    ///
    /// # Errors
    /// [`RingMismatch::MissingActive`].
    pub fn with_active(&self, active: &ActiveIds) -> Result<Self, RingMismatch> {
        self.check_against(None, Some(active))?;
        let mut lists = self.rotating().lists.clone();
        for list in List::ALL {
            lists.get_mut(list).activate(*active.get(list));
        }
        Ok(self.with_lists(lists))
    }

    /// The private key of the log's checkpoints. It is derived and not listed: a log is known by its key, so the key lasts
    /// as long as the log, and rings that were made before there were checkpoints have it too.
    pub(crate) fn log_secret(&self) -> Zeroizing<[u8; SECRET_BYTES]> {
        derived(&self.root, "dca-auth/log-signing/v1")
    }

    /// A list as it is now.
    pub(crate) fn list(&self, list: List) -> ListNow {
        ListNow { rotating: self.rotating(), list }
    }
}

/// A list at one moment.
pub(crate) struct ListNow {
    rotating: Arc<Rotating>,
    list: List,
}

impl Deref for ListNow {
    type Target = SecretList;
    fn deref(&self) -> &SecretList {
        self.rotating.lists.get(self.list)
    }
}

fn check_active(lists: &PerList<SecretList>, active: &ActiveIds) -> Result<(), RingMismatch> {
    let lacks = List::ALL.into_iter().find(|list| lists.get(*list).get(*active.get(*list)).is_none());
    lacks.map_or(Ok(()), |list| {
        let secret = SecretId { list, id: *active.get(list) };
        Err(RingMismatch::MissingActive { secret, known: known(lists.get(list)) })
    })
}

fn known(list: &SecretList) -> String {
    list.entries().iter().map(|entry| entry.id.to_string()).collect::<Vec<_>>().join(", ")
}

impl Rotating {
    fn new(lists: PerList<SecretList>) -> Self {
        let hashes = KeyedHashes::new(&lists);
        Self { lists, hashes }
    }
}

impl KeyedHashes {
    fn new(lists: &PerList<SecretList>) -> Self {
        let mut license = vec![None; LICENSE_SECRETS_MAX as usize];
        for entry in lists.license.entries() {
            if let Some(state) = license.get_mut(entry.id as usize) {
                *state = Some(keyed(entry.secret.bytes()));
            }
        }
        let cache = lists.cache.entries();
        Self {
            license,
            cache: cache.iter().map(|entry| (entry.id, keyed(entry.secret.bytes()))).collect(),
            cache_active: keyed(lists.cache.active_secret().bytes()),
        }
    }
}

impl Mac for KeyRing {
    fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        tag(&self.purposes[place(purpose)], parts)
    }

    fn license_key_mac(&self, secret_id: u8, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let rotating = self.rotating();
        let state = rotating.hashes.license.get(usize::from(secret_id))?.as_ref()?;
        Some(tag(state, parts))
    }

    fn active_license_secret(&self) -> u8 {
        // Ids of this list stay below 32.
        self.active(List::License) as u8
    }

    fn cache_mac(&self, parts: &[&[u8]]) -> (u32, [u8; 32]) {
        let rotating = self.rotating();
        (rotating.lists.cache.active(), tag(&rotating.hashes.cache_active, parts))
    }

    fn cache_mac_under(&self, id: u32, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let rotating = self.rotating();
        let (_, state) = rotating.hashes.cache.iter().find(|(known, _)| *known == id)?;
        Some(tag(state, parts))
    }
}

/// Shows the fingerprint and the ids, never a secret.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("fingerprint", &self.fingerprint)
            .field("active", &self.active_ids())
            .finish_non_exhaustive()
    }
}

/// What may be shown of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFacts {
    /// Its list and number.
    pub id: SecretId,
    /// Names the secret without giving it away: 16 hexadecimal digits.
    pub fingerprint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether new things are made with it.
    pub is_active: bool,
}

fn draw(random: Random<'_>) -> Result<Secret, RingError> {
    let mut secret = Secret::zeroed();
    random(secret.bytes_mut())?;
    Ok(secret)
}

/// The key under `label`: HKDF-SHA256 (RFC 5869) of the root, without salt.
fn derived(root: &Secret, label: &str) -> Zeroizing<[u8; SECRET_BYTES]> {
    let mut key = Zeroizing::new([0; SECRET_BYTES]);
    #[expect(clippy::expect_used, reason = "32 bytes are one block of HKDF-SHA256, which gives up to 255")]
    Hkdf::<Sha256>::new(None, root.bytes())
        .expand(label.as_bytes(), key.as_mut())
        .expect("a length that HKDF can give");
    key
}

fn fingerprint_of(root: &Secret) -> String {
    fingerprint(root, "dca-auth/root-fingerprint/v1")
}

fn secret_fingerprint(secret: &Secret) -> String {
    fingerprint(secret, "dca-auth/secret-fingerprint/v1")
}

fn fingerprint(secret: &Secret, label: &str) -> String {
    let hash = Sha256::digest(derived(secret, label).as_slice());
    HEXLOWER.encode(&hash[..8])
}

/// HMAC-SHA256 that has taken in its key. The key is filled up to the block by hand, as RFC 2104 says, because
/// that way nothing can fail.
fn keyed(key: &[u8; SECRET_BYTES]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0_u8; 64]);
    block[..SECRET_BYTES].copy_from_slice(key);
    Hmac::<Sha256>::new((&*block).into())
}

fn tag(state: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    let mut hmac = state.clone();
    for part in parts {
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}
