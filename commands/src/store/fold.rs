//! From rows of a stream to the state of its aggregate: upcast, parse, check, fold. Nothing here reads rows.

use cqrs_es::persist::{PersistenceError, SerializedEvent};
use domain::aggregate::Decide;
use domain::event::StoredEvent;
use domain::id::StreamId;
use domain::private::PrivateFields;

use super::error::StoreError;

/// What the fold needs of a row.
pub(super) struct Row {
    sequence: u64,
    event_type: String,
    event_version: String,
    payload: String,
}

impl Row {
    pub(super) fn new(sequence: i64, event_type: String, event_version: String, payload: String) -> Self {
        Self { sequence: sequence as u64, event_type, event_version, payload }
    }
}

impl From<SerializedEvent> for Row {
    fn from(event: SerializedEvent) -> Self {
        Self {
            sequence: event.sequence as u64,
            event_type: event.event_type,
            event_version: event.event_version,
            payload: event.payload.to_string(),
        }
    }
}

impl From<StoredEvent> for Row {
    fn from(event: StoredEvent) -> Self {
        Self {
            sequence: event.sequence,
            event_type: event.event_type,
            event_version: event.event_version,
            payload: event.payload,
        }
    }
}

/// Folds the first `until` events of a stream.
///
/// A sealed field that stands at another place than it was sealed for is refused here as it is by
/// [`StoredEvent::read`]: folded into a state it would be shown as this aggregate's. Metadata is not folded, so
/// it is not looked at.
pub(super) fn fold<A: Decide>(
    stream: &StreamId,
    rows: impl IntoIterator<Item = Row>,
    until: u64,
) -> Result<A, StoreError> {
    if stream.kind != A::KIND {
        return Err(StoreError::Malformed(format!("{stream} was to be loaded as a {}", A::KIND.as_str())));
    }
    let mut state = A::default();
    for (row, number) in rows.into_iter().zip(1..=until) {
        let event = event::<A>(&row, number).map_err(|why| {
            let Row { sequence, event_type, event_version, .. } = &row;
            StoreError::Damaged(format!(
                "event {sequence} of {stream} ({event_type} v{event_version}): {why}"
            ))
        })?;
        state.evolve(&event);
    }
    Ok(state)
}

fn event<A: Decide>(row: &Row, number: u64) -> Result<A::Event, String> {
    if row.sequence != number {
        return Err(format!("it stands where event {number} should stand"));
    }
    let upcast = domain::upcast::upcast(&row.event_type, &row.event_version, &row.payload)?;
    let payload = upcast.as_deref().unwrap_or(&row.payload);
    let mut event: A::Event = serde_json::from_str(payload).map_err(|e| format!("its payload: {e}"))?;
    let mut moved = None;
    event.private_fields(&mut |name, field| {
        if !field.stands_at(row.sequence, name) {
            moved = Some(name.to_owned());
        }
    });
    match moved {
        Some(name) => Err(format!("its sealed field `{name}` was sealed for another place")),
        None => Ok(event),
    }
}

/// The database's error inside an error of a stream reader, if there is one.
pub(super) fn cause(error: PersistenceError) -> Result<sqlx::Error, String> {
    match error {
        PersistenceError::ConnectionError(inner)
        | PersistenceError::DeserializationError(inner)
        | PersistenceError::UnknownError(inner) => {
            inner.downcast::<sqlx::Error>().map(|error| *error).map_err(|other| other.to_string())
        }
        PersistenceError::OptimisticLockError => Err("a read met a write lock".to_owned()),
    }
}
