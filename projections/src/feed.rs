//! The feed of a guild: what happened in it, in the order of the log, in the form in which programs outside are told. It
//! reads the log and no read model, so it is never behind, tells an event once, and leaves none out: positions have no gaps
//! and are given in the order of commits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::aggregate::Decide as _;
use domain::event::{DomainEvent, Recorded};
use domain::id::{GuildId, Kind};
use domain::license::{self, License};
use domain::ports::Seal;
use domain::private::{Person, Subject};
use domain::time::Timestamp;
use domain::{guild, member, outside};
use serde_json::{Map, Value, json};

use crate::error::QueryError;
use crate::history::{opened_payload, sealed_for};
use crate::license_view::subjects;
use crate::{Core, Queries};

/// Events of the guild that one question looks through.
pub const FEED_MAX: u32 = 200;

/// What programs outside are told of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedItem {
    /// The same at every telling: the event's own id; a further item of one event has its number behind it.
    pub id: String,
    /// Where the event stands in the log.
    pub position: i64,
    /// Its name outside; `None` for what only this feed tells.
    pub event: Option<&'static str>,
    /// Its name in the log.
    pub event_type: String,
    /// When the log took it.
    pub timestamp: Timestamp,
    /// What it is about.
    pub aggregate_id: String,
    /// Its place in the history of that.
    pub sequence: u64,
    /// What it says: thin, and without what only staff may see.
    pub data: Value,
}

/// A part of the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedPage {
    /// Oldest first.
    pub items: Vec<FeedItem>,
    /// Up to where the log was looked through: the next question begins there.
    pub next_after: i64,
    /// The end of the log as it was.
    pub head: i64,
}

impl Queries {
    /// What happened in a guild after the position `after`: at most `limit` events are looked through, and those of `types`
    /// are told (all, if there are none). Fewer than that, or none, do not mean the end: that is where `next_after` reaches
    /// `head`.
    ///
    /// # Errors
    /// [`QueryError::PositionUnknown`] beyond the end of the log, [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn feed(
        &self,
        guild: GuildId,
        after: i64,
        limit: u32,
        types: &[String],
    ) -> Result<FeedPage, QueryError> {
        let core = &self.core;
        // Before the events: what is appended in between is told by the next question.
        let head = core.log.head().await?;
        if after > head {
            return Err(QueryError::PositionUnknown { asked: after, head });
        }
        let limit = limit.clamp(1, FEED_MAX);
        let stored = core.log.of_guild(guild, after, head, limit).await?;
        let is_end = stored.len() < limit as usize;
        let next_after = stored.last().filter(|_| !is_end).map_or(head, |event| event.position);
        let events = stored.iter().map(|event| Ok(event.read()?)).collect::<Result<Vec<_>, QueryError>>()?;
        let mut items = core.told(&events).await?;
        items.retain(|item| types.is_empty() || types.iter().any(|wanted| item.is_of(wanted)));
        Ok(FeedPage { items, next_after, head })
    }
}

impl FeedItem {
    fn is_of(&self, wanted: &str) -> bool {
        let names = [self.event, Some(self.event_type.as_str())];
        names.into_iter().flatten().any(|name| outside::matches(wanted, name))
    }
}

/// What is known of the things that events are about.
#[derive(Default)]
struct Known {
    /// By position: the license after its event, and before it the devices that it had, by our id.
    licenses: HashMap<i64, (License, Vec<(uuid::Uuid, String)>)>,
    /// By stream.
    people: BTreeMap<String, Person>,
}

