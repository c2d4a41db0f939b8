//! The history of a license and of a guild, from its own stream: every event with its payload opened and the thing as it
//! was after it. It reads no read model, so it is never behind.

use std::collections::{BTreeSet, HashMap};

use domain::aggregate::Decide as _;
use domain::event::{DomainEvent, Recorded};
use domain::guild::Guild;
use domain::id::{GuildId, LicenseId, StreamId};
use domain::license::{License, Personal};
use domain::ports::Seal;
use domain::private::{Private, PrivateFields as _, SealedText, Subject};
use serde_json::Value;

use crate::cursor::{Cursor, Page, Paged};
use crate::error::QueryError;
use crate::facts::{Fact as _, GuildFact};
use crate::guild_view::{GuildFacts, GuildView};
use crate::license_view::LicenseView;
use crate::view::View as _;
use crate::{Core, Queries};

/// One event of a license.
#[derive(Debug, Clone)]
pub struct HistoryEntry {
    /// The event as recorded, personal fields sealed.
    pub recorded: Recorded,
    /// Its payload with personal fields opened: the text, `erased`, or `unreadable`.
    pub data: Value,
    /// The reason that was given with it, opened in the same way.
    pub reason: Option<String>,
    /// The license after it.
    pub state_after: License,
    /// The personal fields of that.
    pub personal_after: Personal,
}

/// One event of a guild.
#[derive(Debug, Clone)]
pub struct GuildHistoryEntry {
    /// The event as recorded, personal fields sealed.
    pub recorded: Recorded,
    /// Its payload with personal fields opened: the text, `erased`, or `unreadable`.
    pub data: Value,
    /// The reason that was given with it, opened in the same way.
    pub reason: Option<String>,
    /// The guild after it.
    pub after: GuildFacts,
}

impl Queries {
    /// The history of a guild, oldest first; `None` if it is not known.
    ///
    /// # Errors
    /// [`QueryError::CursorInvalid`], [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn guild_history(
        &self,
        id: GuildId,
        page: Page,
    ) -> Result<Option<Paged<GuildHistoryEntry>>, QueryError> {
        self.core.guild_history(id, &page).await
    }
}

impl Core {
    async fn guild_history(
        &self,
        id: GuildId,
        page: &Page,
    ) -> Result<Option<Paged<GuildHistoryEntry>>, QueryError> {
        page.check(&self.epoch)?;
        let stream = StreamId::guild(id);
        let events = self.log.stream(&stream).await?;
        if events.is_empty() {
            return Ok(None);
        }
        let after = page.cursor.as_ref().map_or(0, Cursor::position);
        let mut state = Guild::default();
        let (mut rows, mut subjects) = (Vec::new(), BTreeSet::new());
        for event in events {
            let recorded = event.read()?;
            GuildView::evolve(&mut state, &recorded.event);
            if recorded.position > after && rows.len() <= page.limit() as usize {
                sealed_for(&recorded, &mut subjects);
                GuildView::fields(&state, &mut |field| subjects.extend(field.subject()));
                rows.push((recorded, state.clone()));
            }
        }
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        let seal = self.vault.keys(&subjects).await?;
        let opened = rows.into_iter().map(|(recorded, state)| {
            let data = opened_payload(&stream, &recorded, &*seal)?;
            let reason = opened_reason(&stream, &recorded, &*seal);
            let people = GuildView::open(&state, &*seal);
            let after = GuildFact::value(state, people, recorded.position);
            Ok((recorded.position, GuildHistoryEntry { recorded, data, reason, after }))
        });
        let opened = opened.collect::<Result<Vec<_>, QueryError>>()?;
        Ok(Some(Paged::cut(opened, page.limit(), &self.epoch)))
    }

