//! The read model of members: one row a user in a guild, with the roles last observed and the slots.

use domain::aggregate::Decide as _;
use domain::event::DomainEvent;
use domain::id::{Kind, StreamId};
use domain::member::Member;
use domain::ports::Seal;
use domain::private::{Private, Unsealed};

use crate::db::Kind::{Int, Text};
use crate::db::{Rows, Table};
use crate::view::{Held, Opened, View, view_table};

/// The view.
pub(crate) struct MemberView;

static TABLE: Table = view_table!(
    "member_view",
    [
        ("guild_id", Text, "NOT NULL"),
        ("pseudonym", Text, "NOT NULL"),
        ("present", Int, "NOT NULL"),
        ("created_at", Int, "NOT NULL"),
        ("updated_at", Int, "NOT NULL"),
    ],
    [("guild", "(guild_id, first_position)"), ("pseudonym", "(pseudonym)")]
);

impl View for MemberView {
    type State = Member;
    type Personal = Option<Opened>;
    const KIND: Kind = Kind::Member;
    const TABLE: &'static Table = &TABLE;
    const OF_SUBJECT: &'static str = "SELECT id FROM {t} WHERE pseudonym = $1";

    fn version(state: &Member) -> u64 {
        state.version
    }

    fn evolve(state: &mut Member, event: &DomainEvent) {
        if let DomainEvent::Member(event) = event {
            state.evolve(event);
        }
    }

    fn fields(state: &Member, visit: &mut dyn FnMut(&Private)) {
        state.person.iter().for_each(|person| visit(&person.discord_id));
    }

    fn open(state: &Member, seal: &dyn Seal) -> Self::Personal {
        let (person, guild) = state.person.as_ref().zip(state.guild)?;
        Some(person.discord_id.open(seal, &StreamId::member(guild, &person.id)).into())
    }

    fn columns(held: &Held<Member>, rows: &mut Rows) {
        let member = &held.state;
        rows.text(member.guild.map_or_else(String::new, |guild| guild.to_string()))
            .text(member.person.as_ref().map_or_else(String::new, |person| person.id.to_string()))
            .int(i64::from(member.present))
            .int(member.created_at.ms())
            .int(member.updated_at.ms());
    }
}

/// A member as readers get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFacts {
    /// The fold of its events.
    pub member: Member,
    /// The member's snowflake, opened.
    pub discord_id: Option<Unsealed>,
    /// Position of its last event.
    pub position: i64,
}

pub(crate) const MEMBERS: &str = "SELECT state, personal, position, first_position FROM member_view \
    WHERE guild_id = $1 AND first_position > $2 ORDER BY first_position LIMIT $3";
pub(crate) const MEMBERSHIPS: &str = "SELECT state, personal, position, first_position FROM member_view \
    WHERE pseudonym = $1 ORDER BY first_position";
