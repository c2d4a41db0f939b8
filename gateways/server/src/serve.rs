//! `dca-auth serve`: chooses the mode, takes the folder, opens the listener, runs the server until it is told to
//! stop. Every refusal names the flag or value that mends it.

use std::time::{Duration, Instant};

use crate::banner::{Place, banner};
use crate::config::Config;
use crate::failure::{Failure, Outcome};
use crate::folder::{Folder, Holder, Lock};
use crate::mode::{self, Asked, Mode};
use crate::output::say;
use crate::process::{self, Process, Purpose};
use crate::shutdown::Shutdown;

/// What others read while a server has the folder.
const COMMAND: &str = "serve";
/// How long a command that has the folder is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Serves until a signal comes.
///
/// # Errors
/// Whatever keeps it from serving.
pub(crate) async fn serve(config: &Config) -> Outcome<()> {
    let mode = mode::for_server(Asked {
        stated: config.mode,
        servers: config.names_servers(),
        token: config.discord.token.is_some(),
        data_dir: &config.data_dir,
    });
    check_address(config, mode)?;
    check_discord(config, mode)?;
    check_roles(config)?;
    let folder = Folder::new(&config.data_dir, mode);
    folder.create()?;
    let lock = lock(&folder).await?;
    let listener = process::listen(config.listen).await?;
    let shutdown = Shutdown::default();
    let closing = shutdown.listen(config.linger)?;
    let mut process =
        Process::start(config, lock, listener, Purpose::Serve, shutdown.draining.clone(), closing).await?;
    process.catch_up().await?;
    let simulator = process.simulator();
    let sign_in_link = process.sign_in_link().await?;
    let data = place(config, &folder);
    let place = Place { url: process.url(), data, mode, simulator, sign_in_link };
    say(&banner(&place, &process.assembled().commands).await?);
    process.open_doors(config).await?;
    tracing::info!(url = process.url(), mode = mode.as_str(), "serving");
    let served = process.served(config.drain).await;
    process.stop().await;
    tracing::info!("stopped");
    served
}

/// An address that others can reach needs TLS, here or in front, and never shows a demo.
fn check_address(config: &Config, mode: Mode) -> Outcome<()> {
    let address = config.listen;
    if address.ip().is_loopback() {
        return Ok(());
    }
    if mode == Mode::Demo {
        return Err(Failure::new(format!("a demo is not served on {address}, where others can reach it"))
            .help("Listen on a loopback address, for example --listen 127.0.0.1:8420, or serve live data with --mode live."));
    }
    if config.http.tls.is_none() && config.http.trusted_proxies.is_empty() {
        return Err(Failure::new(format!("{address} is not loopback, and keys and tokens would cross the network unencrypted"))
            .help("Give it a certificate with --tls-cert FILE --tls-key FILE, or put a reverse proxy that speaks TLS in front and \
                   state its addresses with --trusted-proxy CIDR, or listen on 127.0.0.1."));
    }
    Ok(())
}

/// A demo simulates Discord: it neither takes a token nor speaks with any other Discord.
fn check_discord(config: &Config, mode: Mode) -> Outcome<()> {
    if mode == Mode::Live {
        return Ok(());
    }
    if config.discord.token.is_some() {
        return Err(Failure::new("a demo simulates Discord, and a bot token is configured")
            .help("Unset DISCORD_TOKEN (discord.token) for the demo, or serve live data with --mode live."));
    }
    if config.discord.place.is_stand_in {
        return Err(Failure::new("a demo has a simulated Discord of its own, and another one is configured")
            .help("Leave discord.api_base, discord.oauth_base and discord.gateway_url out, or serve with --mode live."));
    }
    Ok(())
}

/// Roles part the work of several processes, which a file of SQLite does not have.
fn check_roles(config: &Config) -> Outcome<()> {
    if config.roles.is_whole() {
        return Ok(());
    }
    let names = config.roles.names().join(", ");
    if config.database.url.is_none() {
        return Err(Failure::new(format!(
            "this process would be {names} alone, and nobody else can open its SQLite file"
        ))
        .help("Leave --role out, or name a PostgreSQL with DATABASE_URL that all processes share."));
    }
    Ok(())
}

/// Takes the folder. A command that has it for a moment is waited for; another server is not.
async fn lock(folder: &Folder) -> Outcome<Lock> {
    let begin = Instant::now();
    loop {
        let Holder { pid, command } = match folder.lock(COMMAND)? {
            Ok(lock) => return Ok(lock),
            Err(holder) => holder,
        };
        let path = folder.path().display();
        if let Some(run) = folder.run() {
            return Err(Failure::new(format!("{path} is served already by process {pid}, at {}", run.url))
                .help("Use that server, stop it first, or name another folder with --data-dir."));
        }
        if begin.elapsed() > PATIENCE {
            return Err(Failure::new(format!("{path} is in use by process {pid} (`dca-auth {command}`)"))
                .help("Wait until that process has ended, or name another folder with --data-dir."));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn place(config: &Config, folder: &Folder) -> String {
    let path = std::path::absolute(folder.path()).unwrap_or_else(|_| folder.path().to_owned());
    match config.database.url {
        Some(_) => format!("PostgreSQL (keys and lock in {})", path.display()),
        None => path.display().to_string(),
    }
}
