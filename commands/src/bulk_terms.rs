//! Many licenses that take the terms which their type has now, in one append. A license that cannot take them stays as it is
//! and says why; none keeps another.

use domain::id::{GuildId, LicenseId, StreamId};
use domain::license::{Action, Command, License};
use domain::terms::Terms;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::error::Refused;
use crate::execute::{Part, Pending};
use crate::{CommandError, Commands, Context};

/// Most licenses of one order.
pub const APPLY_MAX: usize = 1_000;
/// How many of them are loaded at once.
const LOADS: usize = 64;

/// Licenses that are to take the terms of their type.
#[derive(Debug, Clone)]
pub struct ApplyOrder {
    /// The tenant.
    pub guild: GuildId,
    /// Slug of the type.
    pub license_type: String,
    /// Which, each once.
    pub licenses: Vec<LicenseId>,
    /// Decide and write nothing.
    pub is_dry_run: bool,
}

/// What became of one license of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Which.
    pub license: LicenseId,
    /// What.
    pub fate: TermsFate,
}

/// What became of a license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TermsFate {
    /// It has the terms, or would have.
    Changed,
    /// It had them before.
    Unchanged,
    /// It is as it was.
    Refused(Refused),
    /// There is none of this type, or it is another tenant's.
    NotFound,
}

/// What [`Commands::apply_terms`] did.
#[derive(Debug, Clone)]
pub struct AppliedTerms {
    /// Each license of the order, in its order.
    pub applications: Vec<Application>,
    /// Position of the last event; `None` if there was nothing to do.
    pub position: Option<i64>,
}

impl Commands {
    /// Gives licenses the terms that their type has now. Their ends stay, and devices above a new limit are nobody's to
    /// choose here: such a license is refused. `remember` makes the recipe that a repeat is answered by, once it is known
    /// what became of each.
    ///
    /// No stripe is held meanwhile, as for many revoked at once: a license that changes in between makes the whole be decided
    /// again.
    ///
    /// # Errors
    /// [`CommandError::NotFound`] (guild), [`CommandError::Invalid`] (type, how many).
    pub async fn apply_terms(
        &self,
        context: &Context,
        order: &ApplyOrder,
        remember: &(dyn Fn(&[Application]) -> serde_json::Value + Send + Sync),
    ) -> Result<AppliedTerms, CommandError> {
        if order.licenses.len() > APPLY_MAX {
            let detail = format!("must be at most {APPLY_MAX} licenses; send more of them one after another");
            return Err(CommandError::invalid("/filter", detail));
        }
        if context.tenant.is_some_and(|tenant| tenant != order.guild) {
            return Err(CommandError::NotFound("guild"));
        }
        let attempt = || Box::pin(self.try_apply_terms(context, order, remember)) as _;
        self.retried(context, &[], attempt).await
    }

    async fn try_apply_terms(
        &self,
        context: &Context,
        order: &ApplyOrder,
        remember: &(dyn Fn(&[Application]) -> serde_json::Value + Send + Sync),
    ) -> Result<AppliedTerms, CommandError> {
        let guild = self.load_guild(order.guild).await?;
        let license_type = guild.license_type(&order.license_type);
        let terms = &license_type.ok_or(CommandError::NotFound("license type"))?.terms;
        let loaded: Vec<(LicenseId, License)> = futures::stream::iter(order.licenses.clone())
            .map(|id| async move { Ok::<_, CommandError>((id, self.load_license(id).await?)) })
            .buffered(LOADS)
            .try_collect()
            .await?;
        let (mut parts, mut applications) = (Vec::new(), Vec::with_capacity(loaded.len()));
        for (id, license) in loaded {
            let mut part = Part::new(StreamId::license(id), license);
            let fate = decide(context, order, terms, &mut part)?;
            if fate == TermsFate::Changed {
                parts.push(part);
            }
            applications.push(Application { license: id, fate });
        }
        if order.is_dry_run {
            return Ok(AppliedTerms { applications, position: None });
        }
        let mut context = context.clone();
        if let Some(idempotency) = &mut context.idempotency {
            idempotency.recipe = remember(&applications);
        }
        let mut pending: Vec<&mut dyn Pending> =
            parts.iter_mut().map(|part| part as &mut dyn Pending).collect();
        let appended = self.commit(&context, &mut pending, Vec::new(), Vec::new()).await?;
        Ok(AppliedTerms { applications, position: appended.map(|appended| appended.last) })
    }
}

/// What the rules say of one license is an answer about it; anything else ends the order.
fn decide(
    context: &Context,
    order: &ApplyOrder,
    terms: &Terms,
    part: &mut Part<License>,
) -> Result<TermsFate, CommandError> {
    let license = &part.state;
    let is_meant = license.guild == Some(order.guild) && license.license_type == order.license_type;
    if license.version == 0 || !is_meant {
        return Ok(TermsFate::NotFound);
    }
    if license.terms == *terms {
        return Ok(TermsFate::Unchanged);
    }
    let action = Action::ChangeTerms {
        terms: Box::new(terms.clone()),
        expires_at: None,
        has_reason: context.reason.is_some(),
        deactivate: Vec::new(),
    };
    match part.decide(context, &Command { now: context.now, action }) {
        Ok(()) => Ok(TermsFate::Changed),
        Err(CommandError::Refused(refused)) => Ok(TermsFate::Refused(refused)),
        Err(error) => Err(error),
    }
}
