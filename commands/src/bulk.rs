//! Many new licenses in one append: all or nothing.

use domain::id::{DiscordId, GuildId, LicenseId, StreamId};
use domain::key::KeyVersion;
use domain::license::{Action, AssignedHow, Command, Generate, Ledger, License};
use domain::ports::Mac;
use domain::private::Person;
use domain::time::Timestamp;

use crate::execute::{Part, Pending};
use crate::{CommandError, Commands, Context};

/// Most licenses of one append.
pub const GENERATE_MAX: usize = 100_000;

/// New licenses of one type.
#[derive(Debug, Clone)]
pub struct GenerateOrder {
    /// The tenant.
    pub guild: GuildId,
    /// Slug of the type.
    pub license_type: String,
    /// An id for each, made by the gateway.
    pub ids: Vec<LicenseId>,
    /// Owner of all of them.
    pub assign_to: Option<DiscordId>,
    /// Not valid before.
    pub starts_at: Option<Timestamp>,
    /// JSON text.
    pub metadata: Option<String>,
    /// JSON text.
    pub private_metadata: Option<String>,
}

/// What [`Commands::generate`] made.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The licenses, in the order of the ids.
    pub licenses: Vec<License>,
    /// Position of the first event.
    pub first: i64,
    /// Position of the last event.
    pub last: i64,
}

impl Commands {
    /// Makes licenses, all or none.
    ///
    /// # Errors
    /// [`CommandError::NotFound`] (guild), [`CommandError::Invalid`] (type, count).
    pub async fn generate(&self, context: &Context, order: GenerateOrder) -> Result<Generated, CommandError> {
        match self.try_generate(context, order).await {
            Ok(generated) => Ok(generated),
            Err(error) => Err(self.noted(context, error).await),
        }
    }

    async fn try_generate(&self, context: &Context, order: GenerateOrder) -> Result<Generated, CommandError> {
        if order.ids.is_empty() || order.ids.len() > GENERATE_MAX {
            return Err(CommandError::invalid("/count", format!("must be from 1 to {GENERATE_MAX}")));
        }
        if context.tenant.is_some_and(|tenant| tenant != order.guild) {
            return Err(CommandError::NotFound("guild"));
        }
        let guild = self.load_guild(order.guild).await?;
        let terms = Self::usable_type(&guild, &order.license_type)?.terms.clone();
        let owner = match order.assign_to {
            Some(user) => {
                self.ensure_user(context, user).await?;
                Some((Person::new(self.ring().as_ref(), user), AssignedHow::Assign))
            }
            None => None,
        };
        let template = Generate {
            id: LicenseId::default(),
            guild: order.guild,
            license_type: order.license_type,
            terms,
            key: KeyVersion { secret_id: self.ring().active_license_secret(), version: 0 },
            slot: None,
            owner,
            starts_at: order.starts_at,
            ledger: Ledger::default(),
            metadata: order.metadata,
            private_metadata: order.private_metadata,
            aliases: Vec::new(),
        };
        let mut parts = Vec::with_capacity(order.ids.len());
        for id in order.ids {
            let mut part = Part::new(StreamId::license(id), License::default());
            let generate = Box::new(Generate { id, ..template.clone() });
            part.decide(context, &Command { now: context.now, action: Action::Generate(generate) })?;
            parts.push(part);
        }
        let mut pending: Vec<&mut dyn Pending> =
            parts.iter_mut().map(|part| part as &mut dyn Pending).collect();
        let appended = self.commit(context, &mut pending, Vec::new(), Vec::new()).await?;
        let appended =
            appended.ok_or_else(|| CommandError::Damaged("a bulk append made no event".to_owned()))?;
        let licenses = parts.into_iter().map(|part| part.state).collect();
        Ok(Generated { licenses, first: appended.first, last: appended.last })
    }
}
