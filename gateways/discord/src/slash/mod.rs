//! Slash commands and buttons. A command asks a plain function for its reply and sends it, deferred if it takes long;
//! rights are looked at again on our side, whatever Discord lets through. Every reply is seen by its asker only.

mod check;
mod license;
pub(crate) mod register;
pub(crate) mod signed;
mod sync_me;

use std::sync::Arc;
use std::time::Duration;

use domain::guild::{Locale, StaffRole};
use domain::id::{DiscordId, GuildId};
use poise::serenity_prelude as serenity;

use crate::bot::Inner;
use crate::texts::{self, Texts};

/// After this long a reply is deferred: Discord waits for three seconds.
const DEFER_AFTER: Duration = Duration::from_millis(1_500);
/// What the id of our buttons begins with. It carries a version, because messages outlive releases.
const BUTTON: &str = "dca1";

type Data = Arc<Inner>;
type Error = Box<dyn std::error::Error + Send + Sync>;
type Ctx<'a> = poise::Context<'a, Data, Error>;

/// Who asks, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) guild: Option<GuildId>,
    pub(crate) user: DiscordId,
    pub(crate) locale: Locale,
    /// The interaction's id, which names it in logs.
    pub(crate) interaction: u64,
}

impl Asker {
    fn of(ctx: Ctx<'_>) -> Self {
        Self {
            guild: ctx.guild_id().map(|id| GuildId(id.get())),
            user: DiscordId(ctx.author().id.get()),
            locale: texts::locale(ctx.locale()),
            interaction: match ctx {
                poise::Context::Application(app) => app.interaction.id.get(),
                poise::Context::Prefix(_) => 0,
            },
        }
    }

    fn texts(&self) -> &'static Texts {
        texts::of(self.locale)
    }
}

/// What is answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) text: String,
    /// Id and label of each button.
    pub(crate) buttons: Vec<(String, String)>,
}

impl Reply {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), buttons: Vec::new() }
    }

    fn components(&self) -> Vec<serenity::CreateActionRow> {
        if self.buttons.is_empty() {
            return Vec::new();
        }
        let button =
            |(id, label): &(String, String)| serenity::CreateButton::new(id.as_str()).label(label.as_str());
        vec![serenity::CreateActionRow::Buttons(self.buttons.iter().map(button).collect())]
    }
}

/// Why there is no proper reply. The asker reads that it failed; the log says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(String);

impl From<projections::QueryError> for Failed {
    fn from(error: projections::QueryError) -> Self {
        Self(error.to_string())
    }
}

impl From<crate::sync::SyncError> for Failed {
    fn from(error: crate::sync::SyncError) -> Self {
        Self(error.to_string())
    }
}

type Answer = Result<Reply, Failed>;

/// The reply to a failure is a reply too.
fn reply_of(asker: &Asker, answer: Answer) -> Reply {
    answer.unwrap_or_else(|failed| {
        tracing::warn!(interaction = asker.interaction, error = %failed, "an interaction failed");
        let id = asker.interaction.to_string();
        Reply::text(texts::fill(asker.texts().failed, &[("id", &id)]))
    })
}

/// Sends the reply to a command, deferred if it is not there in time.
async fn answer(ctx: Ctx<'_>, work: impl Future<Output = Answer>) -> Result<(), Error> {
    let asker = Asker::of(ctx);
    let mut work = std::pin::pin!(work);
    let answer = tokio::select! {
        answer = &mut work => answer,
        () = tokio::time::sleep(DEFER_AFTER) => {
            ctx.defer_ephemeral().await?;
            work.await
        }
    };
    let reply = reply_of(&asker, answer);
    let message = poise::CreateReply::default()
        .content(reply.text.as_str())
        .components(reply.components())
        .allowed_mentions(serenity::CreateAllowedMentions::new())
        .ephemeral(true);
    ctx.send(message).await?;
    Ok(())
}

