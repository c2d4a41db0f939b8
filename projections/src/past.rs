//! Licenses and guilds as of an earlier instant. What a thing was comes from its stream and never from a read model, so
//! it is never behind; personal fields are opened as of now, so what was erased stays erased. Only which licenses a list
//! looks through comes from the read models.

use std::collections::BTreeSet;

use domain::event::{Recorded, StoredEvent};
use domain::id::{GuildId, LicenseId, Pseudonym, StreamId};
use domain::private::{Private, Subject};
use domain::time::Timestamp;

use crate::cursor::{Cursor, Page, Paged};
use crate::db::Arg;
use crate::error::QueryError;
use crate::facts::{Fact, GuildFact, LicenseFact};
use crate::history::HistoryEntry;
use crate::license_view::{LicenseFacts, LicenseFilter};
use crate::operational::parsed_text;
use crate::view::View;
use crate::{Core, GuildFacts, Queries};

/// Licenses that a person has.
const OWNED: &str = "SELECT id, first_position FROM license_view \
    WHERE owner = $1 AND first_position < $2 ORDER BY first_position DESC LIMIT $3";
/// Licenses that a person has or once had. An owner is lost by a transfer only, and those are few; each half has an index
/// of its own to begin with.
const EVER_OWNED: &str = "SELECT id, first_position FROM license_view \
    WHERE owner = CAST($1 AS TEXT) AND first_position < $2 \
    UNION \
    SELECT license_view.id, license_view.first_position FROM license_view JOIN ( \
    SELECT DISTINCT trail.aggregate_id FROM audit_trail AS trail JOIN events ON events.position = trail.position \
    WHERE trail.event_type = 'license.transferred' \
    AND CAST(events.payload AS TEXT) LIKE '%' || CAST($1 AS TEXT) || '%') AS transferred \
    ON license_view.id = transferred.aggregate_id WHERE license_view.first_position < $2 \
    ORDER BY first_position DESC LIMIT $3";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[OWNED, EVER_OWNED];

/// An earlier instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// After this many events of the license.
    Version(u64),
    /// After the event at this position of the log, whatever it was about.
    Position(i64),
    /// After all that was recorded up to this instant, which is included.
    Time(Timestamp),
}

/// Whose licenses a list as of an earlier instant looks through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owned {
    /// Those that the person has today.
    Now,
    /// Those that he has or once had.
    Ever,
}

impl AsOf {
    fn includes(self, event: &StoredEvent) -> bool {
        match self {
            Self::Version(version) => event.sequence <= version,
            Self::Position(position) => event.position <= position,
            Self::Time(instant) => event.recorded_at <= instant,
        }
    }
}

impl Core {
    /// What stands behind an id as of an earlier instant; `None` if there was nothing yet.
    pub(crate) async fn as_of<F: Fact>(
        &self,
        id: &F::Id,
        as_of: AsOf,
    ) -> Result<Option<F::Value>, QueryError> {
        if let AsOf::Position(asked) = as_of {
            self.check_position(asked).await?;
        }
        self.folded_as_of::<F>(id, as_of).await
    }

    async fn folded_as_of<F: Fact>(&self, id: &F::Id, as_of: AsOf) -> Result<Option<F::Value>, QueryError> {
        let events = self.log.stream(&F::stream(id)).await?;
        let has = events.last().map_or(0, |event| event.sequence);
        if let AsOf::Version(asked) = as_of
            && asked > has
        {
            return Err(QueryError::VersionUnknown { asked, has });
        }
        let mut state = <F::View as View>::State::default();
        let mut position = 0;
        for event in events.iter().filter(|event| as_of.includes(event)) {
            F::View::evolve(&mut state, &event.read()?.event);
            position = event.position;
        }
        if position == 0 {
            return Ok(None);
        }
        let personal = self.personal::<F::View>(&state).await?;
        Ok(Some(F::value(state, personal, position)))
    }

    async fn check_position(&self, asked: i64) -> Result<(), QueryError> {
        let head = self.log.head().await?;
        if asked > head { Err(QueryError::PositionUnknown { asked, head }) } else { Ok(()) }
    }

    /// What the clock said then; `None` for a version, which is of no other instant than its event.
    pub(crate) async fn instant_of(&self, as_of: AsOf) -> Result<Option<Timestamp>, QueryError> {
        match as_of {
            AsOf::Version(_) => Ok(None),
            AsOf::Time(instant) => Ok(Some(instant)),
            AsOf::Position(asked) => {
                self.check_position(asked).await?;
                let at = self.log.read(asked.max(1) - 1, 1).await?;
                Ok(at.first().map(|event| event.recorded_at))
            }
        }
    }

