//! `/setup check`: what is set up in this guild, what is missing, and what to do about it. It changes nothing.

use super::license::seconds;
use super::{Answer, Asker, Reply, is_admin};
use crate::bot::Inner;
use crate::deliver::{DMS_STOPPED, type_name};
use crate::texts::{self, fill};

/// The checklist.
pub(super) async fn check(bot: &Inner, asker: &Asker) -> Answer {
    let texts = asker.texts();
    let Some(guild) = asker.guild else { return Ok(Reply::text(texts.only_in_guild)) };
    if !is_admin(bot, guild, asker.user).await? {
        return Ok(Reply::text(texts.not_allowed));
    }
    let Some(facts) = bot.queries.guild(guild).await? else { return Ok(Reply::text(texts.sync_undecided)) };
    let facts = &facts.guild;
    let mut lines = vec![fill(texts.check_title, &[("guild", &texts::name(&facts.name))])];
    lines.push(texts.check_registered.to_owned());
    lines.push(if bot.config.member_intent { texts.check_intent } else { texts.check_intent_off }.to_owned());
    let rules = facts.active_rules().count();
    lines.push(match rules {
        0 => texts.check_no_rules.to_owned(),
        _ => fill(texts.check_roles, &[("count", &rules.to_string())]),
    });
    if let Some(known) = bot.guilds.usable(guild) {
        let blind = known.blind_rules(facts);
        let broken = facts.active_rules().filter(|rule| blind.contains(&rule.id));
        lines.extend(
            broken.map(|rule| fill(texts.check_broken, &[("type", &type_name(facts, &rule.license_type))])),
        );
    }
    lines.push(match (facts.settings.log_channel_id, bot.status().silent_channels.get(&guild)) {
        (None, _) => texts.check_log_none.to_owned(),
        (Some(_), Some(why)) => fill(texts.check_log_silent, &[("why", &texts::name(why))]),
        (Some(channel), None) => fill(texts.check_log, &[("channel", &channel.to_string())]),
    });
    let stopped = bot.queries.bot_state().note(DMS_STOPPED).await?.is_some();
    lines.push(if stopped { texts.check_dms_stopped } else { texts.check_dms }.to_owned());
    let sweep = bot.status().sweeps.get(&guild).cloned();
    lines.push(match sweep {
        None => texts.check_sweep_none.to_owned(),
        Some(sweep) => match sweep.problem {
            Some(why) => fill(texts.check_sweep_failed, &[("why", &texts::name(&why))]),
            None => {
                let values = [("count", &*sweep.members.to_string()), ("at", &*seconds(sweep.at))];
                fill(texts.check_sweep, &values)
            }
        },
    });
    let held = bot.queries.held_removals().of_guild(guild).await?;
    let held = held.iter().filter(|row| !row.confirmed).count();
    if held > 0 {
        lines.push(fill(texts.check_held, &[("count", &held.to_string())]));
    }
    Ok(Reply::text(lines.join("\n")))
}
