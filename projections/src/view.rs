//! What the four views have in common: a row is the fold of one aggregate's events by the aggregate's own `evolve`,
//! with what unsealing its personal fields gave beside it. Nothing here decides what an event means, and nothing here
//! writes: it prepares rows.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use domain::event::{DomainEvent, Recorded};
use domain::id::{Kind, Pseudonym};
use domain::ports::{Seal, Vault};
use domain::private::{Private, Subject, Unsealed};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::db::{Arg, Row, Rows, Sql, Table};
use crate::error::QueryError;
use crate::model::Entry;
use crate::parked::Parked;

/// Keys that one statement looks up.
const KEYS_MAX: usize = 2_000;
/// Rows that are rendered with one set of keys, and written in one transaction by a rebuild.
const RENDER_MAX: usize = 2_000;

/// A view: one row an aggregate.
pub(crate) trait View: Send + Sync + 'static {
    /// The aggregate.
    type State: Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What unsealing gives, as stored.
    type Personal: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Which streams it follows.
    const KIND: Kind;
    /// Its table; the columns begin as [`LEADING`] says.
    const TABLE: &'static Table;
    /// `SELECT id FROM <its table> WHERE` a personal field of the row is sealed for the person `$1`.
    const OF_SUBJECT: &'static str;

    /// How many events were applied.
    fn version(state: &Self::State) -> u64;
    /// Applies an event by the aggregate's own `evolve`.
    fn evolve(state: &mut Self::State, event: &DomainEvent);
    /// Calls `visit` with each personal field that is shown.
    fn fields(state: &Self::State, visit: &mut dyn FnMut(&Private));
    /// Opens those fields.
    fn open(state: &Self::State, seal: &dyn Seal) -> Self::Personal;
    /// Writes the columns that follow the leading ones.
    fn columns(held: &Held<Self::State>, rows: &mut Rows);
}

/// The columns that each view begins with, in this order.
#[cfg(test)]
pub(crate) const LEADING: [&str; 6] = ["id", "state", "personal", "first_position", "position", "version"];

/// The leading columns of a view, and those that follow.
macro_rules! view_table {
    ($name:literal, [$($column:tt)*], [$($index:tt)*]) => {
        $crate::db::Table {
            name: $name,
            columns: &[
                ("id", $crate::db::Kind::Text, "NOT NULL"),
                ("state", $crate::db::Kind::Text, "NOT NULL"),
                ("personal", $crate::db::Kind::Text, "NOT NULL"),
                ("first_position", $crate::db::Kind::Int, "NOT NULL"),
                ("position", $crate::db::Kind::Int, "NOT NULL"),
                ("version", $crate::db::Kind::Int, "NOT NULL"),
                $($column)*
            ],
            indexes: &[$($index)*],
        }
    };
}
pub(crate) use view_table;

/// The state of an aggregate with the positions of its first and its last event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held<S> {
    pub(crate) state: S,
    pub(crate) first: i64,
    pub(crate) position: i64,
    dirty: bool,
}

/// Aggregates in memory while events are applied to them.
pub(crate) struct Fold<V: View> {
    held: HashMap<Box<str>, Held<V::State>>,
    /// Which of them changed since they were rendered, in the order in which they did.
    dirty: VecDeque<Box<str>>,
    target: String,
    /// Aggregates that are left out: later events of theirs would be applied to a state that is not theirs.
    skipped: HashSet<Box<str>>,
    /// Those of them that were found to be here.
    parked: Vec<Parked>,
}

/// What folding asks of the outside.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) sql: &'a Sql,
    pub(crate) vault: &'a dyn Vault,
}

/// Which erasures of a batch change rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Erasures {
    /// Render the rows of the erased persons again.
    Render,
    /// Rows up to this position were rendered after the key was destroyed.
    RenderAfter(i64),
}

impl<V: View> Fold<V> {
    /// Nothing in memory; what was written before stands in the table `target`.
    pub(crate) fn new(target: &str) -> Self {
        let (skipped, parked) = (HashSet::new(), Vec::new());
        Self { held: HashMap::new(), dirty: VecDeque::new(), target: target.to_owned(), skipped, parked }
    }

