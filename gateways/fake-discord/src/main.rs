//! The stand-in as a program of its own: starts one, says how to point a bot at it, and ends with a signal.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fake_discord::{FakeDiscord, LOCAL_CLIENT_SECRET, Settings};

/// Discord on this machine: REST, gateway, OAuth2 and a control API.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Loopback address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The bot token that is accepted.
    #[arg(long, default_value = "fake-bot-token")]
    token: String,
    /// The client secret that OAuth2 accepts.
    #[arg(long, default_value = LOCAL_CLIENT_SECRET)]
    client_secret: String,
    /// File for what shall survive a restart.
    #[arg(long)]
    state: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")))
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "fake-discord: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { listen, token, client_secret, state } = arguments;
    let settings = Settings { listen, client_secret, state_file: state, ..Settings::local(token) };
    let fake = FakeDiscord::start(settings).await?;
    write!(std::io::stdout(), "{}", greeting(&fake))?;
    std::io::stdout().flush()?;
    wait_for_end().await?;
    fake.stop().await;
    Ok(())
}

fn greeting(fake: &FakeDiscord) -> String {
    let url = fake.url();
    format!(
        "{url}\n\
         Point a bot at it: API base {url}/api/v10, gateway {}, OAuth2 {url}/oauth2/authorize.\n\
         Application {}, bot {}. Play the people through {url}/_control; begin with\n  \
         curl -X POST {url}/_control/guilds -d '{{\"name\":\"Test\"}}'\n",
        fake.gateway_url(),
        fake.application_id(),
        fake.bot_id(),
    )
}

#[cfg(unix)]
async fn wait_for_end() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn wait_for_end() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
