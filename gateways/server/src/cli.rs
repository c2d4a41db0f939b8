//! The command line: its grammar, and nothing of what the commands do. `dca-auth` without a command serves.

mod license;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::time::Span;

pub(crate) use license::{Change, Import, License, Licenses, RevokeMany};

use crate::mode::Mode;

/// License keys joined to Discord.
#[derive(Debug, Parser)]
#[command(name = "dca-auth", version, about = "License keys joined to Discord: one binary, event-sourced", long_about = None)]
#[command(
    after_help = "Without a command, `dca-auth` serves. Exit codes: 0 done, 1 failed, 2 wrong command line, 3 not found or refused."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Common {
    /// Folder of the data; below it `demo` and `live` [default: dca-auth-data in the current folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// `demo` or `live`, where both are there
    #[arg(long, global = true, value_name = "MODE")]
    pub(crate) mode: Option<Mode>,
    /// Configuration file [default: DIR/config.toml, else ./dca-auth.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What a server takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct Serve {
    /// Simulate Discord, with data to look at
    #[arg(long, conflicts_with = "mode")]
    pub(crate) demo: bool,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8420]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// What this process does, with commas between: api, bot, projector, worker [default: all]
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    pub(crate) role: Vec<String>,
    /// Address range of a reverse proxy that speaks TLS to the world; repeat for more
    #[arg(long, value_name = "CIDR")]
    pub(crate) trusted_proxy: Vec<String>,
    /// Speak TLS: the certificate and those of its issuers, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API (the default)
    Serve(Serve),
    /// What is running, where, and how far its log reaches
    Status,
    /// API keys of a guild
    #[command(subcommand)]
    Apikey(Apikey),
    /// The platform: the operator's access, and the people who have a role on it
    #[command(subcommand)]
    Admin(Admin),
    /// The demo's clock
    #[command(subcommand)]
    Clock(ClockCommand),
    /// Members of the demo's guild
    #[command(subcommand)]
    Member(Member),
    /// Licenses
    #[command(subcommand)]
    License(License),
    /// Discord servers
    #[command(subcommand)]
    Guild(Guild),
    /// The Discord bot
    #[command(subcommand)]
    Discord(DiscordCommand),
    /// Removals that wait because too many members would lose a license at once
    #[command(subcommand)]
    Removals(Removals),
    /// Background jobs
    #[command(subcommand)]
    Job(Job),
    /// Secrets of the key ring
    #[command(subcommand)]
    Keys(Keys),
    /// Compare the read models with a rebuild from the log, and the log with what was sealed and signed; or check an
    /// exported file, with no server, database or folder
    Verify(Verify),
    /// Who did what, newest first
    Audit(Audit),
    /// Take data out
    #[command(subcommand)]
    Export(Export),
    /// Bring licenses in from a CSV file, all rows or none
    Import(Import),
    /// Build a read model anew from the log; readers go on meanwhile
    Rebuild {
        /// Name of the read model, or `all`
        name: String,
    },
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make or update the tables of the database and, if it is new, the key ring; serves nothing
    Migrate,
    /// Ask the running server whether it takes traffic; exit code 0 or 1
    Healthcheck,
    /// Measure this machine: ratios, side by side in one run
    Bench(Bench),
}

/// What is checked.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Verify {
    /// A file of `export audit`, checked by itself
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere, or an export with one: whether the log still begins as it was signed then
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The key that must have signed it, as /.well-known/dca-log.json shows it: `key`, the public key in base64, or a
    /// file with one of them
    #[arg(long, value_name = "KEY|FILE", requires = "export")]
    pub(crate) public_key: Option<String>,
}