    /// The same, with aggregates that are left out already.
    pub(crate) fn without<'a>(target: &str, skipped: impl Iterator<Item = &'a str>) -> Self {
        Self { skipped: skipped.map(Box::from).collect(), ..Self::new(target) }
    }

    /// The aggregates that were left out since this was last asked.
    pub(crate) fn take_parked(&mut self) -> Vec<Parked> {
        std::mem::take(&mut self.parked)
    }

    /// Leaves an aggregate out from here on, if `error` is about it; an outage is about everything.
    fn park(&mut self, id: &str, position: i64, error: QueryError) -> Result<(), QueryError> {
        let QueryError::Damaged(why) = error else { return Err(error) };
        self.held.remove(id);
        if self.skipped.insert(id.into()) {
            self.parked.push(Parked::new(V::TABLE.name, V::KIND.as_str(), id, position, &why));
        }
        Ok(())
    }

    /// Aggregates in memory.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Forgets all aggregates; they have been written.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }

    /// Applies a batch: brings the rows it needs into memory, then folds. An aggregate whose event or row cannot be
    /// understood is left out.
    pub(crate) async fn apply(
        &mut self,
        sources: Sources<'_>,
        entries: &[Entry],
        erasures: Erasures,
    ) -> Result<(), QueryError> {
        let kind = V::KIND;
        let mut wanted = BTreeSet::new();
        for entry in entries.iter().filter(|entry| entry.stored.stream.kind == kind) {
            let id = &entry.stored.stream.id;
            if entry.stored.sequence > 1 && !self.skipped.contains(id) {
                self.want(id, &mut wanted);
            }
        }
        self.load(sources.sql, wanted).await?;
        for entry in entries {
            let id = &entry.stored.stream.id;
            if entry.stored.stream.kind != kind || self.skipped.contains(id) {
                continue;
            }
            if let Err(error) = entry.read().and_then(|recorded| self.fold(recorded)) {
                self.park(id, entry.stored.position, error)?;
            }
        }
        for entry in entries.iter().filter(|entry| erasures.concern(entry)) {
            self.erase(sources, &entry.stored.stream.id).await?;
        }
        Ok(())
    }

    fn want(&self, id: &str, wanted: &mut BTreeSet<String>) {
        if !self.held.contains_key(id) {
            wanted.insert(id.to_owned());
        }
    }

    async fn load(&mut self, sql: &Sql, wanted: BTreeSet<String>) -> Result<(), QueryError> {
        let wanted: Vec<String> = wanted.into_iter().collect();
        let text = load_sql(&self.target);
        for ids in wanted.chunks(KEYS_MAX) {
            for row in sql.fetch(&text, &[Arg::List(ids)]).await? {
                match Held::read(&row) {
                    Ok(held) => drop(self.held.insert(row.text(0)?.into(), held)),
                    Err(error) => self.park(row.text(0)?, row.int(3)?, error)?,
                }
            }
        }
        Ok(())
    }

    fn fold(&mut self, recorded: &Recorded) -> Result<(), QueryError> {
        let id = &recorded.stream.id;
        if !self.held.contains_key(id) {
            self.held.insert(id.clone(), Held { first: recorded.position, ..Held::default() });
        }
        if let Some(held) = self.held.get_mut(id) {
            if V::version(&held.state) + 1 != recorded.sequence {
                return Err(QueryError::Damaged(format!(
                    "event {} is number {} of {}, of which {} has {}; rebuild that read model",
                    recorded.position,
                    recorded.sequence,
                    recorded.stream,
                    self.target,
                    V::version(&held.state)
                )));
            }
            V::evolve(&mut held.state, &recorded.event);
            held.position = recorded.position;
            Self::touch(held, id, &mut self.dirty);
        }
        Ok(())
    }

    fn touch(held: &mut Held<V::State>, id: &str, dirty: &mut VecDeque<Box<str>>) {
        if !held.dirty {
            held.dirty = true;
            dirty.push_back(id.into());
        }
    }

    /// Marks every row with a field sealed for the erased person. Rows that are only in memory are dirty already.
    async fn erase(&mut self, sources: Sources<'_>, person: &str) -> Result<(), QueryError> {
        if let Ok(person) = person.parse::<Pseudonym>() {
            sources.vault.forget(&Subject::User(person));
        }
        let text = V::OF_SUBJECT.replace("{t}", &self.target);
        let mut wanted = BTreeSet::new();
        let mut ids = Vec::new();
        for row in sources.sql.fetch(&text, &[Arg::Text(person)]).await? {
            let id = row.text(0)?;
            if self.skipped.contains(id) {
                continue;
            }
            self.want(id, &mut wanted);
            ids.push(id.to_owned());
        }
        self.load(sources.sql, wanted).await?;
        for id in ids {
            if let Some(held) = self.held.get_mut(id.as_str()) {
                Self::touch(held, &id, &mut self.dirty);
            }
        }
        Ok(())
    }

    /// Some of the rows that changed, rendered; they count as written from here on. `None` if nothing changed since.
    /// The keys are loaded now, so a person who was erased since is shown as such.
    pub(crate) async fn render(&mut self, vault: &dyn Vault) -> Result<Option<Rows>, QueryError> {
        let ids: Vec<Box<str>> = self.dirty.drain(..self.dirty.len().min(RENDER_MAX)).collect();
        if ids.is_empty() {
            return Ok(None);
        }
        let mut subjects = BTreeSet::new();
        for held in ids.iter().filter_map(|id| self.held.get(id)) {
            V::fields(&held.state, &mut |field| subjects.extend(field.subject()));
        }
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        let mut rows = Rows::new(V::TABLE, &self.target);
        match vault.keys(&subjects).await.map_err(QueryError::from) {
            Ok(seal) => {
                for id in ids {
                    self.row(&id, &*seal, &mut rows)?;
                }
            }
            // One of these keys cannot be had; whose rows need another one lose nothing by it.
            Err(QueryError::Damaged(_)) => {
                for id in ids {
                    self.row_alone(&id, vault, &mut rows).await?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(Some(rows))
    }

    async fn row_alone(&mut self, id: &str, vault: &dyn Vault, rows: &mut Rows) -> Result<(), QueryError> {
        let Some(held) = self.held.get(id) else { return Ok(()) };
        let mut subjects = BTreeSet::new();
        V::fields(&held.state, &mut |field| subjects.extend(field.subject()));
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        let position = held.position;
        match vault.keys(&subjects).await {
            Ok(seal) => self.row(id, &*seal, rows),
            Err(error) => self.park(id, position, error.into()),
        }
    }

    /// Writes the row of an aggregate, if it is still here.
    fn row(&mut self, id: &str, seal: &dyn Seal, rows: &mut Rows) -> Result<(), QueryError> {
        let Some(held) = self.held.get_mut(id) else { return Ok(()) };
        let personal = V::open(&held.state, seal);
        let (state, personal) = match written(&held.state).and_then(|state| Ok((state, written(&personal)?)))
        {
            Ok(texts) => texts,
            Err(error) => {
                let position = held.position;
                return self.park(id, position, error);
            }
        };
        rows.text(id.to_owned())
            .text(state)
            .text(personal)
            .int(held.first)
            .int(held.position)
            .int(V::version(&held.state) as i64);
        V::columns(held, rows);
        held.dirty = false;
        Ok(())
    }
}

fn written(value: &impl Serialize) -> Result<String, QueryError> {
    serde_json::to_string(value)
        .map_err(|error| QueryError::Damaged(format!("a read model cannot be written: {error}")))
}

/// Brings rows into memory.
pub(crate) fn load_sql(target: &str) -> String {
    format!("SELECT id, state, first_position, position FROM {target} WHERE id {{in:$1}}")
}

impl<S: DeserializeOwned> Held<S> {
    fn read(row: &Row) -> Result<Self, QueryError> {
        Ok(Self { state: parsed(row, 1)?, first: row.int(2)?, position: row.int(3)?, dirty: false })
    }
}

/// The JSON in a column of a row.
pub(crate) fn parsed<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T, QueryError> {
    serde_json::from_str(row.text(column)?).map_err(|error| {
        QueryError::Damaged(format!("a row of a read model cannot be read: {error}; rebuild it"))
    })
}

impl Erasures {
    fn concern(self, entry: &Entry) -> bool {
        let erased = entry.stored.stream.kind == Kind::User && entry.stored.event_type == "user.erased";
        match self {
            Self::Render => erased,
            Self::RenderAfter(position) => erased && entry.stored.position > position,
        }
    }
}

/// What opening a sealed field gave, as stored in `personal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Opened {
    Clear(String),
    Erased,
    Damaged,
}

impl From<Unsealed> for Opened {
    fn from(unsealed: Unsealed) -> Self {
        match unsealed {
            Unsealed::Clear(text) => Self::Clear(text),
            Unsealed::Erased => Self::Erased,
            Unsealed::Damaged => Self::Damaged,
        }
    }
}

impl From<Opened> for Unsealed {
    fn from(opened: Opened) -> Self {
        match opened {
            Opened::Clear(text) => Self::Clear(text),
            Opened::Erased => Self::Erased,
            Opened::Damaged => Self::Damaged,
        }
    }
}

/// The persons, each once and with spaces around, whose keys seal `fields`, except `owner`: what tells later whose
/// erasure concerns the row.
pub(crate) fn persons(
    fields: impl FnOnce(&mut dyn FnMut(&Private)),
    owner: Option<&Pseudonym>,
) -> Option<String> {
    let mut persons = BTreeSet::new();
    fields(&mut |field| {
        if let Some(Subject::User(person)) = field.subject()
            && Some(&person) != owner
        {
            persons.insert(person);
        }
    });
    let list: Vec<&str> = persons.iter().map(Pseudonym::as_str).collect();
    (!list.is_empty()).then(|| list.join(" "))
}
