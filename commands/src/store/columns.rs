//! A batch as the arrays that PostgreSQL's `append()` takes, column by column. Nothing here decides anything.

use domain::id::GuildId;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;

use super::model::{Append, Claim, NewEvent, NewIdempotency};
use super::sql;

/// What `append()` answers: the first position, if there were events, and the time.
pub(super) type Answer = (Option<i64>, i64);

#[derive(Default)]
pub(super) struct Columns<'a> {
    events: Events<'a>,
    released: (Vec<&'a str>, Vec<&'a str>),
    claims: Claims<'a>,
    idempotency: Idempotency<'a>,
}

#[derive(Default)]
struct Events<'a> {
    aggregate_types: Vec<&'a str>,
    aggregate_ids: Vec<&'a str>,
    sequences: Vec<i64>,
    event_types: Vec<&'a str>,
    event_versions: Vec<&'a str>,
    payloads: Vec<&'a str>,
    metadata: Vec<&'a str>,
    guild_ids: Vec<Option<String>>,
}

#[derive(Default)]
struct Claims<'a> {
    scopes: Vec<&'a str>,
    values: Vec<&'a str>,
    aggregate_types: Vec<&'a str>,
    aggregate_ids: Vec<&'a str>,
}

#[derive(Default)]
struct Idempotency<'a> {
    credentials: Vec<&'a str>,
    methods: Vec<&'a str>,
    routes: Vec<&'a str>,
    keys: Vec<&'a str>,
    payload_hashes: Vec<&'a str>,
    outcomes: Vec<&'a str>,
    first_events: Vec<Option<i64>>,
    last_events: Vec<Option<i64>>,
    created_at: Vec<i64>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(batch: &[&'a Append]) -> Self {
        let mut columns = Self::default();
        for append in batch {
            let before = columns.events.sequences.len() as i64;
            append.events.iter().for_each(|event| columns.events.push(event));
            for (scope, value) in &append.released {
                columns.released.0.push(scope);
                columns.released.1.push(value);
            }
            append.claims.iter().for_each(|claim| columns.claims.push(claim));
            if let Some(new) = &append.idempotency {
                let after = columns.events.sequences.len() as i64;
                columns.idempotency.push(new, (after > before).then_some((before + 1, after)));
            }
        }
        columns
    }

    /// The call with all its arguments, in the order of the function's parameters.
    pub(super) fn bind(
        self,
        lock_timeout_ms: i64,
        clock_offset_ms: i64,
    ) -> QueryAs<'a, Postgres, Answer, PgArguments> {
        let query = sqlx::query_as(sql::postgres::APPEND).bind(lock_timeout_ms).bind(clock_offset_ms);
        let query = self.events.bind(query).bind(self.released.0).bind(self.released.1);
        self.idempotency.bind(self.claims.bind(query))
    }
}

type Query<'a> = QueryAs<'a, Postgres, Answer, PgArguments>;

impl<'a> Events<'a> {
    fn push(&mut self, event: &'a NewEvent) {
        self.aggregate_types.push(event.stream.kind.as_str());
        self.aggregate_ids.push(&event.stream.id);
        self.sequences.push(event.sequence as i64);
        self.event_types.push(&event.event_type);
        self.event_versions.push(&event.event_version);
        self.payloads.push(&event.payload);
        self.metadata.push(&event.metadata);
        self.guild_ids.push(event.guild.as_ref().map(GuildId::to_string));
    }

    fn bind(self, query: Query<'a>) -> Query<'a> {
        query
            .bind(self.aggregate_types)
            .bind(self.aggregate_ids)
            .bind(self.sequences)
            .bind(self.event_types)
            .bind(self.event_versions)
            .bind(self.payloads)
            .bind(self.metadata)
            .bind(self.guild_ids)
    }
}

impl<'a> Claims<'a> {
    fn push(&mut self, claim: &'a Claim) {
        self.scopes.push(&claim.scope);
        self.values.push(&claim.value);
        self.aggregate_types.push(claim.stream.kind.as_str());
        self.aggregate_ids.push(&claim.stream.id);
    }

    fn bind(self, query: Query<'a>) -> Query<'a> {
        query.bind(self.scopes).bind(self.values).bind(self.aggregate_types).bind(self.aggregate_ids)
    }
}

impl<'a> Idempotency<'a> {
    /// `events` is where the events of the row's command stand in the batch, from 1.
    fn push(&mut self, new: &'a NewIdempotency, events: Option<(i64, i64)>) {
        self.credentials.push(&new.key.credential);
        self.methods.push(&new.key.method);
        self.routes.push(&new.key.route);
        self.keys.push(&new.key.key);
        self.payload_hashes.push(&new.payload_hash);
        self.outcomes.push(&new.outcome);
        self.first_events.push(events.map(|(first, _)| first));
        self.last_events.push(events.map(|(_, last)| last));
        self.created_at.push(new.created_at.ms());
    }

    fn bind(self, query: Query<'a>) -> Query<'a> {
        query
            .bind(self.credentials)
            .bind(self.methods)
            .bind(self.routes)
            .bind(self.keys)
            .bind(self.payload_hashes)
            .bind(self.outcomes)
            .bind(self.first_events)
            .bind(self.last_events)
            .bind(self.created_at)
    }
}
