//! What can be wrong with a key ring: its file, its lists, or its match with the database. No message ever
//! contains secret material: at most fingerprints, ids, paths and field names.

use super::{List, SecretId};

/// Why a key ring could not be made, read, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// There is no file at that path.
    #[error(
        "no key file at {path}: name the file that belongs to this database (DCA_KEYS_FILE), \
         or restore it from a backup"
    )]
    Missing {
        /// The path.
        path: String,
    },
    /// The file is there and could not be read.
    #[error("the key file {path} could not be read: {reason}")]
    Unreadable {
        /// The path.
        path: String,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// Others than its owner may read or write the file.
    #[error(
        "the key file {path} is open to other users (mode {mode:04o}), and whoever reads it can make \
         license keys: run `chmod 600 {path}`"
    )]
    TooOpen {
        /// The path.
        path: String,
        /// Permission bits of the file.
        mode: u32,
    },
    /// A later version of the program wrote the file.
    #[error(
        "the key ring in {origin} has format {format}, and this program knows formats up to {known}: \
         run the version that wrote it, or a later one"
    )]
    Newer {
        /// The path, or the name of the setting that held the text.
        origin: String,
        /// The format found.
        format: u64,
        /// The newest format known here.
        known: u64,
    },
    /// Something in the file is not what stands there in an intact one.
    #[error(
        "the key ring in {origin} is damaged: {field} should be {expected}; restore the file from a backup"
    )]
    Damaged {
        /// The path, or the name of the setting that held the text.
        origin: String,
        /// The field, as a path such as `license.secrets[0].secret`, or a place in the text.
        field: String,
        /// What an intact file has there.
        expected: &'static str,
    },
    /// A new ring is never written over a file.
    #[error(
        "{path} already exists and is left as it is: a lost key ring makes every license key of its database \
         worthless. Move the file away first if it is really of no use"
    )]
    Exists {
        /// The path.
        path: String,
    },
    /// The file could not be written; what was there before is still there.
    #[error("the key file {path} could not be written: {reason}")]
    Unwritable {
        /// The path.
        path: String,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// The file to be replaced holds another ring.
    #[error(
        "the key file {path} holds the ring {found}, and the one to be written is {ours}: nothing was changed. \
         Name the file that this ring was read from"
    )]
    OtherRing {
        /// The path.
        path: String,
        /// Fingerprint of the root in the file.
        found: String,
        /// Fingerprint of the root that was to be written.
        ours: String,
    },
    /// The file to be replaced has a secret that would be lost.
    #[error(
        "the key file {path} was changed meanwhile: it has the secret `{secret}`, which would be lost. Nothing was \
         changed; run the command again"
    )]
    WouldLose {
        /// The path.
        path: String,
        /// The secret that would be lost.
        secret: SecretId,
    },
    /// A license key has five bits for the id of its secret.
    #[error(
        "RING_FULL: the list `{list}` has had {most} secrets, as many as a license key can name; no other can \
         be added. Activate one of those that are there (`dca-auth keys activate {list}-N`)"
    )]
    Full {
        /// The list.
        list: List,
        /// How many it may have.
        most: u32,
    },
    /// No such secret in the list.
    #[error(
        "there is no secret `{secret}`; the list `{}` has {known}: add one with `dca-auth keys add --kind {}`",
        secret.list, secret.list
    )]
    NoSuchSecret {
        /// The secret asked for.
        secret: SecretId,
        /// The numbers that there are, for example `0, 1`.
        known: String,
    },
    /// The text names no secret.
    #[error(
        "`{text}` is not the id of a secret: write a list and a number, such as `license-1`; the lists are {lists}, and \
         `dca-auth keys list` shows every secret"
    )]
    NoSecretId {
        /// The text as given, cut to 32 characters.
        text: String,
        /// The names of the lists.
        lists: String,
    },
    /// No such list.
    #[error("`{text}` is not a list of the key ring; the lists are {known}")]
    NoSuchList {
        /// The name as given, cut to 32 characters.
        text: String,
        /// The names that there are.
        known: String,
    },
    /// The operating system's random number generator failed.
    #[error("the operating system gave no randomness for a new secret: {0}")]
    NoRandomness(String),
}

/// Why this ring may not be used with this database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingMismatch {
    /// The database was made with another root.
    #[error(
        "the database was made with the key ring {database}, and this process has the key ring {ring}: its keys \
         would open nothing there. Give this process the key file of the database (DCA_KEYS_FILE, or `keys` in \
         the data folder; a backup contains it), or name the database of this ring"
    )]
    OtherRoot {
        /// Fingerprint of this process's root.
        ring: String,
        /// Fingerprint in the database.
        database: String,
    },
    /// The secret that is in use everywhere else is not in this ring.
    #[error(
        "the database says that the secret `{secret}` is active, and of that list this process's key ring has only \
         {known}: copy the key file from the machine on which `dca-auth keys add --kind {}` was run, then start again",
        secret.list
    )]
    MissingActive {
        /// The secret that the ring lacks.
        secret: SecretId,
        /// The numbers that the ring has, for example `0, 1`.
        known: String,
    },
    /// Two key files of one root went apart: both were added to.
    #[error(
        "two different secrets are known as `{secret}` under the key ring {ring}: `dca-auth keys add` was run on two \
         copies of the key file. Keep the file whose secret the database knows, copy it over the other, then start again"
    )]
    OtherSecret {
        /// Under which id.
        secret: SecretId,
        /// Fingerprint of the root.
        ring: String,
    },
}

/// What is not refused and yet should be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingWarning {
    /// This system has no permission bits, so nobody checked who else can read the file.
    #[error(
        "this system has no file modes, so it is unknown who can read the key file {path}: \
         let only the account of the server read it"
    )]
    PermissionsUnknown {
        /// The path.
        path: String,
    },
}
