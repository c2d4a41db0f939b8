//! The read model of users: one row a Discord account.

use domain::aggregate::Decide as _;
use domain::event::DomainEvent;
use domain::id::{Kind, Pseudonym, StreamId};
use domain::ports::Seal;
use domain::private::{Private, Unsealed};
use domain::user::User;
use serde::{Deserialize, Serialize};

use crate::cursor::Page;
use crate::db::Kind::Int;
use crate::db::{Arg, Rows, Table};
use crate::view::{Held, Opened, View, view_table};

/// The view.
pub(crate) struct UserView;

static TABLE: Table = view_table!(
    "user_view",
    [
        ("banned", Int, "NOT NULL"),
        ("erased", Int, "NOT NULL"),
        ("created_at", Int, "NOT NULL"),
        ("updated_at", Int, "NOT NULL"),
    ],
    [("first", "(first_position)"), ("banned", "(banned, first_position)")]
);

/// What is personal about a user, as it stands in the column.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StoredUser {
    #[serde(skip_serializing_if = "Option::is_none")]
    discord_id: Option<Opened>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<Opened>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Opened>,
}

impl View for UserView {
    type State = User;
    type Personal = StoredUser;
    const KIND: Kind = Kind::User;
    const TABLE: &'static Table = &TABLE;
    const OF_SUBJECT: &'static str = "SELECT id FROM {t} WHERE id = $1";

    fn version(state: &User) -> u64 {
        state.version
    }

    fn evolve(state: &mut User, event: &DomainEvent) {
        if let DomainEvent::User(event) = event {
            state.evolve(event);
        }
    }

    fn fields(state: &User, visit: &mut dyn FnMut(&Private)) {
        state.person.iter().for_each(|person| visit(&person.discord_id));
        state.profile.username.iter().for_each(&mut *visit);
        state.profile.email.iter().for_each(&mut *visit);
    }

    fn open(state: &User, seal: &dyn Seal) -> StoredUser {
        let Some(person) = &state.person else { return StoredUser::default() };
        let stream = StreamId::user(&person.id);
        let open = |field: &Private| field.open(seal, &stream).into();
        StoredUser {
            discord_id: Some(open(&person.discord_id)),
            username: state.profile.username.as_ref().map(open),
            email: state.profile.email.as_ref().map(open),
        }
    }

    fn columns(held: &Held<User>, rows: &mut Rows) {
        let user = &held.state;
        rows.int(i64::from(user.banned))
            .int(i64::from(user.erased))
            .int(user.created_at.ms())
            .int(user.updated_at.ms());
    }
}

/// A user as readers get it. What was erased, or cannot be opened, is `None`; `user.erased` tells which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFacts {
    /// The fold of its events; `version` 0 stands for an account that no part of the system has seen.
    pub user: User,
    /// The snowflake.
    pub discord_id: Option<String>,
    /// The account's name.
    pub username: Option<String>,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Position of its last event.
    pub position: i64,
}

impl UserFacts {
    pub(crate) fn new(user: User, stored: StoredUser, position: i64) -> Self {
        let clear = |field: Option<Opened>| Unsealed::from(field?).clear();
        Self {
            user,
            discord_id: clear(stored.discord_id),
            username: clear(stored.username),
            email: clear(stored.email),
            position,
        }
    }

    /// What is personal, as it was given to [`UserFacts::new`]; what could not be opened is not there.
    pub(crate) fn stored(&self) -> StoredUser {
        let opened = |field: &Option<String>| field.clone().map(Opened::Clear);
        StoredUser {
            discord_id: opened(&self.discord_id),
            username: opened(&self.username),
            email: opened(&self.email),
        }
    }
}

/// Which users a list holds. What is `None` filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// These only.
    pub ids: Option<Vec<Pseudonym>>,
    /// Banned ones, or the others.
    pub banned: Option<bool>,
}

/// A list statement with the values it binds.
pub(crate) struct UserQuery {
    pub(crate) text: String,
    ids: Vec<String>,
    banned: i64,
    before: i64,
    limit: i64,
}

impl UserQuery {
    /// The statement for `filter`: newest first, one row more than the page. A filter that is not asked for is left out of the
    /// text, so that an index can serve the others.
    pub(crate) fn new(filter: &UserFilter, page: &Page) -> Self {
        let ids = filter.ids.iter().flatten().map(|id| id.as_str().to_owned()).collect();
        let mut text = "SELECT state, personal, position, first_position FROM user_view \
            WHERE first_position < $1"
            .to_owned();
        let (mut next, limit) = (2, i64::from(page.limit()) + 1);
        for (asked, condition) in
            [(filter.banned.is_some(), "banned = $"), (filter.ids.is_some(), "id {in:$")]
        {
            if asked {
                let close = if condition.ends_with("{in:$") { "}" } else { "" };
                text.push_str(&format!(" AND {condition}{next}{close}"));
                next += 1;
            }
        }
        text.push_str(&format!(" ORDER BY first_position DESC LIMIT ${next}"));
        let banned = i64::from(filter.banned.unwrap_or_default());
        let before = page.cursor.as_ref().map_or(i64::MAX, crate::Cursor::position);
        Self { text, ids, banned, before, limit }
    }

    pub(crate) fn args(&self, filter: &UserFilter) -> Vec<Arg<'_>> {
        let banned = filter.banned.map(|_| Arg::Int(self.banned));
        let ids = filter.ids.as_ref().map(|_| Arg::List(&self.ids));
        let all = [Some(Arg::Int(self.before)), banned, ids, Some(Arg::Int(self.limit))];
        all.into_iter().flatten().collect()
    }
}
