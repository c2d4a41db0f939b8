//! Metadata, and rows of the log as they are understood.

use cqrs_es::DomainEvent as _;
use uuid::Uuid;

use super::*;
use crate::credential::ApiKeyId;
use crate::event::{Actor, Metadata, Recorded, StoredEvent};
use crate::id::{GuildId, StreamId};
use crate::ports::Seal;
use crate::private::{Private, SealContext, Subject};
use crate::testing::{TestSeal, person};
use crate::time::Timestamp;

const GUILD: GuildId = GuildId(613_425_648_685_547_541);
const AT: Timestamp = Timestamp(1_795_000_000_000);

fn stream() -> StreamId {
    StreamId::user(&person(1).id)
}

fn metadata() -> Metadata {
    Metadata {
        id: Uuid::from_u128(5),
        actor: Actor::User(person(1).id),
        reason: None,
        correlation_id: "req-1".into(),
        causation_id: "cmd-1".into(),
        trace: None,
        simulated: false,
    }
}

/// With a reason that was sealed for the event number `sequence`.
fn reasoned(sequence: u64) -> Metadata {
    let stream = stream();
    let context = SealContext { stream: &stream, sequence, field: "reason" };
    let sealed = TestSeal::default().seal(&Subject::User(person(1).id), context, "asked for it").unwrap();
    Metadata { reason: Some(Private::Sealed(sealed)), ..metadata() }
}

/// The event, sealed for its place, as the row of the log number 41.
fn stored(event: &mut user::Event, metadata: &Metadata) -> StoredEvent {
    TestSeal::default().seal_event(event, &stream(), 1);
    StoredEvent {
        position: 41,
        stream: stream(),
        sequence: 1,
        event_type: event.event_type(),
        event_version: event.event_version(),
        payload: serde_json::to_string(event).unwrap(),
        metadata: serde_json::to_string(metadata).unwrap(),
        guild: None,
        recorded_at: AT,
    }
}

fn registered() -> user::Event {
    user::Event::Registered { person: person(1), at: AT }
}

#[test]
fn actors_are_written_as_one_word() {
    let key = ApiKeyId::new(GUILD, [1, 2, 3, 4]);
    let actors = [
        (Actor::Operator, "operator".to_owned()),
        (Actor::Bot, "bot".to_owned()),
        (Actor::User(person(1).id), format!("user:{}", person(1).id)),
        (Actor::ApiKey(key), format!("apikey:{key}")),
        (Actor::Job("expiry".into()), "job:expiry".to_owned()),
    ];
    for (actor, word) in actors {
        assert_eq!(actor.to_string(), word);
        assert_eq!(word.parse::<Actor>().as_ref(), Ok(&actor));
        assert_eq!(serde_json::from_value::<Actor>(serde_json::to_value(&actor).unwrap()).unwrap(), actor);
    }
    for word in ["", "ada", "user:ada", "user:", "apikey:xyz", "root:1"] {
        assert!(word.parse::<Actor>().is_err(), "{word}");
    }
}

#[test]
fn metadata_names_nobody_in_the_clear() {
    let trace = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    let full = Metadata { trace, simulated: true, ..reasoned(1) };
    let value = serde_json::to_value(&full).unwrap();
    assert!(value["reason"].as_str().unwrap().starts_with("s1:"));
    assert_eq!(value["simulated"], true);
    assert_eq!(serde_json::from_value::<Metadata>(value).unwrap(), full);
    let spare = serde_json::to_value(metadata()).unwrap();
    let mut members: Vec<&String> = spare.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["actor", "causationId", "correlationId", "id"]);
}

#[test]
fn a_reason_in_the_clear_is_never_written() {
    let open = Metadata { reason: Some(Private::of_user(&person(1).id, "asked for it")), ..metadata() };
    assert!(serde_json::to_string(&open).unwrap_err().to_string().contains("unsealed"));
}

#[test]
fn a_row_is_understood() {
    let mut event = registered();
    let row = stored(&mut event, &reasoned(1));
    let expected = Recorded {
        position: 41,
        stream: stream(),
        sequence: 1,
        event: DomainEvent::User(event),
        metadata: reasoned(1),
        guild: None,
        recorded_at: AT,
    };
    assert_eq!(row.read(), Ok(expected));
}

#[test]
fn an_unknown_name_or_version_is_told_with_its_place() {
    let row = stored(&mut registered(), &metadata());
    let renamed = StoredEvent { event_type: "user.painted".into(), ..row.clone() };
    let why = renamed.read().unwrap_err().to_string();
    assert!(why.contains("event 41") && why.contains("`user.painted`") && why.contains("upgrade"), "{why}");
    let newer = StoredEvent { event_version: "2".into(), ..row };
    let why = newer.read().unwrap_err().to_string();
    assert!(why.contains("newer release"), "{why}");
}

/// `apiVersion` came later than the event; keys from before are of the first version of the API.
#[test]
fn an_api_key_without_a_version_still_loads_and_one_with_it_names_it() {
    let golden = include_str!("../../../tests/golden/guild/guild.api_key_issued.v1.json");
    let before: guild::Event = serde_json::from_str(golden).unwrap();
    assert!(matches!(before, guild::Event::ApiKeyIssued { api_version: None, .. }), "{before:?}");
    let mut value: serde_json::Value = serde_json::from_str(golden).unwrap();
    value["apiVersion"] = "2026-11-01".into();
    let since: guild::Event = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&since).unwrap(), value);
    for wrong in ["2026-13-01", "2026-1-01", "+026-11-01", "tomorrow", ""] {
        value["apiVersion"] = wrong.into();
        assert!(serde_json::from_value::<guild::Event>(value.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_payload_or_metadata_of_another_shape_is_told() {
    let row = stored(&mut registered(), &metadata());
    let payload = StoredEvent { payload: r#"{"type":"user.registered"}"#.into(), ..row.clone() };
    assert!(payload.read().unwrap_err().why.starts_with("its payload"));
    let metadata = StoredEvent { metadata: "{}".into(), ..row };
    assert!(metadata.read().unwrap_err().why.starts_with("its metadata"));
}

#[test]
fn a_sealed_field_that_was_moved_is_told() {
    let row = stored(&mut registered(), &metadata());
    let moved = StoredEvent { sequence: 2, ..row.clone() };
    assert!(moved.read().unwrap_err().why.contains("`person.discordId`"));
    let foreign = StoredEvent { metadata: serde_json::to_string(&reasoned(7)).unwrap(), ..row };
    assert!(foreign.read().unwrap_err().why.contains("`reason`"));
}
