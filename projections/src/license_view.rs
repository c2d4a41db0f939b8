//! The read model of licenses: one row a license with the columns that lists filter and sort by. What a license is at
//! an instant is `License::status`; the filter here is the same function in SQL, and a test holds the two together.

use domain::aggregate::Decide as _;
use domain::event::DomainEvent;
use domain::id::{GuildId, Kind, LicenseId, Pseudonym};
use domain::license::{License, Personal, Status};
use domain::ports::Seal;
use domain::private::{Private, Subject};
use domain::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cursor::Page;
use crate::db::Kind::{Int, Text};
use crate::db::{Arg, Rows, Table};
use crate::view::{Held, Opened, View, persons, view_table};

/// The view.
pub(crate) struct LicenseView;

static TABLE: Table = view_table!(
    "license_view",
    [
        ("guild_id", Text, "NOT NULL"),
        ("owner", Text, "NULL"),
        ("license_type", Text, "NOT NULL"),
        ("stage", Text, "NOT NULL"),
        ("holds", Text, "NOT NULL"),
        ("starts_at", Int, "NULL"),
        ("expires_at", Int, "NULL"),
        ("grace_ms", Int, "NOT NULL"),
        ("expiry_announced", Int, "NOT NULL"),
        ("role_loss_ends_at", Int, "NULL"),
        ("due_at", Int, "NULL"),
        ("subjects", Text, "NULL"),
        ("created_at", Int, "NOT NULL"),
        ("updated_at", Int, "NOT NULL"),
    ],
    [
        ("first", "(first_position)"),
        ("guild", "(guild_id, first_position)"),
        ("stage", "(guild_id, stage, first_position)"),
        ("owner", "(owner, first_position) WHERE owner IS NOT NULL"),
        ("held", "(guild_id, first_position) WHERE holds <> ''"),
        ("expires", "(guild_id, expires_at) WHERE expires_at IS NOT NULL"),
        ("due", "(due_at) WHERE due_at IS NOT NULL"),
        ("subjects", "(subjects) WHERE subjects IS NOT NULL"),
        ("counts", "(guild_id, license_type, stage, holds, expires_at, grace_ms)"),
    ]
);

impl View for LicenseView {
    type State = License;
    type Personal = StoredPersonal;
    const KIND: Kind = Kind::License;
    const TABLE: &'static Table = &TABLE;
    const OF_SUBJECT: &'static str = "SELECT id FROM {t} WHERE owner = $1 \
        UNION SELECT id FROM {t} WHERE subjects IS NOT NULL AND subjects LIKE '%' || $1 || '%'";

    fn version(state: &License) -> u64 {
        state.version
    }

    fn evolve(state: &mut License, event: &DomainEvent) {
        if let DomainEvent::License(event) = event {
            state.evolve(event);
        }
    }

    fn fields(state: &License, visit: &mut dyn FnMut(&Private)) {
        state.owner.iter().for_each(|owner| visit(&owner.discord_id));
        state.metadata.iter().for_each(&mut *visit);
        state.private_metadata.iter().for_each(&mut *visit);
        state.devices.iter().filter_map(|device| device.name.as_ref()).for_each(&mut *visit);
    }

    fn open(state: &License, seal: &dyn Seal) -> StoredPersonal {
        StoredPersonal::from(state.personal(seal))
    }

    fn columns(held: &Held<License>, rows: &mut Rows) {
        let license = &held.state;
        let owner = license.owner.as_ref().map(|owner| &owner.id);
        let subjects = persons(|visit| Self::fields(license, visit), owner);
        // The grace as it works: an end close to the last instant there is leaves less of it.
        let grace =
            license.expires_at.zip(license.expiry_instant()).map_or(Span::ZERO, |(end, gone)| gone - end);
        let holds: Vec<&str> = license.holds.iter().map(|hold| hold.as_str()).collect();
        rows.text(license.guild.map_or_else(String::new, |guild| guild.to_string()))
            .text(owner.map(|owner| owner.as_str().to_owned()))
            .text(license.license_type.clone())
            .text(stage_name(license).to_owned())
            .text(holds.join(","))
            .int(license.starts_at.map(Timestamp::ms))
            .int(license.expires_at.map(Timestamp::ms))
            .int(grace.ms())
            .int(i64::from(license.expiry_announced))
            .int(license.role_loss_ends_at.map(Timestamp::ms))
            .int(license.next_due(None).map(Timestamp::ms))
            .text(subjects)
            .int(license.created_at.ms())
            .int(license.updated_at.ms());
    }
}