/// Whether somebody may administer a guild: by what is stored, and if that is not enough by what Discord says now.
/// What an interaction claims about its sender counts for nothing.
async fn is_admin(bot: &Inner, guild: GuildId, user: DiscordId) -> Result<bool, Failed> {
    let Some(facts) = bot.queries.guild(guild).await? else { return Ok(false) };
    let pseudonym = bot.pseudonym(user);
    let ranks = |roles| facts.guild.rank_of(&pseudonym, roles).is_some_and(|rank| rank >= StaffRole::Admin);
    let stored = bot.queries.member(guild, &pseudonym).await?;
    if let Some(member) = &stored
        && member.member.present
        && ranks(&member.member.roles)
    {
        return Ok(true);
    }
    match bot.ask(guild, user).await? {
        Some(sighting) if sighting.present => Ok(ranks(&sighting.roles)),
        _ => Ok(false),
    }
}

/// The framework with every command.
pub(crate) fn framework(bot: Data) -> poise::Framework<Data, Error> {
    poise::Framework::builder()
        .options(poise::FrameworkOptions {
            commands: all(),
            event_handler: |framework, event| Box::pin(event_handler(framework, event)),
            on_error: |error| Box::pin(on_error(error)),
            ..Default::default()
        })
        // Nothing here can fail: a setup that does leaves a bot that handles nothing.
        .setup(move |_, _, _| Box::pin(async move { Ok(bot) }))
        .initialize_owners(false)
        .build()
}

/// Every command, with its descriptions in every language.
fn all() -> Vec<poise::Command<Data, Error>> {
    let mut commands = vec![license(), setup(), sync()];
    for command in &mut commands {
        describe(command, None);
    }
    commands
}

/// Sets the descriptions of a command and of what stands below it.
fn describe(command: &mut poise::Command<Data, Error>, above: Option<&str>) {
    let path = above.map_or_else(|| command.name.to_string(), |above| format!("{above} {}", command.name));
    let about = |texts: &Texts| about(texts, &path);
    command.description = Some(about(&texts::EN).into());
    command.description_localizations = vec![("de".into(), about(&texts::DE).into())].into();
    for parameter in &mut command.parameters {
        parameter.description = Some(texts::EN.about_license_option.into());
        parameter.description_localizations =
            vec![("de".into(), texts::DE.about_license_option.into())].into();
    }
    for below in &mut command.subcommands {
        describe(below, Some(&path));
    }
}

fn about(texts: &Texts, path: &str) -> &'static str {
    match path {
        "license" => texts.about_license,
        "license list" => texts.about_license_list,
        "license show" => texts.about_license_show,
        "setup" => texts.about_setup,
        "setup check" => texts.about_setup_check,
        "sync" => texts.about_sync,
        _ => texts.about_sync_me,
    }
}

async fn event_handler(
    framework: poise::FrameworkContext<'_, Data, Error>,
    event: &serenity::FullEvent,
) -> Result<(), Error> {
    if let serenity::FullEvent::InteractionCreate { interaction: serenity::Interaction::Component(click) } =
        event
    {
        clicked(framework.user_data, framework.serenity_context, click).await?;
    }
    Ok(())
}

/// A button was pressed.
async fn clicked(
    bot: &Data,
    ctx: &serenity::Context,
    click: &serenity::ComponentInteraction,
) -> Result<(), Error> {
    let asker = Asker {
        guild: click.guild_id.map(|id| GuildId(id.get())),
        user: DiscordId(click.user.id.get()),
        locale: texts::locale(Some(&click.locale)),
        interaction: click.id.get(),
    };
    let answer = match click.data.custom_id.split(':').collect::<Vec<_>>()[..] {
        [BUTTON, "reveal", license] => license::reveal(bot, &asker, license).await,
        _ => Ok(Reply::text(asker.texts().not_found)),
    };
    let reply = reply_of(&asker, answer);
    let message = serenity::CreateInteractionResponseMessage::new()
        .content(reply.text.as_str())
        .components(reply.components())
        .allowed_mentions(serenity::CreateAllowedMentions::new())
        .ephemeral(true);
    click.create_response(ctx, serenity::CreateInteractionResponse::Message(message)).await?;
    Ok(())
}

