//! `POST /guilds/{g}/role-rules/preview`: what setting a rule, or changing the one that the role has, would do to the members
//! that are known. It is planned by the same function as the sweep that setting the rule starts; nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use axum::response::Response;
use commands::Refused;
use domain::aggregate::{Decide as _, Refuse};
use domain::guild::{Action, Command, Guild, RuleId, RuleSource};
use domain::id::{GuildId, LicenseId, RoleId};
use domain::license::License;
use domain::private::Unsealed;
use domain::roles::{self, LicenseAction, Observed, Plan};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use projections::{MemberFacts, PAGE_MAX, Page};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::role_rules::check_type;
use crate::answer::stamp;
use crate::error::ApiError;
use crate::extract::access;
use crate::extract::path::PathIds;
use crate::extract::write::Write;
use crate::openapi::types as doc;
use crate::render::json;
use crate::state::ApiState;

/// Members that are named.
const SAMPLE_MAX: usize = 20;
/// Members that are looked at.
const LOOKED_MAX: usize = 20_000;
/// Members whose licenses are loaded at once.
const LOADS: usize = 8;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RulePreviewRequest)]
struct Preview {
    #[schema(value_type = doc::Snowflake)]
    role_id: RoleId,
    r#type: String,
}

/// What would happen.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RulePreview)]
struct PreviewBody {
    /// Members who would get a license, or get one back.
    issue: usize,
    /// Members who would lose one, after its grace if it has one.
    lose: usize,
    /// Members for whom nothing would follow.
    unchanged: usize,
    sample: Vec<Effect>,
    /// The rule that would be changed; `null`: a new one would be made.
    #[schema(value_type = Option<Uuid>)]
    rule_id: Option<RuleId>,
    picture: Picture,
}

/// What would happen to one member: slugs of types.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RuleEffect)]
struct Effect {
    #[schema(value_type = doc::Person)]
    user_id: String,
    issue: BTreeSet<String>,
    lose: BTreeSet<String>,
}

/// What the counts are made from.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RulePicture)]
struct Picture {
    /// Members that were looked at.
    members: usize,
    /// Whether everybody who has the role is known to have it.
    complete: bool,
    /// Why not.
    limit: Option<String>,
}

/// The guild as it is, and as it would be.
struct Rules {
    now: Guild,
    then: Guild,
    role: RoleId,
    /// The rule that is set or changed.
    rule: RuleId,
}

