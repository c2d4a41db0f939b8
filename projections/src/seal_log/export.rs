//! The export of a guild: its header, then its events page by page as whole lines. The root beside each event comes from
//! the leaves that were sealed, not from the events as they are now, so that an event that was altered since in the
//! database is found by whoever checks the export.

use domain::id::GuildId;
use domain::merkle::proof::inclusion;
use domain::merkle::{Frontier, root_of};
use domain::proof::{GuildHead, Header, line, record};

use super::{SealLog, tiles};
use crate::error::QueryError;

/// An export that is being read.
pub struct GuildExport {
    log: SealLog,
    guild: GuildHead,
    header: Header,
    /// Position of the checkpoint.
    until: i64,
    /// Position of the last event that was given.
    after: i64,
    tree: Frontier,
}

impl SealLog {
    /// Begins the export of `guild` up to now; `None` if it has no events.
    ///
    /// # Errors
    /// Those of [`SealLog::step`].
    pub async fn export(&self, guild: GuildId) -> Result<Option<GuildExport>, QueryError> {
        let sealed = self.checkpoint().await?;
        let Ok(index) = sealed.guilds.binary_search_by_key(&guild, |head| head.guild_id) else {
            return Ok(None);
        };
        let count = sealed.guilds.len() as u64;
        let path = inclusion(index as u64, count).unwrap_or_default().into_iter().map(|range| {
            root_of(sealed.guilds[range.start as usize..range.end as usize].iter().map(GuildHead::leaf))
        });
        let (guild, path) = (sealed.guilds[index], path.collect());
        let header = Header::new(&sealed.checkpoint, &sealed.note, &self.key(), guild, index as u64, path);
        let until = sealed.checkpoint.size as i64;
        Ok(Some(GuildExport { log: self.clone(), guild, header, until, after: 0, tree: Frontier::default() }))
    }
}

impl GuildExport {
    /// The first line.
    ///
    /// # Errors
    /// [`QueryError::Damaged`], which is not known to happen.
    pub fn header(&self) -> Result<String, QueryError> {
        self.header.line().map_err(|error| QueryError::Damaged(error.to_string()))
    }

    /// The next lines; `None` at the end.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer, [`QueryError::Damaged`] if fewer events are left than
    /// were sealed.
    pub async fn next(&mut self) -> Result<Option<String>, QueryError> {
        let done = self.tree.size();
        if done == self.guild.size {
            return Ok(None);
        }
        let (log, guild) = (&self.log, self.guild.guild_id);
        let limit = log.core.config.seal_batch;
        let events = log.log.of_guild(guild, self.after, self.until, limit).await?;
        let Some(last) = events.last().map(|event| event.position) else {
            return Err(QueryError::Damaged(format!(
                "guild {guild} has {done} events up to position {}, and {} were sealed; `dca-auth verify` names them",
                self.until, self.guild.size
            )));
        };
        let tree = guild.to_string();
        let range = done..(done + events.len() as u64).min(self.guild.size);
        let stored = super::tiles(&log.core.slow, &tiles::leaf_tiles(&tree, &range)).await?;
        let mut lines = String::new();
        for (event, index) in events.iter().zip(range) {
            let leaf = tiles::leaf(&stored, &tree, index).ok_or_else(|| {
                QueryError::Damaged(format!("the tree of guild {guild} lacks its event number {}", index + 1))
            })?;
            self.tree.push(leaf);
            let unreadable =
                |error| QueryError::Damaged(format!("event {} is no JSON: {error}", event.position));
            let record = record(event, Some(index + 1)).map_err(unreadable)?;
            lines.push_str(&line(&record, self.tree.root()));
        }
        self.after = last;
        Ok(Some(lines))
    }
}