impl Core {
    async fn told(&self, events: &[Recorded]) -> Result<Vec<FeedItem>, QueryError> {
        let known = self.known(events).await?;
        let mut wanted = BTreeSet::new();
        for event in events {
            sealed_for(event, &mut wanted);
        }
        wanted.extend(known.licenses.values().flat_map(|(license, _)| subjects(license)));
        wanted.extend(known.people.values().filter_map(|person| person.discord_id.subject()));
        let wanted: Vec<Subject> = wanted.into_iter().collect();
        let seal = self.vault.keys(&wanted).await?;
        let told = events.iter().map(|event| known.told(event, &*seal));
        Ok(told.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// Folds the licenses up to their events, and finds who the members are: one statement for each kind.
    async fn known(&self, events: &[Recorded]) -> Result<Known, QueryError> {
        let mut known = Known::default();
        let of_kind = |kind: Kind| -> Vec<String> {
            let ids = events.iter().filter(|event| event.stream.kind == kind);
            let ids: BTreeSet<String> = ids.map(|event| event.stream.id.to_string()).collect();
            ids.into_iter().collect()
        };
        let asked: BTreeSet<i64> = events.iter().map(|event| event.position).collect();
        let until = asked.last().copied().unwrap_or(0);
        let mut license = License::default();
        for stored in self.log.of_licenses(&of_kind(Kind::License), until).await? {
            let recorded = stored.read()?;
            let DomainEvent::License(event) = &recorded.event else { continue };
            if recorded.sequence == 1 {
                license = License::default();
            }
            let is_asked = asked.contains(&recorded.position);
            let before = if is_asked { device_names(&license) } else { Vec::new() };
            license.evolve(event);
            if is_asked {
                known.licenses.insert(recorded.position, (license.clone(), before));
            }
        }
        for stored in self.log.first_of_members(&of_kind(Kind::Member)).await? {
            if let DomainEvent::Member(member::Event::Joined { person, .. }) = stored.read()?.event {
                known.people.insert(stored.stream.id.to_string(), person);
            }
        }
        Ok(known)
    }
}

fn device_names(license: &License) -> Vec<(uuid::Uuid, String)> {
    license.devices.iter().map(|device| (device.id, device.device_id.clone())).collect()
}

impl Known {
    /// One item an event; one for each device where several went at once.
    fn told(&self, recorded: &Recorded, seal: &dyn Seal) -> Result<Vec<FeedItem>, QueryError> {
        let after = self.licenses.get(&recorded.position);
        let data = match &recorded.event {
            DomainEvent::License(event) => of_license(event, after, seal),
            DomainEvent::Member(event) => vec![self.of_member(recorded, event, seal)],
            DomainEvent::Guild(event) => vec![of_guild(recorded, event, seal)?],
            // Facts about security stand in the audit log, for those who may read that.
            DomainEvent::User(_)
            | DomainEvent::Session(_)
            | DomainEvent::Platform(_)
            | DomainEvent::Security(_) => Vec::new(),
        };
        let event = outside::name(&recorded.event, after.map(|(license, _)| license));
        let id = recorded.metadata.id;
        let item = |(number, mut data): (usize, Map<String, Value>)| {
            let guild = recorded.guild.map(|guild| guild.to_string());
            data.insert("guildId".to_owned(), json!(guild));
            FeedItem {
                id: if number == 0 { id.to_string() } else { format!("{id}.{number}") },
                position: recorded.position,
                event,
                event_type: recorded.event.wire().0,
                timestamp: recorded.recorded_at,
                aggregate_id: recorded.stream.id.to_string(),
                sequence: recorded.sequence,
                data: Value::Object(data),
            }
        };
        Ok(data.into_iter().enumerate().map(item).collect())
    }

    fn of_member(&self, recorded: &Recorded, event: &member::Event, seal: &dyn Seal) -> Map<String, Value> {
        use member::Event;
        let person = self.people.get(&*recorded.stream.id);
        let user = person.map(|person| person.discord_id.open(seal, &recorded.stream).shown().to_owned());
        let mut data = match event {
            Event::RolesChanged { roles, added, removed, .. } => {
                object(json!({ "roles": roles, "added": added, "removed": removed }))
            }
            Event::SlotOpened { license_type, license_id, generation, .. } => object(
                json!({ "licenseType": license_type, "licenseId": license_id, "generation": generation }),
            ),
            Event::SourceAdded { license_type, rule_id, .. }
            | Event::SourceRemoved { license_type, rule_id, .. } => {
                object(json!({ "licenseType": license_type, "ruleId": rule_id }))
            }
            Event::SlotClosed { license_type, generation, .. } => {
                object(json!({ "licenseType": license_type, "generation": generation }))
            }
            Event::SlotBlocked { license_type, .. } | Event::SlotUnblocked { license_type, .. } => {
                object(json!({ "licenseType": license_type }))
            }
            Event::Joined { .. } | Event::Left { .. } | Event::Rejoined { .. } => Map::new(),
            Event::DeliveryFailed { code, .. } => object(json!({ "code": code })),
        };
        data.insert("userId".to_owned(), json!(user));
        data
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// What is told of a license: which, whose, and how it is after the event; with what the event itself says.
fn of_license(
    event: &license::Event,
    known: Option<&(License, Vec<(uuid::Uuid, String)>)>,
    seal: &dyn Seal,
) -> Vec<Map<String, Value>> {
    let Some((license, before)) = known else { return Vec::new() };
    let personal = license.personal(seal);
    let metadata =
        personal.metadata.as_ref().and_then(|text| serde_json::from_str::<Value>(text.shown()).ok());
    let base = object(json!({
        "licenseId": license.id,
        "userId": personal.user_id.as_ref().map(|user| user.shown().to_owned()),
        "licenseType": license.license_type,
        "status": license.status(event.at()).map(license::Status::as_str),
        "expiresAt": license.expires_at.map(|end| end.to_string()),
        "metadata": metadata,
    }));
    let with = |more: Value| {
        let mut data = base.clone();
        data.extend(object(more));
        data
    };
    match event {
        license::Event::DevicesReset { ids, cause, .. } => {
            let name = |id| before.iter().find(|(known, _)| known == id).map(|(_, name)| name.as_str());
            ids.iter().map(|id| with(json!({ "deviceId": name(id), "cause": cause }))).collect()
        }
        other => vec![with(said(other))],
    }
}

/// What an event of a license says beside how the license is after it.
fn said(event: &license::Event) -> Value {
    use license::Event;
    match event {
        Event::DeviceActivated { device, .. } => json!({ "deviceId": device.device_id }),
        Event::DeviceDeactivated { device_id, cause, .. } => json!({ "deviceId": device_id, "cause": cause }),
        Event::OfflineLeaseIssued { lease, .. } => json!({ "deviceId": lease.device_id }),
        Event::Suspended { hold, .. } | Event::Resumed { hold, .. } => json!({ "hold": hold }),
        Event::Revoked { category, .. } => json!({ "category": category }),
        Event::Rekeyed { key, .. } => json!({ "keyVersion": key.version }),
        Event::SharingSuspected { rule, evidence, .. } => json!({ "rule": rule, "evidence": evidence }),
        Event::Delivered { channel, .. } => json!({ "channel": channel }),
        Event::RoleLossStarted { ends_at, .. } => json!({ "endsAt": ends_at.to_string() }),
        _ => json!({}),
    }
}

/// What is told of a guild: the event without its secrets. People are their snowflakes; of API keys and webhooks only which
/// one it is.
fn of_guild(
    recorded: &Recorded,
    event: &guild::Event,
    seal: &dyn Seal,
) -> Result<Map<String, Value>, QueryError> {
    use guild::Event;
    let mut data = object(opened_payload(&recorded.stream, recorded, seal)?);
    let kept: Option<&[&str]> = match event {
        Event::ApiKeyIssued { .. } | Event::ApiKeyRevoked { .. } => Some(&["keyId", "kind"]),
        Event::WebhookAdded { .. }
        | Event::WebhookChanged { .. }
        | Event::WebhookDisabled { .. }
        | Event::WebhookRemoved { .. } => Some(&["webhookId", "cause"]),
        _ => None,
    };
    data.retain(|name, _| !["type", "at"].contains(&name.as_str()));
    if let Some(kept) = kept {
        data.retain(|name, _| kept.contains(&name.as_str()));
    }
    for (person, shown) in [("person", "userId"), ("owner", "ownerId")] {
        if let Some(person) = data.remove(person) {
            data.insert(shown.to_owned(), person.get("discordId").cloned().unwrap_or_default());
        }
    }
    Ok(data)
}
