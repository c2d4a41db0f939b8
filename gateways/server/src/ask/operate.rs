//! The operator's commands: status, keys, tokens, the demo's clock and members, verify, rebuild and export.

use client::Method;
use domain::id::DiscordId;
use serde_json::{Value, json};

use super::{Ask, audit, encoded, file, object, page, query, rows, text, unsound};
use crate::cli::{
    Admin, Apikey, ClockCommand, Command, DiscordCommand, Export, Guild, Job, KeyKind, Member, Removals,
    Verify,
};
use crate::config::Config;
use crate::door::{self, Door};
use crate::failure::{Failure, Outcome};
use crate::folder::Folder;
use crate::mode::Mode;
use crate::output::{Format, answer, cell, table};
use crate::role::Roles;

/// What others read while a command has the folder.
pub(super) fn name(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) => "serve",
        Command::Status => "status",
        Command::Apikey(_) => "apikey",
        Command::Admin(_) => "admin",
        Command::Clock(_) => "clock",
        Command::Member(_) => "member",
        Command::License(_) => "license",
        Command::Guild(_) => "guild",
        Command::Discord(_) => "discord",
        Command::Removals(_) => "removals",
        Command::Job(_) => "job",
        Command::Keys(_) => "keys",
        Command::Verify(_) => "verify",
        Command::Export(_) => "export",
        Command::Audit(_) => "audit",
        Command::Import(_) => "import",
        Command::Rebuild { .. } => "rebuild",
        Command::Config(_) => "config",
        Command::Migrate => "migrate",
        Command::Healthcheck => "healthcheck",
        Command::Bench(_) => "bench",
    }
}

/// The commands that need no request to an open store; `None` for all others.
pub(super) async fn without_request(
    config: &Config,
    command: &Command,
    format: Format,
) -> Option<Outcome<()>> {
    match command {
        Command::Admin(Admin::Token { user }) => Some(token(config, user.as_deref(), format).await),
        Command::Admin(Admin::SignInLink) => Some(sign_in_link(config, format).await),
        Command::Migrate => Some(migrate(config, format).await),
        Command::Healthcheck => Some(healthcheck(config, format).await),
        Command::Verify(Verify { checkpoint: Some(file), .. }) => {
            Some(audit::compare(config, file, format).await)
        }
        Command::Export(Export::Audit { guild, out }) => {
            Some(audit::export(config, guild, out.as_deref(), format).await)
        }
        Command::Import(asked) => Some(file::import(config, asked, format).await),
        Command::Export(Export::Licenses(asked)) => Some(file::licenses(config, asked, format).await),
        _ => None,
    }
}

/// The request that a command stands for.
pub(super) fn ask(command: Command) -> Outcome<Ask> {
    Ok(match command {
        Command::Status => Ask::get("/_admin/status", status),
        Command::Audit(asked) => audit::list(asked),
        Command::Apikey(Apikey::Issue { guild, kind, scopes, name }) => {
            let kind = match kind {
                KeyKind::Publishable => "publishable",
                KeyKind::Secret => "secret",
            };
            let body = object(&[
                ("kind", Some(kind.into())),
                ("scopes", scopes.map(|list| json!(list))),
                ("name", text(name)),
            ]);
            Ask::post(format!("/guilds/{}/api-keys", encoded(&guild)), body, |body| cell(body, "/key"))
        }
        Command::Admin(Admin::Grant { user, role, reason }) => {
            platform_role(&user, Value::String(role), reason)
        }
        Command::Admin(Admin::Revoke { user, reason }) => platform_role(&user, Value::Null, reason),
        Command::Clock(ClockCommand::Advance { duration }) => {
            Ask::post("/_demo/clock", json!({ "advance": duration }), |body| {
                format!("it is now {}", cell(body, "/now"))
            })
        }
        Command::Member(Member::Observe { guild, user, roles, left }) => {
            let roles: Vec<String> = roles.into_iter().filter(|role| !role.is_empty()).collect();
            let body = json!({ "guildId": guild, "userId": user, "roles": roles, "present": !left });
            Ask::post("/_demo/members/observe", body, member)
        }
        Command::Guild(Guild::Show { id, as_of }) => {
            Ask::get(format!("/guilds/{}{}", encoded(&id), query(&[("asOf", as_of)])), super::license::shown)
        }
        Command::Guild(Guild::Diff(between)) => super::license::diff("guilds", between),
        Command::Discord(DiscordCommand::Resume) => Ask {
            body: None,
            ..Ask::post("/_admin/discord/resume", Value::Null, |_| "the bot goes on".to_owned())
        },
        Command::Removals(Removals::List { guild, limit, cursor }) => {
            let query = query(&[("limit", limit.map(|limit| limit.to_string())), ("cursor", cursor)]);
            Ask::get(format!("/guilds/{}/held-removals{query}", encoded(&guild)), removals)
        }
        Command::Removals(Removals::Confirm { batch, guild }) => {
            let path = format!("/guilds/{}/held-removals/{}/confirm", encoded(&guild), encoded(&batch));
            let done = |body: &Value| format!("{} removals happen now", cell(body, "/confirmed"));
            Ask { body: None, ..Ask::post(path, Value::Null, done) }
        }
        Command::Job(Job::Run { name }) => {
            let path = format!("/_admin/jobs/{}/run", encoded(&name));
            Ask { body: None, ..Ask::post(path, Value::Null, Value::to_string) }
        }
        Command::Verify(_) => Ask {
            verdict: sound,
            body: None,
            ..Ask::post("/_admin/verify", Value::Null, crate::verify::lines)
        },
        Command::Rebuild { name } => {
            Ask::post("/_admin/rebuild", json!({ "name": name }), crate::verify::rebuilt)
        }
        other => return Err(Failure::usage(format!("`{}` is no request", name(&other)))),
    })
}