async fn on_error(error: poise::FrameworkError<'_, Data, Error>) {
    let text = error.to_string();
    tracing::warn!(error = text, "an interaction could not be answered");
    if let Some(ctx) = error.ctx() {
        let asker = Asker::of(ctx);
        let reply = reply_of(&asker, Err(Failed(text)));
        let message = poise::CreateReply::default().content(reply.text).ephemeral(true);
        if let Err(error) = ctx.send(message).await {
            tracing::debug!(%error, "nor could that be said");
        }
    }
}

/// License commands.
#[poise::command(slash_command, guild_only, subcommands("list", "show"))]
async fn license(_: Ctx<'_>) -> Result<(), Error> {
    Ok(())
}

/// Lists licenses.
#[poise::command(slash_command, guild_only, ephemeral)]
async fn list(ctx: Ctx<'_>) -> Result<(), Error> {
    let asker = Asker::of(ctx);
    answer(ctx, license::list(ctx.data(), &asker)).await
}

/// Shows one license.
#[poise::command(slash_command, guild_only, ephemeral)]
async fn show(
    ctx: Ctx<'_>,
    #[description = "license"]
    #[autocomplete = "own_licenses"]
    license: Option<String>,
) -> Result<(), Error> {
    let asker = Asker::of(ctx);
    answer(ctx, license::show(ctx.data(), &asker, license.as_deref())).await
}

/// Setup commands.
#[poise::command(
    slash_command,
    guild_only,
    subcommands("check"),
    default_member_permissions = "MANAGE_GUILD"
)]
async fn setup(_: Ctx<'_>) -> Result<(), Error> {
    Ok(())
}

/// Checks the setup.
#[poise::command(slash_command, guild_only, ephemeral)]
async fn check(ctx: Ctx<'_>) -> Result<(), Error> {
    let asker = Asker::of(ctx);
    answer(ctx, check::check(ctx.data(), &asker)).await
}

/// Sync commands.
#[poise::command(slash_command, guild_only, subcommands("me"))]
async fn sync(_: Ctx<'_>) -> Result<(), Error> {
    Ok(())
}

/// Looks at the asker's own roles again.
#[poise::command(slash_command, guild_only, ephemeral)]
async fn me(ctx: Ctx<'_>) -> Result<(), Error> {
    let asker = Asker::of(ctx);
    answer(ctx, sync_me::sync(ctx.data(), &asker)).await
}

/// The asker's own licenses, as far as what was typed fits.
async fn own_licenses(ctx: Ctx<'_>, partial: &str) -> serenity::CreateAutocompleteResponse {
    let asker = Asker::of(ctx);
    let choices = license::choices(ctx.data(), &asker, partial).await.unwrap_or_else(|failed| {
        tracing::warn!(error = %failed, "no choices could be offered");
        Vec::new()
    });
    let choices = choices.into_iter().map(|(label, id)| serenity::AutocompleteChoice::new(label, id));
    serenity::CreateAutocompleteResponse::new().set_choices(choices.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_described_in_every_language() {
        fn walk(command: &poise::Command<Data, Error>, seen: &mut Vec<String>) {
            let description = command.description.as_deref().unwrap();
            assert!((1..=100).contains(&description.chars().count()), "{description}");
            let (locale, german) = &command.description_localizations[0];
            assert_eq!(locale, "de");
            assert_ne!(description, german);
            seen.push(description.to_owned());
            command.subcommands.iter().for_each(|below| walk(below, seen));
        }
        let mut seen = Vec::new();
        all().iter().for_each(|command| walk(command, &mut seen));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((seen.len(), count), (7, 7), "each has a description of its own");
    }
}
