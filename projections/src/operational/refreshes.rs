//! What sessions are refreshed with, and sign-ins that are under way. No token stands here: a session has a number, which
//! rises with each new refresh token, and the tokens are computed from it. Nothing here ends a session.

use domain::id::SessionId;
use domain::time::{Span, Timestamp};

use super::parsed_text;
use crate::db::{Arg, Row, Sql};
use crate::error::QueryError;

const BEGIN: &str = "INSERT INTO session_refresh (session_id, generation, rotated_at, used_at) \
    VALUES ($1, 0, $2, $2) ON CONFLICT (session_id) DO NOTHING";
const ROTATE: &str = "UPDATE session_refresh SET generation = generation + 1, rotated_at = $3, used_at = $3 \
    WHERE session_id = $1 AND generation = $2 AND rotated_at <= $4 AND used_at > $5 \
    RETURNING generation, rotated_at, used_at";
const READ: &str = "SELECT generation, rotated_at, used_at FROM session_refresh WHERE session_id = $1";
const USED: &str = "SELECT session_id, used_at FROM session_refresh WHERE session_id {in:$1}";
const ATTEMPT: &str = "INSERT INTO sign_in_attempt (id, expires_at) VALUES ($1, $2)";
const TAKE: &str = "DELETE FROM sign_in_attempt WHERE id = $1 RETURNING expires_at";
const PRUNE_ATTEMPTS: &str = "DELETE FROM sign_in_attempt WHERE expires_at <= $1";
const PRUNE: &str = "DELETE FROM session_refresh WHERE used_at <= $1";

/// Every statement of this file.
pub(crate) const STATEMENTS: &[&str] = &[BEGIN, ROTATE, READ, USED, ATTEMPT, TAKE, PRUNE_ATTEMPTS, PRUNE];

/// How refresh tokens follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshRules {
    /// For so long after a token was replaced it is answered with the one that replaced it: tabs of one browser refresh at
    /// once (a deviation from RFC 9700 section 4.14.2, which other servers make too; zero is strict).
    pub grace: Span,
    /// A session that was not refreshed for so long is over.
    pub idle: Span,
}

/// What a refresh token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// The session goes on with the token of this number.
    Goes(u32),
    /// A later token has replaced it too long ago: two have it.
    Reused,
    /// The session was idle for too long.
    Idle,
    /// Nothing is known of it: it was pruned, or its database was put back.
    Unknown,
}

/// The rows. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Refreshes {
    sql: Sql,
}

impl Refreshes {
    pub(crate) fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// A session is about to start; its first token has the number 0.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn begin(&self, session: SessionId, now: Timestamp) -> Result<(), QueryError> {
        self.sql.run(BEGIN, &[Arg::Text(&session.to_string()), Arg::Int(now.ms())]).await?;
        Ok(())
    }

    /// Takes the token of number `presented`, and says with which one the session goes on. Of several that come at once
    /// one rotates, and all get the same answer.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer; it may have rotated all the same, and the same token
    /// is then good for the grace.
    pub async fn rotate(
        &self,
        session: SessionId,
        presented: u32,
        now: Timestamp,
        rules: RefreshRules,
    ) -> Result<Refreshed, QueryError> {
        let id = session.to_string();
        let before = |span: Span| now.ms().saturating_sub(span.ms());
        let (settled, idle) = (before(rules.grace), before(rules.idle));
        let args = [
            Arg::Text(&id),
            Arg::Int(i64::from(presented)),
            Arg::Int(now.ms()),
            Arg::Int(settled),
            Arg::Int(idle),
        ];
        if let Some(row) = self.sql.write(ROTATE, &args).await?.first() {
            return Ok(Refreshed::Goes(Standing::read(row)?.generation));
        }
        let Some(row) = self.sql.fetch_one(READ, &[Arg::Text(&id)]).await? else {
            return Ok(Refreshed::Unknown);
        };
        let standing = Standing::read(&row)?;
        Ok(match standing.generation.checked_sub(presented) {
            _ if standing.used_at <= idle => Refreshed::Idle,
            // It was replaced just now, or replaced another one just now: tabs that refresh at once meet here.
            Some(0) => Refreshed::Goes(standing.generation),
            Some(1) if standing.rotated_at > settled => Refreshed::Goes(standing.generation),
            Some(_) => Refreshed::Reused,
            None => Refreshed::Unknown,
        })
    }

    /// When these sessions were last refreshed; those of which nothing is known are left out.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] or [`QueryError::Damaged`].
    pub async fn used(&self, sessions: &[SessionId]) -> Result<Vec<(SessionId, Timestamp)>, QueryError> {
        let ids: Vec<String> = sessions.iter().map(SessionId::to_string).collect();
        let rows = self.sql.fetch(USED, &[Arg::List(&ids)]).await?;
        rows.iter().map(|row| Ok((parsed_text(row, 0, "session_refresh")?, Timestamp(row.int(1)?)))).collect()
    }

    /// Keeps a sign-in that is under way by a name that only its browser or program can tell again.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn sign_in_begun(&self, id: &str, expires_at: Timestamp) -> Result<(), QueryError> {
        self.sql.run(ATTEMPT, &[Arg::Text(id), Arg::Int(expires_at.ms())]).await?;
        Ok(())
    }

    /// Takes a sign-in that is under way: true once, for whoever is first.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn sign_in_taken(&self, id: &str, now: Timestamp) -> Result<bool, QueryError> {
        let rows = self.sql.write(TAKE, &[Arg::Text(id)]).await?;
        rows.first().map_or(Ok(false), |row| Ok(row.int(0)? > now.ms()))
    }

    /// Forgets sign-ins that nobody finished, and sessions that were not refreshed since `idle_since`.
    ///
    /// # Errors
    /// [`QueryError::Unavailable`] if the database does not answer.
    pub async fn prune(&self, now: Timestamp, idle_since: Timestamp) -> Result<(), QueryError> {
        self.sql.run(PRUNE_ATTEMPTS, &[Arg::Int(now.ms())]).await?;
        self.sql.run(PRUNE, &[Arg::Int(idle_since.ms())]).await?;
        Ok(())
    }
}

/// A row of `session_refresh`.
struct Standing {
    generation: u32,
    rotated_at: i64,
    used_at: i64,
}

impl Standing {
    fn read(row: &Row) -> Result<Self, QueryError> {
        let generation = u32::try_from(row.int(0)?)
            .map_err(|_| QueryError::Damaged("a row of session_refresh has no such number".to_owned()))?;
        Ok(Self { generation, rotated_at: row.int(1)?, used_at: row.int(2)? })
    }
}