/// What can be taken out.
#[derive(Debug, Subcommand)]
pub(crate) enum Export {
    /// Every event of a guild, as JSON Lines that prove themselves (`verify --export`)
    Audit {
        /// Discord server id
        #[arg(long, value_name = "ID")]
        guild: String,
        /// Where to write; a file that is there already is refused [default: the standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Licenses, as CSV
    Licenses(Licenses),
}

/// Which events of the log are listed.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Discord server id
    #[arg(long, value_name = "ID")]
    pub(crate) guild: Option<String>,
    /// Name of the event, for example license.revoked
    #[arg(long = "type", value_name = "EVENT")]
    pub(crate) event_type: Option<String>,
    /// operator, bot, apikey:ID, job:NAME, or a Discord user id
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// License id
    #[arg(long, value_name = "ID")]
    pub(crate) license: Option<String>,
    /// About this person: a Discord user id
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// Recorded at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) after: Option<String>,
    /// Recorded before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<String>,
    /// Of one request or run, by its id
    #[arg(long, value_name = "ID")]
    pub(crate) correlation: Option<String>,
    /// How many at most
    #[arg(long)]
    pub(crate) limit: Option<u32>,
    /// Where the last list ended
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

/// API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Apikey {
    /// Issue a key; it is shown once
    Issue {
        /// Discord server id
        #[arg(long, value_name = "ID")]
        guild: String,
        /// `publishable` (safe inside a client) or `secret`
        #[arg(long)]
        kind: KeyKind,
        /// Scopes of a secret key, separated by commas [default: the kind's own]
        #[arg(long, value_delimiter = ',')]
        scopes: Option<Vec<String>>,
        /// What to call it
        #[arg(long)]
        name: Option<String>,
    },
}

/// Kinds of API keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum KeyKind {
    /// Safe inside a client program.
    Publishable,
    /// For the owner's own servers.
    Secret,
}

/// The platform.
#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Give a person a role on the whole platform
    Grant {
        /// Discord user id
        user: String,
        /// `owner`, `admin` or `auditor`
        role: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Take a person's role on the platform
    Revoke {
        /// Discord user id
        user: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Print the link by which whoever signs in first owns the platform
    SignInLink,
    /// An access token of the operator, or of a demo member
    Token {
        /// Discord user id (demo only)
        #[arg(long, value_name = "ID")]
        user: Option<String>,
    },
}

/// The clock.
#[derive(Debug, Subcommand)]
pub(crate) enum ClockCommand {
    /// Move the demo's clock forward; due work is done when this returns
    Advance {
        /// For example P30D or PT1H
        duration: Span,
    },
}

/// The bot.
#[derive(Debug, Subcommand)]
pub(crate) enum DiscordCommand {
    /// Go on after mending what the bot stopped for: a token, an intent, too many direct messages
    Resume,
}

/// Removals that wait.
#[derive(Debug, Subcommand)]
pub(crate) enum Removals {
    /// List them, oldest first
    List {
        /// Discord server id
        #[arg(long, value_name = "ID")]
        guild: String,
        /// How many at most
        #[arg(long)]
        limit: Option<u32>,
        /// Where the last list ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Let a batch happen; whoever has the role back by then keeps the license
    Confirm {
        /// The batch, as the list names it
        batch: String,
        /// Discord server id
        #[arg(long, value_name = "ID")]
        guild: String,
    },
}

/// Jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// Run one now: role-sync, role-sync-full or expiry
    Run {
        /// Its name
        name: String,
    },
}

/// Secrets of the key ring. Ids are a list and a number, such as license-1.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// List them: id, when made, which are active, who lacks one; never a secret
    List,
    /// Add a secret; it is not active yet
    Add {
        /// license, encryption, access (tokens), response, certificate or cache
        #[arg(long, value_name = "LIST")]
        kind: String,
    },
    /// Make new things with a secret, once every running process knows it
    Activate {
        /// Its id, for example license-1
        id: String,
    },
    /// Add a secret, and activate it when every running process knows it
    Rotate {
        /// license, encryption, access (tokens), response, certificate or cache
        #[arg(long, value_name = "LIST")]
        kind: String,
        /// How long to wait for processes that do not know it yet
        #[arg(long, value_name = "DURATION", default_value = "PT1M")]
        wait: Span,
    },
    /// Give a new key to every license whose key was made with a secret that leaked
    Retire {
        /// Its id, for example license-0
        id: String,
        /// Only say how many licenses that concerns
        #[arg(long)]
        dry_run: bool,
    },
}

