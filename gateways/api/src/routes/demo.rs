//! `/_demo/…`: the simulated world. These addresses exist in the demo only.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use commands::ObserveMember;
use domain::id::{DiscordId, GuildId, RoleId};
use domain::time::Span;
use serde::{Deserialize, Serialize};

use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::query::Query;
use crate::extract::write::Write;
use crate::open;
use crate::render::instant::Instant;
use crate::render::license::LicenseBody;
use crate::render::{Audience, json};
use crate::state::ApiState;

#[derive(Serialize)]
struct Clock {
    now: Instant,
}

/// The time of the demo. It is no secret, and whoever mints a token has to know it first.
pub(crate) async fn clock(State(state): State<ApiState>, uri: Uri) -> Result<Response, ApiError> {
    Query::none(&uri)?;
    Ok(json(StatusCode::OK, &Clock { now: state.now().into() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Advance {
    advance: Span,
}

/// Moves the clock forward; due work has run when this answers.
pub(crate) async fn advance_clock(write: Write) -> Result<Response, ApiError> {
    write.principal.operator()?;
    let asked: Advance = write.json()?;
    if asked.advance.is_zero() {
        return Err(ApiError::impossible(
            "/advance",
            "must be longer than zero: the clock only moves forward",
        ));
    }
    let now = write.state.operator().advance_clock(asked.advance).await?;
    Ok(json(StatusCode::OK, &Clock { now: now.into() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Observe {
    guild_id: GuildId,
    user_id: DiscordId,
    roles: BTreeSet<RoleId>,
    #[serde(default)]
    present: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Observed<'a> {
    guild_id: GuildId,
    user_id: DiscordId,
    present: bool,
    roles: &'a BTreeSet<RoleId>,
    licenses: Vec<LicenseBody<'a>>,
}

/// Tells the server what Discord would: the roles of a member.
pub(crate) async fn observe(write: Write) -> Result<Response, ApiError> {
    write.principal.operator()?;
    write.state.operator().check_simulates()?;
    let asked: Observe = write.json()?;
    let simulated = asked.present.unwrap_or(true).then(|| asked.roles.iter().copied().collect());
    let order = ObserveMember {
        guild: asked.guild_id,
        user: asked.user_id,
        present: asked.present.unwrap_or(true),
        roles: asked.roles,
        guild_version: None,
        observed_at: write.now,
        withheld: BTreeSet::new(),
    };
    let context = write.context(Some(asked.guild_id), None);
    let seen = write.state.commands().observe(&context, order).await?;
    write.state.operator().simulate_member(asked.guild_id, asked.user_id, simulated);
    let opened = open::licenses(&write.state, &seen.licenses).await?;
    let body = |(license, personal)| LicenseBody::new(license, personal, Audience::Staff, write.now);
    let mut response = json(
        StatusCode::OK,
        &Observed {
            guild_id: asked.guild_id,
            user_id: asked.user_id,
            present: seen.member.present,
            roles: &seen.member.roles,
            licenses: seen.licenses.iter().zip(&opened).map(body).collect(),
        },
    );
    let at = seen.position.unwrap_or_else(|| write.state.queries().head());
    stamp(&write.state, &mut response, Some(seen.member.version), at);
    Ok(response)
}
