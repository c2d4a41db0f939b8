//! A running server: the halves, the projector, the jobs and the API on one listener. `serve` keeps one for as
//! long as it lives, a command without a server for as long as it takes. It picks no engine and prints nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use projections::{Projector, Relay};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::assemble::{self, Assembled};
use crate::bot::Starting;
use crate::certificate::Certificates;
use crate::config::Config;
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::folder::{Lock, Run};
use crate::jobs::Jobs;
use crate::keys;
use crate::mode::Mode;
use crate::operator::{Announced, Host};
use crate::retire::Retiring;
use crate::ring_keeper::{Ended, Name, RingKeeper};
use crate::role::{Role, Roles};
use crate::seed;

/// Longest wait of one request for work that takes long.
const LONG_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long background work may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// As good as never: ten years.
const NEVER: Duration = Duration::from_secs(315_360_000);

/// Connections that wait to be taken; the system may allow fewer (`net.core.somaxconn`). Programs that all come back after a
/// restart should not be turned away.
const BACKLOG: u32 = 4_096;

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To serve: it announces itself and does background work.
    Serve,
    /// To answer one command of this process.
    Command,
}

/// A running server.
pub(crate) struct Process {
    assembled: Arc<Assembled>,
    host: Arc<Host>,
    retiring: Arc<Retiring>,
    /// What the API is made of, in a process that has it.
    api: Option<api::ApiState>,
    /// Background work, in a server that serves.
    jobs: Option<Jobs>,
    url: String,
    http: tokio::task::JoinHandle<()>,
    background: JoinSet<()>,
    closing: CancellationToken,
    stopping: CancellationToken,
    lock: Arc<Lock>,
}

impl Process {
    /// Opens the data, plays what is missing of the demo's story, and answers on `listener`. `draining` makes
    /// `/ready` answer 503, `closing` ends the listener.
    ///
    /// # Errors
    /// Those of `assemble`, each with its remedy.
    pub(crate) async fn start(
        config: &Config,
        lock: Lock,
        listener: TcpListener,
        purpose: Purpose,
        draining: CancellationToken,
        closing: CancellationToken,
    ) -> Outcome<Self> {
        // A command has nobody else who would show it what it did.
        let roles = if purpose == Purpose::Serve { config.roles.clone() } else { Roles::all() };
        let (certificate, tls) = certificate(config, purpose)?;
        let assembled = Arc::new(assemble::open(config, &roles, lock.folder()).await?);
        let lock = Arc::new(lock);
        make_demo(&assembled).await?;
        let address = listener.local_addr().attempt(|| "the address cannot be read".to_owned())?;
        let url = format!("{}://{}", if tls.is_some() { "https" } else { "http" }, reachable(address));
        let announced = (purpose == Purpose::Serve).then(|| Announced {
            lock: Arc::clone(&lock),
            run: run(&url),
            certificate,
        });
        let jobs = Jobs::new(
            assembled.commands.clone(),
            assembled.queries.clone(),
            assembled.clock.clone(),
            config.jobs,
            config.sessions.refresh.idle,
            keys::random_hex::<8>()?,
        );
        let keeper = ring_keeper(config, &assembled, &lock, purpose, &url).await?;
        let holder = keys::random_hex::<8>()?;
        let retiring = Arc::new(Retiring::new(assembled.clone(), keeper.clone(), config.jobs, holder));
        let (discord, hosted) = Starting::open(config, &roles, lock.folder(), &assembled).await?.into_parts();
        let (wait, keys) = (long_wait(config), (Arc::clone(&keeper), Arc::clone(&retiring)));
        let (halves, own_jobs) = (Arc::clone(&assembled), jobs.clone());
        let host = Arc::new(Host::new(halves, own_jobs, draining, announced, wait, discord, keys));
        hosted.by(&host);
        let stopping = CancellationToken::new();
        let mut background = JoinSet::new();
        // Before the first question: floors under what happened in the last minute.
        assembled.queries.prepare().await.attempt(|| "the read models cannot be read".to_owned())?;
        background.spawn(keeper.run(stopping.clone()));
        follow(config, &roles, &assembled, purpose, &mut background, &stopping)?;
        let state = api_state(config, &assembled, &host, address, &url)?;
        let router = match roles.has(Role::Api) {
            true => api::router(state.clone()),
            false => api::operator_router(state.clone(), roles.has(Role::Bot)),
        };
        if purpose == Purpose::Serve {
            background.spawn(api::keep_refusals(state.clone(), stopping.clone()));
        }
        let http = tokio::spawn(api::serve(listener, router, config.http.connections, tls, closing.clone()));
        let jobs = Some(jobs).filter(|_| purpose == Purpose::Serve);
        Ok(Self {
            assembled,
            host,
            retiring,
            api: Some(state).filter(|_| roles.has(Role::Api)),
            jobs,
            url,
            http,
            background,
            closing,
            stopping,
            lock,
        })
    }