    /// The events after `page.cursor`, or after the position `after` where there is none, up to `until`.
    pub(crate) async fn history(
        &self,
        id: LicenseId,
        (after, until): (i64, i64),
        page: &Page,
    ) -> Result<Option<Paged<HistoryEntry>>, QueryError> {
        page.check(&self.epoch)?;
        let stream = StreamId::license(id);
        let events = self.log.stream(&stream).await?;
        if events.is_empty() {
            return Ok(None);
        }
        let after = page.cursor.as_ref().map_or(after, Cursor::position).max(after);
        let mut state = License::default();
        let mut rows = Vec::new();
        for event in events {
            let recorded = event.read()?;
            if let DomainEvent::License(inner) = &recorded.event {
                state.evolve(inner);
            }
            let is_asked = recorded.position > after && recorded.position <= until;
            if is_asked && rows.len() <= page.limit() as usize {
                rows.push((recorded, state.clone()));
            }
        }
        let seal = self.keys_of(&rows).await?;
        let opened = rows
            .into_iter()
            .map(|(recorded, state)| Ok((recorded.position, entry(&stream, recorded, state, &*seal)?)))
            .collect::<Result<Vec<_>, QueryError>>()?;
        Ok(Some(Paged::cut(opened, page.limit(), &self.epoch)))
    }

    async fn keys_of(&self, rows: &[(Recorded, License)]) -> Result<Box<dyn Seal>, QueryError> {
        let mut subjects = BTreeSet::new();
        for (recorded, state) in rows {
            sealed_for(recorded, &mut subjects);
            LicenseView::fields(state, &mut |field| subjects.extend(field.subject()));
        }
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        Ok(self.vault.keys(&subjects).await?)
    }
}

fn entry(
    stream: &StreamId,
    recorded: Recorded,
    state_after: License,
    seal: &dyn Seal,
) -> Result<HistoryEntry, QueryError> {
    let data = opened_payload(stream, &recorded, seal)?;
    let reason = opened_reason(stream, &recorded, seal);
    let personal_after = state_after.personal(seal);
    Ok(HistoryEntry { recorded, data, reason, state_after, personal_after })
}

/// Whose keys the fields of an event and its reason need.
pub(crate) fn sealed_for(recorded: &Recorded, subjects: &mut BTreeSet<Subject>) {
    subjects.extend(recorded.metadata.reason.as_ref().and_then(Private::subject));
    each_sealed(&recorded.event, &mut |sealed| {
        subjects.extend(sealed.parts().map(|parts| parts.subject));
    });
}

/// The payload of an event with its personal fields opened.
pub(crate) fn opened_payload(
    stream: &StreamId,
    recorded: &Recorded,
    seal: &dyn Seal,
) -> Result<Value, QueryError> {
    let payload = recorded.event.payload();
    let mut data: Value = payload.and_then(|payload| serde_json::from_str(&payload)).map_err(|error| {
        QueryError::Damaged(format!("event {} cannot be shown: {error}", recorded.position))
    })?;
    let mut shown = HashMap::new();
    each_sealed(&recorded.event, &mut |sealed| {
        shown.insert(sealed.as_str().to_owned(), seal.unseal(stream, sealed).shown().to_owned());
    });
    replace(&mut data, &shown);
    Ok(data)
}

fn opened_reason(stream: &StreamId, recorded: &Recorded, seal: &dyn Seal) -> Option<String> {
    recorded.metadata.reason.as_ref().map(|reason| reason.open(seal, stream).shown().to_owned())
}

/// Visits the sealed fields of an event. The port visits them for change, so it gets a copy.
fn each_sealed(event: &DomainEvent, visit: &mut dyn FnMut(&SealedText)) {
    event.clone().private_fields(&mut |_, field| {
        if let Private::Sealed(sealed) = field {
            visit(sealed);
        }
    });
}

/// Puts what was opened where the sealed texts stand. Sealed texts are unique, so nothing else can equal one.
fn replace(value: &mut Value, shown: &HashMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(clear) = shown.get(text) {
                text.clone_from(clear);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, shown)),
        Value::Object(members) => members.values_mut().for_each(|member| replace(member, shown)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