fn status(body: &Value) -> String {
    let line = |what: &str, pointer: &str| vec![what.to_owned(), cell(body, pointer)];
    table(
        &["", ""],
        &[
            vec!["address".to_owned(), body["url"].as_str().unwrap_or("no server runs").to_owned()],
            line("version", "/version"),
            line("mode", "/mode"),
            line("position", "/position"),
            vec!["roles".to_owned(), names(&body["roles"])],
            line("store", "/engine/store"),
            line("bus", "/engine/bus"),
            line("cache", "/engine/cache"),
            line("discord", "/discord"),
        ],
    )
    .trim_start()
    .to_owned()
}

fn names(list: &Value) -> String {
    let names: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.join(", ")
}

fn member(body: &Value) -> String {
    let licenses = body["licenses"].as_array().map_or(0, Vec::len);
    format!("observed; {licenses} licenses of this member come from roles")
}

fn sound(body: &Value) -> Outcome<()> {
    if body["ok"].as_bool() == Some(true) {
        return Ok(());
    }
    Err(unsound("the log or a read model is not as it should be").help(
        "A read model that differs is mended by `dca-auth rebuild NAME`; a log that is damaged, or not as it was sealed, \
         needs a backup.",
    ))
}

fn platform_role(user: &str, role: Value, reason: Option<String>) -> Ask {
    let body = object(&[("role", Some(role)), ("reason", text(reason))]);
    let path = format!("/admin/users/{}/role", encoded(user));
    Ask {
        method: Method::Put,
        ..Ask::post(path, body, |body| match body["platformRole"].as_str() {
            Some(role) => format!("{} is {role} of the platform", cell(body, "/id")),
            None => format!("{} has no role on the platform", cell(body, "/id")),
        })
    }
}

/// The link names the address of the server that people reach, so one has to run.
async fn sign_in_link(config: &Config, format: Format) -> Outcome<()> {
    let folder = door::folder(config)?;
    if !folder.is_held() || folder.run().is_none() {
        return Err(Failure::new(format!("no server runs on {}", folder.path().display()))
            .help("Start it with `dca-auth`; it prints the link by itself."));
    }
    let door = Door::open(config, "admin").await?;
    let asked = door.call(Method::Get, "/_admin/sign-in-link", None).await;
    door.close().await;
    let body = asked?.body;
    if body["url"].is_string() {
        answer(format, &body, |body| cell(body, "/url"));
        return Ok(());
    }
    let (what, help) = match body["canSignIn"].as_bool() {
        Some(true) => {
            ("the platform has an owner, so there is no link", "`dca-auth admin grant` makes another one.")
        }
        _ => (
            "nobody can sign in: this server has no Discord application",
            "Set DISCORD_CLIENT_ID and DISCORD_CLIENT_SECRET and start it again.",
        ),
    };
    Err(Failure::refused(what).help(help))
}

/// Minted from the ring, so that it works without any server; a running one tells its clock.
async fn token(config: &Config, user: Option<&str>, format: Format) -> Outcome<()> {
    let folder = door::folder(config)?;
    let subject = match user {
        None => api::token::OPERATOR.to_owned(),
        Some(_) if folder.mode() == Mode::Live => {
            return Err(Failure::refused("tokens of other people are made in the demo only")
                .help("Leave --user out for the platform owner's own token."));
        }
        Some(user) => {
            let account: DiscordId =
                user.parse().map_err(|error| Failure::usage(format!("--user: {error}")))?;
            account.to_string()
        }
    };
    let token = door::token_now(config, &folder, &subject).await?;
    answer(format, &json!({ "accessToken": token }), |body| cell(body, "/accessToken"));
    Ok(())
}

/// What a first start does to a database, without serving: for deployments whose processes share a ring. Live data, unless
/// a mode is stated.
async fn migrate(config: &Config, format: Format) -> Outcome<()> {
    let folder = Folder::new(&config.data_dir, config.mode.unwrap_or(Mode::Live));
    folder.create()?;
    let _lock = folder.lock("migrate")?.map_err(|holder| {
        Failure::refused(format!("{} is in use by process {}", folder.path().display(), holder.pid))
            .help("A server migrates its database when it starts; there is nothing more to do.")
    })?;
    let opened = crate::assemble::open(config, &Roles::all(), &folder).await?;
    let (store, mode) = (opened.engine.store, folder.mode().as_str());
    let ring = crate::keys::path(config, &folder);
    answer(format, &json!({ "migrated": true, "store": store, "mode": mode, "ring": ring }), |_| {
        format!("the {store} database is up to date, in {mode} mode; its key ring is {}", ring.display())
    });
    Ok(())
}

async fn healthcheck(config: &Config, format: Format) -> Outcome<()> {
    let folder = door::folder(config)?;
    let Some(run) = folder.run().filter(|_| folder.is_held()) else {
        return Err(unsound(format!("no server runs on {}", folder.path().display()))
            .help("Start it with `dca-auth`."));
    };
    door::is_ready(&run).await?;
    answer(format, &json!({ "ready": true, "url": run.url }), |_| format!("ready at {}", run.url));
    Ok(())
}

fn removals(body: &Value) -> String {
    let members = ["/batch", "/userId", "/type", "/since", "/confirmed"];
    let rows: Vec<Vec<String>> =
        rows(body).iter().map(|one| members.iter().map(|member| cell(one, member)).collect()).collect();
    page(body, table(&["BATCH", "MEMBER", "TYPE", "SINCE", "CONFIRMED"], &rows))
}
