//! How a command reaches the data: through the running server, or, where none runs, through a server inside the
//! command's own process that lives as long as the command. Either way the command speaks HTTP with the platform
//! owner's token, which whoever can read the key ring can mint; so there is one path for every effect.

use std::time::{Duration, Instant};

use client::{Answer, Client, Credential, Download, Method};
use data_encoding::BASE64;
use domain::time::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::assemble;
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::folder::{Folder, Holder, Lock, Run};
use crate::keys;
use crate::mode::{self, Asked, Mode};
use crate::process::{self, Process, Purpose};
use crate::role::Roles;

/// How long a command waits for whoever holds the folder: another command, or a server that is still starting.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time of a question without a credential.
const VISIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of one call. Rebuilding and verifying a large log take long.
const CALL_TIMEOUT: Duration = Duration::from_secs(3600);

/// The way to the data.
pub(crate) struct Door {
    client: Client,
    /// What the server says about itself.
    run: Run,
    /// The server inside this process, if none runs elsewhere.
    local: Option<Process>,
}

/// Who has the folder.
enum Found {
    Free(Lock),
    Served(Run),
}

impl Door {
    /// Finds the server, or becomes one. `command` is what others read while they wait.
    ///
    /// # Errors
    /// If there is no data, or somebody keeps the folder for too long.
    pub(crate) async fn open(config: &Config, command: &str) -> Outcome<Self> {
        let folder = folder(config)?;
        match find(&folder, command).await? {
            Found::Served(run) => {
                let now = time_at(&run, folder.mode()).await?;
                let token = token(config, &folder, api::token::OPERATOR, now)?;
                Ok(Self { client: connect(&run, token)?, run, local: None })
            }
            Found::Free(lock) => {
                let listener = process::listen(([127, 0, 0, 1], 0).into()).await?;
                let end = CancellationToken::new();
                let mut process =
                    Process::start(config, lock, listener, Purpose::Command, end.clone(), end).await?;
                process.catch_up().await?;
                process.open_doors(config).await?;
                let token = token(config, &folder, api::token::OPERATOR, process.assembled().clock.now())?;
                let run = process::run(process.url());
                Ok(Self { client: connect(&run, token)?, run, local: Some(process) })
            }
        }
    }

    /// One call, and what it answered.
    ///
    /// # Errors
    /// The server's refusal, with its code.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Outcome<Answer> {
        self.client.call(method, path, body).await.map_err(failure)
    }

    /// A file sent whole, and what was answered.
    ///
    /// # Errors
    /// The server's refusal, with its code.
    pub(crate) async fn upload(&self, path: &str, kind: &str, file: Vec<u8>) -> Outcome<Answer> {
        self.client.upload(path, kind, file).await.map_err(failure)
    }

    /// A body that may be large, in a form (a media type).
    ///
    /// # Errors
    /// The server's refusal, with its code.
    pub(crate) async fn download(&self, path: &str, form: &str) -> Outcome<Download> {
        self.client.download(path, form).await.map_err(failure)
    }

    /// Where the server answers.
    pub(crate) fn url(&self) -> &str {
        self.client.base()
    }

    /// A client of the same server with an API key.
    ///
    /// # Errors
    /// If the key is no plain text.
    pub(crate) fn with_key(&self, api_key: &str) -> Outcome<Client> {
        client(&self.run, Credential::ApiKey(api_key.to_owned()), CALL_TIMEOUT)
    }

    /// Waits until reads show everything up to `position`.
    ///
    /// # Errors
    /// If they do not get there in time.
    pub(crate) async fn settle(&self, position: Option<&str>) -> Outcome<()> {
        if position.is_none() {
            return Ok(());
        }
        let (reader, begin) = (self.client.after(position), Instant::now());
        loop {
            match reader.call(Method::Get, "/licenses?limit=1", None).await {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some("READ_MODEL_BEHIND") && begin.elapsed() < PATIENCE => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => {
                    let failure = failure(error);
                    return Err(Failure::new(format!(
                        "the change is done, and reading it back failed: {}",
                        failure.what()
                    ))
                    .help("It is in the log; read again in a moment."));
                }
            }
        }
    }

    /// Closes what was opened.
    pub(crate) async fn close(self) {
        if let Some(process) = self.local {
            process.stop().await;
        }
    }
}

