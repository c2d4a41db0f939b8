//! Licenses brought in from elsewhere, all or none, in one append. A row that is here already makes nothing: by its id, or
//! by the key of another system that it names, which is kept as a keyed hash and never as text.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use domain::alias::{self, Alias};
use domain::guild::Guild;
use domain::id::{DiscordId, GuildId, LicenseId, StreamId};
use domain::key::{self, KeyVersion};
use domain::license::{Action, AssignedHow, Command, Generate, Hold, Ledger, License, RevokeCategory};
use domain::ports::Mac as _;
use domain::private::Person;
use domain::time::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::error::{Refused, RefusedItem};
use crate::execute::{Part, Pending};
use crate::store::Claim;
use crate::{CommandError, Commands, Context};

/// Most rows of one order.
pub const IMPORT_MAX: usize = 10_000;
/// How many of them are looked up at once.
const LOOKS: usize = 64;
/// How many faults a refusal names.
const NAMED_MAX: usize = 100;

/// A license from elsewhere.
#[derive(Debug, Clone)]
pub struct ImportRow {
    /// Line of the file, from 1.
    pub line: u64,
    /// Its id; a new one where the file has none.
    pub id: LicenseId,
    /// Slug of the type.
    pub license_type: String,
    /// Its owner.
    pub owner: Option<DiscordId>,
    /// Not valid before.
    pub starts_at: Option<Timestamp>,
    /// Its end, where it is not what the type says.
    pub expires_at: Option<Timestamp>,
    /// Held by staff.
    pub is_suspended: bool,
    /// Ended for good.
    pub is_revoked: bool,
    /// JSON text.
    pub metadata: Option<String>,
    /// JSON text.
    pub private_metadata: Option<String>,
    /// The key that another system gave it.
    pub foreign_key: Option<String>,
}

/// What the file calls the columns that a refusal may name.
#[derive(Debug, Clone)]
pub struct ImportColumns {
    /// That of the id.
    pub id: Cow<'static, str>,
    /// That of the type.
    pub license_type: Cow<'static, str>,
    /// That of the key.
    pub key: Cow<'static, str>,
}

impl Default for ImportColumns {
    fn default() -> Self {
        Self { id: "id".into(), license_type: "type".into(), key: "key".into() }
    }
}

/// Licenses from elsewhere.
#[derive(Debug, Clone)]
pub struct ImportOrder {
    /// The tenant.
    pub guild: GuildId,
    /// Which.
    pub rows: Vec<ImportRow>,
    /// What their file calls its columns.
    pub columns: ImportColumns,
    /// Decide and write nothing.
    pub is_dry_run: bool,
}

/// What [`Commands::import`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Licenses that were made, or would be.
    pub created: usize,
    /// Rows that were here already.
    pub existing: usize,
    /// Position of the last event; `None` if there was nothing to do.
    pub position: Option<i64>,
}

/// What one row leads to.
enum Outcome {
    Existing,
    New(Box<Part<License>>, Option<Claim>),
}

/// Makes the recipe that a repeat is answered by.
type Remember<'a> = &'a (dyn Fn(&Imported) -> serde_json::Value + Send + Sync);

impl Commands {
    /// Brings licenses in, all or none.
    ///
    /// # Errors
    /// `IMPORT_REFUSED`, naming lines and columns; [`CommandError::NotFound`] (guild).
    pub async fn import(
        &self,
        context: &Context,
        order: &ImportOrder,
        remember: Remember<'_>,
    ) -> Result<Imported, CommandError> {
        let attempt = || Box::pin(self.try_import(context, order, remember)) as _;
        self.retried(context, &[], attempt).await
    }