/// The stored part of the status, under the name of the status it stands for.
fn stage_name(license: &License) -> &'static str {
    use domain::license::Stage;
    match license.stage {
        Stage::Absent => "absent",
        Stage::Generated => "generated",
        Stage::Assigned => "assigned",
        Stage::Activated => "activated",
        Stage::Active => "active",
        Stage::Renewed => "renewed",
        Stage::Revoked => "revoked",
    }
}

/// [`Personal`] as it stands in the column.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredPersonal {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<Opened>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Opened>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private_metadata: Option<Opened>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    device_names: Vec<(Uuid, Opened)>,
}

impl From<Personal> for StoredPersonal {
    fn from(personal: Personal) -> Self {
        Self {
            user_id: personal.user_id.map(Opened::from),
            metadata: personal.metadata.map(Opened::from),
            private_metadata: personal.private_metadata.map(Opened::from),
            device_names: personal.device_names.into_iter().map(|(id, name)| (id, name.into())).collect(),
        }
    }
}

impl From<StoredPersonal> for Personal {
    fn from(stored: StoredPersonal) -> Self {
        Self {
            user_id: stored.user_id.map(Into::into),
            metadata: stored.metadata.map(Into::into),
            private_metadata: stored.private_metadata.map(Into::into),
            device_names: stored.device_names.into_iter().map(|(id, name)| (id, name.into())).collect(),
        }
    }
}

/// A license as readers get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenseFacts {
    /// The fold of its events.
    pub license: License,
    /// Its personal fields, opened.
    pub personal: Personal,
    /// Position of its last event.
    pub position: i64,
}

/// Which licenses a list holds. What is `None` filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LicenseFilter {
    /// Of these guilds only; an empty list holds nothing.
    pub guilds: Option<Vec<GuildId>>,
    /// Owned by this person.
    pub owner: Option<Pseudonym>,
    /// With this status at the instant of the question.
    pub status: Option<Status>,
    /// Of the type with this slug.
    pub license_type: Option<String>,
    /// Whose `expiresAt` lies before this instant.
    pub expires_before: Option<Timestamp>,
    /// Exactly this license.
    pub id: Option<LicenseId>,
}

impl LicenseFilter {
    /// Whether a license is in the list at `now`: what the statement of a list says, for a state that stands in no row.
    pub(crate) fn holds(&self, license: &License, now: Timestamp) -> bool {
        self.guilds.as_ref().is_none_or(|guilds| license.guild.is_some_and(|guild| guilds.contains(&guild)))
            && self
                .owner
                .as_ref()
                .is_none_or(|owner| license.owner.as_ref().is_some_and(|has| has.id == *owner))
            && self.status.is_none_or(|status| license.status(now) == Some(status))
            && self.license_type.as_ref().is_none_or(|slug| license.license_type == *slug)
            && self.expires_before.is_none_or(|before| license.expires_at.is_some_and(|end| end < before))
            && self.id.is_none_or(|id| license.id == id)
    }
}

/// A license for which the clock has something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub license: LicenseId,
    /// Its guild.
    pub guild: GuildId,
    /// The member in whose slot it lives.
    pub member: Option<Pseudonym>,
    /// Whether the grace after the loss of its roles has ended; otherwise it is to be settled.
    pub role_loss: bool,
}

pub(crate) const DUE: &str = "SELECT state FROM license_view WHERE due_at IS NOT NULL AND due_at <= $1 \
    ORDER BY due_at LIMIT $2";
pub(crate) const NEXT_DUE: &str = "SELECT min(due_at) FROM license_view WHERE due_at IS NOT NULL";
pub(crate) const EXPIRING: &str = "SELECT state FROM license_view WHERE guild_id = $1 AND expires_at > $2 \
    AND expires_at <= $3 AND expiry_announced = 0 AND stage <> 'revoked' ORDER BY expires_at LIMIT $4";

