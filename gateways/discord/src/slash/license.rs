//! `/license list`, `/license show` and its button: the asker's own licenses in this guild, and nobody else's.

use std::time::Duration;

use commands::{Context, Held, Rights};
use domain::event::Actor;
use domain::guild::Guild;
use domain::id::{GuildId, LicenseId};
use domain::license::{License, Stage, Status};
use domain::time::Timestamp;
use projections::{DeliveryState, LicenseFilter, Page};

use super::{Answer, Asker, BUTTON, Failed, Reply};
use crate::bot::Inner;
use crate::deliver::type_name;
use crate::texts::{Texts, fill};

/// Licenses that one reply lists.
const LISTED: usize = 15;
/// Choices that Discord shows.
const CHOICES: usize = 25;
/// Longest label of a choice.
const LABEL_MAX: usize = 100;
/// Longest wait for a read model that is late.
const SHOWN_WITHIN: Duration = Duration::from_millis(300);

/// Every license of the asker in a guild, newest first: live ones before ended ones.
async fn own(bot: &Inner, guild: GuildId, asker: &Asker) -> Result<Vec<License>, Failed> {
    let filter = LicenseFilter {
        guilds: Some(vec![guild]),
        owner: Some(bot.pseudonym(asker.user)),
        ..LicenseFilter::default()
    };
    // Who was just told of a license finds it. A read model that is late shows what it has.
    let _ = bot.queries.wait_for(bot.queries.head(), SHOWN_WITHIN).await;
    let page = bot.queries.licenses(&filter, Page::first(projections::PAGE_MAX), bot.now()).await?;
    let mut own: Vec<License> = page.data.iter().map(|facts| facts.license.clone()).collect();
    own.sort_by_key(|license| license.stage == Stage::Revoked);
    Ok(own)
}

async fn guild_of(bot: &Inner, asker: &Asker) -> Result<Option<(GuildId, Guild)>, Failed> {
    let Some(id) = asker.guild else { return Ok(None) };
    let facts = bot.queries.guild(id).await?;
    Ok(facts.map(|facts| (id, facts.guild.clone())))
}

/// The asker's licenses.
pub(super) async fn list(bot: &Inner, asker: &Asker) -> Answer {
    let texts = asker.texts();
    let Some((id, guild)) = guild_of(bot, asker).await? else { return Ok(Reply::text(texts.only_in_guild)) };
    let own = own(bot, id, asker).await?;
    if own.is_empty() {
        return Ok(Reply::text(texts.list_none));
    }
    let mut lines = vec![fill(texts.list_title, &[("guild", &crate::texts::name(&guild.name))])];
    lines.extend(own.iter().take(LISTED).map(|license| line(texts, &guild, license, bot.now())));
    if own.len() > LISTED {
        lines.push(fill(texts.list_more, &[("count", &(own.len() - LISTED).to_string())]));
    }
    Ok(Reply::text(lines.join("\n")))
}

fn line(texts: &Texts, guild: &Guild, license: &License, now: Timestamp) -> String {
    let (name, devices, end) =
        (type_name(guild, &license.license_type), device_count(license), end(texts, license));
    let status = status_text(texts, license, now);
    fill(texts.list_line, &[("type", &name), ("status", status), ("devices", &devices), ("end", &end)])
}

fn device_count(license: &License) -> String {
    let count = license.devices.len();
    license.terms.max_devices.map_or_else(|| count.to_string(), |max| format!("{count}/{max}"))
}

fn end(texts: &Texts, license: &License) -> String {
    match license.expires_at {
        Some(at) => fill(texts.show_expires, &[("at", &seconds(at))]),
        None => texts.show_perpetual.to_owned(),
    }
}

/// An instant as Discord shows it in everybody's own time.
pub(super) fn seconds(at: Timestamp) -> String {
    at.ms().div_euclid(1_000).to_string()
}

fn status_text(texts: &Texts, license: &License, now: Timestamp) -> &'static str {
    match license.status(now) {
        None | Some(Status::Generated) => texts.status_generated,
        Some(Status::Assigned) => texts.status_assigned,
        Some(Status::Activated) => texts.status_activated,
        Some(Status::Active) => texts.status_active,
        Some(Status::Renewed) => texts.status_renewed,
        Some(Status::Suspended) => texts.status_suspended,
        Some(Status::Expired) => texts.status_expired,
        Some(Status::Revoked) => texts.status_revoked,
    }
}