    async fn try_import(
        &self,
        context: &Context,
        order: &ImportOrder,
        remember: Remember<'_>,
    ) -> Result<Imported, CommandError> {
        if context.tenant.is_some_and(|tenant| tenant != order.guild) {
            return Err(CommandError::NotFound("guild"));
        }
        let guild = self.load_guild(order.guild).await?;
        let (rows, guild) = (&order.rows, &guild);
        let looked: Vec<_> = futures::stream::iter(0..rows.len())
            .map(|index| async move { self.outcome_of(context, guild, order, &rows[index]).await })
            .buffered(LOOKS)
            .try_collect()
            .await?;
        let mut faults = doubles(order);
        let (mut parts, mut claims, mut existing) = (Vec::new(), Vec::new(), 0);
        for outcome in looked {
            match outcome {
                Ok(Outcome::Existing) => existing += 1,
                Ok(Outcome::New(part, claim)) => {
                    parts.push(part);
                    claims.extend(claim);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(CommandError::Refused(import_refused(faults)));
        }
        let mut imported = Imported { created: parts.len(), existing, position: None };
        if order.is_dry_run {
            return Ok(imported);
        }
        let owners: BTreeSet<DiscordId> = order.rows.iter().filter_map(|row| row.owner).collect();
        let known = futures::stream::iter(owners).map(|owner| self.ensure_user(context, owner));
        known.buffered(LOOKS).try_collect::<Vec<_>>().await?;
        let mut context = context.clone();
        if let Some(idempotency) = &mut context.idempotency {
            idempotency.recipe = remember(&imported);
        }
        let mut pending: Vec<&mut dyn Pending> =
            parts.iter_mut().map(|part| part.as_mut() as &mut dyn Pending).collect();
        let appended = self.commit(&context, &mut pending, claims, Vec::new()).await?;
        imported.position = appended.map(|appended| appended.last);
        Ok(imported)
    }

    /// Looks whether a row is here already, and decides on it otherwise.
    async fn outcome_of(
        &self,
        context: &Context,
        guild: &Guild,
        order: &ImportOrder,
        row: &ImportRow,
    ) -> Result<Result<Outcome, RefusedItem>, CommandError> {
        let (tenant, columns) = (order.guild, &order.columns);
        let there = self.load_license(row.id).await?;
        if there.version > 0 {
            let is_ours = there.guild == Some(tenant);
            let fault = || {
                row.fault(&columns.id, "ALREADY_EXISTS", "cannot be used; leave the cell empty for a new one")
            };
            return Ok(if is_ours { Ok(Outcome::Existing) } else { Err(fault()) });
        }
        let mut claim = None;
        if let Some(text) = &row.foreign_key {
            if key::is_well_formed(text) {
                let detail =
                    "is a key of DCA-Auth, which opens nothing here; leave the cell empty for a new key";
                return Ok(Err(row.fault(&columns.key, "IMPOSSIBLE", detail)));
            }
            let value = Alias::of(self.ring().as_ref(), tenant, text).to_string();
            let scope = format!("alias:{tenant}");
            // The claim outlives the alias: a key that was retired must not open another license when its file is sent again.
            if self.store().claim_owner(&scope, &value).await?.is_some() {
                return Ok(Ok(Outcome::Existing));
            }
            claim = Some(Claim { scope, value, stream: StreamId::license(row.id) });
        }
        let aliases = claim.iter().map(|claim| claim.value.clone()).collect();
        match self.new_part(context, guild, tenant, row, aliases) {
            Ok(part) => Ok(Ok(Outcome::New(Box::new(part), claim))),
            Err(CommandError::Invalid { detail, .. }) => {
                Ok(Err(row.fault(&columns.license_type, "IMPOSSIBLE", &detail)))
            }
            Err(CommandError::Refused(refused)) => {
                let code = refused.code.clone();
                Ok(Err(RefusedItem { code, ..row.fault(&columns.id, "IMPOSSIBLE", &refused.detail) }))
            }
            Err(error) => Err(error),
        }
    }

    fn new_part(
        &self,
        context: &Context,
        guild: &Guild,
        tenant: GuildId,
        row: &ImportRow,
        aliases: Vec<String>,
    ) -> Result<Part<License>, CommandError> {
        let terms = Self::usable_type(guild, &row.license_type)?.terms.clone();
        let ring = self.ring().as_ref();
        let generate = Generate {
            id: row.id,
            guild: tenant,
            license_type: row.license_type.clone(),
            terms: terms.clone(),
            key: KeyVersion { secret_id: ring.active_license_secret(), version: 0 },
            slot: None,
            owner: row.owner.map(|owner| (Person::new(ring, owner), AssignedHow::Assign)),
            starts_at: row.starts_at,
            ledger: Ledger::default(),
            metadata: row.metadata.clone(),
            private_metadata: row.private_metadata.clone(),
            aliases,
        };
        let mut actions = vec![Action::Generate(Box::new(generate))];
        if let Some(end) = row.expires_at {
            actions.push(Action::ChangeTerms {
                terms: Box::new(terms),
                expires_at: Some(Some(end)),
                // The file is the reason.
                has_reason: true,
                deactivate: Vec::new(),
            });
        }
        if row.is_suspended {
            actions.push(Action::Suspend { hold: Hold::Admin });
        }
        if row.is_revoked {
            actions.push(Action::Revoke { category: RevokeCategory::Manual });
        }
        let mut part = Part::new(StreamId::license(row.id), License::default());
        for action in actions {
            part.decide(context, &Command { now: context.now, action })?;
        }
        Ok(part)
    }
}

impl ImportRow {
    /// What is wrong with a cell of it.
    fn fault(&self, column: &str, code: &'static str, detail: &str) -> RefusedItem {
        RefusedItem {
            pointer: format!("/{}/{column}", self.line),
            code: code.into(),
            detail: detail.to_owned(),
        }
    }
}

/// Rows that name what an earlier row names.
fn doubles(order: &ImportOrder) -> Vec<RefusedItem> {
    let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
    let mut faults = Vec::new();
    for row in &order.rows {
        let detail = "stands in an earlier line; remove one of them";
        if !ids.insert(row.id) {
            faults.push(row.fault(&order.columns.id, "DUPLICATE_MEMBER", detail));
        }
        if row.foreign_key.as_ref().is_some_and(|text| !keys.insert(alias::normal(text))) {
            faults.push(row.fault(&order.columns.key, "DUPLICATE_MEMBER", detail));
        }
    }
    faults
}

/// The refusal of a file, with its faults in the order of lines; as many as are named.
pub fn import_refused(mut faults: Vec<RefusedItem>) -> Refused {
    let count = faults.len();
    let line =
        |fault: &RefusedItem| fault.pointer.split('/').nth(1).and_then(|line| line.parse::<u64>().ok());
    faults.sort_by_key(line);
    faults.truncate(NAMED_MAX);
    Refused {
        code: "IMPORT_REFUSED".into(),
        detail: format!("{count} cells of the file cannot be taken, so nothing was"),
        help: "`errors` names up to 100 of them, by line and column; mend them and send the file again."
            .to_owned(),
        items: faults,
        again_at: None,
    }
}