/// Tells what setting a rule would do; nothing is written.
#[utoipa::path(
    post,
    path = "/guilds/{guild}/role-rules/preview",
    operation_id = "role_rules_preview",
    tag = "Role rules",
    request_body = Preview,
    responses((status = 200, body = PreviewBody)),
)]
pub(crate) async fn preview(ids: PathIds, write: Write) -> Result<Response, ApiError> {
    let asked: Preview = write.json()?;
    let id: GuildId = ids.id("guild", "guild")?;
    let facts = access::guild(&write.state, &write.principal, id, access::MANAGE).await?;
    check_type(&facts.guild, &asked.r#type)?;
    let rules = Rules::new(&facts.guild, asked.role_id, asked.r#type, &write)?;
    write.listed().await?;
    let known = facts.guild.rules.contains_key(&rules.rule);
    let mut body = PreviewBody { rule_id: known.then_some(rules.rule), ..PreviewBody::default() };
    let mut page = Page::first(PAGE_MAX);
    let is_cut = loop {
        let found = write.state.queries().members(id, page).await?;
        rules.look(&write, &found.data, &mut body).await?;
        match found.next {
            None => break false,
            Some(_) if body.picture.members >= LOOKED_MAX => break true,
            next => page = Page { limit: PAGE_MAX, cursor: next },
        }
    };
    body.picture.limit = rules.limit(is_cut);
    body.picture.complete = body.picture.limit.is_none();
    let mut response = json(StatusCode::OK, &body);
    stamp(&write.state, &mut response, Some(facts.guild.version), write.state.queries().checkpoint());
    Ok(response)
}

impl Rules {
    /// Lets the guild itself decide, so that what it would refuse is refused here.
    fn new(guild: &Guild, role: RoleId, license_type: String, write: &Write) -> Result<Self, ApiError> {
        let source = RuleSource::Role { role_id: role };
        let known = guild.active_rules().find(|rule| rule.source == source).map(|rule| rule.id);
        let rule = known.unwrap_or_else(|| RuleId(Uuid::new_v4()));
        let action = Action::SetRule { id: rule, source, license_type };
        let decided = guild.decide(&Command { now: write.now, action });
        let events = decided.map_err(|refusal| refused(&refusal))?;
        let mut then = guild.clone();
        events.iter().for_each(|event| then.evolve(event));
        Ok(Self { now: guild.clone(), then, role, rule })
    }

    async fn look(
        &self,
        write: &Write,
        members: &[MemberFacts],
        body: &mut PreviewBody,
    ) -> Result<(), ApiError> {
        let effects: Vec<_> = members.iter().map(|facts| self.effect(write, facts)).collect();
        let effects: Vec<Option<Effect>> = stream::iter(effects).buffered(LOADS).try_collect().await?;
        body.picture.members += effects.len();
        for effect in effects {
            let Some(effect) = effect else {
                body.unchanged += 1;
                continue;
            };
            body.issue += usize::from(!effect.issue.is_empty());
            body.lose += usize::from(!effect.lose.is_empty());
            if body.sample.len() < SAMPLE_MAX {
                body.sample.push(effect);
            }
        }
        Ok(())
    }

    /// What would happen to a member that would not happen anyway; `None` if that is nothing.
    async fn effect(&self, write: &Write, facts: &MemberFacts) -> Result<Option<Effect>, ApiError> {
        let member = &facts.member;
        let has_source = member.slots.values().any(|slot| slot.sources.contains(&self.rule));
        if !member.roles.contains(&self.role) && !has_source {
            return Ok(None);
        }
        let Some(person) = &member.person else { return Ok(None) };
        let licenses = licenses(&write.state, facts).await?;
        let withheld = BTreeSet::new();
        let observed = Observed { present: member.present, roles: &member.roles, withheld: &withheld };
        let mac = write.state.mac();
        let planned = |guild| roles::plan(mac, guild, member, &person.id, &licenses, observed, write.now);
        let (now, then) = (planned(&self.now), planned(&self.then));
        let only_then = |pick: fn(&LicenseAction) -> Option<Touched<'_>>| {
            let before = slugs(&now, pick, &licenses);
            slugs(&then, pick, &licenses).difference(&before).cloned().collect::<BTreeSet<String>>()
        };
        let (issue, lose) = (only_then(given), only_then(taken));
        if issue.is_empty() && lose.is_empty() {
            return Ok(None);
        }
        let user_id = facts.discord_id.as_ref().map_or("erased", Unsealed::shown).to_owned();
        Ok(Some(Effect { user_id, issue, lose }))
    }

    /// Why the picture may be incomplete.
    fn limit(&self, is_cut: bool) -> Option<String> {
        if !self.now.present {
            return Some("the bot is not in this server, so no rule has an effect".to_owned());
        }
        if !self.now.relevant_roles().contains(&self.role) {
            let why = "who has this role is not known before a rule maps it: of a member's roles only mapped ones and those \
                that administer the server are kept, and members without any are not kept at all. The sweep that \
                setting the rule starts asks Discord; `issue` counts too few until then";
            return Some(why.to_owned());
        }
        is_cut.then(|| format!("only the first {LOOKED_MAX} members were looked at"))
    }
}

fn refused(refusal: &dyn Refuse) -> Refused {
    Refused {
        code: refusal.code().into(),
        detail: refusal.to_string(),
        help: refusal.help(),
        items: Vec::new(),
        again_at: refusal.again_at(),
    }
}

/// The licenses in the slots of a member.
async fn licenses(state: &ApiState, facts: &MemberFacts) -> Result<BTreeMap<LicenseId, License>, ApiError> {
    let mut licenses = BTreeMap::new();
    for id in roles::slot_licenses(&facts.member) {
        let found = state.queries().license(id).await?;
        licenses.insert(id, found.map(|found| found.license.clone()).unwrap_or_default());
    }
    Ok(licenses)
}

/// What a planned action is about.
enum Touched<'a> {
    Type(&'a str),
    License(LicenseId),
}

fn given(action: &LicenseAction) -> Option<Touched<'_>> {
    match action {
        LicenseAction::Generate { license_type, .. } => Some(Touched::Type(license_type)),
        LicenseAction::Resume(id) | LicenseAction::Renew(id) | LicenseAction::EndRoleLoss(id) => {
            Some(Touched::License(*id))
        }
        LicenseAction::StartRoleLoss(_) | LicenseAction::Suspend(_) | LicenseAction::Revoke(_) => None,
    }
}

fn taken(action: &LicenseAction) -> Option<Touched<'_>> {
    match action {
        LicenseAction::StartRoleLoss(id) | LicenseAction::Suspend(id) | LicenseAction::Revoke(id) => {
            Some(Touched::License(*id))
        }
        LicenseAction::Generate { .. }
        | LicenseAction::Resume(_)
        | LicenseAction::Renew(_)
        | LicenseAction::EndRoleLoss(_) => None,
    }
}

/// The types of what a plan gives or takes.
fn slugs(
    plan: &Plan,
    pick: fn(&LicenseAction) -> Option<Touched<'_>>,
    licenses: &BTreeMap<LicenseId, License>,
) -> BTreeSet<String> {
    let named = plan.licenses.iter().filter_map(pick).filter_map(|touched| match touched {
        Touched::Type(slug) => Some(slug),
        Touched::License(id) => licenses.get(&id).map(|license| license.license_type.as_str()),
    });
    named.map(str::to_owned).collect()
}