/// A list statement with the values it binds.
pub(crate) struct ListQuery<'a> {
    pub(crate) text: String,
    args: Vec<Bound<'a>>,
}

enum Bound<'a> {
    Text(&'a str),
    Owned(String),
    Int(i64),
    List(Vec<String>),
}

impl Bound<'_> {
    fn arg(&self) -> Arg<'_> {
        match self {
            Self::Text(text) => Arg::Text(text),
            Self::Owned(text) => Arg::Text(text),
            Self::Int(number) => Arg::Int(*number),
            Self::List(list) => Arg::List(list),
        }
    }
}

impl<'a> ListQuery<'a> {
    /// The statement for `filter` at `now`: newest first, one row more than the page, so that a next page is known.
    /// Each filter that is not asked for is left out of the text, so that an index can serve those that are.
    pub(crate) fn new(filter: &'a LicenseFilter, page: &Page, now: Timestamp) -> Self {
        let mut query = Self {
            text: String::from("SELECT state, personal, position, first_position FROM license_view"),
            args: Vec::new(),
        };
        let mut conditions: Vec<String> = Vec::new();
        match filter.guilds.as_deref() {
            None => {}
            Some([guild]) => {
                conditions.push(format!("guild_id = {}", query.bind(Bound::Owned(guild.to_string()))));
            }
            Some(guilds) => {
                let guilds = guilds.iter().map(GuildId::to_string).collect();
                conditions.push(format!("guild_id {{in:{}}}", query.bind(Bound::List(guilds))));
            }
        }
        if let Some(owner) = &filter.owner {
            conditions.push(format!("owner = {}", query.bind(Bound::Text(owner.as_str()))));
        }
        if let Some(license_type) = &filter.license_type {
            conditions.push(format!("license_type = {}", query.bind(Bound::Text(license_type))));
        }
        if let Some(before) = filter.expires_before {
            conditions.push(format!("expires_at < {}", query.bind(Bound::Int(before.ms()))));
        }
        if let Some(id) = filter.id {
            conditions.push(format!("id = {}", query.bind(Bound::Owned(id.to_string()))));
        }
        if let Some(status) = filter.status {
            let at = now.ms();
            conditions.push(status_sql(status, || query.bind(Bound::Int(at))));
        }
        if let Some(cursor) = &page.cursor {
            conditions.push(format!("first_position < {}", query.bind(Bound::Int(cursor.position()))));
        }
        if !conditions.is_empty() {
            query.text.push_str(" WHERE ");
            query.text.push_str(&conditions.join(" AND "));
        }
        let limit = query.bind(Bound::Int(i64::from(page.limit()) + 1));
        query.text.push_str(&format!(" ORDER BY first_position DESC LIMIT {limit}"));
        query
    }

    fn bind(&mut self, value: Bound<'a>) -> String {
        self.args.push(value);
        format!("${}", self.args.len())
    }

    pub(crate) fn args(&self) -> Vec<Arg<'_>> {
        self.args.iter().map(Bound::arg).collect()
    }
}

/// `License::status(now) = status` over the columns; `now` names the bound instant.
fn status_sql(status: Status, now: impl FnOnce() -> String) -> String {
    match status {
        Status::Revoked => "stage = 'revoked'".to_owned(),
        Status::Suspended => "stage <> 'revoked' AND holds <> ''".to_owned(),
        Status::Expired => {
            format!("stage <> 'revoked' AND holds = '' AND expires_at + grace_ms <= {}", now())
        }
        Status::Generated | Status::Assigned | Status::Activated | Status::Active | Status::Renewed => {
            format!(
                "stage = '{}' AND holds = '' AND (expires_at IS NULL OR expires_at + grace_ms > {})",
                status.as_str(),
                now()
            )
        }
    }
}

/// The persons whose keys seal what a license shows.
pub(crate) fn subjects(license: &License) -> Vec<Subject> {
    let mut subjects = std::collections::BTreeSet::new();
    LicenseView::fields(license, &mut |field| subjects.extend(field.subject()));
    subjects.into_iter().collect()
}
