//! Signing where the log stands, and reading what was signed. A checkpoint is made of the trees as they are at one
//! moment, held still while it is signed. A signed one is kept for ever.

use domain::id::GuildId;
use domain::proof::{Checkpoint, GuildHead, LogKey, Note, guilds_root};

use super::{LOG, SealLog, tree_row};
use crate::db::Arg;
use crate::error::QueryError;

/// Changes nothing, but nobody seals until the transaction ends.
const HOLD: &str = "UPDATE merkle_tree SET size = size WHERE id = $1";
pub(super) const ALL_TREES: &str = "SELECT id, size, root FROM merkle_tree";
const KEEP: &str = "INSERT INTO log_checkpoint (epoch, size, note, created_at) VALUES ($1, $2, $3, {now_ms}) \
    ON CONFLICT (epoch, size) DO NOTHING";
const NOTE: &str = "SELECT note FROM log_checkpoint WHERE epoch = $1 AND size = $2";

pub(super) const STATEMENTS: &[&str] = &[HOLD, ALL_TREES, KEEP, NOTE];

/// A checkpoint with what stands under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The same, signed.
    pub note: Note,
    /// Every guild with events, in the order of their ids.
    pub guilds: Vec<GuildHead>,
}

impl SealLog {
    /// The public key of checkpoints, as this epoch of the log names it.
    pub fn key(&self) -> LogKey {
        LogKey { name: Checkpoint::origin(&self.core.epoch), public: self.sign.public_key() }
    }

    /// A signed checkpoint of everything that the log has now.
    ///
    /// # Errors
    /// Those of [`SealLog::step`].
    pub async fn checkpoint(&self) -> Result<Sealed, QueryError> {
        self.catch_up().await?;
        self.sign_sealed().await
    }

    /// A signed checkpoint of what is sealed.
    pub(super) async fn sign_sealed(&self) -> Result<Sealed, QueryError> {
        let mut tx = self.sql.begin().await?;
        tx.execute(HOLD, &[Arg::Text(LOG)]).await?;
        let (mut log, mut guilds) = (None, Vec::new());
        for row in tx.fetch(ALL_TREES, &[]).await? {
            let (id, tree) = tree_row(&row)?;
            if id == LOG {
                log = Some(tree);
                continue;
            }
            let guild_id: GuildId = id.parse().map_err(|_| {
                QueryError::Damaged(format!("merkle_tree has a row `{id}`, which is no guild"))
            })?;
            guilds.push(GuildHead { guild_id, size: tree.size, root: tree.root });
        }
        let log = log.ok_or_else(|| QueryError::Damaged("merkle_tree has no row for the log".to_owned()))?;
        guilds.sort_by_key(|head| head.guild_id);
        let checkpoint = Checkpoint {
            epoch: self.core.epoch.to_string(),
            size: log.size,
            root: log.root,
            guilds: guilds.len() as u64,
            guilds_root: guilds_root(&guilds),
        };
        // The same checkpoint has the same signature, so whoever signs it again keeps nothing new.
        let note = checkpoint.sign(&*self.sign);
        let args = [Arg::Text(&self.core.epoch), Arg::Int(log.size as i64), Arg::Text(note.as_str())];
        tx.execute(KEEP, &args).await?;
        tx.commit().await?;
        Ok(Sealed { checkpoint, note, guilds })
    }

    /// The checkpoint that was signed when the log had `size` events; `None` if none was.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn note(&self, size: i64) -> Result<Option<Note>, QueryError> {
        let row = self.core.sql.fetch_one(NOTE, &[Arg::Text(&self.core.epoch), Arg::Int(size)]).await?;
        Ok(row.map(|row| row.text(0).map(Note::new)).transpose()?)
    }

    /// Whether there are events up to `position`, and no checkpoint of this epoch says so.
    pub(super) async fn is_unsigned(&self, position: i64) -> Result<bool, QueryError> {
        let head = self.log.head().await?.max(position);
        Ok(head > 0 && self.note(head).await?.is_none())
    }
}