    /// Waits until the read models show what the log had at the start.
    ///
    /// # Errors
    /// If they do not get there while the listener is open.
    pub(crate) async fn catch_up(&self) -> Outcome<()> {
        let head = self.assembled.store.head().await.map_err(|error| assemble::away(&error))?;
        let mut told = tokio::time::Instant::now();
        while let Err(error) = self.assembled.queries.wait_for(head, Duration::from_secs(1)).await {
            if self.closing.is_cancelled() {
                return Ok(());
            }
            if told.elapsed() > Duration::from_secs(10) {
                told = tokio::time::Instant::now();
                tracing::info!(%error, "the read models are catching up");
            }
        }
        Ok(())
    }

    /// Begins background work, answers `/ready` with 200, and tells commands of this machine where to ask.
    ///
    /// # Errors
    /// If `run.json` cannot be written.
    pub(crate) async fn open_doors(&mut self, config: &Config) -> Outcome<()> {
        if let Some(jobs) = &self.jobs {
            if config.roles.has(Role::Api) {
                jobs.record_validations(&mut self.background, &self.stopping);
            }
            if config.roles.has(Role::Worker) {
                jobs.start(&mut self.background, &self.stopping);
                self.background.spawn(Arc::clone(&self.retiring).run(self.stopping.clone()));
            }
            if config.roles.has(Role::Bot) {
                self.host.discord().start_bot(config, &self.assembled, &self.lock).await?;
            }
        }
        self.host.set_ready();
        self.host.announce()?;
        if let Some(certificate) = self.host.certificate() {
            self.background
                .spawn(Arc::clone(certificate).keep(Arc::clone(&self.host), self.stopping.clone()));
        }
        Ok(())
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where the simulated Discord answers, in a demo.
    pub(crate) fn simulator(&self) -> Option<String> {
        self.host.discord().simulator()["url"].as_str().map(str::to_owned)
    }

    /// Where whoever signs in first owns the platform; `None` once somebody does, or if nobody can sign in here.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub(crate) async fn sign_in_link(&self) -> Outcome<Option<String>> {
        let Some(api) = &self.api else { return Ok(None) };
        api::sign_in_link(api).await.attempt(|| "the platform's people cannot be read".to_owned())
    }

    /// The halves.
    pub(crate) fn assembled(&self) -> &Assembled {
        &self.assembled
    }

    /// Waits until the listener is closed and the last request is answered, at most `drain` after the closing.
    ///
    /// # Errors
    /// If the listener failed.
    pub(crate) async fn served(&mut self, drain: Duration) -> Outcome<()> {
        let closing = self.closing.clone();
        let late = async {
            closing.cancelled().await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            ended = &mut self.http => ended.attempt(|| "the HTTP side broke off".to_owned()),
            () = late => {
                tracing::warn!("requests were still running after {drain:?}; they are cut off");
                self.http.abort();
                Ok(())
            }
        }
    }

    /// Ends background work, writes what waits, closes the database and lets the folder go.
    pub(crate) async fn stop(mut self) {
        self.lock.retract();
        self.closing.cancel();
        self.host.discord().stop().await;
        self.stopping.cancel();
        let ended = async { while self.background.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
            // Nothing is lost: whatever was being done is due again at the next start.
            tracing::warn!("background work was still running after {STOP_WITHIN:?}; it is cut off");
            self.background.abort_all();
        }
        self.http.abort();
        self.assembled.store.clone().close().await;
    }
}

/// Plays what is missing of a demo's story.
async fn make_demo(assembled: &Assembled) -> Outcome<()> {
    if assembled.mode == Mode::Live || assembled.is_seeded().await? {
        return Ok(());
    }
    let ahead = assembled.clock.offset();
    seed::play(&assembled.commands, &assembled.clock).await?;
    assembled.keep_offset(ahead).await?;
    assembled.set_seeded().await
}

/// What follows the log: this process's own picture of it, and the read models, if they are its work.
fn follow(
    config: &Config,
    roles: &Roles,
    assembled: &Arc<Assembled>,
    purpose: Purpose,
    background: &mut JoinSet<()>,
    stopping: &CancellationToken,
) -> Outcome<()> {
    let (queries, token) = (assembled.queries.clone(), stopping.clone());
    background.spawn(async move { queries.follow(token).await });
    if assembled.mode == Mode::Demo && config.database.url.is_some() {
        background.spawn(Arc::clone(assembled).keep_following_clock(stopping.clone()));
    }
    if roles.has(Role::Projector) {
        background.spawn(Projector::new(&assembled.queries).run(stopping.clone()));
    }
    if purpose == Purpose::Serve && roles.has(Role::Projector) {
        copy_and_seal(assembled, background, stopping)?;
    }
    Ok(())
}

/// What follows the log beside the read models: the copy for programs outside, and the Merkle log.
fn copy_and_seal(
    assembled: &Assembled,
    background: &mut JoinSet<()>,
    stopping: &CancellationToken,
) -> Outcome<()> {
    if let Some(relay) = Relay::new(&assembled.queries, &keys::random_hex::<8>()?) {
        background.spawn(relay.run(stopping.clone()));
    }
    background.spawn(assembled.seal_log.clone().run(keys::random_hex::<8>()?, stopping.clone()));
    Ok(())
}

