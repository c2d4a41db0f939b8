//! The read model of guilds: one row a guild. Addresses of webhooks stay sealed in it, because they often hold a
//! secret; they are opened when somebody who may see them asks.

use domain::aggregate::Decide as _;
use domain::event::DomainEvent;
use domain::guild::Guild;
use domain::id::StreamId;
use domain::id::{Kind, Pseudonym};
use domain::ports::Seal;
use domain::private::{Person, Private, Unsealed};

use crate::db::Kind::{Int, Text};
use crate::db::{Rows, Table};
use crate::view::{Held, Opened, View, persons, view_table};

/// The view.
pub(crate) struct GuildView;

static TABLE: Table = view_table!(
    "guild_view",
    [
        ("present", Int, "NOT NULL"),
        ("subjects", Text, "NULL"),
        ("created_at", Int, "NOT NULL"),
        ("updated_at", Int, "NOT NULL"),
    ],
    [("first", "(first_position)")]
);

impl View for GuildView {
    type State = Guild;
    type Personal = Vec<(Pseudonym, Opened)>;
    const KIND: Kind = Kind::Guild;
    const TABLE: &'static Table = &TABLE;
    const OF_SUBJECT: &'static str = "SELECT id FROM {t} WHERE subjects LIKE '%' || $1 || '%'";

    fn version(state: &Guild) -> u64 {
        state.version
    }

    fn evolve(state: &mut Guild, event: &DomainEvent) {
        if let DomainEvent::Guild(event) = event {
            state.evolve(event);
        }
    }

    fn fields(state: &Guild, visit: &mut dyn FnMut(&Private)) {
        people(state).for_each(|person| visit(&person.discord_id));
    }

    fn open(state: &Guild, seal: &dyn Seal) -> Self::Personal {
        let Some(id) = state.id else { return Vec::new() };
        let stream = StreamId::guild(id);
        people(state)
            .map(|person| (person.id.clone(), person.discord_id.open(seal, &stream).into()))
            .collect()
    }

    fn columns(held: &Held<Guild>, rows: &mut Rows) {
        let guild = &held.state;
        rows.int(i64::from(guild.present))
            .text(persons(|visit| Self::fields(guild, visit), None))
            .int(guild.created_at.ms())
            .int(guild.updated_at.ms());
    }
}

/// The owner and the staff.
fn people(guild: &Guild) -> impl Iterator<Item = &Person> {
    guild.owner.iter().chain(guild.staff.values().map(|staff| &staff.person))
}

/// A guild as readers get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuildFacts {
    /// The fold of its events.
    pub guild: Guild,
    /// The snowflakes of its owner and its staff, opened.
    pub people: Vec<(Pseudonym, Unsealed)>,
    /// Position of its last event.
    pub position: i64,
}

impl GuildFacts {
    /// The snowflake of one of its people.
    pub fn discord_id(&self, person: &Pseudonym) -> Option<&Unsealed> {
        self.people.iter().find(|(id, _)| id == person).map(|(_, shown)| shown)
    }
}

pub(crate) const GUILDS: &str =
    "SELECT state, personal, position, first_position FROM guild_view ORDER BY first_position";
