//! The history of a license, from its own stream: every event with its payload opened and the license as it was after
//! it; and the license as of an earlier instant. It reads no read model, so it is never behind.

use std::collections::{BTreeSet, HashMap};

use domain::aggregate::Decide as _;
use domain::event::{DomainEvent, Recorded, StoredEvent};
use domain::id::{LicenseId, StreamId};
use domain::license::{License, Personal};
use domain::ports::Seal;
use domain::private::{Private, PrivateFields as _, SealedText, Subject};
use domain::time::Timestamp;
use serde_json::Value;

use crate::Core;
use crate::cursor::{Page, Paged};
use crate::error::QueryError;
use crate::license_view::{LicenseFacts, LicenseView};
use crate::view::View as _;

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
    pub(crate) async fn history(
        &self,
        id: LicenseId,
        page: &Page,
    ) -> Result<Option<Paged<HistoryEntry>>, QueryError> {
        page.check(&self.epoch)?;
        let stream = StreamId::license(id);
        let events = self.log.stream(&stream).await?;
        if events.is_empty() {
            return Ok(None);
        }
        let after = page.cursor.as_ref().map_or(0, crate::cursor::Cursor::position);
        let mut state = License::default();
        let mut rows = Vec::new();
        for event in events {
            let recorded = event.read()?;
            if let DomainEvent::License(inner) = &recorded.event {
                state.evolve(inner);
            }
            if recorded.position > after && rows.len() <= page.limit() as usize {
                rows.push((event, recorded, state.clone()));
            }
        }
        let seal = self.keys_of(&rows).await?;
        let opened = rows
            .into_iter()
            .map(|(event, recorded, state)| {
                Ok((recorded.position, entry(&stream, &event, recorded, state, &*seal)?))
            })
            .collect::<Result<Vec<_>, QueryError>>()?;
        Ok(Some(Paged::cut(opened, page.limit(), &self.epoch)))
    }

    async fn keys_of(&self, rows: &[(StoredEvent, Recorded, License)]) -> Result<Box<dyn Seal>, QueryError> {
        let mut subjects = BTreeSet::new();
        for (_, recorded, state) in rows {
            subjects.extend(recorded.metadata.reason.as_ref().and_then(Private::subject));
            each_sealed(&recorded.event, &mut |sealed| {
                subjects.extend(sealed.parts().map(|parts| parts.subject));
            });
            LicenseView::fields(state, &mut |field| subjects.extend(field.subject()));
        }
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        Ok(self.vault.keys(&subjects).await?)
    }

    pub(crate) async fn license_as_of(
        &self,
        id: LicenseId,
        as_of: AsOf,
    ) -> Result<Option<LicenseFacts>, QueryError> {
        let mut state = License::default();
        let mut position = 0;
        for event in
            self.log.stream(&StreamId::license(id)).await?.iter().filter(|event| as_of.includes(event))
        {
            LicenseView::evolve(&mut state, &event.read()?.event);
            position = event.position;
        }
        if state.version == 0 {
            return Ok(None);
        }
        let personal = self.personal::<LicenseView>(&state).await?.into();
        Ok(Some(LicenseFacts { license: state, personal, position }))
    }
}

fn entry(
    stream: &StreamId,
    event: &StoredEvent,
    recorded: Recorded,
    state_after: License,
    seal: &dyn Seal,
) -> Result<HistoryEntry, QueryError> {
    let payload = recorded.event.payload();
    let mut data: Value = payload
        .and_then(|payload| serde_json::from_str(&payload))
        .map_err(|error| QueryError::Damaged(format!("event {} cannot be shown: {error}", event.position)))?;
    let mut shown = HashMap::new();
    each_sealed(&recorded.event, &mut |sealed| {
        shown.insert(sealed.as_str().to_owned(), seal.unseal(stream, sealed).shown().to_owned());
    });
    replace(&mut data, &shown);
    let reason = recorded.metadata.reason.as_ref().map(|reason| reason.open(seal, stream).shown().to_owned());
    let personal_after = state_after.personal(seal);
    Ok(HistoryEntry { recorded, data, reason, state_after, personal_after })
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