/// The folder that a command works on.
///
/// # Errors
/// If there is none, or it is not clear which.
pub(crate) fn folder(config: &Config) -> Outcome<Folder> {
    let mode = mode::for_command(Asked {
        stated: config.mode,
        servers: config.names_servers(),
        token: config.discord.token.is_some(),
        data_dir: &config.data_dir,
    })?;
    Ok(Folder::new(&config.data_dir, mode))
}

/// A token of `subject` at the time of the running server, or of the demo's own clock where none runs.
///
/// # Errors
/// If the ring cannot be read, or the demo's database cannot be opened.
pub(crate) async fn token_now(config: &Config, folder: &Folder, subject: &str) -> Outcome<String> {
    let now = match find(folder, "admin token").await? {
        Found::Served(run) => time_at(&run, folder.mode()).await?,
        Found::Free(lock) if lock.folder().mode() == Mode::Demo => {
            let assembled = assemble::open(config, &Roles::all(), lock.folder()).await?;
            let now = assembled.clock.now();
            assembled.store.close().await;
            now
        }
        Found::Free(_) => Clock::default().now(),
    };
    token(config, folder, subject, now)
}

/// Whether a server takes traffic.
///
/// # Errors
/// If it does not, or does not answer within five seconds.
pub(crate) async fn is_ready(run: &Run) -> Outcome<()> {
    visitor(run)?.call(Method::Get, "/ready", None).await.map(|_| ()).map_err(|error| {
        Failure::new(format!("the server does not take traffic: {}", failure(error).what()))
            .help("It may be starting or stopping; GET /health says more.")
    })
}

/// The time of a server: a demo's clock may be ahead of the system's.
async fn time_at(run: &Run, mode: Mode) -> Outcome<Timestamp> {
    if mode == Mode::Live {
        return Ok(Clock::default().now());
    }
    let answer = visitor(run)?.call(Method::Get, "/_demo/clock", None).await.map_err(failure)?;
    let now = answer.body["now"].as_str().unwrap_or_default();
    now.parse().attempt(|| format!("the clock of {} cannot be read", run.url))
}

/// A client without a credential, for what anybody may ask.
fn visitor(run: &Run) -> Outcome<Client> {
    client(run, Credential::None, VISIT_TIMEOUT)
}

fn token(config: &Config, folder: &Folder, subject: &str, now: Timestamp) -> Outcome<String> {
    let ring = std::sync::Arc::new(keys::ring_beside(config, folder)?);
    Ok(api::mint(&keys::token_keys(&ring)?, subject, now))
}

fn connect(run: &Run, token: String) -> Outcome<Client> {
    client(run, Credential::Bearer(token), CALL_TIMEOUT)
}

/// A client of a server of this machine. Over TLS it is known by the certificate that it wrote into the folder, which only
/// the owner of the folder can write: what others vouch for does not count, nor does the name, because it is asked by its
/// address.
fn client(run: &Run, credential: Credential, timeout: Duration) -> Outcome<Client> {
    let client = match &run.certificate {
        None => Client::new(&run.url, credential, timeout),
        Some(text) => {
            let certificate = BASE64.decode(text.as_bytes());
            let certificate =
                certificate.attempt(|| "the certificate in run.json cannot be read".to_owned())?;
            Client::pinned(&run.url, credential, timeout, &certificate)
        }
    };
    client.attempt(|| format!("no connection to {}", run.url))
}

async fn find(folder: &Folder, command: &str) -> Outcome<Found> {
    let begin = Instant::now();
    loop {
        let holder: Holder = match folder.lock(command)? {
            Ok(lock) => return Ok(Found::Free(lock)),
            Err(holder) => holder,
        };
        if let Some(run) = folder.run() {
            return Ok(Found::Served(run));
        }
        if begin.elapsed() > PATIENCE {
            let Holder { pid, command } = holder;
            return Err(Failure::new(format!(
                "{} is in use by process {pid} (`dca-auth {command}`)",
                folder.path().display()
            ))
            .help("Wait until that process has ended, then try again."));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What the server says, as a failure of the command: refusals and absences have an exit code of their own.
pub(crate) fn failure(error: client::Error) -> Failure {
    match error {
        client::Error::Problem(problem) => {
            let what = problem.sentence();
            let failure = match problem.status {
                400..=499 => Failure::refused(what),
                _ => Failure::new(what),
            };
            failure.code(problem.code)
        }
        other => {
            Failure::new(other.to_string()).help("`dca-auth status` says whether a server runs and where.")
        }
    }
}
