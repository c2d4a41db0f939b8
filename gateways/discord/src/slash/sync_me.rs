//! `/sync me`: asks Discord about the asker's roles and says what followed. It is a sighting like any other.

use std::collections::BTreeMap;

use domain::event::Actor;
use domain::license::{License, Stage};
use domain::member::Member;

use super::license::seconds;
use super::{Answer, Asker, Failed, Reply};
use crate::bot::Inner;
use crate::deliver::type_name;
use crate::egress::EgressError;
use crate::sync::SyncError;
use crate::texts::fill;

/// Looks at the asker's own roles again.
pub(super) async fn sync(bot: &Inner, asker: &Asker) -> Answer {
    let texts = asker.texts();
    let Some(guild) = asker.guild else { return Ok(Reply::text(texts.only_in_guild)) };
    // What another process changed a moment ago counts, too: somebody asks because he expects something.
    bot.queries.look().await?;
    let Some(facts) = bot.queries.guild(guild).await? else { return Ok(Reply::text(texts.sync_undecided)) };
    let user = bot.pseudonym(asker.user);
    let before = licenses(bot, bot.queries.member(guild, &user).await?.map(|facts| facts.member)).await?;
    let sighting = match bot.ask(guild, asker.user).await {
        Ok(Some(sighting)) => sighting,
        Ok(None) | Err(SyncError::Discord(EgressError::Unavailable(_) | EgressError::RateLimited { .. })) => {
            return Ok(Reply::text(texts.sync_undecided));
        }
        Err(error) => return Err(error.into()),
    };
    // Whatever was seen before, this time the command looks itself.
    bot.seen.forget_one((guild, asker.user));
    let taken = match bot.take(sighting, Actor::User(user.clone())).await {
        Ok(taken) => taken,
        Err(SyncError::Frozen | SyncError::Unregistered) => return Ok(Reply::text(texts.sync_undecided)),
        Err(error) => return Err(error.into()),
    };
    let member = bot.commands.load_member(guild, &user).await.map_err(|error| Failed(error.to_string()))?;
    let waits: Vec<String> = member
        .slots
        .iter()
        .filter(|(_, slot)| slot.open && !slot.sources.is_disjoint(&taken.held_back))
        .map(|(slug, _)| slug.clone())
        .collect();
    let after = licenses(bot, Some(member)).await?;
    let mut lines = Vec::new();
    let name = |slug: &str| type_name(&facts.guild, slug);
    for (slug, license) in &after {
        let same = before.get(slug).is_some_and(|known| known.id == license.id);
        if !same {
            lines.push(fill(texts.sync_granted, &[("type", &name(slug))]));
        } else if let Some(at) = license.role_loss_ends_at {
            lines.push(fill(texts.sync_grace, &[("type", &name(slug)), ("at", &seconds(at))]));
        }
    }
    let lost = before.keys().filter(|slug| !after.contains_key(*slug));
    lines.extend(lost.map(|slug| fill(texts.sync_lost, &[("type", &name(slug))])));
    lines.extend(waits.iter().map(|slug| fill(texts.sync_waits, &[("type", &name(slug))])));
    if lines.is_empty() {
        lines.push(texts.sync_done.to_owned());
    }
    Ok(Reply::text(lines.join("\n")))
}

/// The live licenses of a member's slots, by type.
async fn licenses(bot: &Inner, member: Option<Member>) -> Result<BTreeMap<String, License>, Failed> {
    let mut live = BTreeMap::new();
    for (slug, slot) in member.map(|member| member.slots).unwrap_or_default() {
        let facts = bot.queries.license(slot.license_id).await?;
        let license = facts.map(|facts| facts.license.clone());
        if let Some(license) =
            license.filter(|license| !matches!(license.stage, Stage::Absent | Stage::Revoked))
        {
            live.insert(slug, license);
        }
    }
    Ok(live)
}
