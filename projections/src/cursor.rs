//! Pages of lists. A cursor names the row after which the next page goes on, by its position or whatever else the list is
//! ordered by, and the epoch of the log, so that one from before a restore is refused instead of skipping rows. It is
//! opaque to clients and carries no filter.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

use crate::error::QueryError;

/// Most rows of one page.
pub const PAGE_MAX: u32 = 200;

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    epoch: Box<str>,
    position: i64,
    /// What tells rows of one position apart; empty where nothing must.
    key: Box<str>,
}

impl Cursor {
    pub(crate) fn new(epoch: &str, position: i64) -> Self {
        Self { epoch: epoch.into(), position, key: Box::default() }
    }

    pub(crate) fn with_key(epoch: &str, position: i64, key: &str) -> Self {
        Self { key: key.into(), ..Self::new(epoch, position) }
    }

    /// Reads a cursor as a client returns it.
    ///
    /// # Errors
    /// [`QueryError::CursorInvalid`] for anything that was not made by [`Cursor`]'s `Display`.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let parsed = || {
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
            let clear = String::from_utf8(bytes).ok()?;
            let (clear, key) = clear.split_once('/').unwrap_or((&clear, ""));
            let (epoch, position) = clear.rsplit_once('.')?;
            let position = position.parse().ok().filter(|position| *position >= 0)?;
            Some(Self::with_key(epoch, position, key))
        };
        if text.len() > 200 {
            Err(QueryError::CursorInvalid)
        } else {
            parsed().ok_or(QueryError::CursorInvalid)
        }
    }

    /// The position after (or, newest first, before) which the page begins.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// What tells the row after which the page begins from others of its position.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.key.is_empty() { "" } else { "/" };
        let clear = format!("{}.{}{separator}{}", self.epoch, self.position, self.key);
        f.write_str(&BASE64URL_NOPAD.encode(clear.as_bytes()))
    }
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Rows, 1 to [`PAGE_MAX`]; anything else is taken as the nearest of them.
    pub limit: u32,
    /// Where to go on; `None` is the first page.
    pub cursor: Option<Cursor>,
}

impl Page {
    /// The first `limit` rows.
    pub const fn first(limit: u32) -> Self {
        Self { limit, cursor: None }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.clamp(1, PAGE_MAX)
    }

    /// Refuses a cursor of another epoch.
    pub(crate) fn check(&self, epoch: &str) -> Result<(), QueryError> {
        match &self.cursor {
            Some(cursor) if *cursor.epoch != *epoch => Err(QueryError::CursorInvalid),
            _ => Ok(()),
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<Cursor>,
}

impl<T> Paged<T> {
    /// Makes a page of rows with their positions, of which one more than `limit` was asked for.
    pub(crate) fn cut(mut rows: Vec<(i64, T)>, limit: u32, epoch: &str) -> Self {
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|(position, _)| Cursor::new(epoch, *position));
        Self { data: rows.into_iter().map(|(_, row)| row).collect(), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = Cursor::new("3f9a", 1_234);
        assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
        let keyed = Cursor::with_key("3f9a", 1_234, "a.b/c");
        assert_eq!(Cursor::parse(&keyed.to_string()), Ok(keyed));
        for text in ["", "!", "AAAA", "MQ", &"A".repeat(300)] {
            assert_eq!(Cursor::parse(text), Err(QueryError::CursorInvalid), "{text}");
        }
    }

    #[test]
    fn a_cursor_of_another_epoch_is_refused() {
        let page = Page { limit: 10, cursor: Some(Cursor::new("old", 5)) };
        assert_eq!(page.check("new"), Err(QueryError::CursorInvalid));
        assert_eq!(page.check("old"), Ok(()));
    }
}