/// Members.
#[derive(Debug, Subcommand)]
pub(crate) enum Member {
    /// Say which roles a member has, as Discord would (demo only)
    Observe {
        /// Discord server id
        #[arg(long, value_name = "ID")]
        guild: String,
        /// Discord user id
        #[arg(long, value_name = "ID")]
        user: String,
        /// All his role ids, separated by commas; empty for none
        #[arg(long, value_delimiter = ',', num_args = 0..)]
        roles: Vec<String>,
        /// He left the server
        #[arg(long)]
        left: bool,
    },
}

/// Two instants of one license or server.
#[derive(Debug, Args)]
pub(crate) struct Between {
    /// Its id
    pub(crate) id: String,
    /// A time, `position:N` or `version:N`
    #[arg(long, value_name = "INSTANT")]
    pub(crate) from: String,
    /// The same [default: now]
    #[arg(long, value_name = "INSTANT")]
    pub(crate) to: Option<String>,
}

/// Discord servers.
#[derive(Debug, Subcommand)]
pub(crate) enum Guild {
    /// One server
    Show {
        /// Discord server id
        id: String,
        /// As it was then: a time, `position:N` or `version:N`
        #[arg(long, value_name = "INSTANT")]
        as_of: Option<String>,
    },
    /// What changed between two instants, with its license types and rules, and who did it
    Diff(Between),
}

/// The configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Every setting with its value and where that came from; secrets are hidden
    Print,
    /// Everything that is wrong with it, at once
    Check,
}

/// Benchmarks.
#[derive(Debug, Clone, Args)]
pub(crate) struct Bench {
    /// What to measure
    pub(crate) what: BenchWhat,
    /// Seconds for each figure
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// An empty PostgreSQL database to measure on instead of SQLite; it is filled
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// A NATS server over which instances wake each other
    #[arg(long, value_name = "URL")]
    pub(crate) nats_url: Option<String>,
    /// A Redis server in which instances share what they have read
    #[arg(long, value_name = "URL")]
    pub(crate) redis_url: Option<String>,
    /// Licenses that the cache of a process holds, instead of the default; 0 for none, so that Redis is asked
    #[arg(long, value_name = "COUNT")]
    pub(crate) cache: Option<u64>,
    /// Connections of `validate`
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub(crate) connections: usize,
    /// Licenses of five events each that are made before `append`, `rebuild`, `snapshot` and `start`, of two before `hits`, or
    /// of one before `routes`
    #[arg(long, default_value_t = 20_000)]
    pub(crate) licenses: usize,
    /// Keys that `guess` asks for, each once
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    pub(crate) guesses: u64,
    /// Bytes of the floor's answer
    #[arg(long, hide = true, default_value_t = 1_000)]
    pub(crate) body_bytes: usize,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum BenchWhat {
    /// Validation against a bare route that parses the same request
    Validate,
    /// Commands a second through load, decide and append
    Append,
    /// 10,000 licenses in one append, and 100,000 beside a guild that goes on activating
    Bulk,
    /// Events a second of a rebuild
    Rebuild,
    /// A list read page by page to its end, and every kind of route at 500 requests a second
    Routes,
    /// Somebody who guesses keys, beside programs that have one
    Guess,
    /// The share of questions that the cache answers, keys being asked for by Zipf's law
    Hits,
    /// From a commit until the read models of another instance show it, at 500 commands a second
    Project,
    /// From a revoke until another instance refuses the key
    Revoke,
    /// The start of a server over existing data, and its memory without and with a full cache
    Start,
    /// Commands a second beside a transaction that stays open, and beside the sealing of the log
    Snapshot,
    /// Roles to licenses and messages, against the simulated Discord
    Discord,
    /// The bare route that `validate` is measured against
    #[value(hide = true)]
    Floor,
}