/// One license of the asker: the one that is named, or the only live one.
pub(super) async fn show(bot: &Inner, asker: &Asker, which: Option<&str>) -> Answer {
    let texts = asker.texts();
    let Some((id, guild)) = guild_of(bot, asker).await? else { return Ok(Reply::text(texts.only_in_guild)) };
    let own = own(bot, id, asker).await?;
    let license = match which {
        Some(text) => {
            let wanted = text.trim().parse::<LicenseId>().ok();
            own.iter().find(|license| Some(license.id) == wanted)
        }
        None => {
            let mut live = own.iter().filter(|license| license.stage != Stage::Revoked);
            match (live.next(), live.next()) {
                (None, _) => return Ok(Reply::text(texts.list_none)),
                (Some(only), None) => Some(only),
                (Some(_), Some(_)) => {
                    let mut lines = vec![texts.show_which.to_owned()];
                    let listed = own.iter().take(LISTED);
                    lines.extend(listed.map(|license| line(texts, &guild, license, bot.now())));
                    return Ok(Reply::text(lines.join("\n")));
                }
            }
        }
    };
    Ok(license
        .map_or_else(|| Reply::text(texts.not_found), |license| details(texts, &guild, license, bot.now())))
}

fn details(texts: &Texts, guild: &Guild, license: &License, now: Timestamp) -> Reply {
    let (name, server) = (type_name(guild, &license.license_type), crate::texts::name(&guild.name));
    let mut lines = vec![
        fill(texts.show_title, &[("type", &name), ("guild", &server)]),
        fill(texts.show_status, &[("status", status_text(texts, license, now))]),
    ];
    let count = license.devices.len().to_string();
    lines.push(match license.terms.max_devices {
        Some(max) => fill(texts.show_devices, &[("count", &count), ("max", &max.to_string())]),
        None => fill(texts.show_devices_any, &[("count", &count)]),
    });
    lines.push(end(texts, license));
    if let Some(at) = license.role_loss_ends_at {
        lines.push(fill(texts.show_role_loss, &[("at", &seconds(at))]));
    }
    let buttons = match license.stage {
        Stage::Revoked => Vec::new(),
        _ => vec![(format!("{BUTTON}:reveal:{}", license.id), texts.show_reveal.to_owned())],
    };
    Reply { text: lines.join("\n"), buttons }
}

/// The key of a license, for its owner. The button's id names a license; whose it is, is looked at here.
pub(super) async fn reveal(bot: &Inner, asker: &Asker, which: &str) -> Answer {
    let texts = asker.texts();
    let Some((id, guild)) = guild_of(bot, asker).await? else { return Ok(Reply::text(texts.only_in_guild)) };
    let Ok(license_id) = which.parse::<LicenseId>() else { return Ok(Reply::text(texts.not_found)) };
    let user = bot.pseudonym(asker.user);
    let facts = bot.queries.license(license_id).await?;
    let license = facts.as_ref().map(|facts| &facts.license);
    let own = license.filter(|license| {
        license.guild == Some(id) && license.owner.as_ref().is_some_and(|owner| owner.id == user)
    });
    let Some(license) = own else { return Ok(Reply::text(texts.not_found)) };
    if license.stage == Stage::Revoked {
        return Ok(Reply::text(texts.show_ended));
    }
    let mac = bot.commands.ring().as_ref();
    let key = domain::key::render(mac, &guild.settings.key_prefix, license.id, license.key)
        .ok_or_else(|| Failed("the key ring lacks the secret of this license".to_owned()))?;
    // Who saw the key, and when, is a fact of the license; it is written before the key is shown.
    let rights = Rights::Held(Held { account: Some(user.clone()), ..Held::default() });
    let context = Context { rights, ..bot.context(Actor::User(user.clone()), Some(id)) };
    let recorded = bot.commands.record_delivery(&context, license.id, "reveal", license.key).await;
    recorded.map_err(|error| Failed(error.to_string()))?;
    forget_delivery(bot, id, &user, license).await?;
    let name = type_name(&guild, &license.license_type);
    Ok(Reply::text(fill(texts.key_is, &[("type", &name), ("key", &key)])))
}

/// Whoever has seen his key needs no message with it any more.
async fn forget_delivery(
    bot: &Inner,
    guild: GuildId,
    user: &domain::id::Pseudonym,
    license: &License,
) -> Result<(), Failed> {
    let outbox = bot.queries.outbox();
    for delivery in outbox.of_user(guild, user).await? {
        if delivery.license == license.id && delivery.state == DeliveryState::Waiting {
            outbox.dropped(&delivery).await?;
        }
    }
    Ok(())
}

/// The asker's licenses as choices: label and id.
pub(super) async fn choices(
    bot: &Inner,
    asker: &Asker,
    partial: &str,
) -> Result<Vec<(String, String)>, Failed> {
    let Some((id, guild)) = guild_of(bot, asker).await? else { return Ok(Vec::new()) };
    let (texts, partial) = (asker.texts(), partial.to_lowercase());
    let own = own(bot, id, asker).await?;
    let label = |license: &License| {
        let known = guild.license_type(&license.license_type);
        let name = known.map_or(license.license_type.as_str(), |known| known.name.as_str());
        let status = status_text(texts, license, bot.now());
        let label = format!("{name} — {status} — {} — {}", device_count(license), license.id);
        let label: String = label.chars().take(LABEL_MAX).collect();
        (label, license.id.to_string())
    };
    let fitting = own.iter().map(label).filter(|(label, _)| label.to_lowercase().contains(&partial));
    Ok(fitting.take(CHOICES).collect())
}
