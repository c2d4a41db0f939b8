//! Guilds become known, and known to have left: level-triggered, from what Discord last said about them. The same
//! command registers a guild and brings its name, owner and watched roles up to date.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use commands::CommandError;
use domain::event::Actor;
use domain::guild::Action;
use domain::id::GuildId;
use projections::GuildRole;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::bot::Inner;
use crate::guilds::Known;
use crate::resync::Reach;
use crate::sync::SyncError;

/// Pause after a failed registration.
const PAUSE: Duration = Duration::from_secs(1);

/// Guilds whose registration is to be looked at.
#[derive(Default)]
pub(crate) struct Registrations {
    wanted: Mutex<BTreeSet<GuildId>>,
    /// The roles that this process wrote down last.
    told: Mutex<HashMap<GuildId, Vec<GuildRole>>>,
    notify: Notify,
}

impl Registrations {
    /// Looks at a guild soon.
    pub(crate) fn want(&self, guild: GuildId) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(guild);
        self.notify.notify_one();
    }

    fn is_told(&self, guild: GuildId, roles: &[GuildRole]) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(&guild).is_some_and(|told| told == roles)
    }

    fn told(&self, guild: GuildId, roles: Vec<GuildRole>) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(guild, roles);
    }

    /// Another process may have written since.
    pub(crate) fn forget_told(&self) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn next(&self) -> GuildId {
        loop {
            let woken = self.notify.notified();
            if let Some(guild) = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).pop_first() {
                return guild;
            }
            woken.await;
        }
    }
}

impl Inner {
    /// Registers guilds until `stop`.
    pub(crate) async fn register_worker(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let guild = tokio::select! {
                () = stop.cancelled() => return,
                guild = self.registrations.next() => guild,
            };
            if let Err(error) = self.register(guild).await {
                tracing::warn!(%guild, %error, "a guild could not be registered; tried again");
                // The pause holds up this guild only.
                let (inner, stop) = (Arc::clone(&self), stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(PAUSE) => inner.registrations.want(guild),
                    }
                });
            }
        }
    }

    /// Brings one guild up to date; a guild that was frozen until now is looked at whole.
    pub(crate) async fn register(&self, guild: GuildId) -> Result<(), SyncError> {
        let Some(known) = self.guilds.get(guild) else { return Ok(()) };
        let context = self.context(Actor::Bot, Some(guild));
        if !known.present {
            return match self.commands.guild(&context, guild, Action::Leave).await {
                Ok(_) | Err(CommandError::NotFound(_)) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
        if !known.available {
            return Ok(());
        }
        let Some(owner) = known.owner else {
            // Described without its owner: the reconcile asks for the whole of it.
            self.resync.want(guild, Reach::Full);
            return Ok(());
        };
        let before = self.commands.load_guild(guild).await?;
        let Known { name, .. } = &known;
        let done =
            self.commands.register_guild(&context, guild, name.clone(), owner, known.watched()).await?;
        if !done.state.present {
            let again = self.context(Actor::Bot, Some(guild));
            self.commands.guild(&again, guild, Action::Rejoin).await?;
        }
        self.tell_roles(guild, &known).await?;
        if before.version == 0 || !before.present {
            self.resync.want(guild, Reach::Full);
        }
        Ok(())
    }

    /// Writes down the roles of a guild for whoever has no connection to Discord. Where it was told already, nothing is.
    async fn tell_roles(&self, guild: GuildId, known: &Known) -> Result<(), SyncError> {
        let roles = known.described_roles(guild, self.status().bot);
        if self.registrations.is_told(guild, &roles) {
            return Ok(());
        }
        // Behind the clock of whoever wrote last nothing is taken; the next reconcile tells it again.
        if self.queries.guild_roles().put(guild, &roles, self.now()).await? {
            self.registrations.told(guild, roles);
        }
        Ok(())
    }
}
