//! Aggregates that a read model leaves out: an event or a row of theirs could not be applied. The model goes on with all
//! others; whoever asks for one of these is answered from its own stream, or not at all. It never decides which is left
//! out, and a rebuild begins with none.

use std::collections::{BTreeMap, BTreeSet};

use crate::Core;
use crate::db::{Arg, Tx};
use crate::error::QueryError;
use crate::model::Model;

const KNOWN: &str = "SELECT model, aggregate_id FROM projection_parked WHERE model {in:$1} \
    ORDER BY model, aggregate_id";
const LIST: &str = "SELECT model, aggregate_type, aggregate_id, position, error FROM projection_parked \
    ORDER BY position, model LIMIT $1";
const COUNTS: &str = "SELECT model, count(*), min(position) FROM projection_parked GROUP BY model";
const PARK: &str = "INSERT INTO projection_parked (model, aggregate_type, aggregate_id, position, error) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (model, aggregate_type, aggregate_id) DO NOTHING";
const UNPARK: &str = "DELETE FROM projection_parked WHERE model = $1";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[KNOWN, LIST, COUNTS, PARK, UNPARK];

/// Longest reason that is kept.
const ERROR_BYTES_MAX: usize = 500;

/// An aggregate that a read model leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The read model, as `rebuild` takes it.
    pub model: &'static str,
    /// `license`, `guild`, `member` or `user`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// The event at which it was left out.
    pub position: i64,
    /// Why.
    pub error: String,
}

impl Parked {
    pub(crate) fn new(model: &'static str, kind: &str, id: &str, position: i64, error: &str) -> Self {
        let end = error.floor_char_boundary(ERROR_BYTES_MAX);
        let error = error[..end].replace('\0', " ");
        Self { model, kind: kind.to_owned(), id: id.to_owned(), position, error }
    }
}

/// The ids that are left out, by read model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known(BTreeMap<&'static str, BTreeSet<Box<str>>>);

impl Known {
    fn read(rows: &[crate::db::Row]) -> Result<Self, QueryError> {
        let mut known = Self::default();
        for row in rows {
            let name = Model::named(row.text(0)?)?.name();
            known.0.entry(name).or_default().insert(row.text(1)?.into());
        }
        Ok(known)
    }

    /// These, too.
    pub(crate) fn add(&mut self, parked: &[Parked]) {
        for one in parked {
            self.0.entry(one.model).or_default().insert(one.id.as_str().into());
        }
    }

    /// Those of one read model.
    pub(crate) fn of(&self, model: Model) -> impl Iterator<Item = &str> {
        self.0.get(model.name()).into_iter().flatten().map(|id| &**id)
    }

    /// Whether `more` fit, of which at most `max` may be left out by each read model: more of them than that is no matter of
    /// single aggregates.
    pub(crate) fn has_room(&self, more: &[Parked], max: usize) -> Result<(), QueryError> {
        for model in Model::ALL {
            let before = self.0.get(model.name()).map_or(0, BTreeSet::len);
            let new: Vec<&Parked> = more.iter().filter(|one| one.model == model.name()).collect();
            if let Some(first) = new.first().filter(|_| before + new.len() > max) {
                return Err(QueryError::Damaged(format!(
                    "{} leaves out {max} aggregates already, and would leave out {}:{} too: {}",
                    first.model, first.kind, first.id, first.error
                )));
            }
        }
        Ok(())
    }
}

fn names() -> Vec<String> {
    Model::ALL.iter().map(|model| model.name().to_owned()).collect()
}

/// What is left out now.
pub(crate) async fn known(core: &Core) -> Result<Known, QueryError> {
    Known::read(&core.sql.fetch(KNOWN, &[Arg::List(&names())]).await?)
}

/// The same inside a transaction that holds the rows of the checkpoints: nobody changes it until the end.
pub(crate) async fn known_here(tx: &mut Tx) -> Result<Known, QueryError> {
    Known::read(&tx.fetch(KNOWN, &[Arg::List(&names())]).await?)
}

/// Leaves these out from now on: their rows go, and the reasons stay.
pub(crate) async fn park(tx: &mut Tx, parked: &[Parked]) -> Result<(), QueryError> {
    for one in parked {
        tracing::error!(
            model = one.model, aggregate = %format_args!("{}:{}", one.kind, one.id), position = one.position,
            error = one.error, "an aggregate is left out of a read model; a rebuild tries it again"
        );
        let (position, error) = (Arg::Int(one.position), Arg::Text(&one.error));
        let args = [Arg::Text(one.model), Arg::Text(&one.kind), Arg::Text(&one.id), position, error];
        tx.execute(PARK, &args).await?;
        if Model::named(one.model)?.of_subject().is_some() {
            tx.execute(&remove(one.model), &[Arg::Text(&one.id)]).await?;
        }
    }
    Ok(())
}

/// Removes the row of an aggregate from the table of a view.
pub(crate) fn remove(table: &str) -> String {
    format!("DELETE FROM {table} WHERE id = $1")
}

/// What a rebuild of `model` left out takes the place of what was left out before.
pub(crate) async fn replace(tx: &mut Tx, model: Model, parked: &[Parked]) -> Result<(), crate::db::DbError> {
    tx.execute(UNPARK, &[Arg::Text(model.name())]).await?;
    for one in parked {
        let (position, error) = (Arg::Int(one.position), Arg::Text(&one.error));
        let args = [Arg::Text(one.model), Arg::Text(&one.kind), Arg::Text(&one.id), position, error];
        tx.execute(PARK, &args).await?;
    }
    Ok(())
}

/// How many each read model leaves out, and the first position of theirs.
pub(crate) async fn counts(core: &Core) -> Result<BTreeMap<&'static str, (i64, i64)>, QueryError> {
    let rows = core.sql.fetch(COUNTS, &[]).await?;
    rows.iter().map(|row| Ok((Model::named(row.text(0)?)?.name(), (row.int(1)?, row.int(2)?)))).collect()
}

/// The first of those that are left out, by position.
pub(crate) async fn list(core: &Core, limit: u32) -> Result<Vec<Parked>, QueryError> {
    let rows = core.sql.fetch(LIST, &[Arg::Int(i64::from(limit))]).await?;
    rows.iter()
        .map(|row| {
            let model = Model::named(row.text(0)?)?.name();
            Ok(Parked::new(model, row.text(1)?, row.text(2)?, row.int(3)?, row.text(4)?))
        })
        .collect()
}
