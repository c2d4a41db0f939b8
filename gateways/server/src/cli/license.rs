//! The command line of licenses: its grammar, and nothing of what the commands do.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::time::Span;

use super::Between;

/// Licenses.
#[derive(Debug, Subcommand)]
pub(crate) enum License {
    /// Make new ones, all or none
    Generate {
        /// Discord server id
        #[arg(long, value_name = "ID")]
        guild: String,
        /// Slug of the license type
        #[arg(long = "type", value_name = "TYPE")]
        license_type: String,
        /// How many
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// Discord user id of the owner
        #[arg(long, value_name = "ID")]
        assign_to: Option<String>,
        /// Not valid before (RFC 3339)
        #[arg(long, value_name = "TIME")]
        starts_at: Option<String>,
    },
    /// List them, newest first
    List {
        /// Discord server id
        #[arg(long, value_name = "ID")]
        guild: Option<String>,
        /// Discord user id of the owner
        #[arg(long, value_name = "ID")]
        user: Option<String>,
        /// For example active, expired, revoked
        #[arg(long)]
        status: Option<String>,
        /// Slug of the license type
        #[arg(long = "type", value_name = "TYPE")]
        license_type: Option<String>,
        /// As they were then, of one user: a time or `position:N`
        #[arg(long, value_name = "INSTANT", requires = "user")]
        as_of: Option<String>,
        /// How many at most
        #[arg(long)]
        limit: Option<u32>,
        /// Where the last list ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// One license
    Show {
        /// License id
        id: String,
        /// As it was then: a time, `position:N` or `version:N`
        #[arg(long)]
        as_of: Option<String>,
    },
    /// Everything that ever happened to a license
    History {
        /// License id
        id: String,
    },
    /// What changed between two instants, member by member, and who did it
    Diff(Between),
    /// Fold the events of a license one by one, and compare the end with the read model
    Replay {
        /// License id
        id: String,
        /// Where the last page ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Hold a license
    Suspend(Change),
    /// Lift the hold of staff
    Resume(Change),
    /// Move the end of a license
    Renew {
        #[command(flatten)]
        change: Change,
        /// How much longer, for example P30D [default: the duration of its terms]
        #[arg(long = "for", value_name = "DURATION", conflicts_with = "until")]
        span: Option<Span>,
        /// Until when (RFC 3339)
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Reference of the payment; the same one renews once
        #[arg(long, value_name = "REF")]
        external_ref: Option<String>,
    },
    /// End many licenses for good: those that are named, or those of a server that the filters hold
    RevokeMany(RevokeMany),
    /// End a license for good
    Revoke {
        #[command(flatten)]
        change: Change,
        /// manual, refund, chargeback, fraud, abuse or leaked
        #[arg(long, default_value = "manual")]
        category: String,
    },
}

/// What every change of a license takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Change {
    /// License id
    pub(crate) id: String,
    /// Why; kept in the history
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

/// Many licenses to end.
#[derive(Debug, Args)]
pub(crate) struct RevokeMany {
    /// License ids
    #[arg(required_unless_present = "guild", conflicts_with = "guild")]
    pub(crate) ids: Vec<String>,
    /// Discord server id, instead of license ids
    #[arg(long, value_name = "ID")]
    pub(crate) guild: Option<String>,
    /// Of this owner only, by Discord user id
    #[arg(long, value_name = "ID", requires = "guild")]
    pub(crate) user: Option<String>,
    /// With this status only, for example active
    #[arg(long, requires = "guild")]
    pub(crate) status: Option<String>,
    /// Of this license type only
    #[arg(long = "type", value_name = "TYPE", requires = "guild")]
    pub(crate) license_type: Option<String>,
    /// Why; kept in the history
    #[arg(long)]
    pub(crate) reason: String,
    /// manual, refund, chargeback, fraud, abuse or leaked
    #[arg(long, default_value = "manual")]
    pub(crate) category: String,
    /// Revoke those that can be, instead of all or none
    #[arg(long)]
    pub(crate) each: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Licenses to bring in.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; `export licenses` writes one
    pub(crate) file: PathBuf,
    /// Discord server id
    #[arg(long, value_name = "ID")]
    pub(crate) guild: String,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Licenses to take out.
#[derive(Debug, Args)]
pub(crate) struct Licenses {
    /// Discord server id
    #[arg(long, value_name = "ID")]
    pub(crate) guild: Option<String>,
    /// Of this owner only, by Discord user id
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// With this status only, for example active
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Of this license type only
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) license_type: Option<String>,
    /// With their keys, in the last column
    #[arg(long)]
    pub(crate) keys: bool,
    /// JSON Lines instead of CSV
    #[arg(long)]
    pub(crate) lines: bool,
    /// Where to write; a file that is there already is refused [default: the standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