/// The certificate that a server has, and what it offers on its listener. A command asks itself, without TLS.
fn certificate(config: &Config, purpose: Purpose) -> Outcome<(Option<Arc<Certificates>>, Option<api::Tls>)> {
    match &config.http.tls {
        Some(tls) if purpose == Purpose::Serve => {
            let (certificate, offer) = Certificates::open(tls)?;
            Ok((Some(Arc::new(certificate)), Some(offer)))
        }
        _ => Ok((None, None)),
    }
}

/// What a server at `url` says about itself.
pub(crate) fn run(url: &str) -> Run {
    Run {
        url: url.to_owned(),
        metrics_url: None,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        certificate: None,
    }
}

/// Announces a server as a holder of the key ring. A command is none: it is over before anybody makes a key that it
/// would have to know.
async fn ring_keeper(
    config: &Config,
    assembled: &Assembled,
    lock: &Lock,
    purpose: Purpose,
    url: &str,
) -> Outcome<Arc<RingKeeper>> {
    let (name, former) = match purpose {
        Purpose::Serve => {
            let instance = keys::random_hex::<8>()?;
            let former = lock.name_holder(&instance)?;
            let folder = std::path::absolute(lock.folder().path()).unwrap_or_default();
            let place = format!("the server {url} (process {}, {})", std::process::id(), folder.display());
            (Some(Name { instance, place }), former)
        }
        Purpose::Command => (None, lock.former_holder()),
    };
    let mut limits = config.keys;
    let ended = match former {
        // Nobody else is there who would have to be told that this process still runs: it writes nothing while it idles.
        _ if config.database.url.is_none() => {
            limits.lapse = NEVER;
            Ended::Others
        }
        Some(former) => Ended::Former(former),
        None => Ended::Nobody,
    };
    let ring = Arc::clone(assembled.commands.ring());
    let path = keys::path(config, lock.folder());
    let holders = assembled.queries.ring_holders();
    let keeper = RingKeeper::new(ring, path, holders, assembled.clock.clone(), limits, name);
    keeper.enter(&ended).await?;
    Ok(Arc::new(keeper))
}

/// How long one request waits for a verify or a rebuild, before it is told to ask again.
fn long_wait(config: &Config) -> Duration {
    (config.http.limits.request_timeout / 2).min(LONG_WAIT_MAX)
}

fn api_state(
    config: &Config,
    assembled: &Arc<Assembled>,
    host: &Arc<Host>,
    address: SocketAddr,
    url: &str,
) -> Outcome<api::ApiState> {
    let clock = assembled.clock.clone();
    Ok(api::ApiState::new(api::Parts {
        commands: assembled.commands.clone(),
        queries: assembled.queries.clone(),
        clock: Arc::new(move || clock.now()),
        tokens: keys::token_keys(assembled.commands.ring())?,
        identity: host.discord().identity(config)?,
        public_url: config.http.public_url.clone().unwrap_or_else(|| url.to_owned()),
        sessions: config.sessions,
        operator: Arc::clone(host) as Arc<dyn api::Operator>,
        mode: match assembled.mode {
            Mode::Demo => api::Mode::Demo,
            Mode::Live => api::Mode::Live,
        },
        hosts: hosts(config, address),
        limits: config.http.limits.clone(),
        rates: config.http.rates.clone(),
        proxies: api::Proxies::new(config.http.trusted_proxies.clone(), config.http.forwarded),
    }))
}

/// Names that requests may use. A loopback server takes loopback names only, so that no foreign page can reach it
/// under a name of its own; commands of this machine may always use those.
fn hosts(config: &Config, address: SocketAddr) -> Option<api::Hosts> {
    let names = &config.http.hosts;
    if names.is_empty() && !address.ip().is_loopback() {
        return None;
    }
    let port = address.port();
    let loopback = ["127.0.0.1", "[::1]", "localhost"].map(|name| format!("{name}:{port}"));
    let public = config.http.public_url.as_deref().and_then(|url| url.split_once("://"));
    let public = public.map(|(_, host)| host.to_owned());
    let own = address.to_string();
    Some(api::Hosts::of(names.iter().cloned().chain(loopback).chain(public).chain([own])))
}

/// An address that this machine can connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback: std::net::IpAddr =
            if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}

/// Opens the listener.
///
/// # Errors
/// A busy port or an impossible address, with the remedy.
pub(crate) async fn listen(address: SocketAddr) -> Outcome<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A server that comes back takes its old address at once, as `TcpListener::bind` has it.
        socket.set_reuseaddr(cfg!(unix))?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::new(format!("{address} is in use by another program"))
            .help("Name another address with --listen, for example --listen 127.0.0.1:0 for any free port."),
        _ => Failure::new(format!("{address} cannot be listened on: {error}"))
            .help("Name an address of this machine with --listen, for example --listen 127.0.0.1:0."),
    })
}
