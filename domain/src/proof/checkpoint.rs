//! A checkpoint of the log as a signed note, in the forms of C2SP (tlog-checkpoint, signed-note), so that tools of others
//! read it too. What it says: the epoch, how many events there are, the root over them, and the root over the list of
//! guilds. Nothing here holds a private key; whoever checks a signature hands in how.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::merkle::Hash;
use crate::ports::Sign;

/// The name of the log up to its epoch. C2SP wants a name that no other log has; the epoch is random.
const ORIGIN: &str = "dca-auth/log/";
/// The mark of Ed25519 in key ids and key texts of signed notes.
const ED25519: u8 = 0x01;
const SIGNATURE_BYTES: usize = 64;
const KEY_ID_BYTES: usize = 4;

/// Whether a signature over a message is one of a public key (Ed25519).
pub type Verify = dyn Fn(&[u8; 32], &[u8], &[u8; 64]) -> bool;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The epoch of the log: another one after a restore.
    pub epoch: String,
    /// Events in the log: the position of the last one.
    pub size: u64,
    /// The root over their records.
    pub root: Hash,
    /// Guilds with events.
    pub guilds: u64,
    /// The root over the list of them.
    pub guilds_root: Hash,
}

/// Why a text is no checkpoint that can be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCheckpoint {
    /// It has not the form.
    #[error("it is not a signed checkpoint of this product: {0}")]
    Form(&'static str),
    /// No signature by this key.
    #[error("it is not signed by the key {0}")]
    OtherKey(String),
    /// There is one, and it is not of this text.
    #[error("its text was changed after it was signed")]
    Signature,
}

impl Checkpoint {
    /// The name of the log of `epoch`, and of its key.
    pub fn origin(epoch: &str) -> String {
        format!("{ORIGIN}{epoch}")
    }

    /// The text that is signed: name, size and root as tlog-checkpoint has them, then our own line about the guilds.
    pub fn text(&self) -> String {
        let Self { epoch, size, root, guilds, guilds_root } = self;
        format!("{}\n{size}\n{root}\nguilds {guilds} {guilds_root}\n", Self::origin(epoch))
    }

    /// Signs it.
    pub fn sign(&self, key: &dyn Sign) -> Note {
        let (text, name) = (self.text(), Self::origin(&self.epoch));
        let mut signature = LogKey { name: name.clone(), public: key.public_key() }.id().to_vec();
        signature.extend_from_slice(&key.sign(text.as_bytes()));
        Note(format!("{text}\n— {name} {}\n", BASE64.encode(&signature)))
    }
}

impl FromStr for Checkpoint {
    type Err = InvalidCheckpoint;

    /// Reads the text that is signed.
    fn from_str(text: &str) -> Result<Self, InvalidCheckpoint> {
        let form = InvalidCheckpoint::Form;
        let mut lines = text.lines();
        let mut next = || lines.next().ok_or(form("a line is missing"));
        let epoch = next()?.strip_prefix(ORIGIN).ok_or(form("its first line names another log"))?.to_owned();
        let size = number(next()?).ok_or(form("its second line is no number of events"))?;
        let root = next()?.parse().map_err(|_| form("its third line is no hash"))?;
        let mut guilds = next()?.split(' ');
        let (word, count, guilds_root) = (guilds.next(), guilds.next(), guilds.next());
        let count = count.filter(|_| word == Some("guilds")).and_then(number);
        let guilds_root = guilds_root.and_then(|text| text.parse().ok());
        let (Some(guilds), Some(guilds_root)) = (count, guilds_root) else {
            return Err(form("its fourth line does not say `guilds`, how many, and a hash"));
        };
        let read = Self { epoch, size, root, guilds, guilds_root };
        // One spelling only: what is checked is what is shown.
        if read.text() == text { Ok(read) } else { Err(form("it is written in another way")) }
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// A signed checkpoint as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note(String);

impl Note {
    /// A text that should be one; whether it is, [`Note::open`] tells.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it says, whoever signed it.
    ///
    /// # Errors
    /// [`InvalidCheckpoint::Form`].
    pub fn read(&self) -> Result<Checkpoint, InvalidCheckpoint> {
        self.parts()?.0.parse()
    }

    /// What it says, if `key` signed it.
    ///
    /// # Errors
    /// [`InvalidCheckpoint`].
    pub fn open(&self, key: &LogKey, verify: &Verify) -> Result<Checkpoint, InvalidCheckpoint> {
        let (text, signatures) = self.parts()?;
        let checkpoint = text.parse()?;
        let ours = signatures.lines().filter_map(|line| {
            let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
            let bytes = BASE64.decode(signature.as_bytes()).ok()?;
            let (id, signature) = bytes.split_at_checked(KEY_ID_BYTES)?;
            let signature: [u8; SIGNATURE_BYTES] = signature.try_into().ok()?;
            (name == key.name && id == key.id()).then_some(signature)
        });
        let mut ours = ours.peekable();
        if ours.peek().is_none() {
            return Err(InvalidCheckpoint::OtherKey(key.to_string()));
        }
        if ours.all(|signature| verify(&key.public, text.as_bytes(), &signature)) {
            Ok(checkpoint)
        } else {
            Err(InvalidCheckpoint::Signature)
        }
    }

    /// The text that is signed, and the lines of signatures.
    fn parts(&self) -> Result<(&str, &str), InvalidCheckpoint> {
        let at = self.0.find("\n\n— ").ok_or(InvalidCheckpoint::Form("it has no signature"))?;
        Ok((&self.0[..=at], &self.0[at + 2..]))
    }
}

/// A public key as signed notes name one: `<name>+<key id>+<base64 of 0x01 and the key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// Whose it is: the name of the log.
    pub name: String,
    /// The Ed25519 key.
    pub public: [u8; 32],
}

impl LogKey {
    /// The first four bytes of SHA-256(name ‖ newline ‖ 0x01 ‖ key).
    fn id(&self) -> [u8; KEY_ID_BYTES] {
        let hash =
            Sha256::new_with_prefix(&self.name).chain_update([b'\n', ED25519]).chain_update(self.public);
        let hash: [u8; 32] = hash.finalize().into();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

/// The SHA-256 of a public key: the same whatever the log is called, so it survives a restore.
pub fn fingerprint(public: &[u8; 32]) -> String {
    HEXLOWER.encode(&Sha256::digest(public))
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: Vec<u8> = [ED25519].into_iter().chain(self.public).collect();
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id()), BASE64.encode(&key))
    }
}

impl FromStr for LogKey {
    type Err = InvalidCheckpoint;
    fn from_str(text: &str) -> Result<Self, InvalidCheckpoint> {
        let form = InvalidCheckpoint::Form("a public key reads <name>+<8 hexadecimal digits>+<base64>");
        let key = text.split_once('+').and_then(|(name, rest)| {
            let bytes = BASE64.decode(rest.split_once('+')?.1.as_bytes()).ok()?;
            let public = bytes.strip_prefix(&[ED25519])?.try_into().ok()?;
            Some(Self { name: name.to_owned(), public })
        });
        // The id in the middle finds a key that was not copied whole.
        key.filter(|key| key.to_string() == text).ok_or(form)
    }
}