    /// The licenses that `owner` had then and that `filter` holds, newest first. A page looks through as many licenses
    /// as it may have rows, so it may have fewer and still have a next one.
    pub(crate) async fn licenses_as_of(
        &self,
        (owner, owned): (&Pseudonym, Owned),
        filter: &LicenseFilter,
        as_of: AsOf,
        page: &Page,
    ) -> Result<Paged<LicenseFacts>, QueryError> {
        page.check(&self.epoch)?;
        let instant = self.instant_of(as_of).await?;
        let text = match owned {
            Owned::Now => OWNED,
            Owned::Ever => EVER_OWNED,
        };
        let before = page.cursor.as_ref().map_or(i64::MAX, Cursor::position);
        let args = [Arg::Text(owner.as_str()), Arg::Int(before), Arg::Int(i64::from(page.limit()) + 1)];
        let rows = self.sql.fetch(text, &args).await?;
        let ids = rows
            .iter()
            .map(|row| Ok((row.int(1)?, parsed_text::<LicenseId>(row, 0, "license_view")?)))
            .collect::<Result<Vec<_>, QueryError>>()?;
        let looked = Paged::cut(ids, page.limit(), &self.epoch);
        let mut data = Vec::new();
        for id in looked.data {
            let Some(facts) = self.folded_as_of::<LicenseFact>(&id, as_of).await? else { continue };
            let had = facts.license.owner.as_ref().is_some_and(|then| then.id == *owner);
            if had && filter.holds(&facts.license, instant.unwrap_or(facts.license.updated_at)) {
                data.push(facts);
            }
        }
        Ok(Paged { data, next: looked.next })
    }

    /// The events of a guild after `page.cursor`, or after the position `after` where there is none, up to `until`.
    pub(crate) async fn guild_events(
        &self,
        guild: GuildId,
        (after, until): (i64, i64),
        page: &Page,
    ) -> Result<Paged<(Recorded, Option<String>)>, QueryError> {
        page.check(&self.epoch)?;
        let after = page.cursor.as_ref().map_or(after, Cursor::position).max(after);
        let stream = StreamId::guild(guild);
        let events = self.log.stream(&stream).await?;
        let recorded = events
            .iter()
            .filter(|event| event.position > after && event.position <= until)
            .take(page.limit() as usize + 1)
            .map(|event| Ok(event.read()?))
            .collect::<Result<Vec<_>, QueryError>>()?;
        let subjects: BTreeSet<Subject> = recorded
            .iter()
            .filter_map(|event| event.metadata.reason.as_ref().and_then(Private::subject))
            .collect();
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        let seal = self.vault.keys(&subjects).await?;
        let opened = recorded.into_iter().map(|event| {
            let reason = event.metadata.reason.as_ref();
            let reason = reason.map(|reason| reason.open(&*seal, &stream).shown().to_owned());
            (event.position, (event, reason))
        });
        Ok(Paged::cut(opened.collect(), page.limit(), &self.epoch))
    }
}

impl Queries {
    /// A license as of an earlier instant; `None` if it was not yet made.
    ///
    /// # Errors
    /// [`QueryError::VersionUnknown`], [`QueryError::PositionUnknown`], [`QueryError::Unavailable`] or
    /// [`QueryError::Damaged`].
    pub async fn license_as_of(
        &self,
        id: LicenseId,
        as_of: AsOf,
    ) -> Result<Option<LicenseFacts>, QueryError> {
        self.core.as_of::<LicenseFact>(&id, as_of).await
    }

    /// A guild as of an earlier instant; `None` if it was not yet known.
    ///
    /// # Errors
    /// As [`Queries::license_as_of`].
    pub async fn guild_as_of(&self, id: GuildId, as_of: AsOf) -> Result<Option<GuildFacts>, QueryError> {
        self.core.as_of::<GuildFact>(&id, as_of).await
    }

    /// The licenses that somebody had at an earlier instant and that `filter` holds, newest first. A page may have fewer
    /// rows than its limit and still have a next one.
    ///
    /// # Errors
    /// As [`Queries::license_as_of`], and [`QueryError::CursorInvalid`].
    pub async fn licenses_as_of(
        &self,
        owner: (&Pseudonym, Owned),
        filter: &LicenseFilter,
        as_of: AsOf,
        page: Page,
    ) -> Result<Paged<LicenseFacts>, QueryError> {
        self.core.licenses_as_of(owner, filter, as_of, &page).await
    }

    /// What the clock said at an earlier instant, by which a status is asked for then; `None` for a version, which is of
    /// no other instant than its event.
    ///
    /// # Errors
    /// [`QueryError::PositionUnknown`] or [`QueryError::Unavailable`].
    pub async fn instant_of(&self, as_of: AsOf) -> Result<Option<Timestamp>, QueryError> {
        self.core.instant_of(as_of).await
    }

    /// The same for what happened after the position `after`, up to `until`.
    ///
    /// # Errors
    /// As [`Queries::history`].
    pub async fn history_between(
        &self,
        id: LicenseId,
        after: i64,
        until: i64,
        page: Page,
    ) -> Result<Option<Paged<HistoryEntry>>, QueryError> {
        self.core.history(id, (after, until), &page).await
    }

    /// What happened to a guild after the position `after`, up to `until`, oldest first; each event with the reason that
    /// was given, opened.
    ///
    /// # Errors
    /// As [`Queries::history`].
    pub async fn guild_events(
        &self,
        guild: GuildId,
        after: i64,
        until: i64,
        page: Page,
    ) -> Result<Paged<(Recorded, Option<String>)>, QueryError> {
        self.core.guild_events(guild, (after, until), &page).await
    }
}
